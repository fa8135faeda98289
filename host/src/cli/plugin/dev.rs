//! `hookwright plugin dev`: whenever a source changes, builds, pushes, and tries the last delivery again.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, SystemTime},
};

use anyhow::Context;
use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::{build::Recipe, project::name_of, push::upload, try_out};
use crate::cli::{
    at::{At, segment},
    client::Api,
    output,
};

/// Time between two checks of the sources.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// Folders without sources.
const NO_SOURCES: [&str; 4] = ["target", "node_modules", ".git", "cases"];
/// Most files that are watched.
const FILES_MAX: usize = 10_000;

/// Watch a plugin's folder: build, push, and try the last delivery again at every change.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  hookwright plugin dev\n  hookwright plugin dev --dir greeting --stage        nothing is used before `plugin activate`\n\n\
    What does not build or load is shown, and what was active stays active. Nothing is sent: the last delivery of a webhook that uses the\n\
    plugin is only built again. Ends with Ctrl-C."
)]
pub struct Dev {
    /// Store each version but do not activate it.
    #[arg(long)]
    stage: bool,
    /// Build, push and try once, then end.
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    recipe: Recipe,
    #[command(flatten)]
    at: At,
}

impl Dev {
    /// Watches until interrupted.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let api = self.at.open()?;
        let mut seen = None;
        loop {
            let now = stamps(self.recipe.dir());
            if seen.as_ref() != Some(&now) {
                let outcome = self.turn(&api).await;
                if self.once {
                    return outcome.map(|()| ExitCode::SUCCESS);
                }
                if let Err(error) = outcome {
                    output::print(&format!("{error:#}"))?;
                }
                output::print("\nwaiting for a change; Ctrl-C ends\n")?;
                // Files that the build wrote are no change by the author.
                seen = Some(stamps(self.recipe.dir()));
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                ended = tokio::signal::ctrl_c() => return ended.map(|()| ExitCode::SUCCESS).context("waiting for Ctrl-C"),
            }
        }
    }

    /// Builds, pushes and tries.
    async fn turn(&self, api: &Api) -> anyhow::Result<()> {
        let built = self.recipe.make()?;
        let name = name_of(&built.path)?;
        let pushed = upload(api, &name, &built.path, self.stage).await?;
        let version = &pushed["version"];
        output::print(&format!("{name} version {version} is {}", pushed["state"].as_str().unwrap_or_default()))?;
        let Some(delivery) = last_delivery(api, &name).await? else {
            return output::print("no webhook that uses it has a delivery yet: nothing to try it on");
        };
        let tried = api
            .call(Method::POST, &format!("/v1/plugins/{}/try?version={version}", segment(&name)), Some(&json!({ "delivery": delivery })))
            .await?;
        output::print(&format!("delivery {delivery}, built again\n{}", try_out::told(&tried)))
    }
}

/// The newest delivery of a webhook that uses the plugin.
async fn last_delivery(api: &Api, plugin: &str) -> anyhow::Result<Option<String>> {
    let webhooks = api.call(Method::GET, "/v1/webhooks?limit=500", None).await?;
    let uses = |webhook: &&Value| {
        let transform = &webhook["transform"];
        transform.as_str().or_else(|| transform["plugin"].as_str()) == Some(plugin)
    };
    let mut newest = None;
    for webhook in webhooks["data"].as_array().into_iter().flatten().filter(uses) {
        let name = webhook["name"].as_str().unwrap_or_default();
        let page = api.call(Method::GET, &format!("/v1/deliveries?limit=1&webhook={}", segment(name)), None).await?;
        // Identifiers sort by creation time.
        newest = newest.max(page["data"][0]["id"].as_str().map(str::to_owned));
    }
    Ok(newest)
}

/// The modification time of each source.
fn stamps(dir: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                if !NO_SOURCES.iter().any(|none| name == *none) {
                    folders.push(path);
                }
            } else if path.extension().is_none_or(|ending| ending != "wasm")
                && found.len() < FILES_MAX
                && let Ok(written) = metadata.modified()
            {
                found.insert(path, written);
            }
        }
    }
    found
}
