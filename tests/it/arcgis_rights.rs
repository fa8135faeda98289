//! What a token with one of ArcGIS's privileges sees and changes: the webhooks it created, and never the destination of another user's
//! credentials.

use hookwright_tests::{Client, Endpoint, TestHost, client::succeeded, run};
use serde_json::{Value, json};

const ORGANIZATION: &str = "/portal/sharing/rest/portals/self/webhooks";
const FEATURE: &str = "/server/admin/services/Water.FeatureServer/webhooks";
const GEOPROCESSING: &str = "/server/admin/services/Route.GPServer/webhooks";

/// One of the three APIs: the path of its webhooks and the names of its form fields.
struct Api {
    at: &'static str,
    profile: &'static str,
    url: &'static str,
    secret: &'static str,
    update: &'static str,
    shown: &'static str,
    /// An event that its webhooks match.
    event: Value,
}

fn apis() -> [Api; 3] {
    let data = json!({ "username": "ann", "userId": "1", "properties": {} });
    [
        Api {
            at: ORGANIZATION,
            profile: "arcgis-organization",
            url: "url",
            secret: "secret",
            update: "update",
            shown: "payloadUrl",
            event: json!({ "trigger": "/items/abc/update", "data": data }),
        },
        Api {
            at: FEATURE,
            profile: "arcgis-feature",
            url: "hookUrl",
            secret: "signatureKey",
            update: "edit",
            shown: "hookUrl",
            event: json!({ "trigger": "FeaturesCreated", "source": "/services/Water.FeatureServer" }),
        },
        Api {
            at: GEOPROCESSING,
            profile: "arcgis-geoprocessing",
            url: "hookUrl",
            secret: "signatureKey",
            update: "edit",
            shown: "hookUrl",
            event: json!({ "trigger": "/services/Route.GPServer/jobs/j1/succeeded" }),
        },
    ]
}

/// A host with an admin's secrets, and clients of two users who have every privilege except the admin's.
async fn bench() -> (TestHost, Client, Client) {
    let host = TestHost::start().await;
    let client = &host.client;
    client.secret("crown", "canary-crown").await;
    client.secret("shared", "canary-shared").await;
    let services = [
        ("Water.FeatureServer", json!({ "capabilities": ["Update", "ChangeTracking"], "owners": ["ann", "bob"] })),
        ("Route.GPServer", json!({ "execution": "asynchronous" })),
    ];
    for (name, document) in services {
        let path = format!("/v1/services/{name}");
        succeeded("PUT", &path, client.put(&path, &document).await);
    }
    let scopes = json!(["webhooks:organization", "webhooks:feature", "webhooks:geoprocessing", "publish:server"]);
    let token = async |name: &str| {
        let made = succeeded("POST", "/v1/tokens", client.post("/v1/tokens", &json!({ "name": name, "scopes": scopes })).await);
        client.with_token(made["token"].as_str())
    };
    let (ann, bob) = (token("ann").await, token("bob").await);
    (host, ann, bob)
}

/// An admin's webhook in an API, with all credentials that a request can carry.
fn of_an_admin(api: &Api, url: &str) -> Value {
    let (selectors, sources) = match api.profile {
        "arcgis-organization" => (json!(["/items"]), json!([])),
        "arcgis-feature" => (json!(["FeaturesCreated"]), json!(["/services/Water.FeatureServer"])),
        _ => (json!(["/services/Route.GPServer"]), json!([])),
    };
    json!({ "profile": api.profile, "selectors": selectors, "sources": sources, "request": { "url": url, "headers": { "x-a": "b" } },
        "auth": { "kind": "bearer", "token": "$secret:crown" }, "signing": { "secrets": ["$secret:shared"] } })
}

async fn listed(client: &Client, api: &Api) -> Vec<Value> {
    client.get(&format!("{}?f=json", api.at)).await.1["webhooks"].as_array().cloned().unwrap_or_default()
}

fn code(answer: &Value) -> u64 {
    answer["error"]["code"].as_u64().unwrap_or_default()
}

#[test]
fn an_administrators_webhook_is_seen_without_values_and_changed_by_nobody_else() {
    run(async {
        for api in apis() {
            let (host, ann, _) = bench().await;
            let (endpoint, thief) = (Endpoint::start().await, Endpoint::start().await);
            let url = endpoint.url("/p?sig=canary-query");
            host.client.webhook("theirs", of_an_admin(&api, &url)).await;
            let seen = listed(&ann, &api).await;
            assert_eq!((seen.len(), &seen[0][api.shown]), (1, &json!(endpoint.url("/p?sig=redacted"))), "{seen:?}");
            assert_eq!(listed(&host.client, &api).await[0][api.shown], json!(url), "an administrator sees it whole");
            let at = format!("{}/{}", api.at, seen[0]["id"].as_str().expect("an id"));
            let shown = ann.get(&format!("{at}?f=json")).await.1;
            assert_eq!(shown[api.shown], seen[0][api.shown]);
            let before = host.client.look("/v1/webhooks/theirs?reveal=true").await;

            for fields in [
                vec![(api.url, thief.url("/steal"))],
                vec![(api.url, endpoint.url("/other"))],
                vec![(api.url, thief.url("/steal")), (api.secret, String::new())],
                vec![("name", "Mine".to_owned())],
            ] {
                let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let answered = ann.form(&format!("{at}/{}", api.update), &fields).await;
                assert_eq!(code(&answered), 403, "{fields:?}: {answered}");
                assert!(answered["error"]["message"].as_str().is_some_and(|said| said.contains("having made the webhook")), "{answered}");
            }
            for operation in ["delete", "activate", "deactivate"] {
                let answered = ann.form(&format!("{at}/{operation}"), &[]).await;
                assert!([403, 404].contains(&code(&answered)), "{operation}: {answered}");
            }
            assert_eq!(code(&ann.get(&format!("{at}/notificationStatus?f=json")).await.1), 403, "payloads are theirs, too");
            assert!(!ann.send(http::Method::GET, &at, &[], "").await.text().contains("canary"));
            for all in ["deactivateAll", "deleteAll"] {
                // It deletes only the webhooks that this user created, and there are none.
                drop(ann.form(&format!("{}/{all}", api.at), &[]).await);
            }
            let mut after = host.client.look("/v1/webhooks/theirs?reveal=true").await;
            assert_eq!(after, before);
            host.client.event(api.event.clone()).await;
            if api.profile == "arcgis-feature" {
                host.advance(std::time::Duration::from_secs(30));
            }
            let delivered = loop {
                let received = endpoint.next_request().await;
                if received.body != "{}" {
                    break received;
                }
            };
            assert_eq!(delivered.header("authorization"), "Bearer canary-crown");
            assert_eq!(thief.seen().len(), 0);

            // The label that the owner set stays when another user changes the webhook.
            let (status, relabelled) = host.client.patch("/v1/webhooks/theirs", &json!({ "labels": { "arcgis/owner": "ann" } })).await;
            assert_eq!(status, 200, "{relabelled}");
            let answered = ann.form(&format!("{at}/{}", api.update), &[(api.url, &thief.url("/steal"))]).await;
            assert_eq!(code(&answered), 400, "{answered}");
            after = host.client.look("/v1/webhooks/theirs?reveal=true").await;
            assert_eq!(after["request"], before["request"]);
            host.stop().await;
        }
    });
}

#[test]
fn what_somebody_made_is_theirs_to_change_and_their_secret_goes_nowhere_by_itself() {
    run(async {
        for api in apis() {
            let (host, ann, bob) = bench().await;
            let (endpoint, other) = (Endpoint::start().await, Endpoint::start().await);
            let create = if api.profile == "arcgis-organization" { "createWebhook" } else { "create" };
            let url = endpoint.url("/mine?sig=canary-query");
            let mut fields = vec![("name", "Mine"), (api.url, url.as_str()), (api.secret, "canary-own")];
            match api.profile {
                "arcgis-organization" => fields.push(("changes", "allChanges")),
                "arcgis-feature" => fields.push(("changeTypes", "*")),
                _ => {}
            }
            let made = ann.form(&format!("{}/{create}", api.at), &fields).await;
            assert_eq!((&made["success"], &made[api.shown]), (&json!(true), &json!(endpoint.url("/mine?sig=redacted"))), "{made}");
            let at = format!("{}/{}", api.at, made["id"].as_str().expect("an id"));
            let update = format!("{at}/{}", api.update);
            let now = async || host.client.look("/v1/webhooks?limit=1").await["data"][0].clone();
            let url_now = async || {
                let name = now().await["name"].as_str().expect("a name").to_owned();
                host.client.look(&format!("/v1/webhooks/{name}?reveal=true")).await["request"]["url"].clone()
            };

            // Another user with the privilege sees the webhook but cannot change it.
            assert_eq!(listed(&bob, &api).await.len(), 1);
            assert_eq!(code(&bob.form(&update, &[("name", "Stolen")]).await), 403);
            assert_eq!(code(&bob.form(&format!("{at}/delete"), &[]).await), 403);

            // Writing the URL back as it is shown does not change it.
            let shown = endpoint.url("/mine?sig=redacted");
            assert_eq!(ann.form(&update, &[(api.url, &shown), (api.secret, "(redacted)")]).await["success"], true);
            assert_eq!(url_now().await, json!(url));
            // At the same server the secret stays. At another server it must be given again; otherwise there is no secret.
            assert_eq!(ann.form(&update, &[(api.url, &endpoint.url("/moved"))]).await["success"], true);
            for secret in [vec![], vec![(api.secret, "(redacted)")]] {
                let elsewhere = other.url("/");
                let mut fields = vec![(api.url, elsewhere.as_str())];
                fields.extend(secret);
                let refused = ann.form(&update, &fields).await;
                assert_eq!(code(&refused), 400, "{refused}");
                assert!(refused["error"]["message"].as_str().is_some_and(|said| said.contains("write the secret again")), "{refused}");
            }
            assert_eq!(ann.form(&update, &[(api.url, &other.url("/")), (api.secret, "canary-again")]).await["success"], true);
            assert_eq!(url_now().await, json!(other.url("/")));
            // References could read values that the users' tokens may not.
            let refused = ann.form(&update, &[(api.url, &other.url("/?t=$session.params.token"))]).await;
            assert!(
                code(&refused) == 400 && refused["error"]["message"].as_str().is_some_and(|said| said.contains("administrator")),
                "{refused}"
            );

            // Credentials that an admin adds do not follow the webhook to another server.
            let name = now().await["name"].as_str().expect("a name").to_owned();
            for more in [
                json!({ "auth": { "kind": "bearer", "token": "$secret:crown" } }),
                json!({ "auth": null, "request": { "headers": { "x-key": "canary-header" } } }),
                json!({ "request": { "headers": null }, "environments": { "staging": { "auth": { "kind": "bearer", "token": "$secret:crown" } } } }),
            ] {
                let (status, patched) = host.client.patch(&format!("/v1/webhooks/{name}"), &more).await;
                assert_eq!(status, 200, "{patched}");
                let refused = ann.form(&update, &[(api.url, &endpoint.url("/")), (api.secret, "")]).await;
                assert!(
                    code(&refused) == 400
                        && refused["error"]["message"].as_str().is_some_and(|said| said.contains("an administrator gave it")),
                    "{refused}"
                );
                assert_eq!(url_now().await, json!(other.url("/")));
            }
            assert_eq!(ann.form(&format!("{at}/delete"), &[]).await["success"], true);
            assert_eq!(listed(&host.client, &api).await.len(), 0);
            host.stop().await;
        }
    });
}

#[test]
fn operations_on_all_webhooks_of_a_service_are_on_ones_own() {
    run(async {
        let (host, ann, bob) = bench().await;
        let endpoint = Endpoint::start().await;
        for (client, name) in [(&ann, "Anns"), (&bob, "Bobs"), (&host.client, "Admins")] {
            let url = endpoint.url("/");
            let made = client.form(&format!("{FEATURE}/create"), &[("name", name), ("hookUrl", &url), ("changeTypes", "*")]).await;
            assert_eq!(made["success"], true, "{made}");
        }
        let names = async || {
            let all = host.client.get(&format!("{FEATURE}?f=json")).await.1["webhooks"].clone();
            let of = |one: &Value| (one["name"].as_str().unwrap_or_default().to_owned(), one["active"] == true);
            all.as_array().into_iter().flatten().map(of).collect::<std::collections::BTreeMap<_, _>>()
        };
        assert_eq!(ann.form(&format!("{FEATURE}/deactivateAll"), &[]).await["success"], true);
        assert_eq!(names().await, [("Admins".to_owned(), true), ("Anns".to_owned(), false), ("Bobs".to_owned(), true)].into());
        assert_eq!(bob.form(&format!("{FEATURE}/deleteAll"), &[]).await["success"], true);
        assert_eq!(names().await.into_keys().collect::<Vec<_>>(), ["Admins", "Anns"]);
        assert_eq!(host.client.form(&format!("{FEATURE}/deleteAll"), &[]).await["success"], true);
        assert!(names().await.is_empty());
        host.stop().await;
    });
}
