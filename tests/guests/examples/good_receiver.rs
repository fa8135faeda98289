//! A good receiver: emits one event `guest.received` with the body as data (text when it is no JSON), sets the session
//! parameter `received` to true when the call has a session, and replies `received`.

use hookwright_guest::events::{Emission, emit};
use hookwright_guest::{Error, Invocation, Receive, Reply, log, session};
use serde_json::{Value, json};

struct GoodReceiver;
hookwright_guest::export!(GoodReceiver: receive);

impl Receive for GoodReceiver {
    fn receive(call: Invocation) -> Result<Reply, Error> {
        let data: Value = call.json().unwrap_or_else(|_| json!(String::from_utf8_lossy(&call.body)));
        let id = emit(Emission::new("guest.received", &data)?.attribute("caller", &call.caller))?;
        if let Some(session) = &call.session {
            session::set(session, "received", &true)?;
        }
        log::info(format_args!("emitted {id}"));
        Ok(Reply::ok("received"))
    }
}
