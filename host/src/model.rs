//! What the engine computes with: pure data and pure functions.
//!
//! Nothing here is asynchronous, does I/O, reads a clock or draws a random number; times and randomness come as arguments.
//! Nothing here imports a module above it. Modules stand in the order the data travels.

pub mod ambient;
pub mod arcgis;
pub mod audit;
pub mod binding;
pub mod breaker;
pub mod call;
pub mod code;
pub mod cx;
pub mod deactivation;
pub mod delivery;
pub mod difference;
pub mod event;
pub mod filter;
pub mod function;
pub mod health;
pub mod id;
pub mod integration;
pub mod json;
pub mod line;
pub mod mail;
pub mod merge_patch;
pub mod oauth;
pub mod ordering;
pub mod outcome;
pub mod parameter;
pub mod plugin;
pub mod problem;
pub mod profile;
pub mod proxy;
pub mod receiver;
pub mod reference;
pub mod repeat;
pub mod request;
pub mod retry;
pub mod secret;
pub mod selector;
pub mod service;
pub mod shares;
pub mod signature;
pub mod success;
pub mod template;
pub mod token;
pub mod token_bucket;
pub mod trace;
pub mod trigger;
pub mod webhook;
