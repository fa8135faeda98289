//! What comes back, and what goes out.

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-a: b\r\n\r\nhi";

#[tokio::test]
async fn an_answer_comes_back_whole() {
    let (address, server) = once(OK).await;
    let mut request = get(&format!("http://{address}/"));
    request.method = Method::POST;
    request.body = Bytes::from_static(b"{\"a\":1}");
    request.headers.insert("x-own", "1".parse().unwrap());
    // What would frame the request in two ways is left out.
    request.headers.insert("content-length", "99".parse().unwrap());
    request.headers.insert("transfer-encoding", "chunked".parse().unwrap());
    request.headers.insert("host", "other.example".parse().unwrap());
    let answer = transport().send(request).await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (200, &b"hi"[..]));
    assert_eq!(answer.headers["x-a"], "b");
    let seen = server.await.unwrap();
    assert!(seen.starts_with("POST / HTTP/1.1\r\n"), "{seen}");
    assert!(seen.ends_with("\r\n\r\n{\"a\":1}"), "{seen}");
    assert!(
        seen.contains(&format!("host: {address}\r\n")) && seen.contains("content-length: 7\r\n") && seen.contains("x-own: 1\r\n"),
        "{seen}"
    );
    assert!(!seen.contains("chunked") && !seen.contains("content-length: 99"), "{seen}");
}

#[tokio::test]
async fn an_empty_post_says_so() {
    let (address, server) = once(OK).await;
    let mut request = get(&format!("http://{address}/"));
    request.method = Method::POST;
    transport().send(request).await.unwrap();
    assert!(server.await.unwrap().contains("content-length: 0\r\n"));
}

#[tokio::test]
async fn path_and_query_go_out_byte_for_byte() {
    let transport = transport();
    for exact in ["/a%2Fb?sig=x%2B%20y&k='", "/a//b/../c/./d?%zz=%&[]={}|^~!*()", "/?", "/%e2%82%AC?a=b?c=/", "/a;b=c,d:e@f"] {
        let (address, server) = once(OK).await;
        transport.send(get(&format!("http://{address}{exact}"))).await.unwrap();
        let seen = server.await.unwrap();
        assert_eq!(seen.lines().next(), Some(format!("GET {exact} HTTP/1.1").as_str()));
    }
}

#[tokio::test]
async fn an_empty_path_is_a_slash() {
    for (given, sent) in [("", "/"), ("?f=1", "/?f=1")] {
        let (address, server) = once(OK).await;
        transport().send(get(&format!("http://{address}{given}"))).await.unwrap();
        assert_eq!(server.await.unwrap().lines().next(), Some(format!("GET {sent} HTTP/1.1").as_str()));
    }
}

#[tokio::test]
async fn what_cannot_go_out_as_it_is_is_not_changed() {
    let texts = ["/a b", "/a\r\nx: y", "/é", "/a\u{0}", "//h\u{7f}", "/<", "\\a"].map(|path| format!("http://127.0.0.1:1{path}"));
    for bad in texts.iter().map(String::as_str).chain(["http:127.0.0.1:1/", "http:///127.0.0.1:1/"]) {
        let request = get(bad);
        assert_eq!(kind(transport().send(request).await), FailureKind::RequestInvalid, "{bad:?}");
    }
}

#[tokio::test]
async fn redirects_are_answers() {
    let (target, target_task) = black_hole().await;
    let (address, _server) = once(format!("HTTP/1.1 302 Found\r\nlocation: http://{target}/\r\ncontent-length: 0\r\n\r\n")).await;
    let answer = transport().send(get(&format!("http://{address}/"))).await.unwrap();
    assert_eq!(answer.status, 302);
    assert_eq!(answer.headers["location"], format!("http://{target}/"));
    assert!(!target_task.is_finished());
}

#[tokio::test]
async fn connections_are_kept() {
    let (address, server) = server(OK, 1).await;
    let transport = transport();
    for _ in 0..3 {
        transport.send(get(&format!("http://{address}/"))).await.unwrap();
    }
    drop(transport);
    assert_eq!(server.await.unwrap()[0].len(), 3);
}

#[tokio::test]
async fn a_kept_connection_closed_meanwhile_does_no_harm() {
    let (listener, address) = listen().await;
    let server = tokio::spawn(async move {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await;
            stream.write_all(OK.as_bytes()).await.unwrap();
            // The close follows the answer unannounced.
        }
    });
    let transport = transport();
    let request = || get(&format!("http://{address}/"));
    transport.send(request()).await.unwrap();
    // Whether the pool has seen the close yet or not.
    transport.send(request()).await.unwrap();
    server.await.unwrap();
}

#[tokio::test]
async fn an_answer_too_long_is_cut_short() {
    let request = |address: SocketAddr| get(&format!("http://{address}/"));
    let (announced, _a) = once("HTTP/1.1 200 OK\r\ncontent-length: 1025\r\n\r\n").await;
    let answer = transport().send(request(announced)).await.unwrap();
    // Announced and never sent: what is wrong is that it broke off.
    assert_eq!((answer.status, answer.body_failure.map(|failure| failure.kind)), (200, Some(FailureKind::ResponseBroken)));
    // Without a length, and without an end: reading has to stop by itself.
    let (listener, endless) = listen().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    });
    let answer = transport().send(request(endless)).await.unwrap();
    let failure = answer.body_failure.expect("too long");
    assert_eq!((answer.status, answer.body.len(), failure.kind), (200, 1024, FailureKind::ResponseTooLarge));
    assert!(failure.detail.contains("response_bytes_max"), "{}", failure.detail);
    server.await.unwrap();
    let head = format!("HTTP/1.1 200 OK\r\nx-a: {}\r\n\r\n", "x".repeat(3 * client::HEAD_BYTES_MAX));
    let (long_head, _h) = once(head).await;
    assert_eq!(kind(transport().send(request(long_head)).await), FailureKind::ResponseTooLarge);
}

#[tokio::test]
async fn an_answer_of_exactly_the_limit_fits() {
    let (address, _server) = once(format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(1024))).await;
    assert_eq!(transport().send(get(&format!("http://{address}/"))).await.unwrap().body.len(), 1024);
    // The length a HEAD tells is not sent.
    let (address, _server) = once("HTTP/1.1 200 OK\r\ncontent-length: 4096\r\n\r\n").await;
    let mut head = get(&format!("http://{address}/"));
    head.method = Method::HEAD;
    assert_eq!(transport().send(head).await.unwrap().body.len(), 0);
}

#[tokio::test]
async fn a_broken_answer_is_told() {
    for (reply, expected) in [
        ("", FailureKind::NoAnswer),
        ("nonsense\r\n\r\n", FailureKind::ResponseBroken),
        ("HTTP/1.1 200 OK\r\nx-a", FailureKind::ResponseBroken),
    ] {
        let (address, _server) = once(reply).await;
        let failure = transport().send(get(&format!("http://{address}/?sig=s3cret"))).await.unwrap_err();
        assert_eq!(failure.kind, expected, "{reply:?}");
        assert!(failure.detail.contains(&address.to_string()) && !failure.detail.contains("s3cret"), "{}", failure.detail);
    }
}

#[tokio::test]
async fn an_answer_whose_body_breaks_off_is_one() {
    for (reply, body) in [
        ("HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: 10\r\n\r\nhi", "hi"),
        ("HTTP/1.1 200 OK\r\nx-a: b\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhi", ""),
        ("HTTP/1.1 200 OK\r\nx-a: b\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n", "hi"),
    ] {
        let (address, _server) = once(reply).await;
        let answer = transport().send(get(&format!("http://{address}/?sig=s3cret"))).await.unwrap();
        assert_eq!((answer.status, &answer.headers["x-a"], &answer.body[..]), (200, &"b".parse().unwrap(), body.as_bytes()), "{reply:?}");
        let failure = answer.body_failure.expect("broken off");
        assert_eq!(failure.kind, FailureKind::ResponseBroken, "{reply:?}");
        assert!(failure.detail.contains(&address.to_string()) && !failure.detail.contains("s3cret"), "{}", failure.detail);
    }
}

#[tokio::test]
async fn the_total_time_covers_the_answer_to_its_last_byte() {
    let (silent, _task) = black_hole().await;
    let mut request = get(&format!("http://{silent}/?sig=s3cret"));
    request.total_time_max = SHORT;
    let failure = transport().send(request).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Timeout);
    assert_eq!(failure.detail, format!("`{silent}` did not answer within 150ms"));
    // Head and half of the body, then nothing; the connection stays open.
    let (listener, dripping) = listen().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nh").await.unwrap();
        read_request(&mut stream).await
    });
    let mut request = get(&format!("http://{dripping}/"));
    request.total_time_max = SHORT;
    let answer = transport().send(request).await.unwrap();
    let failure = answer.body_failure.expect("late");
    assert_eq!((answer.status, &answer.body[..], failure.kind), (200, &b"h"[..], FailureKind::Timeout));
    assert_eq!(failure.detail, format!("`{dripping}` answered 200 OK, but not completely within 150ms"));
    // The connection was given up.
    assert_eq!(server.await.unwrap(), "");
}

#[tokio::test]
async fn without_time_for_an_answer_the_request_is_sent_all_the_same() {
    let handed_over = |url: &str| Outgoing { method: Method::POST, body: "{}".into(), total_time_max: Duration::ZERO, ..get(url) };
    let (address, server) = once(OK).await;
    let failure = transport().send(handed_over(&format!("http://{address}/x"))).await.unwrap_err();
    assert_eq!((failure.kind, failure.detail), (FailureKind::Timeout, format!("sent to `{address}`; no answer is waited for")));
    assert!(server.await.unwrap().ends_with("\r\n\r\n{}"));
    let (listener, refused) = listen().await;
    drop(listener);
    assert_eq!(kind(transport().send(handed_over(&format!("http://{refused}/"))).await), FailureKind::ConnectFailed);
}

#[tokio::test]
async fn an_answer_that_comes_before_the_whole_request_was_read_is_the_answer() {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.read_exact(&mut [0; 16]).await.unwrap();
            stream.write_all(b"HTTP/1.1 413 Content Too Large\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno").await.unwrap();
            // Closed with the rest unread: the client is told so by a reset.
        }
    });
    let transport = transport();
    for _ in 0..20 {
        let body = Bytes::from(vec![b'x'; 4 * 1024 * 1024]);
        let answer = transport.send(Outgoing { method: Method::POST, body, ..get(&format!("http://{address}/")) }).await.unwrap();
        assert_eq!((answer.status, &answer.body[..], answer.body_failure), (413, &b"no"[..], None));
    }
}
