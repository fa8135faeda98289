//! Asks for a retry, whatever the input is.

use hookwright_guest::{Delivery, Error, Event, Invocation, Receive, Reply, Request, Transform};

struct RetryLater;
hookwright_guest::export!(RetryLater: transform, receive);

impl Transform for RetryLater {
    fn apply(_: Delivery, _: Vec<Event>) -> Result<Option<Request>, Error> {
        Err(Error::retry_later("the guest is not ready"))
    }
}

impl Receive for RetryLater {
    fn receive(_: Invocation) -> Result<Reply, Error> {
        Err(Error::retry_later("the guest is not ready"))
    }
}
