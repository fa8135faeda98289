//! `hookwright demo`: a story on a real host over real HTTP that shows what the product does.
//!
//! The host, its store and the endpoints of three vendors run in this process and a temporary directory. Everything is configured over
//! the API. Every endpoint verifies what it receives by itself. If anything differs from the story, the demo fails.

use std::{io::Write, process::ExitCode, sync::Arc, time::Instant};

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;

use self::{page::Page, setup::Places, story::Story, world::World};
use super::{
    client::Api,
    endpoint::LOOPBACK,
    serve::{log_to_stderr, stop_signal},
};
use crate::{
    clock::SystemClock,
    config::{Config, LogFormat},
    host::Host,
    model::secret::Secret,
    plugin::builtin::BUILTINS,
};

mod facts;
mod page;
mod setup;
mod story;
mod swap;
mod vendors;
mod world;

/// See the product's main job on real input: a temporary host, three endpoints, one story.
#[derive(Debug, Args)]
#[command(after_help = "Without --once it keeps serving and prints three curl lines to try. RUST_LOG=info shows the host's own log.\n\n\
    Example:\n  hookwright demo --once")]
pub struct Demo {
    /// Exit after the story: 0 if every step succeeded.
    #[arg(long)]
    once: bool,
}

impl Demo {
    /// Tells the story, then serves until the process is asked to stop.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        if std::env::var_os("RUST_LOG").is_some() {
            log_to_stderr(LogFormat::Auto);
        }
        let page = Page::of_stdout();
        page.heading("Hookwright demo: one story, told by a real host over real HTTP on this machine alone.");
        let directory = tempfile::Builder::new().prefix("hookwright-demo-").tempdir().context("no temporary directory")?;
        let mut world = World::start().await?;
        let host = start(&page, directory.path()).await?;
        let told = tell(&page, &host, &mut world, directory.path(), self.once).await;
        host.stop().await;
        told.map(|()| ExitCode::SUCCESS)
    }
}

async fn tell(page: &Page, host: &Host, world: &mut World, directory: &std::path::Path, once: bool) -> anyhow::Result<()> {
    let begun = Instant::now();
    let token = host.new_token.clone().context("the host made no admin token")?;
    let api = Api::new(format!("http://{}", host.address), token.clone());
    let places = setup::configure(&api, world).await.context("the host could not be configured")?;
    page.note(&setup::told(host.address, world));
    let mut story = Story { page, api: &api, world, places: &places, data: directory };
    story.tell().await?;
    page.heading(&format!("Everything went as told, in {} ms and without a restart.", begun.elapsed().as_millis()));
    if once {
        return Ok(());
    }
    invite(page, host, &token, &places);
    tokio::select! {
        stopped = stop_signal() => stopped,
        () = world.show(page) => Ok(()),
    }
}

/// Starts a host on a free port and waits until every plugin is compiled.
async fn start(page: &Page, data: &std::path::Path) -> anyhow::Result<Host> {
    let listener = TcpListener::bind(LOOPBACK).await.context("cannot listen on 127.0.0.1")?;
    let mut config = Config::new(data, listener.local_addr()?);
    // The demo's endpoints are on loopback, which a host calls only if it is allowed.
    config.allow_networks = vec!["127.0.0.0/8".parse()?];
    let host = Host::start(config, listener, Arc::new(SystemClock), None).await.context("the host did not start")?;
    let begun = Instant::now();
    let names: Vec<String> = BUILTINS.iter().map(|builtin| builtin.name.to_owned()).collect();
    page.begin(&format!("compiling {} plugins and the script engine ", names.len()));
    for name in names {
        host.services.plugins.warm([name]).await;
        page.begin(".");
    }
    page.end(&format!(" {:.1} s (a host with a data directory of its own does this once)", begun.elapsed().as_secs_f64()));
    Ok(host)
}

/// Prints commands to try while the host keeps serving.
fn invite(page: &Page, host: &Host, token: &Secret, places: &Places) {
    let url = format!("http://{}", host.address);
    let token = token.expose_str().unwrap_or_default();
    page.heading("It keeps serving until ctrl-c, and shows what its endpoints receive. Try, in another terminal:");
    let event = r#"{"trigger":"standards.failed","data":{"itemId":"42","title":"Wells","score":55,"missing":["tags"],"sharedBy":"you"}}"#;
    let call =
        r#"{"fulfillmentInfo":{"tag":"check-stock"},"sessionInfo":{"session":"mine","parameters":{"article":"A-12","depot":"LYON"}}}"#;
    let lines = [
        format!(
            "# post an event and wait for its deliveries\ncurl -s '{url}/v1/events?wait=5s' -H 'authorization: Bearer {token}' -d '{event}'"
        ),
        format!(
            "# invoke a webhook in a session\ncurl -s '{url}/v1/webhooks/stock/invoke' -H 'authorization: Bearer {token}' \
             -d '{{\"session\":\"mine\",\"parameters\":{{\"article\":\"B-7\",\"depot\":\"LYON\",\"quantity\":1}}}}'"
        ),
        format!("# call a code, as the agent does\ncurl -s '{}' -d '{call}'", places.agent),
    ];
    let mut out = std::io::stdout().lock();
    // Print whole lines, whatever the terminal's width, because they are meant to be copied. A closed standard output is no error.
    drop(writeln!(out, "\n{}\n\n{url}  admin token: {token}\n", lines.join("\n\n")));
}
