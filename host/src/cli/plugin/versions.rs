//! `hookwright plugin list`, `show`, `activate`, `rollback`, `config`, `delete`: which version a name points at, and how it is configured.

use std::{fmt, path::PathBuf, process::ExitCode, str::FromStr};

use anyhow::{Context, bail};
use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::{grant, name};
use crate::cli::{
    at::{At, segment},
    input,
    output::{cell, facts, indented, is_there, pretty, table, time},
};

/// A plugin on a host.
#[derive(Debug, Args)]
pub struct Named {
    /// The plugin.
    #[arg(value_parser = name::parse)]
    name: String,
    #[command(flatten)]
    at: At,
}

/// Which version to use.
#[derive(Debug, Args)]
pub struct Activate {
    /// The plugin.
    #[arg(value_parser = name::parse)]
    name: String,
    /// A version's number, or `builtin`: the one in the binary.
    version: Version,
    #[command(flatten)]
    at: At,
}

/// How to configure a plugin.
#[derive(Debug, Args)]
pub struct Config {
    /// The plugin.
    #[arg(value_parser = name::parse)]
    name: String,
    /// A JSON object; `-` is standard input.
    file: PathBuf,
    #[command(flatten)]
    at: At,
}

/// A number, or the one in the binary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Version {
    /// An uploaded one.
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
    /// As the API takes it.
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

/// All plugins, those in the binary too.
pub async fn list(at: At) -> anyhow::Result<ExitCode> {
    let list = at.open()?.call(Method::GET, "/v1/plugins", None).await?;
    at.show_list(&list, &["NAME", "ACTIVE", "EXPORTS", "UPLOADED", "WITHOUT GRANT"], |plugin| {
        let uploaded = plugin["versions"].as_array().map_or(0, Vec::len).to_string();
        vec![cell(plugin, "/name"), cell(plugin, "/active"), cell(plugin, "/exports"), uploaded, cell(plugin, "/missing_grants")]
    })
}

impl Named {
    /// Everything about one.
    pub async fn show(self) -> anyhow::Result<ExitCode> {
        let plugin = self.at.open()?.call(Method::GET, &path(&self.name), None).await?;
        self.at.show(&plugin, shown)
    }

    /// Back to the version before the active one.
    pub async fn rollback(self) -> anyhow::Result<ExitCode> {
        let api = self.at.open()?;
        let plugin = api.call(Method::GET, &path(&self.name), None).await?;
        let version = before(&plugin).with_context(|| self.name.clone())?;
        activate(&self.at, &self.name, version).await
    }

    /// Deletes it.
    pub async fn delete(self) -> anyhow::Result<ExitCode> {
        self.at.delete(&path(&self.name), &format!("plugin {}", self.name)).await
    }
}

impl Activate {
    /// Uses the version from the next call on.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        activate(&self.at, &self.name, self.version).await
    }
}

async fn activate(at: &At, name: &str, version: Version) -> anyhow::Result<ExitCode> {
    let body = json!({ "version": version.json() });
    let plugin = at.open()?.call(Method::POST, &format!("{}/activate", path(name)), Some(&body)).await?;
    at.show(&plugin, |plugin| format!("{name}: {} is active ({})", called(&plugin["active"]), cell(plugin, "/exports")))
}

/// The next older uploaded version, else the one in the binary.
fn before(plugin: &Value) -> anyhow::Result<Version> {
    let Some(active) = plugin["active"].as_u64() else {
        bail!("{} is active: there is nothing before it", called(&plugin["active"]));
    };
    let versions = plugin["versions"].as_array().into_iter().flatten().filter_map(|version| version["version"].as_u64());
    match versions.filter(|version| *version < active).max() {
        Some(older) => Ok(Version::Number(older)),
        None if is_there(plugin, "/builtin") => Ok(Version::Builtin),
        None => bail!("version {active} is active: there is no older one"),
    }
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

fn shown(plugin: &Value) -> String {
    let head = facts(&[
        ("name", cell(plugin, "/name")),
        ("active", called(&plugin["active"])),
        ("exports", cell(plugin, "/exports")),
        ("in the binary", cell(plugin, "/builtin")),
        ("without grant", cell(plugin, "/missing_grants")),
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
    fn rollback_goes_to_the_next_older_version_then_to_the_one_in_the_binary() {
        let plugin = |active: Value, builtin: Value| json!({ "active": active, "builtin": builtin, "versions": [{"version": 1}, {"version": 4}, {"version": 5}] });
        assert_eq!(before(&plugin(json!(5), Value::Null)).ok(), Some(Version::Number(4)));
        assert_eq!(before(&plugin(json!(4), Value::Null)).ok(), Some(Version::Number(1)));
        assert_eq!(before(&plugin(json!(1), json!("sha256:00"))).ok(), Some(Version::Builtin));
        assert!(before(&plugin(json!(1), Value::Null)).is_err());
        assert!(before(&plugin(json!("builtin"), json!("sha256:00"))).is_err());
        assert!(before(&plugin(Value::Null, Value::Null)).is_err());
    }

    #[test]
    fn a_version_is_a_number_or_builtin() {
        assert_eq!("3".parse(), Ok(Version::Number(3)));
        assert_eq!("builtin".parse(), Ok(Version::Builtin));
        assert!("v3".parse::<Version>().is_err());
    }
}
