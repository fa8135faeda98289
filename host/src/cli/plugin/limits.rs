//! `hookwright plugin limits`: shows and sets the limits of a plugin.

use std::{process::ExitCode, str::FromStr};

use clap::Args;
use http::{Method, StatusCode};
use serde_json::{Map, Value};

use super::name;
use crate::{
    cli::{
        at::{At, segment},
        client::Api,
        output::{cell, table},
    },
    model::plugin::limits::Limit,
};

/// Show a plugin's limits, and set some.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hookwright plugin limits slack\n  \
        hookwright plugin limits slack --set cpu_ms=200 --set concurrency=4      the others stay as they are\n  \
        hookwright plugin limits slack --unset cpu_ms                            the host's default again")]
pub struct Limits {
    /// The plugin's name.
    #[arg(value_parser = name::parse)]
    name: String,
    /// A limit and its value; repeat for more.
    #[arg(long, value_name = "LIMIT=VALUE")]
    set: Vec<Setting>,
    /// A limit to reset to the host's default; repeat for more.
    #[arg(long, value_name = "LIMIT", value_parser = named)]
    unset: Vec<Limit>,
    #[command(flatten)]
    at: At,
}

/// `LIMIT=VALUE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Setting(Limit, u64);

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or("a limit and its value, such as `cpu_ms=200`")?;
        let limit = named(name)?;
        value.parse().map(|value| Self(limit, value)).map_err(|_| format!("`{value}` is no number of {}", limit.unit()))
    }
}

fn named(name: &str) -> Result<Limit, String> {
    let known = || Limit::ALL.iter().map(|limit| limit.name());
    let found = Limit::ALL.iter().copied().find(|limit| limit.name() == name);
    found.ok_or_else(|| crate::model::webhook::unknown("limit", name, known().collect::<Vec<_>>()))
}

impl Limits {
    /// Sets the given limits, then shows all.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let api = self.at.open()?;
        let path = format!("/v1/plugins/{}", segment(&self.name));
        if !self.set.is_empty() || !self.unset.is_empty() {
            let limits = self.changed(own(&api, &path).await?);
            api.call(Method::PUT, &format!("{path}/limits"), Some(&Value::Object(limits))).await?;
        }
        let list = api.call(Method::GET, &format!("{path}/limits"), None).await?;
        self.at.show(&list, |list| {
            let rows = list["data"].as_array().into_iter().flatten().map(|limit| {
                let own = if limit["is_own"] == true { "set" } else { "default" };
                let [name, value, unit, default, maximum] = ["/name", "/value", "/unit", "/default", "/maximum"].map(|at| cell(limit, at));
                vec![name, value, unit, own.to_owned(), default, maximum]
            });
            table(&["LIMIT", "VALUE", "UNIT", "", "DEFAULT", "MAXIMUM"], rows)
        })
    }

    fn changed(&self, mut limits: Map<String, Value>) -> Map<String, Value> {
        for limit in &self.unset {
            limits.remove(limit.name());
        }
        for Setting(limit, value) in &self.set {
            limits.insert(limit.name().to_owned(), (*value).into());
        }
        limits
    }
}

/// The limits that are set for the plugin. A plugin that the host does not know yet has none.
async fn own(api: &Api, path: &str) -> anyhow::Result<Map<String, Value>> {
    let shown = api.send(Method::GET, path, "application/json", "").await?;
    if shown.status == StatusCode::NOT_FOUND.as_u16() {
        return Ok(Map::new());
    }
    Ok(serde_json::from_value(shown.success()?["own_limits"].take())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_a_known_limit_and_a_number() {
        assert_eq!("cpu_ms=200".parse(), Ok(Setting(Limit::CpuMs, 200)));
        assert!("cpu=200".parse::<Setting>().is_err_and(|why| why.contains("cpu_ms")));
        assert!("cpu_ms=fast".parse::<Setting>().is_err_and(|why| why.contains("milliseconds")));
        assert!("cpu_ms".parse::<Setting>().is_err());
    }
}
