//! An event goes out: `acceptance` matches, commits and starts, or `dispatcher` finds what waits; then one attempt, of its `material`:
//! `building` makes the request, `deliverer` signs, sends, judges, binds and settles. `replay` makes deliveries of past events.

pub mod acceptance;
pub mod building;
pub mod deliverer;
pub mod dispatcher;
pub mod material;
pub mod plugin_call;
pub mod replay;
