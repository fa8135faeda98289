//! `hookwright plugin`: write, build and push plugins, and choose their versions.

use std::process::ExitCode;

use clap::Subcommand;

use super::{at::At, runtime::block_on};

pub mod build;
pub mod cases;
pub mod dev;
pub mod grant;
pub mod history;
pub mod limits;
pub mod log;
pub mod name;
pub mod new;
pub mod project;
pub mod push;
pub mod sdk;
pub mod toolchain;
pub mod try_out;
pub mod versions;

/// Write, build and push plugins, and choose their versions.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "From nothing to a running plugin:\n  hookwright plugin new greeting && cd greeting\n  hookwright plugin build\n  hookwright plugin push"
)]
pub enum Plugin {
    /// Write a new plugin: a small one that works, its tests, the SDK, and what to do next.
    New(new::New),
    /// Compile the plugin of a folder for `wasm32-wasip1`, or read its script.
    Build(build::Build),
    /// Run the plugin's cases, event in and request out, in the real sandbox and without a host.
    Test(cases::Test),
    /// Watch the folder: build, push, and try the last delivery again at every change.
    Dev(dev::Dev),
    /// Upload a version. It is checked, compiled and tried before it replaces anything.
    Push(push::Push),
    /// List the plugins, including those in the binary.
    #[command(after_help = "Example:\n  hookwright plugin list")]
    List(At),
    /// Show a plugin: versions, grants, configuration.
    #[command(after_help = "Example:\n  hookwright plugin show slack")]
    Show(versions::Named),
    /// Activate another version.
    #[command(after_help = "Examples:\n  hookwright plugin activate greeting 3\n  hookwright plugin activate slack builtin")]
    Activate(versions::Activate),
    /// Go back to the version that was active before, or to the one in the binary.
    #[command(after_help = "Example:\n  hookwright plugin rollback greeting")]
    Rollback(versions::Named),
    /// Try a plugin on an event, a call, a past delivery or a past call. Nothing is sent.
    Try(try_out::TryOut),
    /// Show how another version would have built the last deliveries. Nothing is sent.
    Compare(try_out::Compare),
    /// Show what a plugin wrote to its log for deliveries and calls.
    Log(log::Log),
    /// Grant capabilities. They are added to those the plugin has.
    Grant(grant::Grant),
    /// Show the limits of a plugin, with units, defaults and maxima, and set some.
    Limits(limits::Limits),
    /// Close the circuit breaker of a plugin that kept failing, so that it is called again.
    #[command(after_help = "Example:\n  hookwright plugin resume greeting")]
    Resume(versions::Named),
    /// Show who changed what in a plugin, and when.
    #[command(after_help = "Example:\n  hookwright plugin history greeting --json")]
    History(versions::Named),
    /// Replace the configuration with a JSON object.
    #[command(
        after_help = "Examples:\n  hookwright plugin config slack slack.json\n  echo '{\"channel\":\"#gis\"}' | hookwright plugin config slack -"
    )]
    Config(versions::Config),
    /// Delete a plugin that nothing refers to: versions, configuration, grants, limits, history, state.
    #[command(after_help = "Example:\n  hookwright plugin delete greeting")]
    Delete(versions::Named),
}

impl Plugin {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::New(new) => new.run(),
            Self::Build(build) => build.run(),
            Self::Test(test) => block_on(test.run()),
            Self::Dev(dev) => block_on(dev.run()),
            Self::Push(push) => block_on(push.run()),
            Self::List(at) => block_on(versions::list(at)),
            Self::Show(named) => block_on(named.show()),
            Self::Activate(activate) => block_on(activate.run()),
            Self::Rollback(named) => block_on(named.rollback()),
            Self::Try(one) => block_on(one.run()),
            Self::Compare(compare) => block_on(compare.run()),
            Self::Log(log) => block_on(log.run()),
            Self::Grant(grant) => block_on(grant.run()),
            Self::Limits(limits) => block_on(limits.run()),
            Self::Resume(named) => block_on(named.resume()),
            Self::History(named) => block_on(named.history()),
            Self::Config(config) => block_on(config.run()),
            Self::Delete(named) => block_on(named.delete()),
        }
    }
}
