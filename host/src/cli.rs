//! The command line: one file per subcommand.
//!
//! Exit codes: 0 done, 1 failed (the reason is on standard error), 2 the command line itself is wrong.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use self::runtime::block_on;

pub(crate) mod action;
pub(crate) mod apply;
pub(crate) mod at;
pub(crate) mod audit;
pub(crate) mod backup;
pub mod bench;
pub(crate) mod call;
pub(crate) mod client;
pub(crate) mod compact;
pub(crate) mod compile;
pub(crate) mod completion;
pub(crate) mod config;
pub(crate) mod delivery;
pub(crate) mod demo;
pub(crate) mod documents;
pub(crate) mod endpoint;
pub(crate) mod event;
pub(crate) mod export;
pub(crate) mod input;
pub(crate) mod key;
pub(crate) mod maintain;
pub(crate) mod output;
pub(crate) mod plugin;
pub(crate) mod progress;
pub(crate) mod receiver;
pub(crate) mod restore;
mod runtime;
pub(crate) mod secret;
pub(crate) mod serve;
pub(crate) mod session;
pub(crate) mod sink;
pub(crate) mod state;
pub(crate) mod template;
pub(crate) mod token;
pub(crate) mod webhook;

/// The exit codes, for scripts. They end every help text.
const EXIT_CODES: &str = "Exit codes:
  0  done
  1  failed, refused by the host, or not what was asked for (`webhook check`, `plugin test`); the reason is on standard error
  2  the command line itself is wrong

Which host: --url and --token-file, their variables HOOKWRIGHT_URL, HOOKWRIGHT_TOKEN and HOOKWRIGHT_TOKEN_FILE, or --profile (HOOKWRIGHT_PROFILE),
a host of ~/.config/hookwright/config.toml.";

/// A webhook engine whose transforms and receivers are sandboxed WebAssembly plugins, swapped while it runs.
#[derive(Debug, Parser)]
#[command(name = "hookwright", version, about, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the host.
    Serve(serve::Serve),
    Demo(demo::Demo),
    Sink(sink::Sink),
    Bench(bench::Bench),
    #[command(subcommand)]
    Plugin(Box<plugin::Plugin>),
    #[command(subcommand)]
    Event(event::Event),
    #[command(subcommand)]
    Webhook(Box<webhook::Webhook>),
    #[command(subcommand)]
    Template(template::Template),
    #[command(subcommand)]
    Receiver(Box<receiver::Receiver>),
    #[command(subcommand)]
    Action(action::Action),
    #[command(subcommand)]
    Delivery(delivery::Delivery),
    #[command(subcommand)]
    Call(call::Call),
    #[command(subcommand)]
    Secret(secret::Secret),
    #[command(subcommand)]
    Session(session::Session),
    #[command(subcommand)]
    Token(token::Token),
    #[command(subcommand)]
    Config(config::ConfigCommand),
    Completion(completion::Completion),
    Apply(apply::Apply),
    Export(export::Export),
    Audit(audit::Audit),
    #[command(subcommand)]
    Key(key::Key),
    Backup(backup::Backup),
    Restore(restore::Restore),
    Compact(compact::Compact),
    /// Compile one plugin. The host runs this in a child process for each upload.
    #[command(hide = true)]
    Compile(compile::Compile),
}

impl Cli {
    /// Runs the command and returns the exit code of the process.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Serve(serve) => block_on(serve.run()),
            Command::Demo(demo) => block_on(demo.run()),
            Command::Sink(sink) => block_on(sink.run()),
            Command::Bench(bench) => block_on(bench.run()),
            Command::Plugin(plugin) => plugin.run(),
            Command::Event(event) => event.run(),
            Command::Webhook(webhook) => webhook.run(),
            Command::Template(template) => template.run(),
            Command::Receiver(receiver) => receiver.run(),
            Command::Action(action) => action.run(),
            Command::Delivery(delivery) => delivery.run(),
            Command::Call(call) => call.run(),
            Command::Secret(secret) => secret.run(),
            Command::Session(session) => session.run(),
            Command::Token(token) => token.run(),
            Command::Config(config) => config.run(),
            Command::Completion(completion) => completion.run(Self::command()),
            Command::Apply(apply) => block_on(apply.run()),
            Command::Export(export) => block_on(export.run()),
            Command::Audit(audit) => audit.run(),
            Command::Key(key) => key.run(),
            Command::Backup(backup) => backup.run(),
            Command::Restore(restore) => restore.run(),
            Command::Compact(compact) => compact.run(),
            Command::Compile(compile) => Ok(compile.run()),
        }
    }
}
