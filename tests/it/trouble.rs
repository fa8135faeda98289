//! Trouble around a host: the disk, the data directory, the clock, signals. It gives clear messages, does not panic and loses nothing.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::Command,
};

use hookwright_tests::{
    Endpoint, Gate, Process, Script, data_directory,
    preload::library,
    process::{Finished, finish, hookwright},
    run,
    wait::{eventually, within},
};
use http::Method;
use serde_json::{Value, json};

/// A disk in memory that can be full or read-only.
struct Disk {
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Disk {
    /// `None`, with a line that says why, if this machine does not allow mounting.
    fn of(mebibytes: u32) -> Option<Self> {
        let directory = data_directory();
        let path = directory.path().join("disk");
        std::fs::create_dir(&path).expect("a directory");
        let disk = Self { path, _directory: directory };
        let mounted = disk.mount(&["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"]);
        if !mounted {
            println!("SKIPPED: no disk can be mounted here");
        }
        mounted.then_some(disk)
    }

    fn mount(&self, arguments: &[&str]) -> bool {
        Command::new("mount").args(arguments).arg(&self.path).output().is_ok_and(|output| output.status.success())
    }

    fn resize(&self, mebibytes: u32) {
        assert!(self.mount(&["-o", &format!("remount,size={mebibytes}m")]), "a disk that can be resized");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.path).output());
    }
}

/// A configuration file beside the data.
fn configured(data: &Path, text: &str) -> String {
    let path = data.with_extension("toml");
    std::fs::write(&path, text).expect("written");
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// A host with this configuration file.
async fn serve_configured(data: &Path, text: &str) -> Process {
    Process::serve_under(data, &[], &[("HOOKWRIGHT_CONFIG", &configured(data, text))]).await
}

fn refused(finished: &Finished, says: &str) {
    assert_eq!(finished.status.code(), Some(1), "{}", finished.all());
    assert!(finished.stderr.contains(says), "{says} is not in {}", finished.stderr);
    assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
}

async fn serve_once(data: &Path) -> Finished {
    finish(hookwright(&["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data)).await
}

/// Posts long events until one is refused. Returns the accepted events and the refusal.
async fn fill(process: &Process) -> (Vec<String>, hookwright_tests::Answered) {
    let mut accepted = Vec::new();
    let text = "x".repeat(200_000);
    for n in 0..2000 {
        let event = json!({ "trigger": "fill.word", "id": n.to_string(), "data": text }).to_string();
        let answered = process.client.send(Method::POST, "/v1/events", &[("content-type", "application/json")], event).await;
        if answered.status != 202 {
            return (accepted, answered);
        }
        accepted.push(answered.json()["id"].as_str().expect("an id").to_owned());
    }
    panic!("400 MB were accepted by a disk that has less");
}

async fn all_there(process: &Process, ids: &[String]) {
    for id in ids {
        let (status, event) = process.client.get(&format!("/v1/events/{id}")).await;
        assert_eq!(status, 200, "{id}: {event}");
        assert_eq!(event["data"].as_str().map(str::len), Some(200_000), "{id}");
    }
}

/// Tests a host that cannot write any more, and what it finds when it can again.
async fn outlives_a_full_disk(data: &Path, full: Process, make_room: impl FnOnce(), environment: &[(&str, &str)]) {
    let (accepted, answer) = fill(&full).await;
    assert!(accepted.len() > 10, "only {} were accepted", accepted.len());
    assert_eq!((answer.status, answer.header("retry-after").is_empty()), (503, false), "{}", answer.text());
    // The host still answers reads where it can, and reports its state. (sled repairs some pages while it reads them, and then refuses.)
    for id in &accepted[..5] {
        let (status, event) = full.client.get(&format!("/v1/events/{id}")).await;
        assert!(status == 503 || event["data"].as_str().map(str::len) == Some(200_000), "{status} {event}");
    }
    assert_eq!(full.client.get("/healthz").await.0, 200);
    let (status, ready) = full.client.get("/readyz").await;
    assert_eq!(status, 503, "{ready}");
    assert!(ready["detail"].as_str().is_some_and(|detail| detail.contains("disk")), "{ready}");
    for _ in 0..3 {
        assert_eq!(full.client.post("/v1/events", &json!({ "trigger": "fill.word" })).await.0, 503);
    }
    assert!(!full.log().contains("panicked"), "{}", full.log());
    assert!(full.terminate().await.success());
    make_room();
    let process = Process::serve_under(data, &[], environment).await;
    all_there(&process, &accepted).await;
    assert_eq!(process.client.post("/v1/events", &json!({ "trigger": "fill.word", "data": "again" })).await.0, 202);
    process.kill().await;
}

#[test]
fn a_full_disk_is_survived_without_a_loss() {
    run(async {
        let Some(disk) = Disk::of(48) else { return };
        let data = disk.path.join("data");
        let config = configured(&data, "limits.disk_free_bytes_min = 0");
        let environment = [("HOOKWRIGHT_CONFIG", config.as_str())];
        let process = Process::serve_under(&data, &[], &environment).await;
        outlives_a_full_disk(&data, process, || disk.resize(400), &environment).await;
    });
}

#[test]
fn a_file_that_may_not_grow_is_survived_without_a_loss() {
    run(async {
        let directory = data_directory();
        let data = directory.path().join("data");
        // Blocks of 512 bytes. Without the trap, the system would kill the process.
        let limited = ["sh", "-c", "trap '' XFSZ; ulimit -f 40000; exec \"$@\"", "sh"];
        let process = Process::serve_under(&data, &limited, &[]).await;
        outlives_a_full_disk(&data, process, || {}, &[]).await;
    });
}

#[test]
fn below_the_floor_nothing_new_is_taken_until_there_is_room() {
    run(async {
        let Some(disk) = Disk::of(96) else { return };
        let data = disk.path.join("data");
        let process = serve_configured(&data, "[limits]\ndisk_free_bytes_min = 41943040").await;
        let client = &process.client;
        let code = client.receiver("crm", json!({ "reply": { "message": "noted" } })).await;
        assert_eq!(client.call(&code, "", "").await.status, 200);
        let (accepted, answer) = fill(&process).await;
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert_eq!(answer.header("retry-after"), "5");
        assert!(answer.text().contains("bytes are free"), "{}", answer.text());
        let calls = client.look("/v1/calls").await["data"].as_array().map(Vec::len);
        let call = client.call(&code, "", "").await;
        assert_eq!((call.status, call.header("retry-after")), (503, "5"), "{}", call.text());
        assert_eq!(client.look("/v1/calls").await["data"].as_array().map(Vec::len), calls, "nothing half-accepted");
        // Invalid input still gets its own error, accepted events are there, and the host is healthy.
        assert_eq!(client.post("/v1/events", &json!({ "triger": "x" })).await.0, 400);
        all_there(&process, &accepted[accepted.len() - 3..]).await;
        assert_eq!(client.get("/readyz").await.0, 200);
        disk.resize(400);
        eventually("room", || async { (client.post("/v1/events", &json!({ "trigger": "fill.word" })).await.0 == 202).then_some(()) }).await;
        assert_eq!(client.call(&code, "", "").await.status, 200);
        process.kill().await;
    });
}

#[test]
fn a_directory_that_cannot_be_written_is_refused() {
    run(async {
        let Some(disk) = Disk::of(48) else { return };
        let data = disk.path.join("data");
        let process = serve_configured(&data, "limits.disk_free_bytes_min = 0").await;
        assert_eq!(process.client.post("/v1/events", &json!({ "trigger": "kept.word" })).await.0, 202);
        process.kill().await;
        // The kernel may still be closing the files of the process.
        eventually("a disk that can be made read-only", || async { disk.mount(&["-o", "remount,ro"]).then_some(()) }).await;
        refused(&serve_once(&data).await, "mount it writable");
        refused(&serve_once(&disk.path.join("new")).await, "cannot be");
        assert!(disk.mount(&["-o", "remount,rw"]), "a disk that can be written again");
        let process = Process::serve(&data).await;
        assert_eq!(process.client.look("/v1/events").await["data"].as_array().map(Vec::len), Some(1));
        process.kill().await;
    });
}

#[test]
fn a_second_host_on_the_same_directory_is_refused_and_the_first_goes_on() {
    run(async {
        let directory = data_directory();
        let data = directory.path().join("data");
        let process = Process::serve(&data).await;
        refused(&serve_once(&data).await, "in use by another process");
        assert_eq!(process.client.post("/v1/events", &json!({ "trigger": "kept.word" })).await.0, 202);
        process.kill().await;
    });
}

#[test]
fn damaged_files_are_refused_with_what_to_do() {
    run(async {
        let directory = data_directory();
        let data = directory.path().join("data");
        let mut process = Process::serve(&data).await;
        for n in 0..300 {
            let event = json!({ "trigger": "kept.word", "data": "x".repeat(3000), "id": n.to_string() });
            assert_eq!(process.client.post("/v1/events", &event).await.0, 202);
        }
        // The second start writes the journal's records into the tree, the third a snapshot of the tree.
        for _ in 0..2 {
            process.kill().await;
            process = Process::serve(&data).await;
        }
        for n in 0..3 {
            assert_eq!(process.client.post("/v1/events", &json!({ "trigger": "kept.word", "data": n })).await.0, 202);
        }
        process.kill().await;
        let generation = data.join("store/gen-1");
        let whole: HashMap<PathBuf, Vec<u8>> = std::fs::read_dir(&generation)
            .expect("a directory")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.is_file())
            .map(|path| (path.clone(), std::fs::read(path).expect("a file")))
            .collect();
        let snapshot = whole.keys().find(|path| path.to_string_lossy().contains("snap.")).expect("a snapshot").clone();
        let db = generation.join("db");
        let length = whole[&db].len();
        let mut flipped = whole[&db].clone();
        flipped.iter_mut().skip(length / 8).step_by(4096).for_each(|byte| *byte ^= 255);
        // The number of a journal's turn is at the start of a frame.
        let journal = ["journal-0", "journal-1"].map(|name| generation.join(name));
        let turn = |path: &PathBuf| u64::from_le_bytes(whole[path][8..16].try_into().expect("eight bytes"));
        let journal = journal.into_iter().max_by_key(turn).expect("two files");
        let mut flipped_journal = whole[&journal].clone();
        flipped_journal[30] ^= 255;
        let damages: [(&str, PathBuf, Vec<u8>); 6] = [
            ("a byte of the journal", journal, flipped_journal),
            ("a shorter db", db.clone(), whole[&db][..length / 3].to_vec()),
            ("an empty db", db.clone(), Vec::new()),
            ("bytes of the db", db.clone(), flipped),
            ("a snapshot of something else", snapshot, b"something else".to_vec()),
            ("current", data.join("store/current"), b"{".to_vec()),
        ];
        for (what, path, bytes) in damages {
            println!("{what}");
            let before = std::fs::read(&path).expect("a file");
            std::fs::write(&path, bytes).expect("damaged");
            // A page is read when it is needed; a backup reads all of them.
            let backup = directory.path().join("backup");
            let finished = match what {
                "bytes of the db" => finish(hookwright(&["backup", "--data"]).arg(&data).arg("--to").arg(&backup)).await,
                _ => serve_once(&data).await,
            };
            refused(&finished, "restore it from a backup");
            drop(std::fs::remove_dir_all(&backup));
            std::fs::write(&path, before).expect("written");
            for entry in std::fs::read_dir(&generation).expect("a directory").map(|entry| entry.expect("an entry").path()) {
                if entry.is_file() {
                    std::fs::remove_file(entry).expect("removed");
                }
            }
            for (path, bytes) in &whole {
                std::fs::write(path, bytes).expect("written");
            }
        }
        let process = Process::serve(&data).await;
        assert_eq!(process.client.look("/v1/events?limit=500").await["data"].as_array().map(Vec::len), Some(303));
        process.kill().await;
        // The engine's settings are its defaults, so it writes them again.
        std::fs::write(generation.join("conf"), "").expect("written");
        let process = Process::serve(&data).await;
        assert_eq!(process.client.look("/v1/events?limit=500").await["data"].as_array().map(Vec::len), Some(303));
        process.kill().await;
        std::fs::remove_dir_all(&generation).expect("removed");
        refused(&serve_once(&data).await, "restore it from a backup");
    });
}

/// Events whose deliveries are being sent, or wait behind those. Returns their number.
async fn in_flight(process: &Process, endpoint: &Endpoint, gate: &Gate) -> usize {
    endpoint.always(Script::status(200).behind(gate));
    process
        .client
        .webhook("slow", json!({ "selectors": ["slow.*"], "limits": { "in_flight": 8 }, "request": { "url": endpoint.url("/") } }))
        .await;
    let count = 20;
    for n in 0..count {
        assert_eq!(process.client.post("/v1/events", &json!({ "trigger": "slow.word", "data": n })).await.0, 202);
    }
    for _ in 0..8 {
        endpoint.next_request().await;
    }
    count
}

async fn all_delivered(process: &Process, count: usize) {
    eventually("all are delivered", || async {
        let list = process.client.look("/v1/deliveries?webhook=slow&state=delivered&limit=500").await;
        (list["data"].as_array().map(Vec::len) == Some(count)).then_some(())
    })
    .await;
}

/// How often each delivery arrived.
fn arrivals(endpoint: &Endpoint) -> HashMap<String, usize> {
    let mut arrivals = HashMap::new();
    endpoint.seen().iter().for_each(|seen| *arrivals.entry(seen.header("webhook-id").to_owned()).or_default() += 1);
    arrivals
}

#[test]
fn what_ends_within_the_drain_limit_is_delivered_once() {
    run(async {
        let directory = data_directory();
        let data = directory.path().join("data");
        let (endpoint, gate) = (Endpoint::start().await, Gate::new());
        let process = Process::serve(&data).await;
        let count = in_flight(&process, &endpoint, &gate).await;
        let ending = tokio::spawn(process.terminate());
        gate.open();
        assert!(within("its end", ending).await.expect("it ends").success());
        let process = Process::serve(&data).await;
        all_delivered(&process, count).await;
        let arrivals = arrivals(&endpoint);
        assert!(arrivals.len() == count && arrivals.values().all(|times| *times == 1), "{arrivals:?}");
        process.kill().await;
    });
}

#[test]
fn a_stop_waits_no_longer_than_its_limit_and_loses_nothing() {
    run(async {
        let directory = data_directory();
        let data = directory.path().join("data");
        let (endpoint, gate) = (Endpoint::start().await, Gate::new());
        let process = serve_configured(&data, "limits.drain_seconds_max = 1").await;
        let count = in_flight(&process, &endpoint, &gate).await;
        // The gate stays closed, so the stop cannot have waited for the end of the attempts.
        assert!(process.terminate().await.success());
        gate.open();
        let process = Process::serve(&data).await;
        all_delivered(&process, count).await;
        assert!(process.log().contains("did not end in time"));
        // Only deliveries that had been sent were sent again.
        assert!(arrivals(&endpoint).values().filter(|times| **times > 1).count() <= 8, "{:?}", arrivals(&endpoint));
        process.kill().await;
    });
}

#[test]
fn a_second_signal_ends_it_at_once_and_loses_nothing() {
    run(async {
        let directory = data_directory();
        let data = directory.path().join("data");
        let (endpoint, gate) = (Endpoint::start().await, Gate::new());
        let process = Process::serve(&data).await;
        let count = in_flight(&process, &endpoint, &gate).await;
        process.ask_to_stop();
        eventually("the first signal", || async { process.log().contains("stopping").then_some(()) }).await;
        let status = process.terminate().await;
        assert_eq!(status.code(), Some(1));
        gate.open();
        let process = Process::serve(&data).await;
        all_delivered(&process, count).await;
        process.kill().await;
    });
}

/// The wall clock of a process. A file sets it.
struct Wall(PathBuf);

impl Wall {
    fn new(directory: &Path) -> Self {
        let wall = Self(directory.join("clock"));
        wall.set(0);
        wall
    }

    fn set(&self, seconds: i64) {
        // Write in place, because the process has mapped the file.
        let mut file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(&self.0).expect("a file");
        std::io::Write::write_all(&mut file, &seconds.to_le_bytes()).expect("written");
    }
}

#[test]
fn a_clock_that_jumps_loses_nothing_and_delays_nothing() {
    run(async {
        let directory = data_directory();
        let data = directory.path().join("data");
        let wall = Wall::new(directory.path());
        let library = library("clock");
        let text = |path: &Path| path.to_str().expect("a path in UTF-8").to_owned();
        let (library, file) = (text(&library), text(&wall.0));
        let process = Process::serve_under(&data, &[], &[("LD_PRELOAD", &library), ("HOOKWRIGHT_TEST_CLOCK_FILE", &file)]).await;
        let client = &process.client;
        let endpoint = Endpoint::start().await;
        let hook = json!({ "selectors": ["clock.*"], "retry": { "schedule_seconds": [2, 2, 2] }, "request": { "url": endpoint.url("/") } });
        client.webhook("hook", hook).await;
        let post = |n: &'static str| json!({ "trigger": "clock.word", "id": n, "session": "s", "parameters": { "n": n } });

        // The clock goes back an hour while a delivery waits for two seconds: it still waits only two seconds.
        endpoint.next(Script::status(500));
        assert_eq!(client.post("/v1/events", &post("back")).await.0, 202);
        endpoint.next_request().await;
        eventually("a delivery that waits", || async {
            (client.look("/v1/deliveries?state=waiting").await["data"].as_array().map(Vec::len) == Some(1)).then_some(())
        })
        .await;
        wall.set(-3600);
        endpoint.next_request().await;
        assert_eq!(client.parameters("s").await, json!({ "n": "back" }));
        assert_eq!(client.post("/v1/events", &post("back")).await.1["duplicate"], true);
        eventually("a line in the log", || async { process.log().contains("was set back").then_some(()) }).await;

        // The clock goes forward a day: what had a shorter time to live is gone, and everything works.
        endpoint.next(Script::status(500));
        assert_eq!(client.post("/v1/events", &post("forward")).await.0, 202);
        endpoint.next_request().await;
        wall.set(25 * 3600);
        endpoint.next_request().await;
        assert_eq!(client.parameters("s").await, json!({}));
        let again = client.post("/v1/events", &post("back")).await;
        assert_eq!((again.0, again.1["duplicate"].is_null()), (202, true), "{}", again.1);
        endpoint.next_request().await;
        eventually("a line in the log", || async { process.log().contains("jumped forward").then_some(()) }).await;
        eventually("all is delivered", || async {
            let list = client.look("/v1/deliveries?webhook=hook&state=delivered").await;
            (list["data"].as_array().map(Vec::len) == Some(3)).then_some(())
        })
        .await;
        assert!(!process.log().contains("panicked"));
        process.kill().await;

        // A start with the right time after a run with a wrong one.
        let process = Process::serve(&data).await;
        let deliveries: Value = process.client.look("/v1/deliveries?webhook=hook&state=delivered").await;
        assert_eq!(deliveries["data"].as_array().map(Vec::len), Some(3));
        assert_eq!(process.client.post("/v1/events", &post("after")).await.0, 202);
        endpoint.next_request().await;
        process.kill().await;
    });
}

#[test]
fn a_stop_ends_the_wait_for_attempts_that_are_not_made_yet() {
    run(async {
        let (directory, endpoint) = (data_directory(), Endpoint::start().await);
        // It is shorter than the wait, so a stop that waits for it reports that.
        let environment = [("HOOKWRIGHT_LIMITS_DRAIN_SECONDS_MAX", "30")];
        let data = directory.path().join("data");
        let process = Process::serve_under(&data, &[], &environment).await;
        endpoint.always(Script::status(429).header("retry-after", "3600"));
        process.client.webhook("w", json!({ "selectors": ["stop.*"], "request": { "url": endpoint.url("/") } })).await;
        process.client.event(json!({ "trigger": "stop.now", "data": 1 })).await;
        // The endpoint's circuit breaker is open now, so the next event is not tried.
        let client = process.client.clone();
        let waiting = tokio::spawn(async move { client.post("/v1/events?wait=60s", &json!({ "trigger": "stop.now", "data": 2 })).await });
        eventually("it is accepted", || async {
            let deliveries = process.client.look("/v1/deliveries").await;
            (deliveries["data"].as_array().is_some_and(|deliveries| deliveries.len() == 2)).then_some(())
        })
        .await;
        process.ask_to_stop();
        let (status, answer) = waiting.await.expect("it ends");
        assert_eq!((status, &answer["deliveries"][0]["attempts"]), (200, &json!(0)), "{answer}");
        assert!(process.ended().await.success());
        assert!(!std::fs::read_to_string(data.with_extension("log")).expect("the log").contains("did not end in time"));
    });
}
