//! Lines for events in lists.

use serde_json::Value;

use crate::cli::output::{cell, short, time};

/// One event on one line: its time, its identifier, its trigger and its data.
pub(super) fn line(event: &Value) -> String {
    let from = match source(event).as_str() {
        "-" => String::new(),
        source => format!(" from {source}"),
    };
    let session = event["session"].as_str().map_or_else(String::new, |session| format!(" in {session}"));
    let head = format!("{} {} {}{from}{session}", time(event, "/accepted_at"), cell(event, "/id"), cell(event, "/trigger"));
    format!("{}  {}", short(&head, 400), short(&event["data"].to_string(), 160))
}

/// The event's source; empty if the producer gave none.
pub(super) fn source(event: &Value) -> String {
    let source = cell(event, "/source");
    if source.is_empty() { "-".to_owned() } else { source }
}

pub(super) fn documents(list: &Value) -> std::slice::Iter<'_, Value> {
    list["data"].as_array().map(Vec::as_slice).unwrap_or_default().iter()
}
