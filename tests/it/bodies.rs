//! Bodies of requests: the sender is checked before the body is read, reading has limits, and little is kept of rejected calls.

use std::{net::SocketAddr, time::Duration};

use hookwright_tests::{
    Client, FORM, Options, TestHost,
    host::TOKEN,
    run,
    signature::hmac_sha256,
    unique,
    wait::{eventually, within},
};
use http::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

const WEBHOOKS: &str = "/portal/sharing/rest/portals/self/webhooks";
const LOGIN: &str = "/portal/sharing/rest/login";

/// A connection from this loopback address.
async fn from(address: &str, host: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(format!("{address}:0").parse().expect("an address")).expect("bound");
    within("a connection", socket.connect(host)).await.expect("a connection")
}

/// Reads the next head on a connection.
async fn head(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    let mut byte = [0];
    while !read.ends_with(b"\r\n\r\n") {
        let bytes = within("an answer", stream.read(&mut byte)).await.expect("read");
        assert!(bytes > 0, "the connection ended: {}", String::from_utf8_lossy(&read));
        read.push(byte[0]);
    }
    String::from_utf8_lossy(&read).into_owned()
}

/// The status line of the answer to a head without its body. `100` means that the host asks for the body.
async fn answered_to_the_head(host: SocketAddr, method: &str, path: &str, more: &str) -> String {
    let mut stream = TcpStream::connect(host).await.expect("a connection");
    let asked = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 100000\r\n{more}\r\n");
    stream.write_all(asked.as_bytes()).await.expect("written");
    head(&mut stream).await.split(' ').nth(1).unwrap_or_default().to_owned()
}

async fn sample(client: &Client, name: &str) -> u64 {
    let text = client.send(Method::GET, "/metrics", &[], "").await.text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<f64>().ok());
    line.unwrap_or_default() as u64
}

#[test]
fn who_it_is_is_decided_before_any_of_a_body_is_asked_for() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        client.secret("key", "s").await;
        let mut codes = Vec::new();
        for (name, verify) in [
            ("bearer", json!({ "scheme": "bearer", "secret": "$secret:key" })),
            ("portal", json!({ "scheme": "esri-organization", "secret": "$secret:key" })),
            ("elsewhere", json!({ "scheme": "github", "secret": "$secret:key", "networks": ["192.0.2.0/24"] })),
            ("signed", json!({ "scheme": "github", "secret": "$secret:key" })),
        ] {
            let code = client.receiver(name, json!({ "reply": { "message": "ok" }, "methods": ["POST"], "verify": verify })).await;
            codes.push(format!("/api/v1/webhook/{code}"));
        }
        // Handshakes and probes, which anybody may send.
        for (name, verify, probe) in [
            ("probed", json!({ "scheme": "esri-organization", "secret": "$secret:key" }), "answer"),
            ("crc", json!({ "scheme": "esri-service", "secret": "$secret:key" }), "run"),
            ("hub", json!({ "scheme": "meta", "secret": "$secret:key", "challenge_token": "$secret:key" }), "run"),
        ] {
            let code = client.receiver(name, json!({ "reply": { "message": "ok" }, "verify": verify, "probe": probe })).await;
            codes.push(format!("/api/v1/webhook/{code}"));
        }
        let (crc, shaken) =
            (format!("{}?crc_token=abc", codes[5]), format!("{}?hub.mode=subscribe&hub.challenge=1&hub.verify_token=s", codes[6]));
        let bearer = format!("authorization: Bearer {TOKEN}\r\n");
        let form = "content-type: application/x-www-form-urlencoded\r\n";
        for (method, path, more, status) in [
            // Unknown senders, and requests that take no body.
            ("POST", "/api/v1/webhook/AAAAAAAAAAAAAAAAAAAAAAAAAAAA", "", "404"),
            ("PUT", &*codes[3], "", "405"),
            ("POST", &*codes[0], "authorization: Bearer wrong\r\n", "401"),
            ("POST", &*codes[1], "", "401"),
            ("POST", &*codes[2], "", "403"),
            ("POST", &*codes[4], "", "401"),
            ("GET", &*codes[4], "", "200"),
            // What the host answers by itself does not depend on the methods.
            ("HEAD", &*codes[4], "", "200"),
            ("GET", &*crc, "", "200"),
            ("GET", &*shaken, "", "200"),
            ("GET", &*shaken.replace("token=s", "token=x"), "", "403"),
            ("POST", "/v1/events", "", "401"),
            ("PUT", "/v1/plugins/x", "authorization: Bearer wrong\r\n", "401"),
            ("POST", "/v3/projects/p/locations/l/agents/a/webhooks", "", "401"),
            ("POST", LOGIN, form, "413"),
            ("POST", "/portal/sharing/rest/generateToken", form, "413"),
            ("POST", WEBHOOKS, "content-type: multipart/form-data\r\n", "415"),
            ("GET", WEBHOOKS, form, "303"),
            ("GET", "/v1/webhooks", &*bearer, "200"),
            ("GET", "/healthz", "", "200"),
            ("HEAD", "/healthz", "", "200"),
            ("GET", "/readyz", "", "200"),
            ("GET", "/openapi.json", "", "200"),
            ("GET", "/openapi-arcgis.json", "", "200"),
            ("GET", "/openapi-v3.json", "", "200"),
            ("POST", "/healthz", "", "405"),
            ("POST", "/nothing", "", "404"),
            // Known senders, and calls whose body alone shows who sent them.
            ("POST", "/v1/events", &*bearer, "100"),
            ("POST", &*codes[0], "authorization: Bearer s\r\n", "100"),
            ("POST", &*codes[1], "secret: s\r\n", "100"),
            ("POST", &*codes[3], "", "100"),
            ("POST", &*codes[4], "secret: s\r\n", "100"),
            ("POST", WEBHOOKS, form, "100"),
        ] {
            assert_eq!(answered_to_the_head(host.address(), method, path, more).await, status, "{method} {path} {more}");
        }
        // The body of a call that was rejected by its head was not read, and the record says so.
        let call = client.last_call("bearer").await;
        assert_eq!((&call["state"], &call["request"]["body_not_kept"]), (&json!("rejected"), &json!({ "bytes": 100_000 })), "{call}");
    });
}

#[test]
fn a_probe_is_told_from_a_call_by_a_few_bytes_of_its_body() {
    run(async {
        let host = TestHost::start().await;
        host.client.secret("key", "s").await;
        let verify = json!({ "scheme": "bearer", "secret": "$secret:key" });
        let code = host.client.receiver("probed", json!({ "reply": { "message": "ok" }, "verify": verify, "probe": "answer" })).await;
        let answered = async |more: &str, body: &str| {
            let mut stream = TcpStream::connect(host.address()).await.expect("a connection");
            let asked = format!("POST /api/v1/webhook/{code} HTTP/1.1\r\nhost: x\r\n{more}\r\n{body}");
            stream.write_all(asked.as_bytes()).await.expect("written");
            head(&mut stream).await.split(' ').nth(1).unwrap_or_default().to_owned()
        };
        let chunked = "transfer-encoding: chunked\r\n";
        let begun = format!("{:x}\r\n{}\r\n", 100, "x".repeat(100));
        for (more, body, status) in [
            ("content-length: 0\r\n", "", "200"),
            ("content-length: 2\r\n", "{}", "200"),
            (chunked, "2\r\n{}\r\n0\r\n\r\n", "200"),
            (chunked, "0\r\n\r\n", "200"),
            // The body is too long for a probe, so the sender is checked before the rest is read. The rest never comes.
            (chunked, &*begun, "401"),
            ("content-length: 1000\r\n", "{", "401"),
            ("content-length: 4\r\n", "1234", "401"),
            ("content-length: 4\r\nauthorization: Bearer s\r\n", "1234", "200"),
        ] {
            assert_eq!(answered(more, body).await, status, "{more} {body}");
        }
    });
}

#[test]
fn of_a_strangers_form_so_much_is_read_as_a_token_may_stand_in() {
    run(async {
        let host = TestHost::start().await;
        let nobody = host.client.with_token(None);
        let send = async |headers: &[(&str, &str)], path: &str, form: String| {
            let headers: Vec<_> = headers.iter().copied().chain([FORM]).collect();
            nobody.send(Method::POST, path, &headers, form).await.json()
        };
        let long = "x".repeat(1_000_000);
        let list = format!("{WEBHOOKS}?f=json");
        // Esri's clients send the token in the form, even if the form is long.
        for form in [format!("token={TOKEN}"), format!("token={TOKEN}&y={long}"), format!("f=json&a=b&token={TOKEN}&y={long}")] {
            assert_eq!(send(&[], &list, form).await["total"], 0);
        }
        for (headers, path) in [
            (vec![("authorization", format!("Bearer {TOKEN}"))], list.clone()),
            (vec![("x-esri-authorization", format!("Bearer {TOKEN}"))], list.clone()),
            (vec![], format!("{list}&token={TOKEN}")),
        ] {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            assert_eq!(send(&headers, &path, format!("y={long}")).await["total"], 0, "{path}");
        }
        // If the token comes after everything else, is wrong or is missing, nothing more is read.
        for form in
            [format!("y={long}&token={TOKEN}"), format!("y={long}"), format!("token=hwt_wrong&y={long}"), format!("f=json&y={long}")]
        {
            let refused = send(&[], WEBHOOKS.trim_end_matches('/'), form.clone()).await;
            // The answer has the format that the form asks for in the part that was read.
            if form.starts_with("f=json") {
                assert_eq!(refused["error"]["code"], 413, "{refused}");
                assert!(refused["error"]["message"].as_str().is_some_and(|text| text.contains("the first 65536 bytes")), "{refused}");
            }
            let refused = send(&[], &list, form).await;
            assert_eq!(refused["error"]["code"], 413, "{refused}");
        }
        // A short body is read without a token; then the answer asks for a token.
        assert_eq!(send(&[], &list, "y=1".to_owned()).await["error"]["code"], 499);
        assert_eq!(send(&[], &format!("{LOGIN}?f=json"), format!("y={long}")).await["error"]["code"], 413);
    });
}

#[test]
fn a_form_and_a_query_have_so_many_fields() {
    run(async {
        let host = TestHost::start().await;
        let code = host.client.receiver("many", json!({ "reply": { "message": "ok" } })).await;
        let fields = |number: usize| (0..number).map(|n| format!("a{n}=1")).collect::<Vec<_>>().join("&");
        let nobody = host.client.with_token(None);
        let refused = nobody.send(Method::POST, &format!("{LOGIN}?f=json"), &[FORM], "a&".repeat(30_000)).await.json();
        assert_eq!(refused["error"]["code"], 400, "{refused}");
        assert!(
            refused["error"]["message"].as_str().is_some_and(|text| text.contains("at most 1000 fields (`http.fields_max`)")),
            "{refused}"
        );
        let at_codes = async |number: usize| nobody.send(Method::GET, &format!("/api/v1/webhook/{code}?{}", fields(number)), &[], "").await;
        assert_eq!((at_codes(1000).await.status, at_codes(1001).await.status), (200, 400));
        assert!(at_codes(1001).await.text().contains("more than 1000 fields"));
        let (status, refused) = host.client.get(&format!("/v1/webhooks?{}", fields(1001))).await;
        assert_eq!(status, 400, "{refused}");
        let refused = nobody.send(Method::GET, &format!("{LOGIN}?{}", fields(1001)), &[], "").await;
        assert_eq!(refused.status, 400);
    });
}

#[test]
fn who_has_his_part_waits_and_another_address_is_served() {
    run(async {
        let mut options = Options::default();
        (options.limits.http.bodies_bytes_max, options.limits.http.bodies_bytes_per_address_max) = (300_000, 100_000);
        options.limits.http.body_wait_max = Duration::from_secs(600);
        let host = TestHost::with(options).await;
        let (client, address) = (&host.client, host.address());
        let code = client.receiver("takes", json!({ "reply": { "message": "ok" }, "methods": ["POST"] })).await;
        let begin = async |from_address: &str, bytes: usize, sent: usize| {
            let mut stream = from(from_address, address).await;
            let asked = format!("POST /api/v1/webhook/{code} HTTP/1.1\r\nhost: x\r\ncontent-length: {bytes}\r\n\r\n{}", "x".repeat(sent));
            stream.write_all(asked.as_bytes()).await.expect("written");
            stream
        };
        let held = async || sample(client, "hookwright_request_bodies_bytes").await;
        let waiting = async || sample(client, "hookwright_request_bodies_waiting").await;
        // Most of the body has not been sent yet.
        let mut first = begin("127.0.0.3", 90_000, 10).await;
        eventually("room that is taken", || async { (held().await == 90_000).then_some(()) }).await;
        let mut second = begin("127.0.0.3", 50_000, 50_000).await;
        eventually("one that waits", || async { (waiting().await == 1).then_some(()) }).await;
        // It would fit, but waits behind another body from its own address.
        let mut third = begin("127.0.0.3", 5_000, 5_000).await;
        eventually("two that wait", || async { (waiting().await == 2).then_some(()) }).await;
        let mut other = begin("127.0.0.4", 50_000, 50_000).await;
        assert!(head(&mut other).await.starts_with("HTTP/1.1 200"));
        assert_eq!((held().await, waiting().await), (90_000, 2));
        // The memory reserved for an announced length is given back when the body is complete.
        first.write_all("x".repeat(90_000 - 10).as_bytes()).await.expect("written");
        for stream in [&mut first, &mut second, &mut third] {
            assert!(head(stream).await.starts_with("HTTP/1.1 200"));
        }
        eventually("room that is given back", || async { (held().await + waiting().await == 0).then_some(()) }).await;
        // A client that disconnects while it waits leaves nothing behind.
        let first = begin("127.0.0.3", 90_000, 10).await;
        eventually("room that is taken", || async { (held().await == 90_000).then_some(()) }).await;
        let gone = begin("127.0.0.3", 50_000, 10).await;
        eventually("one that waits", || async { (waiting().await == 1).then_some(()) }).await;
        drop((gone, first));
        eventually("nothing that is held", || async { (held().await + waiting().await == 0).then_some(()) }).await;
    });
}

#[test]
fn who_finds_no_room_in_time_is_told_to_come_again() {
    run(async {
        let mut options = Options::default();
        (options.limits.http.bodies_bytes_per_address_max, options.limits.http.bodies_bytes_per_token_max) = (80_000, 80_000);
        options.limits.http.body_wait_max = Duration::ZERO;
        let host = TestHost::with(options).await;
        let (client, address) = (&host.client, host.address());
        let code = client.receiver("takes", json!({ "reply": { "message": "ok" }, "methods": ["POST"] })).await;
        let mut holding = from("127.0.0.3", address).await;
        // The body's length is unknown: the least is reserved until the body is longer.
        let asked = format!("POST /api/v1/webhook/{code} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n");
        holding.write_all(asked.as_bytes()).await.expect("written");
        eventually("room that is taken", || async { (sample(client, "hookwright_request_bodies_bytes").await == 65_536).then_some(()) })
            .await;
        let mut refused = from("127.0.0.3", address).await;
        let asked = format!("POST /api/v1/webhook/{code} HTTP/1.1\r\nhost: x\r\ncontent-length: 20000\r\n\r\n");
        refused.write_all(asked.as_bytes()).await.expect("written");
        let answer = head(&mut refused).await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 5"), "{answer}");
        holding.write_all(b"0\r\n\r\n").await.expect("written");
        assert!(head(&mut holding).await.starts_with("HTTP/1.1 200"));
        // A token has its share, whatever addresses it is used from.
        let mut holding = from("127.0.0.3", address).await;
        let events =
            |bytes| format!("POST /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: {bytes}\r\n\r\n");
        holding.write_all(events(70_000).as_bytes()).await.expect("written");
        eventually("room that is taken", || async { (sample(client, "hookwright_request_bodies_bytes").await == 70_000).then_some(()) })
            .await;
        let mut refused = from("127.0.0.4", address).await;
        refused.write_all(events(20_000).as_bytes()).await.expect("written");
        let answer = head(&mut refused).await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 5"), "{answer}");
    });
}

#[test]
fn of_calls_that_are_turned_away_little_is_kept_and_of_so_many_in_a_minute() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        client.secret("key", "s").await;
        let document = json!({
            "reply": { "message": "ok" }, "methods": ["POST"], "once": "$.headers['x-id']", "parameters": { "n": { "type": "integer" } },
            "verify": { "scheme": "github", "secret": "$secret:key" }, "probe": "answer",
        });
        let name = unique("forged");
        let code = client.receiver(&name, document).await;
        let send = async |token: &str, id: &str, query: &str, body: &[u8]| {
            let signature = format!("sha256={}", hex::encode(hmac_sha256(token.as_bytes(), body)));
            let headers = [("x-hub-signature-256", &*signature), ("x-id", id), ("x-long", &*"y".repeat(20_000))];
            client.with_token(None).send(Method::POST, &format!("/api/v1/webhook/{code}/path{query}"), &headers, body.to_vec()).await.status
        };
        let calls = async || {
            let calls = client.look(&format!("/v1/calls?receiver={name}&limit=500")).await;
            calls["data"].as_array().expect("calls").clone()
        };
        let body = [b"\xff\0".as_slice(), "canary-body".repeat(10_000).as_bytes()].concat();
        for _ in 0..40 {
            assert_eq!(send("wrong", "1", "", &body).await, 401);
        }
        let kept = calls().await;
        assert_eq!(kept.len(), 30, "as many as in a minute");
        let digest = json!({ "bytes": body.len(), "sha256": hex::encode(Sha256::digest(&body)) });
        for call in &kept {
            let request = &call["request"];
            assert_eq!((&call["state"], &request["path"], &request["body"]), (&json!("rejected"), &json!("/path"), &json!("")), "{call}");
            assert_eq!((&request["body_not_kept"], &request["head_cut"]), (&digest, &json!(true)), "{call}");
            assert!(call.to_string().len() < 8 * 1024 && call["failure"]["kind"] == "call_unverified", "{call}");
        }
        assert_eq!(sample(client, &format!("hookwright_calls_not_kept_total{{receiver=\"{name}\"}}")).await, 10);
        // A good call is kept whole meanwhile; rejected calls are kept again after a minute.
        assert_eq!(send("s", "1", "", &body).await, 200);
        assert_eq!(calls().await.len(), 31);
        host.advance(Duration::from_secs(60));
        for (token, id, query, status) in [("wrong", "2", "", 401), ("s", "2", "?n=x", 400), ("s", "1", "", 200)] {
            let before = calls().await.len();
            assert_eq!(send(token, id, query, &body).await, status);
            assert_eq!(calls().await.len(), before + 1, "{id}{query}");
        }
        let whole: Vec<Value> = calls().await.into_iter().filter(|call| call["request"]["body"] != "").collect();
        assert_eq!((whole.len(), &whole[0]["state"]), (1, &json!("done")), "a repeat is kept as little as the others");
        // A call whose body was not kept cannot be tried.
        client.script("tries", "export function receive(call) { return { status: 200, headers: [], body: '' } }").await;
        let (status, refused) = client.post("/v1/plugins/tries/try", &json!({ "call": kept[0]["id"] })).await;
        assert!(
            status == 409 && refused["detail"].as_str().is_some_and(|text| text.contains("the body is not kept")),
            "{status} {refused}"
        );
    });
}
