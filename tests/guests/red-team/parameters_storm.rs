//! Reads session parameters in an endless loop.

use hookwright_guest::{Error, Invocation, Receive, Reply, parameters};

struct ParametersStorm;
hookwright_guest::export!(ParametersStorm: receive);

impl Receive for ParametersStorm {
    fn receive(_: Invocation) -> Result<Reply, Error> {
        loop {
            std::hint::black_box(parameters::get::<serde_json::Value>("p")?);
        }
    }
}
