//! Guests for the host's tests, each an example: guests that misbehave, and good ones to compare them with.
//!
//! `tests/guests/build` compiles them to `target/guests/out/<example>.wasm`. The first line of each file says what the guest does.
