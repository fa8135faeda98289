//! Recurses without end when it is instantiated.

use hookwright_guest::{Error, Invocation, Receive, Reply};

struct StartRecursion;
hookwright_guest::export!(StartRecursion: receive);

#[cfg(target_family = "wasm")]
#[expect(unconditional_recursion, reason = "that is what this guest is for")]
fn deeper(depth: u64) -> u64 {
    std::hint::black_box(deeper(std::hint::black_box(depth + 1))) + depth
}

/// The host calls this first on every instance.
#[cfg(target_family = "wasm")]
#[expect(unsafe_code, reason = "an exported name is unsafe to choose")]
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    deeper(0);
}

impl Receive for StartRecursion {
    fn receive(_: Invocation) -> Result<Reply, Error> {
        Ok(Reply::ok("never"))
    }
}
