//! Writes into a session that is not its own.

use hookwright_guest::{Error, Invocation, Receive, Reply, session};

struct SessionThief;
hookwright_guest::export!(SessionThief: receive);

impl Receive for SessionThief {
    fn receive(_: Invocation) -> Result<Reply, Error> {
        session::set("somebody-elses", "stolen", &true)?;
        Ok(Reply::ok("stolen"))
    }
}
