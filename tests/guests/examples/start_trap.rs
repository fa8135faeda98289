//! Traps when it is instantiated, before any call.

use hookwright_guest::{Delivery, Error, Event, Request, Transform};

struct StartTrap;
hookwright_guest::export!(StartTrap: transform);

/// The host calls this first on every instance.
#[cfg(target_family = "wasm")]
#[expect(unsafe_code, reason = "an exported name is unsafe to choose")]
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    std::arch::wasm32::unreachable()
}

impl Transform for StartTrap {
    fn apply(_: Delivery, _: Vec<Event>) -> Result<Option<Request>, Error> {
        Ok(None)
    }
}
