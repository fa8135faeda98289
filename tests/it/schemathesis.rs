//! Each description of the API, held against a running host by schemathesis: examples, edge values, random documents good and bad, and
//! chains of calls that use what others made. No server error, no status, media type or document that is not described.

use std::{process::Stdio, time::Duration};

use hookwright_tests::{Process, data_directory, host::TOKEN, root, run};
use tokio::process::Command;

/// How long beyond its own time it may take to begin and to say what it found.
const MORE: Duration = Duration::from_secs(120);

async fn attack(description: &str, seconds: u64) {
    let program = root().join("target/interop/schemathesis/bin/schemathesis");
    if !program.is_file() {
        eprintln!("skipped: there is no {}; tests/run installs it", program.display());
        return;
    }
    let directory = data_directory();
    let backups = directory.path().join("backups");
    let environment = [("HOOKWRIGHT_ADMIN_TOKEN", TOKEN), ("HOOKWRIGHT_BACKUP_DIR", backups.to_str().expect("a path"))];
    let process = Process::serve_under(&directory.path().join("data"), &[], &environment).await;
    let mut command = Command::new(&program);
    command
        .arg("--config-file")
        .arg(root().join("tests/schemathesis.toml"))
        .args(["run", &format!("http://{}{description}", process.address), "--no-color", "--no-shrink", "--request-timeout", "60"])
        .args(["--max-time", &seconds.to_string(), "--header", &format!("Authorization: Bearer {TOKEN}")])
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let ended = tokio::time::timeout(Duration::from_secs(seconds) + MORE, command.output()).await.expect("its end in time");
    let output = ended.expect("schemathesis runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}\n{said}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    eprintln!("{}", said.lines().filter(|line| ["generated", "Tested", "Links", "Scenarios", "links"].iter().any(|word| line.contains(word))).collect::<Vec<_>>().join("\n"));
    // It still is what it was: no call has brought down more than itself.
    assert_eq!(process.client.get("/readyz").await.0, 200);
    let log = process.log();
    assert!(!log.contains("panicked"), "{log}");
    assert!(process.terminate().await.success());
}

#[test]
fn the_api_does_what_its_description_says() {
    run(attack("/openapi.json", 45));
}

#[test]
fn arcgis_api_does_what_its_description_says() {
    run(attack("/openapi-arcgis.json", 15));
}

#[test]
fn dialogflows_api_does_what_its_description_says() {
    run(attack("/openapi-v3.json", 15));
}
