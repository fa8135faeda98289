//! ArcGIS on both sides: payloads as a portal sends them, and a portal's webhooks that call us.

use base64::{Engine, prelude::BASE64_STANDARD};
use hookwright_tests::{Client, Endpoint, Script, TestHost, run, shared, signature::hmac_sha256, unique};
use serde_json::{Value, json};

/// A portal's payload about one shared item.
fn shared_item(groups: &[&str]) -> Value {
    json!({
        "info": { "webhookName": "demo", "webhookId": "72fe", "portalURL": "https://gis.example/portal/", "when": 1_543_192_196_521_u64 },
        "events": [{ "username": "ann", "userId": "173d", "when": 1_543_192_196_500_u64, "operation": "share", "source": "items", "id": "abc123", "properties": { "sharedToGroups": groups } }],
    })
}

/// The events that came from a receiver's newest call, except `code.*`.
async fn emitted(client: &Client, receiver: &str) -> Vec<Value> {
    let call = client.last_call(receiver).await;
    let mut events = Vec::new();
    for id in call["events"].as_array().expect("events").iter().skip(1) {
        events.push(client.look(&format!("/v1/events/{}", id.as_str().expect("an id"))).await);
    }
    events
}

#[test]
fn an_organization_event_is_sent_as_a_portal_would() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("organization");
        client.secret("portal-secret", "shared-value").await;
        let transform = json!({ "plugin": "arcgis-organization", "config": { "portalURL": "https://gis.example/portal/" } });
        let webhook = json!({ "profile": "arcgis-organization", "selectors": ["/items/share"], "sources": [name], "transform": transform, "signing": { "secrets": ["$secret:portal-secret"] }, "request": { "url": endpoint.url("/hook") } });
        let written = client.webhook(&name, webhook).await;
        assert_eq!(endpoint.next_request().await.text(), "{}", "the creation check");
        let data = json!({ "username": "ann", "userId": "173d", "properties": { "sharedToGroups": ["Everyone"] } });
        let event = json!({ "trigger": "/items/abc123/share", "source": name, "time": "2018-11-26T00:29:56.500Z", "data": data });
        let delivery = client.event(event).await["deliveries"][0].clone();
        assert_eq!(delivery["state"], "delivered", "{delivery}");
        let received = endpoint.next_request().await;
        assert_eq!((received.header("secret"), received.header("content-type")), ("shared-value", "application/json"));
        let payload = received.json();
        assert_eq!(
            payload["events"],
            json!([{ "username": "ann", "userId": "173d", "when": 1_543_192_196_500_u64, "operation": "share", "source": "items", "id": "abc123", "properties": { "sharedToGroups": ["Everyone"] } }])
        );
        assert_eq!(
            (&payload["info"]["webhookName"], &payload["info"]["webhookId"], &payload["info"]["portalURL"]),
            (&json!(name), &written["id"], &json!("https://gis.example/portal/"))
        );
        assert!(payload["info"]["when"].as_u64() > Some(1_543_192_196_500), "the time of the delivery");
        // The shared value is a credential, so no record contains it.
        assert_eq!(
            client.delivery(delivery["id"].as_str().expect("an id")).await["attempt_log"][0]["request"]["headers"]["secret"],
            "(redacted)"
        );
    });
}

#[test]
fn a_portals_webhook_becomes_events() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        client.grant("arcgis-events", json!({ "triggers": ["/", "*"] })).await;
        client.secret("portal", "shared-value").await;
        let document = json!({ "plugin": "arcgis-events", "full_reply": true, "probe": "answer", "verify": { "scheme": "esri-organization", "secret": "$secret:portal" } });
        let code = client.receiver("portal", document).await;
        client.webhook("told", json!({ "selectors": ["/items/share"], "sources": ["https://gis.example/portal/"], "request": { "url": endpoint.url("/") } })).await;
        let path = format!("/api/v1/webhook/{code}");
        let call = async |secret: &str, body: String| {
            client.with_token(None).send(http::Method::POST, &path, &[("secret", secret), ("content-type", "application/json")], body).await
        };
        assert_eq!(call("", "{}".into()).await.status, 200, "the creation check");
        let answered = call("shared-value", shared_item(&["Everyone"]).to_string()).await;
        assert_eq!((answered.status, answered.json()), (200, json!({ "success": "true" })), "{}", answered.text());
        let events = emitted(client, "portal").await;
        assert_eq!((&events[0]["trigger"], &events[0]["source"]), (&json!("/items/abc123/share"), &json!("https://gis.example/portal/")));
        assert_eq!(events[0]["data"], json!({ "username": "ann", "userId": "173d", "properties": { "sharedToGroups": ["Everyone"] } }));
        assert_eq!(events[0]["time"], "2018-11-26T00:29:56.5Z");
        assert_eq!(endpoint.next_request().await.json()["type"], "/items/abc123/share");
        assert_eq!(call("another", shared_item(&["Everyone"]).to_string()).await.status, 401);
    });
}

#[test]
fn a_feature_service_and_a_job_become_events_by_a_signed_call() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        client.grant("arcgis-events", json!({ "triggers": ["/", "*"] })).await;
        client.secret("service", "MYSECRETKEY").await;
        let document =
            json!({ "plugin": "arcgis-events", "full_reply": true, "verify": { "scheme": "esri-service", "secret": "$secret:service" } });
        let code = client.receiver("service", document).await;
        let path = format!("/api/v1/webhook/{code}");
        let call = async |body: String, signature: &str| {
            client
                .with_token(None)
                .send(http::Method::POST, &path, &[("x-esriHook-Signature", signature), ("content-type", "application/json")], body)
                .await
        };
        // The published key and body, with its computed signature (protocol-facts 1.9), are those of the sender; our body names a
        // service.
        let body = json!({ "name": "demo", "folderName": "Utilities", "serviceName": "Water", "events": [{ "eventType": "FeaturesCreated", "when": 1_730_385_704_000_u64 }] }).to_string();
        let signature = format!("sha256={}", BASE64_STANDARD.encode(hmac_sha256(b"MYSECRETKEY", body.as_bytes())));
        assert_eq!(call(body.clone(), &signature).await.status, 200);
        let events = emitted(client, "service").await;
        assert_eq!(
            (&events[0]["trigger"], &events[0]["source"]),
            (&json!("FeaturesCreated"), &json!("/services/Utilities/Water.FeatureServer"))
        );
        let job =
            json!({ "jobId": "j1", "folderName": "", "serviceName": "Route", "events": [{ "eventType": "jobSucceeded", "when": 3 }] })
                .to_string();
        let job_signature = format!("sha256={}", hex::encode(hmac_sha256(b"MYSECRETKEY", job.as_bytes())));
        assert_eq!(call(job, &job_signature).await.status, 200, "hexadecimal digits are taken as well");
        assert_eq!(emitted(client, "service").await[0]["trigger"], "/services/Route.GPServer/jobs/j1/succeeded");
        assert_eq!(call(body, &job_signature).await.status, 401);
    });
}

#[test]
fn an_item_shared_publicly_is_scored_and_chat_is_told_with_a_button_that_comes_back() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let (portal, chat) = (Endpoint::start().await, Endpoint::start().await);
        client.webhook("item-metadata", json!({ "request": { "method": "GET", "url": portal.url("/sharing/rest/content/items/$session.params.itemId?f=json") }, "bindings": { "item": "$" } })).await;
        client.grant("item-standards", json!({ "webhooks": ["item-metadata"], "triggers": ["standards.*"], "directory": true })).await;
        let code = client.receiver("standards", json!({ "plugin": "item-standards", "full_reply": true, "config": { "metadata_webhook": "item-metadata", "minimum_score": 80 } })).await;
        let click = client.receiver("click", json!({ "reply": { "message": "noted" }, "events": [{ "trigger": "item.unshare", "data": { "itemId": "$.query.itemId" } }] })).await;
        let actions = json!([{ "label": "Unshare", "url": client.url(&format!("/api/v1/webhook/{click}")) }]);
        client.webhook("chat", json!({ "selectors": ["standards.failed"], "transform": { "plugin": "slack", "config": { "actions": actions } }, "request": { "url": chat.url("/services/T/B/x") } })).await;

        portal.next(Script::json(json!({ "id": "abc123", "title": "Wells", "snippet": "", "tags": ["water"], "thumbnail": "t.png" })));
        let answered = client.call(&code, "", &shared_item(&["Everyone"]).to_string()).await;
        assert_eq!(answered.status, 200, "{}", answered.text());
        assert_eq!(portal.next_request().await.path, "/sharing/rest/content/items/abc123?f=json");
        let events = emitted(client, "standards").await;
        assert_eq!(events[0]["trigger"], "standards.failed");
        assert_eq!(
            (&events[0]["data"]["itemId"], &events[0]["data"]["title"], &events[0]["data"]["sharedBy"]),
            (&json!("abc123"), &json!("Wells"), &json!("ann"))
        );
        assert!(events[0]["data"]["score"].as_u64() < Some(80), "{events:?}");
        // The plugin wrote the payload to a text file in its granted directory.
        let call = client.last_call("standards").await;
        let file = host.data().join("plugin-data/item-standards").join(format!("{}.txt", call["id"].as_str().expect("an id")));
        assert_eq!(std::fs::read_to_string(&file).expect("the payload"), shared_item(&["Everyone"]).to_string());

        let message = chat.next_request().await.json();
        let blocks = message["blocks"].to_string();
        assert!(message["text"].as_str().is_some_and(|text| text.contains("Wells")), "{message}");
        let url = message["blocks"]
            .as_array()
            .into_iter()
            .flatten()
            .find_map(|block| block["elements"][0]["url"].as_str())
            .unwrap_or_else(|| panic!("a button in {blocks}"));
        assert!(url.ends_with("?itemId=abc123"), "{url}");
        // The administrator clicks.
        let path = url.strip_prefix(&client.url("")).expect("our own address").to_owned();
        assert_eq!(client.with_token(None).send(http::Method::GET, &path, &[], "").await.status, 200);
        assert_eq!(emitted(client, "click").await[0]["data"], json!({ "itemId": "abc123" }));

        // Nobody is told about an item that is described well, or is shared only inside the organization.
        portal.next(Script::json(json!({ "title": "Wells", "snippet": "s", "description": "d", "tags": ["a", "b", "c"], "thumbnail": "t", "licenseInfo": "l", "accessInformation": "a" })));
        client.call(&code, "", &shared_item(&["Everyone"]).to_string()).await;
        assert_eq!(emitted(client, "standards").await, Vec::<Value>::new());
        client.call(&code, "", &shared_item(&["our-group"]).to_string()).await;
        assert_eq!(emitted(client, "standards").await, Vec::<Value>::new());
        assert_eq!(portal.seen().len(), 2);
    });
}
