//! `hookwright plugin grant`: grants capabilities to a plugin.

use std::process::ExitCode;

use clap::{ArgGroup, Args};
use http::{Method, StatusCode};
use serde_json::Value;

use super::name;
use crate::{
    cli::{
        at::{At, segment},
        output::facts,
    },
    model::plugin::Grants,
};

/// Grant capabilities to a plugin; possible before its first upload. They are added to those it has.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("what").required(true).multiple(true).args(["webhook", "trigger", "secret", "session", "directory", "state", "replace"]),
    after_help = "Examples:\n  hookwright plugin grant item-standards --webhook portal-item --trigger 'standards.*' --directory\n  \
        hookwright plugin grant item-standards --replace                      takes everything away"
)]
pub struct Grant {
    /// The plugin's name.
    #[arg(value_parser = name::parse)]
    name: String,
    /// A webhook that the plugin may invoke; repeat for more.
    #[arg(long)]
    webhook: Vec<String>,
    /// Events that the plugin may emit: a word, a path, `prefix.*` or `*`; repeat for more.
    #[arg(long)]
    trigger: Vec<String>,
    /// A secret with which the plugin may compute keyed hashes; repeat for more.
    #[arg(long)]
    secret: Vec<String>,
    /// Sessions that the plugin may write in addition to the call's own: a name, `prefix*` or `*`; repeat for more.
    #[arg(long)]
    session: Vec<String>,
    /// A directory of the plugin's own.
    #[arg(long)]
    directory: bool,
    /// State: small values that the plugin keeps between calls.
    #[arg(long)]
    state: bool,
    /// Replace all grants by those named here.
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    at: At,
}

impl Grant {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let api = self.at.open()?;
        let path = format!("/v1/plugins/{}", segment(&self.name));
        let current = if self.replace {
            Grants::default()
        } else {
            let shown = api.send(Method::GET, &path, "application/json", "").await?;
            // A plugin that the host does not know yet has no grants.
            if shown.status == StatusCode::NOT_FOUND.as_u16() {
                Grants::default()
            } else {
                serde_json::from_value(shown.success()?["grants"].take())?
            }
        };
        let grants = serde_json::to_value(self.added_to(current))?;
        let answer = api.call(Method::PUT, &format!("{path}/grants"), Some(&grants)).await?;
        self.at.show(&answer, |answer| format!("{} is granted\n{}", self.name, shown(&answer["grants"])))
    }

    fn added_to(&self, mut grants: Grants) -> Grants {
        let add = |list: &mut Vec<String>, given: &[String]| {
            for name in given {
                if !list.contains(name) {
                    list.push(name.clone());
                }
            }
        };
        add(&mut grants.webhooks, &self.webhook);
        add(&mut grants.triggers, &self.trigger);
        add(&mut grants.secrets, &self.secret);
        add(&mut grants.sessions, &self.session);
        grants.directory |= self.directory;
        grants.state |= self.state;
        grants
    }
}

/// Grants as text for people.
pub fn shown(grants: &Value) -> String {
    let list = |name: &str| {
        let names = grants[name].as_array().into_iter().flatten().filter_map(Value::as_str);
        names.collect::<Vec<_>>().join(", ")
    };
    let flag = |name: &str| if grants[name] == true { "yes".to_owned() } else { String::new() };
    let text = facts(&[
        ("  webhooks", list("webhooks")),
        ("  triggers", list("triggers")),
        ("  secrets", list("secrets")),
        ("  sessions", list("sessions")),
        ("  directory", flag("directory")),
        ("  state", flag("state")),
    ]);
    if text.is_empty() { "  nothing".to_owned() } else { text }
}
