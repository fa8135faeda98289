//! The script engine: QuickJS in a sandbox, with `engine.js` in it, as the plugin every script runs in.
//!
//! `start` runs when the engine is built (`build`); what memory then holds is what every instance begins with. An instance is called once,
//! evaluates the author's script, which it asks the host for, and calls the function asked for.
//!
//! `js` is what is needed of QuickJS, `host` what JavaScript may ask of the host, `convert` how records become objects and back.

mod convert;
mod host;
mod js;

use std::cell::Cell;

use crate::{
    bindings::{
        exports::hookwright::{plugin as exported, script::script},
        hookwright::plugin::types::{Answer, Delivery, Error, Event, Invocation, Outcome, Reply, Request},
    },
    convert::{FromJs, ToJs},
    js::{Thrown, Value},
};

mod bindings {
    wit_bindgen::generate!({ world: "hookwright:script/engine", path: ["../../guest-sdk/wit", "wit"], generate_all });
}

/// What JavaScript there is beside the author's.
const ENGINE: &str = include_str!("../engine.js");

/// Stack QuickJS may use before it throws a `RangeError`. The linker gives 1 MiB (`build`): what is below is for what it calls without looking,
/// and keeps the address of the largest frame from falling below zero. The processor's own stack, which the host gives, is
/// larger than what any way to use this much of it needs (`GUEST_STACK_BYTES`).
const JS_STACK_BYTES: usize = 384 * 1024;

/// The functions `engine.js` hands over.
struct Functions {
    transform: Value,
    answers: Value,
    receive: Value,
    load: Value,
}

struct Engine;

thread_local! {
    static FUNCTIONS: Cell<Option<&'static Functions>> = const { Cell::new(None) };
}

/// Starts QuickJS and evaluates `engine.js`. For the tool that keeps what memory is then.
#[unsafe(export_name = "wizer.initialize")]
extern "C" fn start() {
    js::start(JS_STACK_BYTES);
    let functions = functions().unwrap_or_else(|thrown| panic!("engine.js: {}", thrown.describe()));
    FUNCTIONS.set(Some(Box::leak(Box::new(functions))));
    js::collect();
}

fn functions() -> Result<Functions, Thrown> {
    let engine = js::evaluate(ENGINE, c"engine.js")?;
    let made = engine.call(&[host::object()?])?;
    Ok(Functions {
        transform: made.get(c"transform")?,
        answers: made.get(c"answers")?,
        receive: made.get(c"receive")?,
        load: made.get(c"load")?,
    })
}

fn started() -> &'static Functions {
    match FUNCTIONS.get() {
        Some(functions) => functions,
        None => panic!("the engine was not started when it was built"),
    }
}

/// Calls one of them and reads what it returns.
fn call<T: FromJs>(function: &Value, arguments: Result<Vec<Value>, Thrown>) -> Result<T, Error> {
    let called = arguments.and_then(|arguments| function.call(&arguments)).and_then(|returned| T::from_js(&returned));
    called.map_err(|thrown| convert::error(&thrown))
}

impl exported::transform::Guest for Engine {
    fn apply(delivery: Delivery, events: Vec<Event>) -> Result<Option<Request>, Error> {
        call(&started().transform, (|| Ok(vec![delivery.to_js()?, events.to_js()?]))())
    }
}

impl exported::answers::Guest for Engine {
    fn read(delivery: Delivery, answer: Answer) -> Result<Outcome, Error> {
        call(&started().answers, (|| Ok(vec![delivery.to_js()?, answer.to_js()?]))())
    }
}

impl exported::receive::Guest for Engine {
    fn receive(call_: Invocation) -> Result<Reply, Error> {
        call(&started().receive, call_.to_js().map(|inbound| vec![inbound]))
    }
}

impl script::Guest for Engine {
    fn load() -> Result<(), String> {
        started().load.call(&[]).map(drop).map_err(|thrown| thrown.describe())
    }
}

bindings::export!(Engine with_types_in bindings);
