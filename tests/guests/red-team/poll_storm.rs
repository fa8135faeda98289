//! Sleeps for a nanosecond in an endless loop.

use hookwright_guest::{Error, Invocation, Receive, Reply};

struct PollStorm;
hookwright_guest::export!(PollStorm: receive);

impl Receive for PollStorm {
    fn receive(_: Invocation) -> Result<Reply, Error> {
        loop {
            std::thread::sleep(std::time::Duration::from_nanos(1));
        }
    }
}
