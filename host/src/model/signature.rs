//! Proof of origin: signing what is sent, verifying what comes in.
//!
//! Pure: the time is an argument, and every comparison with something secret takes constant time. Which webhook signs with
//! which secret is decided elsewhere, as is remembering ids against replays.

mod algorithm;
mod challenge;
mod error;
mod esri;
mod given;
mod key;
mod public_key;
mod rule;
mod scheme;
mod signed_text;
mod verify;

pub use algorithm::{Algorithm, Encoding, KeyEncoding};
pub use challenge::{
    Asked, CRC_TOKEN_BYTES_MAX, Challenge, EchoRule, HANDSHAKE_BYTES_MAX, Question, is_crc_token, is_token, signed, signed_hex,
};
pub use error::{SIGNATURES_MAX, SIGNED_PARAMS_MAX, VerifyError};
pub use esri::{EsriForm, UnsignedField, esri_form, esri_service, esri_service_form, without_signature};
pub use key::{BadKey, STANDARD_KEY_BYTES_MAX, STANDARD_KEY_BYTES_MIN, StandardKey, parse_standard_key};
pub use rule::{SignatureRule, VerifyScheme, credential_headers};
pub use scheme::{github, shopify, slack, standard_webhooks, standard_webhooks_ed25519, stripe};
pub use verify::{TIMESTAMP_TOLERANCE_S, VerifyInput, verify};

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::secret::Secret;
use esri::is_form;

/// How deliveries are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SigningScheme {
    /// Not at all.
    #[default]
    None,
    /// Standard Webhooks 1.0.0, `v1`: HMAC-SHA256. Signs with every secret, so that keys can be rotated.
    StandardWebhooks,
    /// Standard Webhooks 1.0.0, `v1a`: Ed25519. Signs with every secret.
    StandardWebhooksEd25519,
    /// ArcGIS service webhooks: `x-esriHook-Signature`, in a form beside the payload.
    EsriService,
    /// ArcGIS organization webhooks: the secret itself in the header `secret`.
    EsriOrganization,
    /// GitHub's `X-Hub-Signature-256`.
    Github,
}

/// Whether `secret` can be used as a key: asked when a webhook or a secret is written.
pub fn check_key(scheme: SigningScheme, secret: &Secret) -> Result<(), BadKey> {
    match scheme {
        SigningScheme::None => Ok(()),
        SigningScheme::StandardWebhooks => parse_standard_key(secret)?.symmetric().map(drop),
        SigningScheme::StandardWebhooksEd25519 => parse_standard_key(secret)?.signing().map(drop),
        SigningScheme::EsriOrganization => secret_header(secret).map(drop).ok_or(BadKey::NotAHeaderValue),
        SigningScheme::EsriService | SigningScheme::Github if secret.expose().is_empty() => Err(BadKey::Empty),
        SigningScheme::EsriService | SigningScheme::Github => Ok(()),
    }
}

/// What is signed.
#[derive(Clone, Copy, Debug)]
pub struct SignInput<'a> {
    /// The delivery's id, the same at every attempt.
    pub id: &'a str,
    /// Unix seconds of this attempt.
    pub timestamp_s: i64,
    /// The body as it would go out unsigned.
    pub body: &'a [u8],
    /// Its content type, empty where it has none: `esri-service` signs a form differently.
    pub content_type: &'a str,
}

/// What signing adds to a request.
#[derive(Clone, Debug, Default)]
pub struct Signed {
    /// Headers to set, replacing those of the same name. One that shows a credential is marked as sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body to send instead, where the scheme puts the signature into it.
    pub body: Option<Bytes>,
}

/// Why nothing was signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// There is no secret.
    #[error("the signing scheme needs a secret")]
    KeyMissing,
    /// A secret cannot be used.
    #[error("a signing secret cannot be used: {0}")]
    Key(#[from] BadKey),
    /// An id with a dot in it, or one no header can carry.
    #[error("the id cannot be signed: it holds a `.` or a character no header can carry")]
    Id,
    /// The form's payload must be JSON.
    #[error("a form signed for ArcGIS carries JSON, and the body is none")]
    NotJson,
}

/// Signs a request. Schemes that carry one signature use the first secret, which is the newest.
pub fn sign(scheme: SigningScheme, input: &SignInput<'_>, secrets: &[Secret]) -> Result<Signed, SignError> {
    if scheme == SigningScheme::None {
        return Ok(Signed::default());
    }
    let first = secrets.first().ok_or(SignError::KeyMissing)?;
    check_key(scheme, first)?;
    let SignInput { id, timestamp_s, body, content_type } = *input;
    match scheme {
        SigningScheme::None => Ok(Signed::default()),
        SigningScheme::StandardWebhooks => standard(id, timestamp_s, standard_webhooks(id, timestamp_s, body, secrets)?),
        SigningScheme::StandardWebhooksEd25519 => standard(id, timestamp_s, standard_webhooks_ed25519(id, timestamp_s, body, secrets)?),
        SigningScheme::EsriService if is_form(content_type) => {
            let body = esri_service_form(body, first).ok_or(SignError::NotJson)?;
            Ok(Signed { headers: Vec::new(), body: Some(body) })
        }
        SigningScheme::EsriService => header("x-esrihook-signature", &esri_service(body, first)),
        SigningScheme::EsriOrganization => {
            let value = secret_header(first).ok_or(BadKey::NotAHeaderValue)?;
            Ok(Signed { headers: vec![(HeaderName::from_static("secret"), value)], body: None })
        }
        SigningScheme::Github => header("x-hub-signature-256", &format!("sha256={}", github(body, first))),
    }
}

/// Whether a header, its name in lower case, carries a signature: ours, or one a plugin made with a secret it is granted.
pub fn is_signature(name: &str) -> bool {
    name.contains("signature") || name.contains("hmac")
}

fn standard(id: &str, timestamp_s: i64, signature: String) -> Result<Signed, SignError> {
    // Standard Webhooks 1.0.0, "Signature scheme": the parts of the signed text are told apart by their dots.
    let id = Some(id).filter(|id| !id.contains('.')).and_then(|id| HeaderValue::from_str(id).ok()).ok_or(SignError::Id)?;
    let mut signed = header("webhook-signature", &signature)?;
    signed.headers.push((HeaderName::from_static("webhook-id"), id));
    signed.headers.push((HeaderName::from_static("webhook-timestamp"), HeaderValue::from(timestamp_s)));
    Ok(signed)
}

fn header(name: &'static str, value: &str) -> Result<Signed, SignError> {
    // Base64 and hexadecimal digits always fit into a header.
    let value = HeaderValue::from_str(value).map_err(|_| SignError::Id)?;
    Ok(Signed { headers: vec![(HeaderName::from_static(name), value)], body: None })
}

fn secret_header(secret: &Secret) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_bytes(secret.expose()).ok().filter(|value| !value.is_empty())?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod oracle_tests;
#[cfg(test)]
mod sender_tests;
#[cfg(test)]
mod signing_tests;
#[cfg(test)]
mod verify_tests;
