//! Why a plugin is not taken, not activated or not found. Every sentence is for the person who uploaded it.

use std::time::Duration;

use super::{script::ScriptError, upload::componentize::Refusal};
use crate::{
    model::{
        plugin::{ActiveVersion, limits::Limit},
        problem::Problem,
    },
    store::StoreError,
};

/// Why a compilation gave nothing although the bytes may be a plugin.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CompileError {
    /// The time limit.
    #[error("compiling took longer than {} s (`compile_time_max`)", .0.as_secs())]
    Time(Duration),
    /// The limit of processor time of reading a script.
    #[error("reading the script took longer than {} s of processor time (`script_parse_seconds_max`)", .0.as_secs())]
    ScriptTime(Duration),
    /// The memory limit.
    #[error("compiling needed more than {0} bytes of memory (`compile_memory_bytes_max`)")]
    Memory(u64),
    /// The limit of what comes out of it.
    #[error("the compiled plugin has more than {0} bytes (`compiled_bytes_max`)")]
    Size(u64),
    /// The compiler broke down.
    #[error("the compiler broke down: {0}")]
    Crash(String),
    /// The host stops.
    #[error("the host is stopping; nothing is compiled any more")]
    Stopping,
    /// It could not be started, or its files could not be written.
    #[error("the compiler could not be run: {0}")]
    Host(String),
}

/// Why an upload, an activation or another change of a plugin was refused. What was active stays active.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The name cannot name a plugin.
    #[error("`{0}` cannot name a plugin: a name has 1 to 64 lower-case letters, digits and hyphens, and does not begin with a hyphen")]
    Name(String),
    /// Too many bytes.
    #[error("the plugin has {bytes} bytes; at most {bytes_max} are taken (`{limit}`)")]
    TooLarge {
        /// The limit's name.
        limit: &'static str,
        /// What it has.
        bytes: usize,
        /// What is taken.
        bytes_max: usize,
    },
    /// Machine code.
    #[error("this is machine code compiled ahead of time; upload the WebAssembly it was made of, the host compiles it itself")]
    Precompiled,
    /// Neither a core module nor a component.
    #[error("this is not WebAssembly: {0}")]
    NotWasm(String),
    /// A core module with `_start`.
    #[error(
        "this is a program (it exports `_start`), not a plugin: build a library with `crate-type = [\"cdylib\"]` (a reactor), not a binary"
    )]
    CommandModule,
    /// A core module that says nothing of interfaces.
    #[error(
        "this core module has no `component-type` section, so it was not built against hookwright.wit: build it with the hookwright-guest crate or \
         wit-bindgen, and do not strip custom sections"
    )]
    NotAPlugin,
    /// WebAssembly that is not valid, or needs what the host does not offer.
    #[error("this WebAssembly is not valid here: {0}")]
    Invalid(String),
    /// None of the exports the host calls.
    #[error("the component exports none of `transform`, `answers` and `receive` of hookwright:plugin@0.2.0; {}", exported(.exports))]
    NoExport {
        /// What it exports instead.
        exports: Vec<String>,
    },
    /// An import the host does not know.
    #[error("the component imports `{0}`, which the host does not offer: a plugin may import `wasi:*` 0.2 and `hookwright:plugin/*` 0.2")]
    UnknownImport(String),
    /// A known interface of another shape.
    #[error("the component was built against another version of an interface: {0}")]
    BadType(String),
    /// More instances, memories or tables than a component may have.
    #[error("the component needs more than a plugin may have: {0}")]
    TooDemanding(String),
    /// A script that does not parse or evaluate.
    #[error("{}{message}", at(*.line, *.column))]
    Script {
        /// The line, from 1, if it has one.
        line: Option<usize>,
        /// The character in the line, from 1.
        column: Option<usize>,
        /// What is wrong.
        message: String,
    },
    /// It trapped before anything was asked of it.
    #[error("the plugin trapped in start-up: {0}")]
    StartTrap(String),
    /// It breached a limit before anything was asked of it.
    #[error("the plugin's start-up {} (limit `{}`)", .0.breach(*.1), .0.name())]
    StartLimit(Limit, u64),
    /// It could not be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// Interfaces nothing was granted for.
    #[error("the plugin imports {} and has no grant for it; give it with `PUT /v1/plugins/{{name}}/grants`, or store it with `activate=false`", names.join(", "))]
    MissingGrants {
        /// The interfaces.
        names: Vec<String>,
    },
    /// No such plugin, or no such version of it.
    #[error("there is no {0}")]
    Missing(String),
    /// There is no version to go back to.
    #[error("nothing was active before {active} of plugin `{name}`: activate the version that should be")]
    NothingBefore {
        /// The plugin.
        name: String,
        /// What is active.
        active: ActiveVersion,
    },
    /// Limits or a rule that cannot be.
    #[error("the document is not valid; `errors` says where")]
    Limits(Vec<Problem>),
    /// The configuration is no object.
    #[error("a plugin's configuration is a JSON object")]
    Config,
    /// Somebody else changed it at the same time.
    #[error("plugin `{0}` was changed at the same time; look at it and try again")]
    Conflict(String),
    /// It could not be kept.
    #[error("the plugin cannot be kept: {0}")]
    Store(#[from] StoreError),
    /// The host's own trouble.
    #[error("the host could not work on the plugin: {0}")]
    Host(String),
}

impl UploadError {
    /// Whether the same request may work later although nothing about the plugin changes.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Store(_) | Self::Host(_) | Self::Conflict(_) | Self::Compile(CompileError::Host(_) | CompileError::Stopping))
    }
}

impl From<Refusal> for UploadError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotWasm(reason) => Self::NotWasm(reason),
            Refusal::CommandModule => Self::CommandModule,
            Refusal::NotAPlugin => Self::NotAPlugin,
            Refusal::Invalid(reason) => Self::Invalid(reason),
        }
    }
}

impl From<ScriptError> for UploadError {
    fn from(error: ScriptError) -> Self {
        let at = error.position();
        let message = match error {
            ScriptError::Syntax { message, .. } => message,
            ScriptError::Unsupported { reason, .. } => reason,
            other => other.to_string(),
        };
        Self::Script { line: at.map(|at| at.line), column: at.map(|at| at.column), message }
    }
}

impl UploadError {
    /// What the script engine says as it evaluates: `line 3, column 7: TypeError: ...`, or a sentence without a place.
    pub(super) fn of_evaluation(text: String) -> Self {
        fn place(text: &str) -> Option<(usize, usize, &str)> {
            let (line, rest) = text.strip_prefix("line ")?.split_once(", column ")?;
            let (column, message) = rest.split_once(": ")?;
            Some((line.parse().ok()?, column.parse().ok()?, message))
        }
        match place(&text) {
            Some((line, column, message)) => Self::Script { line: Some(line), column: Some(column), message: message.to_owned() },
            None => Self::Script { line: None, column: None, message: text },
        }
    }
}

fn at(line: Option<usize>, column: Option<usize>) -> String {
    match (line, column) {
        (Some(line), Some(column)) => format!("line {line}, column {column}: "),
        _ => String::new(),
    }
}

fn exported(exports: &[String]) -> String {
    if exports.is_empty() { "it exports nothing".to_owned() } else { format!("it exports {}", exports.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_evaluation_error_has_a_place() {
        let error = UploadError::of_evaluation("line 3, column 7: SyntaxError: invalid: x".to_owned());
        assert!(matches!(&error, UploadError::Script { line: Some(3), column: Some(7), message } if message == "SyntaxError: invalid: x"));
        assert_eq!(error.to_string(), "line 3, column 7: SyntaxError: invalid: x");
        let error = UploadError::of_evaluation("out of memory".to_owned());
        assert_eq!(error.to_string(), "out of memory");
    }
}
