//! The documents for people: every example runs, every link works, every generated part is up to date.
//!
//! `UPDATE_SNAPSHOTS=1` writes the generated parts instead of comparing them.

use std::{
    collections::BTreeSet,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use hookwright::{
    config,
    model::plugin::limits::{Limit, PluginLimits},
};
use hookwright_tests::{
    Endpoint, MailServer, Options, Script, TestHost, binary, hookwright_command,
    host::TOKEN,
    pages::{self, blocks, pages, read},
    process::finish,
    root, run, shared, unique,
};
use serde_json::{Value, json};

use crate::tidy;

/// The key that the guide uses: the example key of the Standard Webhooks specification.
const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Texts that the examples of a page must print.
const PROMISED: [(&str, &[&str]); 5] = [
    ("README.md", &[r#""state":"delivered""#, "thank you, Grace"]),
    ("host/docs/guide.md", &[r#""received":true"#, r#""state":"delivered""#, "did you mean `trigger`"]),
    ("host/docs/receivers.md", &["client C0000001"]),
    ("host/docs/references.md", &[r#"\"size\":\"single\""#]),
    ("host/docs/metrics.md", &["hookwright_events_accepted_total"]),
];

/// An empty host, an endpoint and a mail server, for the examples of one page.
struct World {
    host: TestHost,
    endpoint: Endpoint,
    mails: MailServer,
}

impl World {
    async fn new() -> Self {
        let (endpoint, mails) = (Endpoint::start().await, MailServer::start().await);
        endpoint.always(Script::json(json!({ "received": true })));
        let host = TestHost::with(Options { smtp: Some(mails.settings()), ..Options::default() }).await;
        Self { host, endpoint, mails }
    }

    /// Runs the blocks marked `sh run` in order as one script, and returns its output.
    async fn examples(&self, page: &str, script: &str) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let mut bash = tokio::process::Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", script]).current_dir(folder.path()).env("PATH", path_with_the_binary());
        bash.env("HOOKWRIGHT_URL", self.host.client.url("").trim_end_matches('/')).env("HOOKWRIGHT_TOKEN", TOKEN);
        bash.env("SINK", self.endpoint.url("").trim_end_matches('/'));
        let done = finish(&mut bash).await;
        let printed = format!("{}{}", done.stdout, done.stderr);
        assert!(done.status.success(), "{page}: {printed}");
        printed
    }
}

#[test]
fn the_examples_of_every_page_do_what_they_say() {
    run(async {
        let mut seen = BTreeSet::new();
        for path in pages() {
            let page = pages::name(&path);
            let Some(script) = pages::examples(&read(&path)) else { continue };
            let world = World::new().await;
            let printed = world.examples(&page, &script).await;
            for promised in PROMISED.iter().filter(|(of, _)| *of == page).flat_map(|(_, promised)| *promised) {
                assert!(printed.contains(promised), "{page}: {promised} is not in:\n{printed}");
            }
            match page.as_str() {
                "host/docs/guide.md" => {
                    let requests = world.endpoint.seen();
                    let chat = requests.iter().find(|received| received.path.starts_with("/chat")).expect("a delivery to the chat");
                    assert_eq!(chat.verify(KEY), Ok(()));
                    assert!(requests.iter().any(|received| received.path == "/stock?article=apple"), "{requests:?}");
                }
                "host/docs/divalto.md" => assert!(world.mails.next().await.message.contains("MONWEBHOOKACADEMY123456789012363F53")),
                _ => {}
            }
            world.host.stop().await;
            seen.insert(page);
        }
        let missing: Vec<_> = PROMISED.iter().filter(|(page, _)| !seen.contains(*page)).collect();
        assert!(missing.is_empty(), "pages that lost their examples: {missing:?}");
    });
}

/// The value of PATH: `hookwright` is the binary that was built.
fn path_with_the_binary() -> String {
    let binary = binary();
    format!("{}:{}", binary.parent().expect("a folder").display(), std::env::var("PATH").unwrap_or_default())
}

/// The README quotes no lines of the demo that contain ports, times or identifiers, because they differ from run to run.
#[test]
fn the_demo_prints_the_lines_the_readme_shows() {
    run(async {
        let told = finish(&mut hookwright_command(&["demo", "--once"])).await.success().stdout;
        let readme = read(&root().join("README.md"));
        let quoted = blocks(&readme, "text").into_iter().next().expect("the demo's lines");
        for line in quoted.lines() {
            assert!(told.lines().any(|printed| printed.trim() == line.trim()), "`{line}` is not in:\n{told}");
        }
        assert_eq!(quoted.lines().count(), 8);
    });
}

#[test]
fn the_json_of_every_page_is_json() {
    for page in pages() {
        for block in blocks(&read(&page), "json") {
            assert!(serde_json::from_str::<Value>(&block).is_ok(), "{}: {block}", pages::name(&page));
        }
    }
}

#[test]
fn the_scripts_of_every_page_are_taken_by_a_host() {
    run(async {
        let client = &shared().await.client;
        let mut tried = 0;
        for page in pages() {
            let text = read(&page);
            for block in
                blocks(&text, "js").into_iter().chain(blocks(&text, "javascript")).filter(|block| block.contains("export function"))
            {
                let (status, answer) = client.try_upload(&unique("page"), "text/javascript", block.clone()).await;
                assert_eq!(status, 201, "{}: {answer}\n{block}", pages::name(&page));
                tried += 1;
            }
        }
        assert!(tried > 0);
    });
}

#[test]
fn the_script_of_the_first_page_does_what_it_says() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        endpoint.next(Script::json(json!({ "ts": "1.5" })));
        let readme = read(&root().join("README.md"));
        let script = blocks(&readme, "js").into_iter().find(|block| block.contains("export function transform")).expect("a script");
        let name = unique("first-page");
        client.script(&name, &script).await;
        client.webhook(&name, json!({ "transform": name, "request": { "url": endpoint.url("/") } })).await;
        let invoked = client.invoke(&name, json!({ "session": name, "data": { "a": 1 } })).await;
        assert_eq!((&invoked["state"], &invoked["parameters"]), (&json!("delivered"), &json!({ "message": "1.5" })), "{invoked}");
        assert_eq!(endpoint.next_request().await.json(), json!({ "text": "invoke: {\"a\":1}" }));
    });
}

/// The SDK's documentation tests compile and run its own copy.
#[test]
fn the_plugin_of_the_first_page_is_one_of_the_sdks_examples() {
    let plugin = blocks(&read(&root().join("README.md")), "rust,ignore").into_iter().next().expect("a plugin");
    assert!(read(&root().join("guest-sdk/README.md")).contains(&plugin), "guest-sdk/README.md does not have:\n{plugin}");
}

#[test]
fn the_commands_of_every_page_are_commands() {
    let mut seen = BTreeSet::new();
    for page in pages() {
        let text = read(&page);
        for block in ["sh", "text", "console", "sh run"].iter().flat_map(|kind| blocks(&text, kind)) {
            for line in block.lines() {
                let Some(rest) = line.trim().strip_prefix("hookwright ") else { continue };
                let words = rest
                    .split_whitespace()
                    .take_while(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-'));
                let command: Vec<_> = words.take(if rest.starts_with("plugin ") { 2 } else { 1 }).map(str::to_owned).collect();
                seen.insert(command);
            }
        }
    }
    for command in seen.iter().filter(|command| !command.is_empty()) {
        let output = Command::new(binary()).args(command).arg("--help").output().expect("the binary");
        assert!(output.status.success(), "hookwright {}: {}", command.join(" "), String::from_utf8_lossy(&output.stderr));
    }
}

/// The anchors of a page, made from its headings as usual renderers do.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut is_code = false;
    let mut anchors = BTreeSet::new();
    for line in page.lines() {
        is_code ^= line.starts_with("```");
        if let Some(title) = line.strip_prefix('#').filter(|_| !is_code) {
            let title = title.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
            anchors.insert(title.replace(|c: char| !c.is_alphanumeric() && c != '-' && c != '_', ""));
        }
    }
    anchors
}

#[test]
fn every_link_leads_somewhere() {
    let mut wrong = Vec::new();
    for path in pages() {
        let text = read(&path);
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
        for target in targets.filter(|target| !target.starts_with("http")) {
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { path.clone() } else { path.parent().expect("a folder").join(file) };
            let leads = file.exists() && (heading.is_empty() || anchors(&read(&file)).contains(heading));
            if !leads {
                wrong.push(format!("{}: {target}", pages::name(&path)));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn every_page_can_be_reached_from_the_readme() {
    let readme = read(&root().join("README.md"));
    let mut wrong = Vec::new();
    for path in pages() {
        let page = pages::name(&path);
        let is_listed = page == "README.md" || readme.contains(&format!("]({page})"));
        // Only the architecture and the test of the corpus name these pages.
        if !is_listed && !["host/docs/files.md", "host/docs/decisions.md", "tests/corpus/README.md"].contains(&page.as_str()) {
            wrong.push(page);
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_two_pages_everybody_reads_stay_short() {
    let (readme, architecture) = (read(&root().join("README.md")), read(&root().join("host/ARCHITECTURE.md")));
    assert!(
        readme.lines().count() <= 220 && readme.len() <= 10_000,
        "README.md has {} lines, {} bytes",
        readme.lines().count(),
        readme.len()
    );
    assert!(architecture.len() <= 12_000, "host/ARCHITECTURE.md has {} bytes", architecture.len());
}

/// Compares the text between `<!-- NAME -->` and `<!-- end of NAME -->` with the generated text, or writes it.
#[track_caller]
fn generated(page: &str, name: &str, now: &str) {
    let path = root().join(page);
    let text = read(&path);
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("{page} has no {begin}"));
    let (then, after) = rest.split_once(&end).unwrap_or_else(|| panic!("{page} has no {end}"));
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        if then != now {
            fs::write(&path, format!("{before}{begin}{now}{end}{after}")).expect("a writable repository");
        }
    } else {
        assert_eq!(then, now, "{page}: if that is meant, run with UPDATE_SNAPSHOTS=1");
    }
}

#[test]
fn the_settings_page_lists_every_setting() {
    generated("host/docs/settings.md", "settings", &config::load::page());
}

#[test]
fn the_limits_page_lists_every_limit_of_a_plugin() {
    let mut table = "| limit | default | at most | what it limits | failure |\n|---|---|---|---|---|\n".to_owned();
    for limit in Limit::ALL {
        let amount = |limits: &PluginLimits| amount(limits.get(*limit), limit.unit());
        let (default, most) = (amount(&PluginLimits::DEFAULT), amount(&PluginLimits::MAXIMUM));
        let failure = match limit {
            Limit::LogBytes => "none: more lines are only counted".to_owned(),
            Limit::Concurrency => "none: other calls wait".to_owned(),
            _ => format!("`{}`", limit.failure().as_str()),
        };
        writeln!(table, "| `{}` | {default} | {most} | {} | {failure} |", limit.name(), limit.about().trim_end_matches('.'))
            .expect("a String");
    }
    generated("host/docs/limits.md", "plugin limits", &table);
}

/// A number in a unit, as people write it: `64 MiB`, `2 s`, `10 000`.
fn amount(number: u64, unit: &str) -> String {
    let grouped = |number: u64| {
        let digits = number.to_string();
        let mut text = String::new();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && digits.len() > 4 && (digits.len() - at).is_multiple_of(3) || at == 1 && digits.len() == 4 {
                text.push(' ');
            }
            text.push(digit);
        }
        text
    };
    let whole = |size: u64| number > 0 && number.is_multiple_of(size);
    match unit {
        "bytes" if whole(1 << 30) => format!("{} GiB", number >> 30),
        "bytes" if whole(1 << 20) => format!("{} MiB", number >> 20),
        "bytes" if whole(1 << 10) => format!("{} KiB", number >> 10),
        "milliseconds" if whole(1000) => format!("{} s", grouped(number / 1000)),
        "milliseconds" => format!("{} ms", grouped(number)),
        _ => grouped(number),
    }
}

/// The purpose of a file: the first sentence of its documentation.
fn purpose(file: &Path) -> String {
    let text = read(file);
    let lines = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).take_while(|line| !line.is_empty());
    let head = lines.collect::<Vec<_>>().join(" ");
    // A full stop ends the sentence only before a capital letter, because of texts like `such as a.b`.
    let end =
        head.match_indices(". ").map(|(at, _)| at).find(|at| head[at + 2..].starts_with(|c: char| c.is_uppercase() || "[`".contains(c)));
    let sentence = head[..end.unwrap_or(head.len())].trim_end_matches('.');
    // Remove links of the source's documentation and citations of decisions.
    let sentence = sentence.split(" (decision: ").next().unwrap_or_default();
    sentence.replace("[`", "`").replace("`]", "`")
}

/// The source files of the host without its tests, sorted, by their path below `host/src`.
fn sources() -> Vec<(String, PathBuf)> {
    let is_test = |name: &str| name.split('/').any(|part| part == "tests" || part == "tests.rs" || part.ends_with("_tests.rs"));
    let below = root().join("host/src");
    let files = tidy::files("host/src", ".rs").into_iter();
    let named = files.map(|file| (file.strip_prefix(&below).expect("a file of the host").display().to_string(), file));
    named.filter(|(name, _)| !is_test(name)).collect()
}

/// The modules of the host as the layering test lists them, the highest first. They are read from its source, so that the list stays private.
fn modules() -> Vec<String> {
    let source = read(&root().join("tests/it/tidy.rs"));
    let (_, rows) =
        source.split_once("= [\n").filter(|(_, rows)| rows.trim_start_matches([' ', '&', '[']).starts_with("\"model\"")).expect("the list");
    let rows = rows.split("\n];").next().expect("its end");
    let modules = rows.split('"').skip(1).step_by(2).filter(|module| !["main", "lib"].contains(module));
    let mut modules: Vec<_> = modules.map(str::to_owned).collect();
    modules.reverse();
    modules
}

#[test]
fn the_architecture_shows_who_may_know_whom() {
    let modules = modules();
    let width = modules.iter().map(|module| module.len()).max().unwrap_or_default();
    let mut picture = "```text\n".to_owned();
    for module in modules {
        let purpose = purpose(&root().join(format!("host/src/{module}.rs")));
        // A purpose that is too long for a line is cut off; the page of files has all of it.
        let words = purpose.split(' ').scan(0, |width, word| {
            *width += word.chars().count() + 1;
            (*width <= 80).then_some(word)
        });
        let shown = words.collect::<Vec<_>>().join(" ");
        writeln!(picture, "{module:width$}  {shown}{}", if shown.len() < purpose.len() { " …" } else { "" }).expect("a String");
    }
    picture.push_str("```\n");
    generated("host/ARCHITECTURE.md", "modules", &picture);
}

/// The names of all decisions.
fn decisions() -> Vec<String> {
    let page = read(&root().join("host/docs/decisions.md"));
    page.lines().filter_map(|line| line.strip_prefix("### ")).map(str::to_owned).collect()
}

#[test]
fn the_architecture_lists_every_decision() {
    let names: Vec<_> = decisions().iter().map(|name| format!("`{name}`")).collect();
    generated("host/ARCHITECTURE.md", "decisions", &format!("{}\n", names.join(",\n")));
}

#[test]
fn every_decision_a_comment_cites_is_one() {
    let known = decisions();
    let mut wrong = Vec::new();
    let mut cited = 0;
    for file in tidy::files("host/src", ".rs") {
        let text = read(&file);
        let words: Vec<_> = text.split_whitespace().filter(|word| !["//", "///", "//!"].contains(word)).collect();
        for cite in words.windows(3).filter(|cite| cite[1] == "(decision:" || cite[0].ends_with(';') && cite[1] == "decision:") {
            let name = cite[2].trim_matches(|c: char| !c.is_alphanumeric() && c != '-');
            cited += 1;
            if !known.iter().any(|decision| decision == name) {
                wrong.push(format!("{}: {name}", pages::name(&file)));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(cited > 20, "{cited}");
}

#[test]
fn every_source_file_a_page_names_is_there() {
    let mut wrong = Vec::new();
    for page in ["README.md", "host/ARCHITECTURE.md", "host/docs/decisions.md", "host/docs/security.md", "host/docs/measurements.md"] {
        let text = read(&root().join(page));
        for name in text.split('`').skip(1).step_by(2).filter(|name| name.ends_with(".rs") && !name.contains(' ')) {
            if !["", "host", "host/src"].iter().any(|folder| root().join(folder).join(name).is_file()) {
                wrong.push(format!("{page}: {name}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_page_of_files_lists_every_file() {
    let mut page = String::new();
    let mut folder = None;
    for (name, file) in sources() {
        // A module's own file comes before its folder: `store.rs` before `store/accept.rs`.
        let own = name.split('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned();
        if folder.as_ref() != Some(&own) {
            writeln!(page, "{}## {own}\n", if page.is_empty() { "" } else { "\n" }).expect("a String");
            folder = Some(own);
        }
        writeln!(page, "* `{name}`: {}", purpose(&file)).expect("a String");
    }
    generated("host/docs/files.md", "files", &page);
}
