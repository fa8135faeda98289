//! Connections: certificates, listeners, limits for clients, trusted proxies, headers for browsers.

use std::{io::Read, net::SocketAddr, time::Duration};

use hookwright_tests::{
    Authority, Identity, Options, Process, TestHost, data_directory,
    host::TOKEN,
    process::{finish, hookwright, signal},
    run,
    wait::{eventually, within},
};
use http::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

/// Writes `bytes` and reads the connection until its end.
async fn said(stream: &mut TcpStream, bytes: &str) -> String {
    stream.write_all(bytes.as_bytes()).await.expect("written");
    let mut answer = Vec::new();
    // A reset also ends the connection.
    drop(within("the end of a connection", stream.read_to_end(&mut answer)).await);
    String::from_utf8_lossy(&answer).into_owned()
}

/// A host with other limits for clients.
async fn host_with(change: impl FnOnce(&mut hookwright::config::http::HttpSettings)) -> TestHost {
    let mut options = Options::default();
    change(&mut options.limits.http);
    TestHost::with(options).await
}

async fn status_at(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let answer =
        said(&mut stream, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\n\r\n")).await;
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[test]
fn a_certificate_is_read_again_without_a_restart() {
    run(async {
        let data = data_directory();
        let file = |name: &str| data.path().join(name);
        let authority = Authority::new();
        let write = |identity: &Identity| {
            std::fs::write(file("tls.crt"), &identity.certificate).expect("written");
            std::fs::write(file("tls.key"), &identity.key).expect("written");
        };
        let (first, second) = (authority.server(&["127.0.0.1"]), authority.server(&["127.0.0.1"]));
        write(&first);
        let config = format!("[tls]\ncertificate_file = {:?}\nkey_file = {:?}\n", file("tls.crt"), file("tls.key"));
        std::fs::write(file("config.toml"), config).expect("written");
        let config = file("config.toml");
        let host = Process::serve_under(&file("data"), &[], &[("HOOKWRIGHT_CONFIG", config.to_str().expect("a path"))]).await;
        let pem = |stream: &tokio_rustls::client::TlsStream<TcpStream>| {
            use base64::{Engine, prelude::BASE64_STANDARD};
            BASE64_STANDARD.encode(stream.get_ref().1.peer_certificates().expect("a certificate")[0].as_ref())
        };
        let is = |shown: &str, identity: &Identity| {
            identity.certificate.lines().filter(|line| !line.starts_with('-')).collect::<String>() == shown
        };
        // Both protocols work, and the encrypted answer has HSTS.
        let mut old = authority.connect(host.address, &["http/1.1"]).await.expect("a handshake");
        let h2 = authority.connect(host.address, &["h2", "http/1.1"]).await.expect("a handshake");
        assert_eq!((old.get_ref().1.alpn_protocol(), h2.get_ref().1.alpn_protocol()), (Some(&b"http/1.1"[..]), Some(&b"h2"[..])));
        assert!(is(&pem(&old), &first));
        let mut ask = async || {
            old.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("written");
            let mut answer = [0; 4096];
            let length = within("an answer", old.read(&mut answer)).await.expect("read");
            String::from_utf8_lossy(&answer[..length]).into_owned()
        };
        let answer = ask().await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("strict-transport-security: max-age=31536000"), "{answer}");
        // The files change: new connections get the new certificate, the old connection continues.
        write(&second);
        let shown = || async {
            let stream = authority.connect(host.address, &["h2"]).await.ok()?;
            Some(pem(&stream)).filter(|shown| is(shown, &second))
        };
        eventually("the second certificate", shown).await;
        assert!(ask().await.starts_with("HTTP/1.1 200"));
        // Unusable files leave the old certificate in place and are reported; SIGHUP makes the host read the files at once.
        std::fs::write(file("tls.crt"), "nothing").expect("written");
        signal(host.id(), "HUP");
        eventually("the complaint", || async { host.log().contains("the one before goes on").then_some(()) }).await;
        assert!(is(&pem(&authority.connect(host.address, &["h2"]).await.expect("a handshake")), &second));
        write(&first);
        signal(host.id(), "HUP");
        let shown = || async {
            let stream = authority.connect(host.address, &["h2"]).await.ok()?;
            Some(pem(&stream)).filter(|shown| is(shown, &first))
        };
        eventually("the first certificate", shown).await;
        assert!(host.terminate().await.success());
        // A start with files that do not belong together names them.
        std::fs::write(file("tls.key"), &second.key).expect("written");
        let data = file("data");
        let arguments =
            ["serve", "--listen", "127.0.0.1:0", "--config", config.to_str().expect("a path"), "--data", data.to_str().expect("a path")];
        let refused = finish(&mut hookwright(&arguments)).await;
        assert!(refused.stderr.contains("`tls`: the certificate and its key"), "{}", refused.stderr);
    });
}

#[test]
fn administrators_can_have_a_listener_of_their_own() {
    run(async {
        let data = data_directory();
        let environment = [("HOOKWRIGHT_ADMIN_LISTEN", "127.0.0.1:0"), ("HOOKWRIGHT_ADMIN_TOKEN", TOKEN)];
        let host = Process::serve_under(data.path(), &[], &environment).await;
        let found = || async {
            host.printed().iter().find_map(|line| line.strip_prefix("administrators are answered on http://")?.parse::<SocketAddr>().ok())
        };
        let admin = eventually("the line that says where", found).await;
        let client = hookwright_tests::Client::new(admin, Some(TOKEN));
        let code = client.receiver("refresh", json!({ "reply": { "message": "ok" } })).await;
        let path = format!("/api/v1/webhook/{code}");
        for (at, expected) in
            [(host.address, ["200", "200", "200", "404", "404", "404", "404"]), (admin, ["404", "200", "200", "200", "200", "200", "200"])]
        {
            let mut statuses = Vec::new();
            for path in [&*path, "/healthz", "/readyz", "/v1/webhooks", "/openapi.json", "/metrics", "/portal/sharing/rest"] {
                statuses.push(status_at(at, path).await);
            }
            assert_eq!(statuses, expected, "{at}");
        }
    });
}

#[test]
fn an_address_has_so_many_connections_and_another_is_served() {
    run(async {
        let host = host_with(|http| http.connections_per_address_max = 4).await;
        let from = async |address: &str| {
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.bind(format!("{address}:0").parse().expect("an address")).expect("bound");
            socket.connect(host.address()).await.expect("a connection")
        };
        let health = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(from("127.0.0.3").await);
        }
        let mut beyond = from("127.0.0.3").await;
        drop(beyond.write_all(health.as_bytes()).await);
        let mut nothing = Vec::new();
        drop(within("an end", beyond.read_to_end(&mut nothing)).await);
        assert!(nothing.is_empty(), "the fifth is closed without an answer");
        assert!(said(&mut from("127.0.0.4").await, health).await.starts_with("HTTP/1.1 200"));
        drop(held);
        eventually("a place", || async { said(&mut from("127.0.0.3").await, health).await.starts_with("HTTP/1.1 200").then_some(()) })
            .await;
    });
}

#[test]
fn clients_that_take_their_time_are_left() {
    run(async {
        let host = host_with(|http| {
            for time_max in [&mut http.head_time_max, &mut http.body_time_max, &mut http.idle_time_max] {
                *time_max = Duration::from_secs(1);
            }
            http.head_bytes_max = 16 * 1024;
        })
        .await;
        let connect = async || TcpStream::connect(host.address()).await.expect("a connection");
        assert_eq!(said(&mut connect().await, "").await, "", "nothing was asked");
        assert_eq!(said(&mut connect().await, "PRI * HTT").await, "", "not even which protocol");
        let slow = said(&mut connect().await, "GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: ").await;
        assert!(slow.is_empty() || slow.starts_with("HTTP/1.1 408"), "{slow}");
        let idle = said(&mut connect().await, "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(idle.starts_with("HTTP/1.1 200"), "served, then closed: {idle}");
        let head = format!("POST /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: 100\r\n\r\n{{");
        let body = said(&mut connect().await, &head).await;
        assert!(body.starts_with("HTTP/1.1 400") && body.contains("did not arrive within 1 seconds"), "{body}");
        let large =
            said(&mut connect().await, &format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx-large: {}\r\n\r\n", "x".repeat(32 * 1024))).await;
        assert!(large.is_empty() || large.starts_with("HTTP/1.1 431"), "{large}");
        // An HTTP/2 connection without a request.
        let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0";
        said(&mut connect().await, preface).await;
        assert_eq!(host.client.with_token(None).get("/healthz").await.0, 200);
    });
}

#[test]
fn only_a_trusted_proxy_says_who_calls() {
    run(async {
        for (trusted, seen) in [(None, "127.0.0.1"), (Some("127.0.0.0/8"), "198.51.100.7")] {
            let host =
                host_with(|http| http.trusted_proxies = trusted.into_iter().map(|network| network.parse().expect("a network")).collect())
                    .await;
            let code = host.client.receiver("refresh", json!({ "reply": { "message": "ok" } })).await;
            let path = format!("/api/v1/webhook/{code}");
            let headers = [("x-forwarded-for", "203.0.113.9, 198.51.100.7"), ("x-forwarded-proto", "https")];
            assert_eq!(host.client.with_token(None).send(Method::GET, &path, &headers, "").await.status, 200);
            assert_eq!(host.client.last_call("refresh").await["request"]["remote_address"], seen);
            let listed = host.client.send(Method::GET, "/v1/receivers/refresh/codes", &headers, "").await.json();
            let url = listed["data"][0]["url"].as_str().expect("a URL").to_owned();
            assert_eq!(url.starts_with("https://"), trusted.is_some(), "{url}");
        }
    });
}

#[test]
fn browsers_are_kept_out_unless_their_origin_is_listed() {
    run(async {
        let host = host_with(|http| http.cors_origins = vec!["https://console.example".to_owned()]).await;
        let preflight = async |origin: &str| {
            let headers =
                [("origin", origin), ("access-control-request-method", "PUT"), ("access-control-request-headers", "authorization")];
            host.client.with_token(None).send(Method::OPTIONS, "/v1/webhooks/x", &headers, "").await
        };
        let (listed, other) = (preflight("https://console.example").await, preflight("https://evil.example").await);
        assert_eq!((listed.status, listed.header("access-control-allow-origin")), (204, "https://console.example"));
        assert!(
            listed.header("access-control-allow-methods").contains("PUT")
                && !listed.headers.contains_key("access-control-allow-credentials")
        );
        assert_eq!((other.status, other.header("access-control-allow-origin")), (405, ""));
        let asked = host.client.send(Method::GET, "/v1/webhooks", &[("origin", "https://console.example")], "").await;
        assert_eq!((asked.header("access-control-allow-origin"), asked.header("vary")), ("https://console.example", "origin"));
        let closed = TestHost::start().await;
        let asked = closed.client.send(Method::GET, "/v1/webhooks", &[("origin", "https://console.example")], "").await;
        assert!(!asked.headers.contains_key("access-control-allow-origin"), "closed by default");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(asked.header(name), value, "{name}");
        }
        assert!(!asked.headers.contains_key("strict-transport-security"), "it is not encrypted");
    });
}

#[test]
fn long_answers_are_compressed_for_those_who_take_it() {
    run(async {
        let host = TestHost::start().await;
        let get = async |path: &str, encoding: &str| host.client.send(Method::GET, path, &[("accept-encoding", encoding)], "").await;
        let (plain, small) = (get("/openapi.json", "br").await, get("/openapi.json", "br, gzip").await);
        assert_eq!((plain.header("content-encoding"), small.header("content-encoding")), ("", "gzip"));
        assert!(small.body.len() * 4 < plain.body.len() && small.header("vary").contains("accept-encoding"), "{}", small.body.len());
        let mut opened = Vec::new();
        flate2::read::GzDecoder::new(&small.body[..]).read_to_end(&mut opened).expect("gzip");
        assert_eq!(opened, plain.body);
        assert_eq!(get("/healthz", "gzip").await.header("content-encoding"), "", "too short to gain");
    });
}
