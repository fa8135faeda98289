//! Documents, and where the values of secrets are found. Secrets in a folder are references to what is outside: a variable of the environment, or a file.

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
    /// In the one form documents are compared in.
    pub value: Value,
    /// The bytes of a plugin, where there are any, and what they are.
    pub bytes: Option<(PluginKind, Bytes)>,
    /// Where the value of a secret is found.
    pub source: Option<Source>,
}

/// Where the value of a secret is found.
#[derive(Clone, Debug)]
pub enum Source {
    /// In a variable of the environment.
    Variable(String),
    /// In a file.
    File(PathBuf),
}

/// A secret's document: a reference to what is outside.
#[derive(Debug, Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretSource {
    name: String,
    /// The variable of the environment that holds the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    env: Option<String>,
    /// The file that holds it, seen from the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
}

/// A secret as a document, and where its value is found. `file`: where the document stands.
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
    // Values cannot be compared: the host does not show them.
    Ok(Document { value: json!({ "name": name }), bytes: None, source: Some(source) })
}

impl Source {
    /// The value. Its one trailing newline, which editors write, is not part of it.
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
