//! What wasmtime says of a call that broke off -> what we call it.

use wasmtime::{Trap, WasmBacktrace, component::ResourceTableError};

use super::{
    guest::Guest,
    limits::{OUTPUT_SLACK_BYTES, as_size},
};
use crate::model::plugin::{
    GuestLog, PluginFailure,
    limits::{Limit, PluginLimits},
};

/// Frames of a guest's backtrace that are kept.
const FRAMES_MAX: usize = 6;
/// Functions between a panic and the trap it ends in.
const PANIC_MACHINERY: [&str; 6] =
    ["abort", "rust_panic", "_start_panic", "panicking::", "rust_begin_unwind", "__rust_end_short_backtrace"];
/// Bytes of a guest's panic message that are kept.
const PANIC_BYTES_MAX: usize = 1024;
/// What wasmtime says when a guest hands over more than `Store::set_hostcall_fuel`; the error has no public type.
const FUEL_EXHAUSTED: &str = "fuel allocated for hostcalls has been exhausted";
/// What wasmtime says when a component has more core instances than the store may hold; likewise.
const TOO_MANY_INSTANCES: &str = "instance count too high";
/// What wasmtime says when a guest holds more handles than `Store::set_max_component_handles`; likewise.
const TOO_MANY_HANDLES: &str = "store handle limit exceeded";

/// The name of what broke a call off, by what the host remembers first and by what wasmtime says last.
pub(in crate::plugin) fn name(error: &wasmtime::Error, guest: &mut Guest, log: &GuestLog) -> PluginFailure {
    if let Some(ended) = guest.ended.take() {
        return ended;
    }
    let says = |text: &str| error.chain().any(|cause| cause.to_string().contains(text));
    let is_full = || error.chain().any(|cause| matches!(cause.downcast_ref(), Some(ResourceTableError::Full)));
    let breached = match guest.quota.denied {
        Some(denied) => Some(denied),
        None if says(FUEL_EXHAUSTED) => Some(Limit::OutputBytes),
        None if says(TOO_MANY_INSTANCES) => Some(Limit::CoreInstances),
        None if says(TOO_MANY_HANDLES) || is_full() => Some(Limit::Handles),
        None => None,
    };
    match breached {
        Some(limit) => PluginFailure::Limit(limit, guest.limits().get(limit)),
        None => PluginFailure::Trapped(describe(error, log)),
    }
}

/// How much a guest may hand over in one call of the host, or as a result: what its memory holds. What is kept of it has limits of its
/// own, which `imports` and `convert` look at; a line of log is cut, and a long text is encoded, without an end to the call.
pub(in crate::plugin) fn hostcall_fuel(limits: &PluginLimits) -> usize {
    as_size(limits.output_bytes.max(limits.memory_bytes)).saturating_add(OUTPUT_SLACK_BYTES)
}

/// Whether one function stands in a backtrace again and again.
fn recurses(frames: &[&str]) -> bool {
    frames.iter().any(|frame| frames.iter().filter(|other| *other == frame).count() >= 3)
}

/// A sentence for the author of the guest: the panic message if there is one, the trap, and where.
fn describe(error: &wasmtime::Error, log: &GuestLog) -> String {
    let mut text = panic_message(log).unwrap_or_default();
    if !text.is_empty() {
        text.push_str("; ");
    }
    let backtrace = error.downcast_ref::<WasmBacktrace>().map(ToString::to_string).unwrap_or_default();
    let frames = frames(&backtrace);
    match (error.downcast_ref::<Trap>(), error.downcast_ref::<wasmtime_wasi::I32Exit>()) {
        // A guest has a stack in its memory too, at the beginning of it: the frame that has no room there lies before the first byte.
        (Some(Trap::MemoryOutOfBounds), _) if recurses(&frames) => text.push_str("call stack exhausted: out of bounds memory access"),
        (Some(trap), _) => text.push_str(&trap.to_string()),
        (None, Some(exit)) => text.push_str(&format!("it exited with code {}", exit.0)),
        (None, None) => text.push_str(&error.root_cause().to_string()),
    }
    if !frames.is_empty() {
        text.push_str("; in ");
        text.push_str(&frames.join(" < "));
    }
    text
}

/// The guest's own functions in a backtrace as wasmtime writes it (which demangles): what a panic goes through is left out.
fn frames(backtrace: &str) -> Vec<&str> {
    let names: Vec<_> = backtrace.lines().filter_map(function).collect();
    let is_own = |name: &&&str| !PANIC_MACHINERY.iter().any(|machinery| name.contains(machinery));
    let own: Vec<_> = names.iter().filter(is_own).take(FRAMES_MAX).copied().collect();
    if own.is_empty() { names.into_iter().take(FRAMES_MAX).collect() } else { own }
}

/// `   3:    0x1234 - module!path::function` -> `path::function`.
fn function(line: &str) -> Option<&str> {
    let (_, named) = line.trim_start().split_once(" - ")?;
    Some(named.split_once('!').map_or(named, |(_module, name)| name))
}

/// What a Rust guest said as it panicked: the line with `panicked at` and the one after it.
fn panic_message(log: &GuestLog) -> Option<String> {
    let at = log.lines.iter().position(|line| line.text.contains("panicked at"))?;
    let mut text: String = log.lines[at..].iter().take(2).map(|line| line.text.trim()).collect::<Vec<_>>().join(" ");
    text.truncate(text.floor_char_boundary(PANIC_BYTES_MAX));
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plugin::{LogLevel, LogLine};

    #[test]
    fn a_panic_message_is_found_in_the_log() {
        let line = |text: &str| LogLine { level: LogLevel::Warn, text: text.to_owned() };
        let log = GuestLog { lines: vec![line("hello"), line("thread 'main' panicked at src/lib.rs:3:5:"), line("no stock")], dropped: 0 };
        assert_eq!(panic_message(&log).as_deref(), Some("thread 'main' panicked at src/lib.rs:3:5: no stock"));
    }

    #[test]
    fn a_function_that_calls_itself_is_seen_in_its_backtrace() {
        assert!(recurses(&["deeper", "deeper", "deeper"]));
        assert!(recurses(&["memcpy", "even", "odd", "even", "odd", "even"]));
        assert!(!recurses(&["memcpy", "copy", "copy", "apply"]) && !recurses(&[]));
    }

    #[test]
    fn a_backtrace_begins_with_the_guests_own_function() {
        let backtrace = "error while executing at wasm backtrace:\n    0:     0x1f - m!abort\n    1:   0x20 - m!core::panicking::panic_fmt\n    2:   0x3a - m!shop::price\n";
        assert_eq!(frames(backtrace), ["shop::price"]);
        assert_eq!(frames("    0:     0x1f - m!abort\n"), ["abort"]);
    }
}
