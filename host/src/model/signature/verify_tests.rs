//! What each scheme lets in, and what it keeps out.

use http::HeaderMap;

use super::{signing_tests::*, *};

const NOW_S: i64 = TIME_S + 10;

fn map(headers: &[(&'static str, &str)]) -> HeaderMap {
    headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse::<HeaderValue>().unwrap())).collect()
}

fn check(scheme: VerifyScheme, headers: &[(&'static str, &str)], body: &[u8], now_s: i64, keys: &[&str]) -> Result<(), VerifyError> {
    let headers = map(headers);
    verify(scheme, &VerifyInput::of(&headers, body, now_s), &keys.iter().map(|key| secret(key)).collect::<Vec<_>>())
}

fn missing(name: &str) -> Result<(), VerifyError> {
    Err(VerifyError::HeaderMissing(name.into()))
}

fn malformed(name: &str) -> Result<(), VerifyError> {
    Err(VerifyError::Malformed(name.into()))
}

const MISMATCH: Result<(), VerifyError> = Err(VerifyError::Mismatch);

fn old(away_s: i64) -> Result<(), VerifyError> {
    Err(VerifyError::TooOld { away_s, tolerance_s: TIMESTAMP_TOLERANCE_S })
}

fn early(away_s: i64) -> Result<(), VerifyError> {
    Err(VerifyError::InFuture { away_s, tolerance_s: TIMESTAMP_TOLERANCE_S })
}

#[test]
fn github() {
    let key = "It's a Secret to Everybody";
    let good = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let with = |value: &str, body: &[u8]| check(VerifyScheme::Github, &[("x-hub-signature-256", value)], body, 0, &[key]);
    assert_eq!(with(good, b"Hello, World!"), Ok(()));
    assert_eq!(with(good, b"Hello, World?"), MISMATCH);
    assert_eq!(with(&good[7..], b"Hello, World!"), malformed("x-hub-signature-256"));
    assert_eq!(with(&good[..70], b"Hello, World!"), malformed("x-hub-signature-256"));
    assert_eq!(with(&format!("sha256={SHOPIFY_OF_GITHUBS}"), b"Hello, World!"), malformed("x-hub-signature-256"));
    assert_eq!(check(VerifyScheme::Github, &[], b"", 0, &[key]), missing("x-hub-signature-256"));
    let twice = [("x-hub-signature-256", good), ("x-hub-signature-256", good)];
    assert_eq!(check(VerifyScheme::Github, &twice, b"Hello, World!", 0, &[key]), Ok(()));
    // An old and a new key.
    assert_eq!(check(VerifyScheme::Github, &[("x-hub-signature-256", good)], b"Hello, World!", 0, &["new", key]), Ok(()));
}

#[test]
fn shopify() {
    let with = |value: &str| {
        check(VerifyScheme::Shopify, &[("x-shopify-hmac-sha256", value)], b"Hello, World!", 0, &["It's a Secret to Everybody"])
    };
    assert_eq!(with(SHOPIFY_OF_GITHUBS), Ok(()));
    assert_eq!(with("AAEH6g6yUJ/CESIczphLijdXC211hsIsRvQ3nIsEPhc="), MISMATCH);
    assert_eq!(with("757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"), malformed("x-shopify-hmac-sha256"));
}

#[test]
fn stripe_counts_every_v1_and_nothing_else() {
    let (key, body, time) = ("whsec_test_secret", br#"{"id":"evt_test","object":"event"}"#, 1_492_774_577);
    let good = "691252e266ce41cb94d709c84e9580d4172b117a510bbc81723f657d2cd5d215";
    let bad = "0".repeat(64);
    let with = |value: &str, now_s| check(VerifyScheme::Stripe, &[("stripe-signature", value)], body, now_s, &[key]);
    assert_eq!(with(&format!("t=1492774577,v1={good}"), time), Ok(()));
    assert_eq!(with(&format!("t=1492774577,v1={bad},v1={good},v0={bad}"), time + 300), Ok(()));
    assert_eq!(with(&format!("t=1492774577,v1={good}"), time + 301), old(301));
    assert_eq!(with(&format!("t=1492774577,v1={good}"), time - 300), Ok(()));
    assert_eq!(with(&format!("t=1492774577,v1={good}"), time - 301), early(301));
    assert_eq!(with(&format!("t=1492774577,v1={bad},v0={good}"), time), MISMATCH);
    assert_eq!(with(&format!("t=1492774577,v0={good}"), time), malformed("stripe-signature"));
    assert_eq!(with(&format!("t=1492774578,v1={good}"), time), MISMATCH);
    assert_eq!(with(&format!("t=-1,v1={good}"), time), malformed("stripe-signature"));
    assert_eq!(with(&format!("v1={good}"), time), malformed("stripe-signature"));
    assert_eq!(check(VerifyScheme::Stripe, &[], body, time, &[key]), missing("stripe-signature"));
}

#[test]
fn slack() {
    let with = |signature: &str, time: &str, now_s| {
        let headers = [("x-slack-signature", signature), ("x-slack-request-timestamp", time)];
        check(VerifyScheme::Slack, &headers, SLACK_BODY, now_s, &[SLACK_SECRET])
    };
    assert_eq!(with(SLACK_SIGNATURE, "1531420618", SLACK_TIME_S), Ok(()));
    assert_eq!(with(SLACK_SIGNATURE, "1531420618", SLACK_TIME_S + 300), Ok(()));
    assert_eq!(with(SLACK_SIGNATURE, "1531420618", SLACK_TIME_S + 301), old(301));
    assert_eq!(with(SLACK_SIGNATURE, "1531420618", SLACK_TIME_S - 301), early(301));
    assert_eq!(with(SLACK_SIGNATURE, "1531420619", SLACK_TIME_S), MISMATCH);
    assert_eq!(with(SLACK_SIGNATURE, "99999999999999999999", SLACK_TIME_S), malformed("x-slack-request-timestamp"));
    assert_eq!(with(&SLACK_SIGNATURE[3..], "1531420618", SLACK_TIME_S), malformed("x-slack-signature"));
}

fn standard(signature: &str, id: &str, body: &[u8], now_s: i64, keys: &[&str]) -> Result<(), VerifyError> {
    let headers = [("webhook-id", id), ("webhook-timestamp", "1614265330"), ("webhook-signature", signature)];
    check(VerifyScheme::StandardWebhooks, &headers, body, now_s, keys)
}

#[test]
fn standard_webhooks_takes_any_match_and_passes_over_unknown_versions() {
    let with = |signature: &str| standard(signature, ID, BODY, NOW_S, &[SYMMETRIC]);
    assert_eq!(with(V1), Ok(()));
    assert_eq!(with(&format!("v2,abc v1a,AAAA v1,AAAA nonsense {V1}")), Ok(()));
    assert_eq!(with(&V1.replace("v1,", "v2,")), MISMATCH);
    assert_eq!(with(V1A), MISMATCH);
    assert_eq!(with(""), MISMATCH);
    assert_eq!(standard(V1, "msg_other", BODY, NOW_S, &[SYMMETRIC]), MISMATCH);
    assert_eq!(standard(V1, ID, b"{}", NOW_S, &[SYMMETRIC]), MISMATCH);
    assert_eq!(standard(V1, ID, BODY, TIME_S + 300, &[SYMMETRIC]), Ok(()));
    assert_eq!(standard(V1, ID, BODY, TIME_S + 301, &[SYMMETRIC]), old(301));
    assert_eq!(standard(V1, ID, BODY, TIME_S - 301, &[SYMMETRIC]), early(301));
    assert_eq!(standard(V1, ID, BODY, NOW_S, &["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", SYMMETRIC]), Ok(()));
}

#[test]
fn standard_webhooks_verifies_ed25519() {
    assert_eq!(standard(V1A, ID, BODY, NOW_S, &[PUBLIC]), Ok(()));
    assert_eq!(standard(&format!("{V1} {V1A}"), ID, BODY, NOW_S, &[PUBLIC]), Ok(()));
    assert_eq!(standard(V1A, ID, b"{}", NOW_S, &[PUBLIC]), MISMATCH);
    assert_eq!(standard(V1, ID, BODY, NOW_S, &[PUBLIC]), MISMATCH);
}

#[test]
fn esri_service_reads_what_esris_samples_send() {
    let with = |value: &str| check(VerifyScheme::EsriService, &[("x-esrihook-signature", value)], ESRI_BODY, 0, &[ESRI_KEY]);
    assert_eq!(with(ESRI_SIGNATURE), Ok(()));
    assert_eq!(with(ESRI_HEX), Ok(()));
    assert_eq!(with("sha256%3Dc0qgnFeThvWR%2FWmpEENnu9IQzWiP2yp2fVNEI3iXEkI%3D"), Ok(()));
    assert_eq!(with(&ESRI_SIGNATURE.replace("c0qg", "c0qh")), MISMATCH);
    assert_eq!(with(&ESRI_SIGNATURE[7..]), malformed("x-esrihook-signature"));
    assert_eq!(check(VerifyScheme::EsriService, &[], ESRI_BODY, 0, &[ESRI_KEY]), missing("x-esrihook-signature"));
}

#[test]
fn esri_service_reads_forms() {
    let form =
        |body: &[u8]| check(VerifyScheme::EsriService, &[("content-type", "application/x-www-form-urlencoded")], body, 0, &[ESRI_KEY]);
    let ours = esri_service_form(ESRI_BODY, &secret(ESRI_KEY)).unwrap();
    assert_eq!(form(&ours), Ok(()));
    let mut tampered = ours.to_vec();
    tampered[12] ^= 1;
    assert_eq!(form(&tampered), MISMATCH);
    // A sender that hashes the JSON and then encodes the form.
    let encoded: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("payload", std::str::from_utf8(ESRI_BODY).unwrap())
        .append_pair("x-esriHook-Signature", ESRI_SIGNATURE)
        .finish();
    assert_eq!(form(encoded.as_bytes()), Ok(()));
    assert_eq!(form(b"payload={}"), missing("x-esrihook-signature"));
}

#[test]
fn hmac_follows_its_rule() {
    let headers = map(&[("x-sig", "v1:dXEH6g6yUJ/CESIczphLijdXC211hsIsRvQ3nIsEPhc")]);
    let with = |rule: Option<&SignatureRule>| {
        let input = VerifyInput { rule, ..VerifyInput::of(&headers, b"Hello, World!", 0) };
        verify(VerifyScheme::Hmac, &input, &[secret("It's a Secret to Everybody")])
    };
    let rule = SignatureRule { encoding: Encoding::Base64, ..SignatureRule::over_body("X-Sig", "v1:") };
    assert_eq!(with(Some(&rule)), Ok(()));
    assert_eq!(with(Some(&SignatureRule { prefix: "v2:".into(), ..rule.clone() })), malformed("X-Sig"));
    assert_eq!(with(Some(&SignatureRule { encoding: Encoding::Hex, ..rule.clone() })), malformed("X-Sig"));
    assert_eq!(with(None), Err(VerifyError::RuleMissing));
    assert_eq!(credential_headers(VerifyScheme::EsriOrganization), ["secret"]);
    assert_eq!(SignatureRule { header: "no header".into(), ..rule }.problems(false)[0].0, "header");
}

#[test]
fn credentials_are_compared_whole() {
    let organization = |value: &str| check(VerifyScheme::EsriOrganization, &[("secret", value)], b"", 0, &["old", "hunter2"]);
    assert_eq!(organization("hunter2"), Ok(()));
    assert_eq!(organization("hunter"), MISMATCH);
    let basic = |value: &str| check(VerifyScheme::Basic, &[("authorization", value)], b"", 0, &["ada:love:lace"]);
    assert_eq!(basic("Basic YWRhOmxvdmU6bGFjZQ=="), Ok(()));
    assert_eq!(basic("basic YWRhOmxvdmU6bGFjZQ"), Ok(()));
    assert_eq!(basic("Basic YWRhOmxvdmU="), MISMATCH);
    assert_eq!(basic("Bearer YWRhOmxvdmU6bGFjZQ=="), malformed("authorization"));
    assert_eq!(basic("Basic ***"), malformed("authorization"));
    let bearer = |value: &str| check(VerifyScheme::Bearer, &[("authorization", value)], b"", 0, &["t0ken"]);
    assert_eq!(bearer("Bearer t0ken"), Ok(()));
    assert_eq!(bearer("Bearer t0kem"), MISMATCH);
    assert_eq!(bearer("t0ken"), malformed("authorization"));
    assert_eq!(check(VerifyScheme::Bearer, &[], b"", 0, &["t0ken"]), missing("authorization"));
}

#[test]
fn a_key_that_is_none_lets_nobody_in() {
    let empty = [("authorization", "Bearer "), ("secret", "")];
    assert_eq!(check(VerifyScheme::Bearer, &empty, b"", 0, &[""]), Err(VerifyError::Key(BadKey::Empty)));
    assert_eq!(check(VerifyScheme::EsriOrganization, &empty, b"", 0, &[]), Err(VerifyError::KeyMissing));
    assert_eq!(check(VerifyScheme::Basic, &empty, b"", 0, &["nobody"]), Err(VerifyError::Key(BadKey::NotUserAndPassword)));
    assert_eq!(check(VerifyScheme::None, &[], b"", 0, &[]), Ok(()));
}

#[test]
fn senders_that_use_svix_sign_under_names_of_their_own() {
    let with = |headers: &[(&'static str, &str)]| check(VerifyScheme::StandardWebhooks, headers, BODY, NOW_S, &[SYMMETRIC]);
    assert_eq!(with(&[("svix-id", ID), ("svix-timestamp", "1614265330"), ("svix-signature", V1)]), Ok(()));
    assert_eq!(with(&[("webhook-id", ID), ("svix-timestamp", "1614265330"), ("svix-signature", V1)]), missing("svix-id"));
}
