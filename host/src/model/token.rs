//! Who may do what.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
pub enum Scope {
    /// Everything.
    #[serde(rename = "admin")]
    Admin,
    /// Looking.
    #[serde(rename = "read")]
    Read,
    /// Posting events.
    #[serde(rename = "events:write")]
    EventsWrite,
    /// Invoking webhooks.
    #[serde(rename = "invoke")]
    Invoke,
    /// Uploading and activating plugins.
    #[serde(rename = "plugins:write")]
    PluginsWrite,
    /// ArcGIS: organization webhooks.
    #[serde(rename = "webhooks:organization")]
    WebhooksOrganization,
    /// ArcGIS: geoprocessing-service webhooks.
    #[serde(rename = "webhooks:geoprocessing")]
    WebhooksGeoprocessing,
    /// ArcGIS: feature-service webhooks.
    #[serde(rename = "webhooks:feature")]
    WebhooksFeature,
    /// ArcGIS: publishing services.
    #[serde(rename = "publish:server")]
    PublishServer,
}

/// The most requests in a minute a token may be limited to.
pub const REQUESTS_PER_MINUTE_MAX: u32 = 600_000;
/// The longest time a token that was rotated goes on beside the new one, in seconds: 30 days.
pub const OVERLAP_SECONDS_MAX: u32 = 30 * 24 * 3600;

/// A set of scopes with the name of an ArcGIS role (ArcGIS Enterprise, "Create webhooks", prerequisites).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The default administrator: everything.
    Administrator,
    /// The default publisher: publishes services and manages the webhooks of services.
    Publisher,
}

impl Role {
    /// What it allows.
    pub fn scopes(self) -> Vec<Scope> {
        match self {
            Self::Administrator => vec![Scope::Admin],
            Self::Publisher => vec![Scope::WebhooksGeoprocessing, Scope::WebhooksFeature, Scope::PublishServer],
        }
    }
}

/// A token as kept: its hash, never its text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// Hexadecimal SHA-256 of the text. The text is random, so that a plain hash is enough.
    pub hash: String,
    /// For people.
    pub name: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// Requests it may make in a minute; absent: as many as the host's default says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// The hash of the one that takes its place since it was rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<String>,
}

impl TokenRecord {
    /// What it is called where it is shown.
    pub fn id(&self) -> String {
        id(&self.hash)
    }

    /// The first half of the hash, for maps that only have to tell tokens apart.
    pub fn number(&self) -> u128 {
        self.hash.get(..32).and_then(|half| u128::from_str_radix(half, 16).ok()).unwrap_or_default()
    }

    /// Whether it allows what `scope` asks. `admin` allows everything.
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|held| *held == Scope::Admin || *held == scope)
    }
}

/// Hexadecimal digits of the hash that tell tokens apart.
const ID_CHARS: usize = 20;

/// What a token of this hash is called where it is shown: too little of the hash to find the token by.
pub fn id(hash: &str) -> String {
    format!("tok_{}", hash.get(..ID_CHARS).unwrap_or(hash))
}

/// The hash a token is found by.
pub fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}
