//! `hookwright receiver`: what answers inbound calls, and the codes that make it callable.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use super::{
    at::{At, Page, segment},
    block_on, input,
    output::{cell, facts, pretty, text, time},
};
use crate::model::receiver::ReceiverSpec;

/// What answers inbound calls, and the codes that make it callable.
#[derive(Debug, Subcommand)]
pub enum Receiver {
    /// List all, by name.
    List {
        /// How much of the list.
        #[command(flatten)]
        page: Page,
        /// Which host.
        #[command(flatten)]
        at: At,
    },
    /// Show one as JSON: what `apply` takes.
    Show(Named),
    /// Create or replace those of a file: a JSON document or an array of them, each with its `name`.
    #[command(after_help = "Examples:\n  hookwright receiver apply -f refresh.json\n  \
        echo '{\"name\":\"refresh\",\"reply\":{\"message\":\"client $call.parameters.id\"}}' | hookwright receiver apply -f -")]
    Apply {
        /// The file; - is standard input.
        #[arg(short, long)]
        file: PathBuf,
        /// Which host.
        #[command(flatten)]
        at: At,
    },
    /// Delete one and its codes.
    Delete(Named),
    /// Issue a code to a caller: whoever has it may call.
    Code(Code),
    /// List the codes of one, in clear. Looking is logged.
    Codes(Named),
    /// Revoke a code: from now on it is as unknown as a wrong one.
    #[command(after_help = "Example:\n  hookwright receiver revoke refresh cod_0123456789abcdef0123")]
    Revoke {
        /// The receiver.
        name: String,
        /// The code's identifier, `cod_...`.
        id: String,
        /// Which host.
        #[command(flatten)]
        at: At,
    },
}

/// A receiver on a host.
#[derive(Debug, Args)]
pub struct Named {
    /// The receiver.
    name: String,
    #[command(flatten)]
    at: At,
}

/// A code to issue.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hookwright receiver code refresh --caller crm --prefix CRM\n  \
    hookwright receiver code refresh --caller erp --existing old-code.txt --expires 2027-01-01T00:00:00Z")]
pub struct Code {
    /// The receiver.
    name: String,
    /// To whom it is issued.
    #[arg(long)]
    caller: String,
    /// A readable beginning: up to 64 letters and digits.
    #[arg(long)]
    prefix: Option<String>,
    /// Take over the code in this file, at least 24 characters; - is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "prefix")]
    existing: Option<PathBuf>,
    /// When it ends, RFC 3339 [default: never].
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    #[command(flatten)]
    at: At,
}

impl Receiver {
    /// Runs the subcommand.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        block_on(async {
            match self {
                Self::List { page, at } => list(page, at).await,
                Self::Show(Named { name, at }) => {
                    let receiver = at.open()?.call(Method::GET, &path(&name), None).await?;
                    at.show(&receiver, pretty)
                }
                Self::Apply { file, at } => input::apply::<ReceiverSpec>(&at, "receivers", &file).await,
                Self::Delete(Named { name, at }) => at.delete(&path(&name), &format!("receiver {name}")).await,
                Self::Code(code) => code.run().await,
                Self::Codes(named) => codes(named).await,
                Self::Revoke { name, id, at } => {
                    at.open()?.call(Method::DELETE, &format!("{}/codes/{}", path(&name), segment(&id)), None).await?;
                    at.show(&json!({ "revoked": id }), |_| format!("code {id} is revoked"))
                }
            }
        })
    }
}

fn path(name: &str) -> String {
    format!("/v1/receivers/{}", segment(name))
}

async fn list(page: Page, at: At) -> anyhow::Result<ExitCode> {
    let list = page.fetch(&at.open()?, "/v1/receivers", &[]).await?;
    at.show_list(&list, &["NAME", "ANSWERS", "MODE", "METHODS", "VERIFY", "PARAMETERS"], |receiver| {
        let answers = match receiver["plugin"].as_str() {
            Some(plugin) => format!("plugin {plugin}"),
            None => text(receiver, "/reply/message"),
        };
        let parameters = receiver["parameters"].as_object().into_iter().flatten().map(|(name, _)| name.as_str());
        let parameters = parameters.collect::<Vec<_>>().join(", ");
        let part = |at: &str| cell(receiver, at);
        vec![part("/name"), answers, part("/mode"), part("/methods"), part("/verify/scheme"), parameters]
    })
}

async fn codes(named: Named) -> anyhow::Result<ExitCode> {
    let Named { name, at } = named;
    let list = at.open()?.call(Method::GET, &format!("{}/codes", path(&name)), None).await?;
    at.show_list(&list, &["ID", "CALLER", "CREATED", "EXPIRES", "REVOKED", "CODE"], |code| {
        let times = ["/created_at", "/expires_at", "/revoked_at"].map(|part| time(code, part));
        let mut row = vec![cell(code, "/id"), cell(code, "/caller")];
        row.extend(times);
        row.push(cell(code, "/code"));
        row
    })
}

impl Code {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let existing = match &self.existing {
            Some(file) => Some(String::from_utf8(input::read(file)?)?.trim().to_owned()),
            None => None,
        };
        let parts = [("caller", Some(self.caller)), ("prefix", self.prefix), ("code", existing), ("expires", self.expires)];
        let spec: Map<String, Value> = parts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into()))).collect();
        let code = self.at.open()?.call(Method::POST, &format!("{}/codes", path(&self.name)), Some(&spec.into())).await?;
        self.at.show(&code, |code| {
            facts(&[
                ("id", cell(code, "/id")),
                ("code", cell(code, "/code")),
                ("url", cell(code, "/url")),
                ("expires", cell(code, "/expires_at")),
            ])
        })
    }
}
