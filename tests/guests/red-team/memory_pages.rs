//! Grows its memory one page at a time, and traps when it gets no more.

use hookwright_guest::{Error, Invocation, Receive, Reply};

struct MemoryPages;
hookwright_guest::export!(MemoryPages: receive);

impl Receive for MemoryPages {
    fn receive(_: Invocation) -> Result<Reply, Error> {
        loop {
            if !grows() {
                std::process::abort();
            }
        }
    }
}

#[cfg(target_family = "wasm")]
fn grows() -> bool {
    std::arch::wasm32::memory_grow::<0>(1) != usize::MAX
}

#[cfg(not(target_family = "wasm"))]
fn grows() -> bool {
    false
}
