//! `hookwright serve`: runs the host.

use std::{io::IsTerminal, net::SocketAddr, process::ExitCode, sync::Arc};

use anyhow::Context;
use clap::Args;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};

use super::config::Configured;
use crate::{
    clock::SystemClock,
    config::{Config, LogFormat},
    host::{Host, Sockets},
    model::secret::Secret,
    store::KeyOrigin,
};

/// Run the host.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hookwright serve --data ./data --listen 127.0.0.1:8400 --allow-network 127.0.0.0/8
  hookwright serve --config /etc/hookwright.toml --set limits.drain_seconds_max=60

`hookwright config show` lists every setting with its unit, its bounds and what it is.")]
pub struct Serve {
    #[command(flatten)]
    configured: Configured,
}

impl Serve {
    /// Runs until SIGTERM or SIGINT, then drains.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let (config, sockets) = self.prepare().await?;
        let admin_token = std::env::var("HOOKWRIGHT_ADMIN_TOKEN").ok().filter(|token| !token.is_empty()).map(Secret::new);
        let data = config.data.clone();
        let host = Host::start_on(config, sockets, Arc::new(SystemClock), admin_token).await?;
        if let KeyOrigin::Generated(path) = &host.key_origin {
            tracing::warn!(key = %path.display(), "a storage key was made; keep a copy apart from backups, or set HOOKWRIGHT_KEY_FILE");
        }
        let scheme = if host.certificates.is_some() { "https" } else { "http" };
        println!("hookwright listens on {scheme}://{}", host.address);
        if let Some(address) = host.admin_address {
            println!("administrators are answered on {scheme}://{address}");
        }
        if let Some(token) = host.new_token.as_ref().and_then(Secret::expose_str) {
            println!("admin token (shown once, kept in {}): {token}", data.join("admin-token").display());
        }
        let mut signals = StopSignals::new()?;
        let mut hangups = signal(SignalKind::hangup())?;
        loop {
            tokio::select! {
                asked = signals.next() => {
                    asked?;
                    break;
                }
                Some(()) = hangups.recv() => match &host.certificates {
                    Some(certificates) => certificates.reload(),
                    None => tracing::info!("SIGHUP: there is no certificate to read again"),
                },
            }
        }
        tracing::info!("stopping: what is in flight ends first; a second signal ends it at once");
        tokio::select! {
            () = host.stop() => Ok(ExitCode::SUCCESS),
            asked_again = signals.next() => {
                asked_again?;
                // Everything that was answered is on disk, and deliveries that are being sent are sent again.
                tracing::warn!("asked a second time: ending at once; what was in flight is tried again at the next start");
                std::process::exit(1);
            }
        }
    }

    async fn prepare(self) -> anyhow::Result<(Config, Sockets)> {
        let config = self.configured.load()?.config;
        log_to_stderr(config.log_format);
        let bind = async |address: SocketAddr| {
            TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}; is another process there?"))
        };
        let listen = bind(config.listen).await?;
        let admin = match config.admin_listen {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        raise_descriptors();
        Ok((config, Sockets { listen, admin }))
    }
}

/// Raises the limit of file descriptors to the highest that the system allows. Each connection takes one.
fn raise_descriptors() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::warn!(%error, current = limit.current, "the number of open files cannot be raised");
    }
}

/// Writes logs to standard error. `RUST_LOG` filters them.
pub fn log_to_stderr(format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    // A full disk must not stop the host: by default, the failure to write a log line is reported to standard error, and that panics if
    // it fails too.
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).log_internal_errors(false);
    // If it is called again (by tests or the demo), the first subscriber stays.
    let is_text = match format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    drop(match is_text {
        // Colours only make sense on a terminal.
        true => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        false => builder.json().try_init(),
    });
}

/// Returns when the process is asked to stop.
pub async fn stop_signal() -> anyhow::Result<()> {
    StopSignals::new()?.next().await
}

/// Reports each request to stop the process.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> anyhow::Result<()> {
        tokio::select! {
            asked = self.terminate.recv() => asked,
            asked = self.interrupt.recv() => asked,
        }
        .context("no signal can arrive any more")
    }
}
