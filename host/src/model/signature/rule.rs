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
    /// HMAC-SHA256 over the raw body, where and how the rule says.
    Hmac,
    /// RFC 7617; the secret is `username:password`.
    Basic,
    /// RFC 6750; the secret is the token.
    Bearer,
}

/// Where a signature stands and how it is written; the HMAC-SHA256 is over the raw body.
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
}

impl HmacRule {
    /// The header, if it can be one: asked when a receiver is written.
    pub fn header_name(&self) -> Option<HeaderName> {
        self.header.parse().ok()
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
    /// Whether its senders ask now and then whether the key is held here (ArcGIS's `crc_token`).
    pub fn is_challenged(self) -> bool {
        self == Self::EsriService
    }

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
        VerifyScheme::Github => &["x-hub-signature-256", "x-hub-signature"],
        VerifyScheme::Stripe => &["stripe-signature"],
        VerifyScheme::Slack => &["x-slack-signature"],
        VerifyScheme::Shopify => &["x-shopify-hmac-sha256"],
        VerifyScheme::StandardWebhooks => &["webhook-signature"],
        VerifyScheme::EsriService => &["x-esrihook-signature"],
        VerifyScheme::EsriOrganization => &["secret"],
        VerifyScheme::Basic | VerifyScheme::Bearer => &["authorization"],
    }
}
