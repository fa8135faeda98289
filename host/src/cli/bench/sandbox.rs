//! The sandbox alone: one call after the other, each in an instance of its own, no store and no network around it.

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use jiff::Timestamp;
use serde_json::json;

use super::load::{Budget, Measured, Stopwatch, histogram, progress, record};
use crate::{
    host::Host,
    model::{event::Event, id::EventId, plugin::PluginKind, trigger::Trigger},
    plugin::{ActivePlugin, CallContext, DeliveryInput},
};

/// Calls before the clock runs.
const WARM_UP: u32 = 50;
/// Calls in the one instance of the warm bound.
const WARM_TURNS: usize = 2_000;
/// What they may take together.
const WARM_TIME_MAX: Duration = Duration::from_secs(60);

/// Bytes of the scripts: what is written by hand for one webhook, and what somebody pasted a library into.
const SCRIPT_BYTES: [usize; 2] = [1_000, 100_000];

/// What is measured: its name, the plugin, and whether in instances of their own.
const MEASURED: [(&str, &str, bool); 7] = [
    ("sandbox: fresh plugin call", "slack", true),
    ("sandbox: plugin, instance reused", "slack", false),
    ("sandbox: fresh script call, 1 kB", "bench-1000", true),
    ("sandbox: script of 1 kB, instance reused", "bench-1000", false),
    ("sandbox: fresh script call, 100 kB", "bench-100000", true),
    ("sandbox: script of 100 kB, instance reused", "bench-100000", false),
    ("sandbox: script of 100 kB evaluated at each call", "bench-evaluated", true),
];

/// A plugin's and scripts' transforms of the same event.
pub async fn measure(host: &Host, budget: Budget, wanted: impl Fn(&str) -> bool) -> anyhow::Result<Vec<Measured>> {
    let mut measured = Vec::new();
    for (name, plugin, is_fresh) in MEASURED.into_iter().filter(|(name, ..)| wanted(name)) {
        prepare(host, plugin).await?;
        measured.push(if is_fresh { calls(name, host, plugin, budget).await? } else { warm(name, host, plugin).await? });
    }
    Ok(measured)
}

/// Uploads a script of its size, and waits for what calls would have made of it in the background.
async fn prepare(host: &Host, plugin: &str) -> anyhow::Result<()> {
    let Some(size) = plugin.strip_prefix("bench-") else { return Ok(()) };
    let is_evaluated_ahead = size != "evaluated";
    let bytes = size.parse().unwrap_or(SCRIPT_BYTES[1]);
    host.services.plugins.upload(plugin, script(bytes, is_evaluated_ahead).into(), PluginKind::Script, true).await?;
    if is_evaluated_ahead {
        let active = host.services.plugins.get(plugin, None).with_context(|| format!("there is no plugin {plugin}"))?;
        active.loaded.snapshot().await?;
    }
    Ok(())
}

/// A script of about so many bytes: tables and helpers, and one transform that uses some of them. One that reads its configuration at
/// the top level is evaluated at each call.
fn script(bytes: usize, is_evaluated_ahead: bool) -> String {
    let mut text = String::from(
        "const severity = (score) => score > 80 ? 'good' : score > 40 ? 'fair' : 'poor';\n\
         export function transform(delivery, events) {\n\
         \x20 const { title, score, missing } = events[0].data;\n\
         \x20 return { body: { text: `${title}: ${severity(score)}`, missing: missing.map((name) => name.toUpperCase()) } };\n\
         }\n",
    );
    if !is_evaluated_ahead {
        text.push_str("const configured = hookwright.config;\n");
    }
    for number in 0.. {
        if text.len() >= bytes {
            break;
        }
        text.push_str(&format!(
            "const names{number} = {{ en: 'value {number}', fr: 'valeur {number}', weight: {number} }};\n\
             function helper{number}(value) {{\n\
             \x20 if (typeof value !== 'string') return names{number}.en;\n\
             \x20 return value.split(',').map((part) => part.trim()).filter((part) => part !== '').join(';') + names{number}.weight;\n\
             }}\n"
        ));
    }
    text
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
