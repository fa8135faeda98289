//! `hookwright plugin grant`: what a plugin may do beyond computing.

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

/// Grant capabilities to a plugin; possible before its first upload. What is named is added to what it has.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("what").required(true).multiple(true).args(["webhook", "trigger", "secret", "session", "directory", "state", "replace"]),
    after_help = "Examples:\n  hookwright plugin grant item-standards --webhook portal-item --trigger 'standards.*' --directory\n  \
        hookwright plugin grant item-standards --replace                      takes everything away"
)]
pub struct Grant {
    /// The plugin.
    #[arg(value_parser = name::parse)]
    name: String,
    /// A webhook it may invoke; repeat for more.
    #[arg(long)]
    webhook: Vec<String>,
    /// Events it may emit: a word, a path, `prefix.*` or `*`; repeat for more.
    #[arg(long)]
    trigger: Vec<String>,
    /// A secret it may compute keyed hashes with; repeat for more.
    #[arg(long)]
    secret: Vec<String>,
    /// Sessions it may write besides the call's own: a name, `prefix*` or `*`; repeat for more.
    #[arg(long)]
    session: Vec<String>,
    /// A directory of its own.
    #[arg(long)]
    directory: bool,
    /// Small values of its own, kept between calls.
    #[arg(long)]
    state: bool,
    /// Grant what is named here and nothing else.
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    at: At,
}

impl Grant {
    /// Grants.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let api = self.at.open()?;
        let path = format!("/v1/plugins/{}", segment(&self.name));
        let current = if self.replace {
            Grants::default()
        } else {
            let shown = api.send(Method::GET, &path, "application/json", "").await?;
            // A plugin nobody knows yet has none.
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

/// Grants as people read them.
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
