//! Signatures: the published test vectors in both directions, and the verdict of Standard Webhooks libraries on a real delivery.

use hookwright_tests::{Endpoint, Received, TestHost, interop, run, shared, signature, unique};
use http::Method;
use jiff::Timestamp;
use serde_json::json;

/// The key of the published vectors (protocol-facts 4.1).
const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const TIME_S: i64 = 1_614_265_330;
const BODY: &str = r#"{"test": 2432232314}"#;
const V1: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
/// Svix's Ed25519 test key and its signature of the same text.
const ED_SECRET: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
const ED_PUBLIC: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
const V1A: &str = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==";

#[test]
fn the_published_vectors_hold_here_and_in_the_host() {
    use hookwright::model::{
        secret::Secret,
        signature::{SignInput, SigningScheme, sign},
    };
    // Check the test code first, because every endpoint of these tests uses it.
    assert_eq!(signature::standard(KEY, ID, &TIME_S.to_string(), BODY.as_bytes()), V1);
    let headers = |signature: &str| {
        [("webhook-id", ID), ("webhook-timestamp", &TIME_S.to_string()), ("webhook-signature", signature)]
            .into_iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().expect("a value")))
            .collect::<http::HeaderMap>()
    };
    assert_eq!(signature::verify(KEY, &headers(V1), BODY.as_bytes()), Ok(()));
    assert_eq!(signature::verify(ED_PUBLIC, &headers(V1A), BODY.as_bytes()), Ok(()));
    assert!(signature::verify(KEY, &headers(V1), b"{\"test\": 2432232315}").is_err());
    let input = SignInput { id: ID, timestamp_s: TIME_S, body: BODY.as_bytes(), content_type: "application/json" };
    for (scheme, key, expected) in [(SigningScheme::StandardWebhooks, KEY, V1), (SigningScheme::StandardWebhooksEd25519, ED_SECRET, V1A)] {
        let signed = sign(scheme, &input, &[Secret::new(key)]).expect("signed");
        let made = signed.headers.iter().find(|(name, _)| name.as_str() == "webhook-signature").expect("a signature");
        assert_eq!(made.1, expected);
    }
}

#[test]
fn published_vectors_are_believed_at_their_time_and_not_changed_or_later() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let slack_body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
        let (stripe_time, slack_time, standard_time) = ("1492774577", "1531420618", TIME_S.to_string());
        let stripe = format!("t={stripe_time},v1=691252e266ce41cb94d709c84e9580d4172b117a510bbc81723f657d2cd5d215,v0=00");
        let standard = [("webhook-id", ID), ("webhook-timestamp", standard_time.as_str()), ("webhook-signature", V1)];
        let ed25519 = [("webhook-id", ID), ("webhook-timestamp", standard_time.as_str()), ("webhook-signature", V1A)];
        let slack = [
            ("x-slack-signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"),
            ("x-slack-request-timestamp", slack_time),
        ];
        for (scheme, secret, time, headers, body) in [
            (
                "github",
                "It's a Secret to Everybody",
                None,
                &[("x-hub-signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")][..],
                "Hello, World!",
            ),
            (
                "stripe",
                "whsec_test_secret",
                Some(stripe_time),
                &[("stripe-signature", stripe.as_str())],
                r#"{"id":"evt_test","object":"event"}"#,
            ),
            ("slack", "8f742231b10e8888abcd99yyyzzz85a5", Some(slack_time), &slack, slack_body),
            ("standard-webhooks", KEY, Some(standard_time.as_str()), &standard, BODY),
            ("standard-webhooks", ED_PUBLIC, Some(standard_time.as_str()), &ed25519, BODY),
            (
                "esri-service",
                "MYSECRETKEY",
                None,
                &[("x-esrihook-signature", "sha256=c0qgnFeThvWR/WmpEENnu9IQzWiP2yp2fVNEI3iXEkI=")],
                r#"{"name":"demo","events":[{"eventType":"FeaturesCreated","when":1730385704000}]}"#,
            ),
            ("basic", "user:password", None, &[("authorization", "Basic dXNlcjpwYXNzd29yZA==")], "x"),
            ("bearer", "a-token", None, &[("authorization", "Bearer a-token")], "x"),
        ] {
            let name = unique("vector");
            client.secret(&name, secret).await;
            let code = client
                .receiver(
                    &name,
                    json!({ "reply": { "message": "believed" }, "verify": { "scheme": scheme, "secret": format!("$secret:{name}") } }),
                )
                .await;
            let path = format!("/api/v1/webhook/{code}");
            let call = async |headers: &[(&str, &str)], body: &str| {
                client.with_token(None).send(Method::POST, &path, headers, body.to_owned()).await.status
            };
            if let Some(time) = time {
                host.clock.set(Timestamp::from_second(time.parse().expect("seconds")).expect("a time"));
            }
            assert_eq!(call(headers, body).await, 200, "{scheme}");
            assert_eq!(call(&[], body).await, 401, "{scheme}");
            if !["basic", "bearer"].contains(&scheme) {
                assert_eq!(call(headers, &format!("{body} ")).await, 401, "{scheme}");
            }
            if time.is_some() {
                host.clock.advance(std::time::Duration::from_secs(301));
                assert_eq!(call(headers, body).await, 401, "{scheme}, five minutes later");
            }
        }
    });
}

#[test]
fn a_delivery_is_signed_with_every_secret_and_the_endpoint_believes_it() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("rotated");
        let (old, new) = (format!("{name}-old"), format!("{name}-new"));
        let new_key = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
        client.secret(&old, KEY).await;
        client.secret(&new, new_key).await;
        let webhook = json!({ "selectors": ["*"], "sources": [name], "signing": { "secrets": [format!("$secret:{new}"), format!("$secret:{old}")] }, "request": { "url": endpoint.url("/") } });
        client.webhook(&name, webhook).await;
        for trusted in [KEY, new_key] {
            endpoint.trusts(trusted);
            let accepted = client.event(json!({ "trigger": "a.b", "source": name, "data": { "é": "😀" } })).await;
            assert_eq!(accepted["deliveries"][0]["state"], "delivered", "{accepted}");
            let received = endpoint.next_request().await;
            assert_eq!(received.header("webhook-signature").split(' ').count(), 2);
            let sent = received.header("webhook-timestamp").parse::<i64>().expect("seconds");
            assert!((sent - Timestamp::now().as_second()).abs() <= 300);
            assert!(!received.header("webhook-id").contains('.'));
        }
        endpoint.trusts("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        let refused = client.event(json!({ "trigger": "a.b", "source": name })).await;
        assert_eq!(refused["deliveries"][0]["last_attempt"]["answer"]["status"], 401);
    });
}

#[test]
fn an_ed25519_signature_is_verified_with_the_public_key_alone() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("ed25519");
        client.secret(&name, ED_SECRET).await;
        client.webhook(&name, json!({ "signing": { "scheme": "standard-webhooks-ed25519", "secrets": [format!("$secret:{name}")] }, "request": { "url": endpoint.url("/"), "body": { "a": 1 } } })).await;
        client.invoke(&name, json!({})).await;
        let received = endpoint.next_request().await;
        received.verify(ED_PUBLIC).expect("signed");
        assert!(received.header("webhook-signature").starts_with("v1a,"));
    });
}

#[test]
fn a_key_that_cannot_sign_is_found_when_the_webhook_is_written() {
    run(async {
        let client = &shared().await.client;
        let name = unique("badkey");
        client.secret(&name, "whsec_short").await;
        let webhook = json!({ "signing": { "secrets": [format!("$secret:{name}")] }, "request": { "url": "http://127.0.0.1:9/" } });
        let (status, problem) = client.put(&format!("/v1/webhooks/{name}"), &webhook).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/signing/secrets/0")), "{problem}");
        assert!(!problem.to_string().contains("short"), "{problem}");
    });
}

/// A signed delivery as it arrived.
async fn delivered() -> Received {
    let client = &shared().await.client;
    let endpoint = Endpoint::start().await;
    let name = unique("library");
    client.secret(&name, KEY).await;
    client.webhook(&name, json!({ "selectors": ["*"], "sources": [name], "signing": { "secrets": [format!("$secret:{name}")] }, "request": { "url": endpoint.url("/") } })).await;
    client.event(json!({ "trigger": "library.asked", "source": name, "data": { "text": "Grüße 😀", "n": 1.5 } })).await;
    endpoint.next_request().await
}

/// Runs a verifier of `tests/interop` with the headers and the body as they arrived.
async fn verifies(program: &str, script: &str, received: &Received, secret: &str) -> bool {
    let headers: serde_json::Map<_, _> =
        received.headers.iter().map(|(name, value)| (name.to_string(), json!(value.to_str().expect("text")))).collect();
    let asked = json!({ "secret": secret, "headers": headers, "body": received.text() });
    match interop(program, script, &asked).await.as_str() {
        "verified" => true,
        "refused" => false,
        other => panic!("{script} says `{other}`"),
    }
}

async fn library_verifies(program: &str, script: &str) {
    let received = delivered().await;
    assert!(verifies(program, script, &received, KEY).await);
    let changed = Received { body: received.text().replace("1.5", "2.5").into(), ..received.clone() };
    assert!(!verifies(program, script, &changed, KEY).await, "the library refuses another body");
    assert!(!verifies(program, script, &received, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").await, "and another key");
}

#[test]
fn the_python_library_verifies_a_delivery_as_it_arrived() {
    run(library_verifies("venv/bin/python", "verify.py"));
}

#[test]
fn the_javascript_library_verifies_a_delivery_as_it_arrived() {
    run(library_verifies("node", "verify.mjs"));
}
