//! The step that replaces a plugin while the host runs: by a script, by another script, by one with a syntax error, and back.

use anyhow::{Context, ensure};
use http::Method;
use serde_json::{Value, json};

use super::{page::Step, world::Vendor};
use crate::cli::client::{Answered, Api};

/// A message in one line, instead of the blocks of the plugin in the binary.
const FIRST: &str = r#"export function transform(delivery, events) {
  const { title, score } = events[0].data;
  console.log(`telling of ${title}`);
  return { body: { text: `${title} scores ${score} of 100` } };
}
"#;
/// The same message with more detail.
const SECOND: &str = r#"export function transform(delivery, events) {
  const { title, score, missing } = events[0].data;
  return { body: { text: `:warning: ${title}: ${score}/100, missing ${missing.join(" and ")}` } };
}
"#;
/// A script with a typing error.
const SLIP: &str = r#"export function transform(delivery, events) {
  retrun { body: { text: "oh" } };
}
"#;

/// Uploads versions and rolls back. The next event shows the effect of each.
pub async fn tell(step: &mut Step, api: &Api, slack: &mut Vendor) -> anyhow::Result<()> {
    let uploaded = created(upload(step, api, FIRST).await?)?;
    ensure!(uploaded["state"] == "active" && uploaded["version"] == 1, "the upload was answered {uploaded}");
    step.more("← 201 version 1, active: the plugin slack is a script now");
    next_event(step, api, slack, "Rivers", &json!(1), "Rivers scores 55 of 100").await?;

    let uploaded = created(upload(step, api, SECOND).await?)?;
    ensure!(uploaded["state"] == "active" && uploaded["version"] == 2, "the upload was answered {uploaded}");
    step.more("← 201 version 2, active");
    next_event(step, api, slack, "Wells", &json!(2), ":warning: Wells: 55/100, missing snippet and tags").await?;

    let refused = upload(step, api, SLIP).await?;
    ensure!(refused.status == 422, "a script with a slip was answered {}: {}", refused.status, refused.body);
    step.more(format!("← 422 {}; version 2 stays", refused.body["detail"].as_str().context("a refusal says why")?));
    next_event(step, api, slack, "Parks", &json!(2), ":warning: Parks: 55/100, missing snippet and tags").await?;

    let back = api.call(Method::POST, "/v1/plugins/slack/activate", Some(&json!({ "version": "builtin" }))).await?;
    ensure!(back["active"] == "builtin", "the rollback was answered {back}");
    step.say("admin", "→ POST /v1/plugins/slack/activate {\"version\":\"builtin\"}");
    next_event(step, api, slack, "Trees", &Value::Null, "Shared publicly below the standards: Trees (55/100)").await
}

async fn upload(step: &mut Step, api: &Api, script: &'static str) -> anyhow::Result<Answered> {
    step.say("admin", format!("→ PUT /v1/plugins/slack   text/javascript, {} lines:", script.lines().count()));
    step.body(script.lines().rev().nth(1).unwrap_or_default().trim());
    api.send(Method::PUT, "/v1/plugins/slack", "text/javascript", script).await
}

fn created(answered: Answered) -> anyhow::Result<Value> {
    let status = answered.status;
    let uploaded = answered.success()?;
    ensure!(status == 201, "a new version was answered {status}: {uploaded}");
    Ok(uploaded)
}

/// Posts an event, and prints what Slack received and which version wrote it.
async fn next_event(step: &mut Step, api: &Api, slack: &mut Vendor, title: &str, version: &Value, text: &str) -> anyhow::Result<()> {
    let data = json!({ "itemId": "0000", "title": title, "score": 55, "missing": ["snippet", "tags"], "sharedBy": "ann" });
    let event = json!({ "trigger": "standards.failed", "data": data });
    let posted = api.call(Method::POST, "/v1/events?wait=10s", Some(&event)).await?;
    let delivery = &posted["deliveries"][0];
    ensure!(delivery["state"] == "delivered", "the delivery is {}: {}", delivery["state"], delivery["last_attempt"]["failure"]);
    let attempt = &delivery["last_attempt"];
    ensure!(attempt["plugin"]["version"] == *version, "it was built by {}", attempt["plugin"]);
    let received = slack.next().await?;
    let told = received.json()?;
    ensure!(told["text"] == text, "Slack was told {} instead of {text:?}", told["text"]);
    ensure!(received.verified.as_deref() == Ok(delivery["id"].as_str().unwrap_or_default()), "Slack verified {:?}", received.verified);
    let by = version.as_u64().map_or("the one in the binary".to_owned(), |version| format!("version {version}"));
    let logged = attempt["log"]["lines"][0]["text"].as_str().map_or(String::new(), |line| format!(", which logged “{line}”"));
    step.say("Slack", format!("← {}", told["text"]));
    step.good(format!("signature verified; built by {by}{logged}"));
    Ok(())
}
