//! The command line: one file per subcommand.
//!
//! Exit codes: 0 done, 1 failed (the reason is on standard error), 2 the command line itself is wrong.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use self::runtime::block_on;

pub mod action;
pub mod apply;
pub mod at;
pub mod audit;
pub mod backup;
pub mod bench;
pub mod call;
pub mod client;
pub mod compact;
pub mod compile;
pub mod completion;
pub mod config;
pub mod delivery;
pub mod demo;
pub mod documents;
pub mod endpoint;
pub mod event;
pub mod export;
pub mod input;
pub mod key;
pub mod maintain;
pub mod output;
pub mod plugin;
pub mod progress;
pub mod receiver;
pub mod restore;
mod runtime;
pub mod secret;
pub mod serve;
pub mod session;
pub mod sink;
pub mod state;
pub mod template;
pub mod token;
pub mod webhook;

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
