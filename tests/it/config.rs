//! Which settings can be set in the file, in the environment and by flags, and the errors of wrong ones.

use hookwright_tests::{
    Process, data_directory,
    process::{Finished, finish, hookwright},
    run,
};
use serde_json::{Value, json};

async fn shown(arguments: &[&str], environment: &[(&str, &str)]) -> Vec<Value> {
    let finished = finish(hookwright(&[&["config", "show", "--json"], arguments].concat()).envs(environment.iter().copied())).await;
    let mut shown: Value = serde_json::from_str(&finished.success().stdout).expect("JSON");
    serde_json::from_value(shown["data"].take()).expect("a list")
}

fn of<'a>(settings: &'a [Value], key: &str) -> &'a Value {
    settings.iter().find(|setting| setting["key"] == key).unwrap_or_else(|| panic!("no {key}"))
}

#[test]
fn every_number_is_set_by_its_variable_within_its_bounds() {
    run(async {
        let defaults = shown(&[], &[]).await;
        let numbers: Vec<_> = defaults.iter().filter(|setting| setting["unit"].is_string()).collect();
        assert!(numbers.len() > 60, "{} numbers", numbers.len());
        let text = |setting: &Value, field: &str| setting[field].as_str().expect("a text").to_owned();
        // The lowest value of every setting, except the defaults of plugins, whose maxima are then the lowest, too.
        let least = |setting: &Value| text(setting, "range").split(' ').next().expect("a number").to_owned();
        let set: Vec<_> = numbers.iter().map(|setting| (text(setting, "variable"), least(setting))).collect();
        let mut environment: Vec<_> = set.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        // A port without a host is no mail server.
        environment.extend([("HOOKWRIGHT_SMTP_HOST", "mail.example.com"), ("HOOKWRIGHT_SMTP_FROM", "a@example.com")]);
        let changed = shown(&[], &environment).await;
        for setting in &numbers {
            let now = of(&changed, setting["key"].as_str().expect("a key"));
            assert_eq!((now["value"].to_string(), &now["origin"]), (least(setting), &setting["variable"]), "{now}");
            assert_eq!(now["default"], setting["value"]);
        }
        // One less than the lowest value, where that is possible.
        let below = set.iter().filter_map(|(name, value)| Some((name, value.parse::<u64>().ok()?.checked_sub(1)?.to_string())));
        let environment: Vec<_> = below.map(|(name, value)| (name.clone(), value)).collect();
        let refused = finish(hookwright(&["config", "show"]).envs(environment.iter().cloned())).await;
        assert_eq!(refused.status.code(), Some(1));
        for (name, _) in &environment {
            assert!(refused.stderr.contains(&format!("{name} (`")), "{name} is not in {}", refused.stderr);
        }
    });
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    run(async {
        let directory = data_directory();
        let file = directory.path().join("h.toml");
        std::fs::write(&file, "data = \"from-file\"\n[limits]\nbacklog_max = 1\nlease_seconds = 11\ndrain_seconds_max = 2\n")
            .expect("written");
        let path = file.to_str().expect("a path");
        let environment = [("HOOKWRIGHT_CONFIG", path), ("HOOKWRIGHT_LIMITS_BACKLOG_MAX", "2"), ("HOOKWRIGHT_LIMITS_LEASE_SECONDS", "22")];
        let settings = shown(&["--set", "limits.backlog_max=3", "--listen", "127.0.0.1:1"], &environment).await;
        let said = |key: &str| (of(&settings, key)["value"].clone(), of(&settings, key)["origin"].as_str().expect("who").to_owned());
        assert_eq!(said("limits.backlog_max"), (json!(3), "--set".to_owned()));
        assert_eq!(said("limits.lease_seconds"), (json!(22), "HOOKWRIGHT_LIMITS_LEASE_SECONDS".to_owned()));
        assert_eq!(said("limits.drain_seconds_max"), (json!(2), path.to_owned()));
        assert_eq!(said("data"), (json!("from-file"), path.to_owned()));
        assert_eq!(said("listen"), (json!("127.0.0.1:1"), "--listen".to_owned()));
        assert_eq!(said("limits.session_seconds"), (json!(1800), "default".to_owned()));

        let table = finish(hookwright(&["config", "show", "--set-only"]).envs(environment)).await.success().stdout;
        assert!(table.contains("limits.backlog_max") && table.contains("deliveries") && !table.contains("warm_plugins"), "{table}");
    });
}

async fn checked(text: &str) -> Finished {
    let directory = data_directory();
    let file = directory.path().join("h.toml");
    std::fs::write(&file, text).expect("written");
    finish(&mut hookwright(&["config", "check", file.to_str().expect("a path")])).await
}

#[test]
fn a_file_is_checked_with_everything_that_is_wrong_named() {
    run(async {
        let right = checked("listen = \"0.0.0.0:8400\"\n[retention]\nevents_days = 7\n").await.success();
        assert!(right.stdout.contains("it sets 2 of"), "{}", right.stdout);
        let wrong =
            checked("lisen = \"x\"\n[limits]\nbacklog_maxx = 1\nlease_seconds = 9\n[[proxy]]\nurl = \"http://a:canary@p/x\"\n").await;
        assert_eq!(wrong.status.code(), Some(1));
        for says in [
            "`lisen` is no setting; did you mean `listen`?",
            "did you mean `limits.backlog_max`?",
            "`limits.lease_seconds` is 9; it must be a whole number of seconds, 10 to 86400",
            "`proxy` number 1: `url` has a path",
        ] {
            assert!(wrong.stderr.contains(says), "{says} is not in {}", wrong.stderr);
        }
        assert!(!wrong.all().contains("canary"));
        let mail = checked("[smtp]\nhost = \"h\"\nfrom = \"a@b.example\"\nuser = \"u\"\n").await;
        assert!(!mail.status.success() && mail.stderr.contains("`user` and `password` go together"), "{}", mail.stderr);
    });
}

#[test]
fn a_host_starts_with_what_is_set_and_not_with_what_is_unknown() {
    run(async {
        let directory = data_directory();
        let data = directory.path().join("data");
        let process =
            Process::serve_under(&data, &[], &[("HOOKWRIGHT_LIMITS_EVENTS_PER_REQUEST_MAX", "2"), ("HOOKWRIGHT_SERVICE_HOST", "10.0.0.1")])
                .await;
        let events = |count: usize| json!(vec![json!({ "trigger": "some.word" }); count]);
        assert_eq!(process.client.post("/v1/events", &events(2)).await.0, 202);
        assert_eq!(process.client.post("/v1/events", &events(3)).await.0, 400);
        assert!(process.terminate().await.success());
        let mut serve = hookwright(&["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().expect("a path")]);
        let refused = finish(serve.env("HOOKWRIGHT_LIMITS_EVENT_BYTE_MAX", "1")).await;
        assert!(
            refused.status.code() == Some(1) && refused.stderr.contains("did you mean `HOOKWRIGHT_LIMITS_EVENT_BYTES_MAX`?"),
            "{}",
            refused.stderr
        );
    });
}
