//! Receivers and admins at one origin: neither a receiver's answer nor another site can act in an admin's name.

use hookwright_tests::{Client, Endpoint, FORM, Options, TestHost, browser, host::TOKEN, interop, run};
use http::Method;
use serde_json::{Value, json};

const LOGIN: &str = "/portal/sharing/rest/login";
const CREATE: &str = "/portal/sharing/rest/portals/self/webhooks/createWebhook";
const SANDBOX: &str = "sandbox allow-scripts allow-forms allow-popups allow-modals allow-downloads";

/// A receiver that answers with these headers; returns its code.
async fn answers(client: &Client, name: &str, headers: &Value) -> String {
    let script = format!("export function receive(call) {{ return {{ status: 200, headers: {headers}, body: '<script>1</script>' }} }}");
    client.script(name, &script).await;
    client.receiver(name, json!({ "plugin": name, "full_reply": true })).await
}

async fn asked(client: &Client, code: &str, headers: &[(&str, &str)]) -> hookwright_tests::Answered {
    client.with_token(None).send(Method::GET, &format!("/api/v1/webhook/{code}"), headers, "").await
}

fn policies(answered: &hookwright_tests::Answered) -> Vec<&str> {
    answered.headers.get_all("content-security-policy").iter().filter_map(|value| value.to_str().ok()).collect()
}

#[test]
fn whatever_a_receiver_answers_is_of_no_origin_and_is_what_it_says_it_is() {
    run(async {
        let host = TestHost::start().await;
        let types = [
            "text/html",
            "TEXT/HTML; charset=utf-8",
            "application/xhtml+xml",
            "image/svg+xml",
            "text/xml",
            "application/xml",
            "text/xsl",
            "application/pdf",
            "application/rss+xml",
            "multipart/x-mixed-replace; boundary=x",
            "x/unknown",
            "",
        ];
        let kinds: Vec<_> =
            types.into_iter().map(|media| if media.is_empty() { json!([]) } else { json!([["content-type", media]]) }).collect();
        for (index, headers) in kinds.iter().enumerate() {
            let code = answers(&host.client, &format!("kind-{index}"), headers).await;
            let answered = asked(&host.client, &code, &[]).await;
            assert_eq!(answered.status, 200, "{headers}: {}", answered.text());
            assert_eq!((policies(&answered), answered.header("x-content-type-options")), (vec![SANDBOX], "nosniff"), "{headers}");
            assert!(!answered.header("content-type").contains("mixed-replace"), "{headers}");
        }
        // A policy of the receiver's own applies in addition, and cannot remove ours.
        for own in ["sandbox allow-scripts allow-same-origin", "default-src 'none'"] {
            let headers = json!([["content-type", "text/html"], ["Content-Security-Policy", own], ["x-content-type-options", "sniff"]]);
            let code = answers(&host.client, "own", &headers).await;
            let answered = asked(&host.client, &code, &[]).await;
            assert_eq!((policies(&answered), answered.header("x-content-type-options")), (vec![own, SANDBOX], "nosniff"));
        }
        // The host's own answers to calls are no documents, but get the header as well.
        let unknown = asked(&host.client, "AAAAAAAAAAAAAAAAAAAAAAAAAAAA", &[]).await;
        assert_eq!((unknown.status, unknown.header("x-content-type-options")), (404, "nosniff"));
    });
}

#[test]
fn headers_that_act_on_the_origin_are_left_out_and_the_author_is_told() {
    run(async {
        let host = TestHost::start().await;
        let refused = [
            ("Set-Cookie", "agstoken=hwg_x; Path=/portal"),
            ("set-cookie2", "a=b"),
            ("service-worker-allowed", "/"),
            ("clear-site-data", "\"*\""),
            ("strict-transport-security", "max-age=0"),
            ("public-key-pins", "x"),
            ("alt-svc", "h2=\":1\""),
            ("nel", "{}"),
            ("report-to", "{}"),
            ("origin-agent-cluster", "?1"),
            ("access-control-allow-credentials", "true"),
            ("www-authenticate", "Basic realm=\"Hookwright\""),
            ("location", "javascript:alert(1)"),
            ("x-accel-redirect", "/v1/tokens"),
            ("X-Sendfile", "/etc/passwd"),
        ];
        let headers: Vec<_> = refused.into_iter().chain([("access-control-allow-origin", "*"), ("x-own", "1")]).collect();
        let code = answers(&host.client, "evil", &json!(headers)).await;
        let answered = asked(&host.client, &code, &[]).await;
        assert_eq!((answered.status, answered.header("x-own"), answered.header("access-control-allow-origin")), (200, "1", "*"));
        let call = host.client.last_call("evil").await;
        for (name, _) in refused {
            assert!(!answered.headers.contains_key(name), "{name}");
            let name = name.to_lowercase();
            let told = call["log"]["lines"].as_array().expect("lines").iter().any(|line| {
                line["level"] == "warn" && line["text"].as_str().is_some_and(|text| text.contains(&format!("`{name}` was left out")))
            });
            assert!(told && call["reply"]["headers"][&name].is_null(), "{name}: {call}");
        }
        // Such a document cannot register a service worker for more than itself either.
        assert_eq!(policies(&answered), [SANDBOX]);
    });
}

#[test]
fn a_name_that_serves_codes_alone_passes_answers_on_and_serves_nothing_else() {
    run(async {
        let mut options = Options::default();
        options.limits.http.codes_hosts = vec!["hooks.example".to_owned()];
        let host = TestHost::with(options).await;
        let headers = json!([["content-type", "text/html"], ["set-cookie", "a=b"], ["x-accel-redirect", "/v1/tokens"]]);
        let code = answers(&host.client, "pages", &headers).await;
        for name in ["hooks.example", "Hooks.Example:8443"] {
            let apart = asked(&host.client, &code, &[("host", name)]).await;
            assert_eq!((apart.status, apart.header("set-cookie"), policies(&apart)), (200, "a=b", vec![]), "{name}");
            assert_eq!(apart.header("x-accel-redirect"), "", "a proxy in front would serve something else");
            assert_eq!(host.client.last_call("pages").await["reply"]["headers"]["set-cookie"], "(redacted)");
            for path in ["/healthz", "/v1/webhooks", "/openapi.json", LOGIN, "/portal/admin"] {
                let status = host.client.send(Method::GET, path, &[("host", name)], "").await.status;
                assert_eq!(status, if path == "/healthz" { 200 } else { 404 }, "{name}{path}");
            }
        }
        for name in ["gis.example", "hooks.example.evil.example"] {
            let shared = asked(&host.client, &code, &[("host", name)]).await;
            assert_eq!((shared.header("set-cookie"), policies(&shared)), ("", vec![SANDBOX]), "{name}");
        }
    });
}

#[test]
fn a_context_leads_to_no_other_site_and_into_no_cookie() {
    run(async {
        let host = TestHost::start().await;
        let nobody = host.client.with_token(None);
        let signing_in = format!("username=HOOKWRIGHT_ADMIN_TOKEN&password={TOKEN}");
        let contexts = [
            "%2Fevil.example",
            "%5Cevil.example",
            "%2F%2Fevil.example",
            "portal%3B%20Domain=example.com%3B%20Path=%2F",
            "a%0d%0ab",
            "%2e%2e",
        ];
        for context in contexts {
            for path in ["sharing/rest/portals/self", "sharing/rest/login", "sharing/rest/logout", "admin"] {
                for (method, body) in [(Method::GET, ""), (Method::POST, &*signing_in)] {
                    let answered = nobody.send(method.clone(), &format!("/{context}/{path}"), &[FORM], body.to_owned()).await;
                    assert_eq!(
                        (answered.status, answered.header("location"), answered.header("set-cookie")),
                        (404, "", ""),
                        "{method} {context}/{path}"
                    );
                    assert!(!answered.text().contains("href"), "{context}");
                }
            }
        }
        // The path after a context comes back encoded and complete.
        let away = nobody.send(Method::GET, "/portal/admin/services/a%2Fb%20%22%3Cc%5C", &[], "").await;
        let to = "/portal/sharing/rest/login?redirect=%2Fportal%2Fadmin%2Fservices%2Fa%2Fb%2520%2522%253Cc%255C";
        assert_eq!((away.status, away.header("location")), (303, to));
        for redirect in [
            "/portal/admin/../../api/v1/webhook/X",
            "/portal/admin/%2e%2e/%2E%2E/x",
            "/portal/../x/admin",
            "/other/admin",
            "/portal/admin\\x",
        ] {
            let form = format!("{signing_in}&redirect={}", redirect.replace('%', "%25"));
            let signed_in = nobody.send(Method::POST, LOGIN, &[FORM], form).await;
            assert_eq!((signed_in.status, signed_in.header("location")), (303, "/portal/sharing/rest/portals/self"), "{redirect}");
        }
    });
}

#[test]
fn what_a_cookie_allows_is_done_for_our_own_pages_alone() {
    run(async {
        let host = TestHost::start().await;
        let endpoint = Endpoint::start().await;
        let nobody = host.client.with_token(None);
        let at = host.address().to_string();
        let (own, evil) = (format!("http://{at}"), "https://evil.example".to_owned());
        let signing_in = format!("username=HOOKWRIGHT_ADMIN_TOKEN&password={TOKEN}");
        let login = async |headers: &[(&str, &str)]| {
            let headers: Vec<_> = headers.iter().copied().chain([FORM]).collect();
            nobody.send(Method::POST, LOGIN, &headers, signing_in.clone()).await
        };
        for headers in [
            vec![("origin", &*evil)],
            vec![("origin", "null")],
            vec![("sec-fetch-site", "cross-site")],
            vec![("sec-fetch-site", "same-site"), ("origin", &*own)],
            vec![("origin", "http://127.0.0.1:1")],
        ] {
            let refused = login(&headers).await;
            assert_eq!((refused.status, refused.header("set-cookie")), (403, ""), "{headers:?}: {}", refused.text());
        }
        // A program sends no header about a page.
        assert_eq!(login(&[]).await.status, 303);
        let signed_in = login(&[("origin", &own), ("sec-fetch-site", "same-origin")]).await;
        let cookie = signed_in.header("set-cookie").split(';').next().expect("a pair").to_owned();
        assert!(signed_in.status == 303 && cookie.starts_with("agstoken=hwg_"), "{cookie}");
        let number = std::cell::Cell::new(0);
        let create = async |headers: &[(&str, &str)], more: &str| {
            number.set(number.get() + 1);
            let form = format!("f=json&name=n{}&url={}&changes=allChanges{more}", number.get(), endpoint.url("/hook"));
            let headers: Vec<_> = headers.iter().copied().chain([FORM]).collect();
            nobody.send(Method::POST, CREATE, &headers, form).await.json()
        };
        let with_cookie = ("cookie", &*cookie);
        for headers in [
            vec![with_cookie, ("origin", &*evil)],
            vec![with_cookie, ("origin", "null")],
            vec![with_cookie, ("origin", "https://evil.portal.example"), ("sec-fetch-site", "same-site")],
            vec![with_cookie, ("sec-fetch-site", "same-site")],
            vec![with_cookie, ("origin", &*own), ("sec-fetch-site", "cross-site")],
            vec![with_cookie, ("referer", "https://evil.example/page")],
            vec![with_cookie],
        ] {
            let refused = create(&headers, "").await;
            assert_eq!(refused["error"]["code"], 403, "{headers:?}: {refused}");
        }
        let done = |answer: &Value| assert_eq!(answer["success"], true, "{answer}");
        done(&create(&[with_cookie, ("origin", &own)], "").await);
        done(&create(&[with_cookie, ("sec-fetch-site", "same-origin")], "").await);
        done(&create(&[with_cookie, ("referer", &format!("{own}{CREATE}"))], "").await);
        // A second cookie of that name may come from a sibling host, so the two together are not accepted.
        for both in [format!("agstoken=hwg_other; {cookie}"), format!("{cookie}; a=b; agstoken=")] {
            let refused = create(&[("cookie", &*both), ("origin", &own)], "").await;
            assert_eq!(refused["error"]["code"], 499, "{both}: {refused}");
        }
        done(&create(&[("cookie", &*format!("{cookie}; a=b; {cookie}")), ("origin", &own)], "").await);
        // A token in a parameter or header is not the cookie, so it works from any page.
        done(&create(&[with_cookie, ("origin", &evil)], &format!("&token={TOKEN}")).await);
        let bearer = format!("Bearer {TOKEN}");
        done(&create(&[("authorization", &bearer), ("origin", &evil)], "").await);
        // Signing a user out is a change, too; following the link is not.
        let out = async |headers: &[(&str, &str)]| nobody.send(Method::GET, "/portal/sharing/rest/logout", headers, "").await.status;
        assert_eq!(out(&[with_cookie, ("sec-fetch-site", "cross-site")]).await, 403);
        assert_eq!(out(&[with_cookie, ("sec-fetch-site", "same-origin")]).await, 303);
    });
}

/// A script that tries what an admin's page could do, and reports the results.
const SCRIPT: &str = r#"
(async () => {
  const done = { origin: self.origin };
  const form = new URLSearchParams({ f: "json", name: "taken", url: HOOK, changes: "allChanges" });
  const tried = async (name, what) => { try { done[name] = String(await what()).slice(0, 300); } catch (error) { done[name] = "refused"; } };
  await tried("create", async () => (await fetch("/portal/sharing/rest/portals/self/webhooks/createWebhook", { method: "POST", credentials: "include", body: form })).text());
  await tried("blind", async () => (await fetch("/portal/sharing/rest/portals/self/webhooks/createWebhook", { method: "POST", mode: "no-cors", credentials: "include", body: form })).type);
  await tried("read", async () => (await fetch("/portal/sharing/rest/portals/self?f=json", { credentials: "include" })).text());
  await tried("cookie", async () => { document.cookie = "agstoken=mine; path=/portal"; return document.cookie; });
  await tried("storage", async () => { localStorage.setItem("a", "b"); return "kept"; });
  await tried("worker", async () => { await navigator.serviceWorker.register(location.pathname.replace(/[^/]*$/, "worker")); return "registered"; });
  console.log("said:" + JSON.stringify(done));
})();
"#;

#[test]
fn in_a_browser_a_receivers_page_does_nothing_in_the_name_of_who_is_signed_in() {
    run(async {
        let Some(browser) = browser() else { return };
        let host = TestHost::start().await;
        let endpoint = Endpoint::start().await;
        let client = &host.client;
        let script = SCRIPT.replace("HOOK", &json!(endpoint.url("/taken")).to_string());
        let xhtml = format!(
            "<html xmlns=\"http://www.w3.org/1999/xhtml\"><head><title>x</title></head><body><script><![CDATA[{script}]]></script></body></html>"
        );
        let svg = format!("<svg xmlns=\"http://www.w3.org/2000/svg\"><script><![CDATA[{script}]]></script></svg>");
        let form = format!(
            "<form method=post action={CREATE}><input name=name value=taken><input name=url value={}><input name=changes value=allChanges></form>\
             <script>document.forms[0].submit()</script>",
            endpoint.url("/taken")
        );
        let pages = json!({
            "/html": ["text/html", format!("<!DOCTYPE html><title>x</title><script>{script}</script>")],
            "/xhtml": ["application/xhtml+xml", xhtml],
            "/svg": ["image/svg+xml", svg],
            "/form": ["text/html", form],
            "/worker": ["text/javascript", "self.onfetch = () => {}"],
        });
        let plugin = format!(
            "const pages = {pages}; export function receive(call) {{ const [type, body] = pages[call.path]; \
             return {{ status: 200, headers: [['content-type', type], ['service-worker-allowed', '/'], ['access-control-allow-origin', '*']], body }} }}"
        );
        client.script("pages", &plugin).await;
        let code = client.receiver("pages", json!({ "plugin": "pages", "full_reply": true })).await;
        let kinds = ["html", "xhtml", "svg"];
        let to_ask = json!({
            "browser": browser, "url": client.url("").trim_end_matches('/'), "name": "HOOKWRIGHT_ADMIN_TOKEN", "token": TOKEN,
            "page": client.url(&format!("/api/v1/webhook/{code}")), "kinds": kinds,
        });
        let said: Value = serde_json::from_str(&interop("node", "origin.mjs", &to_ask).await).expect("JSON");
        assert_eq!(said["failed"], Value::Null, "{said:#}");
        assert_eq!((&said["signed_in"], &said["still"]), (&json!("Portal Self"), &json!("Portal Self")), "{said:#}");
        for kind in kinds {
            let page = &said["pages"][kind];
            assert_eq!(page["origin"], "null", "{kind}: {said:#}");
            for what in ["create", "read", "cookie", "storage", "worker"] {
                assert_eq!(page[what], "refused", "{kind}: {said:#}");
            }
        }
        // The browser does not send the cookie from there, so the page redirects to the sign-in.
        assert_eq!((&said["form"], &said["form_carried"]), (&json!(303), &json!(false)), "{said:#}");
        let list = client.form("/portal/sharing/rest/portals/self/webhooks", &[]).await;
        assert_eq!(list["total"], 0, "{list}");
        assert!(endpoint.seen().is_empty(), "nobody was told of it");
    });
}
