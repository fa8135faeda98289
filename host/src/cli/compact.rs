//! `hookwright compact`: gives back disk space that the store no longer needs.

use std::process::ExitCode;

use clap::Args;
use indicatif::HumanBytes;
use serde_json::json;

use super::{
    maintain::{Place, Worker, through},
    progress::{count, counting},
    runtime::block_on,
};

/// Give back disk space that the store no longer needs. A running host also does that by itself.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  hookwright compact --data ./data\n  hookwright compact --url https://hooks.example.com --token-file ./admin-token --data ./none"
)]
pub struct Compact {
    #[command(flatten)]
    place: Place,
}

impl Compact {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let done = match self.place.worker()? {
            Worker::Here(offline) => {
                let line = counting("compact");
                let compacted = offline.compact(|records, bytes| count(&line, records, bytes));
                line.finish_and_clear();
                let compacted = compacted?;
                json!({ "state": "done", "before_bytes": compacted.before_bytes, "after_bytes": compacted.after_bytes,
                    "live_bytes": compacted.live_bytes })
            }
            Worker::Host { api, .. } => block_on(through(&api, "compact", "/v1/compact", None))?,
        };
        self.place.at.show(&done, |done| {
            let bytes = |name: &str| HumanBytes(done[name].as_u64().unwrap_or(0));
            format!("{} before, {} after; {} live in it", bytes("before_bytes"), bytes("after_bytes"), bytes("live_bytes"))
        })
    }
}
