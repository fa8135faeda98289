//! `hookwright audit`: who changed what.

use std::process::ExitCode;

use clap::Args;

use super::{
    at::{At, Page},
    output::{cell, text, time},
    runtime::block_on,
};

/// List what admins changed, newest first; `--json` shows documents before and after.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  hookwright audit --kind webhook --name chat\n  hookwright audit --who crm --since 2026-01-01T00:00:00Z --json"
)]
pub struct Audit {
    /// Only changes by this token: its name or `tok_...`; `hookwright` is the host itself.
    #[arg(long)]
    who: Option<String>,
    /// Only changes of things of this kind: webhook, receiver, code, secret, token, plugin, ...
    #[arg(long)]
    kind: Option<String>,
    /// Only changes of the thing with this name.
    #[arg(long)]
    name: Option<String>,
    /// Only changes at or after this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    #[command(flatten)]
    page: Page,
    #[command(flatten)]
    at: At,
}

impl Audit {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        block_on(async {
            let Self { who, kind, name, since, page, at } = self;
            let filters = [("who", who.as_deref()), ("kind", kind.as_deref()), ("name", name.as_deref()), ("since", since.as_deref())];
            let list = page.fetch(&at.open()?, "/v1/audit", &filters).await?;
            at.show_list(&list, &["NUMBER", "AT", "WHO", "ACTION", "KIND", "NAME", "CHANGED", "REQUEST"], |entry| {
                let part = |at: &str| cell(entry, at);
                let changes = entry["changes"].as_array().into_iter().flatten().filter_map(|change| change.as_str());
                let changes = changes.collect::<Vec<_>>().join("\n");
                let (at, request) = (time(entry, "/at"), text(entry, "/request_id"));
                vec![part("/number"), at, part("/who"), part("/action"), part("/kind"), part("/name"), changes, request]
            })
        })
    }
}
