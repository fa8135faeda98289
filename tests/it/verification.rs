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
            (json!({ "header": "x", "signed": "{url}{body}" }), "/verify/hmac/signed", "`{url}` is none of"),
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
