//! Backup, restore and compaction, as an administrator does them.

use hookwright_tests::{
    Endpoint, Process, data_directory,
    guests::echo,
    host::TOKEN,
    process::{Finished, finish, hookwright},
    run, shared,
    wait::eventually,
};
use serde_json::{Value, json};

async fn command(arguments: &[&str]) -> Finished {
    finish(&mut hookwright(arguments)).await
}

#[test]
fn a_backup_of_a_running_host_is_restored_and_served_elsewhere() {
    run(async {
        let directory = data_directory();
        let path = |name: &str| directory.path().join(name).to_str().expect("a path in UTF-8").to_owned();
        let (data, backup, other) = (path("data"), path("backup"), path("other"));
        let endpoint = Endpoint::start().await;
        let process = Process::serve(data.as_ref()).await;
        let client = &process.client;
        client.secret("key", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").await;
        client.plugin("echo", echo(4)).await;
        let hook = json!({ "selectors": ["kept.*"], "transform": "echo", "signing": { "secrets": ["$secret:key"] }, "request": { "url": endpoint.url("/") } });
        client.webhook("hook", hook).await;
        let code = client.receiver("crm", json!({ "reply": { "message": "noted" } })).await;
        let accepted = client.event(json!({ "trigger": "kept.word", "data": "before" })).await;
        endpoint.next_request().await;

        let url = client.url("");
        let taken = finish(hookwright(&["backup", "--to", &backup, "--data", &data, "--json"]).env("HOOKWRIGHT_URL", url)).await.success();
        let taken: Value = serde_json::from_str(&taken.stdout).expect("JSON");
        assert_eq!(taken["state"], "done", "{taken}");
        // Built-in plugins are stored in the background.
        assert!(taken["plugins"].as_u64() >= Some(1), "{taken}");
        assert!(taken["note"].as_str().is_some_and(|note| note.contains("storage key")));
        let status = client.look("/v1/backup").await;
        assert_eq!(status, taken);
        // An event after the backup is not in it.
        let after = client.event(json!({ "trigger": "kept.word", "data": "after" })).await;
        let token = std::fs::read_to_string(format!("{data}/admin-token")).expect("a token");
        process.kill().await;
        for secret in [format!("{backup}/key"), format!("{backup}/admin-token"), format!("{backup}/cache")] {
            assert!(!std::path::Path::new(&secret).exists(), "{secret}");
        }

        let restored = command(&["restore", "--from", &backup, "--data", &other]).await.success();
        assert!(restored.stdout.contains("storage key"), "{}", restored.stdout);
        let refused = command(&["restore", "--from", &backup, "--data", &other]).await;
        assert_eq!(refused.status.code(), Some(1));
        assert!(refused.stderr.contains("is not empty"), "{}", refused.stderr);
        // Without its key the host says what is missing; with another key, what is wrong.
        let refused = command(&["serve", "--listen", "127.0.0.1:0", "--data", &other]).await;
        assert!(refused.stderr.contains("put the key back"), "{}", refused.stderr);
        std::fs::write(format!("{other}/key"), "22".repeat(32)).expect("written");
        let refused = command(&["serve", "--listen", "127.0.0.1:0", "--data", &other]).await;
        assert!(refused.stderr.contains("does not belong to this store"), "{}", refused.stderr);
        std::fs::copy(format!("{data}/key"), format!("{other}/key")).expect("copied");
        let process = Process::serve(other.as_ref()).await;
        let client = process.client.with_token(Some(token.trim()));
        assert_eq!(client.get(&format!("/v1/events/{}", accepted["id"].as_str().expect("an id"))).await.0, 200);
        assert_eq!(client.get(&format!("/v1/events/{}", after["id"].as_str().expect("an id"))).await.0, 404);
        assert_eq!(client.call(&code, "", "").await.json()["message"], "noted");
        // The plugin and the secret work.
        let delivered = client.event(json!({ "trigger": "kept.word", "data": "restored" })).await;
        assert_eq!(delivered["deliveries"][0]["state"], "delivered", "{delivered}");
        let seen = endpoint.seen();
        let last = seen.last().expect("a request");
        last.verify("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("signed");
        assert_eq!(last.json()["version"], "0004");
        process.kill().await;
    });
}

#[test]
fn a_directory_no_host_has_open_is_worked_on_directly() {
    run(async {
        let directory = data_directory();
        let path = |name: &str| directory.path().join(name).to_str().expect("a path in UTF-8").to_owned();
        let (data, backup, other) = (path("data"), path("backup"), path("other"));
        let process = Process::serve(data.as_ref()).await;
        for n in 0..20 {
            assert_eq!(process.client.post("/v1/events", &json!({ "trigger": "kept.word", "data": n })).await.0, 202);
        }
        process.kill().await;
        let compacted = command(&["compact", "--data", &data, "--json"]).await.success();
        let compacted: Value = serde_json::from_str(&compacted.stdout).expect("JSON");
        assert!(compacted["live_bytes"].as_u64().is_some_and(|live| live > 1000), "{compacted}");
        let said = command(&["compact", "--data", &data]).await.success();
        assert!(said.stdout.contains("before") && said.stdout.contains("after"), "{}", said.stdout);
        // There is no host and no token.
        let taken = command(&["backup", "--data", &data, "--to", &backup]).await.success();
        assert!(taken.stdout.contains("storage key is not in it"), "{}", taken.stdout);
        command(&["restore", "--data", &other, "--from", &backup]).await.success();
        std::fs::copy(format!("{data}/key"), format!("{other}/key")).expect("copied");
        for directory in [&data, &other] {
            let process = Process::serve_under(directory.as_ref(), &[], &[("HOOKWRIGHT_ADMIN_TOKEN", "hwt_other")]).await;
            assert_eq!(process.client.look("/v1/events").await["data"].as_array().map(Vec::len), Some(20));
            process.kill().await;
        }
        let nowhere = command(&["backup", "--data", &path("nowhere"), "--to", &path("b2")]).await;
        assert_eq!(nowhere.status.code(), Some(1));
        assert!(nowhere.stderr.contains("there is no store in"), "{}", nowhere.stderr);
        assert!(!directory.path().join("nowhere").exists(), "looking makes nothing");
    });
}

#[test]
fn the_api_writes_backups_below_one_directory_alone() {
    run(async {
        let directory = data_directory();
        let file = |name: &str| directory.path().join(name);
        let base = file("backups");
        let environment = [("HOOKWRIGHT_BACKUP_DIR", base.to_str().expect("a path")), ("HOOKWRIGHT_ADMIN_TOKEN", TOKEN)];
        let host = Process::serve_under(&file("data"), &[], &environment).await;
        let client = &host.client;
        let take = async |name: &str| {
            assert_eq!(client.post("/v1/backup", &json!({ "directory": name })).await.0, 202, "{name}");
            let state = || async { Some(client.look("/v1/backup").await["state"].clone()).filter(|state| state != "running") };
            assert_eq!(eventually("the backup's end", state).await, "done", "{name}");
        };
        take("today").await;
        // The form of the request from before the setting existed still works, if the path is inside the directory.
        take(base.join("daily/2026-01-31").to_str().expect("a path")).await;
        assert!(base.join("today/manifest.json").is_file() && base.join("daily/2026-01-31/manifest.json").is_file());
        std::os::unix::fs::symlink(directory.path(), base.join("out")).expect("linked");
        for (name, says) in [
            (directory.path().join("elsewhere").to_str().expect("a path"), "does not lie in"),
            ("../elsewhere", "without `..`"),
            ("out/elsewhere", "leads out of"),
            ("", "it must be a name"),
            ("today", "is not empty"),
        ] {
            let (status, answer) = client.post("/v1/backup", &json!({ "directory": name })).await;
            assert_eq!((status, &answer["errors"][0]["pointer"]), (400, &json!("/directory")), "{name}: {answer}");
            assert!(answer["errors"][0]["detail"].as_str().is_some_and(|detail| detail.contains(says)), "{answer}");
        }
        for note in ["0123456789abcdef0123456789abcdef", "../admin-token", ""] {
            let (status, answer) = client.post("/v1/backup", &json!({ "note": note })).await;
            assert_eq!((status, &answer["errors"][0]["pointer"]), (400, &json!("/note")), "{answer}");
        }
        assert!(!file("elsewhere").exists());
        assert_eq!(client.post("/v1/backup", &json!({ "dir": "x" })).await.0, 400);
        assert_eq!(client.post("/v1/backup", &json!({})).await.0, 400);
        // A user who may write in the data directory can put a backup anywhere.
        let (data, elsewhere) = (file("data"), file("elsewhere"));
        let arguments = ["backup", "--data", data.to_str().expect("a path"), "--to", elsewhere.to_str().expect("a path")];
        let environment = [("HOOKWRIGHT_URL", client.url("")), ("HOOKWRIGHT_TOKEN", TOKEN.to_owned())];
        let told = finish(hookwright(&arguments).envs(environment.clone())).await.success().stdout;
        assert!(told.contains("The storage key is not in it") && elsewhere.join("manifest.json").is_file(), "{told}");
        let left = std::fs::read_dir(&data).expect("read").flatten().filter(|entry| entry.file_name().to_string_lossy().contains("note"));
        assert_eq!(left.count(), 0, "the note is gone");
        // Another user, for example on another machine, names a place below the host's directory.
        let (nowhere, far) = (file("nowhere"), ["backup", "--to", "far", "--data"]);
        finish(hookwright(&far).arg(&nowhere).envs(environment)).await.success();
        assert!(base.join("far/manifest.json").is_file());
        assert!(host.terminate().await.success());
    });
}

#[test]
fn what_is_wrong_with_a_backups_directory_is_said() {
    run(async {
        let host = shared().await;
        let (status, answer) = host.client.post("/v1/backup", &json!({ "directory": "today" })).await;
        assert_eq!((status, &answer["errors"][0]["pointer"]), (400, &json!("/directory")), "{answer}");
        assert!(answer["errors"][0]["detail"].as_str().is_some_and(|detail| detail.contains("`backup_dir`")), "{answer}");
        let directory = data_directory();
        for (base, status, says) in [("/proc/backups", 422, "/proc/backups"), ("DATA/backups", 400, "lies in the data directory")] {
            let data = directory.path().join("data");
            let base = base.replace("DATA", data.to_str().expect("a path"));
            let environment = [("HOOKWRIGHT_BACKUP_DIR", &*base), ("HOOKWRIGHT_ADMIN_TOKEN", TOKEN)];
            let process = Process::serve_under(&data, &[], &environment).await;
            let (answered, answer) = process.client.post("/v1/backup", &json!({ "directory": "today" })).await;
            assert_eq!(answered, status, "{answer}");
            assert!(answer.to_string().contains(says), "{answer}");
            assert!(process.terminate().await.success());
        }
    });
}

#[test]
fn a_running_host_is_compacted_while_it_works() {
    run(async {
        let host = shared().await;
        let client = &host.client;
        for n in 0..50 {
            assert_eq!(client.post("/v1/events", &json!({ "trigger": "compact.word", "data": n })).await.0, 202);
        }
        assert_eq!(client.post("/v1/compact", &Value::Null).await.0, 202);
        let working = client.event(json!({ "trigger": "compact.word", "data": "meanwhile" })).await;
        let done = eventually("the compaction's end", || async {
            let status = client.look("/v1/compact").await;
            (status["state"] != "running").then_some(status)
        })
        .await;
        assert_eq!(done["state"], "done", "{done}");
        assert!(done["after_bytes"].as_u64() > Some(0) && done["live_bytes"].as_u64() > Some(0), "{done}");
        client.look(&format!("/v1/events/{}", working["id"].as_str().expect("an id"))).await;
    });
}
