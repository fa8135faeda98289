//! `hookwright serve`: the host.

use std::{collections::BTreeMap, io::IsTerminal, net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, anyhow};
use clap::Args;
use ipnet::IpNet;
use serde::Deserialize;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};

use crate::{
    clock::SystemClock,
    config::{
        Config, Limits, Smtp, SmtpTls,
        http::{HttpSettings, TlsFiles},
    },
    host::{Host, Sockets},
    model::{
        plugin::{
            limits::{PluginLimits, PluginLimitsSpec},
            rollback::RollbackRule,
        },
        proxy::{Proxies, ProxyRule, Resolve},
        secret::{Secret, SecretRef},
    },
    store::KeyOrigin,
};

/// Run the host.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hookwright serve --data ./data --listen 127.0.0.1:8400 --allow-network 127.0.0.0/8")]
pub struct Serve {
    /// Configuration file (TOML): `listen`, `admin_listen`, `[tls]`, `[http]`, `data`, `allow_networks`, `key_file`, `[[proxy]]`, `public_url`, `[bases]`, `[smtp]`, `[limits]`, `[plugin_defaults]`,
    /// `[plugin_maxima]`, `[plugin_rollback]`, `[retention]`.
    /// Environment and flags win over it.
    #[arg(long, env = "HOOKWRIGHT_CONFIG")]
    config: Option<PathBuf>,
    /// Data directory [default: ./data].
    #[arg(long, env = "HOOKWRIGHT_DATA")]
    data: Option<PathBuf>,
    /// Address to listen on [default: 127.0.0.1:8400].
    #[arg(long, env = "HOOKWRIGHT_LISTEN")]
    listen: Option<SocketAddr>,
    /// Address to listen on for administrators; then `listen` answers codes and how the host is, and nothing else [default: one for all].
    #[arg(long, env = "HOOKWRIGHT_ADMIN_LISTEN")]
    admin_listen: Option<SocketAddr>,
    /// Network the host may call besides public addresses, also by plain http; repeat, or separate by commas.
    #[arg(long = "allow-network", env = "HOOKWRIGHT_ALLOW_NETWORKS", value_delimiter = ',')]
    allow_networks: Vec<IpNet>,
    /// Proxy for every host, http://[USER:PASSWORD@]HOST:PORT, in place of the file's `[[proxy]]`; it is asked for addresses that were
    /// tested here. HTTP_PROXY and its like are not read.
    #[arg(long, env = "HOOKWRIGHT_PROXY", hide_env_values = true, value_name = "URL", value_parser = |text: &str| Ok::<_, String>(Secret::new(text)))]
    proxy: Option<Secret>,
    /// File with the storage key (64 hexadecimal digits) [default: DATA/key, made at the first start].
    #[arg(long, env = "HOOKWRIGHT_KEY_FILE")]
    key_file: Option<PathBuf>,
    /// Where callers find the host: scheme, host and port [default: as in the admin's own request].
    #[arg(long, env = "HOOKWRIGHT_PUBLIC_URL", value_name = "URL")]
    public_url: Option<String>,
    /// Path before /api/v1/webhook/CODE, and the environment it stands for: /123456/TEST1=test. With any of them codes are found at
    /// these alone; repeat, or separate by commas.
    #[arg(long = "base", env = "HOOKWRIGHT_BASES", value_name = "PATH[=ENVIRONMENT]", value_delimiter = ',')]
    bases: Vec<String>,
}

/// What the configuration file may say.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    listen: Option<SocketAddr>,
    admin_listen: Option<SocketAddr>,
    tls: Option<TlsFiles>,
    http: HttpSettings,
    data: Option<PathBuf>,
    allow_networks: Vec<IpNet>,
    key_file: Option<PathBuf>,
    proxy: Vec<FileProxy>,
    public_url: Option<String>,
    bases: BTreeMap<String, String>,
    smtp: Option<FileSmtp>,
    limits: FileLimits,
    /// What bounds a plugin for which no admin set something else.
    plugin_defaults: PluginLimitsSpec,
    /// What an admin may set at most.
    plugin_maxima: PluginLimitsSpec,
    /// When a new version of a plugin is rolled back by itself.
    plugin_rollback: RollbackRule,
    retention: FileRetention,
}

/// `[[proxy]]`: the first whose hosts cover a host is its.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileProxy {
    /// It may hold a password.
    url: Secret,
    #[serde(default)]
    hosts: Vec<String>,
    #[serde(default)]
    resolve: Resolve,
}

impl FileProxy {
    fn rule(&self) -> anyhow::Result<ProxyRule> {
        Ok(ProxyRule::new(self.url.expose_str().unwrap_or_default(), &self.hosts, self.resolve)?)
    }
}

/// `[smtp]`: the server that sends mail.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileSmtp {
    host: String,
    port: Option<u16>,
    #[serde(default = "implicit")]
    tls: SmtpTls,
    ca_file: Option<PathBuf>,
    from: String,
    user: Option<String>,
    password: Option<SecretRef>,
}

fn implicit() -> SmtpTls {
    SmtpTls::Implicit
}

impl FileSmtp {
    fn read(self) -> anyhow::Result<Smtp> {
        let Self { host, port, tls, ca_file, from, user, password } = self;
        let certificates =
            |path: PathBuf| std::fs::read_to_string(&path).with_context(|| format!("`smtp.ca_file` {} cannot be read", path.display()));
        Ok(Smtp {
            port: port.unwrap_or(tls.port()),
            ca_certificates: ca_file.map(certificates).transpose()?,
            host,
            tls,
            from,
            user,
            password,
        })
    }
}

/// `[limits]`: each with its unit in its name.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct FileLimits {
    disk_free_bytes_min: Option<u64>,
    token_requests_per_minute_max: Option<u32>,
    drain_seconds_max: Option<u64>,
}

/// `[retention]`: how long, and how many of, what is over is kept.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct FileRetention {
    events_days: Option<u64>,
    calls_days: Option<u64>,
    count_max: Option<u64>,
    audit_days: Option<u64>,
    audit_count_max: Option<u64>,
}

impl File {
    /// Refuses limits of plugins that cannot be.
    fn check(&self) -> anyhow::Result<()> {
        // As many core instances as a component may have, and no more memory than its addresses reach.
        let most = PluginLimits { core_instances: PluginLimits::MAXIMUM.core_instances, memory_bytes: 1 << 32, ..PluginLimits::ENDLESS };
        let maxima = PluginLimits::MAXIMUM.with(&self.plugin_maxima);
        let found = [
            ("plugin_maxima", self.plugin_maxima.problems(&most)),
            ("plugin_defaults", self.plugin_defaults.problems(&maxima)),
            ("plugin_rollback", self.plugin_rollback.problems()),
        ];
        if let Some(problem) = self.http.problem() {
            return Err(anyhow!(problem));
        }
        for (table, problems) in found {
            if let Some(problem) = problems.first() {
                return Err(anyhow!("`{table}.{}`: {}", problem.pointer.trim_start_matches('/'), problem.detail));
            }
        }
        Ok(())
    }

    /// What it says of the limits, over what they are.
    fn limit(&self, limits: &mut Limits) {
        let days = |days: u64| Duration::from_secs(days.saturating_mul(24 * 3600));
        let FileLimits { disk_free_bytes_min, token_requests_per_minute_max, drain_seconds_max } = self.limits;
        limits.token_requests_per_minute_max = token_requests_per_minute_max.unwrap_or(limits.token_requests_per_minute_max);
        let FileRetention { events_days, calls_days, count_max, audit_days, audit_count_max } = self.retention;
        let retention = &mut limits.retention;
        retention.events = events_days.map_or(retention.events, days);
        retention.calls = calls_days.map_or(retention.calls, days);
        retention.count_max = count_max.unwrap_or(retention.count_max);
        retention.audit = audit_days.map_or(retention.audit, days);
        retention.audit_count_max = audit_count_max.unwrap_or(retention.audit_count_max);
        limits.http = self.http.clone();
        limits.plugin_maxima = PluginLimits::MAXIMUM.with(&self.plugin_maxima);
        limits.plugin_defaults = PluginLimits::DEFAULT.with(&self.plugin_defaults);
        limits.plugin_rollback = self.plugin_rollback;
        limits.disk_free_bytes_min = disk_free_bytes_min.unwrap_or(limits.disk_free_bytes_min);
        limits.drain_time_max = drain_seconds_max.map_or(limits.drain_time_max, Duration::from_secs);
    }
}

impl Serve {
    /// Runs until SIGTERM or SIGINT, then drains.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        log_to_stderr();
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
                // What was answered is on the disk; what was being sent is sent again.
                tracing::warn!("asked a second time: ending at once; what was in flight is tried again at the next start");
                std::process::exit(1);
            }
        }
    }

    async fn prepare(self) -> anyhow::Result<(Config, Sockets)> {
        let file = match &self.config {
            None => File::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| format!("the configuration {} cannot be read", path.display()))?;
                toml::from_str(&text).with_context(|| format!("the configuration {} is not valid", path.display()))?
            }
        };
        let listen = self.listen.or(file.listen).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8400)));
        let mut limits = Limits::default();
        file.check()?;
        file.limit(&mut limits);
        let mut config = Config::new(self.data.or(file.data).unwrap_or_else(|| PathBuf::from("data")), listen);
        config.allow_networks = if self.allow_networks.is_empty() { file.allow_networks } else { self.allow_networks };
        config.proxies = match &self.proxy {
            Some(url) => {
                let rule = ProxyRule::new(url.expose_str().unwrap_or_default(), &[], Resolve::Host);
                Proxies::new(vec![rule.context("--proxy (HOOKWRIGHT_PROXY) is not valid")?])
            }
            None => {
                let rule = |(at, written): (usize, &FileProxy)| {
                    written.rule().with_context(|| format!("[[proxy]] number {} is not valid", at + 1))
                };
                Proxies::new(file.proxy.iter().enumerate().map(rule).collect::<Result<_, _>>()?)
            }
        };
        config.key_file = self.key_file.or(file.key_file);
        config.smtp = file.smtp.map(FileSmtp::read).transpose()?;
        if let Some(url) = self.public_url.or(file.public_url) {
            config.bases.set_public_url(&url).map_err(|detail| anyhow!("`public_url`: {detail}"))?;
        }
        let flags = self.bases.iter().map(|base| base.split_once('=').unwrap_or((base, "")));
        let written = file.bases.iter().map(|(path, environment)| (path.as_str(), environment.as_str()));
        let bases: Vec<_> = if self.bases.is_empty() { written.collect() } else { flags.collect() };
        for (path, environment) in bases {
            config.bases.add(path, environment).map_err(|detail| anyhow!("`bases`: {detail}"))?;
        }
        config.limits = limits;
        config.warm_plugins = true;
        config.tls = file.tls;
        let bind = async |address: SocketAddr| {
            TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}; is another process there?"))
        };
        let admin = match self.admin_listen.or(file.admin_listen) {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        raise_descriptors();
        Ok((config, Sockets { listen: bind(listen).await?, admin }))
    }
}

/// As many descriptors as the system lets us have: each connection takes one.
fn raise_descriptors() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::warn!(%error, current = limit.current, "the number of open files cannot be raised");
    }
}

/// Structured logs on standard error: for people on a terminal, JSON elsewhere. `RUST_LOG` narrows them.
pub fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    // A log on a full disk is no reason to fail: reporting that it cannot be written would panic where it cannot be written.
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).log_internal_errors(false);
    // A second call (tests, the demo) keeps the first one's subscriber.
    drop(if std::io::stderr().is_terminal() { builder.try_init() } else { builder.json().try_init() });
}

/// Ends when the process is asked to stop.
pub async fn stop_signal() -> anyhow::Result<()> {
    StopSignals::new()?.next().await
}

/// Each time the process is asked to stop.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_on_the_first_page_is_read() {
        let page = include_str!("../../../README.md");
        let blocks = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("\n```").next());
        let files: Vec<File> = blocks.map(|block| toml::from_str(block).unwrap_or_else(|error| panic!("{error}: {block}"))).collect();
        let file = files.into_iter().find(|file| file.smtp.is_some()).expect("one with a mail server");
        assert_eq!(file.bases["/123456/TEST1"], "test1");
        let smtp = file.smtp.expect("a mail server").read().expect("settings");
        assert_eq!((smtp.port, smtp.tls, smtp.user.as_deref()), (465, SmtpTls::Implicit, Some("webhooks")));
        assert!(crate::mail::Mailer::new(smtp, Duration::from_secs(1)).is_ok());
        let unprotected = toml::from_str::<File>(
            "[smtp]\nhost = \"mail.example.com\"\ntls = \"none\"\nfrom = \"a@b.example\"\nuser = \"a\"\npassword = \"$secret:p\"",
        );
        let smtp = unprotected.expect("read").smtp.expect("a mail server").read().expect("settings");
        assert!(crate::mail::Mailer::new(smtp, Duration::from_secs(1)).is_err(), "a password in clear");
    }
}
