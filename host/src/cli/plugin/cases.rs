//! `hookwright plugin test`: runs a plugin's cases, which are folders, in the sandbox that hosts use.
//!
//! ```text
//! cases/grants.json                the plugin's grants in all cases
//! cases/NAME/event.json            an event, or an array of them: for `transform`
//! cases/NAME/invocation.json       or a call: for `receive`
//! cases/NAME/{config,parameters,context}.json
//! cases/NAME/{request,reply,failure,effects}.json    what is expected; what is left out is not compared
//! ```
//!
//! The clock is fixed at [`NOW`], and random numbers are the same in every run. A body that is expected as JSON is compared as JSON.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context, bail, ensure};
use clap::Args;
use http::Method;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use super::{build::Recipe, project::name_of, push::upload};
use crate::{
    cli::{
        client::Api,
        output::{self, cell, pretty},
    },
    clock::SystemClock,
    config::Config,
    host::Host,
};

/// The time at which every case happens, unless its event has another.
pub const NOW: &str = "2026-01-01T00:00:00Z";
/// The folder of the cases, in a plugin's folder.
const FOLDER: &str = "cases";
/// Further input besides the event or the call.
const GIVEN: [&str; 3] = ["config", "parameters", "context"];
/// What a case may expect.
const EXPECTED: [&str; 4] = ["request", "reply", "failure", "effects"];

/// Run a plugin's cases: event in, request out, in the real sandbox and without a host.
#[derive(Debug, Args)]
#[command(
    after_help = "A case is a folder in `cases`:\n  cases/greets/event.json      {\"trigger\":\"person.arrived\",\"data\":{\"name\":\"Ann\"}}\n  \
    cases/greets/request.json    {\"body\":{\"text\":\"Hello, Ann!\"}}\n\n\
    Instead of event.json: invocation.json. Beside it: config.json, parameters.json, context.json. Expected: request.json, reply.json,\n\
    failure.json ({\"kind\":...}), effects.json; what they leave out is not looked at. cases/grants.json is granted in all cases.\n\n\
    Examples:\n  hookwright plugin test\n  hookwright plugin test greets --update      writes what came out as what is expected\n\nExits with 1 when a case fails."
)]
pub struct Test {
    /// Only cases whose name contains this.
    filter: Option<String>,
    /// Replace what the cases expect by what the plugin returned.
    #[arg(long)]
    update: bool,
    /// Print the result of each case as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    recipe: Recipe,
}

struct Case {
    name: String,
    folder: PathBuf,
    given: Value,
    expected: Vec<(&'static str, Value)>,
}

impl Test {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let folder = self.recipe.dir().join(FOLDER);
        let mut cases = read_cases(&folder)?;
        cases.retain(|case| self.filter.as_ref().is_none_or(|wanted| case.name.contains(wanted)));
        ensure!(!cases.is_empty(), "there is no case in {}; `hookwright plugin test --help` says what one looks like", folder.display());
        let built = self.recipe.make()?;
        let name = name_of(&built.path)?;
        let data = tempfile::tempdir().context("no directory for a host")?;
        let host = start(data.path()).await?;
        let token = host.new_token.clone().context("the host made no admin token")?;
        let api = Api::new(format!("http://{}", host.address), token);
        let outcome = self.run_cases(&api, &name, &built.path, &folder, &cases).await;
        host.stop().await;
        outcome
    }

    async fn run_cases(&self, api: &Api, name: &str, plugin: &Path, folder: &Path, cases: &[Case]) -> anyhow::Result<ExitCode> {
        if let Some(grants) = read_json(&folder.join("grants.json"))? {
            api.call(Method::PUT, &format!("/v1/plugins/{name}/grants"), Some(&grants)).await.context("cases/grants.json")?;
        }
        upload(api, name, plugin, false).await?;
        let (mut passed, mut results) = (0, Vec::new());
        for case in cases {
            let tried = api.call(Method::POST, &format!("/v1/plugins/{name}/try"), Some(&case.given)).await;
            let tried = tried.with_context(|| format!("case {}", case.name))?;
            if self.update {
                update(case, &tried)?;
            }
            let wrong = if self.update { Vec::new() } else { case.compare(&tried) };
            passed += usize::from(wrong.is_empty());
            if !self.json {
                output::print(&told(case, &tried, &wrong))?;
            }
            results.push(json!({ "case": case.name, "passed": wrong.is_empty(), "wrong": wrong, "duration_us": tried["duration_us"], "memory_bytes": tried["memory_bytes"], "instructions": tried["instructions"] }));
        }
        let failed = cases.len() - passed;
        if self.json {
            output::print(&pretty(&json!({ "passed": passed, "failed": failed, "cases": results })))?;
        } else {
            output::print(&format!("\n{passed} passed, {failed} failed"))?;
        }
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Starts a host that only this process uses.
async fn start(data: &Path) -> anyhow::Result<Host> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.context("cannot listen on 127.0.0.1")?;
    let config = Config { counts_instructions: true, ..Config::new(data, listener.local_addr()?) };
    Host::start(config, listener, Arc::new(SystemClock), None).await.context("the host did not start")
}

fn read_json(file: &Path) -> anyhow::Result<Option<Value>> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).with_context(|| format!("{} is not JSON", file.display()))?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", file.display())),
    }
}

fn read_cases(folder: &Path) -> anyhow::Result<Vec<Case>> {
    let entries = fs::read_dir(folder).with_context(|| format!("there is no folder {}", folder.display()))?;
    let mut folders: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders.into_iter().map(Case::read).collect()
}

impl Case {
    fn read(folder: PathBuf) -> anyhow::Result<Self> {
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let mut given = Map::from_iter([("now".to_owned(), json!(NOW))]);
        match (read_json(&folder.join("event.json"))?, read_json(&folder.join("invocation.json"))?) {
            (Some(events @ Value::Array(_)), None) => drop(given.insert("events".to_owned(), events)),
            (Some(event), None) => drop(given.insert("event".to_owned(), event)),
            (None, Some(call)) => drop(given.insert("invocation".to_owned(), call)),
            _ => bail!("the case {} needs either event.json or invocation.json", folder.display()),
        }
        for field in GIVEN {
            if let Some(value) = read_json(&folder.join(field).with_extension("json"))? {
                given.insert(field.to_owned(), value);
            }
        }
        let mut expected = Vec::new();
        for field in EXPECTED {
            if let Some(value) = read_json(&folder.join(field).with_extension("json"))? {
                expected.push((field, value));
            }
        }
        Ok(Self { name, folder, given: given.into(), expected })
    }

    /// The differences from what is expected, one on each line.
    fn compare(&self, tried: &Value) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.expected.is_empty() {
            wrong.push("nothing is expected; `--update` writes what came out".to_owned());
        }
        for (field, expected) in &self.expected {
            compare(&format!("/{field}"), expected, &with_json_body(&tried[*field], expected), &mut wrong);
        }
        let fails = |field: &str| self.expected.iter().any(|(known, _)| *known == field);
        if !tried["failure"].is_null() && !fails("failure") {
            wrong.push(format!("it failed: {}: {}", cell(tried, "/failure/kind"), cell(tried, "/failure/detail")));
        }
        wrong
    }
}

/// The actual value, with its body parsed as JSON if a JSON body is expected.
fn with_json_body(actual: &Value, expected: &Value) -> Value {
    let mut actual = actual.clone();
    let parsed = match (&expected["body"], &actual["body"]) {
        (Value::Null | Value::String(_), _) => None,
        (_, Value::String(text)) => serde_json::from_str(text).ok(),
        _ => None,
    };
    if let Some(parsed) = parsed {
        actual["body"] = parsed;
    }
    actual
}

/// Compares values. Objects may have more fields than expected, but not in a body.
fn compare(pointer: &str, expected: &Value, actual: &Value, wrong: &mut Vec<String>) {
    match (expected, actual) {
        (Value::Object(wanted), Value::Object(there)) if !pointer.ends_with("/body") => {
            for (name, value) in wanted {
                compare(&format!("{pointer}/{name}"), value, there.get(name).unwrap_or(&Value::Null), wrong);
            }
        }
        (expected, actual) if expected != actual => wrong.push(format!("{pointer}: expected {expected}, got {actual}")),
        _ => {}
    }
}

/// Writes what the plugin returned as what is expected, without null and empty values.
fn update(case: &Case, tried: &Value) -> anyhow::Result<()> {
    for field in EXPECTED {
        let file = case.folder.join(field).with_extension("json");
        let value = match field {
            "failure" => trimmed(&json!({ "kind": tried["failure"]["kind"] })),
            "request" | "reply" => trimmed(&with_json_body(&tried[field], &json!({ "body": {} }))),
            _ => trimmed(&tried[field]),
        };
        let is_empty = value.as_object().is_none_or(Map::is_empty);
        match is_empty
            && !(field == "request" && tried["request"].is_null() && case.given["invocation"].is_null() && tried["failure"].is_null())
        {
            true if file.exists() => fs::remove_file(&file).with_context(|| format!("{} cannot be removed", file.display()))?,
            true => {}
            false => {
                let shown = if is_empty { Value::Null } else { value };
                fs::write(&file, format!("{}\n", pretty(&shown))).with_context(|| format!("{} cannot be written", file.display()))?;
            }
        }
    }
    Ok(())
}

fn trimmed(value: &Value) -> Value {
    let is_there = |value: &Value| match value {
        Value::Null => false,
        Value::Array(list) => !list.is_empty(),
        _ => true,
    };
    match value {
        // Text is the default, so the field `body_encoding` is left out.
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, value)| is_there(value) && !(*name == "body_encoding" && **value == "text"))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect::<Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

fn told(case: &Case, tried: &Value, wrong: &[String]) -> String {
    let milliseconds = tried["duration_us"].as_f64().unwrap_or_default() / 1000.0;
    let kibibytes = tried["memory_bytes"].as_u64().unwrap_or_default() / 1024;
    let word = if wrong.is_empty() { "ok    " } else { "FAILED" };
    let mut text =
        format!("{word}  {:<24} {milliseconds:.2} ms, {kibibytes} KiB, {} instructions", case.name, cell(tried, "/instructions"));
    for line in wrong {
        text.push_str(&format!("\n          {line}"));
    }
    if !wrong.is_empty() {
        for line in tried["log"]["lines"].as_array().into_iter().flatten() {
            text.push_str(&format!("\n          log: {} {}", cell(line, "/level"), cell(line, "/text")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(expected: &Value, actual: &Value) -> Vec<String> {
        let mut wrong = Vec::new();
        compare("/request", expected, &with_json_body(actual, expected), &mut wrong);
        wrong
    }

    #[test]
    fn what_is_left_out_of_what_is_expected_is_not_looked_at() {
        let actual = json!({ "method": "POST", "body": "{\"b\":1,\"a\":2}", "headers": [["x", "1"]] });
        assert!(wrong(&json!({ "body": { "a": 2, "b": 1 } }), &actual).is_empty());
        assert!(wrong(&json!({ "body": "{\"b\":1,\"a\":2}" }), &actual).is_empty());
        assert_eq!(wrong(&json!({ "method": "PUT" }), &actual), ["/request/method: expected \"PUT\", got \"POST\""]);
        assert_eq!(wrong(&json!({ "body": { "a": 2 } }), &actual).len(), 1, "a body is looked at as a whole");
    }

    #[test]
    fn no_request_is_expected_as_null() {
        assert!(wrong(&Value::Null, &Value::Null).is_empty());
        assert_eq!(wrong(&Value::Null, &json!({})).len(), 1);
    }

    #[test]
    fn a_case_has_one_thing_to_be_tried_on() {
        let folder = tempfile::tempdir().expect("a directory");
        assert!(Case::read(folder.path().to_owned()).is_err());
        fs::write(folder.path().join("event.json"), "[]").expect("written");
        let case = Case::read(folder.path().to_owned()).map_err(|error| error.to_string()).expect("a case");
        assert_eq!(case.given, json!({ "now": NOW, "events": [] }));
        fs::write(folder.path().join("invocation.json"), "{}").expect("written");
        assert!(Case::read(folder.path().to_owned()).is_err());
    }
}
