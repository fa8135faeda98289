//! Standard Webhooks 1.0.0 for endpoints of tests, written from the specification and independent of the host's code.

use base64::{Engine, prelude::BASE64_STANDARD};
use ed25519_dalek::{Signature, VerifyingKey};
use http::HeaderMap;
use sha2::{Digest, Sha256};

/// HMAC-SHA256 (RFC 2104), without a library.
pub fn hmac_sha256(key: &[u8], text: &[u8]) -> [u8; 32] {
    const BLOCK: usize = 64;
    let mut block = [0u8; BLOCK];
    match key.len() {
        0..=BLOCK => block[..key.len()].copy_from_slice(key),
        _ => block[..32].copy_from_slice(&Sha256::digest(key)),
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

/// The header `webhook-signature` that a sender with this secret (`whsec_...`) makes.
pub fn standard(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    let key = BASE64_STANDARD.decode(secret.strip_prefix("whsec_").unwrap_or(secret)).expect("a secret in Base64");
    format!("v1,{}", BASE64_STANDARD.encode(hmac_sha256(&key, &signed_text(id, timestamp, body))))
}

/// Checks that a delivery was signed with this secret: `whsec_...`, or `whpk_...` for an Ed25519 public key.
pub fn verify(secret: &str, headers: &HeaderMap, body: &[u8]) -> Result<(), String> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).ok_or_else(|| format!("`{name}` is missing"));
    let (id, timestamp, signatures) = (header("webhook-id")?, header("webhook-timestamp")?, header("webhook-signature")?);
    if timestamp.parse::<u64>().is_err() {
        return Err(format!("`webhook-timestamp` is no number of seconds: {timestamp}"));
    }
    let found = signatures.split(' ').any(|one| match secret.strip_prefix("whpk_") {
        None => one == standard(secret, id, timestamp, body),
        Some(key) => one.strip_prefix("v1a,").is_some_and(|signature| ed25519(key, signature, &signed_text(id, timestamp, body))),
    });
    if found { Ok(()) } else { Err(format!("none of the signatures is right: {signatures}")) }
}

fn signed_text(id: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
    [format!("{id}.{timestamp}.").as_bytes(), body].concat()
}

fn ed25519(key: &str, signature: &str, text: &[u8]) -> bool {
    let key = BASE64_STANDARD.decode(key).ok().and_then(|bytes| VerifyingKey::from_bytes(&bytes.try_into().ok()?).ok());
    let signature = BASE64_STANDARD.decode(signature).ok().and_then(|bytes| Signature::from_slice(&bytes).ok());
    key.zip(signature).is_some_and(|(key, signature)| key.verify_strict(text, &signature).is_ok())
}
