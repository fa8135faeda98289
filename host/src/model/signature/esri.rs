//! ArcGIS service webhooks (Esri's "Webhook payloads" pages and its sample receivers).
//!
//! The pages speak of a hexadecimal digest in places, but show, and compute in every sample, Base64: that is what we send; both are
//! accepted. There is no timestamp in it and no id, so it does not guard against replays.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::IgnoredAny;

use super::scheme::digest;
use crate::model::secret::Secret;

const PAYLOAD: &[u8] = b"payload=";
const SIGNATURE: &[u8] = b"x-esriHook-Signature=";

/// What a form leaves as it is: RFC 3986's unreserved characters.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `x-esriHook-Signature` over `body`: `sha256=` and padded Base64. Over the token of a `crc_token` challenge, it is the
/// `response_token`.
pub fn esri_service(body: &[u8], key: &Secret) -> String {
    format!("sha256={}", STANDARD.encode(digest(key.expose(), &[body])))
}

/// The body of a signed form: `payload=<JSON>&x-esriHook-Signature=<signature>`; absent where `json` is not JSON.
///
/// Esri's samples hash the bytes between `payload=` and `&` as they stand and parse them without decoding; a common form parser
/// decodes them first. So that both read and hash the same bytes, the few characters a form gives a meaning to (`&`, `%`, `+`)
/// are written as JSON's own escapes, and nothing is percent-encoded.
pub fn esri_service_form(json: &[u8], key: &Secret) -> Option<Bytes> {
    serde_json::from_slice::<IgnoredAny>(json).ok()?;
    let payload = inert_in_forms(json);
    let signature = esri_service(&payload, key);
    let signature = utf8_percent_encode(&signature, FORM).to_string();
    Some([PAYLOAD, &payload, b"&", SIGNATURE, signature.as_bytes()].concat().into())
}

/// The same JSON without the characters a form gives a meaning to.
fn inert_in_forms(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    let (mut in_text, mut escaped) = (false, false);
    for &byte in json {
        match byte {
            b'&' => out.extend_from_slice(br"\u0026"),
            b'%' => out.extend_from_slice(br"\u0025"),
            b'+' if in_text => out.extend_from_slice(br"\u002b"),
            // Outside of text a `+` stands in an exponent alone, and may be left out there.
            b'+' => {}
            _ => out.push(byte),
        }
        in_text ^= byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
    }
    out
}

/// A signed form, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EsriForm<'a> {
    /// The bytes after `payload=`, as they stand: what is signed, and in Esri's samples JSON as it is.
    pub payload: &'a [u8],
    /// The value of `x-esriHook-Signature`, as it stands.
    pub signature: &'a [u8],
}

/// A signed form that holds more than what its signature is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsignedField;

/// Takes a signed form apart; `None` where it carries no signature. The signature is over the payload alone, so that a signed form has exactly
/// the two fields: whatever else stood in it, a second `payload` first of all, would be read and is not signed.
pub fn esri_form(body: &[u8]) -> Result<Option<EsriForm<'_>>, UnsignedField> {
    let signature_in = |field: &'_ [u8]| field.get(..SIGNATURE.len()).is_some_and(|name| name.eq_ignore_ascii_case(SIGNATURE));
    let mut fields = body.split(|byte| *byte == b'&');
    if !fields.clone().any(signature_in) {
        return Ok(None);
    }
    let (Some(first), Some(second), None) = (fields.next(), fields.next(), fields.next()) else { return Err(UnsignedField) };
    let (payload, signature) = if signature_in(first) { (second, first) } else { (first, second) };
    let payload = payload.strip_prefix(PAYLOAD).ok_or(UnsignedField)?;
    Ok(Some(EsriForm { payload, signature: &signature[SIGNATURE.len()..] }))
}

/// A signed form as it is shown: without its signature.
pub fn without_signature(form: &[u8]) -> String {
    let shown = |field: &str| match field.get(..SIGNATURE.len()).filter(|name| name.as_bytes().eq_ignore_ascii_case(SIGNATURE)) {
        Some(name) => format!("{name}(redacted)"),
        None => field.to_owned(),
    };
    String::from_utf8_lossy(form).split('&').map(shown).collect::<Vec<_>>().join("&")
}

/// Whether a content type is that of an HTML form.
pub(super) fn is_form(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}
