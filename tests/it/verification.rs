//! How a receiver checks a call's sender, that the call is new, and that it is meant: rules for senders without a scheme, networks,
//! handshakes, and calls that are accepted only once.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures::future::join_all;
use hookwright_tests::{Answered, Client, run, shared, signature::hmac_sha256, unique, wait::eventually};
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

async fn call(client: &Client, code: &str, headers: &[(&str, &str)], body: &str) -> Answered {
    client.with_token(None).send(Method::POST, &format!("/api/v1/webhook/{code}"), headers, body.to_owned()).await
}

async fn get(client: &Client, code: &str, query: &str) -> Answered {
    client.with_token(None).send(Method::GET, &format!("/api/v1/webhook/{code}?{query}"), &[], "").await
}

/// A receiver that answers `taken`, with a secret of its own. Returns its name and code.
async fn receiver(client: &Client, key: &str, verify: impl FnOnce(&str) -> Value, more: Value) -> (String, String) {
    let name = unique("verified");
    client.secret(&name, key).await;
    let mut document = json!({ "reply": { "message": "taken" }, "verify": verify(&format!("$secret:{name}")) });
    document.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
    let code = client.receiver(&name, document).await;
    (name, code)
}

#[test]
fn a_rule_tells_what_is_signed_and_how_old_it_may_be() {
    run(async {
        let client = &shared().await.client;
        let verify = |secret: &str| {
            json!({ "scheme": "hmac", "secret": secret, "tolerance_s": 60, "hmac": {
                "header": "x-sign", "encoding": "base64", "prefix": "v1=", "signed": "{id}:{timestamp}:{body}!",
                "timestamp_header": "x-at", "id_header": "x-id" } })
        };
        let (_, code) = receiver(client, "key", verify, json!({})).await;
        let now = Timestamp::now().as_second();
        let signed = |id: &str, at: &str, body: &str| {
            let mac = hmac_sha256(b"key", format!("{id}:{at}:{body}!").as_bytes());
            format!("v1={}", BASE64_STANDARD.encode(mac))
        };
        let status = async |id: &str, at: &str, body: &str, signature: &str| {
            call(client, &code, &[("x-sign", signature), ("x-at", at), ("x-id", id)], body).await.status
        };
        let at = now.to_string();
        assert_eq!(status("1", &at, "{}", &signed("1", &at, "{}")).await, 200);
        let ms = (now * 1000).to_string();
        assert_eq!(status("1", &ms, "{}", &signed("1", &ms, "{}")).await, 200, "milliseconds");
        assert_eq!(status("2", &at, "{}", &signed("1", &at, "{}")).await, 401, "another id");
        assert_eq!(status("1", &at, "{ }", &signed("1", &at, "{}")).await, 401, "another body");
        for away in [-70, 70] {
            let then = (now + away).to_string();
            assert_eq!(status("1", &then, "{}", &signed("1", &then, "{}")).await, 401, "{away} s away");
        }
        for wrong in [signed("1", &at, "{}").replace("v1=", ""), format!("v1={}", hex::encode(hmac_sha256(b"key", b"x"))), String::new()] {
            assert_eq!(status("1", &at, "{}", &wrong).await, 401, "{wrong}");
        }
        assert_eq!(call(client, &code, &[("x-sign", &signed("1", &at, "{}"))], "{}").await.status, 401, "without the time");
    });
}

#[test]
fn a_rule_that_proves_nothing_is_refused_when_it_is_written() {
    run(async {
        let client = &shared().await.client;
        client.secret("rule-key", "key").await;
        for (rule, pointer, why) in [
            (json!({ "header": "x sign" }), "/verify/hmac/header", "header name"),
            (json!({ "header": "x", "signed": "{timestamp}" , "timestamp_header": "t" }), "/verify/hmac/signed", "{body}"),
            (json!({ "header": "x", "signed": "{timestamp}.{body}" }), "/verify/hmac/timestamp_header", "name its header"),
            (json!({ "header": "x", "signed": "{id}.{body}" }), "/verify/hmac/id_header", "name its header"),
            (json!({ "header": "x", "timestamp_header": "t" }), "/verify/hmac/timestamp_header", "not signed"),
            (json!({ "header": "x", "id_header": "i" }), "/verify/hmac/id_header", "not signed"),
            (json!({ "header": "x", "signed": "{path}{body}" }), "/verify/hmac/signed", "`{path}` is none of"),
            (json!({ "header": "x", "signed": "{url}.{body}" }), "/verify/hmac/signed", "what follows `{url}`"),
            (json!({ "header": "x", "algorithm": "ed25519" }), "/verify/hmac/algorithm", "`sha512`"),
            (json!({ "header": "x", "timestamp_prefix": "t=" }), "/verify/hmac/timestamp_prefix", "name its header"),
        ] {
            let document =
                json!({ "reply": { "message": "x" }, "verify": { "scheme": "hmac", "secret": "$secret:rule-key", "hmac": rule } });
            let (status, problem) = client.put("/v1/receivers/rule", &document).await;
            assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!(pointer)), "{rule}: {problem}");
            assert!(problem["errors"][0]["detail"].as_str().is_some_and(|detail| detail.contains(why)), "{problem}");
        }
    });
}

#[test]
fn calls_from_elsewhere_are_refused_and_kept_for_the_admin() {
    run(async {
        let client = &shared().await.client;
        for (networks, status) in [(json!(["127.0.0.0/8", "::1/128"]), 200), (json!(["192.30.252.0/22"]), 403)] {
            let name = unique("network");
            let code = client.receiver(&name, json!({ "reply": { "message": "taken" }, "verify": { "networks": networks } })).await;
            let answered = call(client, &code, &[], "").await;
            assert_eq!(answered.status, status, "{}", answered.text());
            let kept = client.last_call(&name).await;
            if status == 403 {
                assert_eq!((&kept["state"], &kept["failure"]["kind"]), (&json!("rejected"), &json!("call_unverified")));
                assert!(!answered.text().contains("network"), "the caller is not told why: {}", answered.text());
            }
        }
        let document = json!({ "reply": { "message": "x" }, "verify": { "networks": ["10.0.0.0/33"] } });
        let (status, problem) = client.put("/v1/receivers/net", &document).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/verify/networks/0")), "{problem}");
    });
}

#[test]
fn metas_handshake_is_answered_to_whoever_knows_the_token_and_its_calls_are_verified() {
    run(async {
        let client = &shared().await.client;
        client.secret("meta-token", "meatyhamhock").await;
        let verify = |secret: &str| json!({ "scheme": "meta", "secret": secret, "challenge_token": "$secret:meta-token" });
        let (name, code) = receiver(client, "app-secret", verify, json!({})).await;
        let shaken = get(client, &code, "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=meatyhamhock").await;
        assert_eq!((shaken.status, shaken.text(), shaken.header("content-type")), (200, "1158201444".into(), "text/plain; charset=utf-8"));
        let wrong = get(client, &code, "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=other").await;
        assert_eq!(wrong.status, 403);
        assert!(!wrong.text().contains("1158201444"));
        let signature = format!("sha256={}", hex::encode(hmac_sha256(b"app-secret", b"{}")));
        assert_eq!(call(client, &code, &[("x-hub-signature-256", &signature)], "{}").await.status, 200);
        assert_eq!(call(client, &code, &[("x-hub-signature-256", &signature)], "[]").await.status, 401);
        let without = json!({ "reply": { "message": "x" }, "verify": { "scheme": "meta", "secret": format!("$secret:{name}") } });
        let refused = client.put("/v1/receivers/meta", &without).await.1;
        assert_eq!(refused["errors"][0]["pointer"], "/verify/challenge_token", "{refused}");
    });
}

#[test]
fn slacks_url_verification_is_answered_when_it_is_signed() {
    run(async {
        let client = &shared().await.client;
        let (name, code) = receiver(client, "signing", |secret| json!({ "scheme": "slack", "secret": secret }), json!({})).await;
        let body = r#"{"token":"Jhj5dZrVaK7ZwHHjRyZWjbDl","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}"#;
        let at = Timestamp::now().as_second().to_string();
        let signature = format!("v0={}", hex::encode(hmac_sha256(b"signing", format!("v0:{at}:{body}").as_bytes())));
        let headers = [("x-slack-signature", signature.as_str()), ("x-slack-request-timestamp", at.as_str())];
        let shaken = call(client, &code, &headers, body).await;
        let challenge = json!({ "challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P" });
        assert_eq!((shaken.status, shaken.json()), (200, challenge));
        let calls = client.look(&format!("/v1/calls?receiver={name}")).await;
        assert_eq!(calls["data"], json!([]), "nothing ran");
        assert_eq!(call(client, &code, &headers[1..], body).await.status, 401);
    });
}

#[test]
fn a_crc_token_is_signed_also_for_senders_no_scheme_knows() {
    run(async {
        let client = &shared().await.client;
        let verify = |secret: &str| {
            json!({ "scheme": "hmac", "secret": secret, "challenge": "crc-token", "hmac": {
                "header": "x-twitter-webhooks-signature", "prefix": "sha256=", "encoding": "base64" } })
        };
        let (_, code) = receiver(client, "consumer-secret", verify, json!({})).await;
        let shaken = get(client, &code, "crc_token=abc").await.json();
        let token = shaken["response_token"].as_str().and_then(|token| token.strip_prefix("sha256=")).expect("a token").to_owned();
        let signed = hmac_sha256(b"consumer-secret", b"abc");
        assert_eq!(BASE64_STANDARD.decode(token).expect("Base64"), signed);
    });
}

/// Headers with a signature in each sender's form, made from what the challenge signed.
fn forged(token: &str, response: &str) -> Vec<(&'static str, String)> {
    let base64 = response.strip_prefix("sha256=").expect("the form of a `response_token`");
    let hex = hex::encode(BASE64_STANDARD.decode(base64).expect("Base64"));
    let at = Timestamp::now().as_second().to_string();
    vec![
        ("x-esrihook-signature", response.to_owned()),
        ("x-hub-signature-256", format!("sha256={hex}")),
        ("x-shopify-hmac-sha256", base64.to_owned()),
        ("x-sig", base64.to_owned()),
        ("x-time", if token.starts_with("17") { token[..10].to_owned() } else { at }),
        ("x-id", token[..token.len().min(1)].to_owned()),
    ]
}

#[test]
fn what_a_crc_token_gets_signed_is_no_call_of_any_receiver() {
    run(async {
        let client = &shared().await.client;
        let secret = unique("crc-oracle");
        client.secret(&secret, "nobody outside knows this").await;
        let mut codes = Vec::new();
        let hmac = |signed: &str| {
            let mut rule = json!({ "header": "x-sig", "encoding": "base64", "signed": signed });
            for (part, header, name) in [("{timestamp}", "timestamp_header", "x-time"), ("{id}", "id_header", "x-id")] {
                if signed.contains(part) {
                    rule[header] = json!(name);
                }
            }
            json!({ "scheme": "hmac", "challenge": "crc-token", "hmac": rule })
        };
        let mut rules: Vec<Value> =
            ["esri-service", "shopify"].iter().map(|scheme| json!({ "scheme": scheme, "challenge": "crc-token" })).collect();
        rules.extend(["{body}", "{id}{body}", "{timestamp}{body}", "{timestamp}.{body}"].map(hmac));
        // Schemes without a challenge, with the keys of those that have one.
        rules.extend([json!({ "scheme": "github" }), json!({ "scheme": "shopify" })]);
        for mut verify in rules {
            verify["secret"] = json!(format!("$secret:{secret}"));
            codes.push(client.receiver(&unique("crc-oracle"), json!({ "reply": { "message": "taken" }, "verify": verify })).await);
        }
        let asking = &codes[0];
        let now = Timestamp::now().as_second();
        let bodies = [
            r#"{"x":"FORGED BY ME"}"#.to_owned(),
            "[1]".into(),
            format!("{now}.{{}}"),
            "payload={}".into(),
            "a b".into(),
            "x".repeat(257),
            String::new(),
        ];
        for body in bodies {
            let query: String = url::form_urlencoded::Serializer::new(String::new()).append_pair("crc_token", &body).finish();
            let answered = get(client, asking, &query).await;
            assert_eq!((answered.status, answered.text().contains("response_token")), (400, false), "{body}: {}", answered.text());
        }
        for token in [
            "abc123".to_owned(),
            "123".into(),
            "true".into(),
            "null".into(),
            "-_=+/".into(),
            "x".repeat(256),
            now.to_string(),
            format!("{now}abc"),
        ] {
            let query: String = url::form_urlencoded::Serializer::new(String::new()).append_pair("crc_token", &token).finish();
            let response = get(client, asking, &query).await.json()["response_token"].as_str().expect("a word is signed").to_owned();
            let forged = forged(&token, &response);
            let headers: Vec<_> = forged.iter().map(|(name, value)| (*name, value.as_str())).collect();
            for (at, code) in codes.iter().enumerate() {
                for body in [token.as_str(), token.get(1..).unwrap_or_default(), token.get(10..).unwrap_or_default()] {
                    let answered = call(client, code, &headers, body).await;
                    assert_eq!(answered.status, 401, "receiver {at} believes {body:?} by a challenge over {token:?}: {}", answered.text());
                }
                let form = format!("payload={token}&x-esriHook-Signature={}", response.replace('+', "%2B"));
                let answered = call(client, code, &[("content-type", "application/x-www-form-urlencoded")], &form).await;
                assert_eq!(answered.status, 401, "receiver {at}: {}", answered.text());
            }
        }
        // Senders with the key are accepted as before. So are signatures with a key that answers no challenge.
        let body = r#"{"x":"signed"}"#;
        let signature = format!("sha256={}", BASE64_STANDARD.encode(hmac_sha256(b"nobody outside knows this", body.as_bytes())));
        assert_eq!(call(client, asking, &[("x-esrihook-signature", &signature)], body).await.status, 200);
        let (_, code) = receiver(client, "another key", |secret| json!({ "scheme": "github", "secret": secret }), json!({})).await;
        let signature = format!("sha256={}", hex::encode(hmac_sha256(b"another key", b"ping")));
        assert_eq!(call(client, &code, &[("x-hub-signature-256", &signature)], "ping").await.status, 200);
    });
}

#[test]
fn what_is_read_of_a_signed_form_is_what_is_signed() {
    run(async {
        let client = &shared().await.client;
        let (name, code) = receiver(client, "kk", |secret| json!({ "scheme": "esri-service", "secret": secret }), json!({})).await;
        let signature = format!("sha256={}", BASE64_STANDARD.encode(hmac_sha256(b"kk", br#"{"name":"signed"}"#)));
        let signed = format!(r#"payload={{"name":"signed"}}&x-esriHook-Signature={}"#, signature.replace('+', "%2B"));
        let forged = "payload=%7B%22name%22%3A%22FORGED%22%7D";
        let status = async |body: &str| call(client, &code, &[("content-type", "application/x-www-form-urlencoded")], body).await.status;
        assert_eq!(status(&signed).await, 200);
        let kept = client.last_call(&name).await.to_string();
        assert!(kept.contains("signed") && kept.contains("x-esriHook-Signature=(redacted)") && !kept.contains("sha256="), "{kept}");
        for body in
            [format!("{signed}&{forged}"), format!("{forged}&{signed}"), format!("{signed}&x=FORGED"), format!("{signed}&%70ayload=FORGED")]
        {
            assert_eq!(status(&body).await, 401, "{body}");
        }
        assert!(!client.last_call(&name).await.to_string().contains("sha256="), "of a call that is refused neither");
    });
}

#[test]
fn a_call_that_came_before_is_not_run_again_unless_it_failed() {
    run(async {
        let client = &shared().await.client;
        let plugin = unique("once");
        let script = "export function receive(call) { if (call.headers['x-fail']) throw new RetryLater('not now'); return 'ran'; }";
        client.script(&plugin, script).await;
        let verify = |secret: &str| json!({ "scheme": "github", "secret": secret });
        let name = unique("github");
        client.secret(&name, "It's a Secret to Everybody").await;
        let secret = format!("$secret:{name}");
        let document = json!({ "plugin": plugin, "verify": verify(&secret), "once": "$.headers['x-github-delivery']" });
        let code = client.receiver(&name, document).await;
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let send = async |id: &str, more: &[(&str, &str)]| {
            let headers: Vec<_> = [("x-hub-signature-256", signature), ("x-github-delivery", id)].iter().chain(more).copied().collect();
            call(client, &code, &headers, "Hello, World!").await
        };
        assert_eq!(send("a", &[("x-fail", "1")]).await.status, 503, "it fails, so it is to be sent again");
        assert_eq!(send("a", &[]).await.json()["message"], "ran");
        let again = send("a", &[]).await;
        assert_eq!((again.status, &again.json()["message"]), (200, &json!("received before")));
        let kept = client.last_call(&name).await;
        assert_eq!((&kept["state"], &kept["failure"]["kind"], &kept["events"]), (&json!("rejected"), &json!("call_repeated"), &json!([])));
        assert_eq!(send("b", &[]).await.json()["message"], "ran");
        let nameless = call(client, &code, &[("x-hub-signature-256", signature)], "Hello, World!").await;
        assert_eq!(nameless.status, 400, "{}", nameless.text());
        // A caller without the key does not learn whether a call was made before.
        assert_eq!(call(client, &code, &[("x-github-delivery", "a")], "Hello, World!").await.status, 401);
    });
}

#[test]
fn of_the_same_call_sent_many_times_at_once_one_is_done() {
    run(async {
        let client = &shared().await.client;
        for mode in ["sync", "async"] {
            let name = unique("storm");
            let document = json!({ "reply": { "message": "taken" }, "mode": mode, "once": "$.body.id" });
            let code = client.receiver(&name, document).await;
            let answers = join_all((0..12).map(|_| call(client, &code, &[], r#"{"id":7}"#))).await;
            assert!(
                answers.iter().all(|answer| matches!(answer.status, 200 | 503)),
                "{:?}",
                answers.iter().map(|a| a.status).collect::<Vec<_>>()
            );
            let done = async || {
                let calls = client.look(&format!("/v1/calls?receiver={name}&state=done")).await;
                calls["data"].as_array().map_or(0, Vec::len)
            };
            eventually("the one call to be done", || async { (done().await == 1).then_some(()) }).await;
            let again = call(client, &code, &[], r#"{"id":7}"#).await;
            assert_eq!(again.json()["message"], "received before");
            assert_eq!(done().await, 1);
        }
    });
}

/// The keyed signature of a body as most senders write it.
fn hex_of(key: &str, text: &str) -> String {
    hex::encode(hmac_sha256(key.as_bytes(), text.as_bytes()))
}

#[test]
fn a_challenge_without_a_signature_is_given_back_and_nothing_runs() {
    run(async {
        let client = &shared().await.client;
        let verify = |secret: &str| json!({ "scheme": "hmac", "secret": secret, "hmac": { "header": "x-dropbox-signature" } });
        // Whatever the methods: it is the host that answers.
        let (name, code) = receiver(client, "key", verify, json!({ "methods": ["POST"] })).await;
        let shaken = get(client, &code, "challenge=abc%20123").await;
        assert_eq!((shaken.status, shaken.text(), shaken.header("content-type")), (200, "abc 123".into(), "text/plain; charset=utf-8"));
        assert_eq!(shaken.header("x-content-type-options"), "nosniff");
        let headless = client.with_token(None).send(Method::HEAD, &format!("/api/v1/webhook/{code}?challenge=x"), &[], "").await;
        assert_eq!(headless.status, 200);
        assert_eq!(client.look(&format!("/v1/calls?receiver={name}")).await["data"], json!([]), "nothing ran, nothing is recorded");
        // Everything else of it is a call, and is verified.
        assert_eq!(get(client, &code, "challenged=abc").await.status, 405);
        assert_eq!(call(client, &code, &[], "{}").await.status, 401);
        let challenge = client.with_token(None).send(Method::POST, &format!("/api/v1/webhook/{code}?challenge=x"), &[], "{}").await;
        assert_eq!(challenge.status, 401);
        assert_eq!(call(client, &code, &[("x-dropbox-signature", &hex_of("key", "{}"))], "{}").await.status, 200);
        // A wrong signature makes it a call that is refused.
        let path = format!("/api/v1/webhook/{code}?challenge=x");
        let (_, get_too) = receiver(client, "key", verify, json!({})).await;
        let forged = client.with_token(None);
        let forged = forged.send(Method::GET, &path.replace(&code, &get_too), &[("x-dropbox-signature", "00")], "").await;
        assert_eq!(forged.status, 401);
        // `none` is none.
        let quiet = |secret: &str| json!({ "scheme": "hmac", "secret": secret, "challenge": "none", "hmac": { "header": "x-sig" } });
        let (_, code) = receiver(client, "key", quiet, json!({})).await;
        assert_eq!(get(client, &code, "challenge=abc").await.status, 401);
    });
}

#[test]
fn handshakes_are_answered_whatever_the_methods_and_calls_are_not() {
    run(async {
        let client = &shared().await.client;
        client.secret("hub-token", "verifytoken").await;
        let only = |methods: &[&str]| json!({ "methods": methods });
        let meta = |secret: &str| json!({ "scheme": "meta", "secret": secret, "challenge_token": "$secret:hub-token" });
        let (_, hub) = receiver(client, "key", meta, only(&["POST"])).await;
        assert_eq!(get(client, &hub, "hub.mode=subscribe&hub.challenge=11&hub.verify_token=verifytoken").await.text(), "11");
        assert_eq!(get(client, &hub, "").await.status, 405);
        let (_, crc) = receiver(client, "key", |secret| json!({ "scheme": "esri-service", "secret": secret }), only(&["POST"])).await;
        assert!(get(client, &crc, "crc_token=abc").await.text().contains("response_token"));
        let (_, graph) = receiver(client, "key", |_| json!({ "challenge": "validation-token" }), only(&["PUT"])).await;
        let path = format!("/api/v1/webhook/{graph}?validationToken=Validation%3A%20x");
        let shaken = client.with_token(None).send(Method::POST, &path, &[("content-type", "text/plain")], "").await;
        assert_eq!((shaken.status, shaken.text()), (200, "Validation: x".into()));
        // Those in a body, and a probe: POST is not among the methods, and what is none of them is refused once it is known.
        let at = Timestamp::now().as_second();
        let slack = |secret: &str| json!({ "scheme": "slack", "secret": secret });
        let (name, code) = receiver(client, "signing", slack, only(&["GET"])).await;
        for (body, status) in [(r#"{"type":"url_verification","challenge":"x"}"#, 200), (r#"{"type":"event_callback"}"#, 405)] {
            let signature = format!("v0={}", hex_of("signing", &format!("v0:{at}:{body}")));
            let headers = [("x-slack-signature", signature.as_str()), ("x-slack-request-timestamp", &at.to_string())];
            assert_eq!(call(client, &code, &headers, body).await.status, status, "{body}");
        }
        assert_eq!(client.look(&format!("/v1/calls?receiver={name}")).await["data"], json!([]));
        let echo = json!({ "challenge": "echo", "echo": { "body": "challenge", "member": "challenge" } });
        let (_, code) = receiver(client, "key", |_| echo.clone(), only(&["GET"])).await;
        assert_eq!(call(client, &code, &[], r#"{"challenge":"monday"}"#).await.json(), json!({ "challenge": "monday" }));
        assert_eq!(call(client, &code, &[], r#"{"event":{}}"#).await.status, 405);
        let (_, code) = receiver(client, "key", |_| json!({}), json!({ "methods": ["GET"], "probe": "answer" })).await;
        assert_eq!((call(client, &code, &[], "{}").await.status, call(client, &code, &[], r#"{"a":1}"#).await.status), (200, 405));
    });
}

#[test]
fn zooms_url_validation_is_answered_when_it_is_signed_and_signs_no_body() {
    run(async {
        let client = &shared().await.client;
        let verify = |secret: &str| {
            json!({ "scheme": "hmac", "secret": secret, "challenge": "url-validation", "hmac": {
                "header": "x-zm-signature", "prefix": "v0=", "signed": "v0:{timestamp}:{body}", "timestamp_header": "x-zm-request-timestamp" } })
        };
        let (_, code) = receiver(client, "zoom", verify, json!({})).await;
        let at = Timestamp::now().as_second();
        let send = async |body: &str, key: &str| {
            let signature = format!("v0={}", hex_of(key, &format!("v0:{at}:{body}")));
            call(client, &code, &[("x-zm-signature", &signature), ("x-zm-request-timestamp", &at.to_string())], body).await
        };
        let asking = r#"{"payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event_ts":1654503849680,"event":"endpoint.url_validation"}"#;
        let shaken = send(asking, "zoom").await.json();
        let encrypted = hex_of("zoom", "qgg8vlvZRS6UYooatFL8Aw");
        assert_eq!(shaken, json!({ "plainToken": "qgg8vlvZRS6UYooatFL8Aw", "encryptedToken": encrypted }));
        let stranger = send(asking, "another key").await;
        assert!(stranger.status == 401 && !stranger.text().contains("encryptedToken"), "{}", stranger.text());
        let body = format!(r#"{{"payload":{{"plainToken":"v0:{at}:{{}}"}},"event":"endpoint.url_validation"}}"#);
        assert!(!send(&body, "zoom").await.text().contains("encryptedToken"), "what might be a signed text is not signed");
    });
}

#[test]
fn a_key_is_replaced_without_a_gap() {
    run(async {
        let client = &shared().await.client;
        let (new, old) = (unique("key-new"), unique("key-old"));
        client.secret(&new, "the new key").await;
        client.secret(&old, "the old key").await;
        let name = unique("rotated");
        let document = |verify: Value| json!({ "reply": { "message": "taken" }, "verify": verify });
        let of = |secrets: &[&String]| {
            let secrets: Vec<_> = secrets.iter().map(|name| format!("$secret:{name}")).collect();
            json!({ "scheme": "esri-service", "secrets": secrets })
        };
        let code = client.receiver(&name, document(json!({ "scheme": "esri-service", "secret": format!("$secret:{old}") }))).await;
        let status = async |key: &str| {
            let signature = format!("sha256={}", BASE64_STANDARD.encode(hmac_sha256(key.as_bytes(), b"{}")));
            call(client, &code, &[("x-esrihook-signature", &signature)], "{}").await.status
        };
        let answers_with = async |key: &str| {
            let signed = format!("sha256={}", BASE64_STANDARD.encode(hmac_sha256(key.as_bytes(), b"abc")));
            get(client, &code, "crc_token=abc").await.json()["response_token"] == signed.as_str()
        };
        assert_eq!((status("the old key").await, status("the new key").await), (200, 401));
        client.put(&format!("/v1/receivers/{name}"), &document(of(&[&new, &old]))).await;
        assert_eq!((status("the old key").await, status("the new key").await, status("another key").await), (200, 200, 401));
        assert!(answers_with("the new key").await, "the first answers");
        // A key that is believed cannot be deleted, and one that answered a challenge never signs a call by it.
        assert_eq!(client.send(Method::DELETE, &format!("/v1/secrets/{old}"), &[], "").await.status, 409);
        let word = format!("sha256={}", BASE64_STANDARD.encode(hmac_sha256(b"the old key", b"abc")));
        assert_eq!(call(client, &code, &[("x-esrihook-signature", &word)], "abc").await.status, 401);
        client.put(&format!("/v1/receivers/{name}"), &document(of(&[&new]))).await;
        assert_eq!((status("the old key").await, status("the new key").await), (401, 200));
        assert_eq!(client.look(&format!("/v1/receivers/{name}")).await["verify"]["secrets"], json!([format!("$secret:{new}")]));
        // Inline keys, and what is wrong with one of them.
        let inline = json!({ "scheme": "github", "secrets": [{ "inline": "one" }, { "inline": "two" }] });
        let (status, shown) = client.put(&format!("/v1/receivers/{name}"), &document(inline)).await;
        assert_eq!(status, 200, "{shown}");
        assert!(!shown.to_string().contains("\"two\""), "{shown}");
        let signature = format!("sha256={}", hex_of("two", "{}"));
        assert_eq!(call(client, &code, &[("x-hub-signature-256", &signature)], "{}").await.status, 200);
        let bad = json!({ "scheme": "basic", "secrets": [{ "inline": "ada:love" }, { "inline": "nobody" }] });
        let (status, problem) = client.put("/v1/receivers/rotated-wrong", &document(bad)).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/verify/secrets/1")), "{problem}");
    });
}

#[test]
fn a_signature_over_the_url_is_one_over_the_address_that_was_called() {
    run(async {
        let client = &shared().await.client;
        let verify = |secret: &str| json!({ "scheme": "hmac", "secret": secret, "hmac": { "header": "x-square", "encoding": "base64", "signed": "{url}{body}" } });
        let (name, code) = receiver(client, "key", verify, json!({})).await;
        let target = format!("/api/v1/webhook/{code}?shop=1&x=%2F");
        let signed = |target: &str| BASE64_STANDARD.encode(hmac_sha256(b"key", format!("http://hooks.example{target}{{}}").as_bytes()));
        let status = async |target: &str, host: &str, signature: &str| {
            client.with_token(None).send(Method::POST, target, &[("host", host), ("x-square", signature)], "{}").await.status
        };
        assert_eq!(status(&target, "hooks.example", &signed(&target)).await, 200);
        assert!(!client.last_call(&name).await.to_string().contains(&code), "the URL is not recorded: the code is in it");
        assert_eq!(status(&target, "other.example", &signed(&target)).await, 401);
        assert_eq!(status(&target.replace("shop=1", "shop=2"), "hooks.example", &signed(&target)).await, 401);
    });
}

#[test]
fn a_token_in_a_header_and_a_public_key_prove_the_sender() {
    run(async {
        let client = &shared().await.client;
        let verify = |secret: &str| json!({ "scheme": "token", "secret": secret, "token_header": "X-Gitlab-Token" });
        let (name, code) = receiver(client, "hunter22", verify, json!({})).await;
        assert_eq!(call(client, &code, &[("x-gitlab-token", "hunter22")], "{}").await.status, 200);
        let kept = client.last_call(&name).await.to_string();
        assert!(kept.contains("x-gitlab-token") && !kept.contains("hunter22"), "{kept}");
        for headers in [&[][..], &[("x-gitlab-token", "hunter2")], &[("x-gitlab-token", "")]] {
            assert_eq!(call(client, &code, headers, "{}").await.status, 401, "{headers:?}");
        }
        let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
        let rule = json!({ "algorithm": "ed25519", "header": "x-signature-ed25519", "signed": "{timestamp}{body}", "timestamp_header": "x-signature-timestamp" });
        let verify = |secret: &str| json!({ "scheme": "public-key", "secret": secret, "public_key": rule.clone() });
        let (_, code) = receiver(client, &hex::encode(key.verifying_key().as_bytes()), verify, json!({})).await;
        let status = async |at: &str, signed: &str, body: &str| {
            let signature = hex::encode(ed25519_dalek::Signer::sign(&key, signed.as_bytes()).to_bytes());
            call(client, &code, &[("x-signature-ed25519", &signature), ("x-signature-timestamp", at)], body).await.status
        };
        let now = Timestamp::now();
        for at in [now.as_second().to_string(), now.as_millisecond().to_string(), now.to_string()] {
            assert_eq!(status(&at, &format!("{at}{{}}"), "{}").await, 200, "{at}");
            assert_eq!(status(&at, &format!("{at}{{}}"), "[]").await, 401, "{at}");
        }
        let document = json!({ "reply": { "message": "x" }, "verify": { "scheme": "public-key", "secret": { "inline": "no key" }, "public_key": rule } });
        let (status, problem) = client.put("/v1/receivers/no-key", &document).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/verify/secret")), "{problem}");
    });
}

#[test]
fn a_time_far_from_now_is_refused_in_both_directions_and_the_admin_is_told_the_limit() {
    run(async {
        let client = &shared().await.client;
        let verify = |secret: &str| json!({ "scheme": "stripe", "secret": secret, "tolerance_s": 60 });
        let (name, code) = receiver(client, "whsec_x", verify, json!({})).await;
        let now = Timestamp::now().as_second();
        let status = async |at: i64| {
            let header = format!("t={at},v1={}", hex_of("whsec_x", &format!("{at}.{{}}")));
            call(client, &code, &[("stripe-signature", &header)], "{}").await.status
        };
        assert_eq!(status(now).await, 200);
        for (at, said) in [(now + 365 * 86_400, "in the future"), (now - 400, "ago")] {
            assert_eq!(status(at).await, 401);
            let kept = client.last_call(&name).await;
            let detail = kept["failure"]["detail"].as_str().unwrap_or_default();
            assert!(detail.contains(said) && detail.contains("`verify.tolerance_s` allows 60 s"), "{detail}");
        }
    });
}
