//! Rules of this repository as tests: layering, first lines of files, documentation, and texts that no file may contain.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use hookwright_tests::root;

use imports::{Imports, Sources, circles, imports};

mod imports;

/// Files below `directory` with this ending, sorted, by their path from the root.
pub fn files(directory: &str, ending: &str) -> Vec<PathBuf> {
    fn walk(directory: &Path, ending: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display())).flatten() {
            let path = entry.path();
            match path.is_dir() {
                true if !matches!(entry.file_name().to_str(), Some("target" | "node_modules" | "dist")) => walk(&path, ending, found),
                false if path.to_str().is_some_and(|path| path.ends_with(ending)) => found.push(path),
                _ => {}
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(directory), ending, &mut found);
    assert!(!found.is_empty(), "no {ending} in {directory}");
    found.sort();
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A path relative to the repository.
fn said(path: &Path) -> String {
    let root = root().canonicalize().expect("the repository");
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    path.strip_prefix(&root).unwrap_or(&path).display().to_string()
}

/// The code of a file, without comments and tests.
fn code(path: &Path) -> String {
    let text = read(path);
    let text = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// Modules of the host, the lowest first. A module may import only from modules before it.
const MODULES: [&str; 28] = [
    "model",
    "lock",
    "clock",
    "config",
    "metrics",
    "finishing",
    "turns",
    "watched",
    "volatile",
    "bodies",
    "transport",
    "mail",
    "store",
    "plugin",
    "traces",
    "catalog",
    "services",
    "loop_depth",
    "outbound",
    "try_out",
    "notices",
    "invocation",
    "inbound",
    "server",
    "host",
    "cli",
    "main",
    "lib",
];

/// The files of `outbound`, by the same rule.
const OUTBOUND: [&str; 21] = [
    "outbound/replay.rs",
    "outbound/material.rs",
    "outbound/plugin_call.rs",
    "outbound/building.rs",
    "outbound/deliverer/secrets.rs",
    "outbound/deliverer/trust.rs",
    "outbound/deliverer/credentials/tokens.rs",
    "outbound/deliverer/credentials.rs",
    "outbound/deliverer/sign.rs",
    "outbound/deliverer/record.rs",
    "outbound/deliverer/report.rs",
    "outbound/deliverer/mail.rs",
    "outbound/deliverer/send.rs",
    "outbound/deliverer/bind.rs",
    "outbound/deliverer/judge.rs",
    "outbound/deliverer/settle.rs",
    "outbound/deliverer/look.rs",
    "outbound/deliverer.rs",
    "outbound/acceptance.rs",
    "outbound/dispatcher.rs",
    "outbound.rs",
];

/// The allowed circles of imports, each with its reason. Those in `store` are not checked yet.
const CIRCLES: [(&[&str], &str); 2] = [
    (
        &["model/function/call.rs", "model/function/condition.rs", "model/function/parse.rs"],
        "a call has arguments, an argument may be a condition, and a condition compares calls",
    ),
    (
        &["plugin/upload/loader.rs", "plugin/upload/snapshot.rs"],
        "a script is loaded to be recorded, and what was recorded is loaded in its place",
    ),
];

/// The code of the host, by paths below `host/src`, without its tests.
fn sources() -> Sources {
    let below = |path: &Path| said(path).trim_start_matches("host/src/").to_owned();
    let is_test = |path: &str| path.split('/').any(|part| part == "tests" || part == "tests.rs" || part.ends_with("_tests.rs"));
    let all = files("host/src", ".rs").into_iter().map(|path| (below(&path), code(&path)));
    all.filter(|(path, _)| !is_test(path)).collect()
}

/// Imports that break the order: a row may only import from earlier rows. `row_of` gives the row of a file.
fn upward(imports: &Imports, row_of: impl Fn(&str) -> Option<usize>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (from, to, names) in imports.iter().flat_map(|(from, all)| all.iter().map(move |(to, names)| (from, to, names))) {
        if let (Some(here), Some(there)) = (row_of(from), row_of(to))
            && there > here
        {
            wrong.push(format!("{from} imports {names:?} from {to}"));
        }
    }
    wrong
}

fn upward_between_modules(imports: &Imports) -> Vec<String> {
    upward(imports, |file| {
        let module = file.split('/').next().unwrap_or_default().trim_end_matches(".rs");
        let row = MODULES.iter().position(|known| *known == module);
        Some(row.unwrap_or_else(|| panic!("`{module}` has no row: say where it belongs")))
    })
}

fn upward_inside_of_outbound(imports: &Imports) -> Vec<String> {
    upward(imports, |file| {
        let row = OUTBOUND.iter().position(|known| *known == file);
        assert!(row.is_some() || !file.starts_with("outbound"), "`{file}` has no row: say where it belongs");
        row
    })
}

fn unnamed_circles(imports: &Imports) -> Vec<Vec<String>> {
    let is_named = |circle: &Vec<String>| CIRCLES.iter().any(|(files, _)| files == circle);
    circles(imports).into_iter().filter(|circle| !circle[0].starts_with("store") && !is_named(circle)).collect()
}

#[test]
fn every_module_imports_only_from_those_below_it() {
    let imports = imports(&sources());
    assert!(imports.values().map(std::collections::BTreeMap::len).sum::<usize>() > 1000, "the imports are read");
    assert_eq!(upward_between_modules(&imports), Vec::<String>::new());
    assert_eq!(upward_inside_of_outbound(&imports), Vec::<String>::new());
}

#[test]
fn files_import_each_other_in_no_circle_but_those_that_have_a_reason() {
    let imports = imports(&sources());
    assert_eq!(unnamed_circles(&imports), Vec::<Vec<String>>::new());
    for (files, reason) in CIRCLES {
        assert!(circles(&imports).iter().any(|circle| files == circle), "{files:?} is no circle any more ({reason}): strike it");
        assert!(files.len() <= 3, "{files:?}");
    }
}

#[test]
fn an_import_in_the_wrong_direction_is_found() {
    let with = |file: &str, line: &str| {
        let mut sources = sources();
        sources.get_mut(file).unwrap_or_else(|| panic!("there is no {file}")).push_str(line);
        imports(&sources)
    };
    // The import is found in every form: as a `use`, through a re-export of another file, and as a path in the code.
    for line in
        ["\nuse crate::outbound::deliverer::{self, Eyes};\n", "\nfn f() { crate::inbound::find(1); }\n", "\nuse crate::server::Face;\n"]
    {
        let wrong = upward_between_modules(&with("services.rs", line));
        assert!(!wrong.is_empty() && wrong.iter().all(|wrong| wrong.starts_with("services.rs imports")), "{line}: {wrong:?}");
    }
    let wrong = upward_inside_of_outbound(&with("outbound/building.rs", "\nuse super::deliverer::Invoked;\n"));
    assert_eq!(wrong, ["outbound/building.rs imports {\"Invoked\"} from outbound/deliverer.rs"]);
    let found = unnamed_circles(&with("model/id.rs", "\nuse super::delivery::Delivery;\n"));
    assert!(found.iter().any(|circle| circle.contains(&"model/id.rs".to_owned())), "{found:?}");
}

/// Checks that only files whose path contains one of `may` contain one of these words.
#[track_caller]
fn only_in(may: &[&str], words: &[&str]) {
    let mut wrong = Vec::new();
    for file in files("host/src", ".rs") {
        let path = said(&file);
        if may.iter().any(|may| path.starts_with(&format!("host/src/{may}"))) || path.contains("tests") {
            continue;
        }
        let code = code(&file);
        wrong.extend(words.iter().filter(|word| code.contains(**word)).map(|word| format!("{path} says `{word}`")));
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn what_belongs_to_one_place_stands_there_alone() {
    only_in(&["store/tree.rs"], &["sled::", "sled "]);
    only_in(&["plugin"], &["wasmtime::", "wasmtime_wasi", "wit_component"]);
    only_in(&["traces"], &["opentelemetry"]);
    only_in(&["main.rs", "cli"], &["anyhow"]);
    only_in(&["server/respond.rs", "transport", "cli"], &["StatusCode"]);
    only_in(&["clock.rs", "cli", "plugin", "store"], &["Timestamp::now", "SystemTime::now"]);
}

#[test]
fn the_engine_knows_no_vendor() {
    let may = ["model", "plugin/builtin.rs", "server", "cli"];
    only_in(&may, &["arcgis", "ArcGIS", "dialogflow", "Dialogflow", "divalto", "Divalto", "slack", "Slack", "esri", "Esri"]);
}

#[test]
fn the_model_is_pure() {
    let mut wrong = Vec::new();
    for file in files("host/src/model", ".rs").into_iter().chain([root().join("host/src/model.rs")]) {
        let code = code(&file);
        let words =
            ["async ", ".await", "tokio", "std::fs", "std::net::Tcp", "std::env", "Instant::now", "Timestamp::now", "rand::", "tracing::"];
        wrong.extend(words.iter().filter(|word| code.contains(**word)).map(|word| format!("{} says `{word}`", said(&file))));
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn every_file_of_rust_says_first_what_it_is_for() {
    let mut wrong = Vec::new();
    for directory in ["host/src", "plugins", "tests/src", "tests/it", "tests/guests"] {
        for file in files(directory, ".rs") {
            // A module's tests come after its first lines.
            let is_tests = said(&file)
                .split('/')
                .any(|part| part == "tests.rs" || part == "tests" && !said(&file).starts_with("tests/") || part.ends_with("_tests.rs"));
            if !is_tests && !read(&file).starts_with("//!") {
                wrong.push(said(&file));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn an_exception_from_a_lint_gives_its_reason() {
    let mut wrong = Vec::new();
    for directory in ["host/src", "guest-sdk/src", "plugins", "tests/src", "tests/it", "tests/guests"] {
        for file in files(directory, ".rs") {
            let text = read(&file);
            for word in ["allow", "expect"] {
                for opening in [format!("#[{word}("), format!("#![{word}(")] {
                    for (at, _) in text.match_indices(&opening) {
                        let attribute = text[at..].split(")]").next().unwrap_or_default();
                        let line = text[..at].lines().count() + 1;
                        if !attribute.contains("reason = ") && !text[..at].ends_with('"') {
                            wrong.push(format!("{}:{line}", said(&file)));
                        }
                    }
                }
            }
        }
    }
    // This file contains them itself.
    wrong.retain(|place| !place.starts_with("tests/it/tidy.rs"));
    assert_eq!(wrong, Vec::<String>::new());
}

/// One table has all limits, with units and bounds. Their names contain the unit, or what is counted.
#[test]
fn every_limit_says_what_it_limits_and_in_what_unit() {
    use hookwright::config::{Limits, Retention, http::HttpSettings, otlp::OtlpLimits};
    let named = |key: &str, unit: &str| match unit {
        "seconds" | "days" | "bytes" => key.contains(unit),
        _ => ["_max", "_min"].iter().any(|end| key.ends_with(end)),
    };
    let all = Limits::NUMBERS.iter().map(|number| (number.key, number.unit));
    let all = all.chain(HttpSettings::NUMBERS.iter().map(|number| (number.key, number.unit)));
    let all = all.chain(OtlpLimits::NUMBERS.iter().map(|number| (number.key, number.unit)));
    for (key, unit) in all.chain(Retention::NUMBERS.iter().map(|number| (number.key, number.unit))) {
        assert!(named(key, unit), "{key} counts {unit}");
    }
}

#[test]
fn no_test_sleeps_for_a_time() {
    let mut wrong = Vec::new();
    for directory in ["tests/src", "tests/it"] {
        for file in files(directory, ".rs") {
            let word = concat!("sle", "ep(");
            if read(&file).contains(word) && !file.ends_with("src/wait.rs") {
                wrong.push(said(&file));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn every_guest_of_the_tests_has_a_test() {
    let tests: String = files("tests/it", ".rs").iter().map(|file| read(file)).collect();
    let mut missing = Vec::new();
    for guest in files("tests/guests/examples", ".rs").into_iter().chain(files("tests/guests/red-team", ".rs")) {
        let folder = if said(&guest).contains("/red-team/") { "red_" } else { "" };
        let name = format!("{folder}{}", guest.file_stem().and_then(|name| name.to_str()).expect("a name"));
        // Tests name the version of `echo`, and of the corpus.
        if name != "echo" && !name.starts_with("corpus_") && !tests.contains(&format!("\"{name}\"")) {
            missing.push(name);
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn every_item_of_the_wit_is_documented() {
    let mut wrong = Vec::new();
    for file in files("guest-sdk/wit", ".wit").into_iter().chain(files("plugins/script-engine/wit", ".wit")) {
        let text = read(&file);
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        for (number, line) in lines.iter().enumerate() {
            let word = line.split([' ', '(', ',', ':', '{']).next().unwrap_or_default();
            let is_item = !line.is_empty()
                && !line.starts_with("//")
                && !["}", "use", "import", "export", "include", "@since"].contains(&word)
                && !line.starts_with('}');
            let above = lines[..number].iter().rev().find(|line| !line.starts_with('@')).copied().unwrap_or_default();
            if is_item && !above.starts_with("///") {
                wrong.push(format!("{}:{}: {line}", said(&file), number + 1));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_plugins_in_the_binary_are_made_of_the_sources_here() {
    for command in ["plugins/build", "plugins/script-engine/build"] {
        let output = Command::new(root().join(command)).arg("--check").output().unwrap_or_else(|error| panic!("{command}: {error}"));
        assert!(output.status.success(), "{command} --check: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Every file that is committed, or would be.
fn committed() -> Vec<PathBuf> {
    let listed = Command::new("git").args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root()).output();
    let listed = listed.expect("git");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let paths: Vec<_> =
        String::from_utf8_lossy(&listed.stdout).split('\0').filter(|path| !path.is_empty()).map(|path| root().join(path)).collect();
    assert!(paths.len() > 100);
    paths.into_iter().filter(|path| path.is_file()).collect()
}

#[test]
fn no_file_names_a_registrys_host_or_what_lies_outside() {
    // The names are composed here, so that this file does not contain them either.
    let hosts = [
        ("index.crates", "io"),
        ("static.crates", "io"),
        ("registry.npmjs", "org"),
        ("registry.yarnpkg", "com"),
        ("pypi", "org"),
        ("pythonhosted", "org"),
    ];
    let mut words: Vec<_> = hosts.iter().map(|(name, domain)| format!("{name}.{domain}")).collect();
    words.push(["..", "shared"].join("/"));
    words.push(["/work", "shared"].join("/"));
    words.push(["", "work", "main"].join("/"));
    let mut wrong = Vec::new();
    for path in committed() {
        let bytes = fs::read(&path).expect("a file");
        let found = words.iter().filter(|word| bytes.windows(word.len()).any(|window| window == word.as_bytes()));
        wrong.extend(found.map(|word| format!("{}: {word}", said(&path))));
    }
    assert_eq!(wrong, Vec::<String>::new());
    for path in committed().into_iter().filter(|path| path.ends_with("package-lock.json")) {
        assert!(!read(&path).contains("\"resolved\""), "{}", said(&path));
    }
}

/// The description has one list of names. If two types had the same name, it would show one of them in both places.
#[test]
fn no_two_documents_of_the_api_have_the_same_name() {
    let mut seen: std::collections::BTreeMap<String, PathBuf> = Default::default();
    for path in files("host/src", "rs") {
        let text = read(&path);
        for part in text.split("ToSchema)]").skip(1) {
            let (attributes, item) = part.split_once("\npub ").unwrap_or((part, ""));
            let renamed = attributes.split_once("schema(as = ").and_then(|(_, rest)| rest.split([')', ',']).next());
            let written = item.split_whitespace().nth(1).map(|name| name.trim_end_matches(|c: char| !c.is_alphanumeric()));
            let Some(name) = renamed.or(written) else { continue };
            if let Some(other) = seen.insert(name.to_owned(), path.clone()) {
                panic!("{} and {} both have a document `{name}`", other.display(), path.display());
            }
        }
    }
    assert!(seen.len() > 50, "{}", seen.len());
}
