//! Compilation, in a child process (decision 17): it can be killed, limited in memory and time, and yields the processor to deliveries.
//!
//! Both sides are here. The parent writes the uploaded bytes into a directory only it can read and starts `hookwright compile`; the child
//! limits itself, makes the bytes a component, compiles it and writes the artifact, or why there is none, beside them.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ExitCode, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Resource, Rlimit, Signal};
use tokio::{io::AsyncReadExt, process::Command, sync::Semaphore};
use wasmtime::Engine;

use super::{
    componentize::{self, Refusal},
    data_segments, engine,
    error::UploadError,
};
use crate::config::Limits;

/// How much lower than the host the child's priority is.
const NICE: i32 = 10;
/// Bytes kept of what the child says when it breaks down.
const STDERR_BYTES_MAX: u64 = 4096;
/// The child's answer that it could not read or write.
const EXIT_FAILED: u8 = 1;
/// The child's answer that the bytes are not a plugin; the output file says why.
const EXIT_REFUSED: u8 = 3;
/// What directories of one compilation begin with.
const SCRATCH_PREFIX: &str = "compile-";

/// Why a compilation gave nothing although the bytes may be a plugin.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CompileError {
    /// The time limit.
    #[error("compiling took longer than {} s (`compile_time_max`)", .0.as_secs())]
    Time(Duration),
    /// The memory limit.
    #[error("compiling needed more than {0} bytes of memory (`compile_memory_bytes_max`)")]
    Memory(u64),
    /// The compiler broke down.
    #[error("the compiler broke down: {0}")]
    Crash(String),
    /// It could not be started, or its files could not be written.
    #[error("the compiler could not be run: {0}")]
    Host(String),
}

/// What the child is told; `hookwright compile` takes these.
#[derive(Clone, Debug, clap::Args)]
pub struct CompileArgs {
    /// The uploaded bytes.
    #[arg(long)]
    pub input: PathBuf,
    /// Where the artifact, or why there is none, is written.
    #[arg(long)]
    pub output: PathBuf,
    /// Address space it may take.
    #[arg(long)]
    pub memory_bytes: u64,
    /// Processor time it may take.
    #[arg(long)]
    pub cpu_seconds: u64,
    /// Whether the code counts its instructions.
    #[arg(long)]
    pub count_instructions: bool,
}

impl CompileArgs {
    fn to_command_line(&self) -> Vec<OsString> {
        let numbers = [("--memory-bytes", self.memory_bytes), ("--cpu-seconds", self.cpu_seconds)];
        let mut line: Vec<OsString> = vec!["compile".into()];
        for (name, path) in [("--input", &self.input), ("--output", &self.output)] {
            line.extend([name.into(), path.into()]);
        }
        line.extend(self.count_instructions.then(|| "--count-instructions".into()));
        line.extend(numbers.into_iter().flat_map(|(name, number)| [name.into(), number.to_string().into()]));
        line
    }
}

/// The child: limits itself, compiles, ends. To be called before any thread is started.
pub fn compile_main(args: &CompileArgs) -> ExitCode {
    ExitCode::from(run_child(args))
}

pub(super) fn run_child(args: &CompileArgs) -> u8 {
    limit_myself(args).and_then(|()| compile_file(args)).unwrap_or_else(|error| {
        eprintln!("{error}");
        EXIT_FAILED
    })
}

fn limit_myself(args: &CompileArgs) -> io::Result<()> {
    rustix::process::setpriority_process(None, NICE)?;
    // The soft limit of processor time comes first: its signal tells what happened.
    let limits = [
        (Resource::As, args.memory_bytes, args.memory_bytes),
        (Resource::Cpu, args.cpu_seconds, args.cpu_seconds.saturating_add(1)),
        (Resource::Core, 0, 0),
    ];
    for (resource, soft, hard) in limits {
        rustix::process::setrlimit(resource, Rlimit { current: Some(soft), maximum: Some(hard) })?;
    }
    Ok(())
}

fn compile_file(args: &CompileArgs) -> io::Result<u8> {
    let compiled = componentize::componentize(fs::read(&args.input)?).and_then(|component| {
        let component = data_segments::join(&component).unwrap_or(component);
        let engine =
            Engine::new(&engine::engine_config(args.count_instructions)).map_err(|error| Refusal::Invalid(format!("{error:#}")))?;
        engine.precompile_component(&component).map_err(|error| Refusal::Invalid(format!("{error:#}")))
    });
    match compiled {
        Ok(artifact) => fs::write(&args.output, artifact).map(|()| 0),
        Err(refusal) => fs::write(&args.output, serde_json::to_vec(&refusal)?).map(|()| EXIT_REFUSED),
    }
}

/// The parent's side. One compilation at a time.
pub(super) struct Compiler {
    program: PathBuf,
    scratch: PathBuf,
    time_max: Duration,
    memory_bytes_max: u64,
    counts_instructions: bool,
    gate: Semaphore,
}

impl Compiler {
    /// Compiles with `program`, or with this very executable, in directories below `scratch`. What a killed host left there is removed.
    pub fn new(program: Option<PathBuf>, scratch: PathBuf, limits: &Limits, counts_instructions: bool) -> io::Result<Self> {
        for entry in fs::read_dir(&scratch)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(SCRATCH_PREFIX) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        let program = program.map_or_else(std::env::current_exe, Ok)?;
        let (time_max, memory_bytes_max) = (limits.compile_time_max, limits.compile_memory_bytes_max);
        Ok(Self { program, scratch, time_max, memory_bytes_max, counts_instructions, gate: Semaphore::new(1) })
    }

    /// The right to compile. Look into the cache again once it is given: the same bytes may have been compiled meanwhile.
    pub async fn turn(&self) -> Result<tokio::sync::SemaphorePermit<'_>, CompileError> {
        self.gate.acquire().await.map_err(|error| CompileError::Host(error.to_string()))
    }

    /// The artifact of uploaded bytes.
    pub async fn compile(&self, bytes: &[u8]) -> Result<Vec<u8>, UploadError> {
        let trouble = |error: io::Error| CompileError::Host(error.to_string());
        // Only we can look into it: `tempfile` makes directories with mode 0700.
        let scratch = tempfile::Builder::new().prefix(SCRATCH_PREFIX).tempdir_in(&self.scratch).map_err(trouble)?;
        let args = CompileArgs {
            input: scratch.path().join("uploaded"),
            output: scratch.path().join("answer"),
            memory_bytes: self.memory_bytes_max,
            // Compilation runs on several threads; the wall clock is what ends it.
            cpu_seconds: self.time_max.as_secs().saturating_mul(2).max(1),
            count_instructions: self.counts_instructions,
        };
        tokio::fs::write(&args.input, bytes).await.map_err(trouble)?;
        let (status, stderr) = self.run(&args).await?;
        if status.success() {
            return Ok(tokio::fs::read(&args.output).await.map_err(trouble)?);
        }
        if status.code() == Some(i32::from(EXIT_REFUSED)) {
            return Err(refusal(&args.output).await?.into());
        }
        Err(self.breakdown(status, &stderr).into())
    }

    async fn run(&self, args: &CompileArgs) -> Result<(ExitStatus, String), CompileError> {
        let trouble = |error: io::Error| CompileError::Host(format!("{}: {error}", self.program.display()));
        let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
        let mut child = Command::new(&self.program)
            .args(args.to_command_line())
            .env_clear()
            .env("RAYON_NUM_THREADS", threads.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(trouble)?;
        let mut said = Vec::new();
        let stderr = child.stderr.take();
        let ends = async {
            if let Some(stderr) = stderr {
                let mut stderr = stderr.take(STDERR_BYTES_MAX);
                stderr.read_to_end(&mut said).await?;
                // The rest is not read; a child that goes on writing gets a broken pipe.
            }
            child.wait().await
        };
        match tokio::time::timeout(self.time_max, ends).await {
            Ok(status) => Ok((status.map_err(trouble)?, String::from_utf8_lossy(&said).trim().to_owned())),
            Err(_) => Err(CompileError::Time(self.time_max)),
        }
    }

    fn breakdown(&self, status: ExitStatus, stderr: &str) -> CompileError {
        // The last one is what a thread without a stack is told.
        let out_of_memory = ["memory allocation of", "Cannot allocate memory", "out of memory", "Resource temporarily unavailable"];
        if status.signal() == Some(Signal::XCPU.as_raw()) {
            return CompileError::Time(self.time_max);
        }
        if out_of_memory.iter().any(|sign| stderr.contains(sign)) {
            return CompileError::Memory(self.memory_bytes_max);
        }
        CompileError::Crash(format!("{status}; {stderr}"))
    }
}

async fn refusal(output: &Path) -> Result<Refusal, CompileError> {
    let text = tokio::fs::read(output).await.map_err(|error| CompileError::Host(error.to_string()))?;
    serde_json::from_slice(&text).map_err(|error| CompileError::Crash(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_child_understands_what_the_parent_says() {
        #[derive(clap::Parser)]
        enum Cli {
            Compile(CompileArgs),
        }
        let args =
            CompileArgs { input: "/a b/in".into(), output: "/a b/out".into(), memory_bytes: 7, cpu_seconds: 9, count_instructions: true };
        let line = [OsString::from("hookwright")].into_iter().chain(args.to_command_line());
        let Ok(Cli::Compile(read)) = <Cli as clap::Parser>::try_parse_from(line) else { panic!("not understood") };
        assert_eq!(
            (read.input, read.output, read.memory_bytes, read.cpu_seconds, read.count_instructions),
            (args.input, args.output, 7, 9, true)
        );
    }
}
