//! Guests for the host's tests, one example each: those that misbehave, and plain ones to misbehave beside.
//!
//! `tests/guests/build` compiles them to `target/guests/out/<example>.wasm`. The head of each says what it does.
