//! Looks for recognisable secrets everywhere. They are planted in every place for a secret and used in requests that succeed and that
//! fail. Then the test searches every line of the log, the answer of every GET in the descriptions, an export, the store's files and a
//! backup, in clear text and in Base64. Values that only may be secret (a URL's path, a header, a payload) are shown to tokens that may
//! read them, and are in no file.

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use hookwright_tests::{
    Authority, Client, Collector, Endpoint, MailServer, Process, Proxy, Script, TokenServer, data_directory, files,
    process::{finish, hookwright},
    run,
    wait::eventually,
};
use http::Method;
use serde_json::{Value, json};

/// Everything that must not be seen: its name, and the texts to look for.
#[derive(Default)]
struct Canaries(Vec<(String, Vec<String>)>);

impl Canaries {
    fn add(&mut self, what: &str, value: &str) -> String {
        // Base64 of the value inside a longer text: at each of the three offsets, without the characters that its neighbours influence.
        let encoded = (0..3).map(|offset| {
            let text = BASE64_STANDARD_NO_PAD.encode([&b"xxx"[..offset], value.as_bytes()].concat());
            text[offset * 4 / 3 + usize::from(offset > 0)..text.len() - 2].to_owned()
        });
        self.0.push((what.to_owned(), std::iter::once(value.to_owned()).chain(encoded).collect()));
        value.to_owned()
    }

    /// Whether a value is found anywhere in clear text.
    fn is_in(&self, what: &str, places: &[(String, Vec<u8>)]) -> bool {
        let value = &self.0.iter().find(|(one, _)| one == what).expect("it was planted").1[0];
        places.iter().any(|(_, bytes)| String::from_utf8_lossy(bytes).contains(value.as_str()))
    }

    #[track_caller]
    fn stand_not_in(&self, place: &str, bytes: &[u8], except: &[&str]) {
        let text = String::from_utf8_lossy(bytes);
        for (what, spellings) in self.0.iter().filter(|(what, _)| !except.contains(&what.as_str())) {
            let found = spellings.iter().find(|spelling| text.contains(*spelling));
            assert!(found.is_none(), "{place} shows {what}, as {found:?}");
        }
    }
}

/// The answer of every GET in the host's description, with its path; `{...}` is filled in with every existing thing of that kind.
async fn every_answer(client: &Client) -> Vec<(String, Vec<u8>)> {
    let mut names = std::collections::BTreeMap::new();
    for (kind, key) in [
        ("webhooks", "name"),
        ("receivers", "name"),
        ("plugins", "name"),
        ("deliveries", "id"),
        ("calls", "id"),
        ("events", "id"),
        ("profiles", "name"),
        ("actions", "name"),
        ("templates", "name"),
    ] {
        let listed = client
            .look(&format!("/v1/{kind}?{}", if ["webhooks", "deliveries", "calls", "events"].contains(&kind) { "limit=500" } else { "" }))
            .await;
        let of = |one: &Value| one[key].as_str().map(str::to_owned);
        names.insert(kind, listed["data"].as_array().into_iter().flatten().filter_map(of).collect::<Vec<_>>());
    }
    names.insert("sessions", vec!["s1".to_owned()]);
    let mut answers = Vec::new();
    for document in ["/openapi.json", "/openapi-arcgis.json", "/openapi-v3.json"] {
        let described = client.look(document).await;
        for (path, _) in described["paths"].as_object().into_iter().flatten().filter(|(_, operations)| operations["get"].is_object()) {
            let kind = path.split('/').nth(2).unwrap_or_default();
            let filled = |name: &str| {
                let fill = |segment: &str| match segment {
                    "{context}" => "portal".to_owned(),
                    "{portal}" => "self".to_owned(),
                    segment if segment.starts_with('{') => name.to_owned(),
                    segment => segment.to_owned(),
                };
                path.split('/').map(fill).collect::<Vec<_>>().join("/")
            };
            let any = vec!["any".to_owned()];
            let paths: Vec<_> = if path.contains('{') {
                names.get(kind).unwrap_or(&any).iter().map(|name| filled(name)).collect()
            } else {
                vec![path.clone()]
            };
            for path in paths {
                let query = if document == "/openapi-arcgis.json" {
                    "?f=json"
                } else if path == "/v1/audit" {
                    "?limit=500"
                } else {
                    ""
                };
                let answered = client.send(Method::GET, &format!("{path}{query}"), &[], "").await;
                assert!(answered.status < 500, "{path}: {}", answered.text());
                answers.push((path, answered.body.to_vec()));
            }
        }
    }
    answers
}

#[test]
fn no_secret_is_seen_anywhere() {
    run(async {
        let directory = data_directory();
        let file = |name: &str| directory.path().join(name);
        let mut canaries = Canaries::default();
        let authority = Authority::new();
        let mails = MailServer::starttls(&authority.server(&["localhost"])).await;
        let proxy = Proxy::start().await;
        let collector = Collector::start().await;
        std::fs::write(file("ca.pem"), &authority.pem).expect("written");
        let config = format!(
            "backup_dir = {:?}\n[smtp]\nhost = \"localhost\"\nport = {}\ntls = \"starttls\"\nca_file = {:?}\nfrom = \"a@b.example\"\nuser = \"ann\"\npassword = \"$secret:smtp\"\n\
             [otlp]\nendpoint = \"{}\"\nheaders = {{ x-key = \"$secret:collector\" }}\nheaders_file = {:?}\n\
             [[proxy]]\nurl = \"http://ann:{}@{}\"\nhosts = [\"localhost\"]\n",
            file("backups"),
            mails.port,
            file("ca.pem"),
            collector.url(),
            file("headers"),
            canaries.add("the proxy's password", "canary-proxy-8d1f27"),
            proxy.address
        );
        std::fs::write(file("headers"), format!("x-file: {}\n", canaries.add("a header's file", "canary-headers-file-0b7e")))
            .expect("written");
        std::fs::write(file("config.toml"), config).expect("written");
        let admin = canaries.add("the admin token", "canary-admin-token-55b2");
        let config = file("config.toml");
        let environment =
            [("HOOKWRIGHT_CONFIG", config.to_str().expect("a path")), ("HOOKWRIGHT_ADMIN_TOKEN", &*admin), ("RUST_LOG", "trace,h2=info")];
        let host = Process::serve_under(&file("data"), &[], &environment).await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        endpoint.always(
            Script::json(json!({ "ok": true })).header("set-cookie", &canaries.add("an endpoint's cookie", "session=canary-cookie-71c0")),
        );

        for name in ["bearer", "password", "header", "oauth", "wrong", "github", "smtp", "inbound", "hmac", "collector"] {
            client.secret(name, &canaries.add(name, &format!("canary-{name}-3e9a04b6"))).await;
        }
        let key = BASE64_STANDARD_NO_PAD.encode("canary-standard-key-of-33-bytes-x");
        canaries.add("the signing key", "canary-standard-key-of-33-bytes-x");
        client.secret("standard", &format!("whsec_{key}")).await;
        let server = TokenServer::start(("canary-client", "canary-oauth-3e9a04b6"), None).await;
        let token_query = canaries.add("a token endpoint's query", "canary-in-token-url-4c7e");
        let token_endpoint = server.endpoint.url(&format!("/token?code={token_query}"));
        let oauth = |secret: &str| json!({ "kind": "oauth2", "token_endpoint": token_endpoint, "client_id": "canary-client", "client_secret": secret });
        let inline = canaries.add("an inline credential", "canary-inline-66e1c9");
        let query = canaries.add("a URL's query", "canary-in-url-f70a");
        let path = canaries.add("a URL's path", "canary-in-path-B0a1f2");
        let header = canaries.add("a webhook's header", "canary-in-header-19d3");
        let payload = canaries.add("an event's payload", "canary-in-payload-e5f0");
        let body = canaries.add("a call's body", "canary-in-call-77aa");
        let asked = canaries.add("a call's query", "canary-in-asked-31b8");
        // Tokens that may read documents, deliveries and calls see these values.
        let shown = ["a URL's path", "a webhook's header", "an event's payload", "a call's body", "a call's query"];
        let url = endpoint.url(&format!("/services/{path}?sig={query}"));
        let hooks = [
            ("bearer", json!({ "auth": { "kind": "bearer", "token": "$secret:bearer" }, "signing": { "secrets": ["$secret:standard"] } })),
            ("basic", json!({ "auth": { "kind": "basic", "username": "ann", "password": "$secret:password" } })),
            ("headers", json!({ "auth": { "kind": "headers", "headers": { "x-api-key": "$secret:header" } } })),
            ("oauth", json!({ "auth": oauth("$secret:oauth") })),
            ("oauth-wrong", json!({ "auth": oauth("$secret:wrong") })),
            ("inline", json!({ "auth": { "kind": "bearer", "token": { "inline": inline } } })),
            ("proxied", json!({ "request": { "url": url.replace("127.0.0.1", "localhost") } })),
            ("signed", json!({ "signing": { "scheme": "github", "secrets": ["$secret:github"] } })),
        ];
        for (name, mut document) in hooks {
            if document["request"].is_null() {
                document["request"] = json!({ "url": url });
            }
            document["selectors"] = json!(["canary.*"]);
            document["build"] = json!("stored");
            document["request"]["headers"] = json!({ "x-tenant": header });
            document["retry"] = json!({ "attempts": 1, "gap_seconds": 1 });
            client.webhook(name, document).await;
        }
        client.webhook("nobody", json!({ "selectors": ["canary.*"], "request": { "url": format!("http://127.0.0.1:9/?sig={query}") }, "auth": { "kind": "bearer", "token": "$secret:bearer" }, "retry": { "attempts": 1, "gap_seconds": 1 } })).await;
        client
            .webhook("mailed", json!({ "selectors": ["canary.*"], "request": { "url": "mailto:ops@example.org", "body": "told" } }))
            .await;
        let code = client
            .receiver("plain", json!({ "reply": { "message": "ok" }, "verify": { "scheme": "bearer", "secret": "$secret:inbound" } }))
            .await;
        canaries.add("a code", &code);
        client
            .receiver("github", json!({ "reply": { "message": "ok" }, "verify": { "scheme": "github", "secret": "$secret:hmac" } }))
            .await;
        let wrong = canaries.add("a wrong token", "canary-wrong-token-20d4");
        for token in ["canary-inbound-3e9a04b6", &*wrong] {
            let headers = [("authorization", &*format!("Bearer {token}")), ("cookie", "a=canary-bearer-3e9a04b6")];
            let body = json!({ "said": body }).to_string();
            client.with_token(None).send(Method::POST, &format!("/api/v1/webhook/{code}?key={asked}"), &headers, body).await;
        }
        // Tokens: created, rotated, used, wrong; and requests that are refused.
        let (_, made) = client.post("/v1/tokens", &json!({ "name": "crm", "scopes": ["read"] })).await;
        let (_, rotated) =
            client.post(&format!("/v1/tokens/{}/rotate", made["id"].as_str().expect("an id")), &json!({ "overlap_seconds": 60 })).await;
        for token in [&made["token"], &rotated["token"]] {
            let token = canaries.add("a made token", token.as_str().expect("a token"));
            assert_eq!(client.with_token(Some(&token)).get("/v1/webhooks").await.0, 200);
            assert_eq!(client.with_token(Some(&token)).put("/v1/secrets/x", &json!({ "value": "x" })).await.0, 403);
        }
        assert_eq!(client.with_token(Some(&wrong)).get("/v1/webhooks").await.0, 401);
        let refused = canaries.add("a refused secret", "canary-refused-a8f3");
        assert_eq!(client.put("/v1/secrets/bad", &json!({ "value": format!("{refused}\n") })).await.0, 400);
        assert_eq!(client.put("/v1/secrets/bad", &json!({ "value": { refused.as_str(): 1 } })).await.0, 400);
        client.script("held", "export function transform() { throw new Error('no'); }").await;
        client.secret("bearer", &canaries.add("a newer secret", "canary-newer-bearer-9c")).await;

        // First requests that succeed, then requests that fail.
        let told = client
            .event(json!({ "trigger": "canary.well", "session": "s1", "parameters": { "held": payload }, "data": { "told": payload } }))
            .await;
        let states: Vec<_> = told["deliveries"].as_array().expect("deliveries").iter().filter_map(|one| one["state"].as_str()).collect();
        assert!(states.contains(&"delivered") && states.iter().any(|state| ["failed", "waiting"].contains(state)), "{told}");
        assert_eq!(mails.next().await.login.map(|(user, _)| user), Some("ann".to_owned()));
        endpoint.always(Script::status(500));
        client.event(json!({ "trigger": "canary.badly", "data": { "told": payload } })).await;
        for token in server.given() {
            canaries.add("a third party's token", &token);
        }
        assert!(!server.given().is_empty() && !proxy.asked().is_empty(), "both were asked: {told}");

        let answers = every_answer(client).await;
        assert!(answers.len() > 80, "{} answers", answers.len());
        for (path, bytes) in &answers {
            // Listing codes shows them; the audit log records it.
            let except: &[&str] = if path.ends_with("/codes") { &["a code"] } else { &[] };
            canaries.stand_not_in(path, bytes, &[&shown, except].concat());
        }
        // The values were really stored, so the search through the files could have found them.
        for what in shown {
            assert!(canaries.is_in(what, &answers), "no answer shows {what}");
        }
        let (span, posted) = (collector.named_anywhere("attempt", 10).await, collector.posted());
        assert!(span.iter().any(|span| span.is_error) && span.iter().any(|span| !span.is_error), "well and badly: {span:?}");
        assert!(posted.iter().any(|post| post.header("x-key").contains("canary") && post.header("x-file").contains("canary")));
        for body in collector.bodies() {
            canaries.stand_not_in("a span", &body, &[]);
        }
        let audit = client.look("/v1/audit?limit=500").await;
        assert!(audit["data"].as_array().is_some_and(|entries| entries.len() > 25), "{audit}");
        let backup = file("backups/one");
        assert_eq!(client.post("/v1/backup", &json!({ "directory": "one" })).await.0, 202);
        eventually("the backup", || async { (client.look("/v1/backup").await["state"] == "done").then_some(()) }).await;
        let export = file("export");
        let mut exporting = hookwright(&["export", "-o", export.to_str().expect("a path"), "--url", &client.url("")]);
        let said = finish(exporting.env("HOOKWRIGHT_TOKEN", &admin)).await.success();
        canaries.stand_not_in("what export says", said.all().as_bytes(), &[]);
        // An admin's value in a place that is not for credentials is exported as the API shows it.
        let documents = ["a URL's path", "a webhook's header"];
        let exported = files(&export);
        assert!(exported.len() > 10, "{exported:?}");
        for (path, bytes) in &exported {
            canaries.stand_not_in(&path.display().to_string(), bytes, &documents);
        }
        let log = host.log();
        assert!(log.lines().count() > 100, "there is a log to look at");
        canaries.stand_not_in("the log", log.as_bytes(), &[]);
        canaries.stand_not_in("standard output", host.printed().join("\n").as_bytes(), &[]);
        let saved = files(&backup);
        assert!(saved.iter().any(|(path, _)| path.ends_with("records")), "{saved:?}");
        for (path, bytes) in saved.iter().chain(&files(&file("data"))) {
            canaries.stand_not_in(&path.display().to_string(), bytes, &[]);
        }
        println!(
            "{} canaries in {} spellings, {} answers, {} lines of log",
            canaries.0.len(),
            canaries.0.len() * 4,
            answers.len(),
            log.lines().count()
        );
        assert!(host.terminate().await.success());
    });
}
