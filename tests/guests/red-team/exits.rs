//! Tries to end the process.

use hookwright_guest::{Error, Invocation, Receive, Reply};

struct Exits;
hookwright_guest::export!(Exits: receive);

impl Receive for Exits {
    fn receive(_: Invocation) -> Result<Reply, Error> {
        std::process::exit(0)
    }
}
