//! The files that an operator starts with: everything they name exists.

use std::collections::BTreeSet;

use hookwright_tests::{TestHost, binary, process::finish, root, run};
use http::Method;
use serde_json::Value;

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The metric family of every `hookwright_...` in a text.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    let family = |word: &str| {
        let word = ["_bucket", "_count", "_sum", "_total"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word);
        word.to_owned()
    };
    words.filter(|word| word.starts_with("hookwright_")).map(family).collect()
}

#[test]
fn alerts_and_the_dashboard_ask_for_metrics_there_are() {
    run(async {
        let host = TestHost::start().await;
        let served = host.client.send(Method::GET, "/metrics", &[], "").await.text();
        let mut there = metrics(&served);
        assert!(there.len() > 15, "{served}");
        // A family without a series is not in the output, but the metrics page has all of them.
        let page = read("host/docs/metrics.md");
        let table = page.split("| metric (`hookwright_...`)").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("the table");
        let names = table.lines().filter_map(|row| row.split('|').nth(1)).flat_map(|names| names.split('`')).map(str::trim);
        there.extend(names.flat_map(|name| metrics(&format!("hookwright_{name}"))));
        for file in ["host/packaging/alerts.yml", "host/packaging/grafana.json"] {
            let asked = metrics(&read(file));
            assert!(!asked.is_empty(), "{file} asks for nothing");
            let missing: Vec<_> = asked.difference(&there).collect();
            assert!(missing.is_empty(), "{file} asks for what no host says: {missing:?}");
        }
        let dashboard: Value = serde_json::from_str(&read("host/packaging/grafana.json")).expect("JSON");
        assert!(dashboard["panels"].as_array().is_some_and(|panels| panels.iter().all(|panel| panel["targets"][0]["expr"].is_string())));
    });
}

#[test]
fn the_unit_and_the_images_start_a_command_there_is_with_settings_there_are() {
    run(async {
        for file in ["host/packaging/hookwright.service", "host/packaging/Dockerfile", ".ci/image.py"] {
            let text = read(file);
            assert!(text.contains("serve"), "{file}");
            let variables = text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
            let directory = tempfile::tempdir().expect("a directory");
            let mut command = tokio::process::Command::new(binary());
            command.args(["config", "show"]).env("HOOKWRIGHT_DATA", directory.path());
            for variable in variables.filter(|word| word.starts_with("HOOKWRIGHT_")) {
                // The values are used as they are; the host refuses unknown variables.
                let value =
                    if variable == "HOOKWRIGHT_DATA" { directory.path().display().to_string() } else { "127.0.0.1:8400".to_owned() };
                command.env(variable, value);
            }
            let shown = finish(&mut command).await;
            assert!(shown.status.success(), "{file}: {}", shown.stderr);
        }
    });
}
