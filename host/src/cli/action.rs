//! `hookwright action`: service actions, what receivers can be bound to.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use http::Method;

use super::{
    at::{At, Page, segment},
    input,
    output::{cell, pretty, text},
    runtime::block_on,
};
use crate::model::receiver::ActionSpec;

/// Service actions: what calls can have done, with their parameters. Receivers are bound to them.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List all, by name.
    #[command(after_help = "Example:\n  hookwright action list")]
    List {
        /// How much of the list.
        #[command(flatten)]
        page: Page,
        /// Which host.
        #[command(flatten)]
        at: At,
    },
    /// Show one as JSON: what `apply` takes, and the receivers bound to it.
    #[command(after_help = "Example:\n  hookwright action show refresh")]
    Show(Named),
    /// Create or replace those of a file: a document in JSON, TOML or YAML, or several, each with its `name`.
    #[command(
        after_help = "Example:\n  echo '{\"name\":\"refresh\",\"parameters\":{\"dos\":{\"type\":\"integer\",\"required\":true}},\"plugin\":\"erp\"}' | \
        hookwright action apply -f -"
    )]
    Apply {
        /// The file; - is standard input.
        #[arg(short, long)]
        file: PathBuf,
        /// Which host.
        #[command(flatten)]
        at: At,
    },
    /// Delete one that no receiver is bound to.
    #[command(after_help = "Example:\n  hookwright action delete refresh")]
    Delete(Named),
}

/// A service action on a host.
#[derive(Debug, Args)]
pub struct Named {
    /// The action.
    name: String,
    #[command(flatten)]
    at: At,
}

impl Action {
    /// Runs the subcommand.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        block_on(async {
            match self {
                Self::List { page, at } => list(page, at).await,
                Self::Show(Named { name, at }) => {
                    let action = at.open()?.call(Method::GET, &path(&name), None).await?;
                    at.show(&action, pretty)
                }
                Self::Apply { file, at } => input::apply::<ActionSpec>(&at, "actions", &file).await,
                Self::Delete(Named { name, at }) => at.delete(&path(&name), &format!("action {name}")).await,
            }
        })
    }
}

fn path(name: &str) -> String {
    format!("/v1/actions/{}", segment(name))
}

async fn list(page: Page, at: At) -> anyhow::Result<ExitCode> {
    let list = page.fetch(&at.open()?, "/v1/actions", &[]).await?;
    at.show_list(&list, &["NAME", "RUNS", "PARAMETERS", "RECEIVERS"], |action| {
        let runs = match action["plugin"].as_str() {
            Some(plugin) => format!("plugin {plugin}"),
            None => text(action, "/reply/message"),
        };
        let parameters = action["parameters"].as_object().into_iter().flatten();
        let parameters = parameters.map(|(name, spec)| {
            let kind = spec["type"].as_str().unwrap_or_default();
            format!("{name}: {kind}{}", if spec["required"] == true { "" } else { "?" })
        });
        vec![cell(action, "/name"), runs, parameters.collect::<Vec<_>>().join(", "), cell(action, "/receivers")]
    })
}
