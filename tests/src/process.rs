//! The real binary as a child process: tests kill it, trace it, and run its commands.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    sync::oneshot,
};

use crate::{Client, lock, target, wait::within};

/// The path of the `hookwright` binary that was built with this test binary.
#[track_caller]
pub fn binary() -> PathBuf {
    let path = target().join("hookwright");
    assert!(path.is_file(), "there is no {}: run `tests/run`, or `cargo build --release`", path.display());
    path
}

/// The result of a command that has ended.
#[derive(Debug)]
pub struct Finished {
    /// The exit status.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Finished {
    /// Requires exit code 0.
    #[track_caller]
    pub fn success(self) -> Self {
        assert!(self.status.success(), "{}\n--- standard output\n{}\n--- standard error\n{}", self.status, self.stdout, self.stderr);
        self
    }

    /// Standard output and standard error.
    pub fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// A `hookwright` command without the settings of the surrounding environment.
pub fn hookwright(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments);
    clean(&mut command);
    command
}

fn clean(command: &mut Command) {
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HOOKWRIGHT_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
}

/// Runs a command until it ends.
pub async fn finish(command: &mut Command) -> Finished {
    let output = within(&format!("{command:?}"), command.kill_on_drop(true).output()).await.expect("the command runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Finished { status: output.status, stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// `hookwright serve` on a data directory, at a free port. It is killed when this value is dropped.
pub struct Process {
    /// The address it listens on.
    pub address: SocketAddr,
    /// A client with the token in `DATA/admin-token`.
    pub client: Client,
    printed: Arc<Mutex<Vec<String>>>,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts the host. Its log is appended to a file next to `data`.
    pub async fn serve(data: &Path) -> Self {
        Self::serve_under(data, &[], &[]).await
    }

    /// Starts the host inside another command, such as `strace`, and with environment variables.
    pub async fn serve_under(data: &Path, wrapper: &[&str], environment: &[(&str, &str)]) -> Self {
        let own = binary();
        let own = own.to_str().expect("a path in UTF-8");
        let (program, rest) = wrapper.split_first().map_or((own, &[][..]), |(first, rest)| (*first, rest));
        let mut command = Command::new(program);
        command.args(rest);
        if !wrapper.is_empty() {
            command.arg(own);
        }
        clean(&mut command);
        let log = data.with_extension("log");
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).expect("a file for the log");
        command.args(["serve", "--listen", "127.0.0.1:0", "--allow-network", "127.0.0.0/8", "--data"]).arg(data);
        command.envs(environment.iter().copied()).stdout(Stdio::piped()).stderr(file);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let lines = BufReader::new(child.stdout.take().expect("its standard output")).lines();
        let printed = Arc::new(Mutex::new(Vec::new()));
        let (found, address) = oneshot::channel();
        tokio::spawn(read(lines, Arc::clone(&printed), found));
        let address = within("the line that says where it listens", address).await;
        let address = address.unwrap_or_else(|_| panic!("`serve` ended: {}", std::fs::read_to_string(&log).unwrap_or_default()));
        let given = environment.iter().find(|(name, _)| *name == "HOOKWRIGHT_ADMIN_TOKEN").map(|(_, token)| (*token).to_owned());
        let token = given.or_else(|| Some(std::fs::read_to_string(data.join("admin-token")).ok()?.trim().to_owned()));
        let client = Client::new(address, token.as_deref());
        Self { address, client, printed, log, child }
    }

    /// The process identifier; that of the wrapper, if there is one.
    pub fn id(&self) -> u32 {
        self.child.id().expect("a running process")
    }

    /// Sends SIGTERM and does not wait.
    pub fn ask_to_stop(&self) {
        signal(self.id(), "TERM");
    }

    /// Kills the process (`kill -9`).
    pub async fn kill(mut self) {
        self.child.start_kill().expect("a process to kill");
        within("the end of a killed process", self.child.wait()).await.expect("its end");
    }

    /// Sends SIGTERM and waits until the process has drained and ended.
    pub async fn terminate(mut self) -> ExitStatus {
        signal(self.id(), "TERM");
        within("the end of a terminated process", self.child.wait()).await.expect("its end")
    }

    /// Waits until the process ends for another reason.
    pub async fn ended(mut self) -> ExitStatus {
        within("the end of a process", self.child.wait()).await.expect("its end")
    }

    /// Resident memory of the process, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// Highest resident memory since [`Self::forget_resident_peak`], in bytes.
    pub fn resident_peak_bytes(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// Resets the peak (proc(5), `clear_refs`).
    pub fn forget_resident_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.id()), "5").expect("a running process");
    }

    fn memory(&self, what: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("a running process");
        let line = status.lines().find_map(|line| line.strip_prefix(what)).expect("its resident memory");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    /// The lines that the process has printed so far.
    pub fn printed(&self) -> Vec<String> {
        lock(&self.printed).clone()
    }

    /// The log of all processes on this data directory.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

async fn read(mut lines: Lines<BufReader<ChildStdout>>, printed: Arc<Mutex<Vec<String>>>, found: oneshot::Sender<SocketAddr>) {
    let mut found = Some(found);
    while let Ok(Some(line)) = lines.next_line().await {
        let address =
            line.strip_prefix("hookwright listens on ").and_then(|url| url.split_once("://")).and_then(|(_, address)| address.parse().ok());
        lock(&printed).push(line);
        if let Some(address) = address
            && let Some(found) = found.take()
        {
            // After the test nobody waits any more.
            let _ = found.send(address);
        }
    }
}

/// Sends a signal to a process this test started.
pub fn signal(id: u32, name: &str) {
    let status = std::process::Command::new("kill").arg(format!("-{name}")).arg(id.to_string()).status();
    assert!(status.is_ok_and(|status| status.success()), "process {id} gets no SIG{name}");
}
