//! A receiver that invokes webhooks: the call's body is `{"webhook","parameters"?,"data"?,"context"?,"times"?}`, its reply
//! `{"invoked":[{"delivered","http_status","error_event","parameters","output"} or {"error"}]}`.

use hookwright_guest::{Error, Invocation, Receive, Reply, webhooks};
use serde::Deserialize;
use serde_json::{Value, json};

struct Invoker;
hookwright_guest::export!(Invoker: receive);

#[derive(Deserialize)]
struct Ask {
    webhook: String,
    #[serde(default = "empty_object")]
    parameters: Value,
    #[serde(default)]
    data: Value,
    #[serde(default = "empty_object")]
    context: Value,
    #[serde(default = "once")]
    times: u32,
}

fn empty_object() -> Value {
    json!({})
}

fn once() -> u32 {
    1
}

impl Receive for Invoker {
    fn receive(call: Invocation) -> Result<Reply, Error> {
        let ask: Ask = call.json()?;
        let mut invoked = Vec::new();
        for _ in 0..ask.times {
            let one = webhooks::Call::new(&ask.webhook).parameters(&ask.parameters)?.data(&ask.data)?.context(&ask.context)?.send();
            invoked.push(match one {
                Ok(ended) => json!({
                    "delivered": ended.delivered,
                    "http_status": ended.http_status,
                    "error_event": ended.error_event,
                    "parameters": ended.parameters,
                    "output": ended.output,
                }),
                Err(error) => json!({ "error": error.reason() }),
            });
        }
        Reply::json(&json!({ "invoked": invoked }))
    }
}
