//! What becomes of plugins that fail: it is written down, told by an operational event, and a new version that fails on what the one
//! before it handles makes room for that one.
//!
//! `plugin.set_aside`, `plugin.recovered` and `plugin.rolled_back`. What is set aside is this process's own and told once; a rollback is
//! a change of the plugin, and told until somebody has heard it: again at the next start, if need be.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{NoticeError, SCAN_EVERY};
use crate::{
    clock::millis,
    model::{
        event::NewEvent,
        id::EventId,
        plugin::history::{Deed, Entry},
        trigger::Trigger,
    },
    outbound::acceptance::{self, Incoming, SOURCE},
    plugin::{
        UploadError,
        conduct::{News, Next},
    },
    services::Services,
    try_out::version_before,
};

/// Acts upon news of plugins until the host stops.
pub async fn work(services: Services) {
    loop {
        tell_rollbacks(&services).await;
        tokio::select! {
            () = services.stop.cancelled() => return,
            news = services.plugins.news() => {
                for one in news {
                    act(&services, one).await;
                }
            }
            () = tokio::time::sleep(SCAN_EVERY) => {}
        }
    }
}

async fn act(services: &Services, news: News) {
    let now = services.clock.now();
    match news {
        News::SetAside { plugin, version, last } => {
            tracing::error!(plugin, version, last, "a plugin kept failing and is set aside");
            services.metrics.plugin_set_aside(&plugin);
            written(&plugin, services.plugins.note_set_aside(&plugin, version, &last).await);
            tell(services, &plugin, "set_aside", now, json!({ "version": version, "reason": last })).await;
        }
        News::Recovered { plugin, version } => {
            tracing::info!(plugin, version, "a plugin that was set aside works again");
            tell(services, &plugin, "recovered", now, json!({ "version": version })).await;
        }
        News::Suspected { plugin, version } => {
            // In a task of its own: what is slow to try must not hold up what is to be told of others.
            let owned = services.clone();
            services.tasks.spawn(async move {
                tokio::select! {
                    () = owned.stop.cancelled() => {}
                    () = judge(&owned, &plugin, version) => {}
                }
            });
        }
    }
    services.window.wake();
}

/// Tries the version before on what a new one failed on, and goes back to it if that one handles it.
async fn judge(services: &Services, plugin: &str, version: Option<u32>) {
    let Some((tried, before)) = services.plugins.on_trial(plugin, version) else { return };
    loop {
        match tried.conduct.next_in_trial() {
            Next::Try(inputs) => {
                for input in inputs {
                    let rehearsed = version_before::rehearse(services, &before, &input.kept).await;
                    tracing::info!(plugin, version, ?input, ?rehearsed, "the version before was tried on what a new one failed on");
                    tried.conduct.rehearsed(&input.party, rehearsed);
                }
            }
            Next::Condemned(reason) => {
                match services.plugins.roll_back_failed(plugin, version, &reason).await {
                    Ok(Some(_)) => services.metrics.plugin_rolled_back(plugin),
                    Ok(None) => {}
                    Err(error) => tracing::error!(plugin, version, %error, "a plugin that keeps failing cannot be rolled back"),
                }
                tell_rollbacks(services).await;
                services.window.wake();
                return;
            }
            Next::Acquitted => return,
        }
    }
}

async fn tell_rollbacks(services: &Services) {
    for (plugin, Entry { number, at, deed, .. }) in services.plugins.untold() {
        if let Deed::RolledBack { version, before, reason } = deed {
            let data = json!({ "version": version.number(), "failed_version": before.number(), "reason": reason });
            if !tell(services, &plugin, "rolled_back", at, data).await {
                continue;
            }
        }
        written(&plugin, services.plugins.told(&plugin, number).await);
    }
}

fn written(plugin: &str, result: Result<(), UploadError>) {
    if let Err(error) = result {
        tracing::error!(plugin, %error, "what became of a plugin cannot be written down");
    }
}

/// Whether it was accepted.
async fn tell(services: &Services, plugin: &str, what: &str, at: Timestamp, mut data: Value) -> bool {
    data["plugin"] = plugin.into();
    data["at"] = json!(at);
    let told = accept(services, plugin, what, at, data).await;
    if let Err(error) = &told {
        tracing::error!(plugin, %error, "nobody is told what became of a plugin");
    }
    told.is_ok()
}

async fn accept(services: &Services, plugin: &str, what: &str, at: Timestamp, data: Value) -> Result<(), NoticeError> {
    let Ok(trigger) = Trigger::parse(&format!("plugin.{what}")) else { return Ok(()) };
    let event = NewEvent {
        id: EventId::operational(plugin, what, millis(at)),
        trigger,
        source: SOURCE.to_owned(),
        time: at,
        session: None,
        environment: None,
        attributes: BTreeMap::new(),
        data,
        call: None,
        depth: 0,
        trace: None,
    };
    acceptance::accept(services, vec![Incoming { event, parameters: Map::new(), dedup: None }]).await?;
    Ok(())
}
