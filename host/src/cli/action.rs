//! `hookwright action`: service actions, which receivers can be bound to.

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

/// Service actions: parameters and handling that several receivers share.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List the service actions, sorted by name.
    #[command(after_help = "Example:\n  hookwright action list")]
    List {
        /// The length of the list.
        #[command(flatten)]
        page: Page,
        /// The host to use.
        #[command(flatten)]
        at: At,
    },
    /// Show a service action as JSON, as `apply` takes it, and the receivers bound to it.
    #[command(after_help = "Example:\n  hookwright action show refresh")]
    Show(Named),
    /// Create or replace the service actions in a file: one or several documents in JSON, TOML or YAML, each with its `name`.
    #[command(
        after_help = "Example:\n  echo '{\"name\":\"refresh\",\"parameters\":{\"dos\":{\"type\":\"integer\",\"required\":true}},\"plugin\":\"erp\"}' | \
        hookwright action apply -f -"
    )]
    Apply {
        /// The file; - is standard input.
        #[arg(short, long)]
        file: PathBuf,
        /// The host to use.
        #[command(flatten)]
        at: At,
    },
    /// Delete a service action to which no receiver is bound.
    #[command(after_help = "Example:\n  hookwright action delete refresh")]
    Delete(Named),
}

/// A service action on a host.
#[derive(Debug, Args)]
pub struct Named {
    /// The service action's name.
    name: String,
    #[command(flatten)]
    at: At,
}

impl Action {
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
