use super::*;

fn blocked(address: &str) -> bool {
    not_public(address.parse().unwrap()).is_some()
}

#[test]
fn what_is_not_public_is_refused() {
    // Svix' unit tests, then the edges of each network.
    let svix = "10.254.0.0 192.168.10.65 172.16.10.65 0.1.2.3 127.254.254.254 169.254.45.1 100.100.0.0 192.88.99.3 198.18.0.0 \
        240.240.240.240 ::ffff:127.0.0.1 febf:ffff::dead:beef 64:ff9b::808:808";
    let edges = "0.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 127.0.0.1 169.254.169.254 172.31.255.255 192.0.0.255 192.0.2.1 \
        192.168.0.0 198.19.255.255 198.51.100.7 203.0.113.255 224.0.0.1 239.255.255.255 255.255.255.255 \
        :: ::1 ::7f00:1 ::ffff:10.0.0.1 ::ffff:0:127.0.0.1 64:ff9b:1::1 100::1 2001::1 2001:0:ffff::1 2001:db8::1 2002:808:808::1 3fff:fff::1 5f00::1 \
        fc00::1 fdff::1 fe80::1 fec0::1 ff02::1";
    for address in svix.split_whitespace().chain(edges.split_whitespace()) {
        assert!(blocked(address), "{address}");
    }
    for address in "1.1.1.1 8.8.8.8 2001:4860:4860::8888 ::ffff:8.8.8.8 100.63.255.255 100.128.0.0 172.15.255.255 172.32.0.0 \
        192.0.1.0 198.17.255.255 198.20.0.0 223.255.255.255 2001:1::1 2003::1 fbff::1 2606:4700::1111"
        .split_whitespace()
    {
        assert!(!blocked(address), "{address}");
    }
}

fn policy(networks: &[&str]) -> AddressPolicy {
    AddressPolicy::new(networks.iter().map(|network| network.parse().unwrap()).collect(), Arc::default())
}

fn admit(networks: &[&str], plain: bool, addresses: &[&str]) -> Result<Vec<String>, String> {
    let addresses: Vec<_> = addresses.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 443)).collect();
    let to = Destination { host: "svc.example", plain, to_code: false };
    match policy(networks).admit(to, &addresses) {
        Ok(admitted) => Ok(admitted.iter().map(|address| address.ip().to_string()).collect()),
        Err(problem) => Err(problem.to_string()),
    }
}

#[test]
fn bad_addresses_are_dropped_and_the_good_ones_called() {
    assert_eq!(admit(&[], false, &["127.0.0.1", "8.8.8.8", "fe80::1"]), Ok(vec!["8.8.8.8".into()]));
    assert_eq!(
        admit(&[], false, &["10.1.2.3", "fe80::1"]),
        Err("`svc.example` is at 10.1.2.3, which is not a public address (private): HOOKWRIGHT_ALLOW_NETWORKS can open its network, or `hookwright serve --allow-network 10.1.2.3/32`".into())
    );
    assert_eq!(admit(&[], false, &[]), Ok(vec![]));
}

#[test]
fn networks_open_what_they_name() {
    assert_eq!(admit(&["10.1.0.0/16"], false, &["10.1.2.3", "10.2.0.1"]), Ok(vec!["10.1.2.3".into()]));
    assert_eq!(admit(&["10.1.0.0/16"], false, &["::ffff:10.1.2.3"]), Ok(vec!["::ffff:10.1.2.3".into()]));
    assert!(admit(&["::1/128"], false, &["127.0.0.1"]).is_err());
}

#[test]
fn plain_http_goes_to_named_networks_only() {
    assert_eq!(admit(&["10.0.0.0/8"], true, &["8.8.8.8", "10.0.0.1"]), Ok(vec!["10.0.0.1".into()]));
    assert_eq!(
        admit(&["10.0.0.0/8"], true, &["8.8.8.8"]),
        Err("`svc.example` is at 8.8.8.8, which plain `http` may not call: use `https`, or open its network by HOOKWRIGHT_ALLOW_NETWORKS or `hookwright serve --allow-network 8.8.8.8/32`"
            .into())
    );
}

#[test]
fn our_own_listeners_answer_codes_only() {
    let own = Arc::new(OwnListeners::default());
    own.add("127.0.0.1:443".parse().unwrap());
    let policy = AddressPolicy::new(vec!["127.0.0.0/8".parse().unwrap()], own);
    let address = "127.0.0.1:443".parse().unwrap();
    let to = |to_code| policy.admit(Destination { host: "localhost", plain: true, to_code }, &[address]);
    assert_eq!(to(true), Ok(vec![address]));
    assert_eq!(to(false), Err(AddressProblem::Own { host: "localhost".into(), address }));
}

#[test]
fn a_url_is_checked_when_written() {
    let check = |networks: &[&str], url: &str| policy(networks).check_url(url);
    assert_eq!(check(&[], "https://svc.example/h?f=$session.params.fruit&sig=x%2B"), Ok(()));
    assert_eq!(check(&[], "http://svc.example/"), Err(AddressProblem::PlainHttp));
    assert_eq!(check(&["127.0.0.0/8"], "http://svc.example/"), Ok(()));
    assert_eq!(check(&[], "ftp://svc.example/"), Err(AddressProblem::Scheme("ftp".into())));
    assert_eq!(check(&[], "file:///etc/passwd"), Err(AddressProblem::Scheme("file".into())));
    assert_eq!(check(&[], "https://ada@svc.example/"), Err(AddressProblem::UserInfo));
    assert_eq!(check(&[], "https://:pw@svc.example/"), Err(AddressProblem::UserInfo));
    assert_eq!(check(&[], "https://1:2@[::1]:9876"), Err(AddressProblem::UserInfo));
    assert_eq!(check(&[], "https://svc.example/#top"), Err(AddressProblem::Fragment));
    assert!(matches!(check(&[], "https://"), Err(AddressProblem::NotAUrl(_))));
    assert!(matches!(check(&[], "/path"), Err(AddressProblem::NotAUrl(_))));
    let shown = check(&[], "https://ada:hunter2@svc.example/?sig=s3cret").unwrap_err().to_string();
    assert!(!shown.contains("hunter2") && !shown.contains("s3cret"));
}

#[test]
fn hosts_that_are_addresses_are_seen_through() {
    for (url, address) in [
        ("https://[::1]:9876", "::1"),
        ("https://@[::1]:9876", "::1"),
        ("https://2130706433/", "127.0.0.1"),
        ("https://0x7f.1/", "127.0.0.1"),
        ("https://0177.0.0.1/", "127.0.0.1"),
        ("https://127.1./", "127.0.0.1"),
        ("https://１２７.0.0.1/", "127.0.0.1"),
        ("https://[::ffff:7f00:1]/", "::ffff:127.0.0.1"),
    ] {
        let url = Url::parse(url).unwrap();
        assert_eq!(literal(url.host_str().unwrap()), Some(address.parse().unwrap()), "{url}");
    }
    assert_eq!(literal("[fe80::1%25eth0]"), Some("fe80::1".parse().unwrap()));
    assert_eq!(literal("svc.example"), None);
}

#[test]
fn names_have_host_and_port_and_nothing_else() {
    let name = |url: &str| name_of(&Url::parse(url).unwrap());
    assert_eq!(name("https://u:p@svc.example/x?sig=1"), "svc.example");
    assert_eq!(name("https://svc.example:8443"), "svc.example:8443");
    assert_eq!(name("http://[::1]:80/"), "[::1]");
}
