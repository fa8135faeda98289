//! `hookwright plugin try` and `compare`: tries a version before it is used.

use std::{path::PathBuf, process::ExitCode};

use clap::{ArgGroup, Args};
use http::Method;
use serde_json::{Map, Value, json};

use super::{name, versions::Version};
use crate::cli::{
    at::{At, segment, with_query},
    input,
    output::{cell, facts, indented, is_there, pretty, short, table},
    progress,
};

/// Characters of a value in a table.
const VALUE_CHARS: usize = 40;

/// Try a plugin on one input. Nothing is sent or committed.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("material").required(true),
    after_help = "Examples:\n  hookwright plugin try greeting --event event.json\n  echo '{\"trigger\":\"user.created\",\"data\":{}}' | hookwright plugin try greeting --event - --version 3\n  \
    hookwright plugin try greeting --delivery dlv_0000000000021n8r2v0fwy0kv6g\n\n\
    The plugin sees a clock that stands still and always the same randomness. Exits with 1 when the plugin fails."
)]
pub struct TryOut {
    /// The plugin's name.
    #[arg(value_parser = name::parse)]
    name: String,
    /// A version's number, or `builtin` [default: the active version].
    #[arg(long)]
    version: Option<Version>,
    /// An event as JSON, `{"trigger","data"}`, or an array of them; `-` is standard input.
    #[arg(long, group = "material", value_name = "FILE")]
    event: Option<PathBuf>,
    /// The identifier of a past delivery.
    #[arg(long, group = "material", value_name = "ID")]
    delivery: Option<String>,
    /// A call as JSON, `{"method","query","headers","body"}`, for a receiver.
    #[arg(long, group = "material", value_name = "FILE")]
    invocation: Option<PathBuf>,
    /// The identifier of a past call.
    #[arg(long, group = "material", value_name = "ID")]
    call: Option<String>,
    /// A JSON object that is merged over the configuration.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A parameter of the session, as NAME=JSON or NAME=text.
    #[arg(long = "parameter", value_name = "NAME=VALUE")]
    parameters: Vec<input::Pair>,
    #[command(flatten)]
    at: At,
}

impl TryOut {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let mut body = Map::new();
        if let Some(file) = &self.event {
            let event = input::read_json(file)?;
            body.insert(if event.is_array() { "events" } else { "event" }.to_owned(), event);
        }
        if let Some(file) = &self.invocation {
            body.insert("invocation".to_owned(), input::read_json(file)?);
        }
        for (field, id) in [("delivery", &self.delivery), ("call", &self.call)] {
            if let Some(id) = id {
                body.insert(field.to_owned(), json!(id));
            }
        }
        if let Some(file) = &self.config {
            body.insert("config".to_owned(), input::read_json(file)?);
        }
        body.insert("parameters".to_owned(), input::object(&self.parameters).into());
        let version = self.version.map(|version| version.to_string());
        let path = with_query(&format!("/v1/plugins/{}/try", segment(&self.name)), [("version", version.as_deref())]);
        let (api, body) = (self.at.open()?, body.into());
        let tried = progress::during(format!("{}: tried", self.name), api.call(Method::POST, &path, Some(&body))).await?;
        let failed = is_there(&tried, "/failure");
        self.at.show(&tried, told)?;
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// The result of a try, as text for people.
pub fn told(tried: &Value) -> String {
    let milliseconds = tried["duration_us"].as_f64().unwrap_or_default() / 1000.0;
    let kibibytes = tried["memory_bytes"].as_u64().unwrap_or_default() / 1024;
    let version = match tried["plugin"]["version"].as_u64() {
        Some(version) => format!("version {version}"),
        None => "the one in the binary".to_owned(),
    };
    let mut text = facts(&[
        ("plugin", format!("{}, {version}", cell(tried, "/plugin/name"))),
        ("took", format!("{milliseconds:.2} ms, {kibibytes} KiB")),
    ]);
    let mut add = |title: &str, what: String| text.push_str(&format!("\n\n{title}\n{}", indented(&what, 2)));
    if is_there(tried, "/failure") {
        add("failed", format!("{}: {}", cell(tried, "/failure/kind"), cell(tried, "/failure/detail")));
    } else if is_there(tried, "/reply") {
        add("reply", pretty(&tried["reply"]));
    } else if is_there(tried, "/request") {
        add("request, before the webhook's template", pretty(&tried["request"]));
    } else {
        add("request", "none: nothing would be sent".to_owned());
    }
    let effects = &tried["effects"];
    if effects.as_object().is_some_and(|effects| effects.values().any(|list| list.as_array().is_some_and(|list| !list.is_empty()))) {
        add("would have done", pretty(effects));
    }
    let lines: Vec<_> = tried["log"]["lines"].as_array().into_iter().flatten().collect();
    if !lines.is_empty() {
        let lines: Vec<_> = lines.iter().map(|line| format!("{} {}", cell(line, "/level"), cell(line, "/text"))).collect();
        add("log", lines.join("\n"));
    }
    text
}

/// Show how the requests of the last deliveries would differ if another version were active. Nothing is sent.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hookwright plugin push greeting.js --stage && hookwright plugin compare greeting 4\n  \
    hookwright plugin compare greeting 4 --webhook welcome --last 20\n\nExits with 1 when something differs.")]
pub struct Compare {
    /// The plugin's name.
    #[arg(value_parser = name::parse)]
    name: String,
    /// The candidate: a version's number, or `builtin`.
    version: Version,
    /// The version to compare it with [default: the active one].
    #[arg(long, value_name = "VERSION")]
    against: Option<Version>,
    /// How many of the newest deliveries to build.
    #[arg(long, default_value = "100", value_parser = clap::value_parser!(u16).range(1..=500))]
    last: u16,
    /// Only deliveries of this webhook.
    #[arg(long)]
    webhook: Option<String>,
    #[command(flatten)]
    at: At,
}

impl Compare {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let against = self.against.map(Version::json);
        let body = json!({ "version": self.version.json(), "against": against, "last": self.last, "webhook": self.webhook });
        let path = format!("/v1/plugins/{}/compare", segment(&self.name));
        let api = self.at.open()?;
        let what = format!("{}: up to {} deliveries built by both", self.name, self.last);
        let compared = progress::during(what, api.call(Method::POST, &path, Some(&body))).await?;
        let differs = compared["different"].as_u64() != Some(0);
        self.at.show(&compared, compared_text)?;
        Ok(if differs { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn compared_text(compared: &Value) -> String {
    let count = |name: &str| compared[name].as_u64().unwrap_or_default();
    let mut text = format!("{} deliveries compared: {} alike, {} different", count("compared"), count("same"), count("different"));
    if count("skipped") > 0 {
        text.push_str(&format!("; {} left out: their events or their webhook are gone", count("skipped")));
    }
    if compared["is_cut_short"] == true {
        text.push_str("; time was up before all were looked at");
    }
    let mut rows = Vec::new();
    for one in compared["data"].as_array().into_iter().flatten() {
        let head = [cell(one, "/delivery"), cell(one, "/webhook")];
        if one["active"]["outcome"] != one["candidate"]["outcome"] {
            let said = |side: &str| {
                let detail = one[side]["detail"].as_str().map_or_else(String::new, |detail| format!(": {detail}"));
                short(&format!("{}{detail}", cell(&one[side], "/outcome")), VALUE_CHARS)
            };
            rows.push([head.to_vec(), vec!["outcome".to_owned(), said("active"), said("candidate")]].concat());
        }
        for difference in one["differences"].as_array().into_iter().flatten() {
            let said = |side: &str| short(&difference[side].to_string(), VALUE_CHARS);
            rows.push([head.to_vec(), vec![cell(difference, "/pointer"), said("active"), said("candidate")]].concat());
        }
    }
    if !rows.is_empty() {
        text.push_str("\n\n");
        text.push_str(&table(&["DELIVERY", "WEBHOOK", "WHERE", "ACTIVE", "CANDIDATE"], rows));
    }
    text
}
