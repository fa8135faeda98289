//! Documents of a folder, and where the values of secrets come from: an environment variable or a file outside of the folder's documents.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

use crate::model::{
    plugin::PluginKind,
    problem::read,
    secret::{INLINE_PREFIX, is_secret_name},
};

/// One document.
#[derive(Clone, Debug)]
pub struct Document {
    /// The document in the form in which documents are compared.
    pub value: Value,
    /// A plugin's bytes and their kind, if the folder has a file of the plugin.
    pub bytes: Option<(PluginKind, Bytes)>,
    /// Where the value of a secret comes from.
    pub source: Option<Source>,
}

/// Where the value of a secret comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// An environment variable.
    Variable(String),
    /// A file.
    File(PathBuf),
}

/// A secret's document. It only refers to the value.
#[derive(Debug, Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretSource {
    name: String,
    /// The environment variable with the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    env: Option<String>,
    /// The file with the value, relative to the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
}

/// Reads a secret's document. `file`: the path of the document.
pub(super) fn document(value: Value, file: Option<&Path>) -> anyhow::Result<Document> {
    let SecretSource { name, env, file: path } = read(value).map_err(|problem| anyhow!("{} {}", problem.pointer, problem.detail))?;
    if !is_secret_name(&name) || name.starts_with(INLINE_PREFIX) {
        bail!("/name `{name}` cannot name a secret");
    }
    let source = match (env, path) {
        (Some(variable), None) => Source::Variable(variable),
        (None, Some(path)) => Source::File(file.and_then(Path::parent).unwrap_or(Path::new(".")).join(path)),
        _ => bail!("a secret is a reference: `env`, a variable of the environment, or `file`"),
    };
    // The host does not show the values, so only the names are compared.
    Ok(Document { value: json!({ "name": name }), bytes: None, source: Some(source) })
}

impl Source {
    /// Reads the value. One trailing newline is removed, because editors add it.
    pub fn value(&self) -> anyhow::Result<String> {
        match self {
            Self::Variable(name) => std::env::var(name).map_err(|_| anyhow!("the variable {name} is not set")),
            Self::File(path) => {
                let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
                Ok(text.strip_suffix('\n').map(str::to_owned).unwrap_or(text))
            }
        }
    }
}
