//! What a run came to.

use std::path::PathBuf;

use super::load::Measured;

/// One run's figures.
pub struct Report {
    /// Connections at once.
    pub connections: u16,
    /// Where the store was.
    pub data: PathBuf,
    /// What was measured, in order; the first is the ceiling.
    pub measured: Vec<Measured>,
    /// Deliveries that arrived, each verified by its endpoint.
    pub arrived: u64,
    /// Those that arrived more than once.
    pub repeated: u64,
}
