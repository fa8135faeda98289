//! Stores as much as it can in its state.

use hookwright_guest::{Error, Invocation, Receive, Reply, state};

struct StateHoarder;
hookwright_guest::export!(StateHoarder: receive);

impl Receive for StateHoarder {
    fn receive(_: Invocation) -> Result<Reply, Error> {
        for key in 0..1_000_000 {
            state::set(&format!("key {key}"), vec![1_u8; 60_000])?;
        }
        Ok(Reply::ok("kept"))
    }
}
