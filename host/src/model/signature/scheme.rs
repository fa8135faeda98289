//! The signatures themselves: bytes and a key in, the text of a header out.

use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::Signer;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::key::{BadKey, parse_standard_key};
use crate::model::secret::Secret;

/// HMAC-SHA256 over the parts, one after the other, not finished yet: [`Mac::verify_slice`] compares in constant time.
#[expect(clippy::expect_used, reason = "HMAC takes keys of every length (RFC 2104), so the constructor cannot fail")]
pub(super) fn mac(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    for part in parts {
        mac.update(part);
    }
    mac
}

pub(super) fn digest(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    mac(key, parts).finalize().into_bytes().into()
}

/// `webhook-signature` of Standard Webhooks 1.0.0 with symmetric keys: `v1,` and Base64, once for each secret, with spaces between.
pub fn standard_webhooks(id: &str, timestamp_s: i64, body: &[u8], secrets: &[Secret]) -> Result<String, BadKey> {
    let head = format!("{id}.{timestamp_s}.");
    each(secrets, |secret| {
        let key = parse_standard_key(secret)?;
        Ok(format!("v1,{}", STANDARD.encode(digest(key.symmetric()?, &[head.as_bytes(), body]))))
    })
}

/// `webhook-signature` of Standard Webhooks 1.0.0 with Ed25519: `v1a,` and Base64, once for each secret, with spaces between.
pub fn standard_webhooks_ed25519(id: &str, timestamp_s: i64, body: &[u8], secrets: &[Secret]) -> Result<String, BadKey> {
    let text = [format!("{id}.{timestamp_s}.").as_bytes(), body].concat();
    each(secrets, |secret| {
        let key = parse_standard_key(secret)?;
        Ok(format!("v1a,{}", STANDARD.encode(key.signing()?.sign(&text).to_bytes())))
    })
}

fn each(secrets: &[Secret], signature: impl Fn(&Secret) -> Result<String, BadKey>) -> Result<String, BadKey> {
    Ok(secrets.iter().map(signature).collect::<Result<Vec<_>, _>>()?.join(" "))
}

/// The hexadecimal digits of GitHub's `X-Hub-Signature-256`, without the `sha256=` in front
/// (GitHub Docs, "Validating webhook deliveries").
pub fn github(body: &[u8], secret: &Secret) -> String {
    hex::encode(digest(secret.expose(), &[body]))
}

/// `Stripe-Signature` (Stripe Docs, "Verify webhook signatures manually"). The key is the whole secret, `whsec_` included.
pub fn stripe(timestamp_s: i64, body: &[u8], secret: &Secret) -> String {
    let head = format!("{timestamp_s}.");
    format!("t={timestamp_s},v1={}", hex::encode(digest(secret.expose(), &[head.as_bytes(), body])))
}

/// `X-Slack-Signature` (Slack Docs, "Verifying requests from Slack"); `X-Slack-Request-Timestamp` carries the time.
pub fn slack(timestamp_s: i64, body: &[u8], secret: &Secret) -> String {
    let head = format!("v0:{timestamp_s}:");
    format!("v0={}", hex::encode(digest(secret.expose(), &[head.as_bytes(), body])))
}

/// `X-Shopify-Hmac-Sha256`: Base64 of the HMAC over the raw body (Shopify Docs, "Verify webhook deliveries").
pub fn shopify(body: &[u8], secret: &Secret) -> String {
    STANDARD.encode(digest(secret.expose(), &[body]))
}
