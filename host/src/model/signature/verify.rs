//! Whether a call comes from who it says, scheme by scheme.
//!
//! Signatures are decoded first and compared as bytes, so that upper-case digits or missing padding do not matter. Every key is tried on every
//! signature, also after one that matched, so that the time tells nothing of either.

use base64::Engine;
use ed25519_dalek::{Signature, Verifier, VerifyingKey};
use http::{
    HeaderMap,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use percent_encoding::percent_decode;
use ring::hmac;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{
    algorithm::{Algorithm, Encoding},
    challenge::{CRC_TOKEN_BYTES_MAX, is_crc_token},
    error::VerifyError,
    esri::{UnsignedField, esri_form, is_form},
    given::{authorization, header, malformed, signatures, time},
    key::{BASE64_LENIENT, StandardKey, read_standard_key},
    public_key::has_signed,
    rule::{SignatureRule, VerifyScheme},
    signed_text::{SignedPart, SignedValues, params, seconds},
};
use crate::model::secret::Secret;

/// How far a signed timestamp may lie from now, before or after, in seconds: what Stripe, Slack and the libraries of Standard Webhooks take.
pub const TIMESTAMP_TOLERANCE_S: i64 = 300;

/// What is verified.
#[derive(Clone, Copy, Debug)]
pub struct VerifyInput<'a> {
    /// The call's headers.
    pub headers: &'a HeaderMap,
    /// The call's body, byte for byte.
    pub body: &'a [u8],
    /// The call's method.
    pub method: &'a str,
    /// The URL as it was called: scheme, host, path and query.
    pub url: &'a str,
    /// Unix seconds.
    pub now_s: i64,
    /// Usually [`TIMESTAMP_TOLERANCE_S`].
    pub tolerance_s: i64,
    /// For [`VerifyScheme::Hmac`] and [`VerifyScheme::PublicKey`].
    pub rule: Option<&'a SignatureRule>,
    /// For [`VerifyScheme::Token`].
    pub token_header: Option<&'a str>,
    /// Whether a secret answers `crc_token` challenges too, here or for another receiver: anybody gets signatures over words then.
    pub answers_crc: bool,
}

impl<'a> VerifyInput<'a> {
    /// A POST, for schemes that say all by themselves.
    pub fn of(headers: &'a HeaderMap, body: &'a [u8], now_s: i64) -> Self {
        let tolerance_s = TIMESTAMP_TOLERANCE_S;
        Self { headers, body, method: "POST", url: "", now_s, tolerance_s, rule: None, token_header: None, answers_crc: false }
    }
}

/// Believes a call, or says why not. One of the secrets has to match; those that can be no key are passed over if there is another.
pub fn verify(scheme: VerifyScheme, input: &VerifyInput<'_>, secrets: &[Secret]) -> Result<(), VerifyError> {
    if scheme == VerifyScheme::None {
        return Ok(());
    }
    let rule = scheme.rule().or(input.rule);
    let mut reason = VerifyError::KeyMissing;
    let is_key = |secret: &&Secret| scheme.check_key(rule, secret).map_err(|bad| reason = bad.into()).is_ok();
    let keys: Vec<&Secret> = secrets.iter().filter(is_key).collect();
    if keys.is_empty() {
        return Err(reason);
    }
    match scheme {
        VerifyScheme::None => Ok(()),
        VerifyScheme::Github
        | VerifyScheme::Meta
        | VerifyScheme::Shopify
        | VerifyScheme::Stripe
        | VerifyScheme::Slack
        | VerifyScheme::Hmac
        | VerifyScheme::PublicKey => by_rule(input, rule.ok_or(VerifyError::RuleMissing)?, &keys),
        VerifyScheme::StandardWebhooks => standard_webhooks(input, &keys),
        VerifyScheme::EsriService => esri_service(input, &keys),
        VerifyScheme::EsriOrganization => same(header(input.headers, "secret")?, &keys),
        VerifyScheme::Token => same(header(input.headers, input.token_header.ok_or(VerifyError::RuleMissing)?)?, &keys),
        VerifyScheme::Basic => {
            let given = authorization(input.headers, "basic")?;
            same(&BASE64_LENIENT.decode(given).map_err(|_| malformed(AUTHORIZATION.as_str()))?, &keys)
        }
        VerifyScheme::Bearer => same(authorization(input.headers, "bearer")?.as_bytes(), &keys),
    }
}

/// What a sender signs as a rule says it: one signature that is right is enough.
fn by_rule(input: &VerifyInput<'_>, rule: &SignatureRule, keys: &[&Secret]) -> Result<(), VerifyError> {
    let (name, algorithm) = (rule.header.as_str(), rule.algorithm());
    let given = signatures(input.headers, name, &rule.prefix, |text| rule.encoding.decode(algorithm, text))?;
    if given.is_empty() {
        return Err(malformed(name));
    }
    let time = rule.timestamp_header.as_deref().map(|name| near(input, name, &rule.timestamp_prefix)).transpose()?;
    let id = rule.id_header.as_deref().map(|name| header(input.headers, name)).transpose()?;
    let pieces = rule.pieces().map_err(|_| VerifyError::RuleMissing)?;
    let params = if pieces.contains(&SignedPart::Params) { params(input.headers, input.body, input.url)? } else { Vec::new() };
    let values = SignedValues {
        time: time.unwrap_or_default().as_bytes(),
        id: id.unwrap_or_default(),
        body: input.body,
        method: input.method.as_bytes(),
        url: input.url.as_bytes(),
        params: &params,
    };
    if !values.is_told_apart(&pieces) {
        let header = rule.id_header.as_ref().or(rule.timestamp_header.as_ref());
        return Err(header.map_or(VerifyError::AmbiguousUrl, |name| VerifyError::Ambiguous(name.clone())));
    }
    let parts: Vec<&[u8]> = pieces.iter().map(|piece| values.of(piece)).collect();
    match algorithm.hmac() {
        Some(hmac) => {
            let keys =
                keys.iter().map(|key| Ok(hmac::Key::new(hmac, &rule.key_encoding.read(key)?))).collect::<Result<Vec<_>, VerifyError>>()?;
            matches_any(input, &keys, &parts, &given)
        }
        None => {
            let signed = parts.concat();
            let matched = keys.iter().fold(false, |matched, key| matched | has_signed(algorithm, key, &signed, &given));
            if matched { Ok(()) } else { Err(VerifyError::Mismatch) }
        }
    }
}

/// Standard Webhooks 1.0.0, "Verifying webhook authenticity": any match will do, unknown versions are passed over. Senders that use Svix sign the
/// same under names of their own (Svix Docs, "Verifying webhooks manually").
fn standard_webhooks(input: &VerifyInput<'_>, keys: &[&Secret]) -> Result<(), VerifyError> {
    let is_svix = !input.headers.contains_key("webhook-signature") && input.headers.contains_key("svix-signature");
    let (id_name, time_name, name) = match is_svix {
        true => ("svix-id", "svix-timestamp", "svix-signature"),
        false => ("webhook-id", "webhook-timestamp", "webhook-signature"),
    };
    let id = header(input.headers, id_name)?;
    let given = |prefix: &str| signatures(input.headers, name, prefix, |text| BASE64_LENIENT.decode(text).ok());
    let (symmetric, asymmetric) = (given("v1,")?, given("v1a,")?);
    let time = near(input, time_name, "")?;
    let pieces = [SignedPart::Id, SignedPart::Text("."), SignedPart::Timestamp, SignedPart::Text("."), SignedPart::Body];
    let values = SignedValues { time: time.as_bytes(), id, body: input.body, ..SignedValues::default() };
    if !values.is_told_apart(&pieces) {
        return Err(VerifyError::Ambiguous(id_name.to_owned()));
    }
    let signed = [id, b".", time.as_bytes(), b".", input.body].concat();
    let mut matched = false;
    for secret in keys {
        matched |= match read_standard_key(secret)? {
            StandardKey::Symmetric(key) => matches_any(input, &[sha256(&key)], &[&signed], &symmetric).is_ok(),
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
fn esri_service(input: &VerifyInput<'_>, keys: &[&Secret]) -> Result<(), VerifyError> {
    let name = "x-esrihook-signature";
    // Two content types are read in two ways.
    let content_type = match header(input.headers, CONTENT_TYPE.as_str()) {
        Err(VerifyError::HeaderMissing(_)) => "",
        content_type => std::str::from_utf8(content_type?).unwrap_or_default(),
    };
    let in_form = if is_form(content_type) { esri_form(input.body).map_err(|UnsignedField| VerifyError::UnsignedField)? } else { None };
    // 64 hexadecimal digits are Base64 too, of 48 bytes; the length of an HMAC-SHA256 tells them apart.
    let read = |text: &[u8]| {
        let text = percent_decode(text).decode_utf8().ok()?;
        let text = text.strip_prefix("sha256=")?;
        Encoding::Hex.decode(Algorithm::Sha256, text).or_else(|| Encoding::Base64.decode(Algorithm::Sha256, text))
    };
    let given = match in_form {
        Some(form) => Vec::from_iter(read(form.signature)),
        None => signatures(input.headers, name, "", |text| read(text.as_bytes()))?,
    };
    if given.is_empty() {
        return Err(malformed(name));
    }
    let keys: Vec<_> = keys.iter().map(|key| sha256(key)).collect();
    let Some(form) = in_form else { return matches_any(input, &keys, &[input.body], &given) };
    // Which of the two a sender hashed cannot be told from the form.
    let spaced: Vec<u8> = form.payload.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    let decoded: Vec<u8> = percent_decode(&spaced).collect();
    matches_any(input, &keys, &[form.payload], &given).or_else(|_| matches_any(input, &keys, &[&decoded], &given))
}

fn sha256(key: &Secret) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, key.expose())
}

/// Whether one of the signatures is the HMAC over the parts with one of the keys. Tries all of them in any case.
fn matches_any(input: &VerifyInput<'_>, keys: &[hmac::Key], parts: &[&[u8]], given: &[Vec<u8>]) -> Result<(), VerifyError> {
    // Every HMAC that is believed comes through here: none over what a challenge could have had signed.
    if input.answers_crc && parts.iter().map(|part| part.len()).sum::<usize>() <= CRC_TOKEN_BYTES_MAX && is_crc_token(&parts.concat()) {
        return Err(VerifyError::Challengeable);
    }
    let mut matched = subtle::Choice::from(0);
    for key in keys {
        let mut mac = hmac::Context::with_key(key);
        parts.iter().for_each(|part| mac.update(part));
        let tag = mac.sign();
        for signature in given {
            matched |= tag.as_ref().ct_eq(signature);
        }
    }
    if matched.into() { Ok(()) } else { Err(VerifyError::Mismatch) }
}

/// Whether a credential is one of the secrets. Digests are compared, so that not even the length shows.
fn same(given: &[u8], secrets: &[&Secret]) -> Result<(), VerifyError> {
    let given = Sha256::digest(given);
    let matched = secrets.iter().fold(subtle::Choice::from(0), |matched, secret| matched | given.ct_eq(&Sha256::digest(secret.expose())));
    if matched.into() { Ok(()) } else { Err(VerifyError::Mismatch) }
}

/// The timestamp as it was signed, once it is known to be near.
fn near<'a>(input: &VerifyInput<'a>, name: &str, prefix: &str) -> Result<&'a str, VerifyError> {
    let time = time(input.headers, name, prefix)?;
    let age_s = input.now_s.saturating_sub(seconds(time).ok_or_else(|| malformed(name))?);
    let (away_s, tolerance_s) = (age_s.saturating_abs(), input.tolerance_s);
    match away_s > tolerance_s {
        true if age_s > 0 => Err(VerifyError::TooOld { away_s, tolerance_s }),
        true => Err(VerifyError::InFuture { away_s, tolerance_s }),
        false => Ok(time),
    }
}
