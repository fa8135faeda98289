//! Whether a call comes from who it says, scheme by scheme.
//!
//! Signatures are decoded first and compared as bytes, so that upper-case digits or missing padding do not matter.

use base64::Engine;
use ed25519_dalek::{Signature, Verifier, VerifyingKey};
use hmac::Mac;
use http::{
    HeaderMap,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use percent_encoding::percent_decode;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{
    challenge::{CRC_TOKEN_BYTES_MAX, is_crc_token},
    esri::{UnsignedField, esri_form, is_form},
    key::{BASE64_LENIENT, BadKey, StandardKey, read_standard_key},
    rule::{HmacEncoding, HmacRule, SignedPart, SignedValues, VerifyScheme},
    scheme::mac,
};
use crate::model::secret::Secret;

/// How far a signed timestamp may lie from now, in seconds: what Stripe, Slack and the libraries of Standard Webhooks take.
pub const TIMESTAMP_TOLERANCE_S: i64 = 300;

/// What is verified.
#[derive(Clone, Copy, Debug)]
pub struct VerifyInput<'a> {
    /// The call's headers.
    pub headers: &'a HeaderMap,
    /// The call's body, byte for byte.
    pub body: &'a [u8],
    /// Unix seconds.
    pub now_s: i64,
    /// Usually [`TIMESTAMP_TOLERANCE_S`].
    pub tolerance_s: i64,
    /// For [`VerifyScheme::Hmac`].
    pub hmac: Option<&'a HmacRule>,
    /// Whether the secret answers `crc_token` challenges too, here or for another receiver: anybody gets signatures over words then.
    pub answers_crc: bool,
}

/// Why a call is not believed. Says nothing of the secret, nor of what would have been right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// What should prove the origin is not there.
    #[error("the header `{0}` is missing")]
    HeaderMissing(String),
    /// It is there, but cannot be read.
    #[error("the header `{0}` is malformed or given more than once")]
    Malformed(String),
    /// SignedPart too long ago, or in the future.
    #[error("the signed timestamp is {0} s away from now")]
    TimestampOutsideTolerance(i64),
    /// It proves nothing.
    #[error("the signature or credential matches no secret")]
    Mismatch,
    /// There is no secret to verify with.
    #[error("no secret to verify with")]
    KeyMissing,
    /// A secret cannot be used.
    #[error("a secret to verify with cannot be used: {0}")]
    Key(#[from] BadKey),
    /// What is signed is such a word as the host signs for anybody.
    #[error("what is signed may be a `crc_token`, for which anybody gets a signature: it proves nothing")]
    Challengeable,
    /// A signed form with more in it.
    #[error("a signed form is one `payload` and one signature, and nothing else")]
    UnsignedField,
    /// What was signed can be taken apart in several ways.
    #[error("the header `{0}` and what follows it can be told apart in more than one way")]
    Ambiguous(String),
    /// The scheme `hmac` without its rule.
    #[error("the scheme `hmac` needs the name of a header")]
    RuleMissing,
}

/// Believes a call, or says why not. One of the secrets has to match.
pub fn verify(scheme: VerifyScheme, input: &VerifyInput<'_>, secrets: &[Secret]) -> Result<(), VerifyError> {
    if scheme == VerifyScheme::None {
        return Ok(());
    }
    if secrets.is_empty() {
        return Err(VerifyError::KeyMissing);
    }
    secrets.iter().try_for_each(|secret| scheme.check_key(secret))?;
    match scheme {
        VerifyScheme::None => Ok(()),
        VerifyScheme::Github | VerifyScheme::Meta => body_mac(input, "x-hub-signature-256", "sha256=", HmacEncoding::Hex, secrets),
        VerifyScheme::Shopify => body_mac(input, "x-shopify-hmac-sha256", "", HmacEncoding::Base64, secrets),
        VerifyScheme::Hmac => {
            let rule = input.hmac.ok_or(VerifyError::RuleMissing)?;
            by_rule(input, rule, secrets)
        }
        VerifyScheme::Stripe => stripe(input, secrets),
        VerifyScheme::Slack => slack(input, secrets),
        VerifyScheme::StandardWebhooks => standard_webhooks(input, secrets),
        VerifyScheme::EsriService => esri_service(input, secrets),
        VerifyScheme::EsriOrganization => same(header(input.headers, "secret")?, secrets),
        VerifyScheme::Basic => {
            let given = authorization(input.headers, "basic")?;
            same(&BASE64_LENIENT.decode(given).map_err(|_| malformed(AUTHORIZATION.as_str()))?, secrets)
        }
        VerifyScheme::Bearer => same(authorization(input.headers, "bearer")?.as_bytes(), secrets),
    }
}

fn body_mac(input: &VerifyInput<'_>, name: &str, prefix: &str, encoding: HmacEncoding, secrets: &[Secret]) -> Result<(), VerifyError> {
    let given = text(input.headers, name)?.strip_prefix(prefix).and_then(|text| decode(encoding, text)).ok_or_else(|| malformed(name))?;
    matches_any(input, secrets, &[input.body], &[given])
}

/// What a sender signs that no scheme knows.
fn by_rule(input: &VerifyInput<'_>, rule: &HmacRule, secrets: &[Secret]) -> Result<(), VerifyError> {
    let name = rule.header.as_str();
    let given = text(input.headers, name)?.strip_prefix(&*rule.prefix);
    let given = given.and_then(|text| decode(rule.encoding, text)).ok_or_else(|| malformed(name))?;
    let time = rule.timestamp_header.as_deref().map(|name| timestamp(input, name)).transpose()?;
    let id = rule.id_header.as_deref().map(|name| header(input.headers, name)).transpose()?;
    let pieces = rule.pieces().map_err(|_| VerifyError::RuleMissing)?;
    let values = SignedValues { time: time.unwrap_or_default().as_bytes(), id: id.unwrap_or_default(), body: input.body };
    if !values.is_told_apart(&pieces) {
        return Err(VerifyError::Ambiguous(rule.id_header.as_ref().or(rule.timestamp_header.as_ref()).unwrap_or(&rule.header).clone()));
    }
    matches_any(input, secrets, &pieces.iter().map(|piece| values.of(piece)).collect::<Vec<_>>(), &[given])
}

/// Stripe Docs, "Verify webhook signatures manually": only `v1` counts, and it may be there several times. As in stripe-node, only the
/// age is limited.
fn stripe(input: &VerifyInput<'_>, secrets: &[Secret]) -> Result<(), VerifyError> {
    let name = "stripe-signature";
    let (mut time, mut given) = (None, Vec::new());
    for (key, value) in text(input.headers, name)?.split(',').filter_map(|part| part.split_once('=')) {
        match key.trim() {
            // Which of two were meant cannot be told.
            "t" if time.is_some() => return Err(malformed(name)),
            "t" => time = Some(value.trim()),
            "v1" => given.extend(decode(HmacEncoding::Hex, value.trim())),
            _ => {}
        }
    }
    let time = time.filter(|_| !given.is_empty()).ok_or_else(|| malformed(name))?;
    let age_s = input.now_s.saturating_sub(seconds(time).ok_or_else(|| malformed(name))?);
    if age_s > 0 {
        within(age_s, input.tolerance_s)?;
    }
    matches_any(input, secrets, &[time.as_bytes(), b".", input.body], &given)
}

/// Slack Docs, "Verifying requests from Slack".
fn slack(input: &VerifyInput<'_>, secrets: &[Secret]) -> Result<(), VerifyError> {
    let (name, time_name) = ("x-slack-signature", "x-slack-request-timestamp");
    let given = text(input.headers, name)?;
    let given = given.strip_prefix("v0=").and_then(|text| decode(HmacEncoding::Hex, text)).ok_or_else(|| malformed(name))?;
    let time = timestamp(input, time_name)?;
    matches_any(input, secrets, &[b"v0:", time.as_bytes(), b":", input.body], &[given])
}

/// Standard Webhooks 1.0.0, "Verifying webhook authenticity": any match will do, unknown versions are passed over.
fn standard_webhooks(input: &VerifyInput<'_>, secrets: &[Secret]) -> Result<(), VerifyError> {
    let id = header(input.headers, "webhook-id")?;
    let signatures = text(input.headers, "webhook-signature")?;
    let time = timestamp(input, "webhook-timestamp")?;
    let pieces = [SignedPart::Id, SignedPart::Text("."), SignedPart::Timestamp, SignedPart::Text("."), SignedPart::Body];
    let values = SignedValues { time: time.as_bytes(), id, body: input.body };
    if !values.is_told_apart(&pieces) {
        return Err(VerifyError::Ambiguous("webhook-id".to_owned()));
    }
    let signed = [id, b".", time.as_bytes(), b".", input.body].concat();
    let given = |version: &str| -> Vec<Vec<u8>> {
        let of_version = signatures.split_ascii_whitespace().filter_map(|part| part.split_once(',')).filter(|(v, _)| *v == version);
        of_version.filter_map(|(_, text)| BASE64_LENIENT.decode(text).ok()).collect()
    };
    let (symmetric, asymmetric) = (given("v1"), given("v1a"));
    let mut matched = false;
    for secret in secrets {
        matched |= match read_standard_key(secret)? {
            StandardKey::Symmetric(key) => matches_any(input, &[key], &[&signed], &symmetric).is_ok(),
            StandardKey::Signing(key) => signed_by(&key.verifying_key(), &signed, &asymmetric),
            StandardKey::Verifying(key) => signed_by(&key, &signed, &asymmetric),
        };
    }
    if matched { Ok(()) } else { Err(VerifyError::Mismatch) }
}

fn signed_by(key: &VerifyingKey, signed: &[u8], given: &[Vec<u8>]) -> bool {
    given.iter().filter_map(|bytes| Signature::from_slice(bytes).ok()).any(|signature| key.verify(signed, &signature).is_ok())
}

/// Base64 or hexadecimal, as a header that may be percent-encoded, or beside the payload in a form: Esri's samples differ.
fn esri_service(input: &VerifyInput<'_>, secrets: &[Secret]) -> Result<(), VerifyError> {
    let name = "x-esrihook-signature";
    // Two content types are read in two ways.
    let content_type = match header(input.headers, CONTENT_TYPE.as_str()) {
        Err(VerifyError::HeaderMissing(_)) => "",
        content_type => std::str::from_utf8(content_type?).unwrap_or_default(),
    };
    let in_form = if is_form(content_type) { esri_form(input.body).map_err(|UnsignedField| VerifyError::UnsignedField)? } else { None };
    let (signed, given) = match in_form {
        Some(form) => (form.payload, form.signature),
        None => (input.body, header(input.headers, name)?),
    };
    let given = percent_decode(given).decode_utf8().map_err(|_| malformed(name))?;
    let given = given.strip_prefix("sha256=").ok_or_else(|| malformed(name))?;
    // 64 hexadecimal digits are Base64 too, of 48 bytes; the length of an HMAC-SHA256 tells them apart.
    let given = decode(HmacEncoding::Hex, given).or_else(|| decode(HmacEncoding::Base64, given)).ok_or_else(|| malformed(name))?;
    if in_form.is_none() {
        return matches_any(input, secrets, &[signed], &[given]);
    }
    // Which of the two a sender hashed cannot be told from the form.
    let spaced: Vec<u8> = signed.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    let decoded: Vec<u8> = percent_decode(&spaced).collect();
    let given = [given];
    matches_any(input, secrets, &[signed], &given).or_else(|_| matches_any(input, secrets, &[&decoded], &given))
}

/// Whether one of the signatures is the HMAC-SHA256 over the parts with one of the secrets. Tries all of them in any case.
fn matches_any(input: &VerifyInput<'_>, secrets: &[Secret], parts: &[&[u8]], given: &[Vec<u8>]) -> Result<(), VerifyError> {
    // Every HMAC that is believed comes through here: none over what a challenge could have had signed.
    if input.answers_crc && parts.iter().map(|part| part.len()).sum::<usize>() <= CRC_TOKEN_BYTES_MAX && is_crc_token(&parts.concat()) {
        return Err(VerifyError::Challengeable);
    }
    let mut matched = false;
    for secret in secrets {
        let mac = mac(secret.expose(), parts);
        for signature in given {
            matched |= mac.clone().verify_slice(signature).is_ok();
        }
    }
    if matched { Ok(()) } else { Err(VerifyError::Mismatch) }
}

/// Whether a credential is one of the secrets. Digests are compared, so that not even the length shows.
fn same(given: &[u8], secrets: &[Secret]) -> Result<(), VerifyError> {
    let given = Sha256::digest(given);
    let matched = secrets.iter().fold(subtle::Choice::from(0), |matched, secret| matched | given.ct_eq(&Sha256::digest(secret.expose())));
    if matched.into() { Ok(()) } else { Err(VerifyError::Mismatch) }
}

fn decode(encoding: HmacEncoding, text: &str) -> Option<Vec<u8>> {
    let bytes = match encoding {
        HmacEncoding::Hex => hex::decode(text).ok(),
        HmacEncoding::Base64 => BASE64_LENIENT.decode(text).ok(),
    };
    bytes.filter(|bytes| bytes.len() == Sha256::output_size())
}

/// The timestamp as it was signed, once it is known to be near.
fn timestamp<'a>(input: &VerifyInput<'a>, name: &str) -> Result<&'a str, VerifyError> {
    let time = text(input.headers, name)?;
    within(input.now_s.saturating_sub(seconds(time).ok_or_else(|| malformed(name))?), input.tolerance_s)?;
    Ok(time)
}

fn within(away_s: i64, tolerance_s: i64) -> Result<(), VerifyError> {
    let away_s = away_s.saturating_abs();
    if away_s > tolerance_s { Err(VerifyError::TimestampOutsideTolerance(away_s)) } else { Ok(()) }
}

/// Unix seconds in decimal digits, or milliseconds where there are more of them than seconds have had since 1970 or will have before
/// the year 5000; a sign or a space is not how any sender writes them.
fn seconds(text: &str) -> Option<i64> {
    let number: i64 = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())??;
    Some(if number < 100_000_000_000 { number } else { number / 1000 })
}

/// What follows the scheme in `Authorization`.
fn authorization<'a>(headers: &'a HeaderMap, scheme: &str) -> Result<&'a str, VerifyError> {
    let name = AUTHORIZATION.as_str();
    let (given, credential) = text(headers, name)?.split_once(' ').ok_or_else(|| malformed(name))?;
    if given.eq_ignore_ascii_case(scheme) { Ok(credential.trim()) } else { Err(malformed(name)) }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, VerifyError> {
    std::str::from_utf8(header(headers, name)?).map_err(|_| malformed(name))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a [u8], VerifyError> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or_else(|| VerifyError::HeaderMissing(name.to_owned()))?;
    if values.next().is_some() { Err(malformed(name)) } else { Ok(value.as_bytes()) }
}

fn malformed(name: &str) -> VerifyError {
    VerifyError::Malformed(name.to_owned())
}
