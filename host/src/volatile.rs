//! What is kept in memory alone: a restart forgets it.

pub mod answering;
pub mod pace;
pub mod refusals;
pub mod tokens;
pub mod window;
