//! The parent's side of `compile`: starts the child processes, not more than a few at once, waits for them within their time, and says what their
//! end means. A client that leaves and a host that stops end the child.

use std::{
    fs, io,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::Signal;
use serde::de::DeserializeOwned;
use tokio::{
    io::AsyncReadExt,
    process::Command,
    sync::{Semaphore, SemaphorePermit},
};
use tokio_util::sync::CancellationToken;

use super::{
    compile::{CompileArgs, EXIT_REFUSED},
    componentize::Refusal,
};
use crate::{
    config::Limits,
    plugin::{
        error::{CompileError, UploadError},
        script::{Script, ScriptError, ScriptLanguage},
    },
};

/// Bytes kept of what the child says when it breaks down.
const STDERR_BYTES_MAX: u64 = 4096;

/// What a script becomes has hardly more bytes than it: JSON escapes some of them.
const READ_BYTES_PER_BYTE: u64 = 6;

/// And this much for everything beside it.
const READ_BYTES: u64 = 64 * 1024;

/// What the runtime writes when a thread's stack has no end left.
const STACK_OVERFLOW: &str = "has overflowed its stack";

/// What directories of one compilation begin with.
const SCRATCH_PREFIX: &str = "compile-";

/// Starts the children. One for the host.
pub(in crate::plugin) struct Compiler {
    program: PathBuf,
    scratch: PathBuf,
    limits: CompilerLimits,
    counts_instructions: bool,
    gate: Semaphore,
    stop: CancellationToken,
}

/// What of the host's limits holds for the children.
struct CompilerLimits {
    time_max: Duration,
    script_time_max: Duration,
    memory_bytes_max: u64,
    compiled_bytes_max: u64,
}

/// What a child is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Compile,
    Read(ScriptLanguage),
}

impl Compiler {
    /// Works with `program`, or with this very executable, in directories below `scratch`, until `stop`. What a killed host left there is
    /// removed.
    pub fn new(
        program: Option<PathBuf>,
        scratch: PathBuf,
        limits: &Limits,
        counts_instructions: bool,
        stop: CancellationToken,
    ) -> io::Result<Self> {
        for entry in fs::read_dir(&scratch)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(SCRATCH_PREFIX) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        let program = program.map_or_else(std::env::current_exe, Ok)?;
        let gate = Semaphore::new(limits.compile_processes_max as usize);
        let limits = CompilerLimits {
            time_max: limits.compile_time_max,
            script_time_max: limits.script_parse_time_max,
            memory_bytes_max: limits.compile_memory_bytes_max,
            compiled_bytes_max: limits.compiled_bytes_max,
        };
        Ok(Self { program, scratch, limits, counts_instructions, gate, stop })
    }

    /// The right to start a child. Look into the cache again once it is given: the same bytes may have been compiled meanwhile.
    pub async fn turn(&self) -> Result<SemaphorePermit<'_>, CompileError> {
        self.unless_stopping(async { self.gate.acquire().await.map_err(|error| CompileError::Host(error.to_string())) }).await
    }

    /// The artifact of uploaded bytes.
    pub async fn compile(&self, bytes: &[u8]) -> Result<Vec<u8>, UploadError> {
        match self.run(Task::Compile, bytes).await? {
            Ended::Done(artifact) => Ok(artifact),
            Ended::Refused(text) => Err(understood::<Refusal>(&text)?.into()),
            Ended::Broken(status, stderr) => Err(self.breakdown(Task::Compile, status, &stderr).into()),
        }
    }

    /// A script as the engine evaluates it, as it is kept: see [`read_script`].
    pub async fn read_script(&self, source: &str, language: ScriptLanguage) -> Result<Vec<u8>, UploadError> {
        match self.run(Task::Read(language), source.as_bytes()).await? {
            Ended::Done(read) => Ok(read),
            Ended::Refused(text) => Err(understood::<ScriptError>(&text)?.into()),
            Ended::Broken(_, stderr) if stderr.contains(STACK_OVERFLOW) => Err(ScriptError::TooDeep.into()),
            Ended::Broken(status, stderr) => Err(self.breakdown(Task::Read(language), status, &stderr).into()),
        }
    }

    /// Runs a child to its end, and takes what it wrote. Dropping the future kills it.
    async fn run(&self, task: Task, bytes: &[u8]) -> Result<Ended, CompileError> {
        self.unless_stopping(async {
            let trouble = |error: io::Error| CompileError::Host(error.to_string());
            // Only we can look into it: `tempfile` makes directories with mode 0700.
            let scratch = tempfile::Builder::new().prefix(SCRATCH_PREFIX).tempdir_in(&self.scratch).map_err(trouble)?;
            let args = self.args(task, scratch.path(), bytes.len());
            tokio::fs::write(&args.input, bytes).await.map_err(trouble)?;
            let (status, stderr) = self.wait(&args).await?;
            let written = async || tokio::fs::read(&args.output).await.map_err(trouble);
            Ok(match status.code() {
                Some(0) => Ended::Done(written().await?),
                Some(code) if code == i32::from(EXIT_REFUSED) => Ended::Refused(written().await?),
                _ => Ended::Broken(status, stderr),
            })
        })
        .await
    }

    fn args(&self, task: Task, scratch: &Path, bytes: usize) -> CompileArgs {
        let limits = &self.limits;
        let (script, cpu, output_bytes) = match task {
            // Compilation runs on several threads; the wall clock is what ends it.
            Task::Compile => (None, limits.time_max.saturating_mul(2), limits.compiled_bytes_max),
            Task::Read(language) => {
                (Some(language), limits.script_time_max, (bytes as u64).saturating_mul(READ_BYTES_PER_BYTE).saturating_add(READ_BYTES))
            }
        };
        CompileArgs {
            input: scratch.join("uploaded"),
            output: scratch.join("answer"),
            script,
            memory_bytes: limits.memory_bytes_max,
            cpu_seconds: cpu.as_secs().max(1),
            output_bytes,
            count_instructions: self.counts_instructions,
        }
    }

    async fn wait(&self, args: &CompileArgs) -> Result<(ExitStatus, String), CompileError> {
        let trouble = |error: io::Error| CompileError::Host(format!("{}: {error}", self.program.display()));
        let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
        let mut child = Command::new(&self.program)
            .args(args.to_command_line())
            .env_clear()
            .env("RAYON_NUM_THREADS", threads.to_string())
            // Never written to: that it is closed tells the child that we are gone.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(trouble)?;
        let mut said = Vec::new();
        // `wait` would close it.
        let _alive = child.stdin.take();
        let stderr = child.stderr.take();
        let ends = async {
            if let Some(stderr) = stderr {
                let mut stderr = stderr.take(STDERR_BYTES_MAX);
                stderr.read_to_end(&mut said).await?;
                // The rest is not read; a child that goes on writing gets a broken pipe.
            }
            child.wait().await
        };
        match tokio::time::timeout(self.limits.time_max, ends).await {
            Ok(status) => Ok((status.map_err(trouble)?, String::from_utf8_lossy(&said).trim().to_owned())),
            Err(_) => Err(CompileError::Time(self.limits.time_max)),
        }
    }

    async fn unless_stopping<T>(&self, work: impl Future<Output = Result<T, CompileError>>) -> Result<T, CompileError> {
        tokio::select! {
            done = work => done,
            () = self.stop.cancelled() => Err(CompileError::Stopping),
        }
    }

    fn breakdown(&self, task: Task, status: ExitStatus, stderr: &str) -> CompileError {
        // The last one is what a thread without a stack is told.
        let out_of_memory = ["memory allocation of", "Cannot allocate memory", "out of memory", "Resource temporarily unavailable"];
        match (status.signal(), task) {
            (Some(signal), Task::Compile) if signal == Signal::XCPU.as_raw() => CompileError::Time(self.limits.time_max),
            (Some(signal), Task::Read(_)) if signal == Signal::XCPU.as_raw() => CompileError::ScriptTime(self.limits.script_time_max),
            (Some(signal), Task::Compile) if signal == Signal::XFSZ.as_raw() => CompileError::Size(self.limits.compiled_bytes_max),
            _ if out_of_memory.iter().any(|sign| stderr.contains(sign)) => CompileError::Memory(self.limits.memory_bytes_max),
            _ => CompileError::Crash(format!("{status}; {stderr}")),
        }
    }
}

/// How a child ended.
enum Ended {
    /// Well: what it wrote.
    Done(Vec<u8>),
    /// With a reason for the author: what it wrote.
    Refused(Vec<u8>),
    /// Otherwise: how, and what it said.
    Broken(ExitStatus, String),
}

/// What a child, or the cache, holds of a script that was read.
pub(in crate::plugin) fn read_script(read: &[u8]) -> Result<Script, CompileError> {
    understood(read)
}

fn understood<T: DeserializeOwned>(written: &[u8]) -> Result<T, CompileError> {
    serde_json::from_slice(written).map_err(|error| CompileError::Crash(error.to_string()))
}
