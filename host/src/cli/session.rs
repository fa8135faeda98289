//! `hookwright session`: the parameters of a session.

use std::process::ExitCode;

use clap::Subcommand;
use http::Method;
use serde_json::{Map, Value};

use super::{
    at::{At, segment},
    input::{self, Pair},
    output::facts,
    runtime::block_on,
};

/// The parameters of a session.
#[derive(Debug, Subcommand)]
pub enum Session {
    /// Show the parameters of a session.
    #[command(after_help = "Example:\n  hookwright session show s1")]
    Show {
        /// The session's name.
        id: String,
        /// The host to use.
        #[command(flatten)]
        at: At,
    },
    /// Set parameters. A value that is JSON is taken as JSON, any other as text; `null` removes the parameter.
    #[command(after_help = "Example:\n  hookwright session set s1 fruit=apple size=3 'basket=[\"a\",\"b\"]' coupon=null")]
    Set {
        /// The session's name.
        id: String,
        /// The parameters to set.
        #[arg(required = true, value_name = "NAME=VALUE")]
        parameters: Vec<Pair>,
        /// The host to use.
        #[command(flatten)]
        at: At,
    },
    /// Delete a session.
    #[command(after_help = "Example:\n  hookwright session delete s1")]
    Delete {
        /// The session's name.
        id: String,
        /// The host to use.
        #[command(flatten)]
        at: At,
    },
}

impl Session {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        block_on(async {
            match self {
                Self::Show { id, at } => {
                    let answer = at.open()?.call(Method::GET, &path(&id), None).await?;
                    tell(&at, &answer)
                }
                Self::Set { id, parameters, at } => {
                    let patch = Value::from(input::object(&parameters));
                    let answer = at.open()?.call(Method::PATCH, &path(&id), Some(&patch)).await?;
                    tell(&at, &answer)
                }
                Self::Delete { id, at } => at.delete(&path(&id), &format!("session {id}")).await,
            }
        })
    }
}

fn path(id: &str) -> String {
    format!("/v1/sessions/{}/parameters", segment(id))
}

fn tell(at: &At, answer: &Value) -> anyhow::Result<ExitCode> {
    at.show(answer, |answer| {
        let text = answer["parameters"].as_object().map(shown).unwrap_or_default();
        if text.is_empty() { "(none)".to_owned() } else { text }
    })
}

/// Parameters, one on each line, as `session set` would take them.
pub fn shown(parameters: &Map<String, Value>) -> String {
    let told: Vec<(&str, String)> = parameters.iter().map(|(name, value)| (name.as_str(), value.to_string())).collect();
    facts(&told)
}
