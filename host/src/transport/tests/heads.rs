//! Heads that are HTTP, if not as one would write them; codings of bodies.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};

use super::*;

/// An answer to one request whose head has these lines.
async fn answered(lines: &str) -> Result<Answer, Failure> {
    let (address, _server) = once(format!("HTTP/1.1 200 OK\r\n{lines}content-length: 2\r\n\r\nok")).await;
    transport().send(get(&format!("http://{address}/"))).await
}

#[tokio::test]
async fn a_head_is_read_as_leniently_as_a_user_agent_may() {
    for (lines, expected) in [
        ("x-a: a;\r\n\tb\r\n", "a; b"),
        ("x-a:\r\n b\r\n", "b"),
        ("x-a: a\r\n  b \r\n\t c\r\n", "a b c"),
        ("x-a : b\r\n", "b"),
        ("x-a\t: b\r\nx-b: c\r\n", "b"),
        ("x-b: c\x01d\r\nx-a: b\r\n", "b"),
        ("no field at all\r\nx-a: b\r\n", "b"),
        ("x-a: \u{e9}\r\n", "\u{e9}"),
        ("x-a:b\n", "b"),
    ] {
        let answer = answered(lines).await.unwrap_or_else(|failure| panic!("{lines:?}: {}", failure.detail));
        assert_eq!((answer.status, &answer.body[..], answer.body_failure), (200, &b"ok"[..], None), "{lines:?}");
        assert_eq!(answer.headers["x-a"].as_bytes(), expected.as_bytes(), "{lines:?}");
    }
}

#[tokio::test]
async fn a_head_may_have_many_fields() {
    for count in [101, tunnel::HEAD_FIELDS_MAX - 1] {
        let lines: String = (0..count).map(|n| format!("x-{n}: v\r\n")).collect();
        let answer = answered(&lines).await.unwrap();
        assert_eq!((answer.status, answer.headers.len()), (200, count + 1));
    }
    let long = format!("x-a: {}\r\n", "x".repeat(client::HEAD_BYTES_MAX - 100));
    assert_eq!(answered(&long).await.unwrap().status, 200);
}

#[tokio::test]
async fn what_comes_before_and_after_an_answer_is_passed_over() {
    for reply in [
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;name=\"value\"\r\nok\r\n0\r\nx-trailer: a\r\n\r\n",
        "HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
    ] {
        let (address, _server) = once(reply).await;
        let answer =
            transport().send(get(&format!("http://{address}/"))).await.unwrap_or_else(|failure| panic!("{reply:?}: {}", failure.detail));
        assert_eq!((answer.status, &answer.body[..], answer.body_failure), (200, &b"ok"[..], None), "{reply:?}");
    }
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An answer in a content coding, and what was asked for it.
async fn coded(coding: &str, body: &[u8], request: impl FnOnce(&mut Outgoing)) -> (Answer, String) {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: {}\r\n\r\n", body.len());
    let (address, server) = once([head.as_bytes(), body].concat()).await;
    let mut outgoing = get(&format!("http://{address}/"));
    request(&mut outgoing);
    let answer = transport().send(outgoing).await.unwrap();
    (answer, server.await.unwrap())
}

#[tokio::test]
async fn what_is_understood_is_said_and_decoded() {
    let (answer, asked) = coded("gzip", &gzipped(b"{}"), |_| ()).await;
    assert!(asked.contains("accept-encoding: gzip, deflate\r\n"), "{asked}");
    assert_eq!((&answer.body[..], &answer.body_failure, answer.decoded), (&b"{}"[..], &None, true));
    let (_, asked) = coded("gzip", b"", |outgoing| drop(outgoing.headers.insert("accept-encoding", "identity".parse().unwrap()))).await;
    assert!(asked.contains("accept-encoding: identity\r\n") && !asked.contains("gzip"), "{asked}");
}

#[tokio::test]
async fn a_body_that_cannot_be_decoded_leaves_the_answer_an_answer() {
    let cases = [
        ("br", b"\x0b\x02\x80{}\x03".to_vec(), FailureKind::ResponseInvalid),
        ("gzip", b"{}".to_vec(), FailureKind::ResponseInvalid),
        ("gzip", gzipped(&[b'x'; 1025]), FailureKind::ResponseTooLarge),
        ("gzip", gzipped(&vec![b'x'; 1024 * 1024]), FailureKind::ResponseTooLarge),
    ];
    for (coding, body, expected) in cases {
        let (answer, _) = coded(coding, &body, |_| ()).await;
        assert_eq!((answer.status, answer.body_failure.map(|failure| failure.kind)), (200, Some(expected)), "{coding}");
        assert!(answer.body.len() <= 1024, "{}", answer.body.len());
    }
    let (answer, _) = coded("gzip", &gzipped(&[b'x'; 1024]), |_| ()).await;
    assert_eq!((answer.body.len(), answer.body_failure), (1024, None), "exactly the limit");
    let (answer, _) = coded("gzip", b"", |outgoing| outgoing.method = Method::HEAD).await;
    assert_eq!((answer.body.len(), answer.body_failure), (0, None), "a HEAD has no body to decode");
}
