//! What is counted and timed, in the form Prometheus reads (OpenMetrics 1.0). Nothing in here holds a value somebody sent: labels are names of
//! webhooks, receivers and plugins, and words of ours.

use std::{fmt, sync::Arc, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

use crate::model::outcome::FailureKind;

/// The outcome of an attempt that went well.
pub const DELIVERED: &str = "delivered";

/// The media type of [`Metrics::text`].
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Buckets of times: from 100 µs, doubling, to 52 s.
const TIME_BUCKETS: (f64, f64, u16) = (0.0001, 2.0, 20);

/// Everything that is counted. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    shared: Arc<Shared>,
}

struct Shared {
    registry: Registry,
    events: Counter,
    duplicates: Counter,
    matches: Counter,
    attempts: Family<Attempted, Counter>,
    stages: Family<Stage, Histogram, fn() -> Histogram>,
    spans_exported: Counter,
    spans_dropped: Family<Lost, Counter>,
    calls: Family<Called, Counter>,
    call_time: Family<Receiver, Histogram, fn() -> Histogram>,
    plugin_runs: Family<Ran, Counter>,
    plugin_time: Family<Plugin, Histogram, fn() -> Histogram>,
    plugins_set_aside: Family<Plugin, Counter>,
    plugin_rollbacks: Family<Plugin, Counter>,
    plugin_is_set_aside: Family<Plugin, Gauge>,
    webhook_due: Family<Webhook, Gauge>,
    instances_max: Gauge,
    instances: Gauge,
    instances_waited_for: Gauge,
    requests: Family<Answered, Counter>,
    waiting: Gauge,
    leases: Gauge,
    oldest_due: Gauge,
    store_bytes: Gauge,
    store_live_bytes: Gauge,
    commits: Gauge,
    syncs: Gauge,
    compactions: Gauge,
    commits_waiting: Gauge,
    store_failed: Gauge,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Attempted {
    webhook: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Stage {
    stage: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Lost {
    reason: &'static str,
}

/// Why a span did not come to the collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanLoss {
    /// Too many waited.
    QueueFull,
    /// The collector did not take it in time.
    NotTaken,
    /// The host was stopping.
    Stopping,
}

impl SpanLoss {
    fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::NotTaken => "not_taken",
            Self::Stopping => "stopping",
        }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Called {
    receiver: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Receiver {
    receiver: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Ran {
    plugin: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Plugin {
    plugin: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answered {
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Webhook {
    webhook: String,
}

/// Webhooks of which it is said for how long their oldest delivery has been due: those that have been due longest.
pub const WEBHOOKS_DUE_MAX: usize = 100;

/// What is looked at, not counted, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Moment {
    /// The store.
    pub store: StoreState,
    /// Plugins that are set aside.
    pub set_aside: Vec<String>,
    /// Of webhooks with a delivery that is due, for how long the oldest has been; at most [`WEBHOOKS_DUE_MAX`].
    pub due: Vec<(String, Duration)>,
    /// The instances of plugins.
    pub pool: PoolState,
}

/// How much of the sandbox is in use at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct PoolState {
    /// Instances there may be.
    pub max: usize,
    /// Instances that are called.
    pub in_use: usize,
    /// Calls that wait for one.
    pub waiting: usize,
}

/// How the store stands at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct StoreState {
    /// Deliveries that wait.
    pub waiting: u64,
    /// Deliveries being sent.
    pub leases: u64,
    /// For how long the delivery that is due longest has been due.
    pub oldest_due: Duration,
    /// Bytes on the disk.
    pub bytes: u64,
    /// Bytes of what lives.
    pub live_bytes: u64,
    /// Commits so far.
    pub commits: u64,
    /// Syncs so far.
    pub syncs: u64,
    /// Compactions so far.
    pub compactions: u64,
    /// Commits that wait to be written.
    pub commits_waiting: u64,
    /// Whether a write failed.
    pub failed: bool,
}

fn times() -> Histogram {
    let (first, factor, count) = TIME_BUCKETS;
    Histogram::new(exponential_buckets(first, factor, count))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("hookwright");
        let mut shared = Shared {
            events: Counter::default(),
            duplicates: Counter::default(),
            matches: Counter::default(),
            attempts: Family::default(),
            stages: Family::new_with_constructor(times),
            spans_exported: Counter::default(),
            spans_dropped: Family::default(),
            calls: Family::default(),
            call_time: Family::new_with_constructor(times),
            plugin_runs: Family::default(),
            plugin_time: Family::new_with_constructor(times),
            plugins_set_aside: Family::default(),
            plugin_rollbacks: Family::default(),
            plugin_is_set_aside: Family::default(),
            webhook_due: Family::default(),
            instances_max: Gauge::default(),
            instances: Gauge::default(),
            instances_waited_for: Gauge::default(),
            requests: Family::default(),
            waiting: Gauge::default(),
            leases: Gauge::default(),
            oldest_due: Gauge::default(),
            store_bytes: Gauge::default(),
            store_live_bytes: Gauge::default(),
            commits: Gauge::default(),
            syncs: Gauge::default(),
            compactions: Gauge::default(),
            commits_waiting: Gauge::default(),
            store_failed: Gauge::default(),
            registry: Registry::default(),
        };
        registry.register("events_accepted", "Events accepted, on disk and new", shared.events.clone());
        registry.register("events_repeated", "Events that had been accepted before", shared.duplicates.clone());
        registry.register("deliveries_owed", "Deliveries that accepted events owe", shared.matches.clone());
        registry.register("attempts", "Attempts at deliveries, by webhook and `delivered` or the kind of failure", shared.attempts.clone());
        registry.register_with_unit(
            "attempt_stage",
            "How long a stage of an attempt took: transform, build, send, bind",
            Unit::Seconds,
            shared.stages.clone(),
        );
        registry.register("trace_spans_exported", "Spans the collector of traces took", shared.spans_exported.clone());
        let help = "Spans that were lost: `queue_full`, `not_taken` by the collector in time, `stopping`";
        registry.register("trace_spans_dropped", help, shared.spans_dropped.clone());
        registry.register("calls", "Calls of receivers, by `done` or the kind of failure", shared.calls.clone());
        registry.register_with_unit("call", "How long a receiver took to answer", Unit::Seconds, shared.call_time.clone());
        registry.register("plugin_runs", "Runs of plugins, by `ok` or the kind of failure", shared.plugin_runs.clone());
        registry.register_with_unit("plugin", "How long a run of a plugin took", Unit::Seconds, shared.plugin_time.clone());
        registry.register("plugin_set_asides", "Times a plugin kept failing and was set aside", shared.plugins_set_aside.clone());
        registry.register("plugin_rollbacks", "Times a plugin's new version failed and was rolled back", shared.plugin_rollbacks.clone());
        registry.register("plugin_set_aside", "1: the plugin's active version is set aside now", shared.plugin_is_set_aside.clone());
        registry.register("api_answers", "Answers of the API and of codes, by status", shared.requests.clone());
        for (name, help, gauge) in [
            ("deliveries_waiting", "Deliveries that wait, for a time or for their turn", &shared.waiting),
            ("deliveries_sending", "Deliveries being sent", &shared.leases),
            ("plugin_instances_max", "Plugin instances there may be", &shared.instances_max),
            ("plugin_instances_in_use", "Plugin instances that are called", &shared.instances),
            ("plugin_calls_waiting", "Calls that wait for a plugin instance", &shared.instances_waited_for),
            ("store_commits", "Commits since the start", &shared.commits),
            ("store_syncs", "Times the disk was synced since the start", &shared.syncs),
            ("store_compactions", "Times the store was written anew since the start", &shared.compactions),
            ("store_commits_waiting", "Commits that wait to be written", &shared.commits_waiting),
            ("store_failed", "1: a write failed and nothing is taken any more", &shared.store_failed),
        ] {
            registry.register(name, help, gauge.clone());
        }
        let help = "For how long the delivery that is due longest has been due";
        registry.register_with_unit("deliveries_oldest_due", help, Unit::Seconds, shared.oldest_due.clone());
        let help = "For how long a webhook's delivery that is due longest has been due; of the hundred that have been so longest";
        registry.register_with_unit("webhook_oldest_due", help, Unit::Seconds, shared.webhook_due.clone());
        registry.register_with_unit("store_disk", "The store's file", Unit::Bytes, shared.store_bytes.clone());
        registry.register_with_unit("store_live", "Keys and values in the store, about", Unit::Bytes, shared.store_live_bytes.clone());
        shared.registry = registry;
        Self { shared: Arc::new(shared) }
    }
}

impl Metrics {
    /// An event was accepted, and owes so many deliveries.
    pub fn event_accepted(&self, owed: u64) {
        self.shared.events.inc();
        self.shared.matches.inc_by(owed);
    }

    /// An event had been accepted before.
    pub fn event_repeated(&self) {
        self.shared.duplicates.inc();
    }

    /// An attempt ended, `delivered` or with the kind of failure.
    pub fn attempt(&self, webhook: &str, outcome: &'static str) {
        self.shared.attempts.get_or_create(&Attempted { webhook: webhook.to_owned(), outcome }).inc();
    }

    /// A stage of an attempt took so many microseconds; 0: it was not come to.
    pub fn stage(&self, stage: &'static str, micros: u64) {
        if micros > 0 {
            self.shared.stages.get_or_create(&Stage { stage }).observe(seconds(micros));
        }
    }

    /// The collector took so many spans.
    pub fn spans_exported(&self, number: u64) {
        self.shared.spans_exported.inc_by(number);
    }

    /// So many spans were lost.
    pub fn spans_dropped(&self, loss: SpanLoss, number: u64) {
        self.shared.spans_dropped.get_or_create(&Lost { reason: loss.as_str() }).inc_by(number);
    }

    /// A receiver answered, `done` or with the kind of failure.
    pub fn call(&self, receiver: &str, outcome: &'static str, micros: u64) {
        self.shared.calls.get_or_create(&Called { receiver: receiver.to_owned(), outcome }).inc();
        self.shared.call_time.get_or_create(&Receiver { receiver: receiver.to_owned() }).observe(seconds(micros));
    }

    /// A plugin ran, `ok` or with the kind of failure.
    pub fn plugin(&self, plugin: &str, outcome: &'static str, micros: u64) {
        self.shared.plugin_runs.get_or_create(&Ran { plugin: plugin.to_owned(), outcome }).inc();
        self.shared.plugin_time.get_or_create(&Plugin { plugin: plugin.to_owned() }).observe(seconds(micros));
    }

    /// A plugin was set aside.
    pub fn plugin_set_aside(&self, plugin: &str) {
        self.shared.plugins_set_aside.get_or_create(&Plugin { plugin: plugin.to_owned() }).inc();
    }

    /// A plugin was rolled back by the host.
    pub fn plugin_rolled_back(&self, plugin: &str) {
        self.shared.plugin_rollbacks.get_or_create(&Plugin { plugin: plugin.to_owned() }).inc();
    }

    /// The API or a code answered.
    pub fn answered(&self, status: u16) {
        self.shared.requests.get_or_create(&Answered { status }).inc();
    }

    /// A webhook is gone: its series end.
    pub fn forget_webhook(&self, webhook: &str) {
        let outcomes = FailureKind::ALL.iter().map(|kind| kind.as_str()).chain([DELIVERED]);
        for outcome in outcomes {
            self.shared.attempts.remove(&Attempted { webhook: webhook.to_owned(), outcome });
        }
    }

    /// Everything, with what is looked at now.
    pub fn text(&self, moment: Moment) -> String {
        let Moment { store, set_aside, due, pool } = moment;
        self.shared.webhook_due.clear();
        for (webhook, since) in due.into_iter().take(WEBHOOKS_DUE_MAX) {
            let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
            self.shared.webhook_due.get_or_create(&Webhook { webhook }).set(seconds);
        }
        let whole = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        self.shared.plugin_is_set_aside.clear();
        for plugin in set_aside {
            self.shared.plugin_is_set_aside.get_or_create(&Plugin { plugin }).set(1);
        }
        let Shared { registry, .. } = &*self.shared;
        for (gauge, value) in [
            (&self.shared.instances_max, whole(pool.max)),
            (&self.shared.instances, whole(pool.in_use)),
            (&self.shared.instances_waited_for, whole(pool.waiting)),
            (&self.shared.waiting, store.waiting),
            (&self.shared.leases, store.leases),
            (&self.shared.oldest_due, store.oldest_due.as_secs()),
            (&self.shared.store_bytes, store.bytes),
            (&self.shared.store_live_bytes, store.live_bytes),
            (&self.shared.commits, store.commits),
            (&self.shared.syncs, store.syncs),
            (&self.shared.compactions, store.compactions),
            (&self.shared.commits_waiting, store.commits_waiting),
            (&self.shared.store_failed, u64::from(store.failed)),
        ] {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = text::encode(&mut out, registry);
        out
    }
}

fn seconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_written_and_what_is_gone_is_not() {
        let metrics = Metrics::default();
        metrics.event_accepted(2);
        metrics.attempt("chat", DELIVERED);
        metrics.attempt("gone", DELIVERED);
        metrics.stage("send", 1500);
        metrics.stage("bind", 0);
        metrics.forget_webhook("gone");
        let text = metrics.text(Moment {
            store: StoreState { waiting: 7, ..StoreState::default() },
            set_aside: vec!["slow".to_owned()],
            due: vec![("chat".to_owned(), Duration::from_secs(61))],
            pool: PoolState { max: 64, in_use: 3, waiting: 0 },
        });
        for line in [
            "hookwright_events_accepted_total 1",
            "hookwright_deliveries_owed_total 2",
            "hookwright_attempts_total{webhook=\"chat\",outcome=\"delivered\"} 1",
            "hookwright_attempt_stage_seconds_count{stage=\"send\"} 1",
            "hookwright_deliveries_waiting 7",
            "hookwright_webhook_oldest_due_seconds{webhook=\"chat\"} 61",
            "hookwright_plugin_instances_in_use 3",
            "hookwright_plugin_set_aside{plugin=\"slow\"} 1",
            "# EOF",
        ] {
            assert!(text.lines().any(|known| known == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("\"gone\"") && !text.contains("\"bind\""), "{text}");
    }
}
