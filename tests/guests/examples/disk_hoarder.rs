//! Fills its directory: writes a megabyte into one file after another until it is stopped.

use std::fs;

use hookwright_guest::{Error, Invocation, OrError, Receive, Reply};

struct DiskHoarder;
hookwright_guest::export!(DiskHoarder: receive);

impl Receive for DiskHoarder {
    fn receive(call: Invocation) -> Result<Reply, Error> {
        let megabyte = vec![b'x'; 1 << 20];
        // The loop ends, so that a host that does not stop the guest fails the test without filling the disk.
        for number in 0..4096 {
            fs::write(format!("/data/{}-{number}", call.call_id), &megabyte).or_reject("writing")?;
        }
        Ok(Reply::text("all of it"))
    }
}
