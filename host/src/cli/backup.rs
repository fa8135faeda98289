//! `hookwright backup`: copies everything a store holds into a directory.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use serde_json::{Value, json};

use super::{
    maintain::{Place, Worker, through},
    output::{cell, time},
    progress::{amount, count, counting},
    runtime::block_on,
};
use crate::{
    clock::{Clock, SystemClock},
    store::Note,
};

/// Take a backup. The host may keep running.
#[derive(Debug, Args)]
#[command(
    after_help = "The storage key (DATA/key, or HOOKWRIGHT_KEY_FILE) is not in a backup: keep a copy of it elsewhere.\n\nExample:\n  hookwright backup --data ./data --to /var/backups/hookwright/2026-01-31"
)]
pub struct Backup {
    /// The target: a directory that does not exist or is empty. For a host on another machine: a name below its setting `backup_dir`.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    #[command(flatten)]
    place: Place,
}

impl Backup {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let to = std::path::absolute(&self.to)?;
        let taken = match self.place.worker()? {
            Worker::Here(offline) => {
                let line = counting("backup");
                let mut copied = (0, 0);
                let manifest = offline.backup(&to, SystemClock.now(), |records, bytes| {
                    copied = (records, bytes);
                    count(&line, records, bytes);
                });
                line.finish_and_clear();
                let manifest = manifest?;
                json!({ "state": "done", "records": copied.0, "bytes": copied.1, "taken_at": manifest.taken_at, "seq": manifest.seq,
                    "plugins": manifest.plugins.len() })
            }
            Worker::Host { api, is_here: true } => {
                let note = Note::leave(self.place.data(), &to)?;
                block_on(through(&api, "backup", "/v1/backup", Some(&json!({ "note": note.name() }))))?
            }
            Worker::Host { api, is_here: false } => {
                block_on(through(&api, "backup", "/v1/backup", Some(&json!({ "directory": self.to }))))?
            }
        };
        self.place.at.show(&taken, |taken| said(taken, &to.display().to_string()))
    }
}

fn said(taken: &Value, to: &str) -> String {
    let number = |name: &str| taken[name].as_u64().unwrap_or(0);
    format!(
        "{to}: {}, {} plugins, as of {} (event {})\nThe storage key is not in it: keep a copy of it elsewhere. Without it the backup cannot be read.",
        amount(number("records"), number("bytes")),
        cell(taken, "/plugins"),
        time(taken, "/taken_at"),
        cell(taken, "/seq"),
    )
}
