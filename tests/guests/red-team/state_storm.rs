//! Reads its state in an endless loop.

use hookwright_guest::{Error, Invocation, Receive, Reply, state};

struct StateStorm;
hookwright_guest::export!(StateStorm: receive);

impl Receive for StateStorm {
    fn receive(_: Invocation) -> Result<Reply, Error> {
        loop {
            std::hint::black_box(state::get("k"));
        }
    }
}
