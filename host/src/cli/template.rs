//! `hookwright template`: webhooks to start from.

use std::{collections::BTreeMap, process::ExitCode};

use anyhow::{Context, anyhow};
use clap::Subcommand;
use http::Method;

use super::{
    at::{At, segment},
    output::pretty,
    runtime::block_on,
};
use crate::model::integration::{Api, Integration};

/// Webhooks to start from: Salesforce CRM, Slack, any JSON API with OAuth.
#[derive(Debug, Subcommand)]
pub enum Template {
    /// List the templates.
    #[command(after_help = "Example:\n  hookwright template list")]
    List {
        /// The host to use.
        #[command(flatten)]
        at: At,
    },
    /// Show what must be filled in.
    #[command(after_help = "Example:\n  hookwright template show slack")]
    Show {
        /// The name of the service.
        service: String,
        /// The host to use.
        #[command(flatten)]
        at: At,
    },
    /// Print a webhook with all values filled in, as `webhook apply -f -` takes it.
    #[command(after_help = "Example:\n  hookwright template fill slack post-message --set channel=C024BE91L --set token=slack-token \
        | hookwright webhook apply -f -")]
    Fill {
        /// The name of the service.
        service: String,
        /// Which of the service's APIs to call.
        api: String,
        /// A value to fill in: name=value; repeat for more.
        #[arg(long = "set", value_name = "NAME=VALUE")]
        values: Vec<String>,
        /// The host to use.
        #[command(flatten)]
        at: At,
    },
}

impl Template {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        block_on(async {
            match self {
                Self::List { at } => {
                    let answer = at.open()?.call(Method::GET, "/v1/templates", None).await?;
                    at.show(&answer, |answer| {
                        let services: Vec<Integration> = serde_json::from_value(answer["data"].clone()).unwrap_or_default();
                        services.iter().map(described).collect::<Vec<_>>().join("\n\n")
                    })
                }
                Self::Show { service, at } => {
                    let answer = at.open()?.call(Method::GET, &path(&service), None).await?;
                    at.show(&answer, |answer| match serde_json::from_value::<Integration>(answer.clone()) {
                        Ok(service) => service.apis.iter().map(fields).collect::<Vec<_>>().join("\n\n"),
                        Err(_) => pretty(answer),
                    })
                }
                Self::Fill { service, api, values, at } => {
                    let answer = at.open()?.call(Method::GET, &path(&service), None).await?;
                    let service: Integration = serde_json::from_value(answer).context("the host's template cannot be read")?;
                    let found = service.apis.iter().find(|known| known.name == api);
                    let found = found.ok_or_else(|| anyhow!("`{}` has no `{api}`; it has: {}", service.name, names(&service)))?;
                    let filled = found.fill(&written(&values)?).map_err(|detail| anyhow!(detail))?;
                    println!("{}", pretty(&filled));
                    Ok(ExitCode::SUCCESS)
                }
            }
        })
    }
}

fn path(service: &str) -> String {
    format!("/v1/templates/{}", segment(service))
}

fn names(service: &Integration) -> String {
    service.apis.iter().map(|api| api.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn described(service: &Integration) -> String {
    let apis: Vec<_> = service.apis.iter().map(|api| format!("  {:<18} {}", api.name, api.title)).collect();
    format!("{} ({})\n  {}\n{}", service.name, service.title, service.description, apis.join("\n"))
}

fn fields(api: &Api) -> String {
    let line = |field: &crate::model::integration::Field| {
        let oauth = if field.oauth { "  [credentials]" } else { "" };
        format!("  {:<18} {}, such as `{}`{oauth}", field.name, field.hint, field.example)
    };
    format!("{}: {}\n{}", api.name, api.title, api.fields.iter().map(line).collect::<Vec<_>>().join("\n"))
}

/// The values as the API takes them: all of them are text.
fn written(values: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').ok_or_else(|| anyhow!("`--set {text}`: it must be name=value"))?;
        Ok((name.to_owned(), value.to_owned()))
    };
    values.iter().map(pair).collect()
}
