//! What is looked at, not counted, when somebody asks: how store, plugins and webhooks stand at one moment.

use std::{hash::Hash, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

/// Webhooks that are named in what is said of each: those with the most to worry about.
pub const WEBHOOKS_MAX: usize = 100;

/// How everything stands.
#[derive(Clone, Debug, Default)]
pub struct Moment {
    /// The store.
    pub store: StoreState,
    /// Plugins that are set aside.
    pub set_aside: Vec<String>,
    /// Of active plugins that were called, the most linear memory one call had, in bytes.
    pub plugin_memory: Vec<(String, u64)>,
    /// Of webhooks with a delivery that is due, for how long the oldest has been; at most [`WEBHOOKS_MAX`].
    pub due: Vec<(String, Duration)>,
    /// Of webhooks for which deliveries wait, how many; at most [`WEBHOOKS_MAX`], those with the most.
    pub waiting: Vec<(String, u64)>,
    /// Of webhooks with deliveries in memory, how many are being sent or next; at most [`WEBHOOKS_MAX`], those with the most.
    pub held: Vec<(String, u64)>,
    /// The instances of plugins.
    pub pool: PoolState,
    /// Bytes of requests' bodies that are held, and requests that wait for room for theirs.
    pub bodies: (u64, usize),
    /// Bytes of the process's memory that are resident, if the system says so.
    pub resident_bytes: u64,
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

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfPlugin {
    plugin: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfWebhook {
    webhook: String,
}

/// One number of a moment.
struct Number {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    read: Read,
}

/// How a number is read off a moment.
type Read = fn(&Moment) -> u64;

fn numbers() -> Vec<Number> {
    fn whole(number: usize) -> u64 {
        u64::try_from(number).unwrap_or(u64::MAX)
    }
    let number = |name, help, unit, read| Number { name, help, unit, read };
    vec![
        number("deliveries_waiting", "Deliveries that wait, for a time or for their turn", None, |now| now.store.waiting),
        number("deliveries_sending", "Deliveries being sent", None, |now| now.store.leases),
        number("deliveries_oldest_due", "For how long the delivery that is due longest has been due", Some(Unit::Seconds), |now| {
            now.store.oldest_due.as_secs()
        }),
        number("plugin_instances_max", "Plugin instances there may be", None, |now| whole(now.pool.max)),
        number("plugin_instances_in_use", "Plugin instances that are called", None, |now| whole(now.pool.in_use)),
        number("plugin_calls_waiting", "Calls that wait for a plugin instance", None, |now| whole(now.pool.waiting)),
        number("store_disk", "The store's file", Some(Unit::Bytes), |now| now.store.bytes),
        number("store_live", "Keys and values in the store, about", Some(Unit::Bytes), |now| now.store.live_bytes),
        number("store_commits", "Commits since the start", None, |now| now.store.commits),
        number("store_syncs", "Times the disk was synced since the start", None, |now| now.store.syncs),
        number("store_compactions", "Times the store was compacted since the start", None, |now| now.store.compactions),
        number("store_commits_waiting", "Commits that wait to be written", None, |now| now.store.commits_waiting),
        number("store_failed", "1: a write failed and nothing is taken any more", None, |now| u64::from(now.store.failed)),
        number("request_bodies", "Requests' bodies that are held until their answer", Some(Unit::Bytes), |now| now.bodies.0),
        number("request_bodies_waiting", "Requests that wait for room for their body", None, |now| whole(now.bodies.1)),
        number("resident", "Memory of the process that is resident", Some(Unit::Bytes), |now| now.resident_bytes),
    ]
}

/// Where a moment is shown.
pub(super) struct Gauges {
    numbers: Vec<(Gauge, Read)>,
    set_aside: Family<OfPlugin, Gauge>,
    plugin_memory: Family<OfPlugin, Gauge>,
    due: Family<OfWebhook, Gauge>,
    waiting: Family<OfWebhook, Gauge>,
    held: Family<OfWebhook, Gauge>,
}

impl Gauges {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let numbers = numbers().into_iter().map(|Number { name, help, unit, read }| {
            let gauge = Gauge::default();
            match unit {
                Some(unit) => registry.register_with_unit(name, help, unit, gauge.clone()),
                None => registry.register(name, help, gauge.clone()),
            }
            (gauge, read)
        });
        let gauges = Self {
            numbers: numbers.collect(),
            set_aside: Family::default(),
            plugin_memory: Family::default(),
            due: Family::default(),
            waiting: Family::default(),
            held: Family::default(),
        };
        registry.register("plugin_set_aside", "1: the plugin's active version is set aside now", gauges.set_aside.clone());
        let help = "The most linear memory a call of the plugin's active version had, since it was activated or changed";
        registry.register_with_unit("plugin_memory_most", help, Unit::Bytes, gauges.plugin_memory.clone());
        let help = "For how long a webhook's delivery that is due longest has been due; of the hundred that have been so longest";
        registry.register_with_unit("webhook_oldest_due", help, Unit::Seconds, gauges.due.clone());
        let help = "Deliveries of a webhook that wait in the store; of the hundred with the most";
        registry.register("webhook_deliveries_waiting", help, gauges.waiting.clone());
        let help = "Deliveries of a webhook that are in memory, being sent or next; of the hundred with the most";
        registry.register("webhook_deliveries_held", help, gauges.held.clone());
        gauges
    }

    pub(super) fn show(&self, moment: Moment) {
        for (gauge, read) in &self.numbers {
            gauge.set(shown(read(&moment)));
        }
        let Moment { set_aside, plugin_memory, due, waiting, held, .. } = moment;
        let of_plugin = |(plugin, value)| (OfPlugin { plugin }, value);
        let of_webhook = |(webhook, value)| (OfWebhook { webhook }, value);
        show_each(&self.set_aside, set_aside.into_iter().map(|plugin| (plugin, 1)).map(of_plugin));
        show_each(&self.plugin_memory, plugin_memory.into_iter().map(of_plugin));
        let due = due.into_iter().map(|(webhook, since)| (webhook, since.as_secs()));
        show_each(&self.due, due.take(WEBHOOKS_MAX).map(of_webhook));
        show_each(&self.waiting, waiting.into_iter().take(WEBHOOKS_MAX).map(of_webhook));
        show_each(&self.held, held.into_iter().take(WEBHOOKS_MAX).map(of_webhook));
    }
}

/// Shows a value of each that is named, and of no other.
fn show_each<L: Clone + Eq + Hash>(family: &Family<L, Gauge>, values: impl IntoIterator<Item = (L, u64)>) {
    family.clear();
    for (label, value) in values {
        family.get_or_create(&label).set(shown(value));
    }
}

fn shown(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
