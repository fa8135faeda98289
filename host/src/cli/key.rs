//! `hookwright key`: the storage key, with which the store is encrypted.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Args, Subcommand};

use serde_json::json;

use super::{
    output,
    progress::{count, counting},
};
use crate::store::{Rotated, StorageKey, rotate};

/// The storage key, with which the store is encrypted.
#[derive(Debug, Subcommand)]
pub enum Key {
    /// Encrypt the store with another key. No host may have the data directory open.
    Rotate(Rotate),
}

/// Which data directory and which keys.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hookwright key rotate --data ./data\n  \
    hookwright key rotate --data ./data --key-file /etc/hookwright/key --new-key-file /etc/hookwright/key-2\n\n\
    Without key files the new key is made, and takes the place of DATA/key; the old one is kept as DATA/key.previous: backups that\n\
    were taken before need it. Keep it with them, then delete it here. The store is written again next to the old one, so the disk needs\n\
    the room. If it is killed, the store opens with one of the two keys; start it again.")]
pub struct Rotate {
    /// Data directory.
    #[arg(long, env = "HOOKWRIGHT_DATA", default_value = "data")]
    data: PathBuf,
    /// File with the present key [default: DATA/key].
    #[arg(long, env = "HOOKWRIGHT_KEY_FILE", requires = "new_key_file")]
    key_file: Option<PathBuf>,
    /// File with the new key, 64 hexadecimal digits, as from `openssl rand -hex 32` [default: a new one in DATA/key].
    #[arg(long, requires = "key_file")]
    new_key_file: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

impl Key {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Rotate(rotate) => rotate.run(),
        }
    }
}

impl Rotate {
    fn run(self) -> anyhow::Result<ExitCode> {
        let Self { data, key_file, new_key_file, json } = self;
        anyhow::ensure!(data.join("store").is_dir(), "{} holds no store", data.display());
        let (old, _) = StorageKey::load(key_file.as_deref(), &data)?;
        let new = match &new_key_file {
            Some(file) => StorageKey::load(Some(file), &data)?.0,
            None => StorageKey::prepare_next(&data).context("the new key cannot be made")?,
        };
        let line = counting("key rotate");
        let rotated = rotate(&data, &old, &new, |records, bytes| count(&line, records, bytes));
        line.finish_and_clear();
        let rotated = rotated?;
        let (key, previous) = match &new_key_file {
            Some(file) => (file.clone(), None),
            None => {
                let path = StorageKey::adopt_next(&data).context("the new key cannot take the old one's place")?;
                (path, Some(data.join("key.previous")))
            }
        };
        let Rotated { secrets, codes, records } = rotated;
        if json {
            let done = json!({ "secrets": secrets, "codes": codes, "records": records, "key_file": key, "previous_key_file": previous });
            output::print(&output::pretty(&done))?;
            return Ok(ExitCode::SUCCESS);
        }
        let sealed = format!("{secrets} versions of secrets and {codes} codes are sealed with the new key, and all {records} records.");
        let key = key.display();
        output::print(&match previous {
            None => format!("{sealed}\nFrom now on the host starts with HOOKWRIGHT_KEY_FILE={key}. Backups taken before need the old key."),
            Some(previous) => format!(
                "{sealed}\nThe new key is {key}: keep a copy of it. The old one is {}.\n\
                 Backups taken before need the old key: keep it with them, then delete it here.",
                previous.display()
            ),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
