//! `hookwright bench`: measures how fast this build is on this machine, compared with a bare server in the same run.
//!
//! Load generator, host, store and endpoints share this process and its processors. Requests go over loopback on connections that stay
//! open. Every accepted event must arrive at its endpoint with a valid signature, or the run fails.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;

use self::load::Budget;
use super::{client::Api, endpoint::LOOPBACK, serve::log_to_stderr};
use crate::{
    clock::SystemClock,
    config::{Config, LogFormat},
    host::Host,
    plugin::builtin::BUILTINS,
};

mod arrivals;
mod load;
mod report;
pub mod sandbox;
mod stages;
mod table;

/// Measure accepting, delivering, answering and the sandbox, compared with a bare server in the same run.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  hookwright bench\n  hookwright bench --events 2000 --json\n  hookwright bench --only plugin --only script\n  hookwright bench --data /var/lib/hookwright-bench"
)]
pub struct Bench {
    /// Seconds for each measurement [default: 3].
    #[arg(long, conflicts_with = "events", value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: Option<u64>,
    /// Number of requests for each measurement, instead of a time.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    events: Option<u64>,
    /// Measure only parts whose name contains this, and the bare server; repeat for more.
    #[arg(long, value_name = "PART")]
    only: Vec<String>,
    /// Number of connections that are open at once.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1000))]
    connections: u16,
    /// Directory for the store, on the disk to measure; it is removed afterwards [default: the system's temporary directory].
    #[arg(long)]
    data: Option<PathBuf>,
    /// Print one JSON document instead of the table.
    #[arg(long)]
    json: bool,
}

impl Bench {
    /// Measures, prints the table, and returns the exit code of the process.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        if std::env::var_os("RUST_LOG").is_some() {
            log_to_stderr(LogFormat::Auto);
        }
        let budget = match self.events {
            Some(events) => Budget::Requests(events),
            None => Budget::Time(Duration::from_secs(self.seconds.unwrap_or(3))),
        };
        let parent = self.data.clone().unwrap_or_else(std::env::temp_dir);
        let directory = tempfile::Builder::new().prefix("hookwright-bench-").tempdir_in(&parent);
        let directory = directory.with_context(|| format!("no directory can be made in {}", parent.display()))?;
        let host = start(directory.path(), None).await?;
        let token = host.new_token.clone().context("the host made no admin token")?;
        let api = Api::new(format!("http://{}", host.address), token.clone());
        let bench = stages::Stages { host: &host, api: &api, token: &token, budget, connections: self.connections, only: &self.only };
        let measured = bench.run(parent).await;
        host.stop().await;
        let report = measured?;
        if self.json {
            table::print_json(&report)?
        } else {
            table::print(&report)
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Starts a host on a directory and waits until the plugins of the binary are ready. `compiler`: the executable that compiles plugins, if
/// not this one.
pub async fn start(data: &Path, compiler: Option<PathBuf>) -> anyhow::Result<Host> {
    let listener = TcpListener::bind(LOOPBACK).await.context("cannot listen on 127.0.0.1")?;
    let mut config = Config::new(data, listener.local_addr()?);
    config.compiler = compiler;
    config.allow_networks = vec!["127.0.0.0/8".parse()?];
    let host = Host::start(config, listener, Arc::new(SystemClock), None).await.context("the host did not start")?;
    host.services.plugins.warm(BUILTINS.iter().map(|builtin| builtin.name.to_owned())).await;
    Ok(host)
}
