//! Runs other people's libraries: programs in `tests/interop` that read JSON and print what their library makes of it.

use std::{path::Path, process::Stdio};

use serde_json::Value;
use tokio::{io::AsyncWriteExt, process::Command};

use crate::{root, wait::within};

/// Paths where Linux distributions install the browser.
const BROWSERS: [&str; 3] = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/// The browser of this machine. `None`: there is none, which is reported on standard error, and the test is skipped.
pub fn browser() -> Option<&'static str> {
    let found = BROWSERS.into_iter().find(|path| Path::new(path).exists());
    if found.is_none() {
        eprintln!("skipped: there is no browser; tests/run installs chromium where it may");
    }
    found
}

/// The output of `script` in `tests/interop` for the input `asked`. `program` is `node`, `python3`, or a program in `venv/`.
pub async fn interop(program: &str, script: &str, asked: &Value) -> String {
    let interop = root().join("target/interop");
    let program = if program.starts_with("venv/") { interop.join(program) } else { program.into() };
    let mut command = Command::new(&program);
    command
        .arg(root().join("tests/interop").join(script))
        .env("INTEROP", &interop)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let mut child =
        command.spawn().unwrap_or_else(|error| panic!("{} does not run ({error}): run tests/run, which installs it", program.display()));
    let mut stdin = child.stdin.take().expect("its standard input");
    stdin.write_all(asked.to_string().as_bytes()).await.expect("written");
    drop(stdin);
    let output = within("the library", child.wait_with_output()).await.expect("its end");
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(output.status.success(), "{script} says `{said}` ({}): run tests/run, which installs what it needs", output.status);
    said
}
