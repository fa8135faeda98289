//! Lines for the attempt's or the call's record, shown to the admin who looks at it.
//!
//! Beyond the host's log limit lines are counted, not kept. Natively they go to standard error.
//!
//! ```
//! use hookwright_guest::log;
//!
//! log::info("three features changed");
//! log::warn(format_args!("{} of {} items have no title", 2, 5));
//! ```

use std::fmt::Display;

use crate::imports::log::{Level, write};

/// For whoever develops the plugin.
pub fn debug(text: impl Display) {
    write(Level::Debug, &text.to_string());
}

/// What happened.
pub fn info(text: impl Display) {
    write(Level::Info, &text.to_string());
}

/// What an admin may want to look at.
pub fn warn(text: impl Display) {
    write(Level::Warn, &text.to_string());
}

/// What went wrong.
pub fn error(text: impl Display) {
    write(Level::Error, &text.to_string());
}
