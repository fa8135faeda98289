//! What all commands that use a host's API share: the choice of the host, paging, and how answers are shown.

use std::{path::Path, process::ExitCode};

use clap::Args;
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{
    client::{Api, Target},
    output,
};

/// The longest page that a host gives.
const PAGE_MAX: usize = 500;
/// Characters that are not percent-encoded in a segment of a path (RFC 3986, `unreserved`).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Which host to use, and how to show its answer.
#[derive(Debug, Args)]
pub struct At {
    #[command(flatten)]
    target: Target,
    /// Print the host's answer as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Which part of a list to show.
#[derive(Debug, Args)]
pub struct Page {
    /// The most entries to show, newest first where the order is by time.
    #[arg(long, default_value = "50", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Continue after the end of an earlier list.
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
}

impl At {
    pub fn open(&self) -> anyhow::Result<Api> {
        self.target.open()
    }

    /// The host that has the data directory `data` open. Unless another token is named, the one in that directory is used.
    pub fn open_beside(&self, data: &Path) -> anyhow::Result<Api> {
        self.target.open_beside(data)
    }

    /// Prints an answer: as JSON if that is wanted, otherwise as the text that `text` makes of it.
    pub fn show(&self, answer: &Value, text: impl FnOnce(&Value) -> String) -> anyhow::Result<ExitCode> {
        let shown = if self.json { output::pretty(answer) } else { text(answer) };
        output::print(&shown)?;
        Ok(ExitCode::SUCCESS)
    }

    /// Prints a list as a table with these columns.
    pub fn show_list(&self, list: &Value, head: &[&str], row: impl Fn(&Value) -> Vec<String>) -> anyhow::Result<ExitCode> {
        self.show(list, |list| {
            let rows = list["data"].as_array().into_iter().flatten().map(row);
            let mut text = output::table(head, rows);
            if let Some(next) = list["next"].as_str() {
                text.push_str(&format!("\nThere are more: --after {next}"));
            }
            text
        })
    }

    /// Deletes what is at `path`, and prints that.
    pub async fn delete(&self, path: &str, what: &str) -> anyhow::Result<ExitCode> {
        self.open()?.call(Method::DELETE, path, None).await?;
        self.show(&json!({ "deleted": what }), |_| format!("{what} is deleted"))
    }
}

impl Page {
    /// The list at `path`. Pages are fetched until there are enough entries.
    pub async fn fetch(&self, api: &Api, path: &str, filters: &[(&str, Option<&str>)]) -> anyhow::Result<Value> {
        let wanted = self.limit as usize;
        let mut data: Vec<Value> = Vec::new();
        let mut after = self.after.clone();
        loop {
            let limit = (wanted - data.len()).min(PAGE_MAX).to_string();
            let given = filters.iter().copied().chain([("limit", Some(&*limit)), ("after", after.as_deref())]);
            let mut page = api.call(Method::GET, &with_query(path, given), None).await?;
            let Value::Array(items) = page["data"].take() else { anyhow::bail!("the host answered no list at {path}") };
            data.extend(items);
            after = page["next"].as_str().map(str::to_owned);
            if after.is_none() || data.len() >= wanted {
                return Ok(json!({ "data": data, "next": after }));
            }
        }
    }
}

/// A text as one segment of a path. A session's name, for example, may contain slashes.
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// A path with those of the query parameters that have a value.
pub fn with_query<'a>(path: &str, parameters: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let query = query.finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_queries_are_encoded() {
        assert_eq!(segment("projects/a b/sessions/é"), "projects%2Fa%20b%2Fsessions%2F%C3%A9");
        assert_eq!(with_query("/v1/events", [("after", None), ("limit", Some("5"))]), "/v1/events?limit=5");
        assert_eq!(with_query("/v1/events", [("after", None)]), "/v1/events");
        assert_eq!(with_query("/x", [("since", Some("2026-01-01T00:00:00+01:00"))]), "/x?since=2026-01-01T00%3A00%3A00%2B01%3A00");
    }
}
