//! The sandbox alone: one call after the other, each in an instance of its own, no store and no network around it.

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use jiff::Timestamp;
use serde_json::json;

use super::load::{Budget, Measured, histogram, progress, record};
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

/// A plugin's and a script's transform of the same event.
pub async fn measure(host: &Host, budget: Budget) -> anyhow::Result<Vec<Measured>> {
    const SCRIPT: &str = "export function transform(delivery, events) { return { body: { text: events[0].data.title } }; }\n";
    let kind = crate::model::plugin::PluginKind::Script;
    host.services.plugins.upload("bench-transform", SCRIPT.into(), kind, true).await?;
    Ok(vec![
        calls("sandbox: fresh plugin call", host, "slack", budget).await?,
        warm("sandbox: the same, instance reused", host, "slack").await?,
        calls("sandbox: fresh script call", host, "bench-transform", budget).await?,
        warm("sandbox: the same, instance reused", host, "bench-transform").await?,
    ])
}

async fn calls(name: &'static str, host: &Host, plugin: &str, budget: Budget) -> anyhow::Result<Measured> {
    let active = host.services.plugins.get(plugin, None).with_context(|| format!("there is no plugin {plugin}"))?;
    for _ in 0..WARM_UP {
        call(&active).await?;
    }
    let (bar, begun, mut times) = (progress(name, budget), Instant::now(), histogram()?);
    let is_left = |count: u64| match budget {
        Budget::Time(time) => begun.elapsed() < time,
        Budget::Requests(most) => count < most,
    };
    while is_left(times.len()) {
        record(&mut times, call(&active).await?);
        bar.set_position(match budget {
            Budget::Time(_) => u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            Budget::Requests(_) => times.len(),
        });
    }
    bar.finish_and_clear();
    Ok(Measured { name, count: times.len(), elapsed: begun.elapsed(), histogram: times, over_http: false })
}

/// The bound: the same call in an instance that is used again, as no delivery is ever served.
async fn warm(name: &'static str, host: &Host, plugin: &str) -> anyhow::Result<Measured> {
    let active = host.services.plugins.get(plugin, None).with_context(|| format!("there is no plugin {plugin}"))?;
    let (begun, mut histogram) = (Instant::now(), histogram()?);
    let context = CallContext { time_max: Some(WARM_TIME_MAX), ..context(&active) };
    let times = active.loaded.warm_bound(context, DeliveryInput::default(), vec![event()?], WARM_TURNS).await;
    for time in times.map_err(|failed| anyhow!("the plugin failed: {}", failed.failure))? {
        record(&mut histogram, time);
    }
    Ok(Measured { name, count: histogram.len(), elapsed: begun.elapsed(), histogram, over_http: false })
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
