//! Measures the sandbox alone: one call after the other, each in a fresh instance, without store and network.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, ensure};
use jiff::Timestamp;
use serde_json::json;

use super::load::{Budget, Measured, Stopwatch, histogram, progress, record};
use crate::{
    host::Host,
    model::{event::Event, id::EventId, plugin::PluginKind, trigger::Trigger},
    plugin::{ActivePlugin, CallContext, DeliveryInput},
};

/// Calls before the measurement begins.
const WARM_UP: u32 = 50;
/// Calls in the one instance that is used again.
const WARM_TURNS: usize = 2_000;
/// Longest time for all of these calls together.
const WARM_TIME_MAX: Duration = Duration::from_secs(60);

/// Sizes of the scripts in bytes: one as written by hand for one webhook, and one with a library pasted in.
const SCRIPT_BYTES: [usize; 2] = [1_000, 100_000];

/// What is measured: its name, the plugin, and whether each call gets a fresh instance.
pub const MEASURED: [(&str, &str, bool); 7] = [
    ("sandbox: fresh plugin call", "slack", true),
    ("sandbox: plugin, instance reused", "slack", false),
    ("sandbox: fresh script call, 1 kB", "bench-1000", true),
    ("sandbox: script of 1 kB, instance reused", "bench-1000", false),
    ("sandbox: fresh script call, 100 kB", "bench-100000", true),
    ("sandbox: script of 100 kB, instance reused", "bench-100000", false),
    ("sandbox: script of 100 kB evaluated at each call", "bench-evaluated", true),
];

/// Measures the transforms of a plugin and of scripts on the same event.
pub async fn measure(host: &Host, budget: Budget, wanted: impl Fn(&str) -> bool) -> anyhow::Result<Vec<Measured>> {
    let mut measured = Vec::new();
    for (name, plugin, is_fresh) in MEASURED.into_iter().filter(|(name, ..)| wanted(name)) {
        let subject = Subject::prepare(host, plugin).await?;
        measured.push(if is_fresh { calls(name, &subject, budget).await? } else { warm(name, &subject).await? });
    }
    Ok(measured)
}

/// A plugin that is called directly, without store and network.
pub struct Subject {
    plugin: Arc<ActivePlugin>,
}

impl Subject {
    /// Prepares the plugin of this name. A script is uploaded first; then this waits until the host has made a snapshot of it in the
    /// background.
    pub async fn prepare(host: &Host, plugin: &str) -> anyhow::Result<Self> {
        let size = plugin.strip_prefix("bench-");
        if let Some(size) = size {
            let source = script(size.parse().unwrap_or(SCRIPT_BYTES[1]), size != "evaluated");
            host.services
                .plugins
                .upload(plugin, source.into(), PluginKind::Script, true, crate::model::plugin::history::Actor::host())
                .await?;
        }
        let active = host.services.plugins.get(plugin, None).with_context(|| format!("there is no plugin {plugin}"))?;
        if size.is_some_and(|size| size != "evaluated") {
            active.loaded.snapshot().await?;
        }
        Ok(Self { plugin: active })
    }

    /// The time of one call in a fresh instance.
    pub async fn fresh(&self) -> anyhow::Result<Duration> {
        let (event, context) = (event()?, context(&self.plugin));
        let begun = Instant::now();
        let called = self.plugin.loaded.transform(context, DeliveryInput::default(), vec![event]).await;
        let took = begun.elapsed();
        let called = called.map_err(|failed| anyhow!("the plugin failed: {}", failed.failure))?;
        ensure!(called.value.is_some_and(|request| request.body.is_some()), "the plugin built nothing");
        Ok(took)
    }

    /// A lower bound: the times of calls in one instance that is used again. The host never serves deliveries like that.
    pub async fn reused(&self, turns: usize) -> anyhow::Result<Vec<Duration>> {
        let context = CallContext { time_max: Some(WARM_TIME_MAX), ..context(&self.plugin) };
        let times = self.plugin.loaded.warm_bound(context, DeliveryInput::default(), vec![event()?], turns).await;
        times.map_err(|failed| anyhow!("the plugin failed: {}", failed.failure))
    }
}

/// A script of about this size in bytes: tables and helpers, and one transform that uses some of them. A script that reads its
/// configuration at the top level is evaluated again at each call.
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

async fn calls(name: &'static str, subject: &Subject, budget: Budget) -> anyhow::Result<Measured> {
    for _ in 0..WARM_UP {
        subject.fresh().await?;
    }
    let (bar, watch, mut times) = (progress(name, budget), Stopwatch::start(), histogram()?);
    let is_left = |count: u64| match budget {
        Budget::Time(time) => watch.elapsed() < time,
        Budget::Requests(most) => count < most,
    };
    while is_left(times.len()) {
        record(&mut times, subject.fresh().await?);
        bar.set_position(match budget {
            Budget::Time(_) => u64::try_from(watch.elapsed().as_millis()).unwrap_or(u64::MAX),
            Budget::Requests(_) => times.len(),
        });
    }
    bar.finish_and_clear();
    Ok(watch.stop(name, times, false))
}

async fn warm(name: &'static str, subject: &Subject) -> anyhow::Result<Measured> {
    let (watch, mut histogram) = (Stopwatch::start(), histogram()?);
    for time in subject.reused(WARM_TURNS).await? {
        record(&mut histogram, time);
    }
    Ok(watch.stop(name, histogram, false))
}

fn context(plugin: &ActivePlugin) -> CallContext {
    CallContext { plugin: plugin.plugin_use.name.clone(), config: json!({}), ..CallContext::default() }
}

/// An event as `item-standards` emits it.
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
        trace: None,
    })
}
