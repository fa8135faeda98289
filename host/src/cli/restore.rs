//! `hookwright restore`: makes a data directory from a backup.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use serde_json::json;

use super::{output, progress};
use crate::store;

/// Make a data directory from a backup.
#[derive(Debug, Args)]
#[command(
    after_help = "Put the storage key back yourself, as DATA/key or with HOOKWRIGHT_KEY_FILE: it is not in a backup.\n\nExample:\n  hookwright restore --from /var/backups/hookwright/2026-01-31 --data ./data"
)]
pub struct Restore {
    /// The backup.
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// The data directory. It must not exist, or be empty except for `key`.
    #[arg(long, env = "HOOKWRIGHT_DATA")]
    data: PathBuf,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

impl Restore {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let bar = progress::bytes("restore");
        let restored = store::restore(&self.from, &self.data, |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        });
        bar.finish_and_clear();
        let manifest = restored?;
        if self.json {
            let done = json!({ "data": self.data, "taken_at": manifest.taken_at, "seq": manifest.seq, "plugins": manifest.plugins.len(),
                "has_key": self.data.join("key").exists() });
            output::print(&output::pretty(&done))?;
            return Ok(ExitCode::SUCCESS);
        }
        let data = self.data.display();
        let key = match self.data.join("key").exists() {
            true => format!("The storage key is {data}/key: if it is not the one of the backup, `serve` says so."),
            false => {
                format!("Put the storage key back, as {data}/key or with HOOKWRIGHT_KEY_FILE, before `hookwright serve --data {data}`.")
            }
        };
        output::print(&format!(
            "{data}: the store as of {} (event {}), {} plugins\n{key}\nWhat was delivered after that moment is delivered again.",
            manifest.taken_at,
            manifest.seq,
            manifest.plugins.len(),
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}
