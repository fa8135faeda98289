//! Text for people: aligned tables and facts.
//!
//! Much of the text comes from outside (an endpoint's answer, a caller's body). Control characters are shown but never sent to the
//! terminal.

use std::io::{ErrorKind, Write};

use comfy_table::{Table, presets};
use serde_json::Value;

/// Characters of free text in a table. The JSON output has all of it.
const TEXT_CHARS_MAX: usize = 60;

/// Prints a text and a line break. It is no error if nobody reads the output (`| head`).
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Indented JSON.
pub fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// A table with these column headings.
pub fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head);
    for row in rows {
        table.add_row(row.iter().map(|cell| one_line(cell)));
    }
    if table.row_count() == 0 {
        return "(none)".to_owned();
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// Names and values, one on each line. Names without a value are left out.
pub fn facts(facts: &[(&str, String)]) -> String {
    let told: Vec<_> = facts.iter().filter(|(_, value)| !value.is_empty() && value != "-").collect();
    let width = told.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let lines = told.iter().map(|(name, value)| format!("{name:width$}  {}", indented(&plain(value), width + 2).trim_start()));
    lines.collect::<Vec<_>>().join("\n")
}

/// A value of a document as a cell; `-` if it is absent.
pub fn cell(document: &Value, pointer: &str) -> String {
    match document.pointer(pointer) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(yes)) => if *yes { "yes" } else { "no" }.to_owned(),
        Some(Value::Array(items)) if items.is_empty() => "-".to_owned(),
        Some(Value::Array(items)) => {
            items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect::<Vec<_>>().join(", ")
        }
        Some(Value::Object(map)) if map.is_empty() => "-".to_owned(),
        Some(other) => other.to_string(),
    }
}

/// The beginning of a text in a document, as a cell.
pub fn text(document: &Value, pointer: &str) -> String {
    short(&cell(document, pointer), TEXT_CHARS_MAX)
}

/// A time without fractions of a second, which people do not need.
pub fn time(document: &Value, pointer: &str) -> String {
    let text = cell(document, pointer);
    match text.split_once('.') {
        Some((seconds, fraction)) if fraction.ends_with('Z') => format!("{seconds}Z"),
        _ => text,
    }
}

/// Whether the document has a value at this pointer.
pub fn is_there(document: &Value, pointer: &str) -> bool {
    cell(document, pointer) != "-"
}

/// Indents every line by this number of spaces.
pub fn indented(text: &str, spaces: usize) -> String {
    let before = " ".repeat(spaces);
    let lines = text.lines().map(|line| if line.is_empty() { String::new() } else { format!("{before}{line}") });
    lines.collect::<Vec<_>>().join("\n")
}

fn one_line(text: &str) -> String {
    plain(text).replace(['\n', '\t'], " ")
}

/// The beginning of a text, on one line.
pub fn short(text: &str, chars: usize) -> String {
    let text = one_line(text);
    if text.chars().count() <= chars { text } else { text.chars().take(chars.saturating_sub(1)).chain(['…']).collect() }
}

/// A text in which control characters are replaced, so that they cannot affect the terminal.
pub fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_control() && char != '\n' && char != '\t' { shown.extend(char.escape_unicode()) } else { shown.push(char) }
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tables_are_aligned_and_have_no_blanks_at_the_end() {
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["longer é".to_owned(), "2".to_owned()]];
        assert_eq!(table(&["NAME", "N"], rows), "NAME      N\na         1\nlonger é  2");
        assert_eq!(table(&["NAME"], []), "(none)");
    }

    #[test]
    fn facts_are_aligned_and_leave_out_what_is_absent() {
        let text = facts(&[("id", "x".into()), ("session", "-".into()), ("body", "a\nb".into())]);
        assert_eq!(text, "id    x\nbody  a\n      b");
    }

    #[test]
    fn what_came_from_outside_cannot_steer_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\rc\nd"), "a\\u{1b}[2Jb\\u{d}c\nd");
        assert_eq!(short("one\ntwo three", 8), "one two…");
    }

    #[test]
    fn cells_are_short() {
        let document = json!({ "a": ["x", "y"], "b": {}, "c": {"d": 1}, "e": true, "t": "2026-01-02T03:04:05.678Z" });
        let cells: Vec<_> = ["/a", "/b", "/c", "/e", "/f"].iter().map(|at| cell(&document, at)).collect();
        assert_eq!(cells, ["x, y", "-", r#"{"d":1}"#, "yes", "-"]);
        assert_eq!(time(&document, "/t"), "2026-01-02T03:04:05Z");
    }
}
