//! Named defaults and rules, one data file each: what tells one vendor's webhooks from another's is here, not in the engine.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{problem::Problem, retry::Retry, service::ServiceRule, signature::SigningScheme};

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
    /// How many tries a webhook or the site may ask for, the first included; absent: 0 to 5.
    #[serde(default)]
    pub attempts: Option<Bounds>,
    /// When a webhook that keeps failing is switched off.
    #[serde(default)]
    pub deactivation: Option<Deactivation>,
    /// Seconds events gather for one delivery; absent: each goes alone unless the webhook says otherwise.
    #[serde(default)]
    pub batch_seconds: Option<Range>,
    /// Whether the URL is called when a webhook is written: nothing that answers refuses it. The call is a POST of `{}`.
    #[serde(default)]
    pub probe: bool,
    /// What a webhook's source must be like, where it is a service this host knows.
    #[serde(default)]
    pub service: Option<ServiceRule>,
    /// Whether a 410 answer switches a webhook off at once (Standard Webhooks, CloudEvents Web Hooks: the endpoint is gone for good).
    #[serde(default)]
    pub ends_when_gone: bool,
    /// The plugin that builds the request of a webhook that names none.
    #[serde(default)]
    pub transform: Option<String>,
    /// What makes a 2xx answer a success, for a webhook that has no `success` rule of its own.
    #[serde(default)]
    pub success: Option<String>,
}

impl Profile {
    /// This profile with the site-wide values of an earlier one of its name: the rest is the binary's, also after an upgrade.
    fn with_site_values(mut self, kept: Self) -> Self {
        for (range, kept) in [(&mut self.timeout_ms, kept.timeout_ms), (&mut self.response_bytes_max, kept.response_bytes_max)] {
            range.default = kept.default.clamp(range.min, range.max);
        }
        self.retry = kept.retry;
        self.deactivation = kept.deactivation;
        self
    }

    /// What is wrong with `retry` here, pointers relative to it.
    pub fn retry_problems(&self, retry: &Retry) -> Vec<Problem> {
        let mut problems = retry.problems();
        if let Some(Bounds { min, max }) = self.attempts
            && !(min..=max).contains(&u64::from(retry.attempts()))
            && problems.is_empty()
        {
            let made = retry.attempts();
            problems.push(Problem::new("/attempts", format!("{made} is out of range: {min} to {max} tries, the first included")));
        }
        problems
    }
}

/// A profile as it was kept, under the rules of this binary.
pub fn revived(kept: Profile) -> Profile {
    match built_in().get(&kept.name) {
        Some(built_in) => built_in.clone().with_site_values(kept),
        None => kept,
    }
}

/// What may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// The least.
    pub min: u64,
    /// The most.
    pub max: u64,
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
    /// A number of failed payloads within a number of days (ArcGIS's `deactivationPolicy`).
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

/// A number of failed payloads within a number of days.
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
            assert!(profile.retry_problems(&profile.retry).is_empty(), "{}", profile.name);
        }
        assert_eq!(built_in().len(), FILES.len());
        assert!(built_in().contains_key(DEFAULT_PROFILE));
    }

    #[test]
    fn a_kept_profile_keeps_its_values_and_gets_the_rules_of_this_binary() {
        let built_in = built_in()["arcgis-feature"].clone();
        let mut kept = Profile { probe: false, service: None, attempts: None, ..built_in.clone() };
        kept.timeout_ms = Range { default: 7_000, min: 0, max: 90_000 };
        let revived = revived(kept);
        assert_eq!(revived.timeout_ms, Range { default: 7_000, ..built_in.timeout_ms });
        assert!(revived.probe && revived.service == built_in.service && revived.attempts == built_in.attempts);
    }
}
