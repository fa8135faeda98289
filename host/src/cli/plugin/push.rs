//! `hookwright plugin push`: uploads a version to the host.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::Args;
use http::Method;
use serde_json::Value;

use super::{
    name,
    project::{Project, kind_of, name_of},
};
use crate::cli::{
    at::{At, segment},
    client::Api,
    output::{cell, is_there},
    progress,
};

/// Upload a version of a plugin. It is checked, compiled and tried before it replaces anything.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hookwright plugin push                                what `plugin build` made in this folder\n  \
    hookwright plugin push greeting greeting.wasm\n  hookwright plugin push greeting.js --stage            stored, not used; `plugin activate` uses it\n\n\
    What does not load is refused with the reason, and what was active stays active.")]
pub struct Push {
    /// The plugin's name [default: the file's], or only the file.
    #[arg(value_name = "NAME")]
    first: Option<String>,
    /// The .wasm, .js or .ts file [default: the one in the folder].
    file: Option<PathBuf>,
    /// The plugin's folder, used if no file is given.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Store the version but do not activate it.
    #[arg(long)]
    stage: bool,
    #[command(flatten)]
    at: At,
}

impl Push {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let (name, file) = self.what()?;
        let api = self.at.open()?;
        let answer = progress::during(format!("{name}: checked, compiled and tried"), upload(&api, &name, &file, self.stage)).await?;
        self.at.show(&answer, |answer| told(&name, answer))
    }

    /// The name and the file, from the arguments that were given.
    fn what(&self) -> anyhow::Result<(String, PathBuf)> {
        let check = |given: &str| name::parse(given).map_err(|rule| anyhow::anyhow!("`{given}`: {rule}"));
        match (&self.first, &self.file) {
            (Some(name), Some(file)) => Ok((check(name)?, file.clone())),
            // A name contains no dot.
            (Some(file), None) if file.contains('.') => Ok((name_of(Path::new(file))?, file.into())),
            (Some(name), None) => Ok((check(name)?, built_in(&self.dir)?)),
            (None, _) => {
                let file = built_in(&self.dir)?;
                Ok((name_of(&file)?, file))
            }
        }
    }
}

/// Uploads a file as a version of `name` and returns the host's answer. `stage`: the version is not activated.
pub async fn upload(api: &Api, name: &str, file: &Path, stage: bool) -> anyhow::Result<Value> {
    let Some(kind) = kind_of(file) else { bail!("{} is neither a .wasm nor a .js or .ts file", file.display()) };
    let bytes = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let path = format!("/v1/plugins/{}{}", segment(name), if stage { "?activate=false" } else { "" });
    api.send(Method::PUT, &path, kind.media_type(), bytes).await?.success().with_context(|| format!("{name} is not pushed"))
}

/// The file that `plugin build` left in a folder.
fn built_in(dir: &Path) -> anyhow::Result<PathBuf> {
    let dir = dir.canonicalize().with_context(|| format!("there is no folder {}", dir.display()))?;
    if let Project::Script(script) = Project::find(&dir)? {
        return Ok(script);
    }
    let entries = std::fs::read_dir(&dir)?.flatten().map(|entry| entry.path());
    let modules: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|ending| ending == "wasm")).collect();
    match modules.as_slice() {
        [module] => Ok(module.clone()),
        [] => bail!("there is no .wasm file in {}; run `hookwright plugin build` first", dir.display()),
        _ => bail!("{} holds several .wasm files; name one", dir.display()),
    }
}

/// The result of an upload, as text for people.
pub fn told(name: &str, answer: &Value) -> String {
    let version = cell(answer, "/version");
    let mut text = format!(
        "{name} version {version} is {}: {}, {} bytes, {}",
        cell(answer, "/state"),
        cell(answer, "/exports"),
        cell(answer, "/size_bytes"),
        cell(answer, "/digest")
    );
    if is_there(answer, "/missing_grants") {
        text.push_str(&format!("\nwithout a grant yet: {}; see `hookwright plugin grant --help`", cell(answer, "/missing_grants")));
    }
    if answer["state"] == "staged" {
        text.push_str(&format!("\nto use it: hookwright plugin activate {name} {version}"));
    }
    text
}
