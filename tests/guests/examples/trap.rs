//! Traps in the call. The event's data says how: `{"how":"panic"}` (also without data), `unreachable` or `divide`.

use hookwright_guest::{Delivery, Error, Event, Request, Transform};
use serde::Deserialize;

struct Trap;
hookwright_guest::export!(Trap: transform);

#[derive(Deserialize, Default)]
#[serde(default)]
struct Data {
    how: String,
}

impl Transform for Trap {
    fn apply(_: Delivery, events: Vec<Event>) -> Result<Option<Request>, Error> {
        let data: Data = events.first().and_then(|event| event.data().ok()).unwrap_or_default();
        match data.how.as_str() {
            #[cfg(target_family = "wasm")]
            "unreachable" => std::arch::wasm32::unreachable(),
            "divide" => Ok(Some(Request::post().text(format!("{}", 1 / std::hint::black_box(0))))),
            _ => panic!("the guest panics as it was told"),
        }
    }
}
