//! Uses a secret, for which it needs the grant: sends the event's data with its HMAC under the secret `guest-key` in `x-guest-hmac`, in
//! hex.

use hookwright_guest::{Delivery, Error, Event, Request, Transform, secrets};

struct Signer;
hookwright_guest::export!(Signer: transform);

impl Transform for Signer {
    fn apply(_: Delivery, events: Vec<Event>) -> Result<Option<Request>, Error> {
        let body = events.first().map(|event| event.data_json.clone()).unwrap_or_default();
        let hmac: String = secrets::hmac_sha256("guest-key", &body)?.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Some(Request::post().header("x-guest-hmac", hmac).text(body)))
    }
}
