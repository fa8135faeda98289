//! Addresses in every dress: whatever a URL, a name or a redirect says, what is not public is not dialled.

use super::*;

/// One address of every network a sender leaves alone: what Svix and Smokescreen refuse (see `address::NOT_PUBLIC`).
const REFUSED: [&str; 38] = [
    "0.0.0.0",
    "0.255.255.255",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "3fff::1",
    "5f00::1",
    "fd00::7",
    "fe80::1",
    "ff02::1",
];

/// URLs that lead there, written plainly and in disguise. None of them is at 127.0.0.0/8, which the tests' own policy opens.
pub(super) fn refused_urls() -> Vec<String> {
    let plainly = REFUSED.iter().map(|address| address.parse::<IpAddr>().unwrap()).filter(|address| !address.to_canonical().is_loopback());
    let plainly = plainly.flat_map(|address| {
        let host = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
        [format!("https://{host}/"), format!("http://{host}/")]
    });
    // `0`, decimal, hexadecimal, octal and short forms, full-width digits, trailing dots, an address inside an address.
    let disguised = [
        "https://0/",
        "https://0x0/",
        "https://00000000000/",
        "https://167772161/",
        "https://0x0a000001/",
        "https://0xA.0.0.1/",
        "https://012.0.0.1/",
        "https://10.1/",
        "https://10.0.0.1./",
        "https://１０.0.0.1/",
        "https://2852039166/",
        "https://0xa9fea9fe/",
        "https://169.254.43518/",
        "https://0251.0376.0251.0376/",
        "https://[::ffff:a00:1]/",
        "https://[0:0:0:0:0:ffff:10.0.0.1]/",
        "https://[::10.0.0.1]/",
        "https://[64:ff9b::10.0.0.1]/",
    ];
    plainly.chain(disguised.map(str::to_owned)).collect()
}

/// Opens nothing and calls nobody.
fn closed(names: Names) -> Transport {
    Transport::new(TransportOptions { names, ..TransportOptions::default() }).unwrap()
}

#[tokio::test]
async fn every_address_that_is_not_public_is_refused_in_every_form() {
    let transport = closed(Names::System);
    let loopback = ["2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "127.0.0.1.", "[::1]", "[::ffff:7f00:1]", "localhost"];
    let loopback = loopback.map(|host| format!("https://{host}/"));
    for url in refused_urls().into_iter().filter(|url| url.starts_with("https")).chain(loopback) {
        let failure = transport.send(get(&url)).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::AddressRefused, "{url}: {}", failure.detail);
        assert!(failure.detail.contains("is not a public address"), "{url}: {}", failure.detail);
    }
}

#[tokio::test]
async fn a_name_is_refused_at_each_of_them_and_called_at_its_other_address() {
    for refused in REFUSED {
        let failure = closed(names(&[&[refused]])).send(get("https://svc.example/")).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::AddressRefused, "{refused}");
        assert!(failure.detail.starts_with("`svc.example` is at "), "{}", failure.detail);
        // Of two addresses the one that may be called is called, whichever comes first.
        if refused.parse::<IpAddr>().unwrap().to_canonical().is_loopback() {
            continue;
        }
        for answer in [[refused, "127.0.0.1"], ["127.0.0.1", refused]] {
            let (address, _server) = once("HTTP/1.1 204 No Content\r\n\r\n").await;
            let transport = Transport::new(TransportOptions { names: names(&[&answer]), ..options() }).unwrap();
            let answer = transport.send(get(&format!("http://svc.example:{}/", address.port()))).await.unwrap();
            assert_eq!(answer.status, 204, "{refused}");
        }
    }
}

#[tokio::test]
async fn a_user_name_fools_nobody_about_the_host() {
    let transport = closed(Names::System);
    for url in [
        "https://public.example@10.0.0.1/",
        "https://public.example:443@[::1]:9876/",
        "https://1:2@[::1]:9876/",
        "https://public.example%2F@10.0.0.1/",
        "https://10.0.0.1@public.example/",
    ] {
        assert_eq!(kind(transport.send(get(url)).await), FailureKind::RequestInvalid, "{url}");
    }
    // The URL parser ignores an empty user name: the address is what is tested.
    assert_eq!(kind(transport.send(get("https://@[::1]:9876/")).await), FailureKind::AddressRefused);
    // The path may look like a host.
    let (address, server) = once("HTTP/1.1 204 No Content\r\n\r\n").await;
    super::transport().send(get(&format!("http://{address}/@10.0.0.1/"))).await.unwrap();
    assert!(server.await.unwrap().starts_with("GET /@10.0.0.1/ HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_name_that_changes_between_the_test_and_the_connection_is_asked_once() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let names = Names::Given(Arc::new(move |_| {
        let answer = if counted.fetch_add(1, Ordering::Relaxed) == 0 { "127.0.0.1" } else { "169.254.169.254" };
        async move { Ok(vec![answer.parse().unwrap()]) }.boxed()
    }));
    let (address, _server) = once("HTTP/1.1 204 No Content\r\n\r\n").await;
    let transport = Transport::new(TransportOptions { names, ..options() }).unwrap();
    assert_eq!(transport.send(get(&format!("http://svc.example:{}/", address.port()))).await.unwrap().status, 204);
    assert_eq!(asked.load(Ordering::Relaxed), 1, "what was tested is what was dialled");
}

#[tokio::test]
async fn a_redirect_to_a_private_address_is_an_answer_and_leads_nowhere() {
    for status in ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let (listener, inside) = listen().await;
        let (address, _server) = once(format!(
            "HTTP/1.1 {status}\r\nlocation: http://{inside}/\r\nrefresh: 0; url=http://{inside}/\r\ncontent-length: 0\r\n\r\n"
        ))
        .await;
        let answer = transport().send(get(&format!("http://{address}/"))).await.unwrap();
        assert_eq!(answer.status.to_string(), status[..3]);
        assert!(listener.accept().now_or_never().is_none(), "nobody came");
    }
}
