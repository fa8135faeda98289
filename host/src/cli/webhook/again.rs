//! `hookwright webhook recover` and `replay`: sends failed deliveries again, and delivers past events.

use std::process::ExitCode;

use clap::Args;
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::named::{Named, path};
use crate::cli::progress;

/// Which deliveries to recover.
#[derive(Debug, Args)]
pub struct Recover {
    #[command(flatten)]
    named: Named,
    /// Deliveries created at or after this time (RFC 3339).
    #[arg(long)]
    since: Timestamp,
}

/// Which events to replay.
#[derive(Debug, Args)]
pub struct Replay {
    #[command(flatten)]
    named: Named,
    /// Events accepted at or after this time (RFC 3339) [default: from the oldest that is kept].
    #[arg(long)]
    since: Option<Timestamp>,
    /// Events accepted before this time [default: up to the newest].
    #[arg(long)]
    until: Option<Timestamp>,
    /// The version of the webhook's plugin that builds the requests [default: the version that the webhook names].
    #[arg(long)]
    version: Option<u32>,
}

impl Recover {
    /// Sends failed and cancelled deliveries again.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let Named { name, at } = self.named;
        let body = json!({ "since": self.since });
        let (api, path) = (at.open()?, format!("{}/recover", path(&name)));
        let answer = progress::during(format!("{name}: recovered"), api.call(Method::POST, &path, Some(&body))).await?;
        at.show(&answer, |answer| format!("{} deliveries of {name} are pending again", answer["recovered"]))
    }
}

impl Replay {
    /// Delivers past events. The requests are repeated until the replay has finished.
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
