//! A good transform that returns no request, so nothing is sent.

use hookwright_guest::{Delivery, Error, Event, Request, Transform};

struct SendsNothing;
hookwright_guest::export!(SendsNothing: transform);

impl Transform for SendsNothing {
    fn apply(_: Delivery, _: Vec<Event>) -> Result<Option<Request>, Error> {
        Ok(None)
    }
}
