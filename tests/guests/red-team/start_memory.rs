//! Allocates memory in an endless loop when it is instantiated.

use hookwright_guest::{Error, Invocation, Receive, Reply};

struct StartMemory;
hookwright_guest::export!(StartMemory: receive);

/// The host calls this first on every instance.
#[cfg(target_family = "wasm")]
#[expect(unsafe_code, reason = "an exported name is unsafe to choose")]
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    let mut hoard = Vec::new();
    loop {
        hoard.push(std::hint::black_box(vec![1_u8; 1 << 20]));
    }
}

impl Receive for StartMemory {
    fn receive(_: Invocation) -> Result<Reply, Error> {
        Ok(Reply::ok("never"))
    }
}
