//! Finds the compiler of plugins for `wasm32-wasip1`. `tests/toolchain` does the same for this repository and must be kept in step.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use clap::ValueEnum;

/// The target that plugins are compiled for. Until Rust 1.84 it was called `wasm32-wasi`.
pub const TARGET: &str = "wasm32-wasip1";
/// Where Debian's package `wasi-libc` has the C library.
const WASI_LIBC: &str = "/usr/lib/wasm32-wasi";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
/// Stack of a plugin in bytes. Each call begins with a copy of the memory, so a small stack makes calls fast. Rust's default is 1 MiB.
const STACK_BYTES: u32 = 256 * 1024;
/// Initial heap in bytes. Growing the heap takes time in each call.
const HEAP_BYTES: u32 = 128 * 1024;
/// Time limit for `rustup target add`, which would hang without internet.
const INSTALL_TIME_MAX: Duration = Duration::from_secs(20);
/// Variables that a surrounding cargo sets for another compiler.
const NOT_FOR_GUESTS: [&str; 7] =
    ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_BUILD_RUSTFLAGS", "RUSTC", "RUSTC_WRAPPER", "CARGO"];

/// Where a compiler comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Origin {
    /// The rustc in PATH, with the target's standard library.
    Rustup,
    /// Debian's packages. The standard library is built from its sources, which takes a minute once in each project.
    Debian,
}

/// A compiler that was found.
#[derive(Clone, Debug, PartialEq)]
pub enum Toolchain {
    /// The rustc in PATH.
    Rustup,
    /// Debian's rustc, and a linker for the target.
    Debian {
        /// The linker: `rust-lld` or `wasm-ld`.
        linker: PathBuf,
    },
}

impl Toolchain {
    /// Finds the first usable compiler for a project in `dir`. `Err` says what is missing. `install` lets rustup fetch the target.
    pub fn find(dir: &Path, only: Option<Origin>, install: bool) -> anyhow::Result<Self> {
        let mut missing = Vec::new();
        if only != Some(Origin::Debian) {
            match rustup(dir) {
                Ok(found) => return Ok(found),
                Err(_) if install && has_rustup() => {
                    install_target(dir)?;
                    return rustup(dir).map_err(|lack| anyhow::anyhow!("rustup installed {TARGET}, and still: {lack}"));
                }
                Err(lack) => missing.push(lack),
            }
        }
        if only != Some(Origin::Rustup) {
            match debian() {
                Ok(found) => return Ok(found),
                Err(lack) => missing.extend(lack),
            }
        }
        bail!("nothing here compiles for {TARGET}:\n  {}", missing.join("\n  or "))
    }

    /// Describes the compiler, for people.
    pub fn describe(&self) -> String {
        match self {
            Self::Rustup => format!("the rustc in PATH with its {TARGET}"),
            Self::Debian { linker } => {
                format!("{DEBIAN_RUSTC} with the standard library built from source, linked by {}", linker.display())
            }
        }
    }

    /// A cargo command in a project's folder.
    pub fn cargo(&self, dir: &Path) -> Command {
        let mut command = match self {
            Self::Rustup => Command::new("cargo"),
            Self::Debian { .. } => Command::new(DEBIAN_CARGO),
        };
        command.current_dir(dir);
        for name in NOT_FOR_GUESTS {
            command.env_remove(name);
        }
        if let Self::Debian { .. } = self {
            command.env("RUSTC_BOOTSTRAP", "1").env("RUSTC", DEBIAN_RUSTC);
        }
        command
    }

    /// `cargo build --release` for the target.
    pub fn cargo_build(&self, dir: &Path) -> Command {
        let mut command = self.cargo(dir);
        command.args(["build", "--release", "--target", TARGET]);
        let mut flags = remapped(dir);
        flags.extend(["-C".into(), format!("link-arg=-zstack-size={STACK_BYTES}").into()]);
        if let Self::Rustup = self {
            // Older linkers, such as Debian's, do not know this flag.
            flags.extend(["-C".into(), format!("link-arg=--initial-heap={HEAP_BYTES}").into()]);
        }
        if let Self::Debian { linker } = self {
            command.arg("-Zbuild-std=std,panic_abort").env("CARGO_TARGET_WASM32_WASIP1_LINKER", linker);
            // The C library is Debian's. By default, rustc looks for a copy that comes with the target.
            flags.extend(["-C".into(), "link-self-contained=no".into(), "-L".into(), format!("native={WASI_LIBC}").into()]);
        }
        command.env("CARGO_ENCODED_RUSTFLAGS", flags.join(&OsString::from("\u{1f}")));
        command
    }
}

/// Flags that keep this machine's folders out of panic messages, so that the same sources give the same bytes everywhere.
fn remapped(dir: &Path) -> Vec<OsString> {
    let flag = |from: &Path, to: &str| {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(from);
        flag.push(format!("={to}"));
        flag
    };
    let mut flags = vec![flag(dir, ".")];
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let sources = home.and_then(|home| std::fs::read_dir(home.join("registry/src")).ok());
    flags.extend(sources.into_iter().flatten().flatten().map(|entry| flag(&entry.path(), "crates")));
    flags
}

/// The rustc in PATH (which a project's folder can choose), if it has the target. `Err` says what to do.
fn rustup(dir: &Path) -> Result<Toolchain, String> {
    let asked = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).current_dir(dir).output();
    let Ok(answer) = asked else { return Err("there is no rustc in PATH: install Rust with rustup, https://rustup.rs".to_owned()) };
    let folder = PathBuf::from(String::from_utf8_lossy(&answer.stdout).trim());
    let is_std = |name: &str| name.starts_with("libstd-") && name.ends_with(".rlib");
    let mut files = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    if answer.status.success() && files.any(|file| file.file_name().to_str().is_some_and(is_std)) {
        return Ok(Toolchain::Rustup);
    }
    let how = if has_rustup() {
        format!("`rustup target add {TARGET}`, or this command with --install")
    } else {
        "install Rust with rustup, https://rustup.rs".to_owned()
    };
    Err(format!("the rustc in PATH has no standard library for {TARGET}: {how}"))
}

fn has_rustup() -> bool {
    Command::new("rustup").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn install_target(dir: &Path) -> anyhow::Result<()> {
    let seconds = INSTALL_TIME_MAX.as_secs();
    eprintln!("asking rustup for {TARGET}, for at most {seconds} seconds");
    let mut child =
        Command::new("rustup").args(["target", "add", TARGET]).current_dir(dir).stdout(Stdio::null()).spawn().context("rustup")?;
    let end = Instant::now() + INSTALL_TIME_MAX;
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => bail!("`rustup target add {TARGET}` failed ({status})"),
            None if Instant::now() >= end => {
                child.kill()?;
                child.wait()?;
                bail!("`rustup target add {TARGET}` did not end within {seconds} seconds; is there a network?");
            }
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Debian's compiler, if it is complete. `Err` says what to install, on a Debian system.
fn debian() -> Result<Toolchain, Option<String>> {
    let linker = ["rust-lld", "wasm-ld"].iter().find_map(|name| in_path(name));
    let source = || {
        let sysroot = output_of(DEBIAN_RUSTC, &["--print", "sysroot"])?;
        Some(Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/std").is_dir())
    };
    let knows_target = || output_of(DEBIAN_RUSTC, &["--print", "target-list"]).is_some_and(|list| list.lines().any(|line| line == TARGET));
    let needed = [
        ("rustc-web", knows_target()),
        ("cargo-web", Path::new(DEBIAN_CARGO).exists()),
        ("rust-web-src", source().unwrap_or(false)),
        ("lld", linker.is_some()),
        ("wasi-libc", Path::new(WASI_LIBC).join("libc.a").exists()),
    ];
    let lacking: Vec<&str> = needed.iter().filter(|(_, there)| !there).map(|(package, _)| *package).collect();
    match linker {
        Some(linker) if lacking.is_empty() => Ok(Toolchain::Debian { linker }),
        _ if Path::new("/etc/debian_version").exists() => {
            Err(Some(format!("Debian's own compiler is not complete: as root, `apt-get install {}`", lacking.join(" "))))
        }
        _ => Err(None),
    }
}

fn output_of(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn in_path(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(program)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_do_not_get_the_flags_of_another_compiler() {
        let command = Toolchain::Debian { linker: "/usr/bin/wasm-ld".into() }.cargo_build(Path::new("/p"));
        let set = |name: &str| {
            command.get_envs().find(|(key, _)| *key == name).and_then(|(_, value)| value).map(|value| value.to_string_lossy().into_owned())
        };
        assert_eq!(set("RUSTFLAGS"), None);
        assert_eq!(set("RUSTC").as_deref(), Some(DEBIAN_RUSTC));
        let flags = set("CARGO_ENCODED_RUSTFLAGS").expect("flags");
        assert!(flags.starts_with("--remap-path-prefix=/p=.\u{1f}"), "{flags}");
        assert!(flags.ends_with("-C\u{1f}link-self-contained=no\u{1f}-L\u{1f}native=/usr/lib/wasm32-wasi"), "{flags}");
    }
}
