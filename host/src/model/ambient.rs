//! What an expansion may know of the world outside.

use jiff::Timestamp;

/// What functions may know of the world outside: the time, and where their randomness comes from. One for each expansion.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ambient {
    /// Now.
    pub now: Timestamp,
    /// From a good source of randomness; every draw of one expansion is derived from it.
    pub seed: [u8; 32],
}
