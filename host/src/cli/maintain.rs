//! What `backup` and `compact` share: they work on a data directory themselves if no host has it open, and otherwise ask the host over
//! its API.

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

/// Time between two questions to the host about its progress.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Which store: a data directory, or the host that has it open.
#[derive(Debug, Args)]
pub struct Place {
    /// Data directory. If a host has it open, or if it does not exist here, the host at --url is asked [default: ./data].
    #[arg(long, env = "HOOKWRIGHT_DATA")]
    data: Option<PathBuf>,
    /// The host, and how to show its answer.
    #[command(flatten)]
    pub at: At,
}

/// Who does the work.
pub enum Worker {
    /// This process.
    Here(Box<Offline>),
    /// A host.
    Host {
        api: Box<Api>,
        /// Whether the host has the data directory of this machine open.
        is_here: bool,
    },
}

impl Place {
    pub fn data(&self) -> &Path {
        self.data.as_deref().unwrap_or(Path::new("data"))
    }

    /// Finds out who can do the work.
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

/// Has the host do the work and shows its progress. Returns its last report.
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
