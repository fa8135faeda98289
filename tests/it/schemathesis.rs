//! Schemathesis checks each description of the API against a running host: with examples, edge values, random documents, and chains of
//! calls that use earlier results. It looks for server errors, and for statuses, media types and documents that are not described.

use std::{process::Stdio, time::Duration};

use hookwright_tests::{Client, Endpoint, Process, Script, data_directory, host::TOKEN, root, run};
use serde_json::json;
use tokio::process::Command;

/// Time that schemathesis may take beyond its time limit, to start and to report.
const MORE: Duration = Duration::from_secs(120);

/// The parts of schemathesis's work: single calls, or chains of calls.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Single,
    Chains,
}

async fn attack(description: &str, part: Part, seconds: u64) {
    let program = root().join("target/interop/schemathesis/bin/schemathesis");
    if !program.is_file() {
        eprintln!("skipped: there is no {}; tests/run installs it", program.display());
        return;
    }
    let directory = data_directory();
    let backups = directory.path().join("backups");
    let environment = [("HOOKWRIGHT_ADMIN_TOKEN", TOKEN), ("HOOKWRIGHT_BACKUP_DIR", backups.to_str().expect("a path"))];
    let process = Process::serve_under(&directory.path().join("data"), &[], &environment).await;
    let endpoint = Endpoint::start().await;
    endpoint.always(Script::json(json!({ "ok": true })));
    if part == Part::Chains {
        furnish(&process.client, &endpoint).await;
    }
    let phases = if part == Part::Chains { "stateful" } else { "examples,coverage,fuzzing" };
    let mut command = Command::new(&program);
    command
        .arg("--config-file")
        .arg(root().join("tests/schemathesis.toml"))
        .args(["run", &format!("http://{}{description}", process.address), "--no-color", "--no-shrink", "--request-timeout", "60"])
        .args(["--phases", phases, "--max-time", &seconds.to_string(), "--header", &format!("Authorization: Bearer {TOKEN}")])
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let ended = tokio::time::timeout(Duration::from_secs(seconds) + MORE, command.output()).await.expect("its end in time");
    let output = ended.expect("schemathesis runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}\n{said}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    let told = ["generated", "Tested", "Links:", "Scenarios:"];
    eprintln!("{}", said.lines().filter(|line| told.iter().any(|word| line.contains(word))).collect::<Vec<_>>().join("\n"));
    if part == Part::Chains {
        assert!(!said.contains("API Links:    0 covered"), "no link was followed:\n{said}");
    }
    // The host is still ready, so no call broke more than itself.
    assert_eq!(process.client.get("/readyz").await.0, 200);
    let log = process.log();
    assert!(!log.contains("panicked"), "{log}");
    assert!(process.terminate().await.success());
}

/// Creates several things of every kind, so that chains have a beginning: most random documents are refused.
async fn furnish(client: &Client, endpoint: &Endpoint) {
    client.script("greets", "export function transform() { return { body: { text: 'hello' } }; }").await;
    client.script("greets", "export function transform() { return { body: { text: 'hello again' } }; }").await;
    for n in 0..12 {
        let hook =
            json!({ "selectors": ["told.*"], "request": { "url": endpoint.url("/in") }, "retry": { "attempts": 2, "gap_seconds": 1 } });
        client.webhook(&format!("hook-{n}"), hook).await;
        let code = client.receiver(&format!("receiver-{n}"), json!({ "reply": { "message": "done" } })).await;
        client.call(&code, "", "").await;
        client.put(&format!("/v1/actions/action-{n}"), &json!({ "reply": { "message": "done" } })).await;
        client.put(&format!("/v1/services/Folder/Service{n}.FeatureServer"), &json!({ "capabilities": ["Query"] })).await;
        client.secret(&format!("secret-{n}"), "canary").await;
        client.event(json!({ "trigger": "told.word", "session": format!("s{n}"), "data": { "n": n } })).await;
    }
}

#[test]
fn the_api_does_what_its_description_says() {
    run(attack("/openapi.json", Part::Single, 35));
}

#[test]
fn what_the_api_made_can_be_worked_with_as_its_links_say() {
    run(attack("/openapi.json", Part::Chains, 30));
}

#[test]
fn arcgis_api_does_what_its_description_says() {
    run(attack("/openapi-arcgis.json", Part::Single, 15));
}

#[test]
fn dialogflows_api_does_what_its_description_says() {
    run(attack("/openapi-v3.json", Part::Single, 10));
}
