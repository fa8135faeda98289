//! Named defaults and rules, one data file each: what tells one vendor's webhooks from another's is here, not in the engine.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{problem::Problem, retry::Retry, signature::SigningScheme};

/// A profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Signing scheme of a webhook that names secrets but no scheme.
    pub signing: SigningScheme,
    /// Milliseconds for one attempt, from connecting to the last byte of the answer.
    pub timeout_ms: Range,
    /// Bytes of an answer.
    pub response_bytes_max: Range,
    /// When a failed delivery is tried again.
    pub retry: Retry,
    /// Which failures are tried again.
    pub retry_on: RetryOn,
    /// When a webhook that keeps failing is switched off.
    #[serde(default)]
    pub deactivation: Option<Deactivation>,
    /// Whether a 410 answer switches a webhook off at once (Standard Webhooks, CloudEvents Web Hooks: the endpoint is gone for good).
    #[serde(default)]
    pub ends_when_gone: bool,
    /// The plugin that builds the request of a webhook that names none.
    #[serde(default)]
    pub transform: Option<String>,
}

/// A default and what may be written instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// What holds when nothing is written.
    pub default: u64,
    /// The least that may be written.
    pub min: u64,
    /// The most that may be written.
    pub max: u64,
}

impl Range {
    /// Whether `value` may be written.
    pub fn contains(&self, value: u64) -> bool {
        (self.min..=self.max).contains(&value)
    }
}

/// Which failures are tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RetryOn {
    /// Whatever may pass: no connection, no answer, any status but 2xx.
    Any,
    /// No connection or no answer in time, never a status (Dialogflow CX: "non-fatal errors such as timeout or connection errors").
    NoAnswer,
}

/// When a webhook that keeps failing is switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Deactivation {
    /// So many failed payloads within so many days (ArcGIS's `deactivationPolicy`).
    Failures(FailuresWithin),
    /// So long without one success (Standard Webhooks).
    Unbroken(UnbrokenFor),
}

impl Deactivation {
    /// What is wrong with it, pointers relative to `deactivation`.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut check = |pointer: &str, value: u32, max: u32, unit: &str| {
            if !(1..=max).contains(&value) {
                problems.push(Problem::new(pointer, format!("{value} is out of range: 1 to {max} {unit}")));
            }
        };
        match self {
            Self::Failures(FailuresWithin { failures, days }) => {
                check("/failures", *failures, FAILURES_MAX, "failed payloads");
                check("/days", *days, DAYS_MAX, "days");
            }
            Self::Unbroken(UnbrokenFor { unbroken_hours }) => check("/unbroken_hours", *unbroken_hours, DAYS_MAX * 24, "hours"),
        }
        problems
    }
}

/// The most failures a deactivation rule may count.
const FAILURES_MAX: u32 = 1000;
/// The most days it may look back.
const DAYS_MAX: u32 = 365;

/// So many failed payloads within so many days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FailuresWithin {
    /// Payloads whose tries were all used up.
    pub failures: u32,
    /// Days, each 24 hours, counted back from the last.
    pub days: u32,
}

/// So long without one success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UnbrokenFor {
    /// Hours.
    pub unbroken_hours: u32,
}

/// The profile of a webhook that names none.
pub const DEFAULT_PROFILE: &str = "standard";

const FILES: &[&str] = &[
    include_str!("../../profiles/standard.toml"),
    include_str!("../../profiles/arcgis-organization.toml"),
    include_str!("../../profiles/arcgis-geoprocessing.toml"),
    include_str!("../../profiles/arcgis-feature.toml"),
    include_str!("../../profiles/dialogflow-standard.toml"),
    include_str!("../../profiles/dialogflow-flexible.toml"),
    include_str!("../../profiles/divalto.toml"),
];

static BUILT_IN: LazyLock<BTreeMap<String, Profile>> = LazyLock::new(|| {
    // The files are part of the binary and a test reads each: one that does not parse cannot be released.
    FILES.iter().filter_map(|text| toml::from_str::<Profile>(text).ok()).map(|profile| (profile.name.clone(), profile)).collect()
});

/// The profiles, by name.
pub fn built_in() -> &'static BTreeMap<String, Profile> {
    &BUILT_IN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_file_parses_and_keeps_its_own_ranges() {
        for text in FILES {
            let profile: Profile = toml::from_str(text).expect(text);
            assert!(profile.timeout_ms.contains(profile.timeout_ms.default), "{}", profile.name);
            assert!(profile.response_bytes_max.contains(profile.response_bytes_max.default), "{}", profile.name);
            assert!(profile.retry.problems().is_empty(), "{}", profile.name);
        }
        assert_eq!(built_in().len(), FILES.len());
        assert!(built_in().contains_key(DEFAULT_PROFILE));
    }
}
