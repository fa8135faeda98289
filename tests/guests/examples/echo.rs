//! A good transform: sends back what it was given, and which version of it did so.
//!
//! The body is `{"version","label","delivery","webhook","session","parameters","events":[{"id","trigger","source","data"}]}`.
//! `version` is the four characters behind `HOOKWRIGHT-VER:` in these bytes, `0000` as built: a test makes another version
//! with another digest by overwriting them, and needs no compiler. `label` is the configuration's.

use hookwright_guest::{Delivery, Error, Event, Request, Transform, config, parameters};
use serde_json::{Value, json};

struct Echo;
hookwright_guest::export!(Echo: transform);

static MARKER: [u8; 19] = *b"HOOKWRIGHT-VER:0000";

fn version() -> String {
    // Read through a pointer the compiler knows nothing about, so that what is read are the bytes in the file.
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
