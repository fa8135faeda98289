//! Uploaded bytes become something that can be called.

pub(in crate::plugin) mod artifact;
pub(in crate::plugin) mod compile;
pub(in crate::plugin) mod compiler;
pub(in crate::plugin) mod componentize;
pub(in crate::plugin) mod data_segments;
pub(in crate::plugin) mod interfaces;
pub(in crate::plugin) mod loader;
pub(in crate::plugin) mod snapshot;
