//! `hookwright webhook create`: creates a webhook with one command, and a key with which its endpoint can verify deliveries.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::Args;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::named::path;
use crate::{
    cli::{
        at::{At, segment},
        client::Api,
        documents::{self, Format},
        endpoint::standard_webhooks::Key,
        input,
        output::{cell, facts, text},
        plugin::{name, project, push},
        progress,
    },
    model::plugin::Digest,
};

/// Create a webhook: where to send events, and which.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  hookwright webhook create chat --url https://chat.example/in --on order.paid\n  \
    hookwright webhook create crm --url https://crm.example/in --on /items/share --on 'user.*' --transform to-crm.js\n\n\
    --transform takes a .wasm, .js or .ts file, which becomes a plugin of the same name unless the host has that file already;\n\
    a .json, .toml or .yaml file, which is the body with references such as \"$event.data.total\"; or the name of a plugin.\n\n\
    Deliveries are signed (Standard Webhooks) with a key that is made here and shown once: give it to the receiver.\n\
    Everything else is as the profile `standard` says. `hookwright webhook apply` takes whole documents.",
    // `--url` is the destination of the webhook, so the host's address is `--host` here.
    mut_arg("url", |argument| argument.long("host"))
)]
pub struct Create {
    /// The webhook's name.
    name: String,
    /// The URL to send events to.
    #[arg(id = "destination", long = "url", value_name = "URL")]
    to: String,
    /// Which events to send: a path and everything below it, a word, `prefix.*` or `*`; repeat for more.
    #[arg(long, required = true, value_name = "TRIGGER")]
    on: Vec<String>,
    /// A file that makes a request from an event [default: the event's data is sent].
    #[arg(long, value_name = "FILE")]
    transform: Option<PathBuf>,
    /// Sign with a secret of the host, given by its name.
    #[arg(long, value_name = "NAME", conflicts_with = "unsigned")]
    secret: Option<String>,
    /// Do not sign.
    #[arg(long)]
    unsigned: bool,
    #[command(flatten)]
    at: At,
}

/// What makes a request from an event.
enum Transform {
    /// A plugin that the host has.
    Plugin(String),
    /// A plugin that was just pushed, and the host's answer.
    Pushed(String, Value),
    /// A body with references.
    Body(Value),
}

impl Create {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let api = self.at.open()?;
        let name = &self.name;
        let found = api.send(Method::GET, &path(name), "application/json", "").await?;
        if found.status == StatusCode::OK.as_u16() {
            bail!("there is a webhook `{name}` already: `hookwright webhook show {name}` shows it, `hookwright webhook apply` replaces it");
        }
        let mut webhook = json!({ "name": name, "selectors": self.on, "request": { "url": self.to } });
        let mut pushed = None;
        match self.transform(&api).await? {
            None => {}
            Some(Transform::Body(body)) => webhook["request"]["body"] = body,
            Some(Transform::Plugin(plugin)) => webhook["transform"] = plugin.into(),
            Some(Transform::Pushed(plugin, answer)) => {
                pushed = Some(push::told(&plugin, &answer));
                webhook["transform"] = plugin.into();
            }
        }
        let (signing, key) = self.signing();
        webhook["signing"] = signing;
        let created = api.call(Method::POST, "/v1/webhooks", Some(&webhook)).await;
        let mut answer = created.with_context(|| match &pushed {
            Some(pushed) => format!("the webhook `{name}` is not created; {pushed}"),
            None => format!("the webhook `{name}` is not created"),
        })?;
        if let Some(key) = &key {
            answer["signing_secret"] = key.as_str().into();
        }
        self.at.show(&answer, |answer| self.told(answer, key.as_deref(), pushed))
    }

    /// The document's signing, and the key if a new one is made.
    fn signing(&self) -> (Value, Option<String>) {
        match &self.secret {
            _ if self.unsigned => (json!({ "scheme": "none" }), None),
            Some(secret) => (json!({ "secrets": [format!("$secret:{secret}")] }), None),
            None => {
                let key = Key::generate().text();
                (json!({ "scheme": "standard-webhooks", "secrets": [{ "inline": key }] }), Some(key))
            }
        }
    }

    async fn transform(&self, api: &Api) -> anyhow::Result<Option<Transform>> {
        let Some(file) = &self.transform else { return Ok(None) };
        if let Some(format) = Format::of_file(file) {
            return body(file, format).map(|body| Some(Transform::Body(body)));
        }
        if project::kind_of(file).is_some() {
            return plugin(api, file).await.map(Some);
        }
        let Ok(plugin) = name::parse(&file.to_string_lossy()) else {
            bail!(
                "--transform {}: it is neither a plugin's file (.wasm, .js, .ts) nor a body's template (.json, .toml, .yaml) nor a plugin's name",
                file.display()
            );
        };
        Ok(Some(Transform::Plugin(plugin)))
    }

    fn told(&self, answer: &Value, key: Option<&str>, pushed: Option<String>) -> String {
        let word = self.on.iter().find(|trigger| !trigger.contains('*') && !trigger.starts_with('/'));
        let facts = facts(&[
            ("on", cell(answer, "/selectors")),
            ("to", text(answer, "/request/url")),
            ("plugin", pushed.unwrap_or_else(|| cell(answer, "/transform"))),
            ("signing key", key.map_or_else(String::new, |key| format!("{key}\nshown once: the receiver verifies deliveries with it"))),
            ("try it", word.map_or_else(String::new, |word| format!("hookwright event send {word} --data '{{}}' --wait 5s"))),
        ]);
        format!("{} is created\n\n{facts}", self.name)
    }
}

/// The template of a body, from a file.
fn body(file: &Path, format: Format) -> anyhow::Result<Value> {
    if format == Format::Json {
        return input::read_json(file);
    }
    let mut documents = documents::read(file)?;
    match (documents.pop(), documents.is_empty()) {
        (Some(body), true) => Ok(body),
        _ => bail!("{} must hold one document: the body", file.display()),
    }
}

/// The plugin in a file. It is pushed, unless the host's active version of this name has the same bytes.
async fn plugin(api: &Api, file: &Path) -> anyhow::Result<Transform> {
    let name = project::name_of(file)?;
    let bytes = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let found = api.send(Method::GET, &format!("/v1/plugins/{}", segment(&name)), "application/json", "").await?;
    if found.status == StatusCode::NOT_FOUND.as_u16() {
        let answer = progress::during(format!("{name}: checked, compiled and tried"), push::upload(api, &name, file, false)).await?;
        return Ok(Transform::Pushed(name, answer));
    }
    let shown = found.success()?;
    let active = shown["versions"].as_array().into_iter().flatten().find(|version| version["version"] == shown["active"]);
    if active.is_none_or(|version| version["digest"] != Digest::of(&bytes).as_str()) {
        bail!(
            "the host runs another plugin `{name}`, which other webhooks may use: rename {file}, or push it as the next version with \
            `hookwright plugin push {name} {file}` first",
            file = file.display()
        );
    }
    Ok(Transform::Plugin(name))
}
