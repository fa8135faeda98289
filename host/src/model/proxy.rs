//! Which proxy stands between this host and an endpoint: the operator's word, host by host.
//!
//! A proxy is asked for the address that was tested here, not for a name it would look up itself, unless its rule says
//! `resolve = "proxy"`. The proxy's own address is not tested: the operator wrote it. Environment variables (`HTTPS_PROXY` and its
//! like) are not read.

use std::{fmt, str::FromStr, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use url::{Host, Url};

use super::secret::Secret;

/// Who looks names up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resolve {
    /// This host: the proxy is asked for an address that was tested.
    #[default]
    Host,
    /// The proxy: where this host's name service does not know the names outside. What a name leads to is then the proxy's to judge.
    Proxy,
}

/// A proxy.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Its name or address, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Who looks names up.
    pub resolve: Resolve,
    /// The value of `Proxy-Authorization`, if its URL holds a user name.
    pub authorization: Option<Secret>,
}

/// Name and port, as people are told them; no credential.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "the proxy `[{}]:{}`", self.host, self.port),
            false => write!(f, "the proxy `{}:{}`", self.host, self.port),
        }
    }
}

/// What is wrong with a rule. Shows nothing of the URL, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadProxy {
    /// Not a URL.
    #[error("`url` is not `http://host:port` or `direct`: {0}")]
    NotAUrl(url::ParseError),
    /// Another scheme.
    #[error("`url` begins with `{0}:`; a proxy is spoken to by `http:`, and what goes through it is encrypted all the same")]
    Scheme(String),
    /// A URL with more than a proxy has.
    #[error("`url` has a path, a query or a fragment; a proxy is `http://host:port`, with `user:password@` before the host if it asks")]
    More,
    /// A host that is no pattern.
    #[error("`hosts` has `{0}`; write a host as URLs do (`api.example`), `*.example` for what is below it, or `*`")]
    Pattern(String),
}

/// The hosts a rule is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Every,
    /// What ends with this, which begins with a dot.
    Below(String),
    One(String),
}

impl Pattern {
    fn covers(&self, host: &str) -> bool {
        match self {
            Self::Every => true,
            Self::Below(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
            Self::One(one) => host == one,
        }
    }
}

impl FromStr for Pattern {
    type Err = BadProxy;

    fn from_str(text: &str) -> Result<Self, BadProxy> {
        if text == "*" {
            return Ok(Self::Every);
        }
        let name = text.strip_prefix("*.").unwrap_or(text);
        // As a URL has it: in lower case, a name in its `xn--` form, an address in its shortest.
        let host = Host::parse(name).ok().filter(|_| !name.is_empty() && !name.contains('*'));
        let host = host.ok_or_else(|| BadProxy::Pattern(text.to_owned()))?.to_string();
        Ok(if name.len() == text.len() { Self::One(host) } else { Self::Below(format!(".{host}")) })
    }
}

/// One rule: these hosts, through this proxy or directly.
#[derive(Clone, Debug)]
pub struct ProxyRule {
    hosts: Vec<Pattern>,
    through: Option<Arc<Proxy>>,
}

impl ProxyRule {
    /// A rule for `hosts`, none meaning every host; `url` is `http://[user:password@]host:port` or `direct`.
    pub fn new(url: &str, hosts: &[String], resolve: Resolve) -> Result<Self, BadProxy> {
        let hosts = match hosts {
            [] => vec![Pattern::Every],
            some => some.iter().map(|host| host.parse()).collect::<Result<_, _>>()?,
        };
        let through = if url == "direct" { None } else { Some(Arc::new(proxy(url, resolve)?)) };
        Ok(Self { hosts, through })
    }

    /// Its URL as people may see it: no credential.
    pub fn shown(&self) -> String {
        let Some(proxy) = &self.through else { return "direct".to_owned() };
        let credentials = if proxy.authorization.is_some() { "(redacted)@" } else { "" };
        match proxy.host.contains(':') {
            true => format!("http://{credentials}[{}]:{}", proxy.host, proxy.port),
            false => format!("http://{credentials}{}:{}", proxy.host, proxy.port),
        }
    }
}

fn proxy(url: &str, resolve: Resolve) -> Result<Proxy, BadProxy> {
    let url = Url::parse(url).map_err(BadProxy::NotAUrl)?;
    if url.scheme() != "http" {
        return Err(BadProxy::Scheme(url.scheme().to_owned()));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(BadProxy::More);
    }
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let authorization = (!url.username().is_empty() || url.password().is_some()).then(|| {
        let mut pair: Vec<u8> = percent_decode_str(url.username()).collect();
        pair.push(b':');
        pair.extend(percent_decode_str(url.password().unwrap_or_default()));
        Secret::new(format!("Basic {}", STANDARD.encode(pair)))
    });
    Ok(Proxy { host, port: url.port().unwrap_or(80), resolve, authorization })
}

/// All rules, in the order they were written: the first that covers a host is its. None: directly.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Arc<[ProxyRule]>);

impl Proxies {
    /// These rules.
    pub fn new(rules: Vec<ProxyRule>) -> Self {
        Self(rules.into())
    }

    /// The proxy for a host, written as URLs have it.
    pub fn of(&self, host: &str) -> Option<&Proxy> {
        let rule = self.0.iter().find(|rule| rule.hosts.iter().any(|pattern| pattern.covers(host)))?;
        rule.through.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(url: &str, hosts: &[&str]) -> Result<ProxyRule, BadProxy> {
        ProxyRule::new(url, &hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>(), Resolve::Host)
    }

    #[test]
    fn the_first_rule_that_covers_a_host_is_its() {
        let proxies = Proxies::new(vec![
            rule("direct", &["inside.example", "10.0.0.7", "[::1]"]).unwrap(),
            rule("http://one:3128", &["*.partner.example", "Bücher.example"]).unwrap(),
            rule("http://[fd00::1]", &[]).unwrap(),
        ]);
        for (host, expected) in [
            ("inside.example", None),
            ("10.0.0.7", None),
            ("[::1]", None),
            ("a.partner.example", Some("the proxy `one:3128`")),
            ("a.b.partner.example", Some("the proxy `one:3128`")),
            ("partner.example", Some("the proxy `[fd00::1]:80`")),
            ("evilpartner.example", Some("the proxy `[fd00::1]:80`")),
            ("xn--bcher-kva.example", Some("the proxy `one:3128`")),
            ("10.0.0.8", Some("the proxy `[fd00::1]:80`")),
        ] {
            assert_eq!(proxies.of(host).map(ToString::to_string).as_deref(), expected, "{host}");
        }
        assert!(Proxies::default().of("h").is_none());
    }

    #[test]
    fn a_user_name_and_a_password_are_kept_to_be_shown_to_the_proxy_alone() {
        let proxies = Proxies::new(vec![rule("http://ann:p%40ss%3A@proxy:8080/", &[]).unwrap()]);
        let proxy = proxies.of("h").unwrap();
        assert_eq!(proxy.authorization.as_ref().and_then(Secret::expose_str), Some("Basic YW5uOnBAc3M6"));
        let shown = format!("{proxies:?}{proxy}");
        assert!(!shown.contains("YW5u") && !shown.contains("p@ss"), "{shown}");
    }

    #[test]
    fn what_is_no_rule_is_refused_without_showing_a_password() {
        let secret = "http://ann:canary@proxy";
        for (url, hosts, says) in [
            ("proxy", &[][..], "`url` is not"),
            ("https://ann:canary@proxy:3128", &[], "`url` begins with `https:`"),
            ("socks5://proxy", &[], "`url` begins with `socks5:`"),
            (&format!("{secret}/x"), &[], "`url` has a path"),
            (&format!("{secret}?x"), &[], "`url` has a path"),
            ("http://ann:canary@", &[], "`url` is not"),
            (secret, &["https://h"], "`hosts` has `https://h`"),
            (secret, &["h:443"], "`hosts` has `h:443`"),
            (secret, &["a.*.b"], "`hosts` has `a.*.b`"),
            (secret, &["u@h"], "`hosts` has `u@h`"),
            (secret, &[""], "`hosts` has ``"),
        ] {
            let refused = rule(url, hosts).map(drop).unwrap_err().to_string();
            assert!(refused.starts_with(says) && !refused.contains("canary"), "{url} {hosts:?}: {refused}");
        }
    }
}
