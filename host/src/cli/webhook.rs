//! `hookwright webhook`: outbound subscriptions.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use super::{
    at::{At, Page},
    input::{self, Data, Pair},
    output::{cell, facts, indented, pretty, text},
    runtime::block_on,
};
use crate::model::webhook::WebhookSpec;

pub mod again;
pub mod create;
pub mod exchange;
mod named;

use exchange::log;
use named::{Named, path};

/// Outbound subscriptions: which events are sent where, and how.
#[derive(Debug, Subcommand)]
pub enum Webhook {
    /// List the webhooks, sorted by name.
    #[command(after_help = "Example:\n  hookwright webhook list --limit 20")]
    List {
        /// The length of the list.
        #[command(flatten)]
        page: Page,
        /// The host to use.
        #[command(flatten)]
        at: At,
    },
    /// Show a webhook as JSON. With its URL revealed, it is what `apply` takes.
    #[command(after_help = "Example:\n  hookwright webhook show chat --reveal > chat.json")]
    Show {
        /// The webhook's name.
        name: String,
        /// Show the query values of URLs, which are redacted otherwise. Needs the scope `admin`.
        #[arg(long)]
        reveal: bool,
        /// The host to use.
        #[command(flatten)]
        at: At,
    },
    /// Create a webhook: where to send events, and which.
    Create(create::Create),
    /// Create or replace the webhooks in a file: one or several documents in JSON, TOML or YAML, each with its `name`.
    #[command(after_help = "Examples:\n  hookwright webhook apply -f chat.json\n  \
        echo '{\"name\":\"chat\",\"selectors\":[\"/items/share\"],\"request\":{\"url\":\"https://chat.example/in\"}}' | hookwright webhook apply -f -")]
    Apply {
        /// The file; - is standard input.
        #[arg(short, long)]
        file: PathBuf,
        /// The host to use.
        #[command(flatten)]
        at: At,
    },
    /// Run the whole pipeline of a webhook now: build, sign, send, bind.
    #[command(after_help = "Example:\n  hookwright webhook invoke stock --session s1 --param fruit=apple --param size=3\n\n\
        The exit code is 1 unless it was delivered.")]
    Invoke(With),
    /// Show the exact request that `invoke` would send. Nothing is sent, stored or bound.
    #[command(after_help = "Example:\n  hookwright webhook preview stock --param fruit=apple --param size=3")]
    Preview {
        /// The webhook, and its input.
        #[command(flatten)]
        with: With,
        /// Show the literal query values of URLs, which are redacted otherwise. Needs the scope `admin`; the audit log records it.
        #[arg(long)]
        reveal: bool,
    },
    /// Send a test: an invocation with the data `{"test":true}`.
    #[command(after_help = "Example:\n  hookwright webhook test chat")]
    Test(Named),
    /// Check whether a webhook's endpoint can be reached: bearer token, name, address policy, connection, TLS, an answer to a `HEAD`.
    #[command(after_help = "Example:\n  hookwright webhook check stock\n\nThe exit code is 1 unless every step went well.")]
    Check {
        /// The webhook's name.
        name: String,
        /// The environment whose overrides apply.
        #[arg(long)]
        environment: Option<String>,
        /// The host to use.
        #[command(flatten)]
        at: At,
    },
    /// Activate a webhook.
    #[command(after_help = "Example:\n  hookwright webhook activate chat")]
    Activate(Named),
    /// Deactivate a webhook. Its pending deliveries are cancelled; they can be resent.
    #[command(after_help = "Example:\n  hookwright webhook deactivate chat")]
    Deactivate(Named),
    /// Send deliveries of a webhook again that failed, were cancelled or could not be built.
    #[command(after_help = "Example:\n  hookwright webhook recover chat --since 2026-11-24T08:00:00Z")]
    Recover(again::Recover),
    /// Deliver past events to a webhook, because it is new or another version of its plugin is to build them.
    #[command(after_help = "Example:\n  hookwright webhook replay chat --since 2026-11-01T00:00:00Z --version 3")]
    Replay(again::Replay),
    /// Delete a webhook. Its pending deliveries are cancelled.
    #[command(after_help = "Example:\n  hookwright webhook delete chat")]
    Delete(Named),
}

/// A webhook, and the input it is run with.
#[derive(Debug, Args)]
pub struct With {
    /// The webhook's name.
    name: String,
    /// The session whose parameters are read and bound.
    #[arg(long)]
    session: Option<String>,
    /// A session parameter to set first: name=value. A value that is JSON is taken as JSON (`null` removes the parameter); repeat for
    /// more.
    #[arg(long = "param", value_name = "NAME=VALUE")]
    parameters: Vec<Pair>,
    /// The value of `$event.data`: JSON, @FILE, or - for standard input.
    #[arg(long)]
    data: Option<Data>,
    /// For Dialogflow (tag, text, language, intent, page, messages, payload): JSON, @FILE, or - for standard input.
    #[arg(long)]
    context: Option<Data>,
    /// The environment whose overrides apply.
    #[arg(long)]
    environment: Option<String>,
    #[command(flatten)]
    at: At,
}

impl Webhook {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        block_on(async {
            match self {
                Self::List { page, at } => list(page, at).await,
                Self::Show { name, reveal, at } => {
                    let query = if reveal { "?reveal=true" } else { "" };
                    let webhook = at.open()?.call(Method::GET, &format!("{}{query}", path(&name)), None).await?;
                    at.show(&webhook, pretty)
                }
                Self::Create(create) => create.run().await,
                Self::Apply { file, at } => input::apply::<WebhookSpec>(&at, "webhooks", &file).await,
                Self::Invoke(with) => with.invoke().await,
                Self::Preview { with, reveal } => with.preview(reveal).await,
                Self::Check { name, environment, at } => check(&at, &name, environment.as_deref()).await,
                Self::Test(Named { name, at }) => {
                    let answer = at.open()?.call(Method::POST, &format!("{}/test", path(&name)), None).await?;
                    ended(&at, &answer)
                }
                Self::Activate(named) => named.switch("activate", "active").await,
                Self::Deactivate(named) => named.switch("deactivate", "not active any more").await,
                Self::Recover(recover) => recover.run().await,
                Self::Replay(replay) => replay.run().await,
                Self::Delete(Named { name, at }) => at.delete(&path(&name), &format!("webhook {name}")).await,
            }
        })
    }
}

async fn list(page: Page, at: At) -> anyhow::Result<ExitCode> {
    let list = page.fetch(&at.open()?, "/v1/webhooks", &[]).await?;
    at.show_list(&list, &["NAME", "ACTIVE", "PROFILE", "SELECTORS", "TRANSFORM", "URL"], |webhook| {
        let transform = match webhook["transform"] {
            Value::Object(_) => cell(webhook, "/transform/plugin"),
            _ => cell(webhook, "/transform"),
        };
        let mut row: Vec<String> = ["/name", "/active", "/profile"].iter().map(|part| cell(webhook, part)).collect();
        row.extend([text(webhook, "/selectors"), transform, text(webhook, "/request/url")]);
        row
    })
}

impl With {
    async fn post(&self, verb: &str) -> anyhow::Result<Value> {
        let mut body = Map::new();
        let texts = [("session", &self.session), ("environment", &self.environment)];
        body.extend(texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), Value::from(text.clone()?)))));
        for (name, data) in [("data", &self.data), ("context", &self.context)] {
            if let Some(data) = data {
                body.insert(name.to_owned(), data.read()?);
            }
        }
        body.insert("parameters".to_owned(), input::object(&self.parameters).into());
        self.at.open()?.call(Method::POST, &format!("{}/{verb}", path(&self.name)), Some(&body.into())).await
    }

    async fn invoke(self) -> anyhow::Result<ExitCode> {
        ended(&self.at, &self.post("invoke").await?)
    }

    async fn preview(self, reveal: bool) -> anyhow::Result<ExitCode> {
        let answer = self.post(if reveal { "preview?reveal=true" } else { "preview" }).await?;
        self.at.show(&answer, |answer| {
            let sent = match &answer["request"] {
                Value::Null => "nothing would be sent".to_owned(),
                request => exchange::request(request),
            };
            let head = facts(&[
                ("plugin", exchange::plugin(answer)),
                ("failure", exchange::failure(answer)),
                ("not set", cell(answer, "/unset")),
                ("log", log(&answer["log"])),
            ]);
            if head.is_empty() { sent } else { format!("{head}\n\n{sent}") }
        })?;
        Ok(ExitCode::from(u8::from(!answer["failure"].is_null())))
    }
}

/// Prints the steps on the way to the endpoint.
async fn check(at: &At, name: &str, environment: Option<&str>) -> anyhow::Result<ExitCode> {
    let answer = at.open()?.call(Method::POST, &format!("{}/check", path(name)), Some(&json!({ "environment": environment }))).await?;
    at.show(&answer, |answer| {
        let steps = answer["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
        let line = |step: &Value| {
            let mark = if step["failure"].is_null() { "ok    " } else { "FAILED" };
            format!("{mark}  {:<11}  {}", cell(step, "/step"), cell(step, "/detail"))
        };
        steps.iter().map(line).collect::<Vec<_>>().join("\n")
    })?;
    Ok(ExitCode::from(u8::from(answer["reachable"] != json!(true))))
}

/// Prints the outcome of an invocation. It is a failure if it was not delivered, or if its answer could not be read.
fn ended(at: &At, answer: &Value) -> anyhow::Result<ExitCode> {
    at.show(answer, |answer| {
        let attempts = if answer["attempts"] == 1 { "attempt" } else { "attempts" };
        let state =
            format!("{} after {} {attempts}, {} ms", cell(answer, "/state"), cell(answer, "/attempts"), cell(answer, "/duration_ms"));
        let head = facts(&[
            ("delivery", cell(answer, "/delivery")),
            ("state", state),
            ("http", cell(answer, "/http_status")),
            ("failure", exchange::failure(answer)),
            ("error event", cell(answer, "/error_event")),
            ("unmatched", cell(answer, "/unmatched")),
            ("not set", cell(answer, "/unset")),
            ("output", cell(answer, "/output")),
        ]);
        let set = answer["parameters"].as_object().filter(|set| !set.is_empty());
        let set = set.map_or_else(String::new, |set| format!("\n\nset\n{}", indented(&super::session::shown(set), 2)));
        format!("{head}{set}")
    })?;
    Ok(ExitCode::from(u8::from(answer["state"] != json!("delivered") || !answer["failure"].is_null())))
}
