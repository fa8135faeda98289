//! The name of a webhook and the host, on the command line.

use std::process::ExitCode;

use clap::Args;
use http::Method;

use crate::cli::at::{At, segment};

/// A webhook on a host.
#[derive(Debug, Args)]
pub struct Named {
    /// The webhook's name.
    pub(super) name: String,
    /// The host to use.
    #[command(flatten)]
    pub(super) at: At,
}

pub(super) fn path(name: &str) -> String {
    format!("/v1/webhooks/{}", segment(name))
}

impl Named {
    pub(super) async fn switch(self, verb: &str, now: &str) -> anyhow::Result<ExitCode> {
        let webhook = self.at.open()?.call(Method::POST, &format!("{}/{verb}", path(&self.name)), None).await?;
        self.at.show(&webhook, |_| format!("{} is {now}", self.name))
    }
}
