//! The senders of the table in `docs/receivers.md`: what each signs is believed by the `verify` that the table names, and nothing else is.
//! The signatures were made by other programs (Python's `hmac` and `cryptography`), or are the sender's own published examples.

use http::{HeaderMap, HeaderName};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model::{
    receiver::{Receiver, ReceiverSpec, VerifySpec},
    secret::Secret,
};

const DOCS: &str = include_str!("../../../docs/receivers.md");
const NOW_S: i64 = 1_700_000_000;
const URL: &str = "https://hooks.example.net/api/v1/webhook/CODE";
const JSON: &str = r#"{"a":1}"#;
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded; charset=UTF-8");

/// The `verify` of each sender in the table.
fn table() -> Vec<(&'static str, Value)> {
    let rows = DOCS.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix("` |")?.split_once(" | `"));
    rows.filter(|(_, verify)| verify.starts_with('{'))
        .map(|(sender, verify)| (sender, serde_json::from_str(verify).expect(sender)))
        .collect()
}

fn compiled(verify: &Value) -> Result<Receiver, String> {
    let document = json!({ "name": "r", "reply": { "message": "x" }, "verify": verify });
    let spec: ReceiverSpec = serde_json::from_value(document).map_err(|error| error.to_string())?;
    Receiver::compile(&spec, &Default::default()).map_err(|problems| format!("{problems:?}"))
}

/// A call as one sender signs it.
struct Sent {
    sender: &'static str,
    key: &'static str,
    url: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
}

const SHA256_OF_JSON: &str = "88a67f24bbcdaed0e6c997404bb79a743baf44c6bab2f4c27328e3009d22e342";

fn sent() -> Vec<Sent> {
    vec![
        Sent { sender: "Dropbox", key: "key", url: URL, headers: &[("x-dropbox-signature", SHA256_OF_JSON)], body: JSON },
        Sent { sender: "Nylas", key: "key", url: URL, headers: &[("x-nylas-signature", SHA256_OF_JSON)], body: JSON },
        Sent {
            sender: "Intercom",
            key: "key",
            url: URL,
            headers: &[("x-hub-signature", "sha1=b5557a4b8f3cc308d19eb4f69f336392a31eef7b")],
            body: JSON,
        },
        Sent {
            sender: "Paystack",
            key: "key",
            url: URL,
            headers: &[(
                "x-paystack-signature",
                "dc7d8a6a7926059e98697ef54a65f745d924fc3e13c1176879dcdc84eac480bae377fa06d1ebcc6fab1375cd9bd611a1899694cc4ca7dc0f629d8b8133c5c83d",
            )],
            body: JSON,
        },
        Sent {
            sender: "PagerDuty",
            key: "key",
            url: URL,
            headers: &[(
                "x-pagerduty-signature",
                "v1=0000000000000000000000000000000000000000000000000000000000000000,v1=88a67f24bbcdaed0e6c997404bb79a743baf44c6bab2f4c27328e3009d22e342",
            )],
            body: JSON,
        },
        // Twilio Docs, "Webhooks security".
        Sent {
            sender: "Twilio",
            key: "12345",
            url: "https://mycompany.com/myapp.php?foo=1&bar=2",
            headers: &[FORM, ("x-twilio-signature", "RSOYDt4T1cUTdK1PDd93/VVr8B8=")],
            body: "To=%2B18005551212&From=%2B14158675309&Digits=1234&Caller=%2B14158675309&CallSid=CA1234567890ABCDE",
        },
        Sent {
            sender: "Twilio",
            key: "12345",
            url: "https://example.com/myapp?bodySHA256=d5729c000e5de6b3a10698fec78d482db85d744f1be820d1382b6bda1cfb7795",
            headers: &[("content-type", "application/json"), ("x-twilio-signature", "B0+4xg0o5HFx7p+0mzOPdMYZ7/E=")],
            body: r#"{"property":"value","boolean":true}"#,
        },
        Sent {
            sender: "Mandrill",
            key: "key",
            url: URL,
            headers: &[FORM, ("x-mandrill-signature", "y21kuf5zL631C2UCH9Zi9KjNMUU=")],
            body: "mandrill_events=%5B%7B%22event%22%3A%22send%22%7D%5D",
        },
        // Square Developer, "Validate and verify webhooks".
        Sent {
            sender: "Square",
            key: "asdf1234",
            url: "https://example.com/webhook",
            headers: &[("x-square-hmacsha256-signature", "2kRE5qRU2tR+tBGlDwMEw2avJ7QM4ikPYD/PJ3bd9Og=")],
            body: r#"{"hello":"world"}"#,
        },
        Sent {
            sender: "HubSpot",
            key: "key",
            url: URL,
            headers: &[
                ("x-hubspot-signature-v3", "7cuLw+sX4JlOfz31MDIwyOFKaFyGoj50KWTbIdzzIlw="),
                ("x-hubspot-request-timestamp", "1700000000123"),
            ],
            body: JSON,
        },
        Sent {
            sender: "Zoom",
            key: "key",
            url: URL,
            headers: &[
                ("x-zm-signature", "v0=3f00229db66e5b0b7299ad483b6cb6cff2d9bdd12ad57667f525e10266fa6a6b"),
                ("x-zm-request-timestamp", "1700000000"),
            ],
            body: JSON,
        },
        Sent {
            sender: "Twitch",
            key: "key",
            url: URL,
            headers: &[
                ("twitch-eventsub-message-id", "84c1e79a-2a4b-4c13-ba0b-4312293e9308"),
                ("twitch-eventsub-message-timestamp", "2023-11-14T22:13:20.634234626Z"),
                ("twitch-eventsub-message-signature", "sha256=e742140f6704ac210a73b8988fbc77027a7b53fa536459219ceb12ee025b6141"),
            ],
            body: JSON,
        },
        Sent {
            sender: "Box",
            key: "key",
            url: URL,
            headers: &[
                ("box-delivery-timestamp", "2023-11-14T14:13:20-08:00"),
                ("box-signature-primary", "vUW9rIQ78t4dnVC1GIs+ccYQeoh3hj7o+A98B23rKFU="),
            ],
            body: JSON,
        },
        Sent {
            sender: "Calendly, Mux, WorkOS",
            key: "key",
            url: URL,
            headers: &[("calendly-webhook-signature", "t=1700000000,v1=a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03")],
            body: JSON,
        },
        Sent {
            sender: "Paddle",
            key: "key",
            url: URL,
            headers: &[("paddle-signature", "ts=1700000000;h1=ba2e91a1c006db43265dd2b67e179429a9e29cf81ab88294ad07ec4e03b6c5a3")],
            body: JSON,
        },
        Sent {
            sender: "Microsoft Teams",
            key: "a2V5IG9mIHRlYW1z",
            url: URL,
            headers: &[("authorization", "HMAC TbXSnDsgzJ7n2ALslpgaPavYMjfnKi58+6wo/6ufohk=")],
            body: JSON,
        },
        Sent {
            sender: "Discord",
            key: "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8",
            url: URL,
            headers: &[
                (
                    "x-signature-ed25519",
                    "c8d73022435ec863114ff2d7b07d69e4e2a9cf34538e7c56438820796b3af39af582ec6c2fafef85df9a225d9011487798a56c73a8b920d5a0c9f69186aaef0f",
                ),
                ("x-signature-timestamp", "1700000000"),
            ],
            body: JSON,
        },
        Sent {
            sender: "SendGrid",
            key: "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE+evkZBR8wQLZIyTQmdknwaUOQtV6CKEW/+wKKYGdjGVwuvfRKIiQKmoMHWet0QMSPIWatpv46UMck4STDUt+7g==",
            url: URL,
            headers: &[
                (
                    "x-twilio-email-event-webhook-signature",
                    "MEQCICpWh0PW/DvPOONBkMwx4dQSlXTd3HiFlkO5Uv9L3ulqAiABlwR14bRz98Hj+QqZl1tEDhsWiN4uBWfrUOSysOH0Tw==",
                ),
                ("x-twilio-email-event-webhook-timestamp", "1700000000"),
            ],
            body: r#"[{"event":"open"}]"#,
        },
        Sent { sender: "GitLab", key: "a token", url: URL, headers: &[("x-gitlab-token", "a token")], body: JSON },
    ]
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a value"))).collect()
}

fn check(by: &VerifySpec, sent: &Sent, key: &str, url: &str, body: &str, now_s: i64) -> Result<(), VerifyError> {
    let headers = headers(sent.headers);
    let input =
        VerifyInput { url, rule: by.rule(), token_header: by.token_header.as_deref(), ..VerifyInput::of(&headers, body.as_bytes(), now_s) };
    verify(by.scheme, &input, &[Secret::new(key)])
}

#[test]
fn each_sender_of_the_table_is_believed_and_nobody_in_its_name() {
    let (table, sent) = (table(), sent());
    for (sender, verify) in &table {
        let receiver = compiled(verify).unwrap_or_else(|problems| panic!("{sender}: {problems}"));
        assert!(verify["scheme"] == "none" || sent.iter().any(|sent| sent.sender == *sender), "{sender} has no call here");
        assert!(receiver.verify.scheme == VerifyScheme::None || !receiver.verify.credential_headers().is_empty(), "{sender}");
    }
    for sent in &sent {
        let verify = &table.iter().find(|(sender, _)| *sender == sent.sender).unwrap_or_else(|| panic!("no row for {}", sent.sender)).1;
        let verify = compiled(verify).expect("compiled above").verify;
        assert_eq!(verify.scheme.check_key(verify.rule(), &Secret::new(sent.key)), Ok(()), "{}", sent.sender);
        let with = |key: &str, url: &str, body: &str, now_s| check(&verify, sent, key, url, body, now_s);
        assert_eq!(with(sent.key, sent.url, sent.body, NOW_S), Ok(()), "{}", sent.sender);
        let is_token = verify.scheme == VerifyScheme::Token;
        for body in [sent.body.replace(['1', '"', 's'], "2"), format!("{}x", sent.body), String::new()] {
            assert_eq!(with(sent.key, sent.url, &body, NOW_S).is_ok(), is_token, "{}: {body}", sent.sender);
        }
        let other = if verify.scheme == VerifyScheme::PublicKey { "a2V5".to_owned() } else { format!("{}BBBB", sent.key) };
        assert!(with(&other, sent.url, sent.body, NOW_S).is_err(), "{}: another key", sent.sender);
        let rule = verify.rule();
        if rule.is_some_and(|rule| rule.signed.contains("{url}")) {
            for url in [format!("{}x", sent.url), sent.url.replace("https", "http"), String::new()] {
                assert!(with(sent.key, &url, sent.body, NOW_S).is_err(), "{}: {url:?}", sent.sender);
            }
        }
        if rule.is_some_and(|rule| rule.timestamp_header.is_some()) {
            assert!(matches!(with(sent.key, sent.url, sent.body, NOW_S + 302), Err(VerifyError::TooOld { .. })), "{}", sent.sender);
            assert!(matches!(with(sent.key, sent.url, sent.body, NOW_S - 302), Err(VerifyError::InFuture { .. })), "{}", sent.sender);
        }
    }
}

fn hmac(more: Value) -> SignatureRule {
    let mut rule = json!({ "header": "x-sig" });
    rule.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
    serde_json::from_value(rule).expect("a rule")
}

fn by(rule: &SignatureRule, given: &[(&'static str, &str)], body: &str, keys: &[&str]) -> Result<(), VerifyError> {
    let headers = headers(given);
    let input = VerifyInput { rule: Some(rule), ..VerifyInput::of(&headers, body.as_bytes(), NOW_S) };
    let scheme = if rule.algorithm().is_public() { VerifyScheme::PublicKey } else { VerifyScheme::Hmac };
    verify(scheme, &input, &keys.iter().map(|key| Secret::new(*key)).collect::<Vec<_>>())
}

#[test]
fn of_several_signatures_one_that_is_right_is_enough_and_their_number_is_bounded() {
    let (good, bad) = (SHA256_OF_JSON, "0".repeat(64));
    let rule = hmac(json!({ "prefix": "v1=" }));
    let with = |values: &[&str]| by(&rule, &values.iter().map(|value| ("x-sig", *value)).collect::<Vec<_>>(), JSON, &["key"]);
    for header in [
        format!("v1={bad},v1={good}"),
        format!("v1={good}, v1={bad}"),
        format!("v1={bad} v1={good}"),
        format!("v0={bad};v1={good};nonsense"),
        format!("v1=zz,v1={good}"),
        format!("v1={}", good.to_uppercase()),
    ] {
        assert_eq!(with(&[&header]), Ok(()), "{header}");
    }
    assert_eq!(with(&[&format!("v1={bad}"), &format!("v1={good}")]), Ok(()), "the header twice");
    assert_eq!(with(&[&format!("v1={bad},v1={bad}")]), Err(VerifyError::Mismatch));
    for nothing in ["", ",", good, "v1=", "v1", &format!("v0={good}")] {
        assert_eq!(with(&[nothing]), Err(VerifyError::Malformed("x-sig".into())), "{nothing}");
    }
    let many = |count: usize| format!("{}v1={good}", format!("v1={bad},").repeat(count - 1));
    assert_eq!(with(&[&many(SIGNATURES_MAX)]), Ok(()));
    let too_many = Err(VerifyError::TooManySignatures("x-sig".into()));
    assert_eq!(with(&[&many(SIGNATURES_MAX + 1)]), too_many);
    assert_eq!(with(&[&many(SIGNATURES_MAX), &many(1)]), too_many);
}

#[test]
fn any_of_several_keys_will_do_and_one_that_is_none_is_passed_over() {
    let rule = hmac(json!({}));
    let with = |keys: &[&str]| by(&rule, &[("x-sig", SHA256_OF_JSON)], JSON, keys);
    for keys in [&["key"][..], &["new", "key"], &["key", "old"], &["", "key"], &["-----BEGIN PUBLIC KEY-----", "key"]] {
        assert_eq!(with(keys), Ok(()), "{keys:?}");
    }
    assert_eq!(with(&["new", "old"]), Err(VerifyError::Mismatch));
    assert_eq!(with(&["", ""]), Err(VerifyError::Key(BadKey::Empty)));
    assert_eq!(with(&[]), Err(VerifyError::KeyMissing));
}

#[test]
fn signatures_and_keys_are_read_as_the_rule_says() {
    let body = r#"{"a":3}"#;
    let in_urls = "FuZEGl1qg6pgcSPS1ySMgFC_zz0lrY3dOa5h75-LOKI";
    let rule = hmac(json!({ "encoding": "base64url" }));
    for signature in [in_urls.to_owned(), format!("{in_urls}=")] {
        assert_eq!(by(&rule, &[("x-sig", &signature)], body, &["key"]), Ok(()), "{signature}");
    }
    let malformed = Err(VerifyError::Malformed("x-sig".into()));
    assert_eq!(by(&hmac(json!({ "encoding": "base64" })), &[("x-sig", in_urls)], body, &["key"]), malformed);
    let in_base64 = hmac(json!({ "encoding": "base64" }));
    let standard = in_urls.replace('-', "+").replace('_', "/");
    for signature in [standard.clone(), format!("{standard}=")] {
        assert_eq!(by(&in_base64, &[("x-sig", &signature)], body, &["key"]), Ok(()), "{signature}");
    }
    // One algorithm's signature is not another's, by its length.
    assert_eq!(by(&hmac(json!({ "algorithm": "sha512" })), &[("x-sig", SHA256_OF_JSON)], JSON, &["key"]), malformed);
    assert_eq!(by(&hmac(json!({ "algorithm": "sha1" })), &[("x-sig", SHA256_OF_JSON)], JSON, &["key"]), malformed);
    for (encoding, key) in [("hex", "6b6579"), ("base64", "a2V5"), ("text", "key")] {
        let rule = hmac(json!({ "key_encoding": encoding }));
        assert_eq!(by(&rule, &[("x-sig", SHA256_OF_JSON)], JSON, &[key]), Ok(()), "{encoding}");
    }
    for (encoding, key) in [("hex", "no digits"), ("base64", "***")] {
        let rule = hmac(json!({ "key_encoding": encoding }));
        assert!(matches!(VerifyScheme::Hmac.check_key(Some(&rule), &Secret::new(key)), Err(BadKey::NotEncoded(_))), "{encoding}");
    }
}

const RSA: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAk9UlGuHu4v3UXnuQRuGr
6rJiO9aR5BgPRsnEJQxouSVcqGxNyQ14SnPPLONyTKbsOQlM9/oEw6GDnULl+76g
QB6sL5bJl/CXU15GVBK5PQ8voXf5kGHW/8Q7Ti1zHJA5SbXN/u2dqagAgPOUmLRR
LFi2KS+CISn/UfNZj+ngK7wvbmepBPSo1NtbtthKKNpaolsATloUWoYqDjis/Wx4
PciqfQ4z/RGEwISm+cQVxxlHMoMKcBNYAqsf/8F04Qv67RUIp4eijGq9TSnO8ux1
3GRihzb6XTOeu6CdfJx8/uCHlUkne4nZbhwoy5WW9w4sJSeopjcAVF5AjuTRi1Xy
aQIDAQAB
-----END PUBLIC KEY-----
";
const RSA_SIGNATURE: &str = "TmLdWDUz1otUZfuv6nAYQUQ+wV85J0UcPO/qflr96+OO26el+5ziMEk0bjSE11uT89obvxTWb65tH/W+u0WVXQYB68ktBV0pBTFjaAuixlaglstkNG5t2DfMs+utGxgRM0xb/sN/3ACeeLVZBhLlQQ5b4nVQuqHqcvXp1D0OTep4fEweasIlSjwhr5Y9IG6dzYOVM7F+m2D49K8bt9WZUU3N3qgtzA1v3k5cLzRAxI6nhs7aVrTG9l7ED+ZsgRry7gRgDTCyrfjz+H0jMKpw82xNDG8dfmGa2ndKQC4C+t4O8k7a09u7zheWswVJWO9wx4FazcGHpWHR+KQI26oCRQ==";
const SHORT_RSA: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDJxgmcAVZ0nJH9Smpde88670vA
DMDA86Xh7/d13Q8jRGIsY5JP/BzKRd/bMgQU+3TmoKN5h99MAexvTCSJ2JGJXSPq
JKYQSETSs5CFiyDsb667mVKbGX03cutax/0gjewvEN7BGtPptJzYDZOKAzDj2jkQ
X3+ONsGsXoI3p3d23wIDAQAB
-----END PUBLIC KEY-----
";
const ED25519_PEM: &str =
    "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAA6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=\n-----END PUBLIC KEY-----\n";

#[test]
fn public_keys_are_read_however_they_are_written_and_are_of_their_algorithm() {
    let rsa = hmac(json!({ "algorithm": "rsa-sha256", "encoding": "base64" }));
    assert_eq!(by(&rsa, &[("x-sig", RSA_SIGNATURE)], JSON, &[RSA]), Ok(()));
    assert_eq!(by(&rsa, &[("x-sig", RSA_SIGNATURE)], JSON, &["a2V5", RSA]), Ok(()), "an unusable key is skipped");
    assert_eq!(by(&rsa, &[("x-sig", RSA_SIGNATURE)], "{}", &[RSA]), Err(VerifyError::Mismatch));
    let bare: String = RSA.lines().filter(|line| !line.starts_with('-')).collect();
    assert_eq!(by(&rsa, &[("x-sig", RSA_SIGNATURE)], JSON, &[&bare]), Ok(()), "Base64 without its frame");
    let can = |algorithm: &str, key: &str| {
        VerifyScheme::PublicKey.check_key(Some(&hmac(json!({ "algorithm": algorithm }))), &Secret::new(key)).is_ok()
    };
    for (algorithm, key, expected) in [
        ("rsa-sha256", RSA, true),
        ("rsa-sha256", SHORT_RSA, false),
        ("rsa-sha256", ED25519_PEM, false),
        ("ed25519", ED25519_PEM, true),
        ("ed25519", "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=", true),
        ("ed25519", RSA, false),
        ("ed25519", "03a1", false),
        ("ecdsa-p256-sha256", RSA, false),
        ("ecdsa-p256-sha256", "not a key", false),
        ("sha256", RSA, false),
    ] {
        assert_eq!(can(algorithm, key), expected, "{algorithm}: {key}");
    }
    // Anybody has it, so it is nobody's key of an HMAC.
    for scheme in [VerifyScheme::Hmac, VerifyScheme::Github, VerifyScheme::Bearer, VerifyScheme::Token] {
        assert_eq!(scheme.check_key(None, &Secret::new(RSA)), Err(BadKey::Public), "{scheme:?}");
    }
}

#[test]
fn times_are_seconds_milliseconds_or_rfc_3339_and_nothing_else() {
    let seconds = signed_text::seconds;
    for (text, expected) in [
        ("1700000000", NOW_S),
        ("1700000000123", NOW_S),
        ("2023-11-14T22:13:20Z", NOW_S),
        ("2023-11-14t22:13:20z", NOW_S),
        ("2023-11-14 22:13:20Z", NOW_S),
        ("2023-11-14T22:13:20.5Z", NOW_S),
        ("2023-11-14T22:13:20.634234626Z", NOW_S),
        ("2023-11-14T14:13:20-08:00", NOW_S),
        ("2023-11-15T00:13:20.1+02:00", NOW_S),
    ] {
        assert_eq!(seconds(text), Some(expected), "{text}");
    }
    for text in [
        "",
        " 1700000000",
        "+1700000000",
        "-1700000000",
        "01700000000",
        "1700000000.5",
        "99999999999999999999",
        "2023-11-14",
        "2023-11-14T22:13:20",
        "2023-11-14T22:13Z",
        "2023-11-14T22:13:20.Z",
        "2023-11-14T22:13:20+0200",
        "2023-11-14T22:13:20+02",
        "2023-11-14T22:13:20Z[UTC]",
        "2023-13-14T22:13:20Z",
        "Tue, 14 Nov 2023 22:13:20 GMT",
        "\u{661}\u{667}",
    ] {
        assert_eq!(seconds(text), None, "{text}");
    }
}

#[test]
fn what_is_said_of_a_time_names_the_limit() {
    let rule = hmac(json!({ "signed": "{timestamp}.{body}", "timestamp_header": "x-time" }));
    let said =
        |time: &str| by(&rule, &[("x-sig", SHA256_OF_JSON), ("x-time", time)], JSON, &["key"]).expect_err("it is far away").to_string();
    assert_eq!(said("1699999600"), "the call was signed 400 s ago; `verify.tolerance_s` allows 300 s");
    assert_eq!(said("2023-11-14T22:20:00Z"), "the call was signed 400 s in the future; `verify.tolerance_s` allows 300 s");
    let twice = by(&rule, &[("x-sig", SHA256_OF_JSON), ("x-time", "1"), ("x-time", "2")], JSON, &["key"]);
    assert_eq!(twice, Err(VerifyError::Twice("x-time".into())), "which of two was meant cannot be told");
}

#[test]
fn a_form_is_signed_by_its_fields_and_nothing_else_is_read() {
    let rule = hmac(json!({ "algorithm": "sha1", "encoding": "base64", "signed": "{url}{params}" }));
    // Over the URL and `a1b2`.
    let signed = |text: &str| {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"key");
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, ring::hmac::sign(&key, text.as_bytes()))
    };
    let with = |content_type: &str, body: &str, url: &str, signature: &str| {
        let headers = headers(&[("content-type", content_type), ("x-sig", signature)]);
        let input = VerifyInput { rule: Some(&rule), url, ..VerifyInput::of(&headers, body.as_bytes(), NOW_S) };
        verify(VerifyScheme::Hmac, &input, &[Secret::new("key")])
    };
    let signature = signed(&format!("{URL}a1b2"));
    for body in ["a=1&b=2", "b=2&a=1", "b=2&a=1&a=1", "b=%32&a=1"] {
        assert_eq!(with("application/x-www-form-urlencoded", body, URL, &signature), Ok(()), "{body}");
    }
    assert_eq!(with("Application/X-WWW-Form-Urlencoded;charset=utf-8", "a=1&b=2", URL, &signature), Ok(()));
    assert_eq!(with("application/x-www-form-urlencoded", "a=1&b=2&c=3", URL, &signature), Err(VerifyError::Mismatch));
    assert_eq!(with("application/json", "a=1&b=2", URL, &signed(URL)), Err(VerifyError::UnsignedBody), "a body the signature is not over");
    assert_eq!(with("application/json", "", URL, &signed(URL)), Ok(()));
    let twice = format!("{URL}?bodySHA256=00&bodySHA256=00");
    assert_eq!(with("application/json", "{}", &twice, &signed(&twice)), Err(VerifyError::UnsignedBody));
    let many = "a&".repeat(SIGNED_PARAMS_MAX);
    assert_eq!(with("application/x-www-form-urlencoded", &many, URL, &signature), Err(VerifyError::TooManyParams));
}

#[test]
fn the_end_of_a_signed_url_cannot_be_moved() {
    let rule = hmac(json!({ "signed": "{url}{body}" }));
    let with = |url: &str, body: &str| {
        let signature = github(format!("{url}{body}").as_bytes(), &Secret::new("key"));
        let headers = headers(&[("x-sig", &signature)]);
        let input = VerifyInput { rule: Some(&rule), url, ..VerifyInput::of(&headers, body.as_bytes(), NOW_S) };
        verify(VerifyScheme::Hmac, &input, &[Secret::new("key")])
    };
    for body in [JSON, "[1]", "\"text\"", "<a/>", ""] {
        assert_eq!(with(URL, body), Ok(()), "{body}");
    }
    for (url, body) in [(format!("{URL}?x=1{{\"a\""), ":1}"), (URL.to_owned(), "text"), (URL.to_owned(), "?x=1{}"), (URL.to_owned(), "1")] {
        assert_eq!(with(&url, body), Err(VerifyError::AmbiguousUrl), "{url} {body}");
    }
    for (signed, is_told_apart) in [
        ("{url}{body}", true),
        ("{method}{url}{body}", true),
        ("{method} {url}\n{body}", true),
        ("{url}|{body}", true),
        ("{url}{params}", true),
        ("{timestamp}{url}{body}", true),
        ("{url}.{body}", false),
        ("{id}{url}{body}", false),
        ("{body}{url}", false),
        ("{url}{method}{body}", false),
        ("{params}{url}", false),
        ("{params}{body}", false),
        ("{body}{method}", false),
        ("{url}", false),
        ("{method}", false),
    ] {
        let mut problems = hmac(json!({ "signed": signed })).problems(false);
        problems.retain(|(field, _)| *field == "signed");
        assert_eq!(problems.is_empty(), is_told_apart, "{signed}: {problems:?}");
    }
}

#[test]
fn a_rule_that_cannot_be_meant_is_refused_by_its_field() {
    for (verify, pointer) in [
        (json!({ "scheme": "hmac", "secret": "$secret:k", "hmac": { "header": "x", "algorithm": "ed25519" } }), "/verify/hmac/algorithm"),
        (json!({ "scheme": "public-key", "secret": "$secret:k", "public_key": { "header": "x" } }), "/verify/public_key/algorithm"),
        (json!({ "scheme": "public-key", "secret": "$secret:k" }), "/verify/public_key"),
        (
            json!({ "scheme": "public-key", "secret": "$secret:k", "public_key": { "header": "x", "algorithm": "ed25519", "key_encoding": "hex" } }),
            "/verify/public_key/key_encoding",
        ),
        (
            json!({ "scheme": "hmac", "secret": "$secret:k", "hmac": { "header": "x", "timestamp_prefix": "t=" } }),
            "/verify/hmac/timestamp_prefix",
        ),
        (json!({ "scheme": "token", "secret": "$secret:k" }), "/verify/token_header"),
        (json!({ "scheme": "token", "secret": "$secret:k", "token_header": "no header" }), "/verify/token_header"),
        (json!({ "scheme": "github", "secret": "$secret:k", "token_header": "x" }), "/verify/token_header"),
        (json!({ "scheme": "github" }), "/verify/secret"),
        (json!({ "secrets": ["$secret:k"] }), "/verify/secrets"),
        (json!({ "scheme": "github", "secret": "$secret:k", "secrets": ["$secret:l"] }), "/verify/secrets"),
        (
            json!({ "scheme": "github", "secrets": ["$secret:a", "$secret:b", "$secret:c", "$secret:d", "$secret:e", "$secret:f"] }),
            "/verify/secrets",
        ),
        (
            json!({ "scheme": "public-key", "secret": "$secret:k", "challenge": "crc-token", "public_key": { "header": "x", "algorithm": "ed25519" } }),
            "/verify/challenge",
        ),
        (json!({ "challenge": "url-validation" }), "/verify/challenge"),
        (json!({ "echo": { "query": "challenge" } }), "/verify/echo"),
        (json!({ "challenge": "echo", "echo": { "header": "no header" } }), "/verify/echo/header"),
        (json!({ "challenge": "echo", "echo": {} }), "/verify/echo"),
    ] {
        let refused = compiled(&verify).expect_err(pointer);
        assert!(refused.contains(&format!("\"{pointer}\"")), "{verify}: {refused}");
    }
}

fn any_scheme() -> impl Strategy<Value = VerifyScheme> {
    prop::sample::select(vec![
        VerifyScheme::Github,
        VerifyScheme::Stripe,
        VerifyScheme::Slack,
        VerifyScheme::Shopify,
        VerifyScheme::StandardWebhooks,
        VerifyScheme::EsriService,
        VerifyScheme::EsriOrganization,
        VerifyScheme::Hmac,
        VerifyScheme::PublicKey,
        VerifyScheme::Token,
        VerifyScheme::Basic,
        VerifyScheme::Bearer,
    ])
}

/// Every header some scheme or the rule below reads.
const READ: [&str; 14] = [
    "x-hub-signature-256",
    "stripe-signature",
    "x-slack-signature",
    "x-slack-request-timestamp",
    "x-shopify-hmac-sha256",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "x-esrihook-signature",
    "secret",
    "authorization",
    "content-type",
    "x-sig",
    "x-time",
];

/// Nearly what senders write, and anything a header can carry.
fn header_value() -> impl Strategy<Value = Vec<u8>> {
    let nearly = "(t=|v1=|v1,|v1a,|v0=|sha256=|Bearer |Basic |[,; ])*[a-zA-Z0-9+/=_%-]{0,90}(,v1=[0-9a-f]{0,64})?|17[0-9]{8,11}|20[0-9]{2}-11-14T[0-9:.Z+-]{0,20}|application/x-www-form-urlencoded"
        .prop_map(String::into_bytes);
    prop_oneof![3 => nearly, 1 => prop::collection::vec(prop_oneof![Just(b'\t'), 32u8..127, 128u8..=255], 0..40)]
}

proptest! {
    #[test]
    fn no_header_or_body_makes_a_verification_panic(
        scheme in any_scheme(),
        given in prop::collection::vec((0..READ.len(), header_value()), 0..20),
        body in prop::collection::vec(any::<u8>(), 0..60),
        url in "\\PC{0,40}|https://h/[a-z?&=%{}]{0,30}",
        key in prop::collection::vec(any::<u8>(), 0..50),
        signed in prop::sample::select(vec!["{body}", "{id}{timestamp}{body}", "{method}{url}{body}{timestamp}", "{url}{params}", "{body}{timestamp}{id}", "{timestamp}{id}.{body}"]),
        algorithm in prop::sample::select(vec!["sha1", "sha256", "sha512", "ed25519", "rsa-sha256", "ecdsa-p256-sha256"]),
        encoding in prop::sample::select(vec!["hex", "base64", "base64url"]),
        prefix in "(v1=|v1,|HMAC |t)?",
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(READ[name], HeaderValue::from_bytes(&value).expect("what a header can carry"));
        }
        let rule = hmac(json!({ "signed": signed, "algorithm": algorithm, "encoding": encoding, "prefix": prefix, "timestamp_header": "x-time", "id_header": "webhook-id" }));
        let input = VerifyInput { url: &url, rule: Some(&rule), token_header: Some("x-sig"), ..VerifyInput::of(&headers, &body, NOW_S) };
        for key in [Secret::new(key), Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), Secret::new(RSA), Secret::new(ED25519_PEM)] {
            let believed = verify(scheme, &input, &[key]);
            // Nobody guesses a signature. A stranger's credential is as unlikely.
            prop_assert!(believed.is_err(), "{scheme:?} {believed:?}");
        }
    }

    #[test]
    fn no_handshake_makes_the_host_panic(
        challenge in prop::sample::select(vec![Challenge::CrcToken, Challenge::Hub, Challenge::Echo, Challenge::ValidationToken, Challenge::UrlVerification, Challenge::UrlValidation]),
        query in prop::collection::vec(("crc_token|challenge|validationToken|hub\\.(mode|challenge|verify_token)", "\\PC{0,20}|subscribe"), 0..5),
        body in "\\PC{0,40}|\\{\"(type|event)\":\"(url_verification|endpoint\\.url_validation)\",\"(challenge|payload)\":(\"x\"|1|\\{\"plainToken\":\"[a-z{.]{0,5}\"\\})\\}",
        is_get in any::<bool>(),
    ) {
        let method = if is_get { http::Method::GET } else { http::Method::POST };
        let asked = challenge.asked(&Question { method: &method, query: &query, headers: &HeaderMap::new(), body: body.as_bytes() }, None, true);
        if let Some(Asked::Sign(word) | Asked::SignSigned(word)) = asked {
            prop_assert!(is_crc_token(word.as_bytes()), "{word:?} is signed");
        }
    }
}
