//! Creates as many empty files as it can.

use std::fs;

use hookwright_guest::{Error, Invocation, OrError, Receive, Reply};

struct ManyFiles;
hookwright_guest::export!(ManyFiles: receive);

impl Receive for ManyFiles {
    fn receive(_: Invocation) -> Result<Reply, Error> {
        for number in 0..1_000_000 {
            fs::write(format!("/data/{number}"), "").or_reject("writing")?;
        }
        Ok(Reply::ok("made"))
    }
}
