//! Hookwright: a webhook engine whose transforms and receivers are sandboxed WebAssembly plugins, swapped while it runs.
//!
//! `ARCHITECTURE.md` beside this crate has the nouns, the way of the data and where to begin reading.

pub mod acceptance;
pub mod bodies;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod config;
pub mod deliverer;
pub mod dispatcher;
pub mod finishing;
pub mod host;
pub mod invocation;
mod lock;
pub mod mail;
pub mod metrics;
pub mod model;
pub mod notices;
pub mod pace;
pub mod plugin;
pub mod reception;
pub mod rehearsal;
pub mod replay;
pub mod server;
pub mod services;
pub mod store;
pub mod traces;
pub mod transport;
pub mod turns;
pub mod watched;
pub mod window;
