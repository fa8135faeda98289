//! `hookwright plugin list`, `show`, `activate`, `rollback`, `resume`, `config`, `delete`: a plugin's versions and its configuration.

use std::{fmt, path::PathBuf, process::ExitCode, str::FromStr};

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::{grant, history, name};
use crate::cli::{
    at::{At, segment},
    input,
    output::{cell, facts, indented, pretty, table, time},
    progress,
};

/// A plugin on a host.
#[derive(Debug, Args)]
pub struct Named {
    /// The plugin's name.
    #[arg(value_parser = name::parse)]
    name: String,
    #[command(flatten)]
    at: At,
}

/// Which version to activate.
#[derive(Debug, Args)]
pub struct Activate {
    /// The plugin's name.
    #[arg(value_parser = name::parse)]
    name: String,
    /// A version's number, or `builtin` for the one in the binary.
    version: Version,
    #[command(flatten)]
    at: At,
}

/// How to configure a plugin.
#[derive(Debug, Args)]
pub struct Config {
    /// The plugin's name.
    #[arg(value_parser = name::parse)]
    name: String,
    /// A JSON object; `-` is standard input.
    file: PathBuf,
    #[command(flatten)]
    at: At,
}

/// A version of a plugin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Version {
    /// An uploaded version, by its number.
    Number(u64),
    /// The one in the binary.
    Builtin,
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "builtin" {
            return Ok(Self::Builtin);
        }
        text.parse().map(Self::Number).map_err(|_| "a version's number, or `builtin`".to_owned())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Builtin => f.write_str("builtin"),
        }
    }
}

impl Version {
    /// The version, as the API takes it.
    pub fn json(self) -> Value {
        match self {
            Self::Number(number) => number.into(),
            Self::Builtin => "builtin".into(),
        }
    }
}

fn path(name: &str) -> String {
    format!("/v1/plugins/{}", segment(name))
}

/// Lists all plugins, including those in the binary.
pub async fn list(at: At) -> anyhow::Result<ExitCode> {
    let list = at.open()?.call(Method::GET, "/v1/plugins", None).await?;
    at.show_list(&list, &["NAME", "ACTIVE", "STATE", "EXPORTS", "UPLOADED", "WITHOUT GRANT"], |plugin| {
        let uploaded = plugin["versions"].as_array().map_or(0, Vec::len).to_string();
        let state = match plugin["breaker"]["state"].as_str() {
            None => "-",
            Some("closed") => "well",
            Some(_) => "set aside",
        };
        let [name, active, exports, missing] = ["/name", "/active", "/exports", "/missing_grants"].map(|at| cell(plugin, at));
        vec![name, active, state.to_owned(), exports, uploaded, missing]
    })
}

impl Named {
    pub async fn show(self) -> anyhow::Result<ExitCode> {
        let plugin = self.at.open()?.call(Method::GET, &path(&self.name), None).await?;
        self.at.show(&plugin, shown)
    }

    /// Activates the version that was active before.
    pub async fn rollback(self) -> anyhow::Result<ExitCode> {
        let plugin = self.at.open()?.call(Method::POST, &format!("{}/rollback", path(&self.name)), None).await?;
        self.at.show(&plugin, |plugin| is_active(&self.name, plugin))
    }

    /// Closes the circuit breaker.
    pub async fn resume(self) -> anyhow::Result<ExitCode> {
        let plugin = self.at.open()?.call(Method::POST, &format!("{}/resume", path(&self.name)), None).await?;
        self.at.show(&plugin, |_| format!("{} may be called again", self.name))
    }

    pub async fn history(self) -> anyhow::Result<ExitCode> {
        history::show(&self.name, &self.at).await
    }

    pub async fn delete(self) -> anyhow::Result<ExitCode> {
        self.at.delete(&path(&self.name), &format!("plugin {}", self.name)).await
    }
}

impl Activate {
    /// Activates the version; it is used from the next call on.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        activate(&self.at, &self.name, self.version).await
    }
}

async fn activate(at: &At, name: &str, version: Version) -> anyhow::Result<ExitCode> {
    let body = json!({ "version": version.json() });
    let (api, path) = (at.open()?, format!("{}/activate", path(name)));
    let plugin = progress::during(format!("{name}: made ready"), api.call(Method::POST, &path, Some(&body))).await?;
    at.show(&plugin, |plugin| is_active(name, plugin))
}

fn is_active(name: &str, plugin: &Value) -> String {
    format!("{name}: {} is active ({})", called(&plugin["active"]), cell(plugin, "/exports"))
}

fn called(active: &Value) -> String {
    match active {
        Value::Number(number) => format!("version {number}"),
        Value::String(_) => "the one in the binary".to_owned(),
        _ => "nothing".to_owned(),
    }
}

impl Config {
    /// Replaces the configuration.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let config = input::read_json(&self.file)?;
        let plugin = self.at.open()?.call(Method::PUT, &format!("{}/config", path(&self.name)), Some(&config)).await?;
        self.at.show(&plugin, |plugin| format!("{} is configured\n{}", self.name, indented(&pretty(&plugin["config"]), 2)))
    }
}

/// Since when and until when the circuit breaker is open, and why; empty if it is closed.
fn set_aside(breaker: &Value) -> String {
    match breaker["state"].as_str() {
        None | Some("closed") => String::new(),
        Some(state) => {
            let next =
                if state == "open" { format!("next call at {}", time(breaker, "/next_probe_at")) } else { "one call looks".to_owned() };
            format!("since {}, {next}; last: {}", time(breaker, "/since"), cell(breaker, "/last_failure/detail"))
        }
    }
}

fn shown(plugin: &Value) -> String {
    let limits = plugin["own_limits"].as_object().into_iter().flatten().map(|(name, value)| format!("{name} {value}"));
    let head = facts(&[
        ("name", cell(plugin, "/name")),
        ("active", called(&plugin["active"])),
        ("exports", cell(plugin, "/exports")),
        ("in the binary", cell(plugin, "/builtin")),
        ("without grant", cell(plugin, "/missing_grants")),
        ("limited to", limits.collect::<Vec<_>>().join(", ")),
        ("set aside", set_aside(&plugin["breaker"])),
        ("watched until", time(plugin, "/breaker/watched_until")),
    ]);
    let rows = plugin["versions"].as_array().into_iter().flatten().rev().map(|version| {
        let digest = cell(version, "/digest");
        let state = if version["version"] == plugin["active"] { "active" } else { "" };
        let parts = ["/kind", "/exports", "/imports", "/size_bytes"].map(|part| cell(version, part));
        let mut row = vec![cell(version, "/version"), state.to_owned()];
        row.extend(parts);
        row.extend([time(version, "/uploaded_at"), digest.get(..19).unwrap_or(&digest).to_owned()]);
        row
    });
    let versions = table(&["VERSION", "", "KIND", "EXPORTS", "IMPORTS", "BYTES", "UPLOADED", "DIGEST"], rows);
    let config = indented(&pretty(&plugin["config"]), 2);
    format!("{head}\n\nversions\n{}\n\ngrants\n{}\n\nconfig\n{config}", indented(&versions, 2), grant::shown(&plugin["grants"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_that_is_set_aside_says_why_and_until_when() {
        assert_eq!(set_aside(&json!({ "state": "closed" })), "");
        let open = json!({ "state": "open", "since": "2026-01-02T03:04:05.6Z", "next_probe_at": "2026-01-02T03:04:10.6Z", "last_failure": { "detail": "it trapped" } });
        assert_eq!(set_aside(&open), "since 2026-01-02T03:04:05Z, next call at 2026-01-02T03:04:10Z; last: it trapped");
    }

    #[test]
    fn a_version_is_a_number_or_builtin() {
        assert_eq!("3".parse(), Ok(Version::Number(3)));
        assert_eq!("builtin".parse(), Ok(Version::Builtin));
        assert!("v3".parse::<Version>().is_err());
    }
}
