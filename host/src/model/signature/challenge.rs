//! Handshakes: how a sender finds out, before it sends anything, that an address is meant for it.
//!
//! They are answered by the host, without running anything: what they ask for is known, and a key never gets to a plugin. What is not signed is
//! given back and does nothing else; what is signed for anybody is never what is believed.

use http::{HeaderMap, HeaderName, Method};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use subtle::ConstantTimeEq;
use utoipa::ToSchema;

use super::{esri::esri_service, rule::VerifyScheme, scheme::github};
use crate::model::secret::Secret;

/// Bytes a challenge may have that is given back, and forgotten.
pub const CHALLENGE_BYTES_MAX: usize = 1024;
/// Bytes of a body that may be a handshake.
pub const HANDSHAKE_BYTES_MAX: usize = 2 * CHALLENGE_BYTES_MAX;
/// Bytes a `crc_token` may have.
pub const CRC_TOKEN_BYTES_MAX: usize = 256;

/// How a sender asks whether the address is meant for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Challenge {
    /// It does not ask; or the plugin answers, with `full_reply`, what is verified like any other call.
    None,
    /// A GET with `crc_token`, answered `{"response_token": "sha256=..."}` in Base64 (Esri's sample receivers; X Developer Platform,
    /// "Challenge-Response Checks").
    CrcToken,
    /// A signed POST of `{"type": "url_verification", "challenge": "..."}`, answered with the challenge (Slack Docs,
    /// "url_verification event").
    UrlVerification,
    /// A signed POST of `{"event": "endpoint.url_validation", "payload": {"plainToken": "..."}}`, answered with the token and its signature
    /// (Zoom Developers, "Validate your webhook endpoint").
    UrlValidation,
    /// A GET with `hub.mode=subscribe`, `hub.verify_token` and `hub.challenge`, answered with the challenge if the token is the one in
    /// `challenge_token` (Meta for Developers, "Verification Requests").
    Hub,
    /// A POST with `validationToken` in its query, answered with it (Microsoft Graph, "Change notifications").
    ValidationToken,
    /// A request without a signature that has a challenge where `echo` says, answered with it. Without `echo`: a GET with `challenge` (Dropbox,
    /// "Webhooks"; Nylas; Adobe I/O).
    Echo,
}

/// A request that may ask: its head, and its body if that has been read.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its query, decoded.
    pub query: &'a [(String, String)],
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Empty while it is not read.
    pub body: &'a [u8],
}

impl<'a> Question<'a> {
    fn value(&self, name: &str) -> Option<&'a str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// GET, or HEAD, which is answered as GET is.
    fn is_get(&self) -> bool {
        matches!(*self.method, Method::GET | Method::HEAD)
    }

    /// The JSON of a POST that is short enough to be a handshake.
    fn document(&self) -> Option<Value> {
        let may_be_one = self.method == Method::POST && self.body.len() <= HANDSHAKE_BYTES_MAX;
        may_be_one.then(|| serde_json::from_slice(self.body).ok())?
    }
}

fn is_challenge(text: &&str) -> bool {
    (1..=CHALLENGE_BYTES_MAX).contains(&text.len())
}

impl Challenge {
    /// What the senders of a scheme ask.
    pub fn of(scheme: VerifyScheme) -> Self {
        match scheme {
            VerifyScheme::EsriService => Self::CrcToken,
            VerifyScheme::Slack => Self::UrlVerification,
            VerifyScheme::Meta => Self::Hub,
            // Senders no scheme knows, some of which ask.
            VerifyScheme::Hmac | VerifyScheme::PublicKey | VerifyScheme::Token => Self::Echo,
            _ => Self::None,
        }
    }

    /// Whether its answer is made with a key.
    pub fn needs_key(self) -> bool {
        matches!(self, Self::CrcToken | Self::UrlVerification | Self::UrlValidation)
    }

    /// Whether a request of this method may ask by its body.
    pub fn asks_by_body(self, method: &Method, echo: Option<&EchoRule>) -> bool {
        let is_by_body = match self {
            Self::UrlVerification | Self::UrlValidation => true,
            Self::Echo => echo.is_some_and(|rule| rule.body.is_some()),
            Self::None | Self::CrcToken | Self::Hub | Self::ValidationToken => false,
        };
        is_by_body && method == Method::POST
    }

    /// What a request asks, if it asks at all. `is_unsigned`: it brings nothing that is to prove who sends it.
    pub fn asked(self, question: &Question<'_>, echo: Option<&EchoRule>, is_unsigned: bool) -> Option<Asked> {
        match self {
            Self::CrcToken if question.is_get() => {
                let token = question.value("crc_token")?;
                Some(if is_crc_token(token.as_bytes()) { Asked::Sign(token.to_owned()) } else { Asked::Unsignable })
            }
            Self::Hub if question.is_get() && question.value("hub.mode") == Some("subscribe") => {
                let challenge = question.value("hub.challenge").filter(|text| text.len() <= CHALLENGE_BYTES_MAX)?;
                let token = question.value("hub.verify_token").unwrap_or_default();
                Some(Asked::EchoAgreed { challenge: challenge.to_owned(), token: token.to_owned() })
            }
            Self::ValidationToken if *question.method == Method::POST && is_unsigned => {
                question.value("validationToken").filter(is_challenge).map(|text| Asked::Echo { challenge: text.to_owned(), member: None })
            }
            Self::Echo if is_unsigned => {
                let challenge = echo.unwrap_or(&EchoRule::default()).challenge(question)?;
                Some(Asked::Echo { challenge, member: echo.and_then(|rule| rule.member.clone()) })
            }
            // Signed like any other call, so it is verified first.
            Self::UrlVerification => {
                let document = question.document()?;
                let is_one = document.get("type").and_then(Value::as_str) == Some("url_verification");
                let challenge = document.get("challenge").and_then(Value::as_str).filter(|_| is_one)?;
                is_challenge(&challenge).then(|| Asked::EchoSigned(challenge.to_owned()))
            }
            Self::UrlValidation => {
                let document = question.document()?;
                let is_one = document.get("event").and_then(Value::as_str) == Some("endpoint.url_validation");
                let token = document.pointer("/payload/plainToken").and_then(Value::as_str).filter(|_| is_one)?;
                is_crc_token(token.as_bytes()).then(|| Asked::SignSigned(token.to_owned()))
            }
            _ => None,
        }
    }
}

/// Where a challenge that is given back stands: in one of three places.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EchoRule {
    /// The query parameter of a GET, HEAD or POST.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "challenge")]
    pub query: Option<String>,
    /// The header of a GET, HEAD or POST.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// The member of the JSON object that a POST has as its body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The member of a JSON object in which it is given back. Absent: it is the whole answer, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
}

impl EchoRule {
    /// What is wrong with it, by field.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let places = [&self.query, &self.header, &self.body];
        let mut problems = Vec::new();
        if places.into_iter().flatten().count() != 1 {
            problems.push(("", "name one of `query`, `header` and `body`: where the challenge stands".to_owned()));
        }
        if self.header.as_ref().is_some_and(|name| name.parse::<HeaderName>().is_err()) {
            problems.push(("/header", "this is not a header name".to_owned()));
        }
        problems
    }

    fn challenge(&self, question: &Question<'_>) -> Option<String> {
        let may_ask_by_head = question.is_get() || question.method == Method::POST;
        let found = match self {
            Self { query: Some(name), .. } => question.value(name).filter(|_| may_ask_by_head).map(str::to_owned),
            Self { header: Some(name), .. } => {
                let value = question.headers.get(name).filter(|_| may_ask_by_head)?;
                value.to_str().ok().map(str::to_owned)
            }
            Self { body: Some(name), .. } => question.document()?.get(name)?.as_str().map(str::to_owned),
            Self { query: None, header: None, body: None, .. } => {
                question.value("challenge").filter(|_| question.is_get()).map(str::to_owned)
            }
        };
        found.filter(|text| is_challenge(&text.as_str()))
    }
}

/// What a request asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The signature of this.
    Sign(String),
    /// The signature of what might be a body, which nobody gets.
    Unsignable,
    /// Send this text back, also to a caller that has signed nothing.
    Echo {
        /// What is given back.
        challenge: String,
        /// The member of the JSON that is answered; absent: text.
        member: Option<String>,
    },
    /// This back, if the token is right.
    EchoAgreed {
        /// What is given back.
        challenge: String,
        /// Who asks.
        token: String,
    },
    /// This back, if the signature is right.
    EchoSigned(String),
    /// The signature of this word, if the call's own signature is right.
    SignSigned(String),
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

/// The answer to a signed challenge: the signature of its token in hexadecimal digits, if it is one.
pub fn signed_hex(token: &str, key: &Secret) -> Option<String> {
    is_crc_token(token.as_bytes()).then(|| github(token.as_bytes(), key))
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

    fn asks(challenge: Challenge, method: Method, pairs: &[(&str, &str)], body: &[u8]) -> Option<Asked> {
        let question = Question { method: &method, query: &query(pairs), headers: &HeaderMap::new(), body };
        challenge.asked(&question, None, true)
    }

    fn echo(challenge: &str) -> Option<Asked> {
        Some(Asked::Echo { challenge: challenge.to_owned(), member: None })
    }

    #[test]
    fn each_handshake_is_told_by_its_own_request_alone() {
        let hub = [("hub.mode", "subscribe"), ("hub.challenge", "1158201444"), ("hub.verify_token", "meatyhamhock")];
        let shaken = Some(Asked::EchoAgreed { challenge: "1158201444".into(), token: "meatyhamhock".into() });
        assert_eq!(asks(Challenge::Hub, Method::GET, &hub, b""), shaken);
        assert_eq!(asks(Challenge::Hub, Method::HEAD, &hub, b""), shaken);
        assert_eq!(asks(Challenge::Hub, Method::POST, &hub, b""), None);
        assert_eq!(asks(Challenge::CrcToken, Method::GET, &hub, b""), None);
        let slack = br#"{"token":"Jhj5dZrVaK7ZwHHjRyZWjbDl","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}"#;
        let asked = asks(Challenge::UrlVerification, Method::POST, &[], slack);
        assert_eq!(asked, Some(Asked::EchoSigned("3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P".into())));
        assert_eq!(asks(Challenge::UrlVerification, Method::POST, &[], br#"{"type":"event_callback","challenge":"x"}"#), None);
        let zoom = br#"{"payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event_ts":1654503849680,"event":"endpoint.url_validation"}"#;
        let asked = asks(Challenge::UrlValidation, Method::POST, &[], zoom);
        assert_eq!(asked, Some(Asked::SignSigned("qgg8vlvZRS6UYooatFL8Aw".into())));
        let body = br#"{"payload":{"plainToken":"{\"a\":1}"},"event":"endpoint.url_validation"}"#;
        assert_eq!(asks(Challenge::UrlValidation, Method::POST, &[], body), None, "what might be a body is not signed");
        let crc =
            |token: &str| asks(Challenge::CrcToken, Method::GET, &[("crc_token", token)], b"").map(|asked| asked == Asked::Unsignable);
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
            assert_eq!(signed_hex(body, &Secret::new(b"k".to_vec())), None, "{body}");
        }
        assert_eq!(asks(Challenge::None, Method::GET, &hub, slack), None);
    }

    #[test]
    fn a_challenge_without_a_signature_is_given_back_and_nothing_more() {
        let dropbox = [("challenge", "abc 123")];
        assert_eq!(asks(Challenge::Echo, Method::GET, &dropbox, b""), echo("abc 123"));
        assert_eq!(asks(Challenge::Echo, Method::HEAD, &dropbox, b""), echo("abc 123"));
        assert_eq!(asks(Challenge::Echo, Method::POST, &dropbox, b""), None, "a call without its signature");
        assert_eq!(asks(Challenge::Echo, Method::GET, &[("challenge", "")], b""), None);
        assert_eq!(asks(Challenge::Echo, Method::GET, &[("challenge", &"x".repeat(CHALLENGE_BYTES_MAX + 1))], b""), None);
        let graph = [("validationToken", "Validation: Testing client application reachability")];
        assert_eq!(
            asks(Challenge::ValidationToken, Method::POST, &graph, b""),
            echo("Validation: Testing client application reachability")
        );
        assert_eq!(asks(Challenge::ValidationToken, Method::GET, &graph, b""), None);
        // What brings a signature is a call, right or wrong.
        let (query, headers) = (query(&dropbox), HeaderMap::new());
        let question = Question { method: &Method::GET, query: &query, headers: &headers, body: b"" };
        assert_eq!(Challenge::Echo.asked(&question, None, false), None);
    }

    #[test]
    fn a_rule_says_where_the_challenge_stands_and_how_it_is_given_back() {
        let headers: HeaderMap =
            [(HeaderName::from_static("x-okta-verification-challenge"), "okta".parse().expect("a value"))].into_iter().collect();
        let query = query(&[("challenge", "adobe")]);
        let body = br#"{"challenge":"monday"}"#;
        let asked = |rule: &EchoRule, method: Method| {
            let question = Question { method: &method, query: &query, headers: &headers, body };
            Challenge::Echo.asked(&question, Some(rule), true)
        };
        let okta =
            EchoRule { header: Some("x-okta-verification-challenge".into()), member: Some("verification".into()), ..EchoRule::default() };
        let as_member = |challenge: &str, member: &str| Some(Asked::Echo { challenge: challenge.into(), member: Some(member.into()) });
        assert_eq!(asked(&okta, Method::GET), as_member("okta", "verification"));
        let monday = EchoRule { body: Some("challenge".into()), member: Some("challenge".into()), ..EchoRule::default() };
        assert_eq!(asked(&monday, Method::POST), as_member("monday", "challenge"));
        assert_eq!(asked(&monday, Method::GET), None);
        let adobe = EchoRule { query: Some("challenge".into()), ..EchoRule::default() };
        assert_eq!(asked(&adobe, Method::POST), echo("adobe"));
        assert_eq!(asked(&adobe, Method::PUT), None);
        assert_eq!((okta.problems(), monday.problems(), adobe.problems()), (vec![], vec![], vec![]));
        assert_eq!(EchoRule { header: Some("x".into()), ..adobe.clone() }.problems()[0].0, "");
        assert_eq!(EchoRule { header: Some("no header".into()), ..EchoRule::default() }.problems()[0].0, "/header");
        assert_eq!(EchoRule::default().problems().len(), 1);
    }

    #[test]
    fn an_empty_token_is_nobodys() {
        assert!(is_token("a", &Secret::new(b"a".to_vec())));
        assert!(!is_token("b", &Secret::new(b"a".to_vec())) && !is_token("", &Secret::new(Vec::new())));
    }
}
