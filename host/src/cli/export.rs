//! `hookwright export`: writes a host's documents into a folder, in the form that `apply` takes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};

use super::{
    at::At,
    documents::Written,
    progress,
    state::{Kind, Wanted, exported, of_host},
};
use crate::model::request::redact::is_redacted;

/// Write a host's documents into a folder, in the form that `apply` takes. Secrets, codes and tokens are left out.
#[derive(Debug, Args)]
#[command(
    after_help = "Of a secret only its name is written, and a variable of the environment from which `apply` takes its value on a host that has none.
Credentials that stood in documents themselves are kept as secrets nobody can name: they are told, and must be given again.
The values in the queries of URLs are often credentials: they are left out, and the documents they stood in named, unless --reveal writes them.

Examples:
  hookwright export -o ./state
  hookwright export -o ./state --reveal
  hookwright export -o ./state --format yaml"
)]
pub struct Export {
    /// The folder. It must not exist, or be empty.
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// The format of the documents.
    #[arg(long, value_enum, default_value_t = Written::Json)]
    format: Written,
    /// Include the values in the queries of URLs (scope `admin`). Protect the folder accordingly.
    #[arg(long)]
    reveal: bool,
    #[command(flatten)]
    at: At,
}

impl Export {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        if fs::read_dir(&self.output).is_ok_and(|mut entries| entries.next().is_some()) {
            bail!("{} is not empty: an export stands alone, so that nothing old is taken for it", self.output.display());
        }
        let api = self.at.open()?;
        let state = progress::during("what the host was told", of_host(&api, Wanted { bytes: true, query_values: self.reveal })).await?;
        let line = progress::steps("export", state.len());
        let (mut inline, mut redacted) = (Vec::new(), Vec::new());
        let mut written = Vec::new();
        for ((kind, name), document) in &state {
            let (value, beside) = exported(*kind, name, document);
            let folder = self.output.join(kind.folder());
            // A service's name contains its folder.
            let file = format!("{}.{}", name.replace('/', "_"), self.format.ending());
            write(&folder, &file, self.format.text(&value)?.as_bytes())?;
            if let Some((file, bytes)) = beside {
                write(&folder, &file, &bytes)?;
            }
            if value.to_string().contains("$secret:inline.") {
                inline.push(format!("{} {name}", kind.word()));
            }
            if *kind == Kind::Webhook && has_redacted_url(&value) {
                redacted.push(name);
            }
            written.push(json!({ "kind": kind.word(), "name": name }));
            line.inc(1);
        }
        line.finish_and_clear();
        for one in &inline {
            eprintln!("hookwright: {one}: a credential stood in it itself; it is not exported");
        }
        for name in &redacted {
            eprintln!(
                "hookwright: webhook {name}: the values in the query of a URL are left out, and credentials in its path; no host takes it like this; --reveal writes them"
            );
        }
        let shown = json!({ "folder": self.output, "documents": written, "inline_credentials": inline, "redacted_urls": redacted });
        self.at.show(&shown, |_| {
            let count = |kind: Kind| state.keys().filter(|(of, _)| *of == kind).count();
            let kinds: Vec<_> = Kind::ALL.into_iter().map(|kind| format!("{} {}", count(kind), kind.folder())).collect();
            format!("{}: {}", self.output.display(), kinds.join(", "))
        })
    }
}

/// Whether the document contains a URL with redacted query values.
fn has_redacted_url(document: &Value) -> bool {
    match document {
        Value::String(text) => is_redacted(text),
        Value::Array(values) => values.iter().any(has_redacted_url),
        Value::Object(fields) => fields.values().any(has_redacted_url),
        _ => false,
    }
}

fn write(folder: &Path, file: &str, bytes: &[u8]) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let path = folder.join(file);
    fs::write(&path, bytes).with_context(|| format!("{} cannot be written", path.display()))
}
