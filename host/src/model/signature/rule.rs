//! What a receiver is told about verification: the scheme and, for senders no scheme knows, where the signature stands.

use http::HeaderName;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::key::{BadKey, read_standard_key};
use crate::model::secret::Secret;

/// How a call proves where it comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VerifyScheme {
    /// It does not: the code in the URL is all.
    #[default]
    None,
    /// GitHub's `X-Hub-Signature-256`.
    Github,
    /// Meta's (WhatsApp, Messenger, Instagram): `X-Hub-Signature-256` under the app secret, and its handshake.
    Meta,
    /// `Stripe-Signature`.
    Stripe,
    /// `X-Slack-Signature`.
    Slack,
    /// `X-Shopify-Hmac-Sha256`.
    Shopify,
    /// Standard Webhooks 1.0.0: `v1` with a `whsec_` secret, `v1a` with a `whpk_` one.
    StandardWebhooks,
    /// ArcGIS service webhooks: `x-esriHook-Signature`, as a header or in the form.
    EsriService,
    /// ArcGIS organization webhooks: the secret itself in the header `secret`.
    EsriOrganization,
    /// HMAC-SHA256 over what the rule says, where and how it says.
    Hmac,
    /// RFC 7617; the secret is `username:password`.
    Basic,
    /// RFC 6750; the secret is the token.
    Bearer,
}

impl VerifyScheme {
    /// Whether the head of a call alone proves who sends it: its body need not be read first.
    pub fn is_by_head(self) -> bool {
        matches!(self, Self::Basic | Self::Bearer | Self::EsriOrganization)
    }
}

/// Where a signature stands, how it is written, and what it is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HmacRule {
    /// The header.
    #[schema(example = "x-signature")]
    pub header: String,
    /// How the bytes are written.
    #[serde(default)]
    pub encoding: HmacEncoding,
    /// What stands in front of them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schema(example = "sha256=")]
    pub prefix: String,
    /// What is signed: `{body}`, the raw body, `{timestamp}` and `{id}` as their headers have them, and any text between.
    #[serde(default = "signed_default", skip_serializing_if = "is_body")]
    #[schema(example = "{timestamp}.{body}")]
    pub signed: String,
    /// The header with the time of signing: Unix seconds, or milliseconds. Calls too far from it are refused (`tolerance_s`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "x-timestamp")]
    pub timestamp_header: Option<String>,
    /// The header with the delivery's identifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_header: Option<String>,
}

fn signed_default() -> String {
    "{body}".to_owned()
}

fn is_body(signed: &str) -> bool {
    signed == "{body}"
}

/// A piece of what is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedPart<'a> {
    /// As it stands there.
    Text(&'a str),
    /// The raw body.
    Body,
    /// The time.
    Timestamp,
    /// The identifier.
    Id,
}

impl HmacRule {
    /// What is wrong with it, by field: asked when a receiver is written.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let headers =
            [("header", Some(&self.header)), ("timestamp_header", self.timestamp_header.as_ref()), ("id_header", self.id_header.as_ref())];
        let is_no_header = |name: &&String| name.parse::<HeaderName>().is_err();
        let mut problems: Vec<_> = headers
            .into_iter()
            .filter(|(_, name)| name.as_ref().is_some_and(is_no_header))
            .map(|(field, _)| (field, "this is not a header name".to_owned()))
            .collect();
        match self.pieces() {
            Err(unknown) => problems.push(("signed", format!("`{unknown}` is none of `{{body}}`, `{{timestamp}}` and `{{id}}`"))),
            Ok(pieces) => {
                for (piece, header, what) in [
                    (SignedPart::Timestamp, &self.timestamp_header, ("timestamp_header", "`{timestamp}` is signed: name its header")),
                    (SignedPart::Id, &self.id_header, ("id_header", "`{id}` is signed: name its header")),
                ] {
                    if pieces.contains(&piece) && header.is_none() {
                        problems.push((what.0, what.1.to_owned()));
                    }
                }
                if !pieces.contains(&SignedPart::Body) {
                    problems.push(("signed", "a signature that is not over the `{body}` proves nothing of it".to_owned()));
                }
                if self.timestamp_header.is_some() && !pieces.contains(&SignedPart::Timestamp) {
                    problems
                        .push(("timestamp_header", "a time that is not signed proves nothing: add `{timestamp}` to `signed`".to_owned()));
                }
            }
        }
        problems
    }

    /// Whether it names a header with an identifier that its signature is not over: a client that sees one call can send it again under another
    /// identifier. Asked of rules that are written now; those that were stored before are still loaded.
    pub fn has_unsigned_id(&self) -> bool {
        self.id_header.is_some() && self.pieces().is_ok_and(|pieces| !pieces.contains(&SignedPart::Id))
    }

    /// What is signed, piece by piece; or the placeholder nobody knows.
    pub fn pieces(&self) -> Result<Vec<SignedPart<'_>>, &str> {
        let (mut pieces, mut rest) = (Vec::new(), self.signed.as_str());
        while let Some(open) = rest.find('{') {
            let length = rest[open..].find('}').ok_or(&rest[open..])? + 1;
            if open > 0 {
                pieces.push(SignedPart::Text(&rest[..open]));
            }
            pieces.push(match &rest[open..open + length] {
                "{body}" => SignedPart::Body,
                "{timestamp}" => SignedPart::Timestamp,
                "{id}" => SignedPart::Id,
                other => return Err(other),
            });
            rest = &rest[open + length..];
        }
        if !rest.is_empty() {
            pieces.push(SignedPart::Text(rest));
        }
        Ok(pieces)
    }
}

/// What stands for the placeholders of a signed text.
#[derive(Clone, Copy, Debug)]
pub struct SignedValues<'a> {
    /// Digits.
    pub time: &'a [u8],
    /// As its header has it.
    pub id: &'a [u8],
    /// Byte for byte.
    pub body: &'a [u8],
}

/// Digits of a time that can be near now: Unix seconds have ten.
const TIME_DIGITS_MIN: usize = 10;

impl<'a> SignedValues<'a> {
    /// The bytes of a piece.
    pub fn of<'p: 'a>(&self, piece: &SignedPart<'p>) -> &'a [u8] {
        match piece {
            SignedPart::Text(text) => text.as_bytes(),
            SignedPart::Body => self.body,
            SignedPart::Timestamp => self.time,
            SignedPart::Id => self.id,
        }
    }

    /// Whether what was signed can be taken apart in this way alone. Otherwise somebody who overheard a call moves the end of one piece into
    /// the next, and what is read is not what was signed although its bytes are.
    pub fn is_told_apart(&self, pieces: &[SignedPart<'_>]) -> bool {
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-".contains(byte);
        let is_plain_id = || self.id.iter().all(is_word);
        let mut has_body = false;
        pieces.iter().enumerate().all(|(at, piece)| {
            has_body |= *piece == SignedPart::Body;
            match (piece, pieces.get(at + 1)) {
                (SignedPart::Id, Some(SignedPart::Text(text))) => {
                    let is_before_time = pieces.get(at + 2) == Some(&SignedPart::Timestamp);
                    self.ends_at_first(text.as_bytes(), is_before_time)
                }
                (SignedPart::Text(text), Some(SignedPart::Id)) if has_body => self.begins_at_last(text.as_bytes()),
                (SignedPart::Id, Some(SignedPart::Body)) => is_plain_id() && !self.body.first().is_some_and(is_word),
                (SignedPart::Body, Some(SignedPart::Id)) => is_plain_id() && !self.body.last().is_some_and(is_word),
                (SignedPart::Timestamp, Some(SignedPart::Body)) => !self.body.first().is_some_and(u8::is_ascii_digit),
                (SignedPart::Body, Some(SignedPart::Timestamp)) => !self.body.last().is_some_and(u8::is_ascii_digit),
                _ => true,
            }
        })
    }

    /// Whether the first `text` behind the beginning of the id is that behind its end; before a time only those count that a time may follow.
    fn ends_at_first(&self, text: &[u8], is_before_time: bool) -> bool {
        let joined = [self.id, text, self.time].concat();
        (0..self.id.len()).all(|at| {
            let behind = joined[at..].strip_prefix(text);
            behind.is_none_or(|behind| is_before_time && behind.iter().take_while(|byte| byte.is_ascii_digit()).count() < TIME_DIGITS_MIN)
        })
    }

    /// Whether the last `text` before the end of the id is that before its beginning.
    fn begins_at_last(&self, text: &[u8]) -> bool {
        let joined = [text, self.id].concat();
        (1..joined.len()).all(|at| !joined[at..].starts_with(text))
    }
}

/// How bytes are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HmacEncoding {
    /// Hexadecimal digits of either case.
    #[default]
    Hex,
    /// Standard Base64, padded or not.
    Base64,
}

impl VerifyScheme {
    /// Whether `secret` can be used as a key: asked when a receiver or a secret is written. An empty key would let everyone in.
    pub fn check_key(self, secret: &Secret) -> Result<(), BadKey> {
        match self {
            Self::None => Ok(()),
            _ if secret.expose().is_empty() => Err(BadKey::Empty),
            Self::StandardWebhooks => read_standard_key(secret).map(drop),
            Self::Basic if !secret.expose().contains(&b':') => Err(BadKey::NotUserAndPassword),
            _ => Ok(()),
        }
    }
}

/// Headers by which a caller could be impersonated, in lower case: redacted wherever a call is recorded. That of
/// [`VerifyScheme::Hmac`] is in its rule.
pub fn credential_headers(scheme: VerifyScheme) -> &'static [&'static str] {
    match scheme {
        VerifyScheme::None | VerifyScheme::Hmac => &[],
        VerifyScheme::Github | VerifyScheme::Meta => &["x-hub-signature-256", "x-hub-signature"],
        VerifyScheme::Stripe => &["stripe-signature"],
        VerifyScheme::Slack => &["x-slack-signature"],
        VerifyScheme::Shopify => &["x-shopify-hmac-sha256"],
        VerifyScheme::StandardWebhooks => &["webhook-signature"],
        VerifyScheme::EsriService => &["x-esrihook-signature"],
        VerifyScheme::EsriOrganization => &["secret"],
        VerifyScheme::Basic | VerifyScheme::Bearer => &["authorization"],
    }
}
