//! Stores twenty small values in its state.

use hookwright_guest::{Error, Invocation, Receive, Reply, state};

struct StateKeys;
hookwright_guest::export!(StateKeys: receive);

impl Receive for StateKeys {
    fn receive(_: Invocation) -> Result<Reply, Error> {
        for key in 0..20 {
            state::set(&format!("key {key}"), b"v")?;
        }
        Ok(Reply::ok("kept"))
    }
}
