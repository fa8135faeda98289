//! Codes as the admin of an ERP uses them: printed URLs, callers, rate limits, expiry, mails, and the service actions behind them.

use std::time::Duration;

use hookwright::config::{Bases, Smtp, SmtpTls};
use hookwright_tests::{
    Authority, Client, MailServer, Options, TestHost, TlsFront, hookwright_command, interop, process::finish, run, shared, unique,
    wait::within,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
};

/// The code in the vendor's documentation.
const SAMPLE: &str = "MONWEBHOOKACADEMY123456789012363F53";
/// The two URLs on the same page, letter by letter.
const LOCAL: &str = "http://localhost:8080/DhsDivaltoServiceDivaApiRest/api/v1/Webhook/MONWEBHOOKACADEMY123456789012363F53?dos=998&refreshCustomer=C0000001";
const CLOUD: &str =
    "https://api.divaltocloud.com/123456/TEST1/api/v1/WebHook/MONWEBHOOKACADEMY123456789012363F53?dos=998&refreshCustomer=C0000001";

/// Both bases of the documentation. The second selects an environment.
fn bases() -> Bases {
    let mut bases = Bases::default();
    bases.set_public_url("https://api.divaltocloud.com").expect("a URL");
    bases.add("/DhsDivaltoServiceDivaApiRest", "").expect("a base");
    bases.add("/123456/TEST1", "test1").expect("a base");
    bases
}

/// A service action with the parameters of the documentation. A script runs it.
async fn refresh_customer(client: &Client) {
    let script = "export function receive(call) {\n  const { dos, refreshCustomer } = call.parameters;\n  if (dos !== 998) throw new Rejected(`no company ${dos}`);\n  return { body: { message: `client ${refreshCustomer} of ${dos} in ${call.environment ?? 'production'}`, secret: 'data' } };\n}\n";
    client.script("erp", script).await;
    let parameters = json!({ "dos": { "type": "integer", "required": true }, "refreshCustomer": { "type": "string", "required": true } });
    let (status, action) =
        client.put("/v1/actions/refresh-customer", &json!({ "plugin": "erp", "strict": true, "parameters": parameters })).await;
    assert_eq!(status, 201, "{action}");
}

async fn issue(client: &Client, receiver: &str, document: Value) -> Value {
    let (status, issued) = client.post(&format!("/v1/receivers/{receiver}/codes"), &document).await;
    assert_eq!(status, 201, "{issued}");
    issued
}

/// A code as it is listed.
async fn listed(client: &Client, receiver: &str, id: &Value) -> Value {
    let list = client.look(&format!("/v1/receivers/{receiver}/codes")).await;
    list["data"].as_array().into_iter().flatten().find(|code| code["id"] == *id).cloned().expect("the code")
}

/// Runs `curl` with these arguments: status and body.
async fn curl(arguments: &[&str]) -> (u16, Value) {
    let mut command = Command::new("curl");
    command.args(["-sS", "--noproxy", "*", "-w", "\n%{http_code}"]).args(arguments);
    let done = finish(&mut command).await.success();
    let (body, status) = done.stdout.rsplit_once('\n').expect("a status");
    (status.parse().expect("a number"), serde_json::from_str(body).unwrap_or_else(|error| panic!("{body}: {error}")))
}

#[test]
fn the_printed_urls_are_called_by_curl_as_they_are_printed() {
    run(async {
        let host = TestHost::with(Options { bases: bases(), ..Options::default() }).await;
        let client = &host.client;
        refresh_customer(client).await;
        client.put("/v1/receivers/academy", &json!({ "action": "refresh-customer", "profile": "divalto" })).await;
        let issued = issue(client, "academy", json!({ "caller": "academy", "code": SAMPLE })).await;
        assert_eq!(issued["urls"][1], format!("https://api.divaltocloud.com/DhsDivaltoServiceDivaApiRest/api/v1/webhook/{SAMPLE}"));
        assert_eq!(
            issued["url_template"],
            format!("https://api.divaltocloud.com/123456/TEST1/api/v1/webhook/{SAMPLE}?dos={{dos}}&refreshCustomer={{refreshCustomer}}")
        );

        let port = host.address().port();
        let to_host = format!("localhost:8080:127.0.0.1:{port}");
        let (status, body) = curl(&["--connect-to", &to_host, LOCAL]).await;
        assert_eq!((status, body), (200, json!({ "status": 200, "message": "client C0000001 of 998 in production" })));

        let authority = Authority::new();
        let front = TlsFront::start(&authority.server(&["api.divaltocloud.com"]), host.address()).await;
        let folder = tempfile::tempdir().expect("a folder");
        let trusted = folder.path().join("ca.pem");
        std::fs::write(&trusted, &authority.pem).expect("a file");
        let (trusted, to_front) = (trusted.to_str().expect("a path"), format!("api.divaltocloud.com:443:127.0.0.1:{}", front.port));
        let (status, body) = curl(&["--cacert", trusted, "--connect-to", &to_front, CLOUD]).await;
        assert_eq!((status, body), (200, json!({ "status": 200, "message": "client C0000001 of 998 in test1" })));
        assert_eq!(client.last_call("academy").await["environment"], "test1");

        // Other answers: 400 with the reason, 0 for clients that expect it; never data.
        for (url, says) in [
            (LOCAL.replace("dos=998", "dos=999"), "no company 999"),
            (LOCAL.replace("dos=998", "dos=x"), "`dos` must be a whole number"),
            (LOCAL.replace("dos=998&", ""), "the parameter `dos` is missing"),
            (format!("{LOCAL}&other=1"), "there is no parameter `other`"),
        ] {
            let (status, body) = curl(&["--connect-to", &to_host, &url]).await;
            assert_eq!((status, &body["status"], body.as_object().map(|body| body.len())), (400, &json!(400), Some(2)), "{body}");
            assert!(body["message"].as_str().is_some_and(|message| message.contains(says)), "{body}");
        }
        client.patch("/v1/receivers/academy", &json!({ "legacy_zero": true })).await;
        let (status, body) = curl(&["--connect-to", &to_host, "-X", "POST", LOCAL]).await;
        assert_eq!((status, &body["status"]), (200, &json!(0)));
        let elsewhere = LOCAL.replace("/DhsDivaltoServiceDivaApiRest", "/Elsewhere");
        let (status, body) = curl(&["--connect-to", &to_host, &elsewhere]).await;
        assert_eq!((status, &body["message"]), (404, &json!("unknown code")), "a base nobody configured");
    });
}

#[test]
fn receivers_are_bound_to_a_service_action_and_follow_it() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        refresh_customer(client).await;
        let crm = client.receiver("crm", json!({ "action": "refresh-customer" })).await;
        let shop = client.receiver("shop", json!({ "action": "refresh-customer", "config": { "shop": true } })).await;
        let query = "?dos=998&refreshCustomer=C1";
        for code in [&crm, &shop] {
            assert_eq!(client.call(code, query, "").await.json()["message"], "client C1 of 998 in production");
        }
        let action = client.look("/v1/actions/refresh-customer").await;
        assert_eq!(action["receivers"], json!(["crm", "shop"]));
        // Another plugin runs the action now, with other parameters. Both receivers follow, and no code changes.
        let changed = json!({ "reply": { "message": "noted $call.parameters.customer" }, "parameters": { "customer": { "type": "string", "required": true } } });
        assert_eq!(client.put("/v1/actions/refresh-customer", &changed).await.0, 200);
        for code in [&crm, &shop] {
            assert_eq!(client.call(code, query, "").await.status, 400);
            assert_eq!(client.call(code, "?customer=C2", "").await.json()["message"], "noted C2");
        }
        assert_eq!(client.delete("/v1/actions/refresh-customer").await.0, 409);
        assert_eq!(client.delete("/v1/plugins/erp").await.0, 204, "nothing runs it any more");
        for (path, document, pointer) in [
            ("/v1/receivers/x", json!({ "action": "refresh-custom" }), "/action"),
            ("/v1/receivers/x", json!({ "action": "refresh-customer", "reply": { "message": "x" } }), "/reply"),
            ("/v1/actions/x", json!({}), "/plugin"),
            ("/v1/actions/x", json!({ "plugin": "nobody" }), "/plugin"),
            ("/v1/actions/x", json!({ "reply": { "message": "$call.nothing" } }), "/reply/message"),
            ("/v1/actions/x", json!({ "plugins": "erp" }), "/plugins"),
        ] {
            let (status, problem) = client.put(path, &document).await;
            assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!(pointer)), "{document}: {problem}");
        }
        // The actions still exist after a restart. They can be deleted once no receiver is bound to them.
        let host = host.restart().await;
        let client = &host.client;
        assert_eq!(client.call(&crm, "?customer=C3", "").await.json()["message"], "noted C3");
        for receiver in ["crm", "shop"] {
            client.delete(&format!("/v1/receivers/{receiver}")).await;
        }
        assert_eq!(client.delete("/v1/actions/refresh-customer").await.0, 204);
    });
}

/// The bytes of an answer, without its date.
async fn raw(host: &TestHost, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(host.address()).await.expect("a connection");
    let length = body.len();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = Vec::new();
    within("an answer", stream.read_to_end(&mut answer)).await.expect("read");
    let answer = String::from_utf8(answer).expect("text");
    answer.lines().filter(|line| !line.starts_with("date:") && !line.starts_with("x-request-id:")).collect::<Vec<_>>().join("\n")
}

#[test]
fn wrong_expired_and_revoked_codes_are_one_to_a_caller_and_three_to_an_admin() {
    run(async {
        let host = TestHost::with(Options { bases: bases(), ..Options::default() }).await;
        let client = &host.client;
        // Requests whose answer could distinguish a live code: a wrong method, a missing signature, a body that is too long.
        client.secret("key", "It's a Secret to Everybody").await;
        let strict = json!({ "reply": { "message": "never" }, "methods": ["POST"], "body_bytes_max": 4, "verify": { "scheme": "github", "secret": "$secret:key" } });
        client.put("/v1/receivers/guarded", &strict).await;
        let ends = (jiff::Timestamp::now() + Duration::from_secs(60)).to_string();
        let expired = issue(client, "guarded", json!({ "caller": "expired", "expires": ends, "prefix": "A" })).await;
        let revoked = issue(client, "guarded", json!({ "caller": "revoked", "prefix": "B" })).await;
        let misplaced = issue(client, "guarded", json!({ "caller": "misplaced", "prefix": "C" })).await;
        let id = revoked["id"].as_str().expect("an id");
        assert_eq!(client.delete(&format!("/v1/receivers/guarded/codes/{id}")).await.0, 204);
        host.advance(Duration::from_secs(61));
        let code = |issued: &Value| issued["code"].as_str().expect("a code").to_owned();
        let mut asked = 0;
        for (method, body) in [("GET", ""), ("POST", ""), ("POST", "too long a body"), ("PUT", "x"), ("HEAD", ""), ("OPTIONS", "")] {
            let at = |base: &str, code: &str| format!("{base}/api/v1/webhook/{code}?a=1&a=2");
            let known = "/123456/TEST1";
            let unknown = raw(&host, method, &at(known, "ANOSUCHCODE2345678923456789"), body).await;
            assert!(unknown.starts_with("HTTP/1.1 404 "), "{unknown}");
            for path in [at(known, &code(&expired)), at(known, &code(&revoked)), at("/elsewhere", &code(&misplaced))] {
                assert_eq!(raw(&host, method, &path, body).await, unknown, "{method} {path}");
            }
            asked += 1;
        }
        let refusals = client.look("/v1/refusals?limit=500").await;
        let refusals = refusals["data"].as_array().expect("refusals");
        for (reason, caller, issued) in
            [("expired", "expired", &expired), ("revoked", "revoked", &revoked), ("wrong_base", "misplaced", &misplaced)]
        {
            let found: Vec<_> = refusals.iter().filter(|refusal| refusal["reason"] == reason).collect();
            assert_eq!(found.len(), asked, "{reason}");
            let of = |name: &str| found[0][name].clone();
            assert_eq!(
                (of("code_id"), of("caller"), of("receiver"), of("remote_address")),
                (issued["id"].clone(), json!(caller), json!("guarded"), json!("127.0.0.1"))
            );
        }
        let unknown: Vec<_> = refusals.iter().filter(|refusal| refusal["reason"] == "unknown").collect();
        assert_eq!((unknown.len(), &unknown[0]["code_id"]), (asked, &Value::Null));
        let listed_expired = listed(client, "guarded", &expired["id"]).await;
        assert_eq!(
            (&listed_expired["state"], &listed_expired["refused"], &listed_expired["calls"]),
            (&json!("expired"), &json!(asked), &json!(0))
        );
        assert_eq!(listed(client, "guarded", &revoked["id"]).await["state"], "revoked");
        assert_eq!(listed(client, "guarded", &misplaced["id"]).await["state"], "active");
        assert_eq!(client.look("/v1/calls?receiver=guarded").await["data"], json!([]), "none of them was a call");
        assert_eq!(client.with_token(None).get("/v1/refusals").await.0, 401);
    });
}

#[test]
fn a_code_is_limited_counted_and_changed_without_a_gap() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        client.put("/v1/receivers/limited", &json!({ "reply": { "message": "ok" } })).await;
        let limited = issue(client, "limited", json!({ "caller": "crm", "per_minute": 2 })).await;
        let free = issue(client, "limited", json!({ "caller": "erp" })).await;
        let call = async |issued: &Value| client.call(issued["code"].as_str().expect("a code"), "", "").await;
        assert_eq!((call(&limited).await.status, call(&limited).await.status), (200, 200));
        let refused = call(&limited).await;
        assert_eq!((refused.status, refused.header("retry-after")), (429, "30"));
        assert_eq!(refused.json(), json!({ "status": 429, "message": "too many calls; try again later" }));
        assert_eq!(call(&free).await.status, 200, "the other code has its own");
        host.advance(Duration::from_secs(30));
        assert_eq!(call(&limited).await.status, 200);
        let shown = listed(client, "limited", &limited["id"]).await;
        assert_eq!((&shown["calls"], &shown["refused"], &shown["per_minute"]), (&json!(3), &json!(1), &json!(2)));
        assert_eq!(client.look("/v1/refusals").await["data"][0]["reason"], "too_many");
        let last = shown["last_called_at"].clone();
        assert_eq!(last, client.last_call("limited").await["received_at"]);

        // The calls are counted exactly, on disk: also after a restart.
        let host = host.restart().await;
        let client = &host.client;
        let shown = listed(client, "limited", &limited["id"]).await;
        assert_eq!((&shown["calls"], &shown["last_called_at"]), (&json!(3), &last));
        assert_eq!(listed(client, "limited", &free["id"]).await["calls"], 1);

        // A new code for a caller; the old one stays valid for an hour.
        let fresh = issue(client, "limited", json!({ "caller": "erp", "overlap_seconds": 3600 })).await;
        let call = async |issued: &Value| client.call(issued["code"].as_str().expect("a code"), "", "").await.status;
        assert_eq!((call(&free).await, call(&fresh).await), (200, 200));
        host.advance(Duration::from_secs(3601));
        assert_eq!((call(&free).await, call(&fresh).await, call(&limited).await), (404, 200, 200));
        for (document, pointer) in [
            (json!({ "caller": "x", "per_minute": 0 }), "/per_minute"),
            (json!({ "caller": "x", "overlap_seconds": 99_999_999 }), "/overlap_seconds"),
            (json!({ "caller": "x", "prefix": "A", "code": SAMPLE }), "/prefix"),
            (json!({ "caller": "" }), "/caller"),
        ] {
            let (status, problem) = client.post("/v1/receivers/limited/codes", &document).await;
            assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!(pointer)), "{problem}");
        }
    });
}

/// Parses a message with Python's email package.
async fn read(message: &str) -> Value {
    let said = interop("python3", "mail.py", &json!({ "message": message })).await;
    serde_json::from_str(&said).expect("JSON")
}

#[test]
fn a_mail_with_the_codes_arrives_and_is_read_by_another_library() {
    run(async {
        let authority = Authority::new();
        let server = MailServer::starttls(&authority.server(&["127.0.0.1"])).await;
        let login = Smtp {
            tls: SmtpTls::Starttls,
            ca_certificates: Some(authority.pem.clone()),
            user: Some("erp".to_owned()),
            password: Some("$secret:smtp".parse().expect("a reference")),
            ..server.settings()
        };
        let host = TestHost::with(Options { bases: bases(), smtp: Some(login), ..Options::default() }).await;
        let client = &host.client;
        client.secret("smtp", "the password").await;
        refresh_customer(client).await;
        client.put("/v1/receivers/academy", &json!({ "action": "refresh-customer" })).await;
        issue(client, "academy", json!({ "caller": "=academy, \"north\"", "code": SAMPLE })).await;
        let second = issue(client, "academy", json!({ "caller": "crm" })).await;
        let gone = issue(client, "academy", json!({ "caller": "gone" })).await;
        client.delete(&format!("/v1/receivers/academy/codes/{}", gone["id"].as_str().expect("an id"))).await;

        let asked = json!({ "to": ["ann@erp.example", "bob@erp.example"], "subject": "Codes d'accès", "text": "Voilà vos codes." });
        let (status, sent) = client.post("/v1/receivers/academy/codes/mail", &asked).await;
        assert_eq!((status, sent["codes"].as_array().map(Vec::len)), (200, Some(2)), "{sent}");
        let taken = server.next().await;
        assert_eq!((taken.encrypted, taken.login.clone()), (true, Some(("erp".to_owned(), "the password".to_owned()))));
        assert_eq!(
            (taken.from.as_str(), taken.to.as_slice()),
            ("webhooks@example.org", ["ann@erp.example", "bob@erp.example"].map(str::to_owned).as_slice())
        );
        let mail = read(&taken.message).await;
        assert_eq!((&mail["subject"], &mail["from"]), (&json!("Codes d'accès"), &json!("Hookwright <webhooks@example.org>")), "{mail}");
        assert_eq!(
            (&mail["to"], &mail["auto"], &mail["defects"]),
            (&json!("ann@erp.example, bob@erp.example"), &json!("auto-generated"), &json!([]))
        );
        let text = mail["text"].as_str().expect("a text");
        let url =
            format!("https://api.divaltocloud.com/123456/TEST1/api/v1/webhook/{SAMPLE}?dos={{dos}}&refreshCustomer={{refreshCustomer}}");
        for said in
            ["Voilà vos codes.", &format!("Code WebHook: {SAMPLE}"), &format!("URL: {url}"), second["code"].as_str().expect("a code")]
        {
            assert!(text.contains(said), "{said} is not in {text}");
        }
        assert!(!text.contains(gone["code"].as_str().expect("a code")), "a revoked code is not sent");
        let file = &mail["files"][0];
        assert_eq!((&file["name"], &file["type"]), (&json!("academy-codes.csv"), &json!("text/csv")));
        let lines: Vec<_> = file["text"].as_str().expect("a file").lines().collect();
        assert_eq!(lines[0], "Code WebHook,URL,Caller,Until");
        assert_eq!(lines[1], format!("{SAMPLE},{url},\"'=academy, \"\"north\"\"\","));

        // Mailing one code, and requests that are refused.
        let one = json!({ "to": ["ann@erp.example"], "codes": [second["id"]] });
        assert_eq!(client.post("/v1/receivers/academy/codes/mail", &one).await.0, 200);
        assert!(!server.next().await.message.contains(SAMPLE));
        server.refuse(Some("550 no such box"));
        let (status, problem) = client.post("/v1/receivers/academy/codes/mail", &one).await;
        assert_eq!(status, 422);
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("550") && detail.contains("mail_refused")), "{problem}");
        for (document, pointer) in [
            (json!({ "to": ["nobody"] }), "/to/0"),
            (json!({ "to": [] }), "/to"),
            (json!({ "to": ["a@b.example"], "subject": "a\r\nb" }), "/subject"),
        ] {
            let (status, problem) = client.post("/v1/receivers/academy/codes/mail", &document).await;
            assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!(pointer)), "{problem}");
        }
        assert_eq!(client.delete("/v1/secrets/smtp").await.0, 409, "the password is needed");
        let unconfigured = shared().await.client.with_token(Some(hookwright_tests::host::TOKEN));
        let name = unique("unmailed");
        unconfigured.receiver(&name, json!({ "reply": { "message": "x" } })).await;
        let (status, problem) = unconfigured.post(&format!("/v1/receivers/{name}/codes/mail"), &json!({ "to": ["a@b.example"] })).await;
        assert_eq!(status, 422);
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("[smtp]")), "{problem}");
    });
}

#[test]
fn a_webhook_mails_what_happened_and_tries_again_when_the_server_cannot() {
    run(async {
        let server = MailServer::start().await;
        let host = TestHost::with(Options { smtp: Some(server.settings()), ..Options::default() }).await;
        let client = &host.client;
        let told = json!({
            "selectors": ["standards.failed"], "retry": { "attempts": 3, "gap_seconds": 5 },
            "request": {
                "url": "mailto:gis@erp.example?cc=ops@erp.example&subject=Below%20the%20standards:%20$event.data.title",
                "body": "Item $event.data.itemId lacks $sys.func.JOIN(\", \", $event.data.missing).",
            },
        });
        client.webhook("mailed", told).await;
        let event = json!({ "trigger": "standards.failed", "data": { "itemId": "abc", "title": "Café\r\nBcc: x@evil.example", "missing": ["tags", "snippet"] } });
        server.refuse(Some("451 not now"));
        let accepted = client.event(event).await;
        let delivery = &accepted["deliveries"][0];
        assert_eq!(
            (&delivery["state"], &delivery["last_attempt"]["failure"]["kind"]),
            (&json!("waiting"), &json!("mail_refused")),
            "{delivery}"
        );
        server.refuse(None);
        host.advance(Duration::from_secs(6));
        let taken = server.next().await;
        assert_eq!(taken.to, ["gis@erp.example", "ops@erp.example"]);
        let mail = read(&taken.message).await;
        assert_eq!(
            (&mail["subject"], mail["text"].as_str().map(str::trim_end)),
            (&json!("Below the standards: Café Bcc: x@evil.example"), Some("Item abc lacks tags, snippet.")),
            "{mail}"
        );
        assert_eq!(mail["id"], format!("<{}@example.org>", delivery["id"].as_str().expect("an id")), "the same for every try");
        // Without a text, the event is attached.
        client.webhook("attached", json!({ "selectors": ["standards.other"], "request": { "url": "mailto:gis@erp.example" } })).await;
        client.event(json!({ "trigger": "standards.other", "data": { "a": 1 } })).await;
        let mail = read(&server.next().await.message).await;
        assert_eq!((&mail["files"][0]["name"], &mail["files"][0]["type"]), (&json!("event.json"), &json!("application/json")), "{mail}");
        for (document, pointer) in [
            (json!({ "request": { "url": "mailto:$event.data.to" } }), "/request/url"),
            (json!({ "request": { "url": "mailto:a@b.example" }, "auth": { "kind": "bearer", "token": { "inline": "x" } } }), "/auth"),
            (json!({ "request": { "url": "mailto:a@b.example", "method": "GET" } }), "/request/method"),
        ] {
            let (status, problem) = client.put("/v1/webhooks/wrong", &document).await;
            assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!(pointer)), "{problem}");
        }
        let (status, problem) = shared()
            .await
            .client
            .put(&format!("/v1/webhooks/{}", unique("unmailed")), &json!({ "request": { "url": "mailto:a@b.example" } }))
            .await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/request/url")), "{problem}");
    });
}

#[test]
fn the_command_line_lists_codes_hands_out_urls_and_mails() {
    run(async {
        let server = MailServer::start().await;
        let host = TestHost::with(Options { bases: bases(), smtp: Some(server.settings()), ..Options::default() }).await;
        host.client.put("/v1/receivers/academy", &json!({ "reply": { "message": "ok" } })).await;
        let said = async |arguments: &[&str]| {
            let url = host.client.url("");
            let mut command = hookwright_command(arguments);
            command.env("HOOKWRIGHT_URL", url.trim_end_matches('/')).env("HOOKWRIGHT_TOKEN", hookwright_tests::host::TOKEN);
            finish(&mut command).await.success().stdout
        };
        let url = said(&["receiver", "code", "academy", "--caller", "crm", "--prefix", "CRM", "--per-minute", "60", "--url-only"]).await;
        let code = url.trim().strip_prefix("https://api.divaltocloud.com/123456/TEST1/api/v1/webhook/").unwrap_or_else(|| panic!("{url}"));
        assert_eq!(url.lines().count(), 1, "what a clipboard takes");
        let table = said(&["receiver", "codes", "academy"]).await;
        assert!(table.contains("CODE WEBHOOK") && table.contains(code) && table.contains("active"), "{table}");
        assert_eq!(said(&["receiver", "codes", "academy", "--caller", "crm", "--url-only"]).await, url);
        let mailed = said(&["receiver", "mail", "academy", "--to", "ann@erp.example"]).await;
        assert!(mailed.contains("1 codes of academy") && mailed.contains("250"), "{mailed}");
        assert!(server.next().await.message.contains(code));
        host.client.call("NOSUCHCODE2345678923456789", "", "").await;
        let refusals = said(&["receiver", "refusals"]).await;
        assert!(refusals.contains("unknown"), "{refusals}");
        refresh_customer(&host.client).await;
        let actions = said(&["action", "list"]).await;
        assert!(actions.contains("dos: integer, refreshCustomer: string") && actions.contains("plugin erp"), "{actions}");
    });
}
