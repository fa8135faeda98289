//! Handshakes: how a sender finds out, before it sends anything, that an address is meant for it.
//!
//! They are answered by the host, without running anything: what they ask for is known, and a key never gets to a plugin.

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use subtle::ConstantTimeEq;
use utoipa::ToSchema;

use super::{esri::esri_service, rule::VerifyScheme};
use crate::model::secret::Secret;

/// Bytes a challenge may have that is given back, and forgotten.
pub const CHALLENGE_BYTES_MAX: usize = 1024;
/// Bytes a `crc_token` may have.
pub const CRC_TOKEN_BYTES_MAX: usize = 256;

/// How a sender asks whether the address is meant for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Challenge {
    /// It does not ask; or the plugin answers, with `full_reply`.
    None,
    /// A GET with `crc_token`, answered `{"response_token": "sha256=..."}` in Base64 (Esri's sample receivers; X Developer Platform,
    /// "Challenge-Response Checks").
    CrcToken,
    /// A signed POST of `{"type": "url_verification", "challenge": "..."}`, answered with the challenge (Slack Docs,
    /// "url_verification event").
    UrlVerification,
    /// A GET with `hub.mode=subscribe`, `hub.verify_token` and `hub.challenge`, answered with the challenge if the token is the one in
    /// `challenge_token` (Meta for Developers, "Verification Requests").
    Hub,
}

impl Challenge {
    /// What the senders of a scheme ask.
    pub fn of(scheme: VerifyScheme) -> Self {
        match scheme {
            VerifyScheme::EsriService => Self::CrcToken,
            VerifyScheme::Slack => Self::UrlVerification,
            VerifyScheme::Meta => Self::Hub,
            _ => Self::None,
        }
    }

    /// What a request asks, if it asks at all.
    pub fn asked<'a>(self, method: &Method, query: &'a [(String, String)], body: &[u8]) -> Option<Asked<'a>> {
        let value = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let short = |text: &&str| text.len() <= CHALLENGE_BYTES_MAX;
        match self {
            Self::CrcToken if method == Method::GET => {
                value("crc_token").map(|token| if is_crc_token(token.as_bytes()) { Asked::Sign(token) } else { Asked::Unsignable })
            }
            Self::Hub if method == Method::GET && value("hub.mode") == Some("subscribe") => {
                let challenge = value("hub.challenge").filter(short)?;
                Some(Asked::Echo { challenge, token: value("hub.verify_token").unwrap_or_default() })
            }
            // Signed like any other call, so it is verified first.
            Self::UrlVerification if method == Method::POST && body.len() <= 2 * CHALLENGE_BYTES_MAX => {
                let document: Value = serde_json::from_slice(body).ok()?;
                let is_one = document.get("type").and_then(Value::as_str) == Some("url_verification");
                let challenge = document.get("challenge").and_then(Value::as_str).filter(|_| is_one)?;
                short(&challenge).then(|| Asked::EchoSigned(challenge.to_owned()))
            }
            _ => None,
        }
    }
}

/// What a request asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// The signature of this.
    Sign(&'a str),
    /// The signature of what might be a body, which nobody gets.
    Unsignable,
    /// This back, if the token is right.
    Echo {
        /// What is given back.
        challenge: &'a str,
        /// Who asks.
        token: &'a str,
    },
    /// This back, if the signature is right.
    EchoSigned(String),
}

/// Whether the host signs these bytes for anybody who asks with `crc_token`: one short word, which is neither JSON of any use, nor a form,
/// nor a body behind its time. [`verify`](super::verify()) believes no signature over such a word under a key that answers challenges, so
/// that what is signed for strangers and what is believed of them have nothing in common.
pub fn is_crc_token(bytes: &[u8]) -> bool {
    (1..=CRC_TOKEN_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/=_-".contains(byte))
}

/// The answer to a challenge to sign: the signature of its token, if it is one.
pub fn signed(token: &str, key: &Secret) -> Option<String> {
    is_crc_token(token.as_bytes()).then(|| esri_service(token.as_bytes(), key))
}

/// Whether a token is the one that was agreed on; in constant time.
pub fn is_token(given: &str, agreed: &Secret) -> bool {
    !agreed.expose().is_empty() && given.as_bytes().ct_eq(agreed.expose()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn each_handshake_is_told_by_its_own_request_alone() {
        let hub = query(&[("hub.mode", "subscribe"), ("hub.challenge", "1158201444"), ("hub.verify_token", "meatyhamhock")]);
        let asked = Challenge::Hub.asked(&Method::GET, &hub, b"");
        assert_eq!(asked, Some(Asked::Echo { challenge: "1158201444", token: "meatyhamhock" }));
        assert_eq!(Challenge::Hub.asked(&Method::POST, &hub, b""), None);
        assert_eq!(Challenge::CrcToken.asked(&Method::GET, &hub, b""), None);
        let slack = br#"{"token":"Jhj5dZrVaK7ZwHHjRyZWjbDl","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}"#;
        let asked = Challenge::UrlVerification.asked(&Method::POST, &[], slack);
        assert_eq!(asked, Some(Asked::EchoSigned("3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P".into())));
        assert_eq!(Challenge::UrlVerification.asked(&Method::POST, &[], br#"{"type":"event_callback","challenge":"x"}"#), None);
        let crc = |token: &str| {
            Challenge::CrcToken.asked(&Method::GET, &query(&[("crc_token", token)]), b"").map(|asked| asked == Asked::Unsignable)
        };
        assert_eq!(crc(&"x".repeat(CRC_TOKEN_BYTES_MAX)), Some(false));
        assert_eq!(crc("9Zr_-+/=="), Some(false));
        for body in [
            "",
            &"x".repeat(CRC_TOKEN_BYTES_MAX + 1),
            r#"{"a":1}"#,
            "[1]",
            "1700000000.x",
            "v0:1:x",
            "payload=x&a=b",
            "a b",
            "a\n",
            "é",
            "\"x\"",
        ] {
            assert_eq!(crc(body), Some(true), "{body}");
            assert_eq!(signed(body, &Secret::new(b"k".to_vec())), None, "{body}");
        }
        assert_eq!(Challenge::None.asked(&Method::GET, &hub, slack), None);
    }

    #[test]
    fn an_empty_token_is_nobodys() {
        assert!(is_token("a", &Secret::new(b"a".to_vec())));
        assert!(!is_token("b", &Secret::new(b"a".to_vec())) && !is_token("", &Secret::new(Vec::new())));
    }
}
