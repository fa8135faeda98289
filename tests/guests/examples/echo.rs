//! A good transform: sends back its input and its version.
//!
//! The body is `{"version","label","delivery","webhook","session","parameters","events":[{"id","trigger","source","data"}]}`. `version`
//! is the four characters after `HOOKWRIGHT-VER:` in these bytes, `0000` as built. A test overwrites them to make another version with
//! another digest, without a compiler. `label` comes from the configuration.

use hookwright_guest::{Delivery, Error, Event, Request, Transform, config, parameters};
use serde_json::{Value, json};

struct Echo;
hookwright_guest::export!(Echo: transform);

static MARKER: [u8; 19] = *b"HOOKWRIGHT-VER:0000";

fn version() -> String {
    // Hide the pointer from the compiler, so that the bytes are read from the file.
    let marker: &[u8] = std::hint::black_box(&MARKER);
    String::from_utf8_lossy(&marker[marker.len() - 4..]).into_owned()
}

impl Transform for Echo {
    fn apply(delivery: Delivery, events: Vec<Event>) -> Result<Option<Request>, Error> {
        let config: Value = config()?;
        let event = |event: &Event| {
            let data: Value = event.data()?;
            Ok(json!({ "id": event.id, "trigger": event.trigger, "source": event.source, "data": data }))
        };
        let events: Vec<Value> = events.iter().map(event).collect::<Result<_, Error>>()?;
        let body = json!({
            "version": version(),
            "label": config["label"],
            "delivery": delivery.id,
            "webhook": delivery.webhook_name,
            "session": delivery.session,
            "parameters": parameters::all()?,
            "events": events,
        });
        Request::post().json(&body).map(Some)
    }
}
