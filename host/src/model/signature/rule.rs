//! What a receiver is told about verification: the scheme and, for senders no scheme knows, where the signature stands.

use std::sync::LazyLock;

use http::HeaderName;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    algorithm::{Algorithm, Encoding, KeyEncoding},
    key::{BadKey, read_standard_key},
    public_key::{check_public_key, is_public_key},
    signed_text::{SignedPart, problems_of_pieces, read_pieces},
};
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
    /// Standard Webhooks 1.0.0: `v1` with a `whsec_` secret, `v1a` with a `whpk_` one. Also under Svix's names of the headers.
    StandardWebhooks,
    /// ArcGIS service webhooks: `x-esriHook-Signature`, as a header or in the form.
    EsriService,
    /// ArcGIS organization webhooks: the secret itself in the header `secret`.
    EsriOrganization,
    /// HMAC over what the rule `hmac` says, where and how it says.
    Hmac,
    /// A signature that a public key verifies, over what the rule `public_key` says. The secret is the public key.
    PublicKey,
    /// The secret itself in the header that `token_header` names.
    Token,
    /// RFC 7617; the secret is `username:password`.
    Basic,
    /// RFC 6750; the secret is the token.
    Bearer,
}

impl VerifyScheme {
    /// Whether the head of a call alone proves who sends it: its body need not be read first.
    pub fn is_by_head(self) -> bool {
        matches!(self, Self::Basic | Self::Bearer | Self::EsriOrganization | Self::Token)
    }

    /// The rule of a sender that signs as a rule can say.
    pub(super) fn rule(self) -> Option<&'static SignatureRule> {
        /// GitHub Docs, "Validating webhook deliveries"; Meta for Developers, "Validating Payloads".
        static HUB: LazyLock<SignatureRule> = LazyLock::new(|| SignatureRule::over_body("x-hub-signature-256", "sha256="));
        /// Shopify Docs, "Verify webhook deliveries".
        static SHOPIFY: LazyLock<SignatureRule> =
            LazyLock::new(|| SignatureRule { encoding: Encoding::Base64, ..SignatureRule::over_body("x-shopify-hmac-sha256", "") });
        /// Stripe Docs, "Verify webhook signatures manually": only `v1` counts.
        static STRIPE: LazyLock<SignatureRule> = LazyLock::new(|| SignatureRule {
            signed: "{timestamp}.{body}".to_owned(),
            timestamp_header: Some("stripe-signature".to_owned()),
            timestamp_prefix: "t=".to_owned(),
            ..SignatureRule::over_body("stripe-signature", "v1=")
        });
        /// Slack Docs, "Verifying requests from Slack".
        static SLACK: LazyLock<SignatureRule> = LazyLock::new(|| SignatureRule {
            signed: "v0:{timestamp}:{body}".to_owned(),
            timestamp_header: Some("x-slack-request-timestamp".to_owned()),
            ..SignatureRule::over_body("x-slack-signature", "v0=")
        });
        match self {
            Self::Github | Self::Meta => Some(&HUB),
            Self::Shopify => Some(&SHOPIFY),
            Self::Stripe => Some(&STRIPE),
            Self::Slack => Some(&SLACK),
            _ => None,
        }
    }

    /// Whether `secret` can be used as a key: asked when a receiver is written, and of every key of a call. An empty key would let everyone
    /// in, and so would a public key where a secret is needed.
    pub fn check_key(self, rule: Option<&SignatureRule>, secret: &Secret) -> Result<(), BadKey> {
        match self {
            Self::None => Ok(()),
            _ if secret.expose().is_empty() => Err(BadKey::Empty),
            Self::StandardWebhooks => read_standard_key(secret).map(drop),
            Self::PublicKey => check_public_key(rule.map_or(Algorithm::Ed25519, SignatureRule::algorithm), secret),
            _ if is_public_key(secret) => Err(BadKey::Public),
            Self::Hmac => rule.map_or(KeyEncoding::Text, |rule| rule.key_encoding).read(secret).map(drop),
            Self::Basic if !secret.expose().contains(&b':') => Err(BadKey::NotUserAndPassword),
            _ => Ok(()),
        }
    }
}

/// Where a signature stands, how it is written, and what it is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignatureRule {
    /// The header. It may have several signatures, separated by commas, semicolons or spaces, and may occur several times: one that is right
    /// is enough. A call may have 10.
    #[schema(example = "x-signature")]
    pub header: String,
    /// How it is signed. `sha256` if absent in `hmac`; `public_key` must say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<Algorithm>,
    /// How the bytes are written.
    #[serde(default)]
    pub encoding: Encoding,
    /// What stands in front of each signature. What has something else in front is passed over.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schema(example = "sha256=")]
    pub prefix: String,
    /// What is signed, with any text between: `{body}`, the raw body; `{timestamp}` and `{id}` as their headers have them; `{method}`; `{url}`,
    /// the whole URL that was called; `{params}`, the fields of a form, sorted, names and values without anything between.
    #[serde(default = "signed_default", skip_serializing_if = "is_body")]
    #[schema(example = "{timestamp}.{body}")]
    pub signed: String,
    /// The header with the time of signing: Unix seconds, milliseconds, or RFC 3339. Calls too far from it are refused (`tolerance_s`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "x-timestamp")]
    pub timestamp_header: Option<String>,
    /// What stands in front of the time, in a header with several parts, such as `t=`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub timestamp_prefix: String,
    /// The header with the delivery's identifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_header: Option<String>,
    /// How the key of an HMAC is written in its secret.
    #[serde(default, skip_serializing_if = "KeyEncoding::is_text")]
    pub key_encoding: KeyEncoding,
}

fn signed_default() -> String {
    "{body}".to_owned()
}

fn is_body(signed: &str) -> bool {
    signed == "{body}"
}

impl SignatureRule {
    /// An HMAC-SHA256 over the body, in hexadecimal digits behind `prefix`.
    pub fn over_body(header: &str, prefix: &str) -> Self {
        Self {
            header: header.to_owned(),
            algorithm: None,
            encoding: Encoding::Hex,
            prefix: prefix.to_owned(),
            signed: signed_default(),
            timestamp_header: None,
            timestamp_prefix: String::new(),
            id_header: None,
            key_encoding: KeyEncoding::Text,
        }
    }

    /// How it is signed.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm.unwrap_or_default()
    }

    /// What is wrong with it, by field: asked when a receiver is written. `is_public`: it is the rule of a public key.
    pub fn problems(&self, is_public: bool) -> Vec<(&'static str, String)> {
        let headers =
            [("header", Some(&self.header)), ("timestamp_header", self.timestamp_header.as_ref()), ("id_header", self.id_header.as_ref())];
        let is_no_header = |name: &&String| name.parse::<HeaderName>().is_err();
        let mut problems: Vec<_> = headers
            .into_iter()
            .filter(|(_, name)| name.as_ref().is_some_and(is_no_header))
            .map(|(field, _)| (field, "this is not a header name".to_owned()))
            .collect();
        if self.algorithm().is_public() != is_public {
            let detail =
                if is_public { "name `ed25519`, `rsa-sha256` or `ecdsa-p256-sha256`" } else { "name `sha1`, `sha256` or `sha512`" };
            problems.push(("algorithm", detail.to_owned()));
        }
        if is_public && !self.key_encoding.is_text() {
            problems.push(("key_encoding", "how a public key is written is told by its text: leave this out".to_owned()));
        }
        if !self.timestamp_prefix.is_empty() && self.timestamp_header.is_none() {
            problems.push(("timestamp_prefix", "this stands in front of a time: name its header in `timestamp_header`".to_owned()));
        }
        match self.pieces() {
            Err(unknown) => {
                let known = "`{body}`, `{timestamp}`, `{id}`, `{method}`, `{url}` and `{params}`";
                problems.push(("signed", format!("`{unknown}` is none of {known}")));
            }
            Ok(pieces) => {
                for (piece, header, what) in [
                    (SignedPart::Timestamp, &self.timestamp_header, ("timestamp_header", "`{timestamp}` is signed: name its header")),
                    (SignedPart::Id, &self.id_header, ("id_header", "`{id}` is signed: name its header")),
                ] {
                    if pieces.contains(&piece) && header.is_none() {
                        problems.push((what.0, what.1.to_owned()));
                    }
                }
                problems.extend(problems_of_pieces(&pieces).into_iter().map(|problem| ("signed", problem.to_owned())));
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

    /// The pieces of `signed`. The error is the first unknown placeholder.
    pub fn pieces(&self) -> Result<Vec<SignedPart<'_>>, &str> {
        read_pieces(&self.signed)
    }
}

/// Headers by which a caller could be impersonated, in lower case: redacted wherever a call is recorded. Those of rules and of
/// [`VerifyScheme::Token`] are in the receiver.
pub fn credential_headers(scheme: VerifyScheme) -> &'static [&'static str] {
    match scheme {
        VerifyScheme::None | VerifyScheme::Hmac | VerifyScheme::PublicKey | VerifyScheme::Token => &[],
        VerifyScheme::Github | VerifyScheme::Meta => &["x-hub-signature-256", "x-hub-signature"],
        VerifyScheme::Stripe => &["stripe-signature"],
        VerifyScheme::Slack => &["x-slack-signature"],
        VerifyScheme::Shopify => &["x-shopify-hmac-sha256"],
        VerifyScheme::StandardWebhooks => &["webhook-signature", "svix-signature"],
        VerifyScheme::EsriService => &["x-esrihook-signature"],
        VerifyScheme::EsriOrganization => &["secret"],
        VerifyScheme::Basic | VerifyScheme::Bearer => &["authorization"],
    }
}
