//! `hookwright plugin new`: writes the folder of a new plugin, with everything that it needs to build.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};

use super::{name, sdk};
use crate::cli::output;

const MANIFEST: &str = include_str!("new/rust/Cargo.toml.template");
/// The lock file of the SDK's crates, at the versions of this build. A test makes it again from the workspace's lock file and compares.
const LOCK: &str = include_str!("new/rust/Cargo.lock.template");
const LIBRARY: &str = include_str!("new/rust/lib.rs.template");
const RUST_README: &str = include_str!("new/rust/README.md.template");
const IGNORED: &str = include_str!("new/rust/gitignore.template");
const SCRIPT: &str = include_str!("new/js/script.js.template");
const CASE_EVENT: &str = include_str!("new/cases/event.json.template");
const CASE_REQUEST: &str = include_str!("new/cases/request.json.template");
const CASE_CALL: &str = include_str!("new/cases/invocation.json.template");
const CASE_REPLY: &str = include_str!("new/cases/reply.json.template");
const TYPESCRIPT: &str = include_str!("new/ts/script.ts.template");
const SCRIPT_README: &str = include_str!("new/js/README.md.template");

/// Write a new plugin: a small one that works, its tests, the SDK, and what to do next.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hookwright plugin new greeting\n  hookwright plugin new greeting --lang js --dir scripts/greeting")]
pub struct New {
    /// What the plugin will be called: lower-case letters, digits and `-`.
    #[arg(value_parser = name::parse)]
    name: String,
    /// The language to write it in.
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    lang: Language,
    /// The folder to write. If it exists, it must be empty [default: ./NAME].
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// The language of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// Rust, compiled to `wasm32-wasip1`.
    Rust,
    /// A script in JavaScript. It is not compiled.
    Js,
    /// A script in TypeScript. It is not compiled; its types are only for the editor.
    Ts,
}

impl New {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let dir = self.dir.unwrap_or_else(|| PathBuf::from(&self.name));
        write(&dir, &files(&self.name, self.lang))?;
        let try_it = if self.lang == Language::Rust { "\n  cargo test" } else { "" };
        output::print(&format!(
            "{} is written. Next:\n\n  cd {}{try_it}\n  hookwright plugin build\n  hookwright plugin test\n  hookwright plugin push\n\nREADME.md says more.",
            self.name,
            dir.display()
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Every file of a new plugin, by its path.
fn files(name: &str, language: Language) -> Vec<(String, String)> {
    let named = |template: &str| template.replace("{name}", name);
    match language {
        Language::Js | Language::Ts => vec![
            if language == Language::Ts { (format!("{name}.ts"), named(TYPESCRIPT)) } else { (format!("{name}.js"), named(SCRIPT)) },
            ("hookwright.d.ts".to_owned(), sdk::SCRIPT_TYPES.to_owned()),
            ("cases/greets/event.json".to_owned(), CASE_EVENT.to_owned()),
            ("cases/greets/request.json".to_owned(), CASE_REQUEST.to_owned()),
            ("cases/answers/invocation.json".to_owned(), CASE_CALL.to_owned()),
            ("cases/answers/reply.json".to_owned(), CASE_REPLY.to_owned()),
            ("README.md".to_owned(), named(SCRIPT_README).replace("{ending}", if language == Language::Ts { "ts" } else { "js" })),
        ],
        Language::Rust => {
            let package = name::package(name, LOCK);
            let metadata = if package == name { String::new() } else { format!("\n[package.metadata.hookwright]\nname = \"{name}\"\n") };
            let mut files = vec![
                ("Cargo.toml".to_owned(), MANIFEST.replace("{package}", &package).replace("{metadata}", &metadata)),
                ("Cargo.lock".to_owned(), lock_for(&package)),
                ("src/lib.rs".to_owned(), named(LIBRARY)),
                ("README.md".to_owned(), named(RUST_README)),
                (".gitignore".to_owned(), IGNORED.to_owned()),
                ("cases/greets/event.json".to_owned(), CASE_EVENT.to_owned()),
                ("cases/greets/request.json".to_owned(), CASE_REQUEST.to_owned()),
                ("sdk/LICENSE".to_owned(), sdk::LICENSE.to_owned()),
            ];
            files.extend(sdk::FILES.iter().map(|(path, text)| (format!("sdk/{path}"), (*text).to_owned())));
            files
        }
    }
}

/// The lock file with the package itself inserted in alphabetical order, as cargo writes it.
fn lock_for(package: &str) -> String {
    let own = format!(
        "[[package]]\nname = \"{package}\"\nversion = \"0.1.0\"\ndependencies = [\n \"hookwright-guest\",\n \"serde\",\n \"serde_json\",\n]\n\n"
    );
    let entries = LOCK.match_indices("[[package]]\nname = \"");
    let after =
        entries.map(|(at, start)| (at, LOCK[at + start.len()..].split('"').next().unwrap_or_default())).find(|(_, name)| *name > package);
    let mut lock = LOCK.to_owned();
    match after {
        Some((at, _)) => lock.insert_str(at, &own),
        None => {
            lock.push('\n');
            lock.push_str(own.trim_end());
            lock.push('\n');
        }
    }
    lock
}

fn write(dir: &Path, files: &[(String, String)]) -> anyhow::Result<()> {
    match fs::read_dir(dir).map(Iterator::count) {
        Ok(0) => {}
        Ok(_) => bail!("{} is not empty; name another folder with --dir", dir.display()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("{} cannot be used", dir.display())),
    }
    for (path, text) in files {
        let path = dir.join(path);
        let folder = path.parent().unwrap_or(dir);
        fs::create_dir_all(folder).with_context(|| format!("the folder {} cannot be made", folder.display()))?;
        fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const OF_REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli/plugin/new/rust/Cargo.lock.template");

    #[test]
    fn a_folder_with_something_in_it_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        write(dir.path(), &files("greeting", Language::Js)).expect("an empty folder is fine");
        let refusal = write(dir.path(), &files("greeting", Language::Js)).expect_err("it is not empty");
        assert!(refusal.to_string().contains("is not empty"), "{refusal}");
    }

    #[test]
    fn the_script_is_one_the_host_takes() {
        use crate::plugin::script::{ScriptLanguage, parse_script};
        for (language, of) in [(Language::Js, ScriptLanguage::JavaScript), (Language::Ts, ScriptLanguage::TypeScript)] {
            assert_eq!(parse_script(&files("greeting", language)[0].1, of).expect("a script").exports.len(), 2);
            assert!(!files("greeting", language)[0].1.contains("$greeting"), "the name went into a template of the script's own");
        }
    }

    #[test]
    fn the_package_is_locked_at_its_place() {
        let names = |lock: &str| lock.lines().filter_map(|line| line.strip_prefix("name = ").map(str::to_owned)).collect::<Vec<_>>();
        for package in ["aaa", "greeting", "zzz"] {
            let names = names(&lock_for(package));
            assert!(names.is_sorted() && names.contains(&format!("\"{package}\"")), "{names:?}");
        }
        assert!(lock_for("zzz").ends_with(" \"serde_json\",\n]\n"));
    }

    /// `HOOKWRIGHT_UPDATE=1 cargo test --release -p hookwright lock_is_current` writes the lock file again.
    #[test]
    fn the_lock_is_current() {
        let dir = tempfile::tempdir().expect("a folder");
        write(dir.path(), &files("greeting", Language::Rust)).expect("a new plugin");
        let lock = dir.path().join("Cargo.lock");
        let as_written = fs::read_to_string(&lock).expect("a lock");
        // If cargo finds the workspace's lock file, it keeps the versions and drops what the plugin does not need.
        fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock"), &lock).expect("the workspace's lock");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let done =
            Command::new(cargo).args(["metadata", "--offline", "--format-version=1"]).current_dir(dir.path()).output().expect("cargo");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let current = fs::read_to_string(&lock).expect("a lock");
        if as_written != current {
            let own = current.split("[[package]]").find(|entry| entry.contains("\"greeting\"")).expect("the plugin itself");
            if std::env::var_os("HOOKWRIGHT_UPDATE").is_some() {
                fs::write(OF_REPOSITORY, current.replace(&format!("[[package]]{own}"), "")).expect("a writable repository");
            }
            panic!("{OF_REPOSITORY} does not follow Cargo.lock; run this test with HOOKWRIGHT_UPDATE=1");
        }
    }
}
