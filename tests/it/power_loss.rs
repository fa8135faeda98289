//! Everything that was answered is on disk: the power is cut at many moments of one run of the real binary, and each time the real binary
//! finds everything that it had answered before.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use hookwright_tests::{
    Endpoint, Process, Random, data_directory, files,
    power::{Log, Luck},
    preload::library,
    process::{finish, hookwright},
    run,
    wait::{eventually, within},
};
use serde_json::json;

const TOKEN: &str = "hwt_power";
/// Events that each poster posts.
const EVENTS: usize = 60;
const POSTERS: usize = 6;

/// Number of cuts; `tests/run power N` sets it.
fn cuts() -> usize {
    std::env::var("HOOKWRIGHT_TEST_POWER_CUTS").ok().and_then(|count| count.parse().ok()).unwrap_or(12)
}

/// Things that were answered, and the length of the log at that time.
type Answered = Arc<Mutex<Vec<(String, u64)>>>;

fn length(log: &Path) -> u64 {
    fs::metadata(log).expect("a log").len()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for (path, bytes) in files(from) {
        let to = to.join(path.strip_prefix(from).expect("a file below"));
        fs::create_dir_all(to.parent().expect("a directory")).expect("a directory");
        fs::write(to, bytes).expect("a file");
    }
}

#[test]
fn whenever_the_power_is_cut_everything_that_was_answered_is_there_again() {
    run(async {
        let mut random = Random::from_environment();
        let directory = data_directory();
        let top = directory.path().canonicalize().expect("a directory");
        let (root, log, key) = (top.join("root"), top.join("power.log"), top.join("key"));
        fs::create_dir(&root).expect("a directory");
        let data = root.join("data");
        fs::write(&key, "11".repeat(32)).expect("written");
        let answered = work(&root, &log, &key).await;
        let log = Log::read(&log);
        assert!(log.len() > 300, "only {} steps were seen", log.len());

        // The log contains everything: the disk it describes equals the real one.
        log.disk_after(log.len(), Luck::All, &top.join("whole"));
        let below = |files: Vec<(PathBuf, Vec<u8>)>, top: &Path| {
            files.into_iter().map(|(path, bytes)| (path.strip_prefix(top).expect("below").to_owned(), bytes)).collect::<Vec<_>>()
        };
        for part in ["store", "blobs"] {
            let (seen, there) = (top.join("whole/data").join(part), data.join(part));
            let (seen, there) = (below(files(&seen), &seen), below(files(&there), &there));
            assert!(seen == there, "{part} holds what was not seen being written");
        }

        for number in 0..cuts() {
            // Cut at any step, or right after an answer, when little more than the promise is on disk.
            let cut = match number % 2 {
                0 => log.records_in(answered[random.below(answered.len())].1),
                _ => random.below(log.len()) + 1,
            };
            let promised = answered.iter().filter(|(_, at)| log.records_in(*at) <= cut).map(|(id, _)| id.clone()).collect();
            let percent = [0, 20, 50, 80, 100][random.below(5)];
            let disk = top.join(format!("cut-{number}"));
            log.disk_after(cut, Luck::Chance(&mut random, percent), &disk);
            println!("cut {number}: before step {cut} of {}, {percent} % of what was not synced", log.len());
            check(&disk.join("data"), &data, &key, &promised).await;
            fs::remove_dir_all(&disk).expect("removed");
        }
    });
}

/// One run: several posters post events, with a compaction and an upload in between. Returns what was answered.
async fn work(root: &Path, log: &Path, key: &Path) -> Vec<(String, u64)> {
    let (library, data) = (library("power_log"), root.join("data"));
    let text = |path: &Path| path.to_str().expect("a path in UTF-8").to_owned();
    let (library, root, log_path, key) = (text(&library), text(root), text(log), text(key));
    let environment = [
        ("LD_PRELOAD", library.as_str()),
        ("HOOKWRIGHT_TEST_POWER_ROOT", &root),
        ("HOOKWRIGHT_TEST_POWER_LOG", &log_path),
        ("HOOKWRIGHT_KEY_FILE", &key),
        ("HOOKWRIGHT_ADMIN_TOKEN", TOKEN),
    ];
    let process = Process::serve_under(&data, &[], &environment).await;
    let endpoint = Endpoint::start().await;
    process.client.webhook("hook", json!({ "selectors": ["power.*"], "request": { "url": endpoint.url("/") } })).await;
    let answered: Answered = Arc::default();
    answered.lock().expect("the answers").push(("hook".into(), length(log)));
    let posters: Vec<_> = (0..POSTERS)
        .map(|poster| {
            let (client, answered, log) = (process.client.clone(), Arc::clone(&answered), log.to_owned());
            tokio::spawn(async move {
                for n in 0..EVENTS {
                    // Long events are stored in pieces, and fill the journal more than once.
                    let text = "x".repeat(if n % 4 == 0 { 200_000 } else { 200 });
                    let event = json!({ "trigger": "power.word", "id": format!("{poster}-{n}"), "data": text });
                    let (status, accepted) = client.post("/v1/events", &event).await;
                    assert_eq!(status, 202, "{accepted}");
                    let at = length(&log);
                    answered.lock().expect("the answers").push((accepted["id"].as_str().expect("an id").to_owned(), at));
                }
            })
        })
        .collect();
    let uploaded = process.client.script("kept", "export function receive() { return 'kept' }").await;
    answered.lock().expect("the answers").push((uploaded["digest"].as_str().expect("a digest").to_owned(), length(log)));
    let begun = process.client.post("/v1/compact", &json!({})).await;
    assert_eq!(begun.0, 202, "{}", begun.1);
    eventually("the end of the compaction", || async { (process.client.look("/v1/compact").await["state"] == "done").then_some(()) }).await;
    for poster in posters {
        within("the end of a poster", poster).await.expect("no answer but 202");
    }
    // More events after the compaction.
    for n in 0..20 {
        let (status, accepted) = process.client.post("/v1/events", &json!({ "trigger": "power.word", "data": n })).await;
        assert_eq!(status, 202, "{accepted}");
        answered.lock().expect("the answers").push((accepted["id"].as_str().expect("an id").to_owned(), length(log)));
    }
    assert!(process.terminate().await.success());
    Arc::try_unwrap(answered).expect("all posters are gone").into_inner().expect("the answers")
}

/// Runs the real binary on the content of a disk.
async fn check(disk: &Path, original: &Path, key: &Path, promised: &BTreeSet<String>) {
    // Compiled plugins are no records; copying them saves some seconds at each start.
    copy(&original.join("cache"), &disk.join("cache"));
    let key = key.to_str().expect("a path in UTF-8");
    if promised.is_empty() && !disk.join("store/current").exists() {
        // The very first start was cut off, so there is nothing to find yet.
        let started = finish(hookwright(&["backup", "--to"]).arg(disk.join("none")).arg("--data").arg(disk)).await;
        assert!(!started.stderr.contains("panicked"), "{}", started.stderr);
        return;
    }
    let process = Process::serve_under(disk, &[], &[("HOOKWRIGHT_KEY_FILE", key), ("HOOKWRIGHT_ADMIN_TOKEN", TOKEN)]).await;
    let mut found = BTreeSet::new();
    let mut next = Some(String::new());
    while let Some(after) = next {
        let page = process.client.look(&format!("/v1/events?limit=500&after={after}")).await;
        found.extend(page["data"].as_array().into_iter().flatten().filter_map(|event| event["id"].as_str()).map(str::to_owned));
        next = page["next"].as_str().map(str::to_owned);
    }
    let lost: Vec<_> = promised.iter().filter(|id| id.starts_with("evt_") && !found.contains(*id)).collect();
    assert!(lost.is_empty(), "{} of {} events are lost, as {}", lost.len(), promised.len(), lost[0]);
    if promised.contains("hook") {
        process.client.look("/v1/webhooks/hook").await;
    }
    for id in promised.iter().filter(|id| id.starts_with("evt_")).step_by(10) {
        let shown = process.client.look(&format!("/v1/events/{id}")).await;
        assert_eq!(shown["deliveries"].as_array().map(Vec::len), Some(1), "{shown}");
    }
    for digest in promised.iter().filter_map(|id| id.strip_prefix("sha256:")) {
        let bytes = fs::read(disk.join("blobs").join(digest)).expect("the plugin's bytes");
        assert!(String::from_utf8_lossy(&bytes).contains("kept"));
        assert_eq!(process.client.look("/v1/plugins/kept").await["active"], 1);
    }
    // The host accepts more events.
    assert_eq!(process.client.post("/v1/events", &json!({ "trigger": "power.more" })).await.0, 202);
    process.kill().await;
}
