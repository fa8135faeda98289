//! Creates a sparse file of a tebibyte, and goes on.

use std::fs;

use hookwright_guest::{Error, Invocation, OrError, Receive, Reply};

struct SparseFile;
hookwright_guest::export!(SparseFile: receive);

impl Receive for SparseFile {
    fn receive(_: Invocation) -> Result<Reply, Error> {
        let file = fs::File::create("/data/sparse").or_reject("creating")?;
        file.set_len(1 << 40).or_reject("growing")?;
        loop {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
}
