//! Published vectors of each scheme, and what a request looks like once it is signed.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::*;

/// Standard Webhooks' own libraries (github.com/standard-webhooks/standard-webhooks, `libraries/*/tests`).
pub(super) const SYMMETRIC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub(super) const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
pub(super) const TIME_S: i64 = 1_614_265_330;
pub(super) const BODY: &[u8] = br#"{"test": 2432232314}"#;
pub(super) const V1: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
/// Svix' server tests (github.com/svix/svix-webhooks, `server/svix-server`), same id, time and body.
const KEY_PAIR: &str = "6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
pub(super) const PUBLIC: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
pub(super) const V1A: &str = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==";

pub(super) fn secret(text: &str) -> Secret {
    Secret::new(text)
}

fn input<'a>(body: &'a [u8]) -> SignInput<'a> {
    SignInput { id: ID, timestamp_s: TIME_S, body, content_type: "application/json" }
}

fn headers(signed: &Signed) -> Vec<(&str, &str)> {
    let mut headers: Vec<_> = signed.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    headers.sort_unstable();
    headers
}

#[test]
fn standard_webhooks_signs_as_published() {
    assert_eq!(standard_webhooks(ID, TIME_S, BODY, &[secret(SYMMETRIC)]).unwrap(), V1);
    // Rotation: one signature for each key.
    let other = secret("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
    let both = standard_webhooks(ID, TIME_S, BODY, &[other, secret(SYMMETRIC)]).unwrap();
    assert_eq!(both.split(' ').count(), 2);
    assert_eq!(both.split(' ').nth(1), Some(V1));
}

#[test]
fn standard_webhooks_signs_with_ed25519_as_published() {
    let pair = format!("whsk_{KEY_PAIR}");
    assert_eq!(standard_webhooks_ed25519(ID, TIME_S, BODY, &[secret(&pair)]).unwrap(), V1A);
    let seed = format!("whsk_{}", STANDARD.encode(&STANDARD.decode(KEY_PAIR).unwrap()[..32]));
    assert_eq!(standard_webhooks_ed25519(ID, TIME_S, BODY, &[secret(&seed)]).unwrap(), V1A);
}

#[test]
fn the_others_sign_as_published() {
    // GitHub Docs, "Validating webhook deliveries", "Testing the webhook payload validation".
    assert_eq!(
        github(b"Hello, World!", &secret("It's a Secret to Everybody")),
        "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    );
    // The HMACs of stripe-node's tests (github.com/stripe/stripe-node, `test/crypto/helpers.ts`).
    assert_eq!(github(b"", &secret("test_secret")), "f7f9bd47fb987337b5796fdc1fdb9ba221d0d5396814bfcaf9521f43fd8927fd");
    assert_eq!(
        github(br#"{"obj1":"hello","obj2":"world"}"#, &secret("test_secret")),
        "bebb1a643997f419b315ddba19e6f5411e1ce7f810ba6d3617ce72823092f363"
    );
    // The whole of a Stripe header is published nowhere: this value is our own, by Python's hmac.
    assert_eq!(
        stripe(1_492_774_577, br#"{"id":"evt_test","object":"event"}"#, &secret("whsec_test_secret")),
        "t=1492774577,v1=691252e266ce41cb94d709c84e9580d4172b117a510bbc81723f657d2cd5d215"
    );
    // Slack Docs, "Verifying requests from Slack" (also in github.com/slackapi/python-slack-sdk, `tests/signature`).
    assert_eq!(slack(SLACK_TIME_S, SLACK_BODY, &secret(SLACK_SECRET)), SLACK_SIGNATURE);
    // Shopify publishes no value: the HMAC of GitHub's example, in Shopify's encoding.
    assert_eq!(shopify(b"Hello, World!", &secret("It's a Secret to Everybody")), SHOPIFY_OF_GITHUBS);
}

pub(super) const SLACK_SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
pub(super) const SLACK_TIME_S: i64 = 1_531_420_618;
pub(super) const SLACK_BODY: &[u8] = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
pub(super) const SLACK_SIGNATURE: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
pub(super) const SHOPIFY_OF_GITHUBS: &str = "dXEH6g6yUJ/CESIczphLijdXC211hsIsRvQ3nIsEPhc=";

/// Esri publishes no values; these are our own, by Python's hmac, in the form its samples compute.
pub(super) const ESRI_KEY: &str = "MYSECRETKEY";
pub(super) const ESRI_BODY: &[u8] = br#"{"name":"demo","events":[{"eventType":"FeaturesCreated","when":1730385704000}]}"#;
pub(super) const ESRI_SIGNATURE: &str = "sha256=c0qgnFeThvWR/WmpEENnu9IQzWiP2yp2fVNEI3iXEkI=";
pub(super) const ESRI_HEX: &str = "sha256=734aa09c579386f591fd69a9104367bbd210cd688fdb2a767d53442378971242";

#[test]
fn esri_signs_body_and_challenge() {
    assert_eq!(esri_service(ESRI_BODY, &secret(ESRI_KEY)), ESRI_SIGNATURE);
    assert_eq!(esri_service(b"abc123", &secret(ESRI_KEY)), "sha256=JZBRSjXI4VWGz/kfx+MhyuzBzDmFvu6acHbGAAl80LU=");
}

#[test]
fn esri_form_carries_its_signature() {
    let body = esri_service_form(ESRI_BODY, &secret(ESRI_KEY)).unwrap();
    let text = std::str::from_utf8(&body).unwrap();
    assert_eq!(
        text,
        format!(
            "payload={}&x-esriHook-Signature=sha256%3Dc0qgnFeThvWR%2FWmpEENnu9IQzWiP2yp2fVNEI3iXEkI%3D",
            std::str::from_utf8(ESRI_BODY).unwrap()
        )
    );
    assert_eq!(esri_service_form(b"not json", &secret(ESRI_KEY)), None);
}

#[test]
fn esri_form_means_the_same_decoded_or_not() {
    let json = br#"{"changesUrl":"https://gis.example/x?a=%5B1%5D&b=1+1","back\\":"\"&","n":1e+5}"#;
    let body = esri_service_form(json, &secret(ESRI_KEY)).unwrap();
    let payload = esri_form(&body).unwrap().unwrap().payload;
    let (_, decoded) = url::form_urlencoded::parse(&body).find(|(name, _)| name == "payload").unwrap();
    assert_eq!(decoded.as_bytes(), payload);
    let read = |json: &[u8]| serde_json::from_slice::<serde_json::Value>(json).unwrap();
    assert_eq!(read(payload), read(json));
}

#[test]
fn a_signed_request_has_the_schemes_headers() {
    let signed = |scheme, key: &str| sign(scheme, &input(BODY), &[secret(key)]).unwrap();
    assert_eq!(
        headers(&signed(SigningScheme::StandardWebhooks, SYMMETRIC)),
        [("webhook-id", ID), ("webhook-signature", V1), ("webhook-timestamp", "1614265330")]
    );
    assert_eq!(headers(&signed(SigningScheme::Github, "k"))[0].0, "x-hub-signature-256");
    assert!(headers(&signed(SigningScheme::Github, "k"))[0].1.starts_with("sha256="));
    assert_eq!(headers(&signed(SigningScheme::EsriService, "k")), [("x-esrihook-signature", esri_service(BODY, &secret("k")).as_str())]);
    let plain = signed(SigningScheme::EsriOrganization, "hunter2");
    assert_eq!(headers(&plain), [("secret", "hunter2")]);
    assert!(!format!("{plain:?}").contains("hunter2"));
    assert!(sign(SigningScheme::None, &input(BODY), &[]).unwrap().headers.is_empty());
}

#[test]
fn a_form_is_rewritten_and_gets_no_header() {
    let form = SignInput { content_type: "Application/X-WWW-Form-Urlencoded; charset=utf-8", ..input(ESRI_BODY) };
    let signed = sign(SigningScheme::EsriService, &form, &[secret(ESRI_KEY)]).unwrap();
    assert!(signed.headers.is_empty());
    assert_eq!(signed.body, esri_service_form(ESRI_BODY, &secret(ESRI_KEY)));
    let not_json = SignInput { body: b"a=b", ..form };
    assert_eq!(sign(SigningScheme::EsriService, &not_json, &[secret(ESRI_KEY)]).unwrap_err(), SignError::NotJson);
}

#[test]
fn what_cannot_be_signed_says_why() {
    let refused = |scheme, input, key: &str| sign(scheme, &input, &[secret(key)]).unwrap_err();
    assert_eq!(sign(SigningScheme::Github, &input(BODY), &[]).unwrap_err(), SignError::KeyMissing);
    assert_eq!(refused(SigningScheme::Github, input(BODY), ""), SignError::Key(BadKey::Empty));
    assert_eq!(refused(SigningScheme::EsriOrganization, input(BODY), "a\nb"), SignError::Key(BadKey::NotAHeaderValue));
    assert_eq!(refused(SigningScheme::StandardWebhooks, SignInput { id: "a.b", ..input(BODY) }, SYMMETRIC), SignError::Id);
    assert_eq!(refused(SigningScheme::StandardWebhooks, input(BODY), PUBLIC), SignError::Key(BadKey::Kind("whsec_")));
    assert_eq!(refused(SigningScheme::StandardWebhooksEd25519, input(BODY), SYMMETRIC), SignError::Key(BadKey::Kind("whsk_")));
}

#[test]
fn standard_keys_are_checked_when_written() {
    let of = |bytes: usize| parse_standard_key(&secret(&format!("whsec_{}", STANDARD.encode(vec![7; bytes])))).map(drop);
    assert_eq!(of(23), Err(BadKey::Length(23)));
    assert_eq!(of(24), Ok(()));
    assert_eq!(of(64), Ok(()));
    assert_eq!(of(65), Err(BadKey::Length(65)));
    let read = |text: &str| parse_standard_key(&secret(text));
    let padded = format!("whsec_{}", STANDARD.encode([7; 25]));
    assert_eq!(read(&padded).unwrap().symmetric(), read(padded.trim_end_matches('=')).unwrap().symmetric());
    assert_eq!(read("whsec_not base64").unwrap_err(), BadKey::NotBase64);
    assert_eq!(read("whsec_").unwrap_err(), BadKey::Empty);
    assert_eq!(read("whsk_AAAA").unwrap_err(), BadKey::NotEd25519);
    assert_eq!(read("whpk_AAAA").unwrap_err(), BadKey::NotEd25519);
    // Seed and public key must belong together.
    let mut pair = STANDARD.decode(KEY_PAIR).unwrap();
    pair[0] ^= 1;
    assert_eq!(read(&format!("whsk_{}", STANDARD.encode(pair))).unwrap_err(), BadKey::NotEd25519);
    assert!(!format!("{:?}", read(SYMMETRIC)).contains("MfKQ"));
}

#[test]
fn schemes_are_written_in_kebab_case() {
    assert_eq!(serde_json::to_value(SigningScheme::StandardWebhooksEd25519).unwrap(), "standard-webhooks-ed25519");
    assert_eq!(serde_json::to_value(SigningScheme::EsriOrganization).unwrap(), "esri-organization");
    assert_eq!(serde_json::from_str::<VerifyScheme>("\"standard-webhooks\"").unwrap(), VerifyScheme::StandardWebhooks);
}
