//! `hookwright plugin log`: shows what a plugin wrote for deliveries and calls.

use std::{collections::BTreeSet, process::ExitCode, time::Duration};

use anyhow::Context;
use clap::Args;
use http::Method;
use serde_json::Value;

use super::name;
use crate::cli::{
    at::{At, segment},
    client::Api,
    output::{self, cell, time},
};

/// Time between two polls while a log is followed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Entries that were shown and are remembered while a log is followed. Older entries do not come back.
const SHOWN_MAX: usize = 10_000;

/// Show what a plugin wrote: the last deliveries and calls it served, with their logs and failures.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hookwright plugin log slack\n  hookwright plugin log slack --last 5 --follow\n\n\
    Looks at the webhooks and receivers that use the plugin now. A call that wrote nothing and did not fail is left out.")]
pub struct Log {
    /// The plugin's name.
    #[arg(value_parser = name::parse)]
    name: String,
    /// How many of the newest deliveries and calls to look at, for each webhook and receiver.
    #[arg(long, default_value = "20", value_parser = clap::value_parser!(u16).range(1..=500))]
    last: u16,
    /// Go on with new entries; Ctrl-C ends.
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    at: At,
}

/// The log of one delivery or call.
struct Entry {
    /// The time, by which entries are sorted.
    at: String,
    /// Identifies the entry, so that it is shown only once.
    key: String,
    document: Value,
    text: String,
}

impl Log {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let api = self.at.open()?;
        let mut shown = BTreeSet::new();
        loop {
            let mut entries = self.entries(&api).await?;
            entries.sort_by(|a, b| (&a.at, &a.key).cmp(&(&b.at, &b.key)));
            for entry in entries {
                if shown.insert(entry.key.clone()) {
                    let text = if self.at.json { entry.document.to_string() } else { entry.text };
                    output::print(&text)?;
                }
            }
            while shown.len() > SHOWN_MAX {
                shown.pop_first();
            }
            if !self.follow {
                return Ok(ExitCode::SUCCESS);
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                ended = tokio::signal::ctrl_c() => return ended.map(|()| ExitCode::SUCCESS).context("waiting for Ctrl-C"),
            }
        }
    }

    async fn entries(&self, api: &Api) -> anyhow::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let last = self.last;
        for webhook in users(api, "/v1/webhooks", |webhook| is_named(&webhook["transform"], &self.name)).await? {
            let page = get(api, &format!("/v1/deliveries?limit={last}&webhook={}", segment(&webhook))).await?;
            for delivery in page["data"].as_array().into_iter().flatten() {
                let id = cell(delivery, "/id");
                let whole = get(api, &format!("/v1/deliveries/{}", segment(&id))).await?;
                let attempts = whole["attempt_log"].as_array().into_iter().flatten();
                entries.extend(attempts.filter(|attempt| attempt["plugin"]["name"] == *self.name).filter_map(|attempt| {
                    entry(
                        attempt,
                        format!("{id}/{}", cell(attempt, "/number")),
                        "/started_at",
                        &format!("{webhook}, {id}, attempt {}", cell(attempt, "/number")),
                    )
                }));
            }
        }
        let uses = |receiver: &Value| {
            let routes = receiver["routes"]["to"].as_object().into_iter().flat_map(serde_json::Map::values);
            is_named(&receiver["plugin"], &self.name) || routes.into_iter().any(|route| is_named(route, &self.name))
        };
        for receiver in users(api, "/v1/receivers", uses).await? {
            let page = get(api, &format!("/v1/calls?limit={last}&receiver={}", segment(&receiver))).await?;
            let calls = page["data"].as_array().into_iter().flatten().filter(|call| call["plugin"]["name"] == *self.name);
            entries.extend(
                calls.filter_map(|call| entry(call, cell(call, "/id"), "/received_at", &format!("{receiver}, {}", cell(call, "/id")))),
            );
        }
        Ok(entries)
    }
}

async fn get(api: &Api, path: &str) -> anyhow::Result<Value> {
    api.call(Method::GET, path, None).await
}

/// Names of the documents at `path` for which `uses` is true.
async fn users(api: &Api, path: &str, uses: impl Fn(&Value) -> bool) -> anyhow::Result<Vec<String>> {
    let list = get(api, &format!("{path}?limit=500")).await?;
    let data = list["data"].as_array().into_iter().flatten();
    Ok(data.filter(|document| uses(document)).map(|document| cell(document, "/name")).collect())
}

/// Whether a reference names this plugin. A reference is a name, or an object with a name.
fn is_named(reference: &Value, name: &str) -> bool {
    reference.as_str().or_else(|| reference["plugin"].as_str()) == Some(name)
}

fn entry(document: &Value, key: String, at: &str, what: &str) -> Option<Entry> {
    let lines = document["log"]["lines"].as_array().into_iter().flatten();
    let mut text: Vec<_> = lines.map(|line| format!("  {:<5} {}", cell(line, "/level"), cell(line, "/text"))).collect();
    if let Some(dropped) = document["log"]["dropped"].as_u64().filter(|dropped| *dropped > 0) {
        text.push(format!("  and {dropped} lines beyond the limit"));
    }
    if document["failure"].is_object() {
        text.push(format!("  failed: {}: {}", cell(document, "/failure/kind"), cell(document, "/failure/detail")));
    }
    if text.is_empty() {
        return None;
    }
    text.insert(0, format!("{} {what}", time(document, at)));
    Some(Entry { at: cell(document, at), key, document: document.clone(), text: text.join("\n") })
}
