//! That a key never signs for a stranger what is believed of him afterwards, and that what is signed is what is read.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName};
use proptest::prelude::*;

use super::{
    challenge::is_crc_token,
    signed_text::{SignedPart, SignedValues},
    *,
};

const KEY: &str = "nobody outside knows this 8231";
const NOW_S: i64 = 1_700_000_000;

/// What `signed` may say of a rule; of each the host is asked to sign what would be a call.
const SIGNED: [&str; 20] = [
    "{body}",
    "x{body}",
    "{body}x",
    "{timestamp}{body}",
    "{timestamp}.{body}",
    "{body}{timestamp}",
    "{body}.{timestamp}",
    "v0:{timestamp}:{body}",
    "{id}{body}",
    "{body}{id}",
    "{id}.{body}",
    "{body}.{id}",
    "{id}--{body}",
    "{id}.{timestamp}.{body}",
    "{timestamp}.{id}.{body}",
    "{id}|{body}|{timestamp}",
    "{id}{timestamp}{body}",
    "{id}{timestamp}",
    "{timestamp}{id}.{body}",
    "{body}{timestamp}{id}",
];

fn rule(signed: &str) -> SignatureRule {
    SignatureRule {
        encoding: Encoding::Base64,
        signed: signed.into(),
        timestamp_header: signed.contains("{timestamp}").then(|| "x-time".into()),
        id_header: signed.contains("{id}").then(|| "x-id".into()),
        ..SignatureRule::over_body("x-sig", "")
    }
}

/// A call: its headers and its body.
type Given = (Vec<(&'static str, String)>, Vec<u8>);

fn is_believed(scheme: VerifyScheme, rule: Option<&SignatureRule>, given: &Given) -> bool {
    let header = |(name, value): &(&'static str, String)| Some((HeaderName::from_static(name), value.parse().ok()?));
    let headers: Option<HeaderMap> = given.0.iter().map(header).collect();
    let Some(headers) = headers else { return false };
    let input = VerifyInput { rule, answers_crc: true, ..VerifyInput::of(&headers, &given.1, NOW_S) };
    verify(scheme, &input, &[Secret::new(KEY)]).is_ok()
}

/// A time that is near now, in seconds, milliseconds or as RFC 3339 has it.
fn is_near(text: &[u8]) -> bool {
    let seconds = std::str::from_utf8(text).ok().and_then(signed_text::seconds);
    seconds.is_some_and(|seconds| (seconds - NOW_S).abs() <= TIMESTAMP_TOLERANCE_S)
}

/// Every way in which `text` is what the pieces stand for.
fn ways<'t>(pieces: &[SignedPart<'_>], text: &'t [u8], found: SignedValues<'t>, all: &mut Vec<SignedValues<'t>>) {
    let Some((piece, rest)) = pieces.split_first() else {
        if text.is_empty() {
            all.push(found);
        }
        return;
    };
    if let SignedPart::Text(known) = piece {
        if let Some(behind) = text.strip_prefix(known.as_bytes()) {
            ways(rest, behind, found, all);
        }
        return;
    }
    for end in 0..=text.len() {
        let (value, behind) = text.split_at(end);
        match piece {
            SignedPart::Timestamp if is_near(value) => ways(rest, behind, SignedValues { time: value, ..found }, all),
            SignedPart::Id => ways(rest, behind, SignedValues { id: value, ..found }, all),
            SignedPart::Body => ways(rest, behind, SignedValues { body: value, ..found }, all),
            // No rule here has one of the others.
            _ => {}
        }
    }
}

/// Every call a stranger can make of a signature over `text`, scheme by scheme.
fn calls_over(text: &str, signature: &str) -> Vec<(VerifyScheme, Option<SignatureRule>, Given)> {
    let base64 = signature.strip_prefix("sha256=").expect("the form of a `response_token`").to_owned();
    let hex = hex::encode(STANDARD.decode(&base64).expect("Base64"));
    let body = text.as_bytes().to_vec();
    let form = |payload: &str| {
        let content_type = ("content-type", "application/x-www-form-urlencoded".to_owned());
        (vec![content_type], format!("payload={payload}&x-esriHook-Signature={}", signature.replace('+', "%2B")).into_bytes())
    };
    let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let mut calls = vec![
        (VerifyScheme::Github, None, (vec![("x-hub-signature-256", format!("sha256={hex}"))], body.clone())),
        (VerifyScheme::Meta, None, (vec![("x-hub-signature-256", format!("sha256={hex}"))], body.clone())),
        (VerifyScheme::Shopify, None, (vec![("x-shopify-hmac-sha256", base64.clone())], body.clone())),
        (VerifyScheme::EsriService, None, (vec![("x-esrihook-signature", signature.to_owned())], body)),
        (VerifyScheme::EsriService, None, form(text)),
        (VerifyScheme::EsriService, None, form(&encoded)),
    ];
    if let Some((time, body)) = text.split_once('.') {
        calls.push((VerifyScheme::Stripe, None, (vec![("stripe-signature", format!("t={time},v1={hex}"))], body.into())));
    }
    if let Some((time, body)) = text.strip_prefix("v0:").and_then(|text| text.split_once(':')) {
        let headers = vec![("x-slack-signature", format!("v0={hex}")), ("x-slack-request-timestamp", time.to_owned())];
        calls.push((VerifyScheme::Slack, None, (headers, body.into())));
    }
    for rule in SIGNED.map(rule) {
        let (mut all, nothing) = (Vec::new(), SignedValues::default());
        ways(&rule.pieces().expect("a rule"), text.as_bytes(), nothing, &mut all);
        for SignedValues { time, id, body, .. } in all {
            let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let headers = vec![("x-sig", base64.clone()), ("x-time", said(time)), ("x-id", said(id))];
            calls.push((VerifyScheme::Hmac, Some(rule.clone()), (headers, body.to_vec())));
        }
    }
    calls
}

#[track_caller]
fn assert_no_way_in(text: &str) {
    let Some(signature) = signed(text, &Secret::new(KEY)) else { return };
    for (scheme, rule, given) in calls_over(text, &signature) {
        assert!(
            !is_believed(scheme, rule.as_ref(), &given),
            "{scheme:?} {:?} believes a challenge over {text:?}: {given:?}",
            rule.map(|rule| rule.signed)
        );
    }
}

#[test]
fn the_calls_that_are_tried_are_believed_when_the_sender_signs_them() {
    // Else the tests below would show nothing.
    let texts = ["{\"a\":1}", "1700000000.{\"a\":1}", "v0:1700000000:{\"a\":1}", "id-1.1700000000.{}", "{}", "x{}", "{}.id-1", "id-1{}"];
    let mut schemes = std::collections::BTreeSet::new();
    for text in texts {
        let signature = esri_service(text.as_bytes(), &Secret::new(KEY));
        for (scheme, rule, given) in calls_over(text, &signature) {
            if is_believed(scheme, rule.as_ref(), &given) {
                schemes.insert(format!("{scheme:?} {}", rule.map_or(String::new(), |rule| rule.signed)));
            }
        }
    }
    assert!(schemes.len() >= 12, "{schemes:?}");
}

#[test]
fn no_challenge_signs_a_call() {
    let long = "7".repeat(CRC_TOKEN_BYTES_MAX);
    let words = [
        "abc",
        "abc123",
        "0",
        "123",
        "-1",
        "1e5",
        "true",
        "null",
        "1700000000",
        "1700000000abc",
        "abc1700000000",
        "x",
        "xx",
        "id",
        "a--b",
        &long,
    ];
    words.iter().for_each(|word| assert_no_way_in(word));
    for body in [
        "{\"x\":\"FORGED\"}",
        "[1]",
        "\"x\"",
        "1700000000.{}",
        "v0:1700000000:{}",
        "payload={}",
        "a=b&c=d",
        "id.1700000000.x",
        "a.b",
        "a b",
        "",
    ] {
        assert_eq!(signed(body, &Secret::new(KEY)), None, "{body:?} is a body, and nobody signs it for a stranger");
    }
}

#[test]
fn a_word_is_believed_where_its_key_answers_no_challenge() {
    let headers: HeaderMap =
        [(HeaderName::from_static("x-sig"), esri_service(b"ping", &Secret::new(KEY))[7..].parse().expect("a value"))].into_iter().collect();
    let rule = rule("{body}");
    let with = |answers_crc| {
        let input = VerifyInput { rule: Some(&rule), answers_crc, ..VerifyInput::of(&headers, b"ping", NOW_S) };
        verify(VerifyScheme::Hmac, &input, &[Secret::new(KEY)])
    };
    assert_eq!(with(false), Ok(()));
    assert_eq!(with(true), Err(VerifyError::Challengeable));
}

#[test]
fn a_signed_form_is_one_payload_and_one_signature() {
    let payload = "{\"name\":\"signed\"}";
    let signature = esri_service(payload.as_bytes(), &Secret::new(KEY)).replace('+', "%2B");
    let form = |body: &str| {
        is_believed(
            VerifyScheme::EsriService,
            None,
            &(vec![("content-type", "application/x-www-form-urlencoded; charset=utf-8".into())], body.into()),
        )
    };
    let signed = format!("x-esriHook-Signature={signature}");
    assert!(form(&format!("payload={payload}&{signed}")));
    assert!(form(&format!("{signed}&payload={payload}")));
    let forged = "%7B%22name%22%3A%22FORGED%22%7D";
    for twisted in [
        format!("payload={payload}&{signed}&payload={forged}"),
        format!("payload={forged}&payload={payload}&{signed}"),
        format!("payload={payload}&{signed}&%70ayload={forged}"),
        format!("%70ayload={forged}&payload={payload}&{signed}"),
        format!("payload={payload}&{signed}&event=FORGED"),
        format!("payload={payload}&{signed}&"),
        format!("&payload={payload}&{signed}"),
        format!("payload={payload}&{signed}&{signed}"),
        format!("payload={payload}&{signed}&X-EsriHook-Signature=x"),
        format!("Payload={payload}&{signed}"),
        format!("{signed}&{signed}"),
        signed.clone(),
        format!("payload={forged}"),
    ] {
        assert!(!form(&twisted), "{twisted}");
    }
    // Two content types are read in two ways.
    let twice = vec![("content-type", "application/x-www-form-urlencoded".to_owned()), ("content-type", "application/json".to_owned())];
    assert!(!is_believed(VerifyScheme::EsriService, None, &(twice, format!("payload={payload}&{signed}").into())));
}

#[test]
fn what_is_signed_with_a_time_or_an_id_is_read_with_the_same() {
    let key = Secret::new(KEY);
    let hex = |text: &str| github(text.as_bytes(), &key);
    let stripe = |header: String| is_believed(VerifyScheme::Stripe, None, &(vec![("stripe-signature", header)], b"{}".to_vec()));
    assert!(stripe(format!("t={NOW_S},v1={}", hex("1700000000.{}"))));
    for twice in [format!("t=1,t={NOW_S},v1={}", hex("1700000000.{}")), format!("t={NOW_S},t={NOW_S},v1={}", hex("1700000000.{}"))] {
        assert!(!stripe(twice));
    }
    let by_rule = |signed: &str, text: &str, id: &str, body: &str| {
        let base64 = esri_service(text.as_bytes(), &key)[7..].to_owned();
        is_believed(
            VerifyScheme::Hmac,
            Some(&rule(signed)),
            &(vec![("x-sig", base64), ("x-time", NOW_S.to_string()), ("x-id", id.into())], body.into()),
        )
    };
    // Each signature is over the same bytes; the second call moved the end of the id.
    for (signed, text, right, moved) in [
        ("{id}.{timestamp}.{body}", "a.1700000000.1700000000.{}", ("a", "1700000000.{}"), ("a.1700000000", "{}")),
        ("{id}.{body}", "a.b.{}", ("a", "b.{}"), ("a.b", "{}")),
        ("{body}.{id}", "{}.b.a", ("a", "{}.b"), ("b.a", "{}")),
        ("{id}{body}", "a{}", ("a", "{}"), ("a{", "}")),
        ("{id}{timestamp}{body}", "a1700000000{\"at\":1700000000}", ("a", "{\"at\":1700000000}"), ("a1700000000{\"at\":", "}")),
        ("{body}{id}", "{}a", ("a", "{}"), ("}a", "{")),
    ] {
        assert!(by_rule(signed, text, right.0, right.1), "{signed}");
        assert!(!by_rule(signed, text, moved.0, moved.1), "{signed}");
    }
    // An id with a dot in it is nobody's fault where it cannot be read otherwise.
    assert!(by_rule("{id}.{timestamp}.{body}", "evt.12.1700000000.{}", "evt.12", "{}"));
}

proptest! {
    #[test]
    fn whatever_a_stranger_asks_for_is_no_call(text in "[a-zA-Z0-9+/=_.:{}\\[\\]\"& -]{0,24}|(v0:)?1700000[0-9]{3}[.:]?[a-z0-9{}\"=_-]{0,12}|[a-z0-9_-]{1,6}1700000[0-9]{3}") {
        assert_no_way_in(&text);
    }

    #[test]
    fn what_is_signed_for_strangers_is_no_document(text in "[A-Za-z0-9+/=_-]{0,300}|[ -~]{0,20}") {
        let bytes = text.as_bytes();
        let is_document = serde_json::from_slice::<serde_json::Value>(bytes).is_ok_and(|json| json.is_object() || json.is_array() || json.is_string());
        let is_form = bytes.contains(&b'&');
        prop_assert!(!is_crc_token(bytes) || (bytes.len() <= CRC_TOKEN_BYTES_MAX && !is_document && !is_form));
    }

    #[test]
    fn what_is_signed_can_be_read_in_one_way_alone(text in "[a.|{1-]{0,6}(1700000000|1700000123|1700000000000|2023-11-14T22:13:20(\\.1)?Z)?[a.|{1-]{0,4}(1700000000|2023-11-14T23:13:20\\+01:00)?[a.|{1-]{0,4}") {
        for signed in SIGNED {
            let rule = rule(signed);
            let pieces = rule.pieces().expect("a rule");
            let (mut all, nothing) = (Vec::new(), SignedValues::default());
            ways(&pieces, text.as_bytes(), nothing, &mut all);
            let believed: Vec<_> = all.into_iter().filter(|values| values.is_told_apart(&pieces)).collect();
            prop_assert!(believed.len() <= 1, "{signed}: {text:?} is read as {believed:?}");
        }
    }
}
