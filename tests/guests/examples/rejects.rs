//! Rejects every input. The receiver emits an event first, which must be dropped.

use hookwright_guest::events::{Emission, emit};
use hookwright_guest::{Delivery, Error, Event, Invocation, Receive, Reply, Request, Transform};

struct Rejects;
hookwright_guest::export!(Rejects: transform, receive);

impl Transform for Rejects {
    fn apply(_: Delivery, _: Vec<Event>) -> Result<Option<Request>, Error> {
        Err(Error::rejected("the guest rejects it"))
    }
}

impl Receive for Rejects {
    fn receive(_: Invocation) -> Result<Reply, Error> {
        let _ = emit(Emission::new("guest.received", &"never seen")?);
        Err(Error::rejected("the guest rejects it"))
    }
}
