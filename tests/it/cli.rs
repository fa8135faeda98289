//! The command line.

use hookwright_tests::{
    Authority, Endpoint, Process,
    host::TOKEN,
    process::{Finished, finish, hookwright},
    run, shared, unique,
};
use serde_json::{Value, json};

/// Runs a command against the shared host.
async fn at_host(arguments: &[&str]) -> Finished {
    let url = shared().await.client.url("");
    finish(hookwright(arguments).env("HOOKWRIGHT_URL", url).env("HOOKWRIGHT_TOKEN", TOKEN)).await
}

fn parsed(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {}", finished.all()))
}

#[test]
fn every_command_has_help_with_an_example() {
    run(async {
        let help = finish(&mut hookwright(&["--help"])).await.success().stdout;
        for command in ["serve", "demo", "sink", "plugin", "event", "webhook", "receiver", "call", "delivery"] {
            assert!(help.contains(command), "{command} in\n{help}");
            let own = finish(&mut hookwright(&[command, "--help"])).await.success().stdout;
            assert!(own.len() > 100, "{own}");
        }
        assert!(!help.contains("compile "), "what only the host calls is hidden");
        assert!(finish(&mut hookwright(&["--version"])).await.success().stdout.starts_with("hookwright "));
    });
}

#[test]
fn a_wrong_command_line_is_2_and_a_failure_is_1_with_its_reason() {
    run(async {
        assert_eq!(finish(&mut hookwright(&["serv"])).await.status.code(), Some(2));
        assert_eq!(finish(&mut hookwright(&["serve", "--listn", "x"])).await.status.code(), Some(2));
        let failed = finish(&mut hookwright(&["serve", "--config", "/no/such/file"])).await;
        assert_eq!(failed.status.code(), Some(1));
        assert!(failed.stderr.contains("/no/such/file") && !failed.stderr.contains("panicked"), "{}", failed.stderr);
        let nobody = finish(hookwright(&["plugin", "list"]).env("HOOKWRIGHT_URL", "http://127.0.0.1:1").env("HOOKWRIGHT_TOKEN", "x")).await;
        assert_eq!(nobody.status.code(), Some(1));
        assert!(nobody.stderr.contains("127.0.0.1:1"), "{}", nobody.stderr);
        let refused = at_host(&["delivery", "show", "dlv_none"]).await;
        assert_eq!(refused.status.code(), Some(1));
        assert!(refused.stderr.contains("404"), "{}", refused.stderr);
    });
}

#[test]
fn the_demo_tells_its_story_and_exits_0() {
    run(async {
        let told = finish(&mut hookwright(&["demo", "--once"])).await.success().stdout.to_lowercase();
        for part in ["verif", "stock", "standards.failed", "while it runs", "422"] {
            assert!(told.contains(part), "{part} in\n{told}");
        }
    });
}

#[test]
fn webhooks_events_and_deliveries_can_be_worked_with_from_a_shell() {
    run(async {
        let endpoint = Endpoint::start().await;
        let name = unique("shell");
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("webhook.json");
        let document = json!({ "name": name, "selectors": ["shell.word"], "sources": [name], "request": { "url": endpoint.url("/") } });
        std::fs::write(&file, document.to_string()).expect("a file");
        at_host(&["webhook", "apply", "-f", file.to_str().expect("a path")]).await.success();
        assert!(at_host(&["webhook", "list"]).await.success().stdout.contains(&name));
        let invoked = at_host(&["webhook", "invoke", &name, "--json"]).await.success();
        assert_eq!(parsed(&invoked)["state"], "delivered");
        endpoint.next_request().await;
        let listed = at_host(&["delivery", "list", "--webhook", &name, "--json"]).await.success();
        let id = parsed(&listed)["data"][0]["id"].as_str().expect("a delivery").to_owned();
        assert!(at_host(&["delivery", "show", &id]).await.success().stdout.contains(&id));
        assert!(at_host(&["plugin", "list"]).await.success().stdout.contains("arcgis-organization"));
        assert!(at_host(&["call", "list"]).await.status.success());
    });
}

#[test]
fn the_sink_verifies_what_it_receives() {
    run(async {
        use tokio::io::{AsyncBufReadExt, BufReader};
        let client = &shared().await.client;
        let name = unique("sink");
        let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        client.secret(&name, key).await;
        let mut command = hookwright(&["sink", "--listen", "127.0.0.1:0", "--count", "1", "--json", "--answer", r#"{"distance":12}"#]);
        let mut child = command.env("HOOKWRIGHT_SINK_SECRET", key).stdout(std::process::Stdio::piped()).spawn().expect("the sink");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let first: Value = serde_json::from_str(&lines.next_line().await.expect("text").expect("a line")).expect("JSON");
        let url = first["listening"].as_str().expect("an address").to_owned();
        client.webhook(&name, json!({ "request": { "url": url }, "bindings": { "distance": "$.distance" }, "signing": { "secrets": [format!("$secret:{name}")] } })).await;
        let invoked = client.invoke(&name, json!({})).await;
        assert_eq!((&invoked["state"], &invoked["parameters"]["distance"]), (&json!("delivered"), &json!(12)), "{invoked}");
        let told: Value = serde_json::from_str(&lines.next_line().await.expect("text").expect("a line")).expect("JSON");
        assert!(told.to_string().contains("verified"), "{told}");
        assert!(hookwright_tests::wait::within("the sink's end", child.wait()).await.expect("its end").success());
    });
}

#[test]
fn a_token_is_made_shown_once_and_revoked() {
    run(async {
        let name = unique("dashboards");
        let made = parsed(&at_host(&["token", "create", &name, "--scope", "read", "--expires", "90d", "--json"]).await.success());
        let (id, token) = (made["id"].as_str().expect("an id"), made["token"].as_str().expect("a token"));
        let client = shared().await.client.with_token(Some(token));
        assert_eq!(client.get("/v1/webhooks").await.0, 200);
        assert_eq!(client.post("/v1/events", &json!({ "trigger": "cli.word" })).await.0, 403, "it may only read");
        let listed = at_host(&["token", "list"]).await.success().stdout;
        assert!(listed.contains(id) && listed.contains(&name) && !listed.contains(token), "{listed}");
        at_host(&["token", "revoke", id]).await.success();
        assert_eq!(client.get("/v1/webhooks").await.0, 401);
        for wrong in [vec!["--scope", "everything"], vec!["--scope", "read", "--expires", "yesterday"]] {
            let refused = at_host(&[vec!["token", "create", &name], wrong].concat()).await;
            assert!(!refused.status.success(), "{}", refused.all());
        }
    });
}

#[test]
fn shells_complete_what_there_is() {
    run(async {
        for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
            let script = finish(&mut hookwright(&["completion", shell])).await.success().stdout;
            for word in ["webhook", "apply", "token-file"] {
                assert!(script.contains(word), "{word} for {shell}");
            }
        }
        let directory = tempfile::tempdir().expect("a directory");
        let script = directory.path().join("completion.bash");
        let made = finish(&mut hookwright(&["completion", "bash"])).await.success().stdout;
        std::fs::write(&script, made).expect("written");
        let asks = format!(
            "source {}; COMP_WORDS=(hookwright plu); COMP_CWORD=1; _hookwright hookwright plu hookwright; echo \"${{COMPREPLY[@]}}\"",
            script.display()
        );
        let completed = finish(tokio::process::Command::new("bash").args(["-c", &asks])).await.success().stdout;
        assert_eq!(completed.trim(), "plugin");
    });
}

#[test]
fn a_profile_is_a_host_and_its_token_together() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let token = directory.path().join("token");
        std::fs::write(&token, format!("{TOKEN}\n")).expect("written");
        let hosts = directory.path().join("hookwright/config.toml");
        std::fs::create_dir_all(hosts.parent().expect("a folder")).expect("made");
        let url = shared().await.client.url("");
        std::fs::write(&hosts, format!("[profiles.staging]\nurl = \"{url}\"\ntoken_file = \"{}\"\n", token.display())).expect("written");
        let at = async |arguments: &[&str], more: &[(&str, &str)]| {
            finish(hookwright(arguments).env("XDG_CONFIG_HOME", directory.path()).envs(more.iter().copied())).await
        };
        // Neither the address nor the token of another host is used.
        let others = [("HOOKWRIGHT_URL", "http://127.0.0.1:1"), ("HOOKWRIGHT_TOKEN", "another")];
        assert!(at(&["plugin", "list", "--profile", "staging"], &others).await.success().stdout.contains("slack"));
        assert!(at(&["plugin", "list"], &[("HOOKWRIGHT_PROFILE", "staging")]).await.success().stdout.contains("slack"));
        let unknown = at(&["plugin", "list", "--profile", "stagin"], &[]).await;
        assert!(unknown.status.code() == Some(1) && unknown.stderr.contains("did you mean `staging`?"), "{}", unknown.stderr);
        let both = at(&["plugin", "list", "--profile", "staging", "--url", "http://127.0.0.1:1"], &[]).await;
        assert!(both.stderr.contains("--url and --token-file do not go with it"), "{}", both.stderr);
    });
}

#[test]
fn a_host_behind_an_authority_of_ones_own_is_trusted_when_it_is_named() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).expect("written");
            path.display().to_string()
        };
        let (ours, another) = (Authority::new(), Authority::new());
        let identity = ours.server(&["127.0.0.1"]);
        let (certificate, key) = (file("tls.crt", &identity.certificate), file("tls.key", &identity.key));
        let config = file("h.toml", &format!("[tls]\ncertificate_file = {certificate:?}\nkey_file = {key:?}\n"));
        let environment = [("HOOKWRIGHT_CONFIG", config.as_str()), ("HOOKWRIGHT_ADMIN_TOKEN", TOKEN)];
        let host = Process::serve_under(&directory.path().join("data"), &[], &environment).await;
        let url = format!("https://127.0.0.1:{}", host.address.port());
        let list = async |authority: Option<String>| {
            let mut command = hookwright(&["plugin", "list", "--url", &url]);
            command.env("HOOKWRIGHT_TOKEN", TOKEN);
            if let Some(authority) = authority {
                command.env("HOOKWRIGHT_CA_FILE", authority);
            }
            finish(&mut command).await
        };
        let trusted = list(Some(file("ours.pem", &ours.pem))).await.success();
        assert!(trusted.stdout.contains("slack"), "{}", trusted.stdout);
        for authority in [None, Some(file("another.pem", &another.pem))] {
            let refused = list(authority).await;
            assert!(refused.status.code() == Some(1) && refused.stderr.contains("certificate"), "{}", refused.stderr);
        }
        let unreadable = list(Some(file("none.pem", "nothing"))).await;
        assert!(unreadable.stderr.contains("--ca-file"), "{}", unreadable.stderr);
    });
}
