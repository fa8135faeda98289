//! Loops forever when it is instantiated, before any call.

use hookwright_guest::{Delivery, Error, Event, Request, Transform};

struct StartLoop;
hookwright_guest::export!(StartLoop: transform);

/// The host calls this first on every instance.
#[cfg(target_family = "wasm")]
#[expect(unsafe_code, reason = "an exported name is unsafe to choose")]
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    let mut turns = 0_u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

impl Transform for StartLoop {
    fn apply(_: Delivery, _: Vec<Event>) -> Result<Option<Request>, Error> {
        Ok(None)
    }
}
