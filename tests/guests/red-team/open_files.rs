//! Opens a file again and again without closing it.

use std::fs;

use hookwright_guest::{Error, Invocation, OrError, Receive, Reply};

struct OpenFiles;
hookwright_guest::export!(OpenFiles: receive);

impl Receive for OpenFiles {
    fn receive(_: Invocation) -> Result<Reply, Error> {
        fs::write("/data/file", "x").or_reject("writing")?;
        for _ in 0..100_000 {
            std::mem::forget(fs::File::open("/data/file").or_reject("opening")?);
        }
        Ok(Reply::ok("opened"))
    }
}
