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

use self::moment::Gauges;
use crate::model::outcome::FailureKind;

mod moment;

pub use moment::{Moment, PoolState, StoreState, WEBHOOKS_MAX};

/// The outcome of an attempt that went well.
pub const DELIVERED: &str = "delivered";

/// The media type of [`Metrics::text`].
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Buckets of times: from 100 µs, doubling, to 52 s.
const TIME_BUCKETS: (f64, f64, u16) = (0.0001, 2.0, 20);
/// Buckets of the time a delivery takes, with all its attempts: from 1 ms, times four, to three days.
const DELIVERY_BUCKETS: (f64, f64, u16) = (0.001, 4.0, 15);
/// Buckets of commits that share a sync: from 1, doubling, to as many as may.
const COMMITS_BUCKETS: u16 = 11;

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
    calls_not_kept: Family<Receiver, Counter>,
    call_time: Family<Receiver, Histogram, fn() -> Histogram>,
    plugin_runs: Family<Ran, Counter>,
    plugin_time: Family<Plugin, Histogram, fn() -> Histogram>,
    plugins_set_aside: Family<Plugin, Counter>,
    plugin_rollbacks: Family<Plugin, Counter>,
    requests: Family<Answered, Counter>,
    compile_time: Family<Compiled, Histogram, fn() -> Histogram>,
    commit_time: Histogram,
    sync_time: Histogram,
    commits_per_sync: Histogram,
    connections: Gauge,
    closed: Family<Closed, Counter>,
    delivery_time: Histogram,
    gauges: Option<Gauges>,
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
struct Compiled {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Closed {
    reason: &'static str,
}

/// Why a connection was not served, or ended by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedFor {
    /// Its address has as many as it may.
    AddressFull,
    /// The system gave us none, mostly for want of descriptors.
    NotAccepted,
    /// It spoke no TLS, or none of ours.
    HandshakeFailed,
    /// Its handshake took too long.
    HandshakeSlow,
    /// It asked nothing in time.
    HeadSlow,
    /// It did nothing for too long.
    Idle,
}

impl ClosedFor {
    fn as_str(self) -> &'static str {
        match self {
            Self::AddressFull => "address_full",
            Self::NotAccepted => "not_accepted",
            Self::HandshakeFailed => "handshake_failed",
            Self::HandshakeSlow => "handshake_slow",
            Self::HeadSlow => "head_slow",
            Self::Idle => "idle",
        }
    }
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
            calls_not_kept: Family::default(),
            call_time: Family::new_with_constructor(times),
            plugin_runs: Family::default(),
            plugin_time: Family::new_with_constructor(times),
            plugins_set_aside: Family::default(),
            plugin_rollbacks: Family::default(),
            requests: Family::default(),
            compile_time: Family::new_with_constructor(times),
            commit_time: times(),
            sync_time: times(),
            commits_per_sync: Histogram::new(exponential_buckets(1.0, 2.0, COMMITS_BUCKETS)),
            connections: Gauge::default(),
            closed: Family::default(),
            delivery_time: Histogram::new(exponential_buckets(DELIVERY_BUCKETS.0, DELIVERY_BUCKETS.1, DELIVERY_BUCKETS.2)),
            gauges: None,
            registry: Registry::default(),
        };
        registry.register("events_accepted", "Events accepted, on disk and new", shared.events.clone());
        registry.register("events_repeated", "Events that had been accepted before", shared.duplicates.clone());
        registry.register("deliveries_owed", "Deliveries that accepted events owe", shared.matches.clone());
        registry.register("attempts", "Attempts at deliveries, by webhook and `delivered` or the kind of failure", shared.attempts.clone());
        registry.register_with_unit(
            "attempt_stage",
            "How long a stage of an attempt took: transform, build, send, bind, settle",
            Unit::Seconds,
            shared.stages.clone(),
        );
        registry.register("trace_spans_exported", "Spans the collector of traces took", shared.spans_exported.clone());
        let help = "Spans that were lost: `queue_full`, `not_taken` by the collector in time, `stopping`";
        registry.register("trace_spans_dropped", help, shared.spans_dropped.clone());
        registry.register("calls", "Calls of receivers, by `done` or the kind of failure", shared.calls.clone());
        let help = "Calls that were turned away and not recorded, because as many of the receiver were in that minute as may be";
        registry.register("calls_not_kept", help, shared.calls_not_kept.clone());
        registry.register_with_unit("call", "How long a receiver took to answer", Unit::Seconds, shared.call_time.clone());
        registry.register("plugin_runs", "Runs of plugins, by `ok` or the kind of failure", shared.plugin_runs.clone());
        registry.register_with_unit("plugin", "How long a run of a plugin took", Unit::Seconds, shared.plugin_time.clone());
        registry.register("plugin_set_asides", "Times a plugin kept failing and was set aside", shared.plugins_set_aside.clone());
        registry.register("plugin_rollbacks", "Times a plugin's new version failed and was rolled back", shared.plugin_rollbacks.clone());
        registry.register("api_answers", "Answers of the API and of codes, by status", shared.requests.clone());
        registry.register_with_unit(
            "plugin_compile",
            "How long compiling a plugin took, by `ok` or `failed`",
            Unit::Seconds,
            shared.compile_time.clone(),
        );
        let help = "How long a commit took, from the queue to the disk";
        registry.register_with_unit("store_commit", help, Unit::Seconds, shared.commit_time.clone());
        registry.register_with_unit("store_sync", "How long a write with its sync took", Unit::Seconds, shared.sync_time.clone());
        registry.register("store_commits_per_sync", "Commits that shared a sync", shared.commits_per_sync.clone());
        registry.register("connections", "Connections that are open", shared.connections.clone());
        let help = "Connections the host did not serve, or ended because a limit was reached, by reason";
        registry.register("connections_closed", help, shared.closed.clone());
        let help = "How long a delivery took from its acceptance until it was delivered";
        registry.register_with_unit("delivery", help, Unit::Seconds, shared.delivery_time.clone());
        shared.gauges = Some(Gauges::register(&mut registry));
        shared.registry = registry;
        Self { shared: Arc::new(shared) }
    }
}

impl Metrics {
    /// An event was accepted, with this number of deliveries.
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

    /// A stage of an attempt took this number of microseconds; 0: it was not reached.
    pub fn stage(&self, stage: &'static str, micros: u64) {
        if micros > 0 {
            self.shared.stages.get_or_create(&Stage { stage }).observe(seconds(micros));
        }
    }

    /// The collector took this number of spans.
    pub fn spans_exported(&self, number: u64) {
        self.shared.spans_exported.inc_by(number);
    }

    /// This number of spans was lost.
    pub fn spans_dropped(&self, loss: SpanLoss, number: u64) {
        self.shared.spans_dropped.get_or_create(&Lost { reason: loss.as_str() }).inc_by(number);
    }

    /// A receiver answered, `done` or with the kind of failure.
    pub fn call(&self, receiver: &str, outcome: &'static str, micros: u64) {
        self.shared.calls.get_or_create(&Called { receiver: receiver.to_owned(), outcome }).inc();
        self.shared.call_time.get_or_create(&Receiver { receiver: receiver.to_owned() }).observe(seconds(micros));
    }

    /// A call was turned away and is not recorded.
    pub fn call_not_kept(&self, receiver: &str) {
        self.shared.calls_not_kept.get_or_create(&Receiver { receiver: receiver.to_owned() }).inc();
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

    /// A compilation ended.
    pub fn compiled(&self, is_good: bool, took: Duration) {
        let outcome = if is_good { "ok" } else { "failed" };
        self.shared.compile_time.get_or_create(&Compiled { outcome }).observe(took.as_secs_f64());
    }

    /// A commit is durable, so long after it was asked for.
    pub fn committed(&self, took: Duration) {
        self.shared.commit_time.observe(took.as_secs_f64());
    }

    /// This number of commits was written and synced together.
    pub fn synced(&self, commits: usize, took: Duration) {
        self.shared.sync_time.observe(took.as_secs_f64());
        self.shared.commits_per_sync.observe(f64::from(u32::try_from(commits).unwrap_or(u32::MAX)));
    }

    /// A delivery was delivered, so long after its acceptance.
    pub fn delivered(&self, took: Duration) {
        self.shared.delivery_time.observe(took.as_secs_f64());
    }

    /// A connection is served until what is returned is dropped.
    pub fn connected(&self) -> Connected {
        self.shared.connections.inc();
        Connected(self.shared.connections.clone())
    }

    /// A connection was not served, or ended by us.
    pub fn closed(&self, why: ClosedFor) {
        self.shared.closed.get_or_create(&Closed { reason: why.as_str() }).inc();
    }

    /// Everything, with what is looked at now.
    pub fn text(&self, moment: Moment) -> String {
        if let Some(gauges) = &self.shared.gauges {
            gauges.show(moment);
        }
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = text::encode(&mut out, &self.shared.registry);
        out
    }
}

/// A connection that is counted.
pub struct Connected(Gauge);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
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
            ..Moment::default()
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
