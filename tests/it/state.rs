//! A host as files: `apply` changes it to match a folder, `export` writes the folder.

use std::{collections::BTreeMap, fs, path::Path};

use hookwright_tests::{
    Client, TestHost, data_directory,
    host::TOKEN,
    process::{Finished, finish, hookwright},
    run,
};
use serde_json::{Value, json};

/// Runs a command against a host, with the secrets' values where the documents say.
async fn at(client: &Client, arguments: &[&str]) -> Finished {
    let environment =
        [("HOOKWRIGHT_URL", client.url("")), ("HOOKWRIGHT_TOKEN", TOKEN.to_owned()), ("SECRET_CHAT_KEY", "canary-secret".to_owned())];
    finish(hookwright(arguments).envs(environment)).await
}

fn write(folder: &Path, file: &str, text: &str) {
    let path = folder.join(file);
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, text).expect("written");
}

/// Every file below a folder, with its content.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for kind in fs::read_dir(folder).expect("a folder").flatten() {
        for file in fs::read_dir(kind.path()).expect("a folder").flatten() {
            let name = format!("{}/{}", kind.file_name().display(), file.file_name().display());
            found.insert(name, fs::read(file.path()).expect("a file"));
        }
    }
    found
}

fn state(folder: &Path) {
    write(folder, "secrets/chat-key.json", r#"{"env":"SECRET_CHAT_KEY"}"#);
    write(folder, "plugins/greets.js", "export function transform(delivery, events) { return { body: { text: 'hello' } }; }\n");
    write(
        folder,
        "plugins/greets.json",
        r#"{"name":"greets","file":"greets.js","config":{"a":1},"grants":{"triggers":["greeted"]},"limits":{"cpu_ms":500}}"#,
    );
    write(folder, "plugins/slack.toml", "name = \"slack\"\n[config]\nchannel = \"#gis\"\n");
    write(
        folder,
        "actions/refresh.json",
        r#"{"name":"refresh","parameters":{"dos":{"type":"integer","required":true}},"reply":{"message":"done"}}"#,
    );
    write(folder, "receivers/academy.json", r#"{"name":"academy","action":"refresh","profile":"divalto"}"#);
    write(folder, "services/water.json", r#"{"name":"Utilities/Water.FeatureServer","capabilities":["Query"]}"#);
    write(folder, "profiles/arcgis-feature.json", r#"{"name":"arcgis-feature","timeout_ms":9000}"#);
    write(
        folder,
        "webhooks/chat.toml",
        "name = \"chat\"\nselectors = [\"/items/share\"]\ntransform = \"greets\"\n[request]\nurl = \"https://chat.example/in?sig=canary-url\"\n\
         [auth]\nkind = \"bearer\"\ntoken = \"$secret:chat-key\"\n",
    );
}

#[test]
fn a_folder_is_applied_once_and_comes_back_the_same_from_a_host_that_was_empty() {
    run(async {
        let directory = data_directory();
        let folder = directory.path().join("state");
        state(&folder);
        let first = TestHost::start().await;
        let path = folder.to_str().expect("a path");

        let dry = at(&first.client, &["apply", "-f", path, "--dry-run"]).await.success().stdout;
        assert!(dry.contains("+ webhook chat") && dry.contains("8 would be created, 0 changed"), "{dry}");
        assert_eq!(first.client.get("/v1/webhooks/chat").await.0, 404, "nothing is changed by a look");
        let applied = at(&first.client, &["apply", "-f", path]).await.success().stdout;
        assert!(applied.contains("+ plugin greets") && applied.contains("+ secret chat-key"), "{applied}");
        assert_eq!(at(&first.client, &["apply", "-f", path, "--prune"]).await.success().stdout.trim(), "nothing to change");

        let exported = directory.path().join("exported");
        let said = at(&first.client, &["export", "-o", exported.to_str().expect("a path"), "--reveal"]).await.success().all();
        let one = files(&exported);
        let names: Vec<_> = one.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "actions/refresh.json",
                "plugins/greets.js",
                "plugins/greets.json",
                "plugins/slack.json",
                "profiles/arcgis-feature.json",
                "receivers/academy.json",
                "secrets/chat-key.json",
                "services/Utilities_Water.FeatureServer.json",
                "webhooks/chat.json"
            ]
        );
        assert!(
            !format!("{said}{}", String::from_utf8_lossy(&one.values().flatten().copied().collect::<Vec<_>>())).contains("canary-secret")
        );

        let second = TestHost::start().await;
        at(&second.client, &["apply", "-f", exported.to_str().expect("a path"), "--json"]).await.success();
        let again = directory.path().join("again");
        at(&second.client, &["export", "-o", again.to_str().expect("a path"), "--reveal"]).await.success();
        assert_eq!(files(&again), one);
        let refused = at(&second.client, &["export", "-o", again.to_str().expect("a path"), "--reveal"]).await;
        assert!(!refused.status.success() && refused.stderr.contains("is not empty"), "{}", refused.stderr);
        first.stop().await;
        second.stop().await;
    });
}

#[test]
fn a_folder_in_yaml_says_the_same() {
    run(async {
        let directory = data_directory();
        let folder = directory.path().join("state");
        state(&folder);
        // Several documents in one file, and values that YAML 1.1 would misread.
        write(
            &folder,
            "webhooks/more.yaml",
            "name: first\nselectors: ['/items/share']\nlabels: {country: no, size: '010'}\nrequest:\n  url: https://chat.example/in?sig=canary-url\n\
             ---\nname: second\nselectors: [user.created]\nrequest: {url: 'https://chat.example/in', body: {text: \"two\\nlines\"}}\n",
        );
        let first = TestHost::start().await;
        at(&first.client, &["apply", "-f", folder.to_str().expect("a path")]).await.success();
        assert_eq!(first.client.look("/v1/webhooks/first").await["labels"], json!({ "country": "no", "size": "010" }));
        let exported = directory.path().join("exported");
        at(&first.client, &["export", "-o", exported.to_str().expect("a path"), "--format", "yaml", "--reveal"]).await.success();
        assert!(exported.join("webhooks/second.yaml").is_file() && exported.join("plugins/greets.js").is_file());
        let plain = directory.path().join("plain");
        at(&first.client, &["export", "-o", plain.to_str().expect("a path"), "--reveal"]).await.success();
        let second = TestHost::start().await;
        at(&second.client, &["apply", "-f", exported.to_str().expect("a path")]).await.success();
        let again = directory.path().join("again");
        at(&second.client, &["export", "-o", again.to_str().expect("a path"), "--reveal"]).await.success();
        assert_eq!(files(&again), files(&plain));
        // By default, `export` leaves out values that may be credentials and says so; such a document cannot be applied.
        let safe = directory.path().join("safe");
        let said = at(&first.client, &["export", "-o", safe.to_str().expect("a path")]).await.success();
        assert!(said.stderr.contains("webhook first: the values in the query of a URL are left out"), "{}", said.stderr);
        assert!(!files(&safe).values().any(|bytes| String::from_utf8_lossy(bytes).contains("canary-url")));
        let refused = at(&second.client, &["apply", "-f", safe.to_str().expect("a path")]).await;
        assert!(!refused.status.success() && refused.stderr.contains("--reveal"), "{}", refused.stderr);
        write(&folder, "webhooks/more.yaml", "name: first\nrequest: {url: [\n");
        let refused = at(&first.client, &["apply", "-f", folder.to_str().expect("a path")]).await;
        assert!(!refused.status.success() && refused.stderr.contains("more.yaml") && refused.stderr.contains("line"), "{}", refused.stderr);
        first.stop().await;
        second.stop().await;
    });
}

#[test]
fn what_differs_is_shown_place_by_place_and_what_is_gone_is_pruned() {
    run(async {
        let directory = data_directory();
        let folder = directory.path().join("state");
        state(&folder);
        let host = TestHost::start().await;
        let path = folder.to_str().expect("a path");
        at(&host.client, &["apply", "-f", path]).await.success();

        write(
            &folder,
            "webhooks/chat.toml",
            "name = \"chat\"\nselectors = [\"/items/share\", \"/items\"]\n[request]\nurl = \"https://chat.example/in?sig=canary-other\"\n",
        );
        write(&folder, "plugins/greets.js", "export function transform() { return { body: { text: 'hello again' } }; }\n");
        fs::remove_file(folder.join("receivers/academy.json")).expect("removed");
        fs::remove_file(folder.join("actions/refresh.json")).expect("removed");
        let shown = at(&host.client, &["apply", "-f", path, "--prune", "--dry-run"]).await.success().stdout;
        for says in [
            "~ webhook chat",
            "/selectors: [\"/items/share\"] -> ",
            "~ plugin greets",
            "/file: \"sha256:",
            "- receiver academy",
            "2 changed, 2 deleted",
        ] {
            assert!(shown.contains(says), "{says} is not in\n{shown}");
        }
        assert!(!shown.contains("canary"), "a URL's query may be a credential: {shown}");
        let done = at(&host.client, &["apply", "-f", path, "--prune", "--json"]).await.success().stdout;
        let done: Value = serde_json::from_str(&done).expect("JSON");
        assert_eq!((done["changes"].as_array().map(Vec::len), &done["failed"]), (Some(4), &json!([])), "{done}");
        assert_eq!(host.client.get("/v1/receivers/academy").await.0, 404);
        assert_eq!(at(&host.client, &["apply", "-f", path, "--prune"]).await.success().stdout.trim(), "nothing to change");

        // Errors are reported before anything is changed.
        write(&folder, "webhooks/wrong.json", r#"{"name":"wrong","selector":[],"request":{"url":"https://h/"}}"#);
        let refused = at(&host.client, &["apply", "-f", path]).await;
        assert!(refused.stderr.contains("wrong.json") && refused.stderr.contains("did you mean `selectors`?"), "{}", refused.stderr);
        fs::remove_file(folder.join("webhooks/wrong.json")).expect("removed");
        write(&folder, "webhook/x.json", "{}");
        let refused = at(&host.client, &["apply", "-f", path]).await;
        assert!(refused.stderr.contains("did you mean `webhooks`?"), "{}", refused.stderr);
        host.stop().await;
    });
}
