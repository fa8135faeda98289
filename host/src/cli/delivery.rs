//! `hookwright delivery`: lists deliveries, shows their attempts, resends and cancels them.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::Value;

use super::{
    at::{At, Page, segment},
    output::{cell, facts, indented, time},
    runtime::block_on,
    webhook::exchange,
};

/// Deliveries and their attempts.
#[derive(Debug, Subcommand)]
pub enum Delivery {
    /// List deliveries, newest first.
    List(List),
    /// Show a delivery with its attempts: requests, answers, logs.
    #[command(after_help = "Example:\n  hookwright delivery show dlv_00000000000jrb7dmdcqgyfmz8dhk")]
    Show(Named),
    /// Send a delivery once more. It keeps its identifier.
    #[command(after_help = "Example:\n  hookwright delivery resend dlv_00000000000jrb7dmdcqgyfmz8dhk")]
    Resend(Named),
    /// Cancel a delivery that is pending or waiting.
    #[command(after_help = "Example:\n  hookwright delivery cancel dlv_00000000000jrb7dmdcqgyfmz8dhk")]
    Cancel(Named),
}

/// Which deliveries to list.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  hookwright delivery list --state failed\n  hookwright delivery list --webhook chat --since 2026-01-31T08:00:00Z --limit 500"
)]
pub struct List {
    /// Only deliveries of this webhook.
    #[arg(long)]
    webhook: Option<String>,
    /// Only deliveries in this state.
    #[arg(long, value_parser = ["pending", "sending", "waiting", "delivered", "failed", "refused", "cancelled"])]
    state: Option<String>,
    /// Only deliveries of this event.
    #[arg(long)]
    event: Option<String>,
    /// Only deliveries created at or after this time, RFC 3339.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    #[command(flatten)]
    page: Page,
    #[command(flatten)]
    at: At,
}

/// A delivery on a host.
#[derive(Debug, Args)]
pub struct Named {
    /// The delivery's identifier, `dlv_...`.
    id: String,
    #[command(flatten)]
    at: At,
}

impl Delivery {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        block_on(async {
            match self {
                Self::List(list) => list.run().await,
                Self::Show(named) => {
                    let delivery = named.at.open()?.call(Method::GET, &named.path(), None).await?;
                    named.at.show(&delivery, shown)
                }
                Self::Resend(named) => named.change("resend").await,
                Self::Cancel(named) => named.change("cancel").await,
            }
        })
    }
}

impl Named {
    fn path(&self) -> String {
        format!("/v1/deliveries/{}", segment(&self.id))
    }

    async fn change(self, verb: &str) -> anyhow::Result<ExitCode> {
        let delivery = self.at.open()?.call(Method::POST, &format!("{}/{verb}", self.path()), None).await?;
        self.at.show(&delivery, |delivery| format!("{} is {}", self.id, cell(delivery, "/state")))
    }
}

impl List {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let filters = [("webhook", &self.webhook), ("state", &self.state), ("event", &self.event), ("since", &self.since)];
        let filters = filters.map(|(name, value)| (name, value.as_deref()));
        let list = self.page.fetch(&self.at.open()?, "/v1/deliveries", &filters).await?;
        self.at.show_list(&list, &["ID", "CREATED", "WEBHOOK", "STATE", "ATTEMPTS", "DUE", "EVENT"], |delivery| {
            let part = |at: &str| cell(delivery, at);
            let (created, due) = (time(delivery, "/created_at"), time(delivery, "/due_at"));
            vec![part("/id"), created, part("/webhook"), part("/state"), part("/attempts"), due, part("/event")]
        })
    }
}

fn shown(delivery: &Value) -> String {
    let head = facts(&[
        ("delivery", cell(delivery, "/id")),
        ("webhook", cell(delivery, "/webhook")),
        ("event", cell(delivery, "/event")),
        ("state", cell(delivery, "/state")),
        ("session", cell(delivery, "/session")),
        ("environment", cell(delivery, "/environment")),
        ("created", cell(delivery, "/created_at")),
        ("changed", cell(delivery, "/updated_at")),
        ("due", cell(delivery, "/due_at")),
    ]);
    let attempts = delivery["attempt_log"].as_array().into_iter().flatten().map(attempt);
    std::iter::once(head).chain(attempts).collect::<Vec<_>>().join("\n\n")
}

fn attempt(attempt: &Value) -> String {
    let stages = ["transform", "build", "send", "bind"].map(|stage| {
        let micros = attempt["stages"][format!("{stage}_us")].as_u64().unwrap_or(0);
        format!("{stage} {}.{} ms", micros / 1000, micros % 1000 / 100)
    });
    let message = |name: &str, shown: fn(&Value) -> String| if attempt[name].is_null() { String::new() } else { shown(&attempt[name]) };
    let facts = facts(&[
        ("took", stages.join(", ")),
        ("plugin", exchange::plugin(attempt)),
        ("request", message("request", exchange::request)),
        ("answer", message("answer", exchange::answer)),
        ("failure", exchange::failure(attempt)),
        ("not read", exchange::failure_at(attempt, "binding_failure")),
        ("set", cell(attempt, "/parameters")),
        ("output", cell(attempt, "/output")),
        ("unmatched", cell(attempt, "/unmatched")),
        ("not set", cell(attempt, "/unset")),
        (
            "rebuilt",
            if attempt["rebuilt"] == true {
                "after a crash, or for another origin: an endpoint may have seen it before".to_owned()
            } else {
                String::new()
            },
        ),
        ("log", exchange::log(&attempt["log"])),
    ]);
    format!("attempt {} at {}\n{}", cell(attempt, "/number"), cell(attempt, "/started_at"), indented(&facts, 2))
}
