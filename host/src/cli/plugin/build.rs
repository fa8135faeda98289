//! `hookwright plugin build`: compiles a crate to a module, or reads a script.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};
use wasmparser::{Parser, Payload};

use super::{
    project::{Package, Project, kind_of, name_of},
    toolchain::{Origin, Toolchain},
};
use crate::{
    cli::output,
    plugin::script::{ScriptLanguage, parse_script},
};

/// The prefix of the contract's interfaces in a module.
const INTERFACES: &str = "hookwright:plugin/";
/// How a release is built if the project does not say it.
const PROFILE: [(&str, &str); 6] = [
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s"),
    ("CARGO_PROFILE_RELEASE_LTO", "fat"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
    ("CARGO_PROFILE_RELEASE_PANIC", "abort"),
    // Keep the names of functions, for the backtrace of a trap.
    ("CARGO_PROFILE_RELEASE_STRIP", "debuginfo"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "false"),
];

/// Compile the plugin of a folder for `wasm32-wasip1`, or read its script.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hookwright plugin build\n  hookwright plugin build --dir greeting -o greeting-2.wasm\n\n\
    The compiler is the rustc in PATH if it has the target, else Debian's packages; --toolchain leaves no choice.\n\
    A release is built for size unless the project has a [profile.release] of its own. A script is only checked.")]
pub struct Build {
    #[command(flatten)]
    recipe: Recipe,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// What to build, and with what.
#[derive(Debug, Args)]
pub struct Recipe {
    /// The plugin's folder.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Where to put the module [default: NAME.wasm in the folder].
    #[arg(short, long)]
    out: Option<PathBuf>,
    /// The toolchain to compile with.
    #[arg(long, value_enum, env = "HOOKWRIGHT_GUEST_TOOLCHAIN")]
    toolchain: Option<Origin>,
    /// Let rustup fetch the target if it is missing; that may take at most 20 seconds.
    #[arg(long)]
    install: bool,
}

/// A plugin that can be pushed.
#[derive(Debug, PartialEq)]
pub struct Built {
    /// The file of the plugin.
    pub path: PathBuf,
    size_bytes: usize,
    exports: Vec<String>,
    imports: Vec<String>,
}

impl Build {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let Built { path, size_bytes, exports, imports } = self.recipe.make()?;
        if self.json {
            output::print(&output::pretty(&json!({ "path": path, "size_bytes": size_bytes, "exports": exports, "imports": imports })))?;
        } else {
            let uses = if imports.is_empty() { String::new() } else { format!("; uses {}", imports.join(", ")) };
            output::print(&format!("{}: {size_bytes} bytes, exports {}{uses}", shown(&path), exports.join(", ")))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Recipe {
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Compiles or reads the plugin, without printing anything.
    pub fn make(&self) -> anyhow::Result<Built> {
        let dir = self.dir.canonicalize().with_context(|| format!("there is no folder {}", self.dir.display()))?;
        match Project::find(&dir)? {
            Project::Script(script) => self.script(&script),
            Project::Rust => self.compile(&dir),
        }
    }

    fn script(&self, script: &Path) -> anyhow::Result<Built> {
        name_of(script)?;
        let source = std::fs::read_to_string(script).with_context(|| format!("{} cannot be read", shown(script)))?;
        let language = kind_of(script).and_then(ScriptLanguage::of).context("a script ends in .js or .ts")?;
        let exports = parse_script(&source, language).with_context(|| shown(script))?.exports;
        if let Some(out) = &self.out {
            std::fs::write(out, &source).with_context(|| format!("{} cannot be written", out.display()))?;
        }
        let path = self.out.clone().unwrap_or_else(|| script.to_owned());
        Ok(Built { path, size_bytes: source.len(), exports: exports.iter().map(ToString::to_string).collect(), imports: Vec::new() })
    }

    fn compile(&self, dir: &Path) -> anyhow::Result<Built> {
        let toolchain = Toolchain::find(dir, self.toolchain, self.install)?;
        eprintln!("compiling with {}", toolchain.describe());
        let package = Package::read(&toolchain, dir)?;
        let module = compile(&toolchain, dir, &package)?;
        let bytes = std::fs::read(&module).with_context(|| format!("{} cannot be read", module.display()))?;
        let (exports, imports) = interfaces(&bytes)?;
        if exports.is_empty() {
            bail!(
                "the module exports nothing a host would call; src/lib.rs needs for example\n\nhookwright_guest::export!(Plugin: transform);\n"
            );
        }
        let path = self.out.clone().unwrap_or_else(|| dir.join(format!("{}.wasm", package.plugin)));
        std::fs::write(&path, &bytes).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(Built { path, size_bytes: bytes.len(), exports, imports })
    }
}

/// Runs cargo and finds the module it made.
fn compile(toolchain: &Toolchain, dir: &Path, package: &Package) -> anyhow::Result<PathBuf> {
    let mut command = toolchain.cargo_build(dir);
    command.args(["--lib", "--message-format=json-render-diagnostics", "--package", &package.id]).stdout(Stdio::piped());
    if !package.has_release_profile {
        command.envs(PROFILE);
    }
    let mut child = command.spawn().context("cargo cannot be started")?;
    let mut made = None;
    for line in child.stdout.take().into_iter().flat_map(|out| BufReader::new(out).lines()) {
        let message: Value = serde_json::from_str(&line?).unwrap_or_default();
        if message["reason"] == "compiler-artifact" && message["package_id"] == package.id.as_str() {
            let files = message["filenames"].as_array().into_iter().flatten().filter_map(Value::as_str);
            made = files.into_iter().find(|file| file.ends_with(".wasm")).map(PathBuf::from).or(made);
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("cargo build failed ({status})");
    }
    made.context("cargo made no .wasm file")
}

/// The contract's interfaces that a module exports and imports.
fn interfaces(module: &[u8]) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let interface = |name: &str| name.strip_prefix(INTERFACES)?.split(['@', '#']).next().map(str::to_owned);
    let (mut exports, mut imports) = (BTreeSet::new(), BTreeSet::new());
    for payload in Parser::new(0).parse_all(module) {
        match payload.context("the module cannot be read")? {
            Payload::ExportSection(section) => {
                for export in section {
                    exports.extend(interface(export?.name));
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    imports.extend(interface(import?.module));
                }
            }
            _ => {}
        }
    }
    Ok((exports.into_iter().collect(), imports.into_iter().collect()))
}

/// The shortest form of a path, seen from the current folder.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().ok().and_then(|here| here.canonicalize().ok());
    let short = here.and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned));
    short.unwrap_or_else(|| path.to_owned()).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_tells_what_it_can_do() {
        let slack = crate::plugin::builtin::Builtin::named("slack").expect("one in the binary");
        let (exports, imports) = interfaces(slack.bytes).expect("a module");
        assert_eq!((exports, imports), (vec!["transform".to_owned()], vec!["config".to_owned()]));
        assert_eq!(interfaces(b"\0asm\x01\0\0\0").expect("a module"), (vec![], vec![]));
        assert!(interfaces(b"no module").is_err());
    }
}
