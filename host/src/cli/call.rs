//! `hookwright call`: what came in, and what became of it.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::Value;

use super::{
    at::{At, Page, segment},
    block_on,
    output::{cell, facts, text, time},
    webhook::exchange,
};

/// What came in, and what became of it.
#[derive(Debug, Subcommand)]
pub enum Call {
    /// List calls, newest first; rejected ones too.
    List(List),
    /// Show one: what came in, the verdict of the verification, the reply, the log.
    #[command(after_help = "Example:\n  hookwright call show cal_06h1h7gqv0zef9www3vn67kb84")]
    Show {
        /// `cal_...`
        id: String,
        /// Which host.
        #[command(flatten)]
        at: At,
    },
}

/// Which calls.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hookwright call list --receiver refresh --state rejected")]
pub struct List {
    /// Of this receiver.
    #[arg(long)]
    receiver: Option<String>,
    /// In this state.
    #[arg(long, value_parser = ["pending", "done", "rejected", "failed"])]
    state: Option<String>,
    #[command(flatten)]
    page: Page,
    #[command(flatten)]
    at: At,
}

impl Call {
    /// Runs the subcommand.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        block_on(async {
            match self {
                Self::List(list) => list.run().await,
                Self::Show { id, at } => {
                    let call = at.open()?.call(Method::GET, &format!("/v1/calls/{}", segment(&id)), None).await?;
                    at.show(&call, shown)
                }
            }
        })
    }
}

impl List {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let filters = [("receiver", self.receiver.as_deref()), ("state", self.state.as_deref())];
        let list = self.page.fetch(&self.at.open()?, "/v1/calls", &filters).await?;
        self.at.show_list(&list, &["ID", "RECEIVED", "RECEIVER", "CALLER", "METHOD", "STATE", "REPLY", "FAILURE"], |call| {
            let part = |at: &str| cell(call, at);
            let (received, failure) = (time(call, "/received_at"), text(call, "/failure/detail"));
            let method = part("/request/method");
            vec![part("/id"), received, part("/receiver"), part("/caller"), method, part("/state"), part("/reply/status"), failure]
        })
    }
}

fn shown(call: &Value) -> String {
    let query = call["request"]["query"].as_array().into_iter().flatten();
    let query: Vec<String> = query.map(|pair| format!("{} = {}", cell(pair, "/0"), cell(pair, "/1"))).collect();
    let mut request = call["request"].clone();
    if let Some(path) = request.get("path").cloned() {
        request["url"] = path;
    }
    let head = facts(&[
        ("call", cell(call, "/id")),
        ("receiver", cell(call, "/receiver")),
        ("caller", format!("{} ({})", cell(call, "/caller"), cell(call, "/code_id"))),
        ("received", cell(call, "/received_at")),
        ("from", cell(call, "/request/remote_address")),
        ("state", cell(call, "/state")),
        ("verified", cell(call, "/verification")),
        ("failure", exchange::failure(call)),
        ("session", cell(call, "/session")),
        ("environment", cell(call, "/environment")),
        ("plugin", exchange::plugin(call)),
        ("events", cell(call, "/events")),
        ("query", query.join("\n")),
        ("parameters", cell(call, "/request/parameters")),
    ]);
    let parts = facts(&[
        ("request", exchange::request(&request)),
        ("reply", if call["reply"].is_null() { String::new() } else { exchange::answer(&call["reply"]) }),
        ("log", exchange::log(&call["log"])),
    ]);
    format!("{head}\n\n{parts}")
}
