//! `hookwright key`: the storage key, which everything in the store is sealed with.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Args, Subcommand};

use super::progress::{count, counting};
use crate::store::{StorageKey, rotate};

/// The storage key: what everything in the store is sealed with.
#[derive(Debug, Subcommand)]
pub enum Key {
    /// Seal everything with another key; no host may have the directory open.
    Rotate(Rotate),
}

/// What it works on.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hookwright key rotate --data ./data\n  \
    hookwright key rotate --data ./data --key-file /etc/hookwright/key --new-key-file /etc/hookwright/key-2\n\n\
    Without key files the new key is made, and takes the place of DATA/key; the old one is kept as DATA/key.previous: backups that\n\
    were taken before need it. Keep it with them, then delete it here.")]
pub struct Rotate {
    /// Data directory.
    #[arg(long, env = "HOOKWRIGHT_DATA", default_value = "data")]
    data: PathBuf,
    /// File with the key that holds now [default: DATA/key].
    #[arg(long, env = "HOOKWRIGHT_KEY_FILE", requires = "new_key_file")]
    key_file: Option<PathBuf>,
    /// File with the new key, 64 hexadecimal digits, as from `openssl rand -hex 32` [default: a new one in DATA/key].
    #[arg(long, requires = "key_file")]
    new_key_file: Option<PathBuf>,
}

impl Key {
    /// Runs the subcommand.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Rotate(rotate) => rotate.run(),
        }
    }
}

impl Rotate {
    fn run(self) -> anyhow::Result<ExitCode> {
        let Self { data, key_file, new_key_file } = self;
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
        println!(
            "{} versions of secrets and {} codes are sealed with the new key, and all {} records.",
            rotated.secrets, rotated.codes, rotated.records
        );
        match new_key_file {
            Some(file) => {
                println!("From now on the host starts with HOOKWRIGHT_KEY_FILE={}. Backups taken before need the old key.", file.display())
            }
            None => {
                let path = StorageKey::adopt_next(&data).context("the new key cannot take the old one's place")?;
                println!("The new key is {}: keep a copy of it. The old one is {}.", path.display(), data.join("key.previous").display());
                println!("Backups taken before need the old key: keep it with them, then delete it here.");
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
