//! Emits events in an endless loop.

use hookwright_guest::{
    Error, Invocation, Receive, Reply,
    events::{Emission, emit},
};

struct EmitStorm;
hookwright_guest::export!(EmitStorm: receive);

impl Receive for EmitStorm {
    fn receive(_: Invocation) -> Result<Reply, Error> {
        let mut emitted = 0_u64;
        loop {
            emit(Emission::new("red.emitted", &emitted)?)?;
            emitted += 1;
        }
    }
}
