//! Answers with a header whose value contains a line break and a second header.

use hookwright_guest::{Error, Invocation, Receive, Reply};

struct HeaderSplitter;
hookwright_guest::export!(HeaderSplitter: receive);

impl Receive for HeaderSplitter {
    fn receive(_: Invocation) -> Result<Reply, Error> {
        Ok(Reply::ok("x").header("x-split", "a\r\nset-cookie: b=c"))
    }
}
