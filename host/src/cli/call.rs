//! `hookwright call`: lists inbound calls, shows them and runs them again.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    at::{At, Page, segment},
    client::Api,
    output::{cell, facts, text, time},
    runtime::block_on,
    webhook::exchange,
};

/// Inbound calls and their outcomes.
#[derive(Debug, Subcommand)]
pub enum Call {
    /// List calls, newest first, including rejected ones.
    List(List),
    /// Show a call: the request, the verdict of the verification, the reply, the log.
    #[command(after_help = "Example:\n  hookwright call show cal_06h1h7gqv0zef9www3vn67kb84")]
    Show {
        /// The call's identifier, `cal_...`.
        id: String,
        /// The host to use.
        #[command(flatten)]
        at: At,
    },
    /// Run calls again that were answered 200 and whose `async` receiver failed for good.
    Rerun(Rerun),
}

/// Which calls to run again, and how.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  hookwright call rerun cal_06h1h7gqv0zef9www3vn67kb84\n  hookwright call rerun --receiver refresh --since 2026-11-24T08:00:00Z --dry-run"
)]
pub struct Rerun {
    /// The call's identifier, `cal_...`; or choose calls with `--receiver`.
    #[arg(required_unless_present = "receiver", conflicts_with = "receiver")]
    id: Option<String>,
    /// Run all calls of this receiver that failed for good.
    #[arg(long)]
    receiver: Option<String>,
    /// The state of the calls: `failed`, or `rejected`, which means rejected by the receiver's plugin.
    #[arg(long, value_parser = ["failed", "rejected"], default_value = "failed", conflicts_with = "id")]
    state: String,
    /// Only calls that came in at or after this time (RFC 3339).
    #[arg(long, conflicts_with = "id")]
    since: Option<Timestamp>,
    /// Only calls that came in before this time.
    #[arg(long, conflicts_with = "id")]
    until: Option<Timestamp>,
    /// The version of the receiver's plugin that runs them [default: the active one].
    #[arg(long)]
    version: Option<u32>,
    /// Only count the calls.
    #[arg(long, conflicts_with = "id")]
    dry_run: bool,
    #[command(flatten)]
    at: At,
}

/// Which calls to list.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hookwright call list --receiver refresh --state rejected")]
pub struct List {
    /// Only calls of this receiver.
    #[arg(long)]
    receiver: Option<String>,
    /// Only calls in this state.
    #[arg(long, value_parser = ["pending", "done", "rejected", "failed"])]
    state: Option<String>,
    #[command(flatten)]
    page: Page,
    #[command(flatten)]
    at: At,
}

impl Call {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        block_on(async {
            match self {
                Self::List(list) => list.run().await,
                Self::Rerun(rerun) => rerun.run().await,
                Self::Show { id, at } => {
                    let call = at.open()?.call(Method::GET, &format!("/v1/calls/{}", segment(&id)), None).await?;
                    at.show(&call, shown)
                }
            }
        })
    }
}

impl List {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let filters = [("receiver", self.receiver.as_deref()), ("state", self.state.as_deref())];
        let list = self.page.fetch(&self.at.open()?, "/v1/calls", &filters).await?;
        self.at.show_list(&list, &["ID", "RECEIVED", "RECEIVER", "CALLER", "METHOD", "STATE", "REPLY", "FAILURE"], |call| {
            let part = |at: &str| cell(call, at);
            let (received, failure) = (time(call, "/received_at"), text(call, "/failure/detail"));
            let method = part("/request/method");
            vec![part("/id"), received, part("/receiver"), part("/caller"), method, part("/state"), part("/reply/status"), failure]
        })
    }
}

impl Rerun {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let api = self.at.open()?;
        if let Some(id) = &self.id {
            let path = format!("/v1/calls/{}/rerun", segment(id));
            let call = api.call(Method::POST, &path, Some(&json!({ "version": self.version }))).await?;
            return self.at.show(&call, |_| format!("{id} waits to be run again"));
        }
        let (mut calls, mut skipped, mut reason, mut after) = (0, 0, Value::Null, Value::Null);
        loop {
            let part = self.part(&api, &after).await?;
            calls += part["calls"].as_u64().unwrap_or(0);
            skipped += part["skipped"].as_u64().unwrap_or(0);
            if reason.is_null() {
                reason = part["reason"].clone();
            }
            after = part["next"].clone();
            if after.is_null() {
                break;
            }
        }
        self.at.show(&json!({ "calls": calls, "skipped": skipped, "reason": reason, "dry_run": self.dry_run }), |_| {
            let what = if self.dry_run { "would be run again" } else { "wait to be run again" };
            match reason.as_str() {
                Some(reason) => format!("{calls} calls {what}; {skipped} are left out: {reason}"),
                None => format!("{calls} calls {what}"),
            }
        })
    }

    /// One part of a rerun of many calls.
    async fn part(&self, api: &Api, after: &Value) -> anyhow::Result<Value> {
        let Self { receiver, state, since, until, version, .. } = self;
        let body = json!({ "receiver": receiver, "state": state, "since": since, "until": until, "version": version, "after": after });
        if !self.dry_run {
            return api.call(Method::POST, "/v1/calls/rerun", Some(&body)).await;
        }
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in body.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
            query.append_pair(name, &value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
        api.call(Method::GET, &format!("/v1/calls/rerun?{}", query.finish()), None).await
    }
}

/// Shown in place of the body of a rejected call, whose body is not kept.
fn not_kept(call: &Value) -> String {
    let digest = &call["request"]["body_not_kept"];
    let (bytes, sha256) = (cell(digest, "/bytes"), cell(digest, "/sha256"));
    match (digest.is_null(), bytes.is_empty(), sha256.is_empty()) {
        (true, ..) => String::new(),
        (_, true, _) => "not kept, and not read".to_owned(),
        (_, _, true) => format!("{bytes} bytes were announced; not kept, and not read"),
        _ => format!("{bytes} bytes, not kept; SHA-256 {sha256}"),
    }
}

fn shown(call: &Value) -> String {
    let query = call["request"]["query"].as_array().into_iter().flatten();
    let query: Vec<String> = query.map(|pair| format!("{} = {}", cell(pair, "/0"), cell(pair, "/1"))).collect();
    let mut request = call["request"].clone();
    if let Some(path) = request.get("path").cloned() {
        request["url"] = path;
    }
    let head = facts(&[
        ("call", cell(call, "/id")),
        ("receiver", cell(call, "/receiver")),
        ("caller", format!("{} ({})", cell(call, "/caller"), cell(call, "/code_id"))),
        ("received", cell(call, "/received_at")),
        ("from", cell(call, "/request/remote_address")),
        ("state", cell(call, "/state")),
        ("verified", cell(call, "/verification")),
        ("failure", exchange::failure(call)),
        ("session", cell(call, "/session")),
        ("environment", cell(call, "/environment")),
        ("plugin", exchange::plugin(call)),
        ("events", cell(call, "/events")),
        ("query", query.join("\n")),
        ("parameters", cell(call, "/request/parameters")),
        ("body", not_kept(call)),
    ]);
    let parts = facts(&[
        ("request", exchange::request(&request)),
        ("reply", if call["reply"].is_null() { String::new() } else { exchange::answer(&call["reply"]) }),
        ("log", exchange::log(&call["log"])),
    ]);
    format!("{head}\n\n{parts}")
}
