//! Dialogflow CX's API for our webhooks: a definition can be moved here unchanged, and Google's own client works with it.

use base64::{Engine, prelude::BASE64_STANDARD};
use hookwright_tests::{Authority, Client, Endpoint, Script, TestHost, host::TOKEN, interop, run, shared, unique};
use serde_json::{Value, json};

/// The path of an agent's webhooks.
fn webhooks(agent: &str) -> String {
    format!("/v3/{agent}/webhooks")
}

fn agent(name: &str) -> String {
    format!("projects/p/locations/global/agents/{}", unique(name))
}

/// The definition in the seed document: its URL and its body (004, "Requête de webhook flexible").
fn flexible(url: &str) -> Value {
    json!({
        "displayName": "orders", "timeout": "6s",
        "genericWebService": {
            "uri": format!("{url}?f=$session.params.fruit&s=$session.params.size"), "webhookType": "FLEXIBLE", "httpMethod": "POST",
            "requestBody": "{\n  \"fruitParameter\": \"$session.params.fruit\",\n  \"sizeParameter\": \"$session.params.size\"\n}",
            "parameterMapping": { "distance": "$.routes[0].legs[0].distance.value" },
        },
    })
}

async fn created(client: &Client, agent: &str, webhook: &Value) -> Value {
    let (status, made) = client.post(&webhooks(agent), webhook).await;
    assert_eq!(status, 200, "{made}");
    made
}

/// The name that a CX webhook has in our own API.
fn own(webhook: &Value) -> &str {
    webhook["name"].as_str().and_then(|name| name.rsplit('/').next()).expect("a name")
}

#[test]
fn googles_own_client_writes_and_reads_webhooks() {
    run(async {
        let host = TestHost::start().await;
        for secret in ["s", "pair", "oauth", "dialogflow-service-agent", "sa.p.iam.gserviceaccount.com"] {
            host.client.secret(secret, "a:b").await;
        }
        let url = "http://127.0.0.1:9/handler";
        let authority: String = Authority::new().pem.lines().filter(|line| !line.starts_with('-')).collect();
        let with = |name: &str, fields: Value| {
            let mut service = json!({ "uri": url, "webhookType": "STANDARD" });
            service.as_object_mut().expect("an object").extend(fields.as_object().cloned().expect("an object"));
            json!({ "displayName": name, "timeout": "5s", "genericWebService": service })
        };
        let version = |secret: &str, version: &str| format!("projects/p/secrets/{secret}/versions/{version}");
        let documents = json!([
            flexible(url),
            with("plain", json!({})),
            with(
                "headers",
                json!({ "requestHeaders": { "x-tenant": "$session.params.tenant" }, "secretVersionsForRequestHeaders": { "authorization": { "secretVersion": version("s", "1") } } })
            ),
            with("basic", json!({ "secretVersionForUsernamePassword": version("pair", "latest") })),
            with(
                "oauth",
                json!({ "oauthConfig": { "clientId": "c", "secretVersionForClientSecret": version("oauth", "1"), "tokenEndpoint": "http://127.0.0.1:9/token?t=1", "scopes": ["a", "b"] }, "requestHeaders": { "x-a": "b" } })
            ),
            with("identity", json!({ "serviceAgentAuth": "ID_TOKEN" })),
            with("access", json!({ "serviceAgentAuth": "ACCESS_TOKEN" })),
            with("account", json!({ "serviceAccountAuthConfig": { "serviceAccount": "sa@p.iam.gserviceaccount.com" } })),
            with("authority", json!({ "allowedCaCerts": [authority] })),
            json!({ "displayName": "directory", "timeout": "1.500s", "disabled": true, "serviceDirectory": { "service": "projects/p/locations/global/namespaces/n/services/s", "genericWebService": { "uri": url, "webhookType": "FLEXIBLE", "httpMethod": "OPTIONS" } } }),
        ]);
        let refused = json!([
            { "displayName": "plain", "genericWebService": { "uri": url } },
            { "displayName": "x", "genericWebService": { "uri": "https://$session.params.host/" } },
            { "displayName": "x", "timeout": "31s", "genericWebService": { "uri": url } },
        ]);
        let overriding = |service: Value| json!({ "genericWebService": service });
        let environment = json!({
            "displayName": "Staging", "description": "before production", "webhookConfig": { "webhookOverrides": [
                overriding(json!({ "uri": "http://127.0.0.1:9/staging", "webhookType": "FLEXIBLE", "httpMethod": "PUT", "requestBody": "{\"a\":1}", "parameterMapping": { "distance": "$.routes[0].legs[0].distance.value" } })),
                overriding(json!({ "uri": "http://127.0.0.1:9/staging", "webhookType": "STANDARD", "requestHeaders": { "x-stage": "1" }, "allowedCaCerts": [authority], "secretVersionForUsernamePassword": version("pair", "1") })),
            ] },
        });
        for version in ["v3", "v3beta1"] {
            let asked = json!({ "version": version, "url": host.client.url(""), "token": TOKEN, "agent": agent("python"), "webhooks": documents, "refused": refused, "environment": environment });
            let said: Value = serde_json::from_str(&interop("venv/bin/python", "cx.py", &asked).await).expect("JSON");
            assert_eq!(said["same"], json!(vec![true; documents.as_array().map_or(0, Vec::len)]), "{version}: {said}");
            assert_eq!((&said["listed"], &said["gone"]["code"]), (&json!(true), &json!(404)), "{said}");
            assert_eq!((&said["changed"]["displayName"], &said["changed"]["timeout"]), (&json!("renamed"), &json!("7.500s")), "{said}");
            assert_eq!(
                said["changed"]["genericWebService"]["parameterMapping"], documents[0]["genericWebService"]["parameterMapping"],
                "{said}"
            );
            let staging = &said["environment"];
            assert_eq!(
                (&staging["same"], &staging["listed"], &staging["updated"]),
                (&json!(true), &json!(true), &json!(true)),
                "{version}: {said}"
            );
            assert!(staging["name"].as_str().is_some_and(|name| name.ends_with("/environments/staging")), "{said}");
            assert_eq!(staging["pages"], json!([2, 5]), "two pages of environments, five in all: {said}");
            assert_eq!((&staging["changed"], &staging["gone"]["code"]), (&json!(["changed", "Staging", 2]), &json!(404)), "{said}");
            assert_eq!(said["referenced"]["code"], 400, "{said}");
            let failures: Vec<_> = said["failures"].as_array().expect("failures").iter().map(|one| one["code"].clone()).collect();
            assert_eq!(failures, [409, 400, 400], "{said}");
            assert!(said["failures"][1]["message"].as_str().is_some_and(|message| message.contains("genericWebService.uri")), "{said}");
        }
    });
}

#[test]
fn a_definition_of_the_seed_is_invoked_as_it_is() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let made = created(client, &agent("seed"), &flexible(&endpoint.url("/handler"))).await;
        endpoint.next(Script::json(json!({ "routes": [{ "legs": [{ "distance": { "text": "2,064 mi", "value": 3_321_004 } }] }] })));
        let invoked = client.invoke(own(&made), json!({ "session": unique("s"), "parameters": { "fruit": "apple pie", "size": 3 } })).await;
        assert_eq!(invoked["parameters"], json!({ "distance": 3_321_004 }), "{invoked}");
        let received = endpoint.next_request().await;
        assert_eq!((received.method.as_str(), received.path.as_str()), ("POST", "/handler?f=apple%20pie&s=3"));
        assert_eq!(received.json(), json!({ "fruitParameter": "apple pie", "sizeParameter": 3 }));
        assert_eq!(received.header("content-type"), "application/json");
    });
}

#[test]
fn credentials_that_stand_in_a_definition_are_used_and_never_shown() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let agent = agent("inline");
        let mut webhook = json!({ "displayName": "basic", "genericWebService": { "uri": endpoint.url("/x?sig=canary-sig"), "username": "ann", "password": "canary" } });
        let made = created(client, &agent, &webhook).await;
        let path = format!("/v3/{}", made["name"].as_str().expect("a name"));
        assert_eq!(made["genericWebService"]["password"], "(redacted)");
        let sent = async || {
            client.invoke(own(&made), json!({})).await;
            endpoint.next_request().await.header("authorization").to_owned()
        };
        assert_eq!(sent().await, "Basic YW5uOmNhbmFyeQ==");
        // Writing it back as it was shown changes nothing; a secret version replaces the password.
        let shown = client.look(&path).await;
        assert_eq!(client.patch(&path, &shown).await.0, 200);
        assert_eq!(sent().await, "Basic YW5uOmNhbmFyeQ==");
        client.secret(&format!("{}-pair", own(&made)), "bob:other").await;
        webhook["genericWebService"]["secretVersionForUsernamePassword"] =
            json!(format!("projects/p/secrets/{}-pair/versions/1", own(&made)));
        assert_eq!(client.patch(&path, &webhook).await.0, 200);
        assert_eq!(sent().await, format!("Basic {}", BASE64_STANDARD.encode("bob:other")));
        let header = json!({ "genericWebService": { "requestHeaders": { "Authorization": "Key canary" }, "uri": endpoint.url("/") } });
        let (status, changed) = client.patch(&format!("{path}?updateMask=generic_web_service"), &header).await;
        assert_eq!((status, &changed["genericWebService"]["requestHeaders"]["Authorization"]), (200, &json!("(redacted)")), "{changed}");
        assert_eq!(sent().await, "Key canary");
        let stored = client.look(&format!("/v1/webhooks/{}?reveal=true", own(&made))).await;
        assert!(!stored.to_string().contains("canary"), "{stored}");
    });
}

#[test]
fn what_cannot_be_is_refused_as_google_refuses_it() {
    run(async {
        let client = &shared().await.client;
        let path = webhooks(&agent("refused"));
        let https = "https://svc.example/";
        for (webhook, field) in [
            (json!({ "displayName": "", "genericWebService": { "uri": https } }), "displayName"),
            (json!({ "displayName": "x" }), "genericWebService"),
            (json!({ "displayName": "x", "genericWebService": { "uri": https }, "serviceDirectory": {} }), "genericWebService"),
            (
                json!({ "displayName": "x", "serviceDirectory": { "service": "s", "genericWebService": { "uri": https } } }),
                "serviceDirectory.service",
            ),
            (json!({ "displayName": "x", "genericWebService": { "uri": "ftp://h/" } }), "genericWebService.uri"),
            (json!({ "displayName": "x", "genericWebService": { "url": https } }), "genericWebService.url"),
            (json!({ "displayName": "x", "timeout": "5", "genericWebService": { "uri": https } }), "timeout"),
            (json!({ "displayName": "x", "timeout": "31s", "genericWebService": { "uri": https } }), "timeout"),
            (json!({ "displayName": "x", "genericWebService": { "uri": https, "httpMethod": "TRACE" } }), "genericWebService.httpMethod"),
            (json!({ "displayName": "x", "genericWebService": { "uri": https, "httpMethod": 3 } }), "genericWebService.httpMethod"),
            (json!({ "displayName": "x", "genericWebService": { "uri": https, "requestBody": "{}" } }), "genericWebService.requestBody"),
            (
                json!({ "displayName": "x", "genericWebService": { "uri": https, "webhookType": 2, "requestBody": "{\"a\": $session.params.b}" } }),
                "genericWebService.requestBody",
            ),
            (
                json!({ "displayName": "x", "genericWebService": { "uri": https, "webhookType": 2, "parameterMapping": { "a": "routes[0]" } } }),
                "genericWebService.parameterMapping.a",
            ),
            (
                json!({ "displayName": "x", "genericWebService": { "uri": https, "allowedCaCerts": ["no Base64!"] } }),
                "genericWebService.allowedCaCerts.0",
            ),
            (
                json!({ "displayName": "x", "genericWebService": { "uri": https, "username": "a", "password": "b", "oauthConfig": { "clientId": "c" } } }),
                "genericWebService.oauthConfig",
            ),
            (
                json!({ "displayName": "x", "genericWebService": { "uri": https, "serviceAgentAuth": "PASSWORD" } }),
                "genericWebService.serviceAgentAuth",
            ),
            (
                json!({ "displayName": "x", "genericWebService": { "uri": https, "secretVersionForUsernamePassword": "s" } }),
                "genericWebService.secretVersionForUsernamePassword",
            ),
        ] {
            let (status, error) = client.post(&path, &webhook).await;
            let violation = &error["error"]["details"][0]["fieldViolations"][0];
            assert_eq!((status, &error["error"]["status"]), (400, &json!("INVALID_ARGUMENT")), "{webhook}: {error}");
            assert_eq!(violation["field"], field, "{webhook}: {error}");
            assert_eq!(error["error"]["details"][0]["@type"], "type.googleapis.com/google.rpc.BadRequest");
        }
        let (status, error) = client.get(&format!("{path}/none")).await;
        assert_eq!((status, &error["error"]["status"], &error["error"]["code"]), (404, &json!("NOT_FOUND"), &json!(404)), "{error}");
        for route in hookwright::server::router::cx_routes() {
            let filled: String =
                route.path.split('/').map(|word| if word.starts_with('{') { "x" } else { word }).collect::<Vec<_>>().join("/");
            let answered = client.with_token(None).send(route.method, &filled, &[], "{}").await;
            assert_eq!((answered.status, answered.json()["error"]["status"].clone()), (401, json!("UNAUTHENTICATED")), "{filled}");
        }
    });
}

#[test]
fn names_are_an_agents_own_and_what_environments_override_is_kept() {
    run(async {
        let client = &shared().await.client;
        let (one, other) = (agent("one"), agent("other"));
        let made = created(client, &one, &flexible("https://svc.example/h")).await;
        created(client, &other, &flexible("https://svc.example/h")).await;
        let (status, error) = client.post(&webhooks(&one), &flexible("https://svc.example/h")).await;
        assert_eq!((status, &error["error"]["status"]), (409, &json!("ALREADY_EXISTS")), "{error}");
        let listed = client.look(&webhooks(&one)).await;
        assert_eq!(listed["webhooks"], json!([made]));
        let elsewhere = format!("{}/{}", webhooks(&other), own(&made));
        assert_eq!(client.get(&elsewhere).await.0, 404, "another agent's");

        // Fields that CX does not know survive its changes.
        let path = format!("/v3/{}", made["name"].as_str().expect("a name"));
        let ours = format!("/v1/webhooks/{}", own(&made));
        let overridden =
            json!({ "environments": { "staging": { "request": { "url": "https://staging.example/" } } }, "limits": { "in_flight": 2 } });
        assert_eq!(client.patch(&ours, &overridden).await.0, 200);
        assert_eq!(client.patch(&format!("{path}?updateMask=disabled"), &json!({ "disabled": true })).await.0, 200);
        let kept = client.look(&ours).await;
        assert_eq!(
            (&kept["active"], &kept["limits"]["in_flight"], &kept["environments"]),
            (&json!(false), &json!(2), &overridden["environments"])
        );
        assert_eq!(client.delete(&path).await.0, 400, "environments override it");
        assert_eq!(client.delete(&format!("{path}?force=true")).await, (200, json!({})));
        assert_eq!(client.get(&path).await.0, 404);
    });
}

#[test]
fn an_environment_of_an_agent_sends_elsewhere_with_other_credentials() {
    run(async {
        let client = &shared().await.client;
        let (endpoint, staging) = (Endpoint::start().await, Endpoint::start().await);
        let agent = agent("staged");
        let made = created(client, &agent, &flexible(&endpoint.url("/handler"))).await;
        let path = format!("/v3/{agent}/environments");
        let service = json!({ "uri": staging.url("/staged"), "requestHeaders": { "authorization": "Key canary" } });
        let mut environment = json!({ "displayName": "QA", "webhookConfig": { "webhookOverrides": [{ "name": made["name"], "genericWebService": service }] } });
        let (status, operation) = client.post(&path, &environment).await;
        assert_eq!((status, &operation["done"]), (200, &json!(true)), "{operation}");
        let shown = &operation["response"]["webhookConfig"]["webhookOverrides"][0]["genericWebService"];
        assert_eq!(
            (&shown["requestHeaders"]["authorization"], &shown["httpMethod"]),
            (&json!("(redacted)"), &json!("POST")),
            "{operation}"
        );
        let parameters = json!({ "fruit": "apple", "size": 3 });
        client.invoke(own(&made), json!({ "environment": "qa", "parameters": parameters })).await;
        let received = staging.next_request().await;
        assert_eq!((received.path.as_str(), received.header("authorization")), ("/staged", "Key canary"));
        assert_eq!(received.json(), json!({ "fruitParameter": "apple", "sizeParameter": 3 }), "what is not overridden stays");
        client.invoke(own(&made), json!({ "parameters": parameters })).await;
        assert_eq!(endpoint.next_request().await.header("authorization"), "");

        assert_eq!(client.post(&path, &environment).await.0, 409, "its display name is taken");
        environment["displayName"] = json!("other");
        for (field, value, refused) in [
            ("name", json!("projects/p/locations/global/agents/x/webhooks/y"), "name"),
            ("genericWebService", json!({ "uri": "no URL" }), "genericWebService.uri"),
            ("genericWebService", json!({ "uri": "https://h/", "webhookType": "STANDARD" }), "genericWebService.requestBody"),
            (
                "genericWebService",
                json!({ "uri": "https://h/", "parameterMapping": { "other": "$.x" } }),
                "genericWebService.parameterMapping",
            ),
        ] {
            let mut wrong = environment.clone();
            wrong["webhookConfig"]["webhookOverrides"][0][field] = value;
            let (status, error) = client.post(&path, &wrong).await;
            let field = format!("webhookConfig.webhookOverrides.0.{refused}");
            assert_eq!((status, &error["error"]["details"][0]["fieldViolations"][0]["field"]), (400, &json!(field)), "{error}");
        }
        assert_eq!(client.delete(&format!("{path}/qa")).await, (200, json!({})));
        client.invoke(own(&made), json!({ "environment": "qa", "parameters": parameters })).await;
        assert_eq!(endpoint.next_request().await.path, "/handler?f=apple&s=3", "without overrides it is the webhook itself");
    });
}

#[test]
fn environments_come_in_pages() {
    run(async {
        let client = &shared().await.client;
        let path = format!("/v3/{}/environments", agent("paged"));
        for name in ["c", "a", "b"] {
            assert_eq!(client.post(&path, &json!({ "displayName": name })).await.0, 200);
        }
        let mut seen = Vec::new();
        let mut token = String::new();
        loop {
            let page = client.look(&format!("{path}?pageSize=2&pageToken={token}")).await;
            let names = page["environments"].as_array().expect("environments");
            assert!((1..=2).contains(&names.len()), "{page}");
            seen.extend(names.iter().map(|one| one["displayName"].as_str().unwrap_or_default().to_owned()));
            match page["nextPageToken"].as_str() {
                Some(next) => next.clone_into(&mut token),
                None => break,
            }
        }
        assert_eq!(seen, ["a", "b", "c"]);
        assert_eq!(client.look(&path).await["environments"].as_array().map(Vec::len), Some(3));
        assert_eq!(client.get(&format!("{path}?pageSize=many")).await.0, 400);
    });
}

/// The overrides of an environment for several webhooks are written together or not at all, and so are their credentials.
#[test]
fn an_environment_is_written_whole_or_not_at_all() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let agent = "projects/p/locations/global/agents/whole";
        let mut names = Vec::new();
        for name in ["one", "two", "three"] {
            let made =
                created(client, agent, &json!({ "displayName": name, "genericWebService": { "uri": "https://svc.example/" } })).await;
            names.push(made["name"].clone());
        }
        let path = format!("/v3/{agent}/environments");
        let overriding = |name: &Value, service: Value| json!({ "name": name, "genericWebService": service });
        let good = json!({ "uri": "https://staging.example/", "username": "u", "password": "canary" });
        let stored = async || {
            let webhooks = client.look("/v1/webhooks").await;
            let environments: Vec<_> =
                webhooks["data"].as_array().expect("webhooks").iter().map(|one| one["environments"].clone()).collect();
            let secrets = client.look("/v1/secrets").await["data"].as_array().map_or(0, Vec::len);
            (environments.iter().filter(|one| !one.is_null()).count(), secrets)
        };
        // The third override names a secret that does not exist, so nothing of the first two is written and no password is stored.
        let bad = json!({ "uri": "https://staging.example/", "secretVersionForUsernamePassword": "projects/p/secrets/none/versions/1" });
        let environment = |third: &Value| json!({ "displayName": "Staging", "webhookConfig": { "webhookOverrides": [overriding(&names[0], good.clone()), overriding(&names[1], good.clone()), overriding(&names[2], third.clone())] } });
        let (status, error) = client.post(&path, &environment(&bad)).await;
        assert_eq!(status, 400, "{error}");
        assert_eq!((stored().await, client.look(&path).await["environments"].clone()), ((0, 0), json!([])));
        assert_eq!(client.post(&path, &environment(&good)).await.0, 200);
        assert_eq!(stored().await, (3, 3));
        assert_eq!(client.delete(&format!("{path}/staging")).await.0, 200);
        assert_eq!(stored().await, (0, 0), "and what was its own is gone with it");
        let host = host.restart().await;
        assert_eq!(host.client.look(&path).await["environments"], json!([]));
    });
}

/// The service agent's access token, which older definitions still ask for.
#[test]
fn an_access_token_of_the_service_agent_is_a_signed_exchange() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        client.secret("dialogflow-service-agent", "{}").await;
        let agent = "projects/p/locations/global/agents/access";
        let service = json!({ "uri": "https://svc.example/", "serviceAgentAuth": "ACCESS_TOKEN" });
        let made = created(client, agent, &json!({ "displayName": "access", "genericWebService": service })).await;
        assert_eq!(made["genericWebService"]["serviceAgentAuth"], "ACCESS_TOKEN", "{made}");
        let ours = client.look(&format!("/v1/webhooks/{}", own(&made))).await;
        assert_eq!((&ours["auth"]["kind"], &ours["auth"]["key"]), (&json!("service_account"), &json!("$secret:dialogflow-service-agent")));
        // Fields that CX does not know survive its changes.
        let patch = json!({ "auth": { "token_endpoint": "https://idp.example/token" } });
        assert_eq!(client.patch(&format!("/v1/webhooks/{}", own(&made)), &patch).await.0, 200);
        let path = format!("/v3/{}", made["name"].as_str().expect("a name"));
        assert_eq!(client.patch(&format!("{path}?updateMask=disabled"), &json!({ "disabled": true })).await.0, 200);
        let ours = client.look(&format!("/v1/webhooks/{}", own(&made))).await;
        assert_eq!(ours["auth"]["token_endpoint"], "https://idp.example/token");
        let numbers = client.look(&format!("{path}?$alt=json;enum-encoding=int")).await;
        assert_eq!(numbers["genericWebService"]["serviceAgentAuth"], 3);
    });
}

/// An environment may call a webhook through a service of Service Directory, through another one, or directly.
#[test]
fn an_environment_has_a_service_of_its_own() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let agent = agent("directory");
        let service = |name: &str| format!("projects/p/locations/global/namespaces/n/services/{name}");
        let generic = json!({ "uri": endpoint.url("/base"), "webhookType": "FLEXIBLE", "httpMethod": "PUT", "requestBody": "{\"a\":1}" });
        let plain = created(client, &agent, &json!({ "displayName": "plain", "genericWebService": generic })).await;
        let inside = created(
            client,
            &agent,
            &json!({ "displayName": "inside", "serviceDirectory": { "service": service("one"), "genericWebService": generic } }),
        )
        .await;
        let staged = json!({ "uri": endpoint.url("/staged") });
        let path = format!("/v3/{agent}/environments");
        let environment = json!({ "displayName": "qa", "webhookConfig": { "webhookOverrides": [
            { "name": plain["name"], "serviceDirectory": { "service": service("two"), "genericWebService": staged } },
            { "name": inside["name"], "genericWebService": staged },
        ] } });
        assert_eq!(client.post(&path, &environment).await.0, 200);
        let shown = client.look(&format!("{path}/qa")).await;
        let shown: Vec<_> = shown["webhookConfig"]["webhookOverrides"].as_array().expect("overrides").clone();
        let of = |name: &Value| shown.iter().find(|one| one["name"] == *name).expect("overridden");
        assert_eq!(of(&plain["name"])["serviceDirectory"]["service"], service("two"), "{shown:?}");
        assert_eq!(of(&plain["name"])["serviceDirectory"]["genericWebService"]["httpMethod"], "PUT", "what is not overridden stays");
        assert!(of(&inside["name"])["serviceDirectory"].is_null() && of(&inside["name"])["genericWebService"].is_object(), "{shown:?}");
        // The webhooks themselves are unchanged, here and after a change of theirs.
        for made in [&plain, &inside] {
            let path = format!("/v3/{}", made["name"].as_str().expect("a name"));
            assert_eq!(client.look(&path).await, *made);
            assert_eq!(client.patch(&format!("{path}?updateMask=timeout"), &json!({ "timeout": "7s" })).await.0, 200);
            client.invoke(own(made), json!({ "environment": "qa" })).await;
            let received = endpoint.next_request().await;
            assert_eq!((received.method.as_str(), received.path.as_str(), received.text().as_str()), ("PUT", "/staged", "{\"a\":1}"));
        }
        assert_eq!(client.look(&format!("{path}/qa")).await["webhookConfig"]["webhookOverrides"], json!(shown));
        assert_eq!(client.delete(&format!("{path}/qa")).await.0, 200);
        let ours = client.look(&format!("/v1/webhooks/{}", own(&plain))).await;
        assert!(ours["environments"].is_null() && !ours["labels"].to_string().contains("service"), "{ours}");
    });
}
