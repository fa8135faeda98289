//! The sandbox alone: one call after the other, each in an instance of its own, no store and no network around it.

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use jiff::Timestamp;
use serde_json::json;

use super::load::{Budget, Measured, Stopwatch, histogram, progress, record};
use crate::{
    host::Host,
    model::{event::Event, id::EventId, trigger::Trigger},
    plugin::{ActivePlugin, CallContext, DeliveryInput},
};

/// Calls before the clock runs.
const WARM_UP: u32 = 50;
/// Calls in the one instance of the warm bound.
const WARM_TURNS: usize = 2_000;
/// What they may take together.
const WARM_TIME_MAX: Duration = Duration::from_secs(60);

/// A fresh call, the same in an instance that is used again, and the plugin of both.
const MEASURED: [(&str, &str, &str); 2] = [
    ("sandbox: fresh plugin call", "sandbox: plugin, instance reused", "slack"),
    ("sandbox: fresh script call", "sandbox: script, instance reused", "bench-transform"),
];

/// A plugin's and a script's transform of the same event.
pub async fn measure(host: &Host, budget: Budget, wanted: impl Fn(&str) -> bool) -> anyhow::Result<Vec<Measured>> {
    const SCRIPT: &str = "export function transform(delivery, events) { return { body: { text: events[0].data.title } }; }\n";
    let kind = crate::model::plugin::PluginKind::Script;
    host.services.plugins.upload("bench-transform", SCRIPT.into(), kind, true, crate::model::plugin::history::Actor::host()).await?;
    let mut measured = Vec::new();
    for (fresh, reused, plugin) in MEASURED {
        if wanted(fresh) {
            measured.push(calls(fresh, host, plugin, budget).await?);
        }
        if wanted(reused) {
            measured.push(warm(reused, host, plugin).await?);
        }
    }
    Ok(measured)
}

async fn calls(name: &'static str, host: &Host, plugin: &str, budget: Budget) -> anyhow::Result<Measured> {
    let active = host.services.plugins.get(plugin, None).with_context(|| format!("there is no plugin {plugin}"))?;
    for _ in 0..WARM_UP {
        call(&active).await?;
    }
    let (bar, watch, mut times) = (progress(name, budget), Stopwatch::start(), histogram()?);
    let is_left = |count: u64| match budget {
        Budget::Time(time) => watch.elapsed() < time,
        Budget::Requests(most) => count < most,
    };
    while is_left(times.len()) {
        record(&mut times, call(&active).await?);
        bar.set_position(match budget {
            Budget::Time(_) => u64::try_from(watch.elapsed().as_millis()).unwrap_or(u64::MAX),
            Budget::Requests(_) => times.len(),
        });
    }
    bar.finish_and_clear();
    Ok(watch.stop(name, times, false))
}

/// The bound: the same call in an instance that is used again, as no delivery is ever served.
async fn warm(name: &'static str, host: &Host, plugin: &str) -> anyhow::Result<Measured> {
    let active = host.services.plugins.get(plugin, None).with_context(|| format!("there is no plugin {plugin}"))?;
    let (watch, mut histogram) = (Stopwatch::start(), histogram()?);
    let context = CallContext { time_max: Some(WARM_TIME_MAX), ..context(&active) };
    let times = active.loaded.warm_bound(context, DeliveryInput::default(), vec![event()?], WARM_TURNS).await;
    for time in times.map_err(|failed| anyhow!("the plugin failed: {}", failed.failure))? {
        record(&mut histogram, time);
    }
    Ok(watch.stop(name, histogram, false))
}

async fn call(plugin: &ActivePlugin) -> anyhow::Result<Duration> {
    let (event, context) = (event()?, context(plugin));
    let begun = Instant::now();
    let called = plugin.loaded.transform(context, DeliveryInput::default(), vec![event]).await;
    let took = begun.elapsed();
    let called = called.map_err(|failed| anyhow!("the plugin failed: {}", failed.failure))?;
    ensure!(called.value.is_some_and(|request| request.body.is_some()), "the plugin built nothing");
    Ok(took)
}

fn context(plugin: &ActivePlugin) -> CallContext {
    CallContext { plugin: plugin.plugin_use.name.clone(), config: json!({}), ..CallContext::default() }
}

/// What `item-standards` would emit.
fn event() -> anyhow::Result<Event> {
    let data = json!({ "itemId": "42", "title": "Roads", "score": 55, "missing": ["tags"], "sharedBy": "ann" });
    Ok(Event {
        id: EventId("evt_bench".to_owned()),
        seq: 1,
        trigger: Trigger::parse("standards.failed").map_err(|error| anyhow!(error.to_string()))?,
        source: String::new(),
        time: Timestamp::UNIX_EPOCH,
        accepted_at: Timestamp::UNIX_EPOCH,
        session: None,
        environment: None,
        attributes: Default::default(),
        data,
        call: None,
        depth: 0,
    })
}
