//! An event as it is posted.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// An event as it is posted.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EventInput {
    /// A path (`/items/abc123/share`) or a word (`user.created`).
    #[schema(example = "/items/abc123/share")]
    pub trigger: String,
    /// Any JSON. Data and attributes together have at most 256 KiB. For the ArcGIS families: `{"username","userId","properties":{...}}`.
    #[serde(default)]
    pub data: Value,
    /// The producer's identifier. Two events with the same `id` and `source` are repeats.
    #[serde(default)]
    pub id: Option<String>,
    /// The producer of the event.
    #[serde(default)]
    pub source: Option<String>,
    /// When it happened; absent: now.
    #[serde(default)]
    pub time: Option<Timestamp>,
    /// The session it belongs to.
    #[serde(default)]
    pub session: Option<String>,
    /// Merged into the session in the same commit; null removes a parameter.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub parameters: Map<String, Value>,
    /// The environment it happened in.
    #[serde(default)]
    pub environment: Option<String>,
    /// Further attributes. They count as data.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}
