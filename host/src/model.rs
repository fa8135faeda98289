//! What the engine computes with: pure data and pure functions.
//!
//! Nothing here is asynchronous, does I/O, reads a clock or draws a random number; times and randomness come as arguments.
//! Nothing here imports a module above it. Modules stand in the order the data travels.

pub(crate) mod ambient;
pub(crate) mod arcgis;
pub(crate) mod audit;
pub(crate) mod binding;
pub(crate) mod breaker;
pub(crate) mod call;
pub(crate) mod code;
pub(crate) mod cx;
pub(crate) mod deactivation;
pub(crate) mod delivery;
pub(crate) mod difference;
pub(crate) mod event;
pub(crate) mod filter;
pub(crate) mod function;
pub(crate) mod health;
pub(crate) mod id;
pub(crate) mod integration;
pub(crate) mod json;
pub(crate) mod line;
pub(crate) mod mail;
pub(crate) mod merge_patch;
pub(crate) mod oauth;
pub(crate) mod ordering;
pub(crate) mod outcome;
pub(crate) mod parameter;
pub mod plugin;
pub(crate) mod problem;
pub(crate) mod profile;
pub mod proxy;
pub(crate) mod receiver;
pub(crate) mod reference;
pub(crate) mod repeat;
pub(crate) mod request;
pub(crate) mod retry;
pub mod secret;
pub(crate) mod selector;
pub(crate) mod service;
pub(crate) mod shares;
pub mod signature;
pub(crate) mod success;
pub(crate) mod template;
pub(crate) mod token;
pub(crate) mod token_bucket;
pub(crate) mod trace;
pub mod trigger;
pub(crate) mod webhook;
