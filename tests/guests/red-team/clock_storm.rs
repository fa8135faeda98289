//! Reads the clock in an endless loop.

use hookwright_guest::{Error, Invocation, Receive, Reply};

struct ClockStorm;
hookwright_guest::export!(ClockStorm: receive);

impl Receive for ClockStorm {
    fn receive(_: Invocation) -> Result<Reply, Error> {
        loop {
            std::hint::black_box(std::time::Instant::now());
        }
    }
}
