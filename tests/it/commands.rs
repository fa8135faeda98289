//! Every command that the command line knows: its examples are valid, it prints JSON when asked if it prints data, and it ends with the
//! documented exit code. A new command is found here by itself.

use std::{collections::BTreeMap, path::Path};

use clap::{Command, CommandFactory};
use hookwright::cli::Cli;
use hookwright_tests::{
    Endpoint, MailServer, Script, TestHost, data_directory,
    host::{Options, TOKEN},
    process::{Finished, finish, hookwright},
    run,
    wait::eventually,
};
use serde_json::{Value, json};

/// Commands that print no data, and what they do.
const NO_DATA: [(&str, &str); 4] = [
    ("serve", "runs until it is stopped, and logs"),
    ("demo", "tells a story"),
    ("plugin new", "writes a folder, and says what to do next"),
    ("completion", "prints a script for a shell"),
];

/// Commands that run until they are stopped. They print a line of JSON for each entry. `cli.rs` and `plugins.rs` test them.
const STREAMS: [&str; 3] = ["sink", "event tail", "plugin dev"];

/// Commands that print a line of JSON for each entry, which may be none.
const LINES: [&str; 1] = ["plugin log"];

/// How every other command is run, in an order in which all succeed. `{...}` is replaced by what [`Place`] has made. Commands that need
/// no host, or that change nothing, come last.
const RUNS: &str = "
    config show
    config check {config}
    plugin build --dir {project}
    plugin test --dir {project}
    plugin push greets {script}
    plugin push greets {other_script}
    plugin list
    plugin show greets
    plugin history greets
    plugin grant greets --trigger told
    plugin limits greets --set cpu_ms=200
    plugin config greets {object}
    plugin try greets --event {event_file}
    plugin compare greets 2 --against 2
    plugin activate greets 1
    plugin rollback greets
    plugin resume greets
    webhook apply -f {webhook_file}
    webhook create pinged --url {endpoint} --on told.word
    webhook list
    webhook show chat
    webhook preview chat
    webhook invoke chat --session s1
    plugin log greets
    webhook test chat
    webhook check chat
    webhook deactivate chat
    webhook activate chat
    event send told.word --data {\"a\":1}
    event list
    event show {event}
    delivery list
    delivery show {delivery}
    delivery resend {delivery}
    delivery cancel {waiting}
    webhook recover chat --since 2020-01-01T00:00:00Z
    webhook replay chat
    template list
    template show slack
    template fill slack post-message --set channel=C024BE91L --set token=slack-token
    action apply -f {action_file}
    action list
    action show refresh
    receiver apply -f {receiver_file}
    receiver list
    receiver show crm
    receiver code crm --caller erp
    receiver codes crm
    receiver mail crm --to integrations@example.com
    receiver refusals
    receiver revoke crm {code}
    call list
    call show {call}
    call rerun --receiver crm --dry-run
    secret put chat-key --file {object}
    secret list
    session set s1 fruit=apple
    session show s1
    token create reader --scope read
    token list
    token rotate {token}
    token revoke {token}
    audit
    export -o {export}
    apply -f {export}
    session delete s1
    secret delete chat-key
    receiver delete crm
    action delete refresh
    webhook delete chat
    plugin delete greets
    backup --data {offline} --to {backup}
    compact --data {offline}
    restore --from {backup} --data {restored}
    key rotate --data {offline}
    bench --events 20 --only accepted
";

/// Every command without subcommands, by its words. Hidden commands are left out, because only the host uses them.
fn commands() -> BTreeMap<String, Command> {
    fn walk(command: &Command, words: &str, found: &mut BTreeMap<String, Command>) {
        let subcommands: Vec<_> = command.get_subcommands().filter(|one| !one.is_hide_set() && one.get_name() != "help").collect();
        if subcommands.is_empty() {
            found.insert(words.trim().to_owned(), command.clone());
        }
        for one in subcommands {
            walk(one, &format!("{words} {}", one.get_name()), found);
        }
    }
    let mut found = BTreeMap::new();
    let mut root = Cli::command();
    root.build();
    walk(&root, "", &mut found);
    assert!(found.len() > 70, "{:?}", found.keys());
    found
}

fn takes(command: &Command, option: &str) -> bool {
    command.get_arguments().any(|argument| argument.get_long() == Some(option))
}

/// The command whose words a line begins with.
fn named<'a>(commands: &'a BTreeMap<String, Command>, line: &str) -> &'a str {
    let is_it = |words: &&String| line.strip_prefix(words.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
    commands.keys().find(is_it).unwrap_or_else(|| panic!("`{line}` is no command"))
}

#[test]
fn every_command_has_examples_and_would_take_them() {
    for (words, mut command) in commands() {
        let help = command.render_long_help().to_string();
        let examples: Vec<_> =
            help.lines().filter(|line| line.starts_with("  ") && line.contains(&format!("hookwright {words}"))).collect();
        assert!(help.contains("Example") && !examples.is_empty(), "`hookwright {words} --help` has no example:\n{help}");
        for line in examples {
            // A line's explanation follows after several spaces.
            let said = line.trim().split("   ").next().unwrap_or_default();
            let given = shlex::split(said).unwrap_or_else(|| panic!("{words}: a quote is not closed: {said}"));
            let commands = given.split(|word| ["|", "&&", ">", "<", "&"].contains(&word.as_str()));
            for given in commands.filter(|given| given.first().is_some_and(|first| first == "hookwright")) {
                let taken = Cli::command().try_get_matches_from(given);
                assert!(taken.is_ok(), "{words}: {said}\n{}", taken.err().map_or_else(String::new, |error| error.to_string()));
            }
        }
    }
}

#[test]
fn every_command_that_prints_data_prints_json() {
    let commands = commands();
    for (words, command) in &commands {
        let is_excepted = NO_DATA.iter().any(|(without, _)| without == words);
        assert_ne!(takes(command, "json"), is_excepted, "`hookwright {words}` takes --json, or stands among those that print no data");
    }
    let run: Vec<_> = RUNS.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| named(&commands, line)).collect();
    for words in commands.keys().filter(|words| !NO_DATA.iter().any(|(without, _)| without == words) && !STREAMS.contains(&words.as_str()))
    {
        assert!(run.contains(&words.as_str()), "`hookwright {words}` is not among those that are run here");
    }
}

/// A host, files, and the values of the placeholders in [`RUNS`].
struct Place {
    host: TestHost,
    _directory: tempfile::TempDir,
    _offline: tempfile::TempDir,
    _mails: MailServer,
    _endpoint: Endpoint,
    names: BTreeMap<&'static str, String>,
}

impl Place {
    async fn new() -> Self {
        let (mails, endpoint, directory) = (MailServer::start().await, Endpoint::start().await, data_directory());
        let empty = TestHost::start().await;
        assert_eq!(empty.client.post("/v1/events", &json!({ "trigger": "kept.word", "data": 1 })).await.0, 202);
        let offline = empty.stop().await;
        let host = TestHost::with(Options { smtp: Some(mails.settings()), ..Options::default() }).await;
        let mut names = BTreeMap::new();
        let path = |name: &str| directory.path().join(name).to_str().expect("a path").to_owned();
        let script = |word: &str| format!("export function transform() {{ return {{ body: {{ text: '{word}' }} }}; }}\n");
        let files = [
            ("config", "hookwright.toml", "listen = \"127.0.0.1:1\"\n".to_owned()),
            ("script", "greets.js", script("hello")),
            ("other_script", "other.js", script("hello again")),
            ("object", "object.json", "{\"a\":1}".to_owned()),
            ("event_file", "event.json", json!({ "trigger": "told.word", "data": {} }).to_string()),
            (
                "webhook_file",
                "webhook.json",
                json!({ "name": "chat", "selectors": ["told.word"], "transform": "greets", "request": { "url": endpoint.url("/in") } })
                    .to_string(),
            ),
            ("action_file", "action.json", json!({ "name": "refresh", "reply": { "message": "done" } }).to_string()),
            ("receiver_file", "receiver.json", json!({ "name": "crm", "reply": { "message": "done" } }).to_string()),
        ];
        for (name, file, text) in files {
            std::fs::write(path(file), text).expect("written");
            names.insert(name, path(file));
        }
        for name in ["project", "export", "backup", "restored"] {
            names.insert(name, path(name));
        }
        names.insert("endpoint", endpoint.url("/pinged"));
        names.insert("offline", offline.path().to_str().expect("a path").to_owned());
        let made = ["plugin", "new", "spare", "--lang", "js", "--dir", &names["project"]];
        finish(&mut hookwright(&made)).await.success();
        Self { host, _directory: directory, _offline: offline, _mails: mails, _endpoint: endpoint, names }
    }

    /// Values that only the host knows, once they exist.
    async fn found(&self, name: &str) -> String {
        let client = &self.host.client;
        let first = async |path: &str| {
            client.look(path).await["data"][0]["id"].as_str().map(str::to_owned).unwrap_or_else(|| panic!("nothing at {path}"))
        };
        match name {
            "event" => first("/v1/events").await,
            "delivery" => {
                eventually("a delivery", || async {
                    client.look("/v1/deliveries?state=delivered").await["data"][0]["id"].as_str().map(str::to_owned)
                })
                .await
            }
            "waiting" => {
                let nobody = Endpoint::start().await;
                nobody.always(Script::status(500));
                client.webhook("unheard", json!({ "selectors": ["unheard.*"], "request": { "url": nobody.url("/") } })).await;
                assert_eq!(client.post("/v1/events", &json!({ "trigger": "unheard.word", "data": 1 })).await.0, 202);
                eventually("one that waits", || async {
                    client.look("/v1/deliveries?state=waiting").await["data"][0]["id"].as_str().map(str::to_owned)
                })
                .await
            }
            "code" => {
                let listed = client.look("/v1/receivers/crm/codes").await;
                // Call the receiver first, so that there is a call to show.
                client.call(listed["data"][0]["code"].as_str().expect("a code"), "", "").await;
                listed["data"][0]["id"].as_str().expect("an id").to_owned()
            }
            "call" => first("/v1/calls").await,
            "token" => {
                let listed = client.look("/v1/tokens").await;
                let own = |one: &&Value| one["name"] == "reader" && one["replaced_by"].is_null();
                listed["data"].as_array().into_iter().flatten().find(own).expect("a token")["id"].as_str().expect("an id").to_owned()
            }
            other => panic!("nothing is called {other}"),
        }
    }

    /// The words of a line, with all placeholders replaced.
    async fn filled(&self, line: &str) -> Vec<String> {
        let mut words = Vec::new();
        for word in line.split_whitespace() {
            // JSON begins with a brace, too.
            words.push(match word.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).filter(|name| !name.contains('"')) {
                Some(name) => match self.names.get(name) {
                    Some(text) => text.clone(),
                    None => self.found(name).await,
                },
                None => word.to_owned(),
            });
        }
        words
    }

    async fn ask(&self, words: &[String], url: &str) -> Finished {
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let environment = [("HOOKWRIGHT_URL", url), ("HOOKWRIGHT_TOKEN", TOKEN), ("SECRET_CHAT_KEY", "x")];
        finish(hookwright(&words).envs(environment)).await
    }
}

#[test]
fn every_command_prints_valid_json_and_ends_as_it_is_documented() {
    run(async {
        let (place, commands) = (Place::new().await, commands());
        let url = place.host.client.url("");
        for line in RUNS.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let command = &commands[named(&commands, line)];
            let mut words = place.filled(line).await;
            // Exit code 2: the command line is wrong.
            words.push("--no-such-option".to_owned());
            let wrong = place.ask(&words, &url).await;
            assert_eq!(wrong.status.code(), Some(2), "{line}: {}", wrong.all());
            words.pop();
            words.push("--json".to_owned());
            // Exit code 1: the command failed, with the reason on standard error; here, no host answers. Commands on a data directory ask
            // no host.
            if takes(command, "url") && !line.contains("--data") {
                let failed = place.ask(&words, "http://127.0.0.1:1").await;
                assert_eq!(failed.status.code(), Some(1), "{line}: {}", failed.all());
                assert!(failed.stderr.contains("127.0.0.1:1"), "{line}: {}", failed.all());
                // `apply` prints a line for each document.
                assert!(failed.stdout.trim().is_empty() || line.contains(" apply "), "{line}: {}", failed.all());
            }
            // Exit code 0: the command succeeded.
            let done = place.ask(&words, &url).await;
            assert_eq!(done.status.code(), Some(0), "{line}: {}", done.all());
            let documents: Vec<_> =
                if LINES.contains(&named(&commands, line)) { done.stdout.lines().collect() } else { vec![&*done.stdout] };
            for document in documents {
                let printed: Result<Value, _> = serde_json::from_str(document);
                assert!(printed.is_ok(), "{line}: {printed:?}\n{document}");
            }
            assert!(!done.stderr.contains('\u{1b}'), "{line}: no terminal, no progress: {}", done.stderr);
        }
        assert!(Path::new(&place.names["restored"]).join("store").is_dir());
        place.host.stop().await;
    });
}
