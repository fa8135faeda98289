//! What bounds a plugin: one table of names, units, ranges and what a breach is called.
//!
//! A plugin has the host's defaults unless an admin sets its own, within the host's maxima. All values are whole numbers; the unit is
//! part of the name or stands beside it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::{outcome::FailureKind, problem::Problem};

macro_rules! limits {
    ($($(#[doc = $doc:literal])* $variant:ident $name:ident: $least:literal, $default:expr, $most:expr, $unit:literal, $kind:ident, $breach:literal;)*) => {
        /// A limit, by its name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Limit {
            $($(#[doc = $doc])* $variant,)*
        }

        /// The limits of one plugin as they hold, or the host's defaults or maxima.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        pub struct PluginLimits {
            $($(#[doc = $doc])* pub $name: u64,)*
        }

        /// Limits an admin sets for one plugin. What is left out is the host's default.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct PluginLimitsSpec {
            $($(#[doc = $doc])* #[serde(default, skip_serializing_if = "Option::is_none")] pub $name: Option<u64>,)*
        }

        impl Limit {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name in the API, in messages and in the configuration file.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($name),)* }
            }

            /// What it counts.
            pub fn unit(self) -> &'static str {
                match self { $(Self::$variant => $unit,)* }
            }

            /// What it bounds, in a sentence.
            pub fn about(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),*).trim_start(),)* }
            }

            /// The least it can be set to.
            pub fn least(self) -> u64 {
                match self { $(Self::$variant => $least,)* }
            }

            /// What a call that breaches it fails as.
            pub fn failure(self) -> FailureKind {
                match self { $(Self::$variant => FailureKind::$kind,)* }
            }

            /// What the plugin did, in words; `value` is what was allowed.
            pub fn breach(self, value: u64) -> String {
                match self { $(Self::$variant => $breach,)* }.replace('#', &value.to_string())
            }
        }

        impl PluginLimits {
            /// The host's defaults, unless its configuration says otherwise.
            pub const DEFAULT: Self = Self { $($name: $default,)* };
            /// The host's maxima, unless its configuration says otherwise.
            pub const MAXIMUM: Self = Self { $($name: $most,)* };

            /// None.
            pub const ENDLESS: Self = Self { $($name: u64::MAX,)* };

            /// One of them.
            pub fn get(&self, limit: Limit) -> u64 {
                match limit { $(Limit::$variant => self.$name,)* }
            }

            /// These, with what `spec` sets in their place.
            #[must_use]
            pub fn with(self, spec: &PluginLimitsSpec) -> Self {
                Self { $($name: spec.$name.unwrap_or(self.$name),)* }
            }

            /// None of them above `maxima`.
            #[must_use]
            pub fn within(self, maxima: &Self) -> Self {
                Self { $($name: self.$name.min(maxima.$name),)* }
            }
        }

        impl PluginLimitsSpec {
            /// What is set for one limit.
            pub fn get(&self, limit: Limit) -> Option<u64> {
                match limit { $(Limit::$variant => self.$name,)* }
            }

            /// Sets one limit.
            pub fn set(&mut self, limit: Limit, value: u64) {
                match limit { $(Limit::$variant => self.$name = Some(value),)* }
            }
        }
    };
}

limits! {
    /// Processor time of one call.
    CpuMs cpu_ms: 1, 1_000, 60_000, "milliseconds", PluginCpu, "used more than # ms of processor time";
    /// Wall time of one call, without the time its invocations take. A receiver has a timeout of its own too.
    WallMs wall_ms: 1, 2_000, 60_000, "milliseconds", PluginDeadline, "ran longer than # ms";
    /// Wall time one call may wait for the webhooks it invokes.
    InvokeMs invoke_ms: 1, 60_000, 60_000, "milliseconds", PluginDeadline, "waited longer than # ms for the webhooks it invoked";
    /// Linear memory of one call, all its memories together.
    MemoryBytes memory_bytes: 65_536, 64 * 1024 * 1024, 256 * 1024 * 1024, "bytes", PluginMemory, "asked for more than # bytes of memory";
    /// Elements of one table: function pointers and references.
    TableElements table_elements: 1, 20_000, 100_000, "elements", PluginTable, "asked for a table of more than # elements";
    /// Core instances of the component; a module that became a component with the WASI adapter has four.
    CoreInstances core_instances: 1, 16, 16, "instances", PluginInstances, "consists of more than # core instances";
    /// Resources of the host (streams, pollables, open files) one call holds at once.
    Handles handles: 16, 1_024, 10_000, "handles", PluginHandles, "held more than # resources of the host at once";
    /// Bytes one call returns, and separately bytes of the events, parameters and state it changes.
    OutputBytes output_bytes: 1, 1024 * 1024, 16 * 1024 * 1024, "bytes", PluginOutputTooLarge, "returned or changed more than # bytes";
    /// Bytes of log kept of one call. Lines beyond it are counted, not kept; the call goes on.
    LogBytes log_bytes: 0, 16 * 1024, 1024 * 1024, "bytes", PluginOutputTooLarge, "wrote more than # bytes of log";
    /// Calls of the host in one call, of every interface.
    HostCalls host_calls: 1, 200_000, 10_000_000, "calls", PluginHostCalls, "called the host more than # times";
    /// Webhooks one call invokes.
    Invocations invocations: 0, 16, 100, "webhooks", PluginInvocations, "wanted to invoke more than # webhooks";
    /// Events one call emits.
    Emissions emissions: 0, 100, 1_000, "events", PluginEmissions, "wanted to emit more than # events";
    /// Keys the plugin keeps in its state.
    StateKeys state_keys: 0, 10_000, 1_000_000, "keys", PluginStateFull, "would keep more than # keys of state";
    /// Bytes of keys and values the plugin keeps in its state.
    StateBytes state_bytes: 0, 16 * 1024 * 1024, 256 * 1024 * 1024, "bytes", PluginStateFull, "would keep more than # bytes of state";
    /// Bytes of files in the directory it is granted; looked at before each call and every 20 ms during it.
    DirectoryBytes directory_bytes: 0, 64 * 1024 * 1024, 1024 * 1024 * 1024, "bytes", PluginDirectoryFull, "keeps more than # bytes in its directory; some must be removed";
    /// Files and directories in the directory it is granted.
    DirectoryFiles directory_files: 0, 10_000, 100_000, "files", PluginDirectoryFull, "keeps more than # files in its directory; some must be removed";
    /// Calls of its `receive` at once, and as many of its `transform` and `answers` together. At most the host's `plugin_instances_max`;
    /// the default is three eighths of those.
    Concurrency concurrency: 1, 24, 1_024, "calls", PluginBusy, "answers # calls already";
    /// Calls that may wait for one of these.
    Queue queue: 0, 512, 10_000, "calls", PluginBusy, "has # calls waiting already";
}

impl Default for PluginLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl PluginLimitsSpec {
    /// What is wrong with it, under the host's maxima.
    pub fn problems(&self, maxima: &PluginLimits) -> Vec<Problem> {
        let set = Limit::ALL.iter().filter_map(|limit| Some((*limit, self.get(*limit)?)));
        let wrong = set.filter(|(limit, value)| !(limit.least()..=maxima.get(*limit)).contains(value));
        let said = |(limit, value): (Limit, u64)| {
            let (least, most, unit) = (limit.least(), maxima.get(limit), limit.unit());
            Problem::new(format!("/{}", limit.name()), format!("{value} is out of range: {least} to {most} {unit} (the host's maximum)"))
        };
        wrong.map(said).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_lie_within_the_maxima_and_every_breach_names_its_value() {
        for limit in Limit::ALL {
            let (least, default, most) = (limit.least(), PluginLimits::DEFAULT.get(*limit), PluginLimits::MAXIMUM.get(*limit));
            assert!(least <= default && default <= most, "{limit:?}");
            assert!(limit.breach(4711).contains("4711"), "{limit:?}");
            assert!(limit.failure().is_plugins() && !limit.about().starts_with(' '), "{limit:?}");
        }
    }

    #[test]
    fn what_is_set_is_checked_against_the_maxima_and_the_rest_is_the_default() {
        let spec: PluginLimitsSpec = serde_json::from_str(r#"{"cpu_ms":0,"memory_bytes":1048576,"queue":99999}"#).expect("limits");
        let problems = spec.problems(&PluginLimits::MAXIMUM);
        assert_eq!(problems.iter().map(|problem| problem.pointer.as_str()).collect::<Vec<_>>(), ["/cpu_ms", "/queue"]);
        assert!(problems[0].detail.contains("1 to 60000 milliseconds"), "{}", problems[0].detail);
        let limits = PluginLimits::DEFAULT.with(&spec);
        assert_eq!((limits.memory_bytes, limits.wall_ms), (1 << 20, 2000));
        assert!(serde_json::from_str::<PluginLimitsSpec>(r#"{"memory":1}"#).is_err());
    }
}
