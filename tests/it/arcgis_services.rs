//! Webhooks of geoprocessing and feature services: who may create them for which services, what is sent, and when.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use hookwright_tests::{
    Client, Endpoint, Received, Script, TestHost, client::succeeded, run, shared, signature::hmac_sha256, unique, wait::eventually,
};
use http::Method;
use serde_json::{Value, json};

/// The path of the webhooks of the service that every test has.
const WATER: &str = "/server/admin/services/Utilities/Water.FeatureServer/webhooks";
const ROUTE: &str = "/server/admin/services/Route.GPServer/webhooks";
/// The key of the published test vectors.
const KEY: &str = "MYSECRETKEY";

async fn service(client: &Client, name: &str, document: Value) -> Value {
    let path = format!("/v1/services/{name}");
    succeeded("PUT", &path, client.put(&path, &document).await)
}

/// A host that knows a feature service and a geoprocessing service.
async fn with_services() -> TestHost {
    let host = TestHost::start().await;
    service(&host.client, "Utilities/Water.FeatureServer", json!({ "capabilities": ["Query", "Update", "ChangeTracking"] })).await;
    service(&host.client, "Route.GPServer", json!({ "execution": "asynchronous" })).await;
    host
}

async fn created(client: &Client, path: &str, fields: &[(&str, &str)]) -> Value {
    let made = client.form(&format!("{path}/create"), fields).await;
    assert_eq!(made["success"], true, "{made}");
    made
}

fn message(answer: &Value) -> &str {
    answer["error"]["message"].as_str().unwrap_or_else(|| panic!("no error: {answer}"))
}

async fn edit(client: &Client, source: &str, change: &str) {
    let (status, accepted) =
        client.post("/v1/events", &json!({ "trigger": change, "source": source, "time": "2024-10-31T14:41:44Z" })).await;
    assert_eq!(status, 202, "{accepted}");
}

/// Waits until nothing is being sent, because the clock must not advance during an attempt.
async fn settled(client: &Client) {
    eventually("nothing is being sent", async || {
        (client.look("/v1/deliveries?state=sending&limit=1").await["data"] == json!([])).then_some(())
    })
    .await;
}

/// The next request that is not a creation check.
async fn payload(endpoint: &Endpoint) -> Received {
    loop {
        let received = endpoint.next_request().await;
        if received.body != "{}" {
            return received;
        }
    }
}

#[test]
fn services_are_a_resource_with_capabilities_and_owners() {
    run(async {
        let client = &shared().await.client;
        let (folder, name) = (unique("F").replace('.', "-"), "Water.FeatureServer");
        let path = format!("/v1/services/{folder}/{name}");
        let made =
            service(client, &format!("{folder}/{name}"), json!({ "capabilities": ["Query"], "owners": ["ann"], "description": "pipes" }))
                .await;
        assert_eq!((&made["name"], &made["owners"]), (&json!(format!("{folder}/{name}")), &json!(["ann"])));
        let (status, changed) = client.patch(&path, &json!({ "capabilities": ["Update", "ChangeTracking"] })).await;
        assert_eq!((status, &changed["description"]), (200, &json!("pipes")));
        let listed = client.look("/v1/services?limit=500").await;
        assert!(listed["data"].as_array().is_some_and(|data| data.iter().any(|one| one["name"] == made["name"])), "{listed}");
        for (path, document, pointer) in [
            (path.as_str(), json!({ "capabilities": ["Updates"] }), "/capabilities/0"),
            (path.as_str(), json!({ "execution": "asynchronous" }), "/execution"),
            (path.as_str(), json!({ "name": "Other.FeatureServer" }), "/name"),
            ("/v1/services/Water.MapServer", json!({}), "/name"),
            ("/v1/services/Route.GPServer", json!({ "capabilities": ["Query"] }), "/capabilities"),
        ] {
            let (status, problem) = client.put(path, &document).await;
            assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!(pointer)), "{problem}");
        }
        assert_eq!(client.delete(&path).await.0, 204);
        assert_eq!(client.get(&path).await.0, 404);
    });
}

#[test]
fn the_conditions_on_a_service_are_checked_and_kept() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        let url = endpoint.url("/");
        let fields = [("name", "demo"), ("hookUrl", url.as_str()), ("changeTypes", "*")];
        let create = async |name: &str, fields: &[(&str, &str)]| {
            client.form(&format!("/server/admin/services/{name}/webhooks/create"), fields).await
        };
        let unknown = create("Water.FeatureServer", &fields).await;
        assert_eq!(unknown["error"]["code"], 404, "{unknown}");
        for (capabilities, says) in [
            (json!(["Query", "ChangeTracking"]), "lacks the capability `Update`"),
            (json!(["Query", "Update"]), "lacks the capability `ChangeTracking`"),
            (json!(["Update", "ChangeTracking", "Sync"]), "has the capability `Sync`"),
        ] {
            service(client, "Water.FeatureServer", json!({ "capabilities": capabilities })).await;
            let refused = create("Water.FeatureServer", &fields).await;
            assert!(message(&refused).contains(says), "{refused}");
        }
        service(client, "Water.FeatureServer", json!({ "capabilities": ["Editing", "ChangeTracking"] })).await;
        assert_eq!(create("Water.FeatureServer", &fields).await["success"], true);
        service(client, "Route.GPServer", json!({})).await;
        let refused = create("Route.GPServer", &fields[..2]).await;
        assert!(message(&refused).contains("is synchronous; only an asynchronous service"), "{refused}");
        service(client, "Route.GPServer", json!({ "execution": "asynchronous" })).await;
        assert_eq!(create("Route.GPServer", &fields[..2]).await["success"], true);
        // A service cannot lose a capability that a webhook needs.
        for (path, document) in
            [("Water.FeatureServer", json!({ "capabilities": ["Update", "ChangeTracking", "Sync"] })), ("Route.GPServer", json!({}))]
        {
            let (status, problem) = client.put(&format!("/v1/services/{path}"), &document).await;
            assert_eq!(status, 409, "{problem}");
            assert_eq!(client.delete(&format!("/v1/services/{path}")).await.0, 409);
        }
        // The rule belongs to the profile, so it also holds for our own API.
        service(client, "Roads.FeatureServer", json!({ "capabilities": ["Update"] })).await;
        let document = json!({ "profile": "arcgis-feature", "selectors": ["*"], "sources": ["/services/Roads.FeatureServer"], "request": { "url": url } });
        let (status, problem) = client.put("/v1/webhooks/roads", &document).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/sources/0")), "{problem}");
    });
}

#[test]
fn who_may_create_which_kind_and_who_may_not() {
    run(async {
        let host = with_services().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        service(client, "Owned.FeatureServer", json!({ "capabilities": ["Update", "ChangeTracking"], "owners": ["layers"] })).await;
        let organization = "/portal/sharing/rest/portals/self/webhooks/createWebhook".to_owned();
        let paths = [
            organization,
            format!("{ROUTE}/create"),
            format!("{WATER}/create"),
            "/server/admin/services/Owned.FeatureServer/webhooks/create".to_owned(),
        ];
        // For each user: may it use organization, geoprocessing, feature, and owned feature webhooks, and the settings of all service
        // webhooks?
        for (name, grant, may) in [
            ("administrator", json!({ "role": "administrator" }), [true, true, true, true, true]),
            ("publisher", json!({ "role": "publisher" }), [false, true, true, false, false]),
            ("organizer", json!({ "scopes": ["webhooks:organization"] }), [true, false, false, false, false]),
            ("jobs", json!({ "scopes": ["webhooks:geoprocessing"] }), [false, false, false, false, false]),
            ("jobber", json!({ "scopes": ["webhooks:geoprocessing", "publish:server"] }), [false, true, false, false, false]),
            ("layers", json!({ "scopes": ["webhooks:feature"] }), [false, false, true, true, false]),
            ("reader", json!({ "scopes": ["read"] }), [false, false, false, false, false]),
        ] {
            let mut document = json!({ "name": name });
            document.as_object_mut().expect("an object").extend(grant.as_object().cloned().expect("an object"));
            let made = succeeded("POST", "/v1/tokens", client.post("/v1/tokens", &document).await);
            let theirs = client.with_token(made["token"].as_str());
            for (path, may) in paths.iter().zip(may) {
                let url = endpoint.url("/");
                let fields = [("name", name), ("url", &url), ("hookUrl", &url), ("changes", "allChanges")];
                let mut fields = fields.to_vec();
                if path.contains("FeatureServer") {
                    fields.push(("changeTypes", "FeaturesEdited"));
                }
                let answered = theirs.form(path, &fields).await;
                let expected = if may { json!(null) } else { json!(403) };
                assert_eq!(answered["error"]["code"], expected, "{name} at {path}: {answered}");
                let listed = theirs.get(&format!("{}?f=json", path.rsplit_once('/').expect("a path").0)).await.1;
                assert_eq!(listed["webhooks"].is_array(), may, "{name} at {path}: {listed}");
            }
            let settings = theirs.get("/server/admin/services/webhooks/settings?f=json").await.1;
            assert_eq!(settings["notificationAttempts"].is_u64(), may[4], "{name}: {settings}");
            let own = theirs.get("/v1/webhooks").await.0;
            assert_eq!(own == 200, ["administrator", "reader"].contains(&name), "ArcGIS's privileges are of its APIs alone");
        }
        let (status, problem) = client.post("/v1/tokens", &json!({ "name": "reader", "scopes": ["read"] })).await;
        assert_eq!(status, 409, "{problem}");
        let tokens = client.look("/v1/tokens").await;
        assert!(!tokens.to_string().contains("hwt_"), "{tokens}");
    });
}

#[test]
fn a_feature_service_webhook_sends_one_payload_for_each_period() {
    run(async {
        let host = with_services().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        let url = endpoint.url("/hook");
        let source = "/services/Utilities/Water.FeatureServer";
        let made = created(
            client,
            WATER,
            &[
                ("name", "demo"),
                ("hookUrl", &url),
                ("changeTypes", "FeaturesCreated,featuresUpdated,AttachmentsCreated"),
                ("signatureKey", KEY),
            ],
        )
        .await;
        assert_eq!(made["scheduleInfo"]["recurrenceInfo"], json!({ "frequency": "second", "interval": 20 }), "the default: {made}");
        assert_eq!(made["changeTypes"], json!(["FeaturesCreated", "FeaturesUpdated", "AttachmentsCreated"]));
        let other = created(client, WATER, &[("name", "every"), ("hookUrl", &endpoint.url("/every")), ("changeTypes", "*")]).await;
        assert_eq!(other["changeTypes"], json!(["*"]));
        succeeded("POST", "delete", (200, client.form(&format!("{WATER}/{}/delete", other["id"].as_str().expect("an id")), &[]).await));
        // Three edits within a period. Edits of another service, and other changes of this one, match no webhook here.
        edit(client, source, "FeaturesCreated").await;
        host.advance(Duration::from_secs(7));
        edit(client, source, "FeaturesUpdated").await;
        edit(client, "/services/Roads.FeatureServer", "FeaturesCreated").await;
        edit(client, source, "FeaturesDeleted").await;
        host.advance(Duration::from_secs(7));
        edit(client, source, "AttachmentsCreated").await;
        let before = endpoint.seen().len();
        host.advance(Duration::from_secs(7));
        let received = payload(&endpoint).await;
        let when = 1_730_385_704_000_u64;
        let base = client.url("/server");
        assert_eq!(
            received.json(),
            json!({
                "serviceType": "FeatureServer", "name": "demo", "id": made["id"], "folderName": "Utilities", "serviceName": "Water",
                "changesUrl": format!("{base}/rest/services/Utilities/Water/FeatureServer/extractChanges?serverGens=%5B{when},{when}%5D"),
                "events": [{ "eventType": "FeaturesCreated", "when": when }, { "eventType": "FeaturesUpdated", "when": when }, { "eventType": "AttachmentsCreated", "when": when }],
            })
        );
        let signature = format!("sha256={}", BASE64_STANDARD.encode(hmac_sha256(KEY.as_bytes(), &received.body)));
        assert_eq!(received.header("x-esrihook-signature"), signature);
        assert_eq!(endpoint.seen().len(), before + 1, "one payload");
        settled(client).await;
        // A period without edits sends nothing: the next payload has only the next edit.
        host.advance(Duration::from_secs(60));
        edit(client, source, "FeaturesCreated").await;
        host.advance(Duration::from_secs(20));
        assert_eq!(payload(&endpoint).await.json()["events"].as_array().map(Vec::len), Some(1));
        assert_eq!(endpoint.seen().len(), before + 2);
    });
}

#[test]
fn a_change_of_schedule_takes_effect() {
    run(async {
        let host = with_services().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        let source = "/services/Utilities/Water.FeatureServer";
        let every = |frequency: &str, interval: u32, state: &str| {
            json!({ "name": "s", "state": state, "recurrenceInfo": { "frequency": frequency, "interval": interval } }).to_string()
        };
        let url = endpoint.url("/");
        let with = |schedule: String| {
            [("name", "demo".to_owned()), ("hookUrl", url.clone()), ("changeTypes", "*".to_owned()), ("scheduleInfo", schedule)]
        };
        let write = async |operation: &str, schedule: String| {
            let fields = with(schedule);
            let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            client.form(&format!("{WATER}/{operation}"), &fields).await
        };
        for (schedule, says) in [
            (every("second", 19, "enabled"), "scheduleInfo.recurrenceInfo: 19 is out of range: 20 to 2419200 seconds"),
            (every("year", 1, "enabled"), "out of range"),
            (every("fortnight", 1, "enabled"), "scheduleInfo.recurrenceInfo.frequency"),
            ("soon".to_owned(), "scheduleInfo: a JSON object"),
        ] {
            let refused = write("create", schedule).await;
            assert!(message(&refused).contains(says), "{refused}");
        }
        let made = write("create", every("hour", 1, "enabled")).await;
        let id = made["id"].as_str().unwrap_or_else(|| panic!("{made}"));
        assert_eq!(made["scheduleInfo"]["recurrenceInfo"], json!({ "frequency": "hour", "interval": 1 }));
        // Events that gather by the hour are sent by the minute after the schedule changed.
        edit(client, source, "FeaturesCreated").await;
        host.advance(Duration::from_secs(30));
        edit(client, source, "FeaturesDeleted").await;
        assert_eq!(write(&format!("{id}/edit"), every("minute", 1, "enabled")).await, json!({ "success": true }));
        host.advance(Duration::from_secs(31));
        assert_eq!(payload(&endpoint).await.json()["events"].as_array().map(Vec::len), Some(2));
        settled(client).await;
        edit(client, source, "FeaturesCreated").await;
        host.advance(Duration::from_secs(61));
        payload(&endpoint).await;
        settled(client).await;
        // While the schedule is disabled, nothing is sent and nothing gathers; the webhook stays active.
        assert_eq!(write(&format!("{id}/edit"), every("minute", 1, "disabled")).await["success"], true);
        let shown = client.look(&format!("{WATER}/{id}?f=json")).await;
        assert_eq!((&shown["active"], &shown["scheduleInfo"]["state"]), (&json!(true), &json!("disabled")), "{shown}");
        let (_, accepted) = client.post("/v1/events?wait=1s", &json!({ "trigger": "FeaturesCreated", "source": source })).await;
        assert_eq!(accepted["deliveries"], json!([]));
        assert_eq!(write(&format!("{id}/edit"), every("second", 20, "enabled")).await["success"], true);
        edit(client, source, "FeaturesCreated").await;
        host.advance(Duration::from_secs(21));
        assert_eq!(payload(&endpoint).await.json()["events"].as_array().map(Vec::len), Some(1));
    });
}

#[test]
fn periods_are_counted_from_the_start_a_schedule_names() {
    run(async {
        let host = with_services().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        let source = "/services/Utilities/Water.FeatureServer";
        let now: jiff::Timestamp = hookwright::clock::Clock::now(host.clock.as_ref());
        // The period began 50 of its 60 seconds ago, so it ends in ten seconds, whenever its first event came.
        let schedule =
            json!({ "startAt": now.as_millisecond() - 50_000, "recurrenceInfo": { "frequency": "second", "interval": 60 } }).to_string();
        created(client, WATER, &[("name", "demo"), ("hookUrl", &endpoint.url("/")), ("changeTypes", "*"), ("scheduleInfo", &schedule)])
            .await;
        edit(client, source, "FeaturesCreated").await;
        host.advance(Duration::from_secs(11));
        assert_eq!(payload(&endpoint).await.json()["events"].as_array().map(Vec::len), Some(1));
    });
}

#[test]
fn a_jobs_end_is_told_as_documented_and_as_a_form_byte_for_byte() {
    run(async {
        let host = with_services().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        let fields = |name: &'static str, media: &'static str| [("name", name), ("contentType", media), ("signatureKey", KEY)];
        let url = endpoint.url("/hook");
        let mut json_fields = fields("demo", "application/json").to_vec();
        json_fields.push(("hookUrl", &url));
        let made = created(client, ROUTE, &json_fields).await;
        let data = json!({ "taskName": "Solve" });
        for (end, event_type) in [("succeeded", "jobSucceeded"), ("failed", "jobFailed"), ("cancelled", "jobCancelled")] {
            let trigger = format!("/services/Route.GPServer/jobs/j1/{end}");
            client.event(json!({ "trigger": trigger, "time": "2024-10-31T14:41:44Z", "data": data })).await;
            let received = payload(&endpoint).await;
            assert_eq!(
                received.json(),
                json!({
                    "serviceType": "GPServer", "jobId": "j1", "statusURL": format!("{}/rest/services/Route/GPServer/Solve/jobs/j1", client.url("/server")),
                    "name": "demo", "taskName": "Solve", "folderName": "", "serviceName": "Route", "events": [{ "eventType": event_type, "when": 1_730_385_704_000_u64 }],
                })
            );
        }
        let mut form_fields = fields("demo", "application/x-www-form-urlencoded").to_vec();
        form_fields.push(("payloadFormat", "pjson"));
        let edited = client.form(&format!("{ROUTE}/{}/edit", made["id"].as_str().expect("an id")), &form_fields).await;
        assert_eq!(edited, json!({ "success": true }));
        client.event(json!({ "trigger": "/services/Route.GPServer/jobs/j%2B&/succeeded", "data": { "taskName": "A + B & 100 %" } })).await;
        let received = payload(&endpoint).await;
        assert_eq!(received.header("content-type"), "application/x-www-form-urlencoded");
        // As in Esri's sample receivers: the bytes between `payload=` and `&` are hashed and parsed without decoding.
        let body = &received.body[..];
        let rest = body.strip_prefix(b"payload=").expect("the payload first");
        let end = rest.iter().position(|byte| *byte == b'&').expect("a divider");
        let (raw, signature) = (&rest[..end], &rest[end + 1..]);
        let parsed: Value = serde_json::from_slice(raw).expect("JSON, undecoded");
        assert_eq!((&parsed["taskName"], &parsed["jobId"]), (&json!("A + B & 100 %"), &json!("j%2B&")));
        assert!(raw.contains(&b'\n'), "for people, as asked");
        let digest = BASE64_STANDARD.encode(hmac_sha256(KEY.as_bytes(), raw));
        let encoded = digest.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        assert_eq!(String::from_utf8_lossy(signature), format!("x-esriHook-Signature=sha256%3D{encoded}"));
        // A form parser that decodes reads the same values.
        let decoded: Vec<_> = url::form_urlencoded::parse(body).collect();
        assert_eq!((decoded[0].1.as_bytes(), decoded[1].1.as_ref()), (raw, format!("sha256={digest}").as_str()));
        // Without a key the form contains only the payload.
        let path = format!("{ROUTE}/{}/edit", made["id"].as_str().expect("an id"));
        assert_eq!(client.form(&path, &[("signatureKey", "")]).await, json!({ "success": true }));
        client.event(json!({ "trigger": "/services/Route.GPServer/jobs/j2/succeeded", "data": { "taskName": "A + B & 100 %" } })).await;
        let received = payload(&endpoint).await;
        let decoded: Vec<_> = url::form_urlencoded::parse(&received.body).collect();
        assert_eq!((decoded.len(), decoded[0].0.as_ref()), (1, "payload"));
        let parsed: Value = serde_json::from_str(&decoded[0].1).expect("JSON");
        assert_eq!(parsed["taskName"], "A + B & 100 %");
    });
}

#[test]
fn one_setting_holds_for_the_webhooks_of_all_services() {
    run(async {
        let host = with_services().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        let settings = "/server/admin/services/webhooks/settings";
        let fields = [("name", "demo"), ("hookUrl", &endpoint.url("/"))];
        let jobs = created(client, ROUTE, &fields).await;
        let mut with_changes = fields.to_vec();
        with_changes.push(("changeTypes", "*"));
        created(client, WATER, &with_changes).await;
        let shown = client.look(&format!("{settings}?f=json")).await;
        assert_eq!(
            shown,
            json!({ "notificationAttempts": 3, "notificationTimeOutInSeconds": 10, "notificationElapsedTimeInSeconds": 5, "numberOfFailures": 5, "daysInPast": 5 })
        );
        for (name, value) in
            [("notificationAttempts", "0"), ("notificationAttempts", "6"), ("notificationTimeOutInSeconds", "0"), ("numberOfFailures", "0")]
        {
            let refused = client.form(settings, &[(name, value)]).await;
            assert!(message(&refused).starts_with(name), "{refused}");
        }
        assert_eq!(client.form(settings, &[("notificationAttempts", "1"), ("numberOfFailures", "2")]).await["success"], true);
        endpoint.always(Script::status(500));
        let fail =
            async || client.event(json!({ "trigger": "/services/Route.GPServer/jobs/j1/failed" })).await["deliveries"][0]["state"].clone();
        assert_eq!(fail().await, "failed", "one attempt is all");
        let id = jobs["id"].as_str().expect("an id");
        let log = client.look(&format!("{ROUTE}/{id}/notificationStatus?f=json")).await;
        let entries = log["webhookNotificationStatus"].as_array().expect("a log");
        assert!(entries.len() == 1 && entries[0]["invoked"] == false && entries[0]["invokedTimestamp"].is_u64(), "{log}");
        assert_eq!(fail().await, "failed");
        let active = async || client.look(&format!("{ROUTE}/{id}?f=json")).await["active"].clone();
        eventually("it is off", async || (active().await == false).then_some(())).await;
        endpoint.always(Script::status(200));
        // Activating clears the log.
        assert_eq!(client.form(&format!("{ROUTE}/activateAll"), &[]).await["success"], true);
        assert_eq!(active().await, true);
        assert_eq!(client.look(&format!("{ROUTE}/{id}/notificationStatus?f=json")).await["webhookNotificationStatus"], json!([]));
        assert_eq!(client.form(&format!("{ROUTE}/deactivateAll"), &[]).await["success"], true);
        assert_eq!(active().await, false);
        assert_eq!(client.form(&format!("{ROUTE}/deleteAll"), &[]).await["success"], true);
        assert_eq!(client.look(&format!("{ROUTE}?f=json")).await["webhooks"], json!([]));
    });
}

#[test]
fn service_webhooks_have_names_of_letters_and_digits_and_known_changes() {
    run(async {
        let host = with_services().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        let url = endpoint.url("/");
        let base = [("name", "demo"), ("hookUrl", url.as_str()), ("changeTypes", "*")];
        created(client, WATER, &base).await;
        for (field, says) in [
            (("name", "my demo"), "name: letters and digits alone"),
            (("name", "Demo"), "of that name already"),
            (("changeTypes", "FeatureCreated"), "did you mean `FeaturesCreated`?"),
            (("contentType", "text/plain"), "contentType: one of application/json, application/x-www-form-urlencoded"),
            (("payloadFormat", "xml"), "payloadFormat: one of json, pjson"),
            (("active", "maybe"), "active: `true` or `false`"),
            (("hookUrl", ""), "hookUrl: the payload URL"),
        ] {
            let mut fields = base.to_vec();
            fields[0].1 = "another";
            fields.push(field);
            let refused = client.form(&format!("{WATER}/create"), &fields).await;
            assert!(message(&refused).contains(says), "{refused}");
        }
        let refused = client.form(&format!("{ROUTE}/create"), &[("name", "demo"), ("hookUrl", &url), ("changeTypes", "*")]).await;
        assert!(message(&refused).contains("changeTypes: webhooks of a geoprocessing service"), "{refused}");
        let inactive = created(client, ROUTE, &[("name", "demo"), ("hookUrl", &url), ("active", "false")]).await;
        assert_eq!((&inactive["active"], &inactive["signatureKey"]), (&json!(false), &json!("")));
        let accepted = client.event(json!({ "trigger": "/services/Route.GPServer/jobs/j1/failed" })).await;
        assert_eq!(accepted["deliveries"], json!([]));
    });
}

#[test]
fn a_challenge_is_answered_with_the_tokens_signature() {
    run(async {
        let client = &shared().await.client;
        let (secret, name) = (unique("crc-key"), unique("crc"));
        client.secret(&secret, KEY).await;
        let verify =
            |scheme: &str| json!({ "reply": { "message": "ok" }, "verify": { "scheme": scheme, "secret": format!("$secret:{secret}") } });
        let code = client.receiver(&name, verify("esri-service")).await;
        let path = |code: &str| format!("/api/v1/webhook/{code}?crc_token=abc123");
        let answered = client.with_token(None).send(Method::GET, &path(&code), &[], "").await;
        let expected = json!({ "response_token": "sha256=JZBRSjXI4VWGz/kfx+MhyuzBzDmFvu6acHbGAAl80LU=" });
        assert_eq!((answered.status, answered.json()), (200, expected));
        // For another scheme it is a normal call, and this one is not signed.
        let other = client.receiver(&unique("crc"), verify("github")).await;
        assert_eq!(client.with_token(None).send(Method::GET, &path(&other), &[], "").await.status, 401);
        assert_eq!(client.with_token(None).send(Method::POST, &path(&code), &[], "x").await.status, 401);
    });
}
