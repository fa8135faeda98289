//! Writes ten megabytes to standard output without ending the line, and then does its work.

use hookwright_guest::{Error, Invocation, Receive, Reply};

struct StdoutLine;
hookwright_guest::export!(StdoutLine: receive);

impl Receive for StdoutLine {
    fn receive(_: Invocation) -> Result<Reply, Error> {
        let piece = "x".repeat(50_000);
        for _ in 0..200 {
            print!("{piece}");
        }
        Ok(Reply::ok("written"))
    }
}
