//! What bounds the host: one table of names, units, defaults and bounds, of which the types and the settings are made, so that none can
//! be forgotten.

use std::time::Duration;

use super::{
    bounded::{Amount, DAY, GIB, KIB, MIB, Number, bounded},
    http::HttpSettings,
    otlp::OtlpLimits,
};
use crate::model::plugin::{
    limits::{PluginLimits, PluginLimitsSpec},
    rollback::RollbackRule,
};

bounded! {
    /// What bounds the host. Durations are [`Duration`], sizes bytes.
    #[derive(Clone, Debug)]
    Limits in "limits" {
        /// Events in one `POST /v1/events`.
        events_per_request_max as "events_per_request_max": usize = 500, "events", 1 to 10_000;
        /// Bytes of one event's data and attributes; also of the data, and of the context, of one invoke.
        event_bytes_max as "event_bytes_max": usize = 256 * KIB, "bytes", 1024 to 16 * MIB;
        /// Bytes of an API request's body.
        request_bytes_max as "request_bytes_max": usize = 4 * MIB, "bytes", 65_536 to 256 * MIB;
        /// Bytes of a plugin's upload.
        plugin_bytes_max as "plugin_bytes_max": usize = 16 * MIB, "bytes", 65_536 to 256 * MIB;
        /// Bytes of a script's upload.
        script_bytes_max as "script_bytes_max": usize = MIB, "bytes", 1024 to 16 * MIB;
        /// Processor time of reading one script when it is uploaded.
        script_parse_time_max as "script_parse_seconds_max": Duration = 1, "seconds", 1 to 60;
        /// Plugin instances alive at once.
        plugin_instances_max as "plugin_instances_max": u32 = 64, "instances", 2 to 1024;
        /// Calls waiting for a plugin instance.
        plugin_queue_max as "plugin_queue_max": usize = 1024, "calls", 0 to 100_000;
        /// Scripts kept with their top level evaluated, each 5 MB of memory and of disk; the others are evaluated at each call.
        script_snapshots_max as "script_snapshots_max": u32 = 32, "scripts", 0 to 10_000;
        /// Processes that compile plugins or read scripts at once; further uploads wait.
        compile_processes_max as "compile_processes_max": u32 = 2, "processes", 1 to 64;
        /// Bytes of one compiled plugin.
        compiled_bytes_max as "compiled_bytes_max": u64 = 128 * MIB, "bytes", 1_048_576 to 4 * GIB;
        /// Wall time of one compilation.
        compile_time_max as "compile_seconds_max": Duration = 60, "seconds", 1 to 3600;
        /// Memory of one compilation.
        compile_memory_bytes_max as "compile_memory_bytes_max": u64 = 2 * GIB, "bytes", 67_108_864 to 64 * GIB;
        /// How long sending a mail may take, from the connection to the server's last answer.
        mail_time_max as "mail_seconds_max": Duration = 20, "seconds", 1 to 600;
        /// How long a connection to an endpoint may take.
        connect_time_max as "connect_seconds_max": Duration = 10, "seconds", 1 to 300;
        /// Deliveries being sent at once.
        deliveries_in_flight_max as "deliveries_in_flight_max": usize = 512, "deliveries", 1 to 100_000;
        /// Deliveries in memory at once, being sent or next; the others wait in the store.
        deliveries_held_max as "deliveries_held_max": usize = 8192, "deliveries", 1 to 1_000_000;
        /// Bytes of events of the deliveries in memory.
        deliveries_held_bytes_max as "deliveries_held_bytes_max": usize = 64 * MIB, "bytes", 1_048_576 to 64 * GIB;
        /// Deliveries that may wait in the store before events and calls are answered 503.
        backlog_max as "backlog_max": u64 = 5_000_000, "deliveries", 1 to 1_000_000_000;
        /// How long the first delivery of an order may block the others.
        order_wait_max as "order_wait_seconds_max": Duration = 3600, "seconds", 1 to 30 * DAY;
        /// How long a claimed delivery stays claimed.
        lease as "lease_seconds": Duration = 120, "seconds", 10 to DAY;
        /// How long a session lives after its last use.
        session_life as "session_seconds": Duration = 30 * 60, "seconds", 1 to 365 * DAY;
        /// Bytes of the parameters of one session, names and values as JSON.
        session_bytes_max as "session_bytes_max": usize = 2 * MIB, "bytes", 1024 to 64 * MIB;
        /// Parameters of one session.
        session_parameters_max as "session_parameters_max": usize = 1000, "parameters", 1 to 100_000;
        /// How long an event's idempotency key is remembered.
        dedup_life as "dedup_seconds": Duration = DAY, "seconds", 1 to 365 * DAY;
        /// Webhooks one `invoke` chain may go through.
        invoke_depth_max as "invoke_depth_max": u8 = 4, "webhooks", 1 to 16;
        /// Free bytes on the disk of the data directory below which the host takes no event and no call. 0: not checked.
        disk_free_bytes_min as "disk_free_bytes_min": u64 = 256 * MIB, "bytes", 0 to 1024 * GIB;
        /// How long a stop waits for what is in flight.
        drain_time_max as "drain_seconds_max": Duration = 30, "seconds", 0 to 3600;
        /// Requests per minute of a token without a limit of its own; 0: no limit.
        token_requests_per_minute_max as "token_requests_per_minute_max": u32 = 0, "requests", 0 to 1_000_000;
        /// Rejected calls of one receiver that are recorded per minute; more are only counted. 0: none are recorded.
        rejected_calls_per_minute_max as "rejected_calls_per_minute_max": u32 = 30, "calls", 0 to 100_000;
        + /// What bounds clients and their connections.
        http: HttpSettings = HttpSettings::default();
        + /// What bounds the export of traces.
        otlp: OtlpLimits = OtlpLimits::default();
        + /// What is kept, and for how long.
        retention: Retention = Retention::default();
        + /// What bounds a plugin for which no admin set something else. The units are in the names.
        plugin_defaults: PluginLimits = PluginLimits::DEFAULT;
        + /// What an admin may set for one plugin at most.
        plugin_maxima: PluginLimits = PluginLimits::MAXIMUM;
        + /// When a new version is rolled back by itself, unless the plugin has a rule of its own.
        plugin_rollback: RollbackRule = RollbackRule::default();
    }
}

bounded! {
    /// What is kept of what is over, and for how long. What is still on its way is never removed.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    Retention in "retention" {
        /// How long events are kept, with their finished deliveries and attempts.
        events as "events_days": Duration = 30, "days", 0 to 36_500;
        /// How long calls are kept.
        calls as "calls_days": Duration = 30, "days", 0 to 36_500;
        /// Maximum number of events, and of calls.
        count_max as "count_max": u64 = 10_000_000, "records", 1 to 1_000_000_000;
        /// How long entries of the audit log are kept.
        audit as "audit_days": Duration = 400, "days", 0 to 36_500;
        /// Maximum number of entries of the audit log.
        audit_count_max as "audit_count_max": u64 = 100_000, "entries", 1 to 1_000_000_000;
    }
}

/// Of the host's instances, those one plugin may have at once unless an admin says otherwise: three eighths for `receive` and as many for
/// the rest, so that a quarter is always there for the others.
const CONCURRENCY_SHARE: (u64, u64) = (3, 8);

impl Limits {
    /// The limits that hold for a plugin for which `spec` was set.
    pub fn of_plugin(&self, spec: &PluginLimitsSpec) -> PluginLimits {
        let mut limits = self.plugin_defaults.with(spec).within(&self.plugin_maxima);
        let instances = u64::from(self.plugin_instances_max);
        let (part, whole) = CONCURRENCY_SHARE;
        let share = if spec.concurrency.is_some() { instances } else { instances * part / whole };
        limits.concurrency = limits.concurrency.min(share).max(1);
        limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_lies_within_its_bounds_and_comes_back_as_it_was_set() {
        fn check<T: Default>(numbers: &[Number<T>]) {
            for number in numbers {
                let mut limits = T::default();
                let default = (number.get)(&limits);
                assert!((number.least..=number.most).contains(&default), "{}: {default}", number.key);
                for value in [number.least, number.most] {
                    (number.set)(&mut limits, value);
                    assert_eq!((number.get)(&limits), value, "{}", number.key);
                }
                assert!(number.about.ends_with(|end: char| end.is_alphanumeric() || end == '.'), "{}", number.key);
            }
        }
        check(Limits::NUMBERS);
        check(Retention::NUMBERS);
        check(HttpSettings::NUMBERS);
        check(OtlpLimits::NUMBERS);
    }
}
