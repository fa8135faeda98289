//! Organization webhooks through ArcGIS's REST API: Esri's own client, the forms, the errors, the log, the policy, the pages.

use std::{cell::Cell, time::Duration};

use hookwright_tests::{Authority, Client, Endpoint, Script, TestHost, host::TOKEN, interop, run, wait::eventually};
use http::Method;
use serde_json::{Value, json};

/// The webhooks of the organization.
const WEBHOOKS: &str = "/portal/sharing/rest/portals/self/webhooks";

async fn created(client: &Client, fields: &[(&str, &str)]) -> String {
    let made = client.form(&format!("{WEBHOOKS}/createWebhook"), fields).await;
    assert_eq!(made["success"], true, "{made}");
    made["id"].as_str().expect("an id").to_owned()
}

fn error(answer: &Value) -> (u64, String) {
    let (code, message) = (answer["error"]["code"].as_u64(), answer["error"]["message"].as_str());
    let (Some(code), Some(message)) = (code, message) else { panic!("no error: {answer}") };
    assert!(answer["error"]["details"].is_array(), "{answer}");
    (code, message.to_owned())
}

#[test]
fn esris_own_client_manages_the_webhooks_of_the_organization() {
    run(async {
        let host = TestHost::start().await;
        let endpoint = Endpoint::start().await;
        endpoint.always(Script::json(json!({ "success": "true" })));
        let identity = Authority::new().server(&["127.0.0.1"]);
        let (address, url) = (host.address(), endpoint.url(""));
        let asked = json!({
            "certificate": identity.certificate, "key": identity.key, "host": [address.ip().to_string(), address.port()],
            "token": TOKEN, "url": url.trim_end_matches('/'), "events": host.client.url("/v1/events?wait=20s"),
            "event": { "trigger": "/items/abc123/share", "data": { "username": "ann", "userId": "173d", "properties": { "sharedToGroups": ["Everyone"] } } },
        });
        let said: Value = serde_json::from_str(&interop("venv/bin/python", "portal.py", &asked).await).expect("JSON");
        let settings = |attempts, timeout, elapsed| json!({ "notificationAttempts": attempts, "notificationTimeOutInSeconds": timeout, "notificationElapsedTimeInSeconds": elapsed });
        assert_eq!((&said["settings"], &said["settings_after"]), (&settings(3, 10, 5), &settings(2, 20, 7)), "{said}");
        let [everything, shared] = [&said["created"][0], &said["created"][1]];
        assert_eq!((&everything["events"], &everything["name"], &everything["secret"]), (&json!(["/"]), &json!("Everything"), &json!("")));
        assert_eq!(everything["config"]["deactivationPolicy"], json!({ "numberOfFailures": 5, "daysInPast": 5 }));
        assert_eq!(shared["events"], json!(["/items/share", format!("/groups/{}", "a".repeat(32))]));
        assert_eq!(shared["config"]["deactivationPolicy"], json!({ "numberOfFailures": 3, "daysInPast": 2 }));
        assert_eq!(shared["secret"], "(redacted)", "it is kept, and never shown");
        assert_eq!(said["listed"].as_array().map(Vec::len), Some(28), "two pages of a list: {said}");
        for done in ["deleted", "got", "update", "deactivate", "activate", "active"] {
            assert_eq!(said[done], true, "{done}: {said}");
        }
        assert_eq!(said["inactive"], false);
        let updated = &said["updated"];
        assert_eq!((&updated["name"], &updated["events"], &updated["id"]), (&json!("Shared"), &json!(["/items/share"]), &shared["id"]));
        assert_eq!(updated["config"]["deactivationPolicy"], json!({ "numberOfFailures": 4, "daysInPast": 2 }));
        assert!(said["refused"].as_str().is_some_and(|refused| refused.contains("/items/share")), "{said}");
        // The delivery in the log and as it arrived, signed with the secret that the update left unchanged.
        let notifications = said["notifications"].as_array().expect("a log");
        assert_eq!(notifications.len(), 1, "{said}");
        assert_eq!((&notifications[0]["isInvoked"], &notifications[0]["id"]), (&json!(true), &shared["id"]));
        assert_eq!(notifications[0]["responseText"], r#"{"success":"true"}"#);
        let delivered = endpoint.seen().into_iter().find(|received| received.path == "/shared" && !received.header("secret").is_empty());
        let delivered = delivered.expect("a delivery");
        assert_eq!((delivered.header("secret"), notifications[0]["payload"].as_str()), ("shared-value", Some(delivered.text().as_str())));
        assert_eq!(delivered.json()["info"]["webhookName"], "Shared");
        assert_eq!((&said["delete"], &said["left"]), (&json!([true, true]), &json!([])));
    });
}

#[test]
fn a_payload_is_the_documented_one_field_by_field() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        let id = created(client, &[("name", "demo"), ("url", &endpoint.url("/x")), ("changes", "allChanges")]).await;
        let knocked = endpoint.next_request().await;
        assert_eq!((knocked.method.as_str(), knocked.text().as_str(), knocked.header("content-type")), ("POST", "{}", "application/json"));
        // "Webhook payloads": a group is updated, with no further properties.
        let data = json!({ "username": "admin", "userId": "173d" });
        client.event(json!({ "trigger": "/groups/173d/update", "time": "2018-11-26T00:29:56.500Z", "data": data })).await;
        let mut payload = endpoint.next_request().await.json();
        let when = payload["info"]["when"].take();
        assert!(when.as_u64().is_some_and(|when| when > 1_543_192_196_500), "the time of the delivery: {when}");
        assert_eq!(
            payload,
            json!({
                "info": { "webhookName": "demo", "webhookId": id, "portalURL": client.url("/portal/"), "when": null },
                "events": [{ "username": "admin", "userId": "173d", "when": 1_543_192_196_500_u64, "operation": "update", "source": "groups", "id": "173d", "properties": {} }],
            })
        );
        // An organization webhook does not match other paths.
        let other = client.event(json!({ "trigger": "/services/Route.GPServer/jobs/1/succeeded" })).await;
        assert_eq!(other["deliveries"], json!([]));
    });
}

#[test]
fn the_payload_url_is_called_at_creation_and_at_update() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        let fields = |url: &str| [("name", "probed".to_owned()), ("url", url.to_owned()), ("changes", "allChanges".to_owned())];
        let create = async |url: &str| {
            let fields = fields(url);
            let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            client.form(&format!("{WEBHOOKS}/createWebhook"), &fields).await
        };
        endpoint.next(Script::status(503));
        let (code, message) = error(&create(&endpoint.url("/")).await);
        assert_eq!(code, 400);
        assert!(message.starts_with("url: nobody answers there (the endpoint answered 503)"), "{message}");
        let (_, message) = error(&create("http://127.0.0.1:9/x").await);
        assert!(message.starts_with("url: nobody answers there"), "{message}");
        let (_, message) = error(&create("http://gis.example/x").await);
        assert!(message.starts_with("url: "), "{message}");
        assert_eq!(client.look("/v1/webhooks").await["data"], json!([]), "nothing was kept of those");
        // Any status below 500 shows that something answers.
        endpoint.next(Script::status(404));
        let made = create(&endpoint.url("/")).await;
        assert_eq!(made["success"], true, "{made}");
        let path = format!("{WEBHOOKS}/{}/update", made["id"].as_str().expect("an id"));
        endpoint.next(Script::status(500));
        let (code, _) = error(&client.form(&path, &[("url", &endpoint.url("/moved"))]).await);
        let kept = client.get(&format!("{WEBHOOKS}/{}?f=json", made["id"].as_str().expect("an id"))).await.1;
        assert_eq!((code, &kept["payloadUrl"]), (400, &json!(endpoint.url("/"))), "{kept}");
        assert_eq!(client.form(&path, &[("url", &endpoint.url("/moved"))]).await, json!({ "success": true }));
        // The same through our own API, because the rule belongs to the profile.
        endpoint.next(Script::status(502));
        let document = json!({ "profile": "arcgis-organization", "selectors": ["/items"], "request": { "url": endpoint.url("/") } });
        let (status, problem) = client.put("/v1/webhooks/own", &document).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/request/url")), "{problem}");
    });
}

#[test]
fn errors_are_arcgiss_and_say_what_would_be_right() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        let (url, create) = (endpoint.url("/"), format!("{WEBHOOKS}/createWebhook"));
        created(client, &[("name", "Shared"), ("url", &url), ("changes", "allChanges")]).await;
        for (fields, code, says) in [
            (vec![("name", "shared"), ("url", url.as_str()), ("changes", "allChanges")], 409, "webhook of that name already"),
            (
                vec![("name", "x"), ("url", &url), ("changes", "manualChanges"), ("events", "/items/abc/shar")],
                400,
                "did you mean `/items/abc/share`?",
            ),
            (vec![("name", "x"), ("url", &url), ("changes", "manualChanges")], 400, "events: which events"),
            (vec![], 400, "3 parameters are not valid"),
        ] {
            let (found, message) = error(&client.form(&create, &fields).await);
            assert_eq!(found, code, "{message}");
            assert!(message.contains(says), "{message}");
        }
        let settings = format!("{WEBHOOKS}/settings/update");
        for (name, value) in
            [("notificationAttempts", "6"), ("notificationTimeOutInSeconds", "61"), ("notificationElapsedTimeInSeconds", "0")]
        {
            let (code, message) = error(&client.form(&settings, &[(name, value)]).await);
            assert!(code == 400 && message.starts_with(name), "{message}");
        }
        let (code, message) = error(&client.get(&format!("{create}?f=json")).await.1);
        assert_eq!((code, message.as_str()), (405, "this address takes POST"));
        assert_eq!(error(&client.get(&format!("{WEBHOOKS}/none?f=json")).await.1).0, 404);
        assert_eq!(error(&client.get("/portal/sharing/rest/portals/another/webhooks?f=json").await.1).0, 404);
        assert_eq!(error(&client.get(&format!("{WEBHOOKS}?f=xml")).await.1).0, 400);
        let pretty = client.send(Method::GET, &format!("{WEBHOOKS}/settings?f=pjson"), &[], "").await;
        assert_eq!(
            pretty.text(),
            "{\n  \"notificationAttempts\": 3,\n  \"notificationTimeOutInSeconds\": 10,\n  \"notificationElapsedTimeInSeconds\": 5\n}\n"
        );
    });
}

#[test]
fn tokens_come_as_parameters_or_headers_and_end_by_themselves() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let nobody = client.with_token(None);
        let list = format!("{WEBHOOKS}?f=json");
        assert_eq!(error(&nobody.get(&list).await.1), (499, "Token Required.".to_owned()));
        assert_eq!(error(&nobody.get(&format!("{list}&token=wrong")).await.1), (498, "Invalid token.".to_owned()));
        let (_, made) = client.post("/v1/tokens", &json!({ "name": "ann", "scopes": ["webhooks:organization"] })).await;
        let token = made["token"].as_str().expect("a token");
        let generate = "/portal/sharing/rest/generateToken";
        for wrong in [
            [("username", "ann"), ("password", "wrong")],
            [("username", "bob"), ("password", token)],
            [("username", ""), ("password", token)],
        ] {
            assert_eq!(error(&nobody.form(generate, &wrong).await).0, 400);
        }
        let generated =
            nobody.form(generate, &[("username", "ann"), ("password", token), ("client", "requestip"), ("expiration", "30")]).await;
        let short = generated["token"].as_str().expect("a token").to_owned();
        assert!(generated["expires"].is_u64() && generated["ssl"] == false, "{generated}");
        let works = async |token: &str| {
            let (parameter, header) = (format!("{list}&token={token}"), [("x-esri-authorization", format!("Bearer {token}"))]);
            let header: Vec<_> = header.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let answers = [
                nobody.get(&parameter).await.1,
                nobody.send(Method::GET, &list, &header, "").await.json(),
                nobody.with_token(Some(token)).get(&list).await.1,
                nobody.form(WEBHOOKS, &[("token", token)]).await,
            ];
            let good = answers.iter().filter(|answer| answer["webhooks"].is_array()).count();
            assert!(good == 0 || good == answers.len(), "{answers:?}");
            good > 0
        };
        assert!(works(token).await && works(&short).await);
        let mut tampered = short.clone();
        tampered.replace_range(8..9, if &short[8..9] == "A" { "B" } else { "A" });
        assert!(!works(&tampered).await, "it is signed");
        assert_eq!(error(&nobody.form(generate, &[("username", "ann"), ("password", &short)]).await).0, 400, "one makes no other");
        let (status, _) = client.with_token(Some(&short)).get("/v1/webhooks").await;
        assert_eq!(status, 401, "it is of this API alone");
        host.advance(Duration::from_secs(31 * 60));
        assert!(works(token).await && !works(&short).await, "it ended");
        let again = nobody.form(generate, &[("username", "ann"), ("password", token)]).await["token"].as_str().expect("a token").to_owned();
        let id = made["id"].as_str().expect("an id");
        assert_eq!(client.delete(&format!("/v1/tokens/{id}")).await.0, 204);
        assert!(!works(token).await && !works(&again).await, "revoked with all that was made of it");
    });
}

/// Sends payloads that fail: pairs of a day and a number. Returns the day after which the webhook was deactivated.
async fn off_after(failures: &[(u64, u32)]) -> Option<u64> {
    let host = TestHost::start().await;
    let client = &host.client;
    let endpoint = Endpoint::start().await;
    let id = created(client, &[("name", "failing"), ("url", &endpoint.url("/")), ("changes", "allChanges")]).await;
    let attempts = [("notificationAttempts", "1")];
    assert_eq!(client.form(&format!("{WEBHOOKS}/settings/update"), &attempts).await["success"], true);
    endpoint.always(Script::status(400));
    let mut today = 1;
    for (day, count) in failures {
        host.advance(Duration::from_secs((day - today) * 24 * 3600));
        today = *day;
        for _ in 0..*count {
            let accepted = client.event(json!({ "trigger": "/items/abc/update" })).await;
            assert_eq!(accepted["deliveries"][0]["state"], "failed", "{accepted}");
        }
        let name = client.look("/v1/webhooks").await["data"][0]["name"].as_str().expect("a name").to_owned();
        let is_due = client.look(&format!("/v1/deliveries?webhook={name}&state=failed")).await["data"].as_array().map_or(0, Vec::len) >= 5;
        let active = async || client.look(&format!("{WEBHOOKS}/{id}?f=json")).await["isActive"] == true;
        if is_due {
            // The webhook is deactivated a moment after its last failure, or not at all.
            let looks = Cell::new(0);
            let still_on = eventually("a decision", async || {
                looks.set(looks.get() + 1);
                let on = active().await;
                (!on || looks.get() > 20).then_some(on)
            })
            .await;
            if !still_on {
                // Activating starts the count again.
                assert_eq!(client.form(&format!("{WEBHOOKS}/{id}/activate"), &[]).await["success"], true);
                assert!(active().await);
                return Some(*day);
            }
        }
    }
    None
}

#[test]
fn the_four_worked_examples_of_the_deactivation_policy() {
    run(async {
        assert_eq!(off_after(&[(1, 1), (2, 1), (3, 1), (4, 1), (5, 1)]).await, Some(5), "one failure a day");
        assert_eq!(off_after(&[(1, 3), (2, 2)]).await, Some(2), "three, then two");
        assert_eq!(off_after(&[(1, 2), (3, 2)]).await, None, "four in five days");
        assert_eq!(off_after(&[(1, 2), (3, 2), (6, 3)]).await, Some(6), "day 3's two and day 6's three");
    });
}

#[test]
fn the_pages_lead_to_everything_and_show_no_secret() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        let name = "<b>&\"quoted\"</b>";
        let id =
            created(client, &[("name", name), ("url", &endpoint.url("/x?sig=1")), ("secret", "top-secret"), ("changes", "allChanges")])
                .await;
        let page = async |path: &str| client.send(Method::GET, path, &[], "").await;
        let list = page(WEBHOOKS).await;
        assert!(
            list.header("content-type").starts_with("text/html") && list.header("content-security-policy").contains("default-src 'none'")
        );
        assert!(list.text().contains("&lt;b&gt;&amp;&quot;quoted&quot;&lt;/b&gt;") && !list.text().contains("<b>"), "{}", list.text());
        for path in [
            "/portal/sharing/rest",
            "/portal/sharing/rest/portals/self",
            "/portal/sharing/rest/community/self",
            "/portal/sharing/rest/login",
            "/portal/admin",
            "/portal/admin/services",
            "/portal/admin/services/webhooks/settings",
        ] {
            assert_eq!(page(path).await.status, 200, "{path}");
        }
        for path in ["", "/update", "/delete", "/deactivate", "/notificationStatus"] {
            let shown = page(&format!("{WEBHOOKS}/{id}{path}")).await;
            assert!(shown.status == 200 && !shown.text().contains("top-secret"), "{path}: {}", shown.text());
        }
        assert!(page(&format!("{WEBHOOKS}/createWebhook")).await.text().contains("Let me define manually"));
        assert_eq!(page(&format!("{WEBHOOKS}/none")).await.status, 404);
        // A page needs a sign-in, and the sign-in never redirects to another site.
        let nobody = client.with_token(None);
        let away = nobody.send(Method::GET, WEBHOOKS, &[], "").await;
        assert_eq!((away.status, away.header("location").starts_with("/portal/sharing/rest/login?redirect=")), (303, true));
        let fields = |redirect: &str| format!("username=HOOKWRIGHT_ADMIN_TOKEN&password={TOKEN}&redirect={redirect}");
        let media = [("content-type", "application/x-www-form-urlencoded")];
        for (redirect, to) in [
            (WEBHOOKS, WEBHOOKS),
            ("https://evil.example/", "/portal/sharing/rest/portals/self"),
            ("//evil.example", "/portal/sharing/rest/portals/self"),
        ] {
            let signed_in = nobody.send(Method::POST, "/portal/sharing/rest/login", &media, fields(redirect)).await;
            assert_eq!((signed_in.status, signed_in.header("location")), (303, to));
            let cookie = signed_in.header("set-cookie");
            assert!(cookie.contains("HttpOnly; SameSite=Strict") && !cookie.contains(TOKEN), "{cookie}");
            let pair = cookie.split(';').next().expect("a pair");
            assert_eq!(nobody.send(Method::GET, WEBHOOKS, &[("cookie", pair)], "").await.status, 200);
        }
    });
}
