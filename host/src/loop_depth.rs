//! How deep a chain of calls to ourselves is: a webhook may call a receiver of this host, which emits an event, which fires a webhook.

use http::{HeaderMap, HeaderValue};
use url::Url;

use crate::services::Services;

/// How deep the chain of calls to ourselves is (decision: bounded-chains), with a keyed hash that only this host can make.
pub const DEPTH_HEADER: &str = "hookwright-depth";

/// Tells a call to ourselves how deep it is. Nothing is said to anybody else.
pub async fn carry_depth(services: &Services, url: &Url, depth: u8, headers: &mut HeaderMap) {
    if services.transport.is_own(url).await
        && let Ok(mut value) = HeaderValue::from_str(&depth_value(services, depth + 1))
    {
        value.set_sensitive(true);
        headers.insert(DEPTH_HEADER, value);
    }
}

/// The depth a call claims, if this host wrote it; 0 otherwise.
pub fn read_depth(services: &Services, headers: &HeaderMap) -> u8 {
    let Some(text) = headers.get(DEPTH_HEADER).and_then(|value| value.to_str().ok()) else { return 0 };
    let Some(depth) = text.split_once('.').and_then(|(depth, _)| depth.parse().ok()) else { return 0 };
    if subtle::ConstantTimeEq::ct_eq(depth_value(services, depth).as_bytes(), text.as_bytes()).into() { depth } else { 0 }
}

fn depth_value(services: &Services, depth: u8) -> String {
    format!("{depth}.{}", hex::encode(services.store.storage_key().keyed_hash("depth", &[depth])))
}
