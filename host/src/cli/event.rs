//! `hookwright event`: posts events, lists and shows them.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value};

use super::{
    at::{At, Page, segment, with_query},
    input::{self, Data, Pair},
    output::{cell, facts, indented, plain, pretty, short, table, text, time},
    runtime::block_on,
};

mod listed;
mod tail;

use listed::source;

/// Post events, list and show them.
#[derive(Debug, Subcommand)]
pub enum Event {
    /// Post an event. It is on disk when this returns.
    Send(Box<Send>),
    /// List events, newest first.
    #[command(after_help = "Example:\n  hookwright event list --limit 20")]
    List {
        /// The length of the list.
        #[command(flatten)]
        page: Page,
        /// The host to use.
        #[command(flatten)]
        at: At,
    },
    /// Show an event with its deliveries.
    #[command(after_help = "Example:\n  hookwright event show evt_06h1h7gqv0zef9www3vn67kb84")]
    Show {
        /// The event's identifier, `evt_...`.
        id: String,
        /// The host to use.
        #[command(flatten)]
        at: At,
    },
    /// Print events as they come, until interrupted.
    Tail(tail::Tail),
}

/// Post an event.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hookwright event send person.arrived --data '{\"name\":\"Ann\"}' --wait 5s\n  \
    hookwright event send /items/abc123/share --data @share.json --source portal\n  \
    hookwright event send order.paid --session s1 --param size=3 --param fruit=apple --data - < order.json\n\n\
    With --wait the exit code is 1 unless there is a delivery and every one was delivered.")]
pub struct Send {
    /// The trigger: a path (`/items/abc123/share`) or a word (`user.created`).
    trigger: String,
    /// The event's data: JSON, @FILE, or - for standard input.
    #[arg(long)]
    data: Option<Data>,
    /// The session it belongs to.
    #[arg(long)]
    session: Option<String>,
    /// A session parameter to set in the same commit: name=value. A value that is JSON is taken as JSON (`null` removes the parameter);
    /// repeat for more.
    #[arg(long = "param", value_name = "NAME=VALUE")]
    parameters: Vec<Pair>,
    /// The producer of the event.
    #[arg(long)]
    source: Option<String>,
    /// The producer's identifier. An event with the same source and identifier is a repeat.
    #[arg(long)]
    id: Option<String>,
    /// When it happened, RFC 3339 [default: now].
    #[arg(long)]
    time: Option<String>,
    /// The environment it happened in.
    #[arg(long)]
    environment: Option<String>,
    /// A further attribute: name=text; repeat for more.
    #[arg(long = "attribute", value_name = "NAME=TEXT")]
    attributes: Vec<Pair>,
    /// Wait for the first attempts of its deliveries, such as 5s; at most 60s.
    #[arg(long)]
    wait: Option<String>,
    #[command(flatten)]
    at: At,
}

impl Event {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Send(send) => block_on(send.run()),
            Self::List { page, at } => block_on(list(page, at)),
            Self::Show { id, at } => block_on(show(id, at)),
            Self::Tail(tail) => block_on(tail.run()),
        }
    }
}

impl Send {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let path = with_query("/v1/events", [("wait", self.wait.as_deref())]);
        let answer = self.at.open()?.call(Method::POST, &path, Some(&self.document()?)).await?;
        self.at.show(&answer, |answer| {
            let repeat = if answer["duplicate"] == true { ", a repeat of what was accepted before" } else { "" };
            let accepted = format!("{} is accepted{repeat}{}", cell(answer, "/id"), matched(answer));
            match answer["deliveries"].as_array() {
                Some(found) if !found.is_empty() => format!("{accepted}\n\n{}", deliveries(&answer["deliveries"])),
                _ => accepted,
            }
        })?;
        let is_delivered = match answer["deliveries"].as_array() {
            Some(waited_for) => !waited_for.is_empty() && waited_for.iter().all(|delivery| delivery["state"] == "delivered"),
            None => true,
        };
        Ok(ExitCode::from(u8::from(!is_delivered)))
    }

    fn document(&self) -> anyhow::Result<Value> {
        let mut event = Map::new();
        event.insert("trigger".into(), self.trigger.clone().into());
        if let Some(data) = &self.data {
            event.insert("data".into(), data.read()?);
        }
        let texts = [
            ("id", &self.id),
            ("source", &self.source),
            ("session", &self.session),
            ("time", &self.time),
            ("environment", &self.environment),
        ];
        event.extend(texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), Value::from(text.clone()?)))));
        let maps = [("parameters", input::object(&self.parameters)), ("attributes", input::texts(&self.attributes))];
        event.extend(maps.into_iter().filter(|(_, map)| !map.is_empty()).map(|(name, map)| (name.to_owned(), Value::from(map))));
        Ok(event.into())
    }
}

async fn list(page: Page, at: At) -> anyhow::Result<ExitCode> {
    let list = page.fetch(&at.open()?, "/v1/events", &[]).await?;
    at.show_list(&list, &["ID", "ACCEPTED", "TRIGGER", "SOURCE", "SESSION", "DATA"], |event| {
        vec![
            cell(event, "/id"),
            time(event, "/accepted_at"),
            cell(event, "/trigger"),
            source(event),
            cell(event, "/session"),
            short(&event["data"].to_string(), 40),
        ]
    })
}

async fn show(id: String, at: At) -> anyhow::Result<ExitCode> {
    let event = at.open()?.call(Method::GET, &format!("/v1/events/{}", segment(&id)), None).await?;
    at.show(&event, |event| {
        let head = facts(&[
            ("event", cell(event, "/id")),
            ("trigger", cell(event, "/trigger")),
            ("source", cell(event, "/source")),
            ("time", cell(event, "/time")),
            ("accepted", cell(event, "/accepted_at")),
            ("session", cell(event, "/session")),
            ("environment", cell(event, "/environment")),
            ("attributes", cell(event, "/attributes")),
            ("call", cell(event, "/call")),
        ]);
        let data = indented(&plain(&pretty(&event["data"])), 2);
        format!("{head}\n\ndata\n{data}\n\ndeliveries\n{}", indented(&deliveries(&event["deliveries"]), 2))
    })
}

/// How many webhooks an event matched; if none, the reasons.
fn matched(answer: &Value) -> String {
    match answer["matched"].as_u64() {
        None => String::new(),
        Some(0) => {
            let why = answer["mismatches"].as_array().into_iter().flatten().map(|mismatch| match mismatch["webhook"].as_str() {
                Some(webhook) => format!("\n  {webhook}: {}", cell(mismatch, "/detail")),
                None => format!("\n  {}", cell(mismatch, "/detail")),
            });
            format!(", and no webhook matched it{}", plain(&why.collect::<String>()))
        }
        Some(1) => "; 1 webhook matched it".to_owned(),
        Some(number) => format!("; {number} webhooks matched it"),
    }
}

/// A table of an event's deliveries.
fn deliveries(deliveries: &Value) -> String {
    let rows = deliveries.as_array().into_iter().flatten().map(|delivery| {
        let mut row: Vec<String> = ["/id", "/webhook", "/state", "/attempts"].iter().map(|part| cell(delivery, part)).collect();
        // A token that may not read deliveries gets only their outcomes.
        let is_outcome = delivery.get("failure_kind").is_some();
        let (status, failure) = match is_outcome {
            true => ("/http_status", "/failure_kind"),
            false => ("/last_attempt/answer/status", "/last_attempt/failure/detail"),
        };
        row.extend([time(delivery, "/due_at"), cell(delivery, status), text(delivery, failure)]);
        row
    });
    table(&["DELIVERY", "WEBHOOK", "STATE", "ATTEMPTS", "DUE", "HTTP", "FAILURE"], rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::listed::line;

    #[test]
    fn a_line_tells_an_event() {
        let event = json!({ "id": "evt_1", "trigger": "a.b", "source": "", "accepted_at": "2026-01-01T00:00:00.5Z", "session": "s", "data": {"x": 1} });
        assert_eq!(line(&event), "2026-01-01T00:00:00Z evt_1 a.b in s  {\"x\":1}");
    }
}
