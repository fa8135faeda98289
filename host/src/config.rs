//! What was written -> what it means. [`limits`] is the table of what bounds the host, [`setting`] the one of everything that can be
//! set, [`load`] reads file, environment and flags by it.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use ipnet::IpNet;

use crate::model::{proxy::Proxies, secret::SecretRef};

mod bounded;
pub mod http;
pub mod limits;
pub mod load;
pub mod otlp;
pub mod setting;

pub use limits::{Limits, Retention};
pub use otlp::Otlp;

/// Everything the host is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where to listen for administrators; then `listen` answers codes and how the host is, and nothing else. Absent: one for all.
    pub admin_listen: Option<SocketAddr>,
    /// The certificate of the listeners; absent: they speak plain HTTP.
    pub tls: Option<http::TlsFiles>,
    /// The data directory.
    pub data: PathBuf,
    /// The directory below which `POST /v1/backup` may write; absent: nowhere.
    pub backup_dir: Option<PathBuf>,
    /// Networks the host may call besides public addresses, and by plain `http`.
    pub allow_networks: Vec<IpNet>,
    /// What stands between the host and whom it calls.
    pub proxies: Proxies,
    /// Where the storage key is read from; absent: `DATA/key`, made at the first start.
    pub key_file: Option<PathBuf>,
    /// The executable that compiles plugins as a child process (`hookwright compile`); absent: this one.
    pub compiler: Option<PathBuf>,
    /// Whether the active plugins are made ready in the background at the start, so that the first delivery after an upgrade waits
    /// for no compilation.
    pub warm_plugins: bool,
    /// Whether plugins' instructions are counted: for testing them.
    pub counts_instructions: bool,
    /// Where codes are called.
    pub bases: Bases,
    /// What sends mail; absent: none is sent.
    pub smtp: Option<Smtp>,
    /// Where traces are sent; absent: nothing is recorded.
    pub otlp: Option<Otlp>,
    /// Whether endpoints are told the trace a delivery belongs to.
    pub pass_trace_on: bool,
    /// How the log is written.
    pub log_format: LogFormat,
    /// The limits.
    pub limits: Limits,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people on a terminal, for machines elsewhere.
    #[default]
    Auto,
    /// For people.
    Text,
    /// An object in JSON in each line.
    Json,
}

/// One of `auto`, `text` and `json`.
impl std::str::FromStr for LogFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Auto, Self::Text, Self::Json].into_iter().find(|format| format.as_str() == text).ok_or(())
    }
}

impl LogFormat {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// Where codes are called: what stands before `/api/v1/webhook/CODE`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bases {
    /// Scheme, host and port callers use, as in `https://api.example.com`; absent: what the admin's own request was sent to.
    pub public_url: Option<String>,
    /// Paths, and the environment each stands for. None at all: any path will do, and stands for none.
    pub paths: BTreeMap<String, Option<String>>,
}

impl Bases {
    /// Adds `path`, which stands for `environment`. What is wrong with it, if it cannot be one.
    pub fn add(&mut self, path: &str, environment: &str) -> Result<(), String> {
        let path = path.trim_end_matches('/');
        let is_path = path.is_empty() || path.starts_with('/');
        if !is_path
            || !path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'%' | b'"'))
            || path.contains("//")
        {
            return Err(format!("`{path}` is no base: a path such as `/123456/TEST1`, or `/`"));
        }
        self.paths.insert(path.to_owned(), Some(environment.to_owned()).filter(|environment| !environment.is_empty()));
        Ok(())
    }

    /// Sets where callers find the host. What is wrong with it, if it cannot be that.
    pub fn set_public_url(&mut self, url: &str) -> Result<(), String> {
        let parsed = url::Url::parse(url).map_err(|error| format!("`{url}` is no URL: {error}"))?;
        if !matches!(parsed.scheme(), "http" | "https") || parsed.path() != "/" || parsed.query().is_some() {
            return Err(format!("`{url}` is scheme, host and port alone, such as `https://api.example.com`; paths are `bases`"));
        }
        self.public_url = Some(url.trim_end_matches('/').to_owned());
        Ok(())
    }

    /// What `path` stands for; `None`: it is not one of these.
    pub fn environment(&self, path: &str) -> Option<Option<String>> {
        if self.paths.is_empty() { Some(None) } else { self.paths.get(path).cloned() }
    }

    /// Every address of a code. `origin` is used where no public one is configured.
    pub fn urls(&self, origin: &str, code: &str) -> Vec<String> {
        let origin = self.public_url.as_deref().unwrap_or(origin);
        let url = |base: &str| format!("{origin}{base}/api/v1/webhook/{code}");
        if self.paths.is_empty() { vec![url("")] } else { self.paths.keys().map(|base| url(base)).collect() }
    }
}

/// What sends mail: the operator's server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smtp {
    /// Its name, which its certificate says too.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: SmtpTls,
    /// Certificate authorities in PEM to trust besides the usual ones.
    pub ca_certificates: Option<String>,
    /// Who mails are from, such as `Hookwright <webhooks@example.com>`.
    pub from: String,
    /// Who logs in; absent: nobody does.
    pub user: Option<String>,
    /// The secret with the user's password.
    pub password: Option<SecretRef>,
}

/// How the connection to a mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpTls {
    /// From the first byte on (RFC 8314; port 465).
    Implicit,
    /// From `STARTTLS` on, which the server must offer (RFC 3207; port 587).
    Starttls,
    /// Not at all: for a relay on the same machine or network.
    None,
}

/// One of `implicit`, `starttls` and `none`.
impl std::str::FromStr for SmtpTls {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Implicit, Self::Starttls, Self::None].into_iter().find(|tls| tls.as_str() == text).ok_or(())
    }
}

impl SmtpTls {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Implicit => "implicit",
            Self::Starttls => "starttls",
            Self::None => "none",
        }
    }

    /// The port it usually goes with.
    pub fn port(self) -> u16 {
        match self {
            Self::Implicit => 465,
            Self::Starttls => 587,
            Self::None => 25,
        }
    }
}

impl Config {
    /// The defaults, for `data`, on `listen`.
    pub fn new(data: impl Into<PathBuf>, listen: SocketAddr) -> Self {
        Self {
            listen,
            admin_listen: None,
            tls: None,
            data: data.into(),
            allow_networks: Vec::new(),
            proxies: Proxies::default(),
            key_file: None,
            backup_dir: None,
            compiler: None,
            warm_plugins: false,
            counts_instructions: false,
            bases: Bases::default(),
            smtp: None,
            otlp: None,
            pass_trace_on: true,
            log_format: LogFormat::default(),
            limits: Limits::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_choose_environments_and_are_the_only_ones_once_there_are_some() {
        let mut bases = Bases::default();
        assert_eq!(bases.environment("/anything"), Some(None));
        assert_eq!(bases.urls("http://h:1", "C"), ["http://h:1/api/v1/webhook/C"]);
        assert_eq!((bases.add("/123456/TEST1", "test"), bases.add("/Dhs/", "")), (Ok(()), Ok(())));
        assert_eq!(bases.set_public_url("https://api.divaltocloud.com/"), Ok(()));
        assert_eq!(bases.environment("/123456/TEST1"), Some(Some("test".to_owned())));
        assert_eq!((bases.environment("/Dhs"), bases.environment("/other"), bases.environment("")), (Some(None), None, None));
        assert_eq!(
            bases.urls("http://h:1", "C"),
            ["https://api.divaltocloud.com/123456/TEST1/api/v1/webhook/C", "https://api.divaltocloud.com/Dhs/api/v1/webhook/C"]
        );
        for wrong in ["x", "/a?b", "/a//b", "/a b", "/%41"] {
            assert!(bases.add(wrong, "").is_err(), "{wrong}");
        }
        for wrong in ["api.example.com", "ftp://h", "https://h/path", "https://h/?q"] {
            assert!(bases.set_public_url(wrong).is_err(), "{wrong}");
        }
    }
}
