//! Command line -> configuration -> run. The only place where errors become text for a person.

use std::process::ExitCode;

use clap::Parser;
use hookwright::cli::Cli;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            // The whole chain: what failed, and why.
            eprintln!("hookwright: {error:#}");
            ExitCode::FAILURE
        }
    }
}
