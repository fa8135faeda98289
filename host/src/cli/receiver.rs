//! `hookwright receiver`: receivers, which answer inbound calls, and the codes that make them callable.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use super::{
    at::{At, Page, segment},
    input,
    output::{cell, facts, is_there, pretty, text, time},
    runtime::block_on,
};
use crate::model::receiver::ReceiverSpec;

/// Receivers, which answer inbound calls, and the codes that make them callable.
#[derive(Debug, Subcommand)]
pub enum Receiver {
    /// List the receivers, sorted by name.
    #[command(after_help = "Example:\n  hookwright receiver list")]
    List {
        /// The length of the list.
        #[command(flatten)]
        page: Page,
        /// The host to use.
        #[command(flatten)]
        at: At,
    },
    /// Show a receiver as JSON, as `apply` takes it.
    #[command(after_help = "Example:\n  hookwright receiver show crm > crm.json")]
    Show(Named),
    /// Create or replace the receivers in a file: one or several documents in JSON, TOML or YAML, each with its `name`.
    #[command(after_help = "Examples:\n  hookwright receiver apply -f refresh.json\n  \
        echo '{\"name\":\"refresh\",\"reply\":{\"message\":\"client $call.parameters.id\"}}' | hookwright receiver apply -f -")]
    Apply {
        /// The file; - is standard input.
        #[arg(short, long)]
        file: PathBuf,
        /// The host to use.
        #[command(flatten)]
        at: At,
    },
    /// Delete a receiver and its codes.
    #[command(after_help = "Example:\n  hookwright receiver delete crm")]
    Delete(Named),
    /// Issue a code to a caller. The code is the credential of its calls.
    Code(Code),
    /// List the codes of a receiver in clear text, with their calls and refusals. The audit log records that they were shown.
    Codes(Codes),
    /// Mail the codes of a receiver: one mail, with the codes in its text and in a file.
    Mail(Mail),
    /// List calls that were refused before they reached a receiver, newest first: the code and the reason.
    #[command(after_help = "Example:\n  hookwright receiver refusals --limit 20")]
    Refusals {
        /// The most refusals to show.
        #[arg(long, default_value = "50", value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
        /// The host to use.
        #[command(flatten)]
        at: At,
    },
    /// Revoke a code. From now on it is refused like a code that never existed.
    #[command(after_help = "Example:\n  hookwright receiver revoke refresh cod_0123456789abcdef0123")]
    Revoke {
        /// The receiver's name.
        name: String,
        /// The code's identifier, `cod_...`.
        id: String,
        /// The host to use.
        #[command(flatten)]
        at: At,
    },
}

/// A receiver on a host.
#[derive(Debug, Args)]
pub struct Named {
    /// The receiver's name.
    name: String,
    #[command(flatten)]
    at: At,
}

/// Which codes to list, and how.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hookwright receiver codes refresh\n  \
    hookwright receiver codes refresh --caller crm --url-only | wl-copy          the clipboard (macOS: pbcopy; X11: xclip)")]
pub struct Codes {
    #[command(flatten)]
    named: Named,
    /// Only codes of this caller.
    #[arg(long)]
    caller: Option<String>,
    /// Print only the URLs of the codes that can be called.
    #[arg(long)]
    url_only: bool,
}

/// Which codes to mail, and to whom.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hookwright receiver mail refresh --to integrations@example.com")]
pub struct Mail {
    #[command(flatten)]
    named: Named,
    /// An address to mail to; repeat for more. Each of them gets all codes of the mail.
    #[arg(long, required = true)]
    to: Vec<String>,
    /// A code's identifier, `cod_...`; repeat for more [default: every code that can be called].
    #[arg(long)]
    code: Vec<String>,
    /// The subject of the mail.
    #[arg(long)]
    subject: Option<String>,
    /// Text before the codes.
    #[arg(long)]
    text: Option<String>,
}

/// A code to issue.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hookwright receiver code refresh --caller crm --prefix CRM\n  \
    hookwright receiver code refresh --caller erp --existing old-code.txt --expires 2027-01-01T00:00:00Z")]
pub struct Code {
    /// The receiver's name.
    name: String,
    /// To whom the code is issued.
    #[arg(long)]
    caller: String,
    /// A readable beginning of the code: up to 64 letters and digits.
    #[arg(long)]
    prefix: Option<String>,
    /// Use the code in this file instead of a new one. It needs at least 24 characters; - is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "prefix")]
    existing: Option<PathBuf>,
    /// When the code expires, RFC 3339 [default: never].
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// Calls the code allows in a minute [default: no rate limit].
    #[arg(long, value_name = "N")]
    per_minute: Option<u32>,
    /// Seconds after which the caller's earlier codes expire [default: they stay].
    #[arg(long, value_name = "SECONDS")]
    overlap_seconds: Option<u32>,
    /// Print only the URL, for example for a clipboard.
    #[arg(long)]
    url_only: bool,
    #[command(flatten)]
    at: At,
}

impl Receiver {
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
                Self::Codes(codes) => codes.run().await,
                Self::Mail(mail) => mail.run().await,
                Self::Refusals { limit, at } => {
                    let list = at.open()?.call(Method::GET, &format!("/v1/refusals?limit={limit}"), None).await?;
                    at.show_list(&list, &["AT", "WHY", "RECEIVER", "CALLER", "CODE", "FROM"], |refusal| {
                        let parts = ["/reason", "/receiver", "/caller", "/code_id", "/remote_address"].map(|part| cell(refusal, part));
                        std::iter::once(time(refusal, "/at")).chain(parts).collect()
                    })
                }
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
            None if is_there(receiver, "/action") => format!("action {}", text(receiver, "/action")),
            None => text(receiver, "/reply/message"),
        };
        let parameters = receiver["parameters"].as_object().into_iter().flatten().map(|(name, _)| name.as_str());
        let parameters = parameters.collect::<Vec<_>>().join(", ");
        let part = |at: &str| cell(receiver, at);
        vec![part("/name"), answers, part("/mode"), part("/methods"), part("/verify/scheme"), parameters]
    })
}

impl Codes {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let Self { named: Named { name, at }, caller, url_only } = self;
        let mut list = at.open()?.call(Method::GET, &format!("{}/codes", path(&name)), None).await?;
        if let Some(codes) = list["data"].as_array_mut() {
            codes.retain(|code| caller.as_ref().is_none_or(|caller| code["caller"] == **caller));
        }
        if url_only {
            let live = list["data"].as_array().into_iter().flatten().filter(|code| code["state"] == "active");
            let urls: Vec<_> = live.filter_map(|code| code["url"].as_str()).collect();
            return at.show(&json!(urls), |_| urls.join("\n"));
        }
        at.show_list(&list, &["ID", "CALLER", "STATE", "CALLS", "LAST CALL", "REFUSED", "EXPIRES", "CODE WEBHOOK"], |code| {
            let part = |at: &str| cell(code, at);
            vec![
                part("/id"),
                part("/caller"),
                part("/state"),
                part("/calls"),
                time(code, "/last_called_at"),
                part("/refused"),
                time(code, "/expires_at"),
                part("/code"),
            ]
        })
    }
}

impl Mail {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let Self { named: Named { name, at }, to, code, subject, text } = self;
        let mut document = json!({ "to": to });
        if !code.is_empty() {
            document["codes"] = json!(code);
        }
        for (key, given) in [("subject", subject), ("text", text)] {
            if let Some(given) = given {
                document[key] = given.into();
            }
        }
        let sent = at.open()?.call(Method::POST, &format!("{}/codes/mail", path(&name)), Some(&document)).await?;
        at.show(&sent, |sent| {
            let count = sent["codes"].as_array().map_or(0, Vec::len);
            format!("{count} codes of {name} are on their way to {}: {}", to.join(", "), cell(sent, "/answer"))
        })
    }
}

impl Code {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let existing = match &self.existing {
            Some(file) => Some(String::from_utf8(input::read(file)?)?.trim().to_owned()),
            None => None,
        };
        let parts = [("caller", Some(self.caller)), ("prefix", self.prefix), ("code", existing), ("expires", self.expires)];
        let mut spec: Map<String, Value> = parts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into()))).collect();
        for (name, number) in [("per_minute", self.per_minute), ("overlap_seconds", self.overlap_seconds)] {
            if let Some(number) = number {
                spec.insert(name.to_owned(), number.into());
            }
        }
        let code = self.at.open()?.call(Method::POST, &format!("{}/codes", path(&self.name)), Some(&spec.into())).await?;
        if self.url_only {
            return self.at.show(&code, |code| code["url"].as_str().unwrap_or_default().to_owned());
        }
        self.at.show(&code, |code| {
            facts(&[
                ("id", cell(code, "/id")),
                ("code", cell(code, "/code")),
                ("url", code["url_template"].as_str().unwrap_or_default().to_owned()),
                ("expires", cell(code, "/expires_at")),
            ])
        })
    }
}
