//! Hookwright: a webhook engine whose transforms and receivers are sandboxed WebAssembly plugins, swapped while it runs.
//!
//! `ARCHITECTURE.md` next to this crate has the nouns, the way of the data and where to begin reading.

mod bodies;
mod catalog;
pub mod cli;
pub mod clock;
pub mod config;
mod finishing;
pub mod host;
mod inbound;
mod invocation;
mod lock;
mod loop_depth;
mod mail;
mod metrics;
pub mod model;
mod notices;
mod outbound;
mod plugin;
pub mod server;
mod services;
mod store;
mod traces;
mod transport;
mod try_out;
mod turns;
mod volatile;
mod watched;
