//! `hookwright compile`: one compilation, in a process that can be killed and whose memory is limited.

use std::process::ExitCode;

use clap::Args;

use crate::plugin::{CompileArgs, compile_main};

/// Compile one plugin.
#[derive(Debug, Args)]
pub struct Compile {
    #[command(flatten)]
    args: CompileArgs,
}

impl Compile {
    pub fn run(self) -> ExitCode {
        compile_main(&self.args)
    }
}
