//! The child process in which everything is done that an upload could make expensive: compiling WebAssembly, and reading
//! a script, whose parser recurses and backtracks. It can be killed, is limited in memory and time, and yields the processor to deliveries.
//!
//! The parent (`compiler`) writes the uploaded bytes into a directory only it can read and starts `hookwright compile`. The child limits
//! itself and writes what became of the bytes, or why nothing did, beside them. It ends with its parent, however that ends.

use std::{
    ffi::OsString,
    fs,
    io::{self, Read},
    path::PathBuf,
    process::ExitCode,
};

use rustix::process::{Resource, Rlimit};
use wasmtime::Engine;

use super::{
    componentize::{self, Refusal},
    data_segments,
};
use crate::plugin::{
    engine,
    script::{ScriptError, ScriptLanguage, parse_script},
};

/// How much lower than the host the child's priority is.
const NICE: i32 = 10;
/// The child's answer that it could not read or write.
const EXIT_FAILED: u8 = 1;
/// The child's answer that the bytes are not a plugin; the output file says why.
pub(in crate::plugin) const EXIT_REFUSED: u8 = 3;
/// Stack of the thread that waits for the parent's end: it does nothing else, and counts as memory of the compilation.
const WATCH_STACK_BYTES: usize = 64 * 1024;

/// What the child is told; `hookwright compile` takes these.
#[derive(Clone, Debug, clap::Args)]
pub struct CompileArgs {
    /// The uploaded bytes.
    #[arg(long)]
    pub input: PathBuf,
    /// Where the artifact, or why there is none, is written.
    #[arg(long)]
    pub output: PathBuf,
    /// The language, when the bytes are a script that is to be read; else they are WebAssembly that is to be compiled.
    #[arg(long)]
    pub script: Option<ScriptLanguage>,
    /// Address space it may take.
    #[arg(long)]
    pub memory_bytes: u64,
    /// Processor time it may take.
    #[arg(long)]
    pub cpu_seconds: u64,
    /// Bytes it may write into a file.
    #[arg(long)]
    pub output_bytes: u64,
    /// Whether the code counts its instructions.
    #[arg(long)]
    pub count_instructions: bool,
}

impl CompileArgs {
    pub(in crate::plugin) fn to_command_line(&self) -> Vec<OsString> {
        let numbers = [("--memory-bytes", self.memory_bytes), ("--cpu-seconds", self.cpu_seconds), ("--output-bytes", self.output_bytes)];
        let mut line: Vec<OsString> = vec!["compile".into()];
        for (name, path) in [("--input", &self.input), ("--output", &self.output)] {
            line.extend([name.into(), path.into()]);
        }
        line.extend(self.script.iter().flat_map(|language| ["--script".into(), language.name().into()]));
        line.extend(self.count_instructions.then(|| "--count-instructions".into()));
        line.extend(numbers.into_iter().flat_map(|(name, number)| [name.into(), number.to_string().into()]));
        line
    }
}

/// The child: limits itself, compiles, ends. To be called before any thread is started.
pub fn compile_main(args: &CompileArgs) -> ExitCode {
    ExitCode::from(match limit_myself(args).and_then(|()| end_with_the_parent()) {
        Ok(()) => work(args),
        Err(error) => failed(&error),
    })
}

/// The same without an eye on the parent, for a test's own child.
#[cfg(test)]
pub(in crate::plugin) fn run_child(args: &CompileArgs) -> u8 {
    match limit_myself(args) {
        Ok(()) => work(args),
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::fmt::Display) -> u8 {
    eprintln!("{error}");
    EXIT_FAILED
}

fn limit_myself(args: &CompileArgs) -> io::Result<()> {
    rustix::process::setpriority_process(None, NICE)?;
    // The soft limit of processor time comes first: its signal tells what happened.
    let limits = [
        (Resource::As, args.memory_bytes, args.memory_bytes),
        (Resource::Cpu, args.cpu_seconds, args.cpu_seconds.saturating_add(1)),
        (Resource::Fsize, args.output_bytes, args.output_bytes),
        (Resource::Core, 0, 0),
    ];
    for (resource, soft, hard) in limits {
        rustix::process::setrlimit(resource, Rlimit { current: Some(soft), maximum: Some(hard) })?;
    }
    Ok(())
}

/// Ends this process when the parent is gone: the other end of the standard input is then closed, whatever killed it.
fn end_with_the_parent() -> io::Result<()> {
    let wait = || {
        // Nothing is ever written to it; an error is an end as well.
        drop(io::stdin().read(&mut [0]));
        std::process::exit(EXIT_FAILED.into());
    };
    std::thread::Builder::new().name("parent".to_owned()).stack_size(WATCH_STACK_BYTES).spawn(wait).map(drop)
}

fn work(args: &CompileArgs) -> u8 {
    let done = match args.script {
        None => compile_file(args),
        Some(language) => read_script(args, language),
    };
    done.unwrap_or_else(|error| failed(&error))
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

fn read_script(args: &CompileArgs, language: ScriptLanguage) -> io::Result<u8> {
    let source = String::from_utf8(fs::read(&args.input)?).map_err(io::Error::other)?;
    match parse_script(&source, language) {
        Ok(script) => fs::write(&args.output, serde_json::to_vec(&script)?).map(|()| 0),
        // Nothing is wrong with the script: what was missing is memory, most likely.
        Err(ScriptError::Unreadable(why)) => Err(io::Error::other(why)),
        Err(error) => fs::write(&args.output, serde_json::to_vec(&error)?).map(|()| EXIT_REFUSED),
    }
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
        let args = CompileArgs {
            input: "/a b/in".into(),
            output: "/a b/out".into(),
            script: Some(ScriptLanguage::TypeScript),
            memory_bytes: 7,
            cpu_seconds: 9,
            output_bytes: 11,
            count_instructions: true,
        };
        let line = [OsString::from("hookwright")].into_iter().chain(args.to_command_line());
        let Ok(Cli::Compile(read)) = <Cli as clap::Parser>::try_parse_from(line) else { panic!("not understood") };
        assert_eq!(
            (read.input, read.output, read.script, read.memory_bytes, read.cpu_seconds, read.output_bytes, read.count_instructions),
            (args.input, args.output, args.script, 7, 9, 11, true)
        );
    }
}
