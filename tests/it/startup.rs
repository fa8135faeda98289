//! A start with many plugins: plugins that were compiled before are not compiled again, and the host is ready at once.

use std::{collections::BTreeMap, fs, path::Path, time::Instant};

use hookwright_tests::{Endpoint, Process, guests::echo, run};
use serde_json::json;

/// Number of plugins by default; `tests/run startup N` sets it.
const PLUGINS: u32 = 6;

fn plugins() -> u32 {
    std::env::var("HOOKWRIGHT_TEST_PLUGINS").ok().and_then(|number| number.parse().ok()).unwrap_or(PLUGINS)
}

/// Every compiled plugin in the cache, and when it was written.
fn artifacts(data: &Path) -> BTreeMap<String, std::time::SystemTime> {
    let files = fs::read_dir(data.join("cache/artifacts")).expect("the cache").flatten();
    files
        .map(|file| (file.file_name().to_string_lossy().into_owned(), file.metadata().and_then(|meta| meta.modified()).expect("a time")))
        .collect()
}

#[test]
fn plugins_that_were_compiled_before_are_not_compiled_at_a_start() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let (data, endpoint, plugins) = (directory.path().join("data"), Endpoint::start().await, plugins());
        let host = Process::serve(&data).await;
        for number in 0..plugins {
            let name = format!("plugin-{number}");
            host.client.plugin(&name, echo(number)).await;
            host.client.webhook(&name, json!({ "transform": name, "selectors": [], "request": { "url": endpoint.url("/") } })).await;
        }
        // Built-in plugins are compiled in the background.
        hookwright_tests::wait::eventually("the built-in plugins to be compiled", || async {
            host.log().contains("the active plugins are ready").then_some(())
        })
        .await;
        assert!(host.terminate().await.success());
        let before = artifacts(&data);
        assert!(before.len() >= plugins as usize, "{before:?}");

        let begun = Instant::now();
        let host = Process::serve(&data).await;
        assert_eq!(host.client.get("/readyz").await.0, 200);
        let ready = begun.elapsed();
        for number in 0..plugins {
            host.client.invoke(&format!("plugin-{number}"), json!({})).await;
            assert!(endpoint.next_request().await.text().contains(&format!("{number:04}")));
        }
        println!(
            "{plugins} cached plugins: ready {} ms after the start, each called once {} ms after it",
            ready.as_millis(),
            begun.elapsed().as_millis()
        );
        assert_eq!(artifacts(&data), before, "nothing was compiled");
        assert!(host.terminate().await.success());
    });
}
