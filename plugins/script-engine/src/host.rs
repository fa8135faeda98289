//! What `engine.js` may ask: an object for each interface the engine imports, with its functions under JavaScript's names. What the host
//! refuses is thrown as a text.

use crate::{
    bindings::hookwright::{
        plugin::{config, events, log, parameter_writes, parameters, secrets, state, webhooks},
        script::host,
    },
    convert::{FromJs, ToJs},
    js::{Arguments, Function, Thrown, Value},
};

/// The functions; what an object has of them is said by `OBJECTS`.
static FUNCTIONS: [Function; 15] = [
    (c"source", |_| host::source().to_js()),
    (c"seed", |_| {
        let (a, b, c, d) = host::seed();
        Value::list([a, b, c, d].map(|word| word.to_js()))
    }),
    (c"encode", |given| Value::bytes(given.text(0)?.as_bytes())),
    (c"decode", |given| Value::text(&String::from_utf8_lossy(&given.at(0).to_bytes()?))),
    (c"write", write),
    (c"get", |_| config::get().to_js()),
    (c"get", |given| parameters::get(&given.text(0)?).to_js()),
    (c"all", |_| parameters::all().to_js()),
    (c"set", |given| {
        let value: Option<String> = Option::from_js(&given.at(2))?;
        granted(parameter_writes::set(&given.text(0)?, &given.text(1)?, value.as_deref())).map(nothing)
    }),
    (c"hmacSha256", |given| granted(secrets::hmac_sha256(&given.text(0)?, &given.at(1).to_bytes()?))?.to_js()),
    (c"emit", |given| granted(events::emit(&events::Emission::from_js(&given.at(0))?))?.to_js()),
    (c"invoke", |given| {
        let bag = Vec::from_js(&given.at(1))?;
        granted(webhooks::invoke(&given.text(0)?, &bag, &given.text(2)?, &given.text(3)?))?.to_js()
    }),
    (c"get", |given| state::get(&given.text(0)?).to_js()),
    (c"set", |given| granted(state::set(&given.text(0)?, &given.at(1).to_bytes()?)).map(nothing)),
    (c"delete", |given| granted(state::delete(&given.text(0)?)).map(nothing)),
];

/// The objects, and the functions of each by their places in `FUNCTIONS`.
const OBJECTS: [(&std::ffi::CStr, std::ops::Range<usize>); 9] = [
    (c"host", 0..4),
    (c"log", 4..5),
    (c"config", 5..6),
    (c"parameters", 6..8),
    (c"parameterWrites", 8..9),
    (c"secrets", 9..10),
    (c"events", 10..11),
    (c"webhooks", 11..12),
    (c"state", 12..15),
];

/// All of it, as `engine.js` is given it.
pub fn object() -> Result<Value, Thrown> {
    let all = Value::object()?;
    for (name, functions) in OBJECTS {
        let object = Value::object()?;
        for index in functions {
            object.set(FUNCTIONS[index].0, Value::function(&FUNCTIONS, index)?)?;
        }
        all.set(name, object)?;
    }
    Ok(all)
}

fn granted<T>(answer: Result<T, String>) -> Result<T, Thrown> {
    answer.map_err(|refusal| Thrown::text(&refusal))
}

fn nothing((): ()) -> Value {
    Value::UNDEFINED
}

fn write(given: &Arguments<'_>) -> Result<Value, Thrown> {
    let level = match given.text(0)?.as_str() {
        "debug" => log::Level::Debug,
        "warn" => log::Level::Warn,
        "error" => log::Level::Error,
        _ => log::Level::Info,
    };
    log::write(level, &given.text(1)?);
    Ok(Value::UNDEFINED)
}
