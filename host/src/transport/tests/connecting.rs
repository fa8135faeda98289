//! Names, addresses, connections that come about or do not.

use futures::{FutureExt, future::pending};
use tokio::net::TcpSocket;

use super::*;

const OK: &str = "HTTP/1.1 204 No Content\r\n\r\n";

fn resolving(answers: &[&[&str]]) -> Transport {
    Transport::new(TransportOptions { names: names(answers), ..options() }).unwrap()
}

#[tokio::test]
async fn a_name_is_called_at_the_addresses_that_were_tested() {
    let (address, _server) = once(OK).await;
    let transport = resolving(&[&["10.0.0.1", "fe80::1", "127.0.0.1"]]);
    assert_eq!(transport.send(get(&format!("http://svc.example:{}/", address.port()))).await.unwrap().status, 204);
}

#[tokio::test]
async fn a_name_that_moves_inside_is_refused() {
    let (address, _server) = once("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
    let transport = resolving(&[&["127.0.0.1"], &["169.254.169.254"]]);
    let request = || get(&format!("http://svc.example:{}/?sig=s3cret", address.port()));
    transport.send(request()).await.unwrap();
    let failure = transport.send(request()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::AddressRefused);
    assert_eq!(
        failure.detail,
        "`svc.example` is at 169.254.169.254, which is not a public address (link-local): HOOKWRIGHT_ALLOW_NETWORKS can open its network, or `hookwright serve --allow-network 169.254.169.254/32`"
    );
}

#[tokio::test]
async fn literal_addresses_are_tested_too() {
    for url in ["http://10.0.0.1/", "https://[::1]/", "https://0x0a000001/", "https://[::ffff:10.0.0.1]/", "https://169.254.169.254/"] {
        assert_eq!(kind(transport().send(get(url)).await), FailureKind::AddressRefused, "{url}");
    }
    // Public, but plain.
    assert_eq!(kind(transport().send(get("http://1.1.1.1/")).await), FailureKind::AddressRefused);
}

#[tokio::test]
async fn an_address_that_was_written_for_a_name_is_tested_like_any_other() {
    let (address, _server) = once(OK).await;
    let pinned = |address: &str| Outgoing { pinned: Some(address.parse().unwrap()), ..get("http://svc.example/") };
    let transport = resolving(&[&["10.0.0.1"]]);
    assert_eq!(transport.send(pinned(&address.to_string())).await.unwrap().status, 204);
    for address in ["10.0.0.7:80", "192.168.1.1:80", "100.64.0.1:80", "169.254.169.254:80", "[fd00::7]:80", "[::ffff:10.0.0.7]:80"] {
        let request =
            Outgoing { url: "https://svc.example/".parse().unwrap(), exact_url: "https://svc.example/".to_owned(), ..pinned(address) };
        assert_eq!(kind(transport.send(request).await), FailureKind::AddressRefused, "{address}");
        assert_eq!(kind(transport.send(pinned(address)).await), FailureKind::AddressRefused, "{address}");
    }
}

#[tokio::test]
async fn nothing_is_open_by_default() {
    let (address, server) = once(OK).await;
    let closed = Transport::new(TransportOptions::default()).unwrap();
    for url in [format!("http://{address}/"), format!("https://{address}/"), format!("https://localhost:{}/", address.port())] {
        let failure = closed.send(get(&url)).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::AddressRefused, "{url}");
        assert!(failure.detail.contains("HOOKWRIGHT_ALLOW_NETWORKS"), "{}", failure.detail);
    }
    assert!(!server.is_finished());
}

#[tokio::test]
async fn bad_urls_are_invalid_rather_than_refused() {
    for url in ["ftp://127.0.0.1/", "http://ada:pw@127.0.0.1/", "http://127.0.0.1/#top"] {
        assert_eq!(kind(transport().send(get(url)).await), FailureKind::RequestInvalid, "{url}");
    }
}

#[tokio::test]
async fn our_own_listeners_are_asked_for_codes_only() {
    let (address, server) = server(OK, 1).await;
    let options = options();
    options.own.add(SocketAddr::new("0.0.0.0".parse().unwrap(), address.port()));
    let transport = Transport::new(options).unwrap();
    let to = |path: &str| get(&format!("http://{address}{path}"));
    assert_eq!(transport.send(to("/api/v1/WebHook/ABC?k=v")).await.unwrap().status, 204);
    // The connection to the code is kept, and must not be used for this.
    for path in ["/v1/webhooks", "/v1/events?x=/api/v1/webhook/ABC", "/api/v1/webhook/%2e%2e/%2e%2e/%2e%2e/v1/tokens"] {
        assert_eq!(kind(transport.send(to(path)).await), FailureKind::AddressRefused, "{path}");
    }
    assert_eq!(transport.send(to("/base/api/v1/webhook/ABC")).await.unwrap().status, 204);
    drop(transport);
    assert_eq!(server.await.unwrap()[0].len(), 2);
}

#[tokio::test]
async fn our_own_codes_are_known_by_any_name() {
    let options = TransportOptions { names: names(&[&["127.0.0.1"]]), ..options() };
    options.own.add("127.0.0.1:8400".parse().unwrap());
    let transport = Transport::new(options).unwrap();
    for (url, own) in [
        ("http://svc.example:8400/api/v1/webhook/ABC", true),
        ("http://127.0.0.1:8400/api/v1/webhook/ABC", true),
        ("http://127.0.0.1:8400/v1/events", false),
        ("http://127.0.0.2:8400/api/v1/webhook/ABC", false),
        ("http://svc.example/api/v1/webhook/ABC", false),
    ] {
        assert_eq!(transport.is_own(&url.parse().unwrap()).await, own, "{url}");
    }
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_told() {
    let nowhere = resolving(&[&[]]).send(get("https://svc.example/?sig=s3cret")).await.unwrap_err();
    assert_eq!(
        (nowhere.kind, nowhere.detail.as_str()),
        (FailureKind::NameNotResolved, "the name `svc.example` does not resolve: it has no address")
    );
    // RFC 6761: `invalid` resolves nowhere.
    assert_eq!(kind(transport().send(get("https://svc.invalid/")).await), FailureKind::NameNotResolved);
}

#[tokio::test]
async fn a_silent_resolver_is_not_waited_for() {
    let silent = Names::Given(Arc::new(|_| pending().boxed()));
    let transport = Transport::new(TransportOptions { names: silent, dns_time_max: SHORT, ..options() }).unwrap();
    let failure = transport.send(get("https://svc.example/")).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::NameNotResolved);
    assert!(failure.detail.contains("150ms"), "{}", failure.detail);
}

#[tokio::test]
async fn a_refused_port_is_told() {
    let (listener, address) = listen().await;
    drop(listener);
    let failure = transport().send(get(&format!("http://{address}/?sig=s3cret"))).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::ConnectFailed);
    assert!(
        failure.detail.starts_with(&format!("no connection to `{address}`: ")) && !failure.detail.contains("s3cret"),
        "{}",
        failure.detail
    );
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_is_given_up() {
    // A queue of waiting connections that is full and never served: the system drops what else would join it.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    for _ in 0..8 {
        let mut connecting = Box::pin(TcpStream::connect(address));
        // The first poll sends the first packet.
        let _ = futures::poll!(connecting.as_mut());
        waiting.push(connecting);
    }
    let transport = Transport::new(TransportOptions { connect_time_max: SHORT, ..options() }).unwrap();
    let failure = transport.send(get(&format!("http://{address}/"))).await.unwrap_err();
    assert_eq!((failure.kind, failure.detail), (FailureKind::ConnectTimeout, format!("no connection to `{address}` within 150ms")));
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_given_up() {
    let (address, _task) = black_hole().await;
    let transport = Transport::new(TransportOptions { connect_time_max: SHORT, ..options() }).unwrap();
    let failure = transport.send(get(&format!("https://{address}/"))).await.unwrap_err();
    assert_eq!((failure.kind, failure.detail), (FailureKind::ConnectTimeout, format!("no TLS handshake with `{address}` within 150ms")));
}
