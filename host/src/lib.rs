//! Hookwright: a webhook engine whose transforms and receivers are sandboxed WebAssembly plugins, swapped while it runs.
//!
//! `ARCHITECTURE.md` next to this crate has the nouns, the way of the data and where to begin reading.

pub mod bodies;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod config;
pub mod finishing;
pub mod host;
pub mod inbound;
pub mod invocation;
mod lock;
pub mod loop_depth;
pub mod mail;
pub mod metrics;
pub mod model;
pub mod notices;
pub mod outbound;
pub mod plugin;
pub mod server;
pub mod services;
pub mod store;
pub mod traces;
pub mod transport;
pub mod try_out;
pub mod turns;
pub mod volatile;
pub mod watched;
