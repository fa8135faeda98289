//! `hookwright secret`: secrets, which can be written but never read.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

use super::{
    at::{At, segment},
    input,
    output::{cell, time},
    runtime::block_on,
};

/// Secrets, which can be written but never read. Documents refer to them as `$secret:name`.
#[derive(Debug, Subcommand)]
pub enum Secret {
    /// Write a new version of a secret, from a file or standard input. On the command line, other users could see it.
    #[command(
        after_help = "Examples:\n  hookwright secret put route-key --file route-key.txt\n  pass show route-key | hookwright secret put route-key\n\n\
        A line break at the end is left out; --raw keeps it."
    )]
    Put {
        /// The secret's name.
        name: String,
        /// The file with the value [default: standard input].
        #[arg(long)]
        file: Option<PathBuf>,
        /// Take the value byte for byte, including a line break at its end.
        #[arg(long)]
        raw: bool,
        /// The host to use.
        #[command(flatten)]
        at: At,
    },
    /// List the names and versions of secrets.
    #[command(after_help = "Example:\n  hookwright secret list")]
    List(At),
    /// Delete a secret that nothing refers to, with all its versions.
    #[command(after_help = "Example:\n  hookwright secret delete chat-key")]
    Delete {
        /// The secret's name.
        name: String,
        /// The host to use.
        #[command(flatten)]
        at: At,
    },
}

impl Secret {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        block_on(async {
            match self {
                Self::Put { name, file, raw, at } => {
                    let body = json!({ "value": value(file.as_deref(), raw)?, "raw": raw });
                    let answer = at.open()?.call(Method::PUT, &path(&name), Some(&body)).await?;
                    at.show(&answer, |answer| {
                        format!("{name} version {} is written; documents refer to it as $secret:{name}", cell(answer, "/version"))
                    })
                }
                Self::List(at) => {
                    let list = at.open()?.call(Method::GET, "/v1/secrets", None).await?;
                    at.show_list(&list, &["NAME", "VERSION", "WRITTEN"], |secret| {
                        let newest = secret["versions"].as_array().and_then(|versions| versions.last()).unwrap_or(&Value::Null);
                        vec![cell(secret, "/name"), cell(secret, "/version"), time(newest, "/created_at")]
                    })
                }
                Self::Delete { name, at } => at.delete(&path(&name), &format!("secret {name}")).await,
            }
        })
    }
}

fn path(name: &str) -> String {
    format!("/v1/secrets/{}", segment(name))
}

fn value(file: Option<&Path>, raw: bool) -> anyhow::Result<String> {
    if file.is_none() && std::io::stdin().is_terminal() {
        bail!("a secret comes from a file or a pipe: `--file FILE`, or `... | hookwright secret put NAME`");
    }
    let text =
        String::from_utf8(input::read(file.unwrap_or(Path::new("-")))?).ok().context("a secret is UTF-8 text; encode bytes as Base64")?;
    if raw {
        return Ok(text);
    }
    let value = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_break_at_the_end_is_left_out() {
        let read = |text: &str, raw| {
            let file = tempfile::NamedTempFile::new().expect("a file");
            std::fs::write(file.path(), text).expect("written");
            value(Some(file.path()), raw).expect("a value")
        };
        assert_eq!(read("a\n", false), "a");
        assert_eq!(read("a\r\n", false), "a");
        assert_eq!(read("a\n\n", false), "a\n");
        assert_eq!(read(" a ", false), " a ");
        assert_eq!(read("a\n", true), "a\n");
    }
}
