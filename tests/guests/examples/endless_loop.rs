//! Loops forever in the call without asking the host for anything. Only a deadline ends it.

use hookwright_guest::{Delivery, Error, Event, Invocation, Receive, Reply, Request, Transform};

struct EndlessLoop;
hookwright_guest::export!(EndlessLoop: transform, receive);

fn forever() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

impl Transform for EndlessLoop {
    fn apply(_: Delivery, _: Vec<Event>) -> Result<Option<Request>, Error> {
        forever()
    }
}

impl Receive for EndlessLoop {
    fn receive(_: Invocation) -> Result<Reply, Error> {
        forever()
    }
}
