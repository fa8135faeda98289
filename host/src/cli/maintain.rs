//! What `backup` and `compact` have in common: on a data directory no host has open they work themselves; otherwise the host does, asked
//! over its API.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use clap::Args;
use http::Method;
use serde_json::Value;

use super::{
    at::At,
    client::Api,
    progress::{count, counting},
};
use crate::store::{Offline, StoreError};

/// How often the host is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Which store: a directory, or the host that has it open.
#[derive(Debug, Args)]
pub struct Place {
    /// Data directory; when a host has it open, or when there is none here, the host at --url is asked [default: ./data].
    #[arg(long, env = "HOOKWRIGHT_DATA")]
    data: Option<PathBuf>,
    /// The host, and how its answer is shown.
    #[command(flatten)]
    pub at: At,
}

/// Who does the work.
pub enum Worker {
    /// We.
    Here(Box<Offline>),
    /// The host.
    Host {
        /// That one.
        api: Box<Api>,
        /// Whether its data directory is the one here.
        is_here: bool,
    },
}

impl Place {
    /// The data directory.
    pub fn data(&self) -> &Path {
        self.data.as_deref().unwrap_or(Path::new("data"))
    }

    /// Who can do it.
    pub fn worker(&self) -> anyhow::Result<Worker> {
        match Offline::open(self.data()) {
            Ok(offline) => Ok(Worker::Here(Box::new(offline))),
            Err(error @ (StoreError::Locked { .. } | StoreError::NoStore { .. })) => {
                let api = self.at.open_beside(self.data());
                let api = api.with_context(|| format!("{error}; the host that has it cannot be asked either"))?;
                Ok(Worker::Host { api: Box::new(api), is_here: matches!(error, StoreError::Locked { .. }) })
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Has the host do it, and tells how far it is; its last word.
pub async fn through(api: &Api, what: &str, path: &str, document: Option<&Value>) -> anyhow::Result<Value> {
    let line = counting(what);
    let mut shown = api.call(Method::POST, path, document).await?;
    while shown["state"] == "running" {
        let number = |name: &str| shown[name].as_u64().unwrap_or(0);
        count(&line, number("records"), number("bytes"));
        tokio::time::sleep(ASK_EVERY).await;
        shown = api.call(Method::GET, path, None).await?;
    }
    line.finish_and_clear();
    if shown["state"] == "done" {
        Ok(shown)
    } else {
        bail!("the host could not do it: {}", shown["detail"].as_str().unwrap_or("no reason given"))
    }
}
