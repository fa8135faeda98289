//! `hookwright sink`: an endpoint for trying a webhook out. It receives, verifies and prints deliveries, and answers as configured.

use std::{
    io::Write,
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Context;
use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{
    endpoint::{Arrived, Endpoint, Said},
    output::{indented, plain},
    serve::stop_signal,
};
use crate::model::{
    secret::Secret,
    signature::{self, VerifyInput, VerifyScheme},
};

/// Receive deliveries, verify and print them, and answer as configured.
#[derive(Debug, Args)]
#[command(after_help = "What cannot be verified is answered 401, and makes the exit code 1.\n\n\
    Examples:\n  hookwright sink --secret-file route-key\n  hookwright sink --fail-first 2 --answer '{\"distance\":12}' --count 3 --json")]
pub struct Sink {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8401")]
    listen: SocketAddr,
    /// The key or shared value with which the sender signs, such as `whsec_...`. Other users of this machine can see command lines, so
    /// prefer a file.
    #[arg(long, env = "HOOKWRIGHT_SINK_SECRET", hide_env_values = true, conflicts_with = "secret_file")]
    secret: Option<String>,
    /// File that holds it. Several may be named, so that a key can be replaced: what one of them signed is verified.
    #[arg(long)]
    secret_file: Vec<PathBuf>,
    /// How the sender proves itself: standard-webhooks, github, esri-service, esri-organization, stripe, slack, shopify, basic,
    /// bearer [default: standard-webhooks if there is a secret].
    #[arg(long, value_parser = scheme)]
    scheme: Option<VerifyScheme>,
    /// Status to answer with.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(200..=599))]
    status: u16,
    /// Body to answer with, such as '{"distance":12}'. JSON is sent as JSON, anything else as text [default: {"received":true}, if the
    /// status is a success that has a body].
    #[arg(long)]
    answer: Option<String>,
    /// Answer 503 to this many requests first.
    #[arg(long, default_value_t = 0)]
    fail_first: u64,
    /// Stop after this many requests.
    #[arg(long)]
    count: Option<u64>,
    /// Print one JSON object on each line.
    #[arg(long)]
    json: bool,
}

/// The default answer. It has a field that a binding can read.
const RECEIVED: &str = r#"{"received":true}"#;

/// The values of `--scheme`: the schemes that need only a secret.
const SCHEMES: &str = "standard-webhooks, github, esri-service, esri-organization, stripe, slack, shopify, basic, bearer";

fn scheme(text: &str) -> Result<VerifyScheme, String> {
    let known = SCHEMES.split(", ").any(|known| known == text);
    let scheme = known.then(|| serde_json::from_value(Value::from(text)).ok()).flatten();
    scheme.ok_or_else(|| format!("one of {SCHEMES}"))
}

/// The settings that every request needs.
struct Rules {
    scheme: VerifyScheme,
    secrets: Vec<Secret>,
    answer: Said,
    fail_first: u64,
    json: bool,
}

impl Sink {
    /// Runs until it has received `count` requests, or until the process is asked to stop.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let rules = self.rules()?;
        let (received, unverified) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let enough = Arc::new(Notify::new());
        let count = self.count;
        let endpoint = {
            let (unverified, enough) = (Arc::clone(&unverified), Arc::clone(&enough));
            Endpoint::start(self.listen, move |arrived| {
                let number = received.fetch_add(1, Ordering::Relaxed) + 1;
                let (said, verified) = rules.receive(number, &arrived);
                if verified == Some(false) {
                    unverified.fetch_add(1, Ordering::Relaxed);
                }
                if count.is_some_and(|count| number >= count) {
                    enough.notify_one();
                }
                said
            })
            .await
            .with_context(|| format!("cannot listen on {}; is another process there?", self.listen))?
        };
        if self.json {
            print(&json!({ "listening": endpoint.url() }).to_string());
        } else {
            print(&format!("hookwright sink listens on {}", endpoint.url()));
        }
        tokio::select! {
            () = enough.notified() => {}
            stopped = stop_signal() => stopped?,
        }
        endpoint.stop().await;
        Ok(if unverified.load(Ordering::Relaxed) == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn rules(&self) -> anyhow::Result<Rules> {
        let read = |path: &PathBuf| {
            let text = std::fs::read_to_string(path).with_context(|| format!("the secret in {} cannot be read", path.display()))?;
            anyhow::Ok(Secret::new(text.trim_end()))
        };
        let secrets: Vec<Secret> = match &self.secret {
            Some(secret) => vec![Secret::new(secret.as_str())],
            None => self.secret_file.iter().map(read).collect::<Result<_, _>>()?,
        };
        let scheme = self.scheme.unwrap_or(if secrets.is_empty() { VerifyScheme::None } else { VerifyScheme::StandardWebhooks });
        for secret in &secrets {
            scheme.check_key(None, secret)?;
        }
        if scheme != VerifyScheme::None && secrets.is_empty() {
            anyhow::bail!("name what to verify with: --secret-file FILE or --secret TEXT");
        }
        let has_body = (200..300).contains(&self.status) && self.status != 204;
        let answer = self.answer.clone().unwrap_or_else(|| if has_body { RECEIVED.to_owned() } else { String::new() });
        let is_json = serde_json::from_str::<Value>(&answer).is_ok();
        let content_type = if is_json { "application/json" } else { "text/plain; charset=utf-8" };
        let answer = Said { status: self.status, content_type, body: answer.into() };
        Ok(Rules { scheme, secrets, answer, fail_first: self.fail_first, json: self.json })
    }
}

impl Rules {
    /// Prints a request and gives the answer to it. The flag says whether the request was valid; it is absent if there is nothing to
    /// verify.
    fn receive(&self, number: u64, arrived: &Arrived) -> (Said, Option<bool>) {
        let now = Timestamp::now();
        let input = VerifyInput::of(&arrived.headers, &arrived.body, now.as_second());
        let reason = signature::verify(self.scheme, &input, &self.secrets).err().map(|error| error.to_string());
        let verified = (self.scheme != VerifyScheme::None).then_some(reason.is_none());
        let said = match verified {
            Some(false) => Said::text(401, "not verified"),
            _ if number <= self.fail_first => Said::text(503, "not now"),
            _ => self.answer.clone(),
        };
        let id = arrived.header("webhook-id");
        let body = String::from_utf8_lossy(&arrived.body);
        if self.json {
            let body = serde_json::from_str(&body).unwrap_or_else(|_| Value::from(body.as_ref()));
            let line = json!({
                "number": number, "time": now.to_string(), "method": arrived.method.as_str(), "path": arrived.target, "id": id,
                "verified": verified, "reason": reason, "answered": said.status,
                "content_type": arrived.header("content-type"), "body": body,
            });
            print(&line.to_string());
        } else {
            let verdict = match (verified, reason) {
                (None, _) => "not checked".to_owned(),
                (_, None) => "verified".to_owned(),
                (_, Some(reason)) => format!("NOT verified: {reason}"),
            };
            let Arrived { method, target, .. } = arrived;
            let id = id.unwrap_or("(no webhook-id)");
            print(&plain(&format!("{now:.3}  {method} {target}  {id}  {verdict}  answered {}", said.status)));
            if !body.is_empty() {
                print(&indented(&plain(&body), 4));
            }
        }
        (said, verified)
    }
}

/// Prints a line on standard output. If nobody reads it, the sink still goes on answering.
fn print(line: &str) {
    drop(writeln!(std::io::stdout().lock(), "{line}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheme_named_is_one() {
        for name in SCHEMES.split(", ") {
            assert!(scheme(name).is_ok(), "{name}");
        }
        assert!(scheme("hmac").is_err());
    }
}
