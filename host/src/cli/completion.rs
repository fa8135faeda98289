//! `hookwright completion`: prints scripts with which shells complete commands and flags.

use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::Shell;

use super::output;

/// Print a script with which a shell completes commands and flags.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hookwright completion bash > /etc/bash_completion.d/hookwright
  hookwright completion zsh > ~/.zfunc/_hookwright
  hookwright completion fish > ~/.config/fish/completions/hookwright.fish")]
pub struct Completion {
    /// The shell.
    shell: Shell,
}

impl Completion {
    pub fn run(self, mut command: Command) -> anyhow::Result<ExitCode> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "hookwright", &mut script);
        output::print(&String::from_utf8_lossy(&script))?;
        Ok(ExitCode::SUCCESS)
    }
}
