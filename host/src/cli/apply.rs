//! `hookwright apply`: changes a host to match the documents in a folder.

use std::{collections::BTreeSet, path::PathBuf, process::ExitCode};

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::{
    at::At,
    client::Api,
    output::{self, short},
    progress,
    state::{Document, Kind, State, Wanted, differences, of_folder, of_host},
};

/// Characters of a value that are shown.
const VALUE_CHARS_MAX: usize = 80;

/// Change a host to match a folder: webhooks, receivers, actions, services, plugins with their files, values of profiles, and secrets by
/// reference. What already matches is left alone, so a second run changes nothing.
#[derive(Debug, Args)]
#[command(
    after_help = "The folder has folders `secrets`, `services`, `profiles`, `plugins`, `actions`, `receivers`, `webhooks`; in them stand documents in
JSON, TOML or YAML as the API has them, each with its `name`, or several in an array. A plugin names its file: {\"name\":\"chat\",\"file\":\"chat.js\"}. A secret
says where its value is: {\"name\":\"chat-key\",\"env\":\"CHAT_KEY\"} or \"file\"; it is written only where the host has none of that name, or with --secrets.
Codes and tokens are not part of it: they are capabilities, made where they are used.

Examples:
  hookwright apply -f ./state --dry-run          what would change, and nothing is changed
  hookwright apply -f ./state --prune            also delete what the folder does not have
  hookwright export -o ./state                   the same form back

Exit code: 0 it is so, 1 something failed (the rest is done), 2 the command line is wrong."
)]
pub struct Apply {
    /// The folder.
    #[arg(short, long, value_name = "DIR")]
    folder: PathBuf,
    /// Only show what would change.
    #[arg(long)]
    dry_run: bool,
    /// Delete what the host has but the folder does not. Values of profiles stay.
    #[arg(long)]
    prune: bool,
    /// Write secrets even if the host has them, because their values cannot be compared.
    #[arg(long)]
    secrets: bool,
    #[command(flatten)]
    at: At,
}

/// A change to make.
struct Change {
    kind: Kind,
    name: String,
    now: Option<Document>,
    wanted: Option<Document>,
}

impl Apply {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let wanted = of_folder(&self.folder)?;
        let api = self.at.open()?;
        let now = progress::during("what the host is now", of_host(&api, Wanted { bytes: false, query_values: true })).await?;
        let changes = self.changes(now, wanted);
        if !self.at.json {
            output::print(&text(&changes, self.dry_run))?;
        }
        let mut failures = Vec::new();
        if !self.dry_run {
            let line = progress::steps("apply", changes.len());
            for change in &changes {
                line.set_message(format!("{} {}", change.kind.word(), change.name));
                if let Err(error) = change.make(&api).await {
                    failures.push((change, format!("{error:#}")));
                }
                line.inc(1);
            }
            line.finish_and_clear();
        }
        for (change, error) in &failures {
            eprintln!("hookwright: {} {}: {error}", change.kind.word(), change.name);
        }
        if self.at.json {
            let errors: Vec<_> =
                failures.iter().map(|(change, error)| json!({ "kind": change.kind.word(), "name": change.name, "error": error })).collect();
            let shown: Vec<_> = changes.iter().map(Change::document).collect();
            output::print(&output::pretty(&json!({ "dry_run": self.dry_run, "changes": shown, "failed": errors })))?;
        }
        Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// The changes to make. Documents are written in the order of kinds and deleted in the opposite order.
    fn changes(&self, mut now: State, wanted: State) -> Vec<Change> {
        let known: BTreeSet<_> = wanted.keys().cloned().collect();
        let mut changes = Vec::new();
        for ((kind, name), wanted) in wanted {
            let now = now.remove(&(kind, name.clone()));
            let is_so = now.as_ref().is_some_and(|now| says_the_same(kind, now, &wanted)) && !(kind == Kind::Secret && self.secrets);
            if !is_so {
                changes.push(Change { kind, name, now, wanted: Some(wanted) });
            }
        }
        if self.prune {
            let gone = now.into_iter().rev().filter(|(key, _)| !known.contains(key) && key.0 != Kind::Profile);
            changes.extend(gone.map(|((kind, name), now)| Change { kind, name, now: Some(now), wanted: None }));
        }
        changes
    }
}

/// Whether a document matches the host's. Fields that a profile's document leaves out do not count.
fn says_the_same(kind: Kind, now: &Document, wanted: &Document) -> bool {
    if kind != Kind::Profile {
        return now.value == wanted.value;
    }
    wanted.value.as_object().into_iter().flatten().all(|(field, value)| now.value[field] == *value)
}

impl Change {
    fn sign(&self) -> &'static str {
        match (&self.now, &self.wanted) {
            (None, _) => "+",
            (_, None) => "-",
            _ => "~",
        }
    }

    fn differences(&self) -> Vec<(String, Value, Value)> {
        match (&self.now, &self.wanted) {
            (Some(now), Some(wanted)) if self.kind == Kind::Profile => {
                let mut whole = now.value.clone();
                for (field, value) in wanted.value.as_object().into_iter().flatten() {
                    whole[field] = value.clone();
                }
                differences(&now.value, &whole)
            }
            (Some(now), Some(wanted)) => differences(&now.value, &wanted.value),
            _ => Vec::new(),
        }
    }

    fn document(&self) -> Value {
        let what = match self.sign() {
            "+" => "create",
            "-" => "delete",
            _ => "change",
        };
        let places = self.differences().into_iter().map(|(at, now, wanted)| json!({ "pointer": at, "now": now, "wanted": wanted }));
        json!({ "kind": self.kind.word(), "name": self.name, "change": what, "differences": places.collect::<Vec<_>>() })
    }

    async fn make(&self, api: &Api) -> anyhow::Result<()> {
        let path = self.kind.path(&self.name);
        let Some(wanted) = &self.wanted else {
            api.call(Method::DELETE, &path, None).await?;
            return Ok(());
        };
        match (self.kind, &wanted.source) {
            (Kind::Secret, Some(source)) => drop(api.call(Method::PUT, &path, Some(&json!({ "value": source.value()? }))).await?),
            (Kind::Plugin, _) => self.plugin(api, &path, wanted).await?,
            (Kind::Profile, _) => {
                let mut patch = wanted.value.clone();
                patch.as_object_mut().map(|fields| fields.shift_remove("name"));
                api.call(Method::PATCH, &path, Some(&patch)).await?;
            }
            _ => drop(api.call(Method::PUT, &path, Some(&wanted.value)).await?),
        }
        Ok(())
    }

    /// Set grants and limits before the bytes are uploaded, because the bytes may need them.
    async fn plugin(&self, api: &Api, path: &str, wanted: &Document) -> anyhow::Result<()> {
        let now = self.now.as_ref().map(|now| &now.value);
        let differs = |part: &str| match now {
            Some(now) => now[part] != wanted.value[part],
            None => !wanted.value[part].is_null() && wanted.value[part].as_object().is_none_or(|fields| !fields.is_empty()),
        };
        for part in ["grants", "limits", "config"] {
            if differs(part) {
                api.call(Method::PUT, &format!("{path}/{part}"), Some(&wanted.value[part])).await?;
            }
        }
        if differs("file") {
            match &wanted.bytes {
                Some((kind, bytes)) => drop(api.send(Method::PUT, path, kind.media_type(), bytes.clone()).await?.success()?),
                None => drop(api.call(Method::POST, &format!("{path}/activate"), Some(&json!({ "version": "builtin" }))).await?),
            }
        }
        if differs("rollback") {
            api.call(Method::PUT, &format!("{path}/rollback"), Some(&wanted.value["rollback"])).await?;
        }
        Ok(())
    }
}

fn text(changes: &[Change], is_dry: bool) -> String {
    if changes.is_empty() {
        return "nothing to change".to_owned();
    }
    let mut lines = Vec::new();
    for change in changes {
        lines.push(format!("{} {} {}", change.sign(), change.kind.word(), change.name));
        for (at, now, wanted) in change.differences() {
            let [now, wanted] = [now, wanted].map(|value| short(&value.to_string(), VALUE_CHARS_MAX));
            // Two URLs that look alike may differ in the redacted part.
            let says = if now == wanted { format!("{now}, in what is not shown") } else { format!("{now} -> {wanted}") };
            lines.push(format!("    {at}: {says}"));
        }
    }
    let count = |sign: &str| changes.iter().filter(|change| change.sign() == sign).count();
    let (created, changed, deleted) = (count("+"), count("~"), count("-"));
    let verb = if is_dry { "would be" } else { "are" };
    lines.push(format!("{created} {verb} created, {changed} changed, {deleted} deleted"));
    lines.join("\n")
}
