//! Reads its configuration in an endless loop.

use hookwright_guest::{Error, Invocation, Receive, Reply, config};

struct ConfigStorm;
hookwright_guest::export!(ConfigStorm: receive);

impl Receive for ConfigStorm {
    fn receive(_: Invocation) -> Result<Reply, Error> {
        loop {
            std::hint::black_box(config::<serde_json::Value>()?);
        }
    }
}
