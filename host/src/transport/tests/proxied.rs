//! Through a real proxy on loopback: what it is asked for, and what it is never asked for.

use std::sync::Mutex;

use super::{
    encrypted::{Authority, https},
    *,
};
use crate::model::proxy::{ProxyRule, Resolve};

const OK: &str = "HTTP/1.1 204 No Content\r\n\r\n";

/// A proxy: tunnels (`CONNECT`) and passes on (absolute form), whatever it is asked for. Names it looks up are at 127.0.0.1.
struct RealProxy {
    address: SocketAddr,
    /// The head of each request it got.
    asked: Arc<Mutex<Vec<String>>>,
}

impl RealProxy {
    async fn start() -> Self {
        let (listener, address) = listen().await;
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let seen = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, Arc::clone(&seen)));
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// What it was asked for, without headers.
    fn lines(&self) -> Vec<String> {
        self.asked().iter().filter_map(|head| Some(head.lines().next()?.to_owned())).collect()
    }

    fn rule(&self, user: &str, hosts: &[&str], resolve: Resolve) -> ProxyRule {
        let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
        ProxyRule::new(&format!("http://{user}{}", self.address), &hosts, resolve).unwrap()
    }

    fn options(&self) -> TransportOptions {
        TransportOptions { proxies: Proxies::new(vec![self.rule("ann:canary@", &[], Resolve::Host)]), ..options() }
    }

    fn transport(&self, answers: &[&[&str]]) -> Transport {
        Transport::new(TransportOptions { names: names(answers), ..self.options() }).unwrap()
    }
}

async fn pass(mut client: TcpStream, seen: Arc<Mutex<Vec<String>>>) {
    let head = read_request(&mut client).await;
    seen.lock().unwrap().push(head.clone());
    let line = head.lines().next().unwrap_or_default().to_owned();
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let authority = target.strip_prefix("http://").and_then(|rest| rest.split('/').next()).unwrap_or(target);
    let authority = authority.replace("svc.example", "127.0.0.1");
    let Ok(mut server) = TcpStream::connect(&authority).await else {
        client.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n").await.ok();
        return;
    };
    if method == "CONNECT" {
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
    } else {
        // To the server in origin form, without what is meant for the proxy.
        let (_, path) = target.split_once(&authority).unwrap();
        let lines: Vec<_> = head.lines().skip(1).filter(|line| !line.to_ascii_lowercase().starts_with("proxy-")).collect();
        server.write_all(format!("{method} {path} HTTP/1.1\r\n{}\r\n\r\n", lines.join("\r\n").trim_end()).as_bytes()).await.unwrap();
    }
    tokio::io::copy_bidirectional(&mut client, &mut server).await.ok();
}

#[tokio::test]
async fn a_proxy_is_asked_for_the_address_and_the_endpoint_for_its_name() {
    let authority = Authority::new();
    let proxy = RealProxy::start().await;
    let transport = proxy.transport(&[&["10.0.0.1", "127.0.0.1"]]);
    for (alpn, version) in [(&["http/1.1"][..], "HTTP/1.1"), (&["h2"], "HTTP/2.0")] {
        let server = https(&authority, alpn, None).await;
        let request = Outgoing { tls: authority.trusted(None), ..get(&format!("https://svc.example:{}/a%2Fb?sig=s3cret", server.port())) };
        let answer = transport.send(request).await.unwrap();
        // The certificate is for `svc.example`, so that is what was asked for inside.
        assert_eq!(&answer.body[..], format!("{version} /a%2Fb?sig=s3cret").as_bytes());
        assert_eq!(proxy.lines().last(), Some(&format!("CONNECT {server} HTTP/1.1")), "the address that may be called, and no name");
    }
    let asked = proxy.asked();
    assert!(asked.iter().all(|head| head.contains("proxy-authorization: Basic YW5uOmNhbmFyeQ==\r\n")), "{asked:?}");
    assert!(!asked.join("").contains("s3cret") && !asked.join("").contains("svc.example"), "{asked:?}");
}

#[tokio::test]
async fn plain_http_to_a_name_goes_through_a_tunnel_and_to_an_address_in_absolute_form() {
    let proxy = RealProxy::start().await;
    let transport = proxy.transport(&[&["127.0.0.1"]]);
    let (address, server) = once(OK).await;
    let mut request = get(&format!("http://svc.example:{}/x?y=%2F", address.port()));
    request.headers.insert("proxy-authorization", "Basic own".parse().unwrap());
    assert_eq!(transport.send(request).await.unwrap().status, 204);
    let seen = server.await.unwrap();
    let host = format!("host: svc.example:{}\r\n", address.port());
    assert!(seen.starts_with("GET /x?y=%2F HTTP/1.1\r\n") && seen.contains(&host), "{seen}");
    assert!(!seen.to_lowercase().contains("proxy-"), "what the proxy is shown is its own: {seen}");
    assert_eq!(proxy.lines(), [format!("CONNECT {address} HTTP/1.1")]);

    let (address, server) = once(OK).await;
    assert_eq!(transport.send(get(&format!("http://{address}/x?y=%2F"))).await.unwrap().status, 204);
    let seen = server.await.unwrap();
    assert!(seen.starts_with("GET /x?y=%2F HTTP/1.1\r\n") && seen.contains(&format!("host: {address}\r\n")), "{seen}");
    let asked = proxy.asked().pop().unwrap();
    assert!(asked.starts_with(&format!("GET http://{address}/x?y=%2F HTTP/1.1\r\n")), "{asked}");
    assert!(asked.contains("proxy-authorization: Basic YW5uOmNhbmFyeQ==\r\n"), "{asked}");
}

#[tokio::test]
async fn what_may_not_be_called_no_proxy_is_asked_for() {
    let proxy = RealProxy::start().await;
    let transport = proxy.transport(&[&["169.254.169.254", "10.0.0.1", "::ffff:192.168.0.1"]]);
    let pinned = Outgoing { pinned: Some("10.0.0.7:443".parse().unwrap()), ..get("https://svc.example/") };
    let literal = forged::refused_urls().into_iter().map(|url| get(&url));
    for request in literal.chain([get("https://svc.example/"), get("http://svc.example/"), pinned]) {
        let url = request.exact_url.clone();
        assert_eq!(kind(transport.send(request).await), FailureKind::AddressRefused, "{url}");
    }
    let own = proxy.options();
    own.own.add("127.0.0.1:8400".parse().unwrap());
    let transport = Transport::new(own).unwrap();
    for url in ["http://127.0.0.1:8400/v1/tokens", "https://127.0.0.1:8400/", "http://127.0.0.1:8400/api/v1/webhook/../../../v1/tokens"] {
        let failure = transport.send(get(url)).await.unwrap_err();
        assert!(failure.kind == FailureKind::AddressRefused && failure.detail.contains("itself listens"), "{failure:?}");
    }
    assert_eq!(proxy.asked(), [""; 0]);
}

#[tokio::test]
async fn a_name_that_changes_after_the_test_changes_nothing_for_the_proxy() {
    let proxy = RealProxy::start().await;
    // Asked again, the name leads inside. The proxy does not ask: it is given the address; and who opens another connection is refused.
    let transport = proxy.transport(&[&["127.0.0.1"], &["169.254.169.254"]]);
    let (address, _server) = once("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
    let request = || get(&format!("http://svc.example:{}/", address.port()));
    assert_eq!(transport.send(request()).await.unwrap().status, 204);
    assert_eq!(proxy.lines(), [format!("CONNECT {address} HTTP/1.1")]);
    assert_eq!(kind(transport.send(request()).await), FailureKind::AddressRefused);
    assert_eq!(proxy.lines().len(), 1);
}

#[tokio::test]
async fn a_name_is_left_to_the_proxy_only_where_the_operator_says_so() {
    let proxy = RealProxy::start().await;
    let rules = vec![proxy.rule("", &["svc.example"], Resolve::Proxy), proxy.rule("", &["169.254.169.254"], Resolve::Proxy)];
    let transport = Transport::new(TransportOptions { names: names(&[&["10.0.0.1"]]), proxies: Proxies::new(rules), ..options() }).unwrap();
    let authority = Authority::new();
    let server = https(&authority, &["http/1.1"], None).await;
    // The proxy's own address is looked up here, whatever it is: this one is an address.
    let request = Outgoing { tls: authority.trusted(None), ..get(&format!("https://svc.example:{}/", server.port())) };
    assert_eq!(transport.send(request).await.unwrap().status, 200);
    assert_eq!(proxy.lines(), [format!("CONNECT svc.example:{} HTTP/1.1", server.port())]);
    // An address is tested all the same, and plain `http` needs one.
    assert_eq!(kind(transport.send(get("https://169.254.169.254/")).await), FailureKind::AddressRefused);
    let failure = transport.send(get("http://svc.example/")).await.unwrap_err();
    assert!(failure.kind == FailureKind::AddressRefused && failure.detail.contains("resolve = \"host\""), "{failure:?}");
    // Another host has no proxy.
    assert_eq!(kind(transport.send(get("https://other.example/")).await), FailureKind::AddressRefused);
    assert_eq!(proxy.lines().len(), 1);
}

#[tokio::test]
async fn a_host_can_be_left_out() {
    let proxy = RealProxy::start().await;
    let direct = ProxyRule::new("direct", &["127.0.0.1".to_owned()], Resolve::Host).unwrap();
    let rules = Proxies::new(vec![direct, proxy.rule("", &[], Resolve::Host)]);
    let transport = Transport::new(TransportOptions { proxies: rules, ..options() }).unwrap();
    let (address, server) = once(OK).await;
    transport.send(get(&format!("http://{address}/"))).await.unwrap();
    assert!(server.await.unwrap().starts_with("GET / HTTP/1.1\r\n"));
    assert_eq!(proxy.asked(), [""; 0]);
}

#[tokio::test]
async fn what_a_proxy_refuses_is_told_and_shows_no_password() {
    for (answer, says) in [
        ("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n", "it answered 403 Forbidden"),
        ("HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n", "it answered 407 Proxy Authentication Required"),
        ("nonsense\r\n\r\n", "it gave no answer that is HTTP"),
        ("", "it gave no answer that is HTTP"),
        ("HTTP/1.1 200 OK\r\n\r\nand more", "it sent something behind its answer"),
    ] {
        let (address, _proxy) = once(answer).await;
        let rule = ProxyRule::new(&format!("http://ann:canary@{address}"), &[], Resolve::Host).unwrap();
        let transport = Transport::new(TransportOptions { proxies: Proxies::new(vec![rule]), ..options() }).unwrap();
        let failure = transport.send(get("https://127.0.0.1:9/?sig=s3cret")).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::ConnectFailed, "{failure:?}");
        let expected = format!("no connection to `127.0.0.1:9` through the proxy `{address}`: asked for 127.0.0.1:9, {says}");
        assert!(failure.detail.starts_with(&expected), "{}", failure.detail);
        assert!(!failure.detail.contains("canary") && !failure.detail.contains("s3cret"), "{}", failure.detail);
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_told() {
    let (listener, address) = listen().await;
    drop(listener);
    let to = |url: &str| {
        let rule = ProxyRule::new(url, &[], Resolve::Host).unwrap();
        Transport::new(TransportOptions { proxies: Proxies::new(vec![rule]), connect_time_max: SHORT, ..options() }).unwrap()
    };
    let failure = to(&format!("http://{address}")).send(get("https://127.0.0.1:9/")).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::ConnectFailed);
    assert!(failure.detail.starts_with(&format!("no connection to the proxy `{address}`: ")), "{}", failure.detail);
    let failure = to("http://proxy.invalid:3128").send(get("https://127.0.0.1:9/")).await.unwrap_err();
    assert!(failure.detail.starts_with("the proxy `proxy.invalid:3128` is not found: "), "{}", failure.detail);
    let (silent, _task) = black_hole().await;
    let failure = to(&format!("http://{silent}")).send(get("https://127.0.0.1:9/")).await.unwrap_err();
    assert_eq!(
        (failure.kind, failure.detail),
        (FailureKind::ConnectTimeout, format!("no connection to `127.0.0.1:9` through the proxy `{silent}` within 150ms"))
    );
}

#[tokio::test]
async fn the_next_address_is_tried_where_a_proxy_cannot_reach_the_first() {
    let proxy = RealProxy::start().await;
    let (address, _server) = once(OK).await;
    // Nothing listens at the first, nor at the other side of the proxy.
    let transport = proxy.transport(&[&["127.0.0.77", "127.0.0.1"]]);
    assert_eq!(transport.send(get(&format!("http://svc.example:{}/", address.port()))).await.unwrap().status, 204);
    assert_eq!(proxy.lines(), [format!("CONNECT 127.0.0.77:{} HTTP/1.1", address.port()), format!("CONNECT {address} HTTP/1.1")]);
}

#[tokio::test]
async fn a_probe_says_that_it_goes_through_a_proxy() {
    let proxy = RealProxy::start().await;
    let (address, _server) = server("HTTP/1.1 204 No Content\r\n\r\n", 2).await;
    let url = format!("http://svc.example:{}/", address.port());
    let probe = proxy.transport(&[&["127.0.0.1"]]).probe(&url.parse().unwrap(), &url, None, None).await;
    assert_eq!(probe.status, Some(204), "{probe:?}");
    assert_eq!(probe.steps[2].detail, format!("to {0}, which is the proxy `{0}`", proxy.address));
}
