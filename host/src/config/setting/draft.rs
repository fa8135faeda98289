//! What settings are written into, and what they must come to together.

use std::path::PathBuf;

use http::HeaderName;
use serde_json::Value;
use url::Url;

use crate::{
    config::{
        Config, Smtp, SmtpTls,
        http::TlsFiles,
        otlp::{HeaderSource, Otlp, read_headers},
    },
    model::{
        plugin::limits::{PluginLimits, PluginLimitsSpec},
        secret::SecretRef,
    },
};

/// What the host is called unless somebody says otherwise.
const SERVICE_NAME: &str = "hookwright";

/// Something that can be set.
pub struct Setting {
    /// Its key.
    pub key: String,
    /// What it counts; empty: it is no number.
    pub unit: &'static str,
    /// What it is, in a sentence.
    pub about: String,
    /// The least and the most, if it is a number.
    pub bounds: Option<(u64, Option<u64>)>,
    pub(super) form: Form,
    pub(super) write: Write,
    pub(super) read: Read,
}

pub(super) type Write = Box<dyn Fn(&mut Draft, &Value) -> Result<(), String> + Send + Sync>;
pub(super) type Read = Box<dyn Fn(&Draft) -> Value + Send + Sync>;

/// How text from the environment or the command line becomes a value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Number,
    Truth,
    Text,
    /// Divided by commas.
    List,
    /// `PATH=ENVIRONMENT`, divided by commas.
    Pairs,
    /// One URL for every host, or an array of rules in JSON.
    Rules,
}

/// What the settings are written into, one by one.
pub struct Draft {
    /// The part that needs nothing else to be known.
    pub config: Config,
    /// `[plugin_defaults]`.
    pub plugin_defaults: PluginLimitsSpec,
    /// `[plugin_maxima]`.
    pub plugin_maxima: PluginLimitsSpec,
    /// Rules as they were written, without what is secret in them.
    pub(super) proxies_shown: Vec<Value>,
    pub(super) smtp: SmtpDraft,
    pub(super) otlp: OtlpDraft,
    /// The certificates, and the key.
    pub(super) tls: (Option<PathBuf>, Option<PathBuf>),
}

#[derive(Default)]
pub(super) struct SmtpDraft {
    pub(super) host: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) tls: Option<SmtpTls>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) from: Option<String>,
    pub(super) user: Option<String>,
    pub(super) password: Option<SecretRef>,
}

/// What is written of the collector.
#[derive(Default)]
pub(super) struct OtlpDraft {
    pub(super) endpoint: Option<Url>,
    pub(super) headers: Vec<(HeaderName, SecretRef)>,
    pub(super) headers_file: Option<PathBuf>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) service_name: Option<String>,
    pub(super) sample_ratio: Option<f64>,
}

impl OtlpDraft {
    fn finish(self) -> Result<Option<Otlp>, (String, String)> {
        let Self { endpoint, headers, headers_file, ca_file, service_name, sample_ratio } = self;
        let is_any = !headers.is_empty() || headers_file.is_some() || ca_file.is_some() || service_name.is_some() || sample_ratio.is_some();
        let Some(endpoint) = endpoint else {
            let problem = "must be set where anything else of `otlp` is: the collector's URL, such as `http://127.0.0.1:4318`";
            return if is_any { Err(("otlp.endpoint".to_owned(), problem.to_owned())) } else { Ok(None) };
        };
        let mut all: Vec<_> = headers.into_iter().map(|(name, reference)| (name, HeaderSource::Stored(reference))).collect();
        if let Some(path) = headers_file {
            let read = read_file(&path).and_then(|text| read_headers(&text).map_err(|why| format!("{}: {why}", path.display())));
            all.extend(read.map_err(|why| ("otlp.headers_file".to_owned(), why))?);
        }
        if !all.is_empty() && endpoint.scheme() == "http" && !is_loopback(&endpoint) {
            let problem = "is plain `http`; `otlp.headers` are credentials and sent over `https`, or to this machine, alone";
            return Err(("otlp.endpoint".to_owned(), problem.to_owned()));
        }
        Ok(Some(Otlp {
            endpoint,
            headers: all,
            ca_certificates: ca_file.map(|path| read_file(&path)).transpose().map_err(|why| ("otlp.ca_file".to_owned(), why))?,
            service_name: service_name.unwrap_or_else(|| SERVICE_NAME.to_owned()),
            sample_ratio: sample_ratio.unwrap_or(1.0),
        }))
    }
}

impl Default for Draft {
    fn default() -> Self {
        let mut config = Config::new("data", ([127, 0, 0, 1], 8400).into());
        config.warm_plugins = true;
        Self {
            config,
            plugin_defaults: PluginLimitsSpec::default(),
            plugin_maxima: PluginLimitsSpec::default(),
            proxies_shown: Vec::new(),
            smtp: SmtpDraft::default(),
            otlp: OtlpDraft::default(),
            tls: (None, None),
        }
    }
}

impl Draft {
    /// The configuration, or what does not fit together, each with its key.
    pub fn finish(mut self) -> Result<Config, Vec<(String, String)>> {
        let mut problems = Vec::new();
        let limits = &mut self.config.limits;
        limits.plugin_maxima = PluginLimits::MAXIMUM.with(&self.plugin_maxima);
        limits.plugin_defaults = PluginLimits::DEFAULT.with(&self.plugin_defaults);
        let found = self.plugin_defaults.problems(&limits.plugin_maxima);
        problems
            .extend(found.into_iter().map(|found| (format!("plugin_defaults.{}", found.pointer.trim_start_matches('/')), found.detail)));
        match self.smtp.finish() {
            Ok(smtp) => self.config.smtp = smtp,
            Err(problem) => problems.push(problem),
        }
        match self.otlp.finish() {
            Ok(otlp) => self.config.otlp = otlp,
            Err(problem) => problems.push(problem),
        }
        match self.tls {
            (Some(certificate_file), Some(key_file)) => self.config.tls = Some(TlsFiles { certificate_file, key_file }),
            (None, None) => {}
            (certificates, _) => {
                let missing = if certificates.is_none() { "tls.certificate_file" } else { "tls.key_file" };
                problems.push((missing.to_owned(), "must be set: certificates and their key go together".to_owned()));
            }
        }
        if problems.is_empty() { Ok(self.config) } else { Err(problems) }
    }
}

impl SmtpDraft {
    fn finish(self) -> Result<Option<Smtp>, (String, String)> {
        let Self { host, port, tls, ca_file, from, user, password } = self;
        let is_any = port.is_some() || tls.is_some() || ca_file.is_some() || from.is_some() || user.is_some() || password.is_some();
        let Some(host) = host else {
            let problem =
                || ("smtp.host".to_owned(), "must be set where anything else of `smtp` is: the name of the mail server".to_owned());
            return if is_any { Err(problem()) } else { Ok(None) };
        };
        let Some(from) = from else {
            return Err((
                "smtp.from".to_owned(),
                "must be set: who mails are from, such as `Hookwright <webhooks@example.com>`".to_owned(),
            ));
        };
        let ca_certificates = ca_file.map(|path| read_file(&path)).transpose().map_err(|why| ("smtp.ca_file".to_owned(), why))?;
        let tls = tls.unwrap_or(SmtpTls::Implicit);
        Ok(Some(Smtp { host, port: port.unwrap_or(tls.port()), tls, ca_certificates, from, user, password }))
    }
}

pub(super) fn read_file(path: &std::path::Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
