//! Where traces are sent: `[otlp]` of the configuration file.

use std::time::Duration;

use http::HeaderName;
use url::Url;

use super::bounded::{Amount, Number, bounded};
use crate::model::secret::{Secret, SecretRef};

/// A collector of traces that speaks OTLP over HTTP, and what it is told.
#[derive(Clone, Debug)]
pub struct Otlp {
    /// Where spans are posted.
    pub endpoint: Url,
    /// What is sent with them: who we are, mostly.
    pub headers: Vec<(HeaderName, HeaderSource)>,
    /// Certificate authorities in PEM to trust instead of the public ones.
    pub ca_certificates: Option<String>,
    /// What the host is called there.
    pub service_name: String,
    /// Of traces that begin here, the part that is recorded, 0 to 1. Of others their beginner decides.
    pub sample_ratio: f64,
}

/// Where the value of a header comes from.
#[derive(Clone, Debug)]
pub enum HeaderSource {
    /// The store, read for each export.
    Stored(SecretRef),
    /// A file, read at the start.
    Given(Secret),
}

bounded! {
    /// What bounds the export of traces.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    OtlpLimits in "otlp" {
        /// Spans that wait for the collector; more are dropped and counted.
        queue_max as "queue_max": usize = 8192, "spans", 1 to 1_000_000;
        /// How long one export may take, with its retries; then its spans are dropped and counted.
        export_time_max as "export_seconds_max": Duration = 10, "seconds", 1 to 300;
    }
}

/// What a header's file says: a header in each line, `name: value`.
pub(super) fn read_headers(text: &str) -> Result<Vec<(HeaderName, HeaderSource)>, String> {
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim())).filter(|(_, line)| !line.is_empty());
    // No part of a line is shown: there is a credential on it.
    let read = |(at, line): (usize, &str)| {
        let (name, value) = line.split_once(':')?;
        let value = value.trim();
        let is_value = http::HeaderValue::from_str(value).is_ok() && !value.is_empty();
        Some((at, name.trim().parse().ok()?, is_value.then(|| HeaderSource::Given(Secret::new(value)))?))
    };
    lines
        .map(|(at, line)| {
            let (_, name, value) = read((at, line)).ok_or_else(|| format!("line {at} is no header; it must be `name: value`"))?;
            Ok((name, value))
        })
        .collect()
}
