//! Standard Webhooks 1.0.0, written from the specification as an endpoint's author would, without the host's own code.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::Arrived;
use crate::clock::random;

/// Seconds by which a signature's time may differ from now.
const TOLERANCE_S: u64 = 300;

/// A key that sender and endpoint share.
#[derive(Clone)]
pub struct Key([u8; 32]);

impl Key {
    pub fn generate() -> Self {
        Self(random())
    }

    /// The key in the form that the sender is given: `whsec_...`.
    pub fn text(&self) -> String {
        format!("whsec_{}", BASE64_STANDARD.encode(self.0))
    }

    /// Verifies a request and returns its identifier. `Err` says what is wrong.
    pub fn verify(&self, arrived: &Arrived) -> Result<String, String> {
        let header = |name: &str| arrived.header(name).ok_or_else(|| format!("the header {name} is missing"));
        let (id, timestamp, signatures) = (header("webhook-id")?, header("webhook-timestamp")?, header("webhook-signature")?);
        let signed_at: u64 = timestamp.parse().map_err(|_| "webhook-timestamp is no number of seconds".to_owned())?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if now.abs_diff(signed_at) > TOLERANCE_S {
            return Err(format!("it was signed {} seconds away from now", now.abs_diff(signed_at)));
        }
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).map_err(|error| error.to_string())?;
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", &arrived.body] {
            mac.update(part);
        }
        let given = signatures.split(' ').filter_map(|one| BASE64_STANDARD.decode(one.strip_prefix("v1,")?).ok());
        let verified = given.into_iter().any(|given| mac.clone().verify_slice(&given).is_ok());
        if verified { Ok(id.to_owned()) } else { Err("no signature in webhook-signature fits".to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};

    use super::*;

    fn signed(key: &Key, signed_at: u64, body: &'static str) -> Arrived {
        let mut mac = Hmac::<Sha256>::new_from_slice(&key.0).expect("a key");
        mac.update(format!("dlv_1.{signed_at}.{body}").as_bytes());
        let signature = format!("v1a,AAAA v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()));
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", "dlv_1".parse().expect("a header"));
        headers.insert("webhook-timestamp", signed_at.into());
        headers.insert("webhook-signature", signature.parse().expect("a header"));
        Arrived { method: Method::POST, target: "/".to_owned(), headers, body: body.into() }
    }

    #[test]
    fn only_what_was_signed_just_now_and_arrived_whole_is_believed() {
        let key = Key::generate();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs();
        let good = signed(&key, now, "{}");
        assert_eq!(key.verify(&good), Ok("dlv_1".to_owned()));
        assert!(Key::generate().verify(&good).is_err());
        assert!(key.verify(&Arrived { body: "{} ".into(), ..good.clone() }).is_err());
        assert!(key.verify(&Arrived { headers: HeaderMap::new(), ..good }).is_err());
        assert!(key.verify(&signed(&key, now - 400, "{}")).is_err());
    }
}
