//! Requests, answers and logs of attempts, as text for people.

use serde_json::Value;

use crate::cli::output::{cell, indented, plain};

/// A recorded request: its first line, its headers, its body.
pub fn request(request: &Value) -> String {
    let first = format!("{} {}", cell(request, "/method"), cell(request, "/url"));
    message(&first, request)
}

/// A recorded answer.
pub fn answer(answer: &Value) -> String {
    let rest = if answer["truncated"] == true { "\n(longer than what is kept)" } else { "" };
    format!("{}{rest}", message(&cell(answer, "/status"), answer))
}

fn message(first: &str, message: &Value) -> String {
    let headers = message["headers"].as_object().into_iter().flatten();
    let lines: Vec<String> = headers.map(|(name, value)| format!("{name}: {}", value.as_str().unwrap_or_default())).collect();
    let body = message["body"].as_str().unwrap_or_default();
    let body = if body.is_empty() { String::new() } else { format!("\n\n{body}") };
    plain(&format!("{}\n{}{body}", first.trim_end(), lines.join("\n"))).trim_end().to_owned()
}

/// A plugin's log.
pub fn log(log: &Value) -> String {
    let lines = log["lines"].as_array().into_iter().flatten();
    let mut shown: Vec<String> =
        lines.map(|line| format!("{:5} {}", cell(line, "/level"), indented(&cell(line, "/text"), 6).trim_start())).collect();
    if let Some(dropped) = log["dropped"].as_u64().filter(|dropped| *dropped > 0) {
        shown.push(format!("... and {dropped} more lines"));
    }
    shown.join("\n")
}

/// A failure: its kind and its sentence.
pub fn failure(document: &Value) -> String {
    failure_at(document, "failure")
}

/// The failure in the field with this name as text; empty without a failure.
pub fn failure_at(document: &Value, name: &str) -> String {
    match &document[name] {
        Value::Null => String::new(),
        failure => format!("{}: {}", cell(failure, "/kind"), cell(failure, "/detail")),
    }
}

/// The plugin and version that were used.
pub fn plugin(document: &Value) -> String {
    match &document["plugin"] {
        Value::Null => String::new(),
        plugin => {
            let version = plugin["version"].as_u64().map_or_else(|| "of the binary".to_owned(), |version| format!("version {version}"));
            let digest = cell(plugin, "/digest");
            format!("{} {version} ({})", cell(plugin, "/name"), digest.get(..19).unwrap_or(&digest))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_reads_like_http() {
        let recorded = json!({ "method": "POST", "url": "https://a.example/", "headers": {"content-type": "text/plain"}, "body": "x\u{1b}", "body_bytes": 2 });
        assert_eq!(request(&recorded), "POST https://a.example/\ncontent-type: text/plain\n\nx\\u{1b}");
    }

    #[test]
    fn a_log_says_what_it_left_out() {
        let recorded = json!({ "lines": [{"level": "info", "text": "a\nb"}], "dropped": 3 });
        assert_eq!(log(&recorded), "info  a\n      b\n... and 3 more lines");
    }
}
