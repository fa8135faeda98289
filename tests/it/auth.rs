//! Each kind of credential at a real server: accepted, refused, expired, rotated.

use std::time::Duration;

use hookwright_tests::{
    AccountKey, Authority, Client, Endpoint, Gate, Received, Script, TestHost, TokenServer, run, shared,
    token_server::{claims, form, token_part},
    unique,
    wait::eventually,
};
use serde_json::{Value, json};

/// Invokes a webhook with this `auth`, and returns the outcome.
async fn invoked(client: &Client, name: &str) -> Value {
    client.invoke(name, json!({ "data": 1 })).await
}

async fn delivered(client: &Client, name: &str, endpoint: &Endpoint) -> Received {
    let invoked = invoked(client, name).await;
    assert_eq!(invoked["state"], "delivered", "{invoked}");
    endpoint.next_request().await
}

fn oauth2(server: &TokenServer, secret: &str) -> Value {
    json!({ "kind": "oauth2", "token_endpoint": server.endpoint.url("/token"), "client_id": "the client", "client_secret": format!("$secret:{secret}") })
}

#[test]
fn a_third_partys_token_is_got_kept_and_sent() {
    run(async {
        let client = &shared().await.client;
        let server = TokenServer::start(("the client", "canary p@ss:word"), None).await;
        let endpoint = Endpoint::start().await;
        let name = unique("oauth");
        client.secret(&name, "canary p@ss:word").await;
        let mut auth = oauth2(&server, &name);
        auth["token_endpoint"] = json!(server.endpoint.url("/token?tenant=canary-tenant&sig=x%2Fy"));
        auth["scopes"] = json!(["read", "write"]);
        client
            .webhook(
                &name,
                json!({ "request": { "url": endpoint.url("/"), "headers": { "x-own": "of the webhook" }, "body": {} }, "auth": auth }),
            )
            .await;

        let (_, preview) = client.post(&format!("/v1/webhooks/{name}/preview"), &json!({})).await;
        assert_eq!(preview["request"]["headers"]["authorization"], "(redacted)", "{preview}");
        assert_eq!(server.given().len(), 0, "nobody is asked for a token to be shown");

        let received = delivered(client, &name, &endpoint).await;
        assert_eq!((received.header("authorization"), received.header("x-own")), ("Bearer canary-token-1", "of the webhook"));
        let asked = server.endpoint.next_request().await;
        assert_eq!(asked.path, "/token?tenant=canary-tenant&sig=x%2Fy", "its query goes along as it is");
        assert_eq!((form(&asked)["scope"].as_str(), asked.header("x-own")), ("read write", ""), "the webhook's own headers do not");

        delivered(client, &name, &endpoint).await;
        assert_eq!(server.given().len(), 1, "it is kept");

        let shown = client.look(&format!("/v1/webhooks/{name}")).await;
        assert!(shown["auth"]["token_endpoint"].as_str().is_some_and(|url| url.ends_with("?tenant=redacted&sig=redacted")), "{shown}");
        let (status, problem) =
            client.put(&format!("/v1/webhooks/{name}"), &json!({ "request": shown["request"], "auth": shown["auth"] })).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/auth/token_endpoint")), "{problem}");
        let deliveries = client.look(&format!("/v1/deliveries?webhook={name}")).await;
        let delivery = client.delivery(deliveries["data"][0]["id"].as_str().expect("an id")).await;
        assert!(!delivery.to_string().contains("canary"), "{delivery}");
    });
}

#[test]
fn those_who_wait_for_a_token_share_the_answer_that_there_is_none() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let (tokens, endpoint, gate) = (Endpoint::start().await, Endpoint::start().await, Gate::new());
        tokens.always(Script::status(500).behind(&gate));
        client.secret("s", "s").await;
        let auth = json!({ "kind": "oauth2", "client_id": "c", "client_secret": "$secret:s", "token_endpoint": tokens.url("/token") });
        let webhook = json!({ "selectors": ["many.*"], "retry": { "schedule_seconds": [] }, "limits": { "in_flight": 8 }, "request": { "url": endpoint.url("/") }, "auth": auth });
        client.webhook("w", webhook).await;
        client.webhook("other", json!({ "selectors": ["other.*"], "request": { "url": endpoint.url("/") } })).await;
        let events: Vec<_> = (0..8).map(|n| json!({ "trigger": "many.now", "data": n })).collect();
        assert_eq!(client.post("/v1/events", &json!(events)).await.0, 202);
        tokens.next_request().await;
        // Work that was begun after the waiting deliveries has finished, so they have reached the place where they wait.
        for _ in 0..8 {
            assert_eq!(client.event(json!({ "trigger": "other.now" })).await["deliveries"][0]["state"], "delivered");
        }
        gate.open();
        eventually("all have failed", || async {
            let failed = client.look("/v1/deliveries?webhook=w&state=failed").await;
            (failed["data"].as_array().map(Vec::len) == Some(8)).then_some(())
        })
        .await;
        assert!(tokens.seen().len() < 8, "each of {} asked in turn", tokens.seen().len());
    });
}

#[test]
fn a_client_can_show_itself_in_the_form() {
    run(async {
        let client = &shared().await.client;
        let server = TokenServer::start(("the client", "in form"), None).await;
        let endpoint = Endpoint::start().await;
        let name = unique("oauth-form");
        client.secret(&name, "in form").await;
        let mut auth = oauth2(&server, &name);
        auth["client_auth"] = json!("form");
        client.webhook(&name, json!({ "request": { "url": endpoint.url("/") }, "auth": auth })).await;
        delivered(client, &name, &endpoint).await;
        let asked = server.endpoint.next_request().await;
        assert_eq!((form(&asked)["client_id"].as_str(), asked.header("authorization")), ("the client", ""));
    });
}

#[test]
fn a_token_is_got_anew_a_minute_before_it_ends() {
    run(async {
        let host = TestHost::start().await;
        let server = TokenServer::start(("the client", "s"), None).await;
        let endpoint = Endpoint::start().await;
        host.client.secret("s", "s").await;
        host.client.webhook("w", json!({ "request": { "url": endpoint.url("/") }, "auth": oauth2(&server, "s") })).await;
        server.life(600);
        assert_eq!(delivered(&host.client, "w", &endpoint).await.header("authorization"), "Bearer canary-token-1");
        host.advance(Duration::from_secs(539));
        assert_eq!(delivered(&host.client, "w", &endpoint).await.header("authorization"), "Bearer canary-token-1");
        host.advance(Duration::from_secs(2));
        assert_eq!(delivered(&host.client, "w", &endpoint).await.header("authorization"), "Bearer canary-token-2");
    });
}

#[test]
fn a_token_that_is_refused_is_got_anew_once() {
    run(async {
        let client = &shared().await.client;
        let server = TokenServer::start(("the client", "s"), None).await;
        let endpoint = Endpoint::start().await;
        let name = unique("oauth-refused");
        client.secret(&name, "s").await;
        client
            .webhook(
                &name,
                json!({ "profile": "dialogflow-flexible", "request": { "url": endpoint.url("/") }, "auth": oauth2(&server, &name) }),
            )
            .await;
        delivered(client, &name, &endpoint).await;
        endpoint.next(Script::status(401));
        let invoked_again = invoked(client, &name).await;
        assert_eq!((&invoked_again["state"], &invoked_again["attempts"]), (&json!("delivered"), &json!(1)), "{invoked_again}");
        let tokens: Vec<_> = endpoint.seen().iter().map(|seen| seen.header("authorization").to_owned()).collect();
        assert_eq!(tokens, ["Bearer canary-token-1", "Bearer canary-token-1", "Bearer canary-token-2"]);

        endpoint.always(Script::status(401));
        let failed = invoked(client, &name).await;
        assert_eq!((&failed["error_event"], &failed["http_status"]), (&json!("webhook.error.rejected"), &json!(401)), "{failed}");
        assert_eq!(endpoint.seen().len(), 5, "once, not for ever");
    });
}

#[test]
fn a_rotated_secret_is_used_at_once() {
    run(async {
        let client = &shared().await.client;
        let server = TokenServer::start(("the client", "old"), None).await;
        let endpoint = Endpoint::start().await;
        let name = unique("oauth-rotated");
        client.secret(&name, "old").await;
        client.webhook(&name, json!({ "request": { "url": endpoint.url("/") }, "auth": oauth2(&server, &name) })).await;
        delivered(client, &name, &endpoint).await;
        server.rotate("the client", "new");
        client.secret(&name, "new").await;
        assert_eq!(delivered(client, &name, &endpoint).await.header("authorization"), "Bearer canary-token-2");

        let fixed = unique("oauth-fixed");
        client.webhook(&fixed, json!({ "request": { "url": endpoint.url("/") }, "auth": oauth2(&server, &format!("{name}@1")) })).await;
        let failed = invoked(client, &fixed).await;
        assert_eq!(failed["failure"]["kind"], "token_failed", "the old version: {failed}");
        let detail = failed["failure"]["detail"].as_str().unwrap_or_default();
        assert!(detail.contains("400, `invalid_client`") && !detail.contains("canary"), "{detail}");
    });
}

#[test]
fn many_deliveries_ask_for_one_token() {
    run(async {
        let client = &shared().await.client;
        let server = TokenServer::start(("the client", "s"), None).await;
        let endpoint = Endpoint::start().await;
        let name = unique("oauth-many");
        client.secret(&name, "s").await;
        client.webhook(&name, json!({ "request": { "url": endpoint.url("/") }, "auth": oauth2(&server, &name) })).await;
        futures::future::join_all((0..8).map(|_| delivered(client, &name, &endpoint))).await;
        assert_eq!(server.given().len(), 1);
    });
}

#[test]
fn a_token_endpoint_has_authorities_of_its_own_and_an_address_that_is_allowed() {
    run(async {
        let client = &shared().await.client;
        let authority = Authority::new();
        let server = TokenServer::start_tls(&authority.server(&["127.0.0.1"]), ("the client", "s")).await;
        let endpoint = Endpoint::start().await;
        let name = unique("oauth-tls");
        client.secret(&name, "s").await;
        let mut auth = oauth2(&server, &name);
        client.webhook(&name, json!({ "request": { "url": endpoint.url("/") }, "auth": auth })).await;
        let failed = invoked(client, &name).await;
        assert_eq!(failed["failure"]["kind"], "token_failed", "{failed}");
        auth["ca_certificates"] = json!([authority.pem]);
        client.webhook(&name, json!({ "request": { "url": endpoint.url("/") }, "auth": auth })).await;
        delivered(client, &name, &endpoint).await;

        auth["token_endpoint"] = json!("https://10.0.0.1/token");
        client.webhook(&name, json!({ "request": { "url": endpoint.url("/") }, "auth": auth })).await;
        let failed = invoked(client, &name).await;
        assert!(failed["failure"]["detail"].as_str().is_some_and(|detail| detail.contains("not a public address")), "{failed}");
    });
}

#[test]
fn an_account_exchanges_what_it_signed() {
    run(async {
        let client = &shared().await.client;
        let key = AccountKey::shared();
        let server = TokenServer::start(("", ""), Some(&key.public)).await;
        let endpoint = Endpoint::start().await;
        let name = unique("account");
        client.secret(&name, &key.private).await;
        let auth = json!({ "kind": "service_account", "token_endpoint": server.endpoint.url("/token"), "key": format!("$secret:{name}"), "account": "sa@project.example", "key_id": "k1", "scopes": ["a", "b"] });
        client.webhook(&name, json!({ "request": { "url": endpoint.url("/x?q=1") }, "auth": auth })).await;
        assert_eq!(delivered(client, &name, &endpoint).await.header("authorization"), "Bearer canary-token-1");
        let asked = server.endpoint.next_request().await;
        let assertion = form(&asked)["assertion"].clone();
        assert_eq!(token_part(&assertion, 0).expect("a header")["kid"], "k1");
        let claims = claims(&assertion, &key.public, &server.endpoint.url("/token")).expect("signed for the endpoint");
        assert_eq!((&claims["iss"], &claims["scope"]), (&json!("sa@project.example"), &json!("a b")));

        // A key file names its account.
        let file = unique("account-file");
        client
            .secret(
                &file,
                &json!({ "type": "service_account", "client_email": "file@project.example", "private_key_id": "k2", "private_key": key.private })
                    .to_string(),
            )
            .await;
        let auth = json!({ "kind": "service_account", "token_endpoint": server.endpoint.url("/token"), "key": format!("$secret:{file}") });
        client.webhook(&file, json!({ "request": { "url": endpoint.url("/") }, "auth": auth })).await;
        delivered(client, &file, &endpoint).await;

        let wrong = unique("account-wrong");
        client.secret(&wrong, "canary-no-key").await;
        let auth = json!({ "kind": "service_account", "token_endpoint": server.endpoint.url("/token"), "key": format!("$secret:{wrong}"), "account": "a" });
        client.webhook(&wrong, json!({ "request": { "url": endpoint.url("/") }, "auth": auth })).await;
        let failed = invoked(client, &wrong).await;
        assert_eq!(failed["failure"]["kind"], "token_failed");
        assert!(failed.to_string().contains("neither an RSA key") && !failed.to_string().contains("canary"), "{failed}");
    });
}

#[test]
fn an_identity_token_is_for_the_url_without_its_query() {
    run(async {
        let client = &shared().await.client;
        let key = AccountKey::shared();
        let server = TokenServer::start(("", ""), Some(&key.public)).await;
        let endpoint = Endpoint::start().await;
        let name = unique("identity");
        client.secret(&name, &key.private).await;
        let mut auth = json!({ "kind": "id_token", "key": format!("$secret:{name}"), "account": "sa@project.example" });
        let request = json!({ "url": endpoint.url("/my-function/$session.params.method?query=$session.params.method") });
        client.webhook(&name, json!({ "request": request, "auth": auth })).await;
        client.invoke(&name, json!({ "parameters": { "method": "method1" } })).await;
        let received = endpoint.next_request().await;
        assert_eq!(received.path, "/my-function/method1?query=method1");
        let token = received.header("authorization").strip_prefix("Bearer ").expect("a bearer token").to_owned();
        let claims = claims(&token, &key.public, &endpoint.url("/my-function/method1")).expect("signed for the URL without its query");
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!("sa@project.example"), &json!("sa@project.example")));

        auth["token_endpoint"] = json!(server.endpoint.url("/token"));
        client.webhook(&name, json!({ "request": request, "auth": auth })).await;
        client.invoke(&name, json!({ "parameters": { "method": "m2" } })).await;
        let audience = endpoint.url("/my-function/m2");
        assert_eq!(endpoint.next_request().await.header("authorization"), format!("Bearer canary-token-1-for-{audience}"));
    });
}

#[test]
fn basic_and_bearer_and_headers_are_put_on() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("plain");
        client.secret(&name, "canary").await;
        client.secret(&format!("{name}-pair"), "ann:canary").await;
        let secret = format!("$secret:{name}");
        for (auth, header, expected) in [
            (json!({ "kind": "basic", "username": "ann", "password": secret }), "authorization", "Basic YW5uOmNhbmFyeQ=="),
            (json!({ "kind": "basic", "password": format!("{secret}-pair") }), "authorization", "Basic YW5uOmNhbmFyeQ=="),
            (json!({ "kind": "bearer", "token": secret }), "authorization", "Bearer canary"),
            (json!({ "kind": "headers", "headers": { "x-key": secret } }), "x-key", "canary"),
            (
                json!({ "kind": "headers", "headers": { "authorization": "Bearer $session.params.token" } }),
                "authorization",
                "Bearer of-the-session",
            ),
            (json!({ "kind": "headers", "headers": { "x-who": "$sys.func.UPPER($event.data.who) $request.tag" } }), "x-who", "ANN t"),
        ] {
            client.webhook(&name, json!({ "request": { "url": endpoint.url("/") }, "auth": auth })).await;
            let with =
                json!({ "parameters": { "token": "of-the-session" }, "data": { "who": "ann" }, "context": { "request": { "tag": "t" } } });
            let invoked = client.invoke(&name, with).await;
            assert_eq!(invoked["state"], "delivered", "{invoked}");
            assert_eq!(endpoint.next_request().await.header(header), expected, "{auth}");
            let delivery = client.delivery(invoked["delivery"].as_str().expect("an id")).await;
            assert_eq!(delivery["attempt_log"][0]["request"]["headers"][header], "(redacted)", "{delivery}");
        }
    });
}

#[test]
fn a_credential_that_is_given_itself_is_kept_as_a_secret() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("inline");
        let path = format!("/v1/webhooks/{name}");
        let mut webhook = json!({
            "request": { "url": endpoint.url("/") },
            "auth": { "kind": "basic", "username": "ann", "password": { "inline": "canary" } },
            "environments": { "staging": { "auth": { "kind": "headers", "headers": { "authorization": { "inline": "Key canary-2" } } } } },
        });
        client.webhook(&name, webhook.clone()).await;
        assert_eq!(delivered(client, &name, &endpoint).await.header("authorization"), "Basic YW5uOmNhbmFyeQ==");
        client.invoke(&name, json!({ "environment": "staging" })).await;
        assert_eq!(endpoint.next_request().await.header("authorization"), "Key canary-2");

        let shown = client.look(&format!("{path}?reveal=true")).await;
        let reference = shown["auth"]["password"].as_str().expect("a reference").to_owned();
        assert!(reference.starts_with("$secret:inline.") && !shown.to_string().contains("canary"), "{shown}");
        let secret = format!("/v1/secrets/{}", reference.trim_start_matches("$secret:"));
        assert_eq!(client.put(&secret, &json!({ "value": "x" })).await.0, 400, "it is the document's");
        assert_eq!(client.delete(&secret).await.0, 409, "it is in use");

        // If the document is written again, the secret keeps its name; it gets a new version only if the value changed.
        let version = async || {
            let secrets = client.look("/v1/secrets").await;
            let of = |one: &Value| format!("$secret:{}", one["name"].as_str().unwrap_or_default());
            secrets["data"].as_array().expect("secrets").iter().find(|one| of(one) == reference).map(|one| one["version"].clone())
        };
        client.webhook(&name, webhook.clone()).await;
        assert_eq!(version().await, Some(json!(1)));
        // A refused document leaves no credential behind.
        let refused = json!({ "transform": "nowhere", "auth": { "password": { "inline": "of a refused document" } } });
        let (status, problem) = client.patch(&path, &refused).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/transform")), "{problem}");
        assert_eq!(version().await, Some(json!(1)));
        let (status, changed) = client.patch(&path, &json!({ "auth": { "password": { "inline": "other" } } })).await;
        assert_eq!((status, version().await), (200, Some(json!(2))), "{changed}");
        assert_eq!(delivered(client, &name, &endpoint).await.header("authorization"), "Basic YW5uOm90aGVy");

        // A secret that nothing refers to any more is deleted.
        webhook["auth"] = json!({ "kind": "none" });
        client.webhook(&name, webhook).await;
        assert_eq!(version().await, None);
        assert_eq!(client.delete(&path).await.0, 204);
        let left = client.look("/v1/secrets").await;
        assert!(!left.to_string().contains(&format!("inline.{name}")), "{left}");

        for (auth, pointer) in [
            (json!({ "kind": "bearer", "token": { "inline": "" } }), "/auth/token/inline"),
            (json!({ "kind": "bearer", "token": { "inline": "line\n" } }), "/auth/token/inline"),
            (json!({ "kind": "bearer", "token": { "inline": 5 } }), "/auth/token/inline"),
            (json!({ "kind": "bearer", "token": { "inline": "a", "more": 1 } }), "/auth/token/inline"),
        ] {
            let (status, problem) = client.put(&path, &json!({ "request": { "url": endpoint.url("/") }, "auth": auth })).await;
            assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!(pointer)), "{problem}");
        }
        let wrong = json!({ "request": { "url": "no URL" }, "auth": { "kind": "bearer", "token": { "inline": "canary" } } });
        assert_eq!(client.put(&path, &wrong).await.0, 400);
        let left = client.look("/v1/secrets").await;
        assert!(!left.to_string().contains(&format!("inline.{name}")), "no secret of a document that was not written: {left}");
    });
}

#[test]
fn a_function_that_fails_in_a_credential_sends_nothing() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("failing-header");
        let auth = json!({ "kind": "headers", "headers": { "x-n": "$sys.func.ADD(1, $session.params.none)" } });
        client.webhook(&name, json!({ "request": { "url": endpoint.url("/") }, "auth": auth })).await;
        let invoked = invoked(client, &name).await;
        assert_eq!((&invoked["state"], &invoked["failure"]["kind"]), (&json!("refused"), &json!("function_failed")), "{invoked}");
        assert!(endpoint.seen().is_empty());
    });
}

#[test]
fn mutual_tls_stands_beside_any_other_kind() {
    run(async {
        let client = &shared().await.client;
        let (servers, clients) = (Authority::new(), Authority::new());
        let endpoint = Endpoint::start_tls(&servers.server(&["127.0.0.1"]), Some(&clients)).await;
        let identity = clients.client();
        let name = unique("mutual");
        client.secret(&format!("{name}-key"), &identity.key).await;
        client.secret(&name, "canary").await;
        let tls = json!({ "ca_certificates": [servers.pem], "client_certificate": { "certificate": identity.certificate, "key": format!("$secret:{name}-key") } });
        let auth = json!({ "kind": "bearer", "token": format!("$secret:{name}") });
        client.webhook(&name, json!({ "request": { "url": endpoint.url("/") }, "auth": auth, "tls": tls })).await;
        assert_eq!(delivered(client, &name, &endpoint).await.header("authorization"), "Bearer canary");

        // A client certificate of another authority is refused. After its rotation it is accepted, without a restart.
        client.secret(&format!("{name}-key"), &Authority::new().client().key).await;
        let failed = invoked(client, &name).await;
        assert_ne!(failed["state"], "delivered", "a key that does not go with the certificate: {failed}");
        client.secret(&format!("{name}-key"), &identity.key).await;
        delivered(client, &name, &endpoint).await;

        let without = unique("without");
        client.webhook(&without, json!({ "request": { "url": endpoint.url("/") }, "tls": { "ca_certificates": [servers.pem] } })).await;
        let failed = invoked(client, &without).await;
        assert_eq!((&failed["state"], &failed["failure"]["kind"]), (&json!("failed"), &json!("tls_failed")), "{failed}");
    });
}

#[test]
fn own_authorities_replace_the_usual_ones_and_a_certificate_must_name_its_server() {
    run(async {
        let client = &shared().await.client;
        let authority = Authority::new();
        let endpoint = Endpoint::start_tls(&authority.server(&["127.0.0.1"]), None).await;
        let nameless = Endpoint::start_tls(&authority.server(&[]), None).await;
        let other = Endpoint::start_tls(&authority.server(&["other.example"]), None).await;
        let name = unique("authority");
        for (endpoint, authorities, expected) in [
            (&endpoint, json!([]), "tls_failed"),
            (&endpoint, json!([Authority::new().pem]), "tls_failed"),
            (&endpoint, json!([authority.pem]), ""),
            (&nameless, json!([authority.pem]), "tls_failed"),
            (&other, json!([authority.pem]), "tls_failed"),
        ] {
            client.webhook(&name, json!({ "request": { "url": endpoint.url("/") }, "tls": { "ca_certificates": authorities } })).await;
            let invoked = invoked(client, &name).await;
            assert_eq!(invoked["failure"]["kind"].as_str().unwrap_or_default(), expected, "{invoked}");
        }
    });
}

#[test]
fn several_kinds_at_once_and_what_is_no_credential_are_refused() {
    run(async {
        let client = &shared().await.client;
        let name = unique("refused");
        client.secret(&name, "s").await;
        let secret = format!("$secret:{name}");
        for (auth, pointer) in [
            (json!({ "kind": "bearer", "token": secret, "username": "ann" }), "/auth/username"),
            (json!({ "kind": "basic", "username": "ann", "password": secret, "client_id": "x" }), "/auth/client_id"),
            (json!({ "kind": "none", "token": secret }), "/auth/token"),
            (json!({ "kind": "basic", "username": "a:b", "password": secret }), "/auth/username"),
            (json!({ "kind": "bearer", "token": "inline" }), "/auth/token"),
            (
                json!({ "kind": "oauth2", "token_endpoint": "http://h/$session.params.x", "client_id": "x", "client_secret": secret }),
                "/auth/token_endpoint",
            ),
            (json!({ "kind": "oauth2", "token_endpoint": "ftp://h/", "client_id": "x", "client_secret": secret }), "/auth/token_endpoint"),
            (json!({ "kind": "oauth2", "token_endpoint": "https://h/", "client_id": "", "client_secret": secret }), "/auth/client_id"),
            (
                json!({ "kind": "oauth2", "token_endpoint": "https://h/", "client_id": "x", "client_secret": secret, "scopes": ["a b"] }),
                "/auth/scopes/0",
            ),
        ] {
            let (status, problem) =
                client.put(&format!("/v1/webhooks/{name}"), &json!({ "request": { "url": "http://127.0.0.1:9/" }, "auth": auth })).await;
            assert_eq!(status, 400, "{auth}: {problem}");
            let pointers: Vec<_> =
                problem["errors"].as_array().into_iter().flatten().filter_map(|error| error["pointer"].as_str()).collect();
            assert!(pointers.contains(&pointer) || pointers == ["/auth"], "{auth}: {problem}");
        }
    });
}

/// A key that does not fit its scheme is refused before it is stored.
#[test]
fn a_key_that_does_not_fit_its_scheme_is_not_kept() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let secrets = async || client.look("/v1/secrets").await["data"].as_array().map_or(0, Vec::len);
        let signed = |key: &str| json!({ "request": { "url": "http://127.0.0.1:9/" }, "signing": { "scheme": "standard-webhooks", "secrets": [{ "inline": key }] } });
        let (status, problem) = client.put("/v1/webhooks/w", &signed("whsec_c2hvcnQ=")).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/signing/secrets/0")), "{problem}");
        assert!(!problem.to_string().contains("c2hvcnQ"), "{problem}");
        assert_eq!(secrets().await, 0);
        let verified =
            |scheme: &str, key: &str| json!({ "reply": { "message": "ok" }, "verify": { "scheme": scheme, "secret": { "inline": key } } });
        for (scheme, key) in [("standard-webhooks", "whsec_?"), ("basic", "no-pair")] {
            let (status, problem) = client.put("/v1/receivers/r", &verified(scheme, key)).await;
            assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/verify/secret")), "{problem}");
            assert_eq!(secrets().await, 0, "{scheme}");
        }
        // The same holds if another secret does not exist.
        let (status, problem) = client.put("/v1/webhooks/w", &json!({ "request": { "url": "http://127.0.0.1:9/" }, "auth": { "kind": "bearer", "token": { "inline": "t" } }, "environments": { "e": { "auth": { "kind": "bearer", "token": "$secret:none" } } } })).await;
        assert!(status == 400 && problem.to_string().contains("there is no secret"), "{problem}");
        assert_eq!(secrets().await, 0);
        // A good key is stored, and stays unchanged when the next one is refused.
        client.webhook("w", signed("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).await;
        client.receiver("r", verified("basic", "ann:pw")).await;
        assert_eq!(client.put("/v1/webhooks/w", &signed("whsec_c2hvcnQ=")).await.0, 400);
        let kept = client.look("/v1/secrets").await;
        let versions: Vec<_> = kept["data"].as_array().expect("secrets").iter().map(|one| one["version"].clone()).collect();
        assert_eq!(versions, [json!(1), json!(1)], "{kept}");
    });
}

/// A server accepts only the present credential. A refused one has the agent's own event; a rotated one is used without a restart.
#[test]
fn a_server_that_looks_takes_refuses_and_is_rotated() {
    run(async {
        let client = &shared().await.client;
        for (kind, auth, header, old, new) in [
            (
                "basic",
                json!({ "kind": "basic", "username": "ann", "password": "$secret:NAME" }),
                "authorization",
                "Basic YW5uOm9sZA==",
                "Basic YW5uOm5ldw==",
            ),
            ("bearer", json!({ "kind": "bearer", "token": "$secret:NAME" }), "authorization", "Bearer old", "Bearer new"),
            ("headers", json!({ "kind": "headers", "headers": { "x-api-key": "$secret:NAME" } }), "x-api-key", "old", "new"),
        ] {
            let name = unique(kind);
            let accepted = std::sync::Arc::new(std::sync::Mutex::new(old));
            let endpoint = Endpoint::start().await;
            let looks = std::sync::Arc::clone(&accepted);
            endpoint
                .decides(move |asked| Script::status(if asked.header(header) == *looks.lock().expect("unpoisoned") { 200 } else { 401 }));
            client.secret(&name, "old").await;
            let auth: Value = serde_json::from_str(&auth.to_string().replace("NAME", &name)).expect("JSON");
            client.webhook(&name, json!({ "profile": "dialogflow-flexible", "request": { "url": endpoint.url("/") }, "auth": auth })).await;
            assert_eq!(invoked(client, &name).await["state"], "delivered", "{kind}");
            *accepted.lock().expect("unpoisoned") = new;
            let refused = invoked(client, &name).await;
            assert_eq!(
                (&refused["state"], &refused["http_status"], &refused["error_event"], &refused["attempts"]),
                (&json!("failed"), &json!(401), &json!("webhook.error.rejected"), &json!(1)),
                "{kind}: {refused}"
            );
            client.secret(&name, "new").await;
            assert_eq!(invoked(client, &name).await["state"], "delivered", "{kind}: the newest version, at once");
        }
    });
}

/// Signed and exchanged tokens expire and are fetched again. A 401 causes one more fetch. A key that the server no longer accepts is
/// refused, and its successor is used without a restart.
#[test]
fn an_accounts_tokens_end_are_refused_and_rotate() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let (key, next) = (AccountKey::shared(), AccountKey::new());
        let server = TokenServer::start(("", ""), Some(&key.public)).await;
        let endpoint = Endpoint::start().await;
        client.secret("key", &key.private).await;
        for (kind, more) in [("service_account", json!({ "token_endpoint": server.endpoint.url("/token") })), ("id_token", json!({}))] {
            let mut auth = json!({ "kind": kind, "key": "$secret:key", "account": "sa@project.example" });
            auth.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
            client.webhook(kind, json!({ "profile": "dialogflow-flexible", "request": { "url": endpoint.url("/f") }, "auth": auth })).await;
            endpoint.forget().await;
            let token = async || delivered(client, kind, &endpoint).await.header("authorization").to_owned();
            let first = token().await;
            host.advance(Duration::from_secs(3500));
            assert_eq!(token().await, first, "{kind}: it is kept");
            host.advance(Duration::from_secs(60));
            let second = token().await;
            assert_ne!(second, first, "{kind}: a minute before it ends");
            host.advance(Duration::from_secs(1));
            endpoint.next(Script::status(401));
            assert_eq!(invoked(client, kind).await["state"], "delivered", "{kind}");
            let sent: Vec<_> = endpoint.seen().iter().rev().take(2).map(|seen| seen.header("authorization").to_owned()).collect();
            assert!(sent[1] == second && sent[0] != second, "{kind}: once more, with another: {sent:?}");
        }
        // The account's key is replaced, so assertions signed with the old key are refused.
        server.believe(&next.public);
        host.advance(Duration::from_secs(3600));
        let refused = invoked(client, "service_account").await;
        assert_eq!(refused["failure"]["kind"], "token_failed", "{refused}");
        assert!(refused["failure"]["detail"].as_str().is_some_and(|detail| detail.contains("`invalid_grant`")), "{refused}");
        client.secret("key", &next.private).await;
        endpoint.forget().await;
        delivered(client, "service_account", &endpoint).await;
        let signed = delivered(client, "id_token", &endpoint).await.header("authorization").trim_start_matches("Bearer ").to_owned();
        assert!(claims(&signed, &next.public, &endpoint.url("/f")).is_some(), "signed with the key of the moment");
    });
}
