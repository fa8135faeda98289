//! `hookwright webhook recover` and `replay`: what failed once more, and the past for whom it is new.

use std::process::ExitCode;

use clap::Args;
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::named::{Named, path};
use crate::cli::progress;

/// What to recover.
#[derive(Debug, Args)]
pub struct Recover {
    #[command(flatten)]
    named: Named,
    /// Deliveries owed at or after this time (RFC 3339).
    #[arg(long)]
    since: Timestamp,
}

/// What to replay.
#[derive(Debug, Args)]
pub struct Replay {
    #[command(flatten)]
    named: Named,
    /// Events accepted at or after this time (RFC 3339) [default: from the oldest kept].
    #[arg(long)]
    since: Option<Timestamp>,
    /// Events accepted before this time [default: up to the newest].
    #[arg(long)]
    until: Option<Timestamp>,
    /// The version of its plugin that builds the requests [default: what the webhook says].
    #[arg(long)]
    version: Option<u32>,
}

impl Recover {
    /// Sends again what failed or was cancelled.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let Named { name, at } = self.named;
        let body = json!({ "since": self.since });
        let (api, path) = (at.open()?, format!("{}/recover", path(&name)));
        let answer = progress::during(format!("{name}: recovered"), api.call(Method::POST, &path, Some(&body))).await?;
        at.show(&answer, |answer| format!("{} deliveries of {name} are pending again", answer["recovered"]))
    }
}

impl Replay {
    /// Delivers past events, part by part until all are made.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let Self { named: Named { name, at }, since, until, version } = self;
        let api = at.open()?;
        let line = progress::waiting(format!("{name}: replayed"));
        let (mut deliveries, mut after) = (0, Value::Null);
        loop {
            let body = json!({ "since": since, "until": until, "version": version, "after": after });
            let answer = api.call(Method::POST, &format!("{}/replay", path(&name)), Some(&body)).await?;
            deliveries += answer["deliveries"].as_u64().unwrap_or(0);
            after = answer["next"].clone();
            line.set_message(format!("{name}: {deliveries} deliveries so far"));
            if after.is_null() {
                break;
            }
        }
        line.finish_and_clear();
        at.show(&json!({ "deliveries": deliveries }), |_| format!("{deliveries} deliveries of {name} were made of past events"))
    }
}
