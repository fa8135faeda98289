//! System functions inside text an admin wrote: `$sys.func.ADD($session.params.size, 1)`, one in another as deep as it takes.
//!
//! Names and forms are Dialogflow CX's ("System functions"). Its pages leave much open; what is decided here stands where it is
//! applied, and once for all of them: an unset argument is an empty text, list or object where one of these is asked for, and a
//! failure where a number or a date is. No failure shows a value. Time and randomness come in with [`Ambient`].
//!
//! The file for each family holds the functions; `table` says what each takes and gives, `parse` reads them.

mod call;
mod condition;
mod date;
mod failure;
mod format;
mod kind;
mod language;
mod list;
mod logic;
mod number;
mod object;
mod parse;
mod table;
mod text;

pub use super::ambient::Ambient;
pub use call::Call;
pub use failure::FunctionFailure;

#[cfg(test)]
mod tests;
