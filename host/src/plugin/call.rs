//! One call of a plugin: its sandbox, what it may ask for, what bounds it.

pub mod conduct;
pub(in crate::plugin) mod context;
pub(in crate::plugin) mod convert;
pub(in crate::plugin) mod directory;
pub(in crate::plugin) mod failure;
pub(in crate::plugin) mod guest;
pub(in crate::plugin) mod guest_log;
pub(in crate::plugin) mod imports;
pub(in crate::plugin) mod instance;
pub(in crate::plugin) mod lane;
pub mod limits;
pub(in crate::plugin) mod meter;
pub(in crate::plugin) mod read_off;
pub(in crate::plugin) mod slots;
