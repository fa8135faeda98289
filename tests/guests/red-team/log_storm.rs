//! Writes log lines in an endless loop.

use hookwright_guest::{Error, Invocation, Receive, Reply, log};

struct LogStorm;
hookwright_guest::export!(LogStorm: receive);

impl Receive for LogStorm {
    fn receive(_: Invocation) -> Result<Reply, Error> {
        loop {
            log::info("again");
        }
    }
}
