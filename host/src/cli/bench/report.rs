//! The result of a run.

use std::path::PathBuf;

use super::load::Measured;

/// The figures of one run.
pub struct Report {
    /// Number of connections that were open at once.
    pub connections: u16,
    /// The directory of the store.
    pub data: PathBuf,
    /// The measurements, in order. The first is the bare server.
    pub measured: Vec<Measured>,
    /// Number of deliveries that arrived. The endpoint verified each of them.
    pub arrived: u64,
    /// Number of deliveries that arrived more than once.
    pub repeated: u64,
}
