//! What is sent again at once, and what is not.

use std::sync::Mutex;

use super::{
    encrypted::{Authority, acceptor, to},
    *,
};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Answers on each connection as many requests as its script says, and then takes one more and closes without a byte. Counts the
/// requests of each connection; connections beyond the script answer everything.
async fn closing(script: &'static [usize]) -> (SocketAddr, Arc<Mutex<Vec<usize>>>) {
    let (listener, address) = listen().await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    tokio::spawn({
        let seen = Arc::clone(&seen);
        async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let index = {
                    let mut seen = seen.lock().unwrap();
                    seen.push(0);
                    seen.len() - 1
                };
                let seen = Arc::clone(&seen);
                tokio::spawn(async move {
                    let answers = script.get(index).copied().unwrap_or(usize::MAX);
                    for turn in 0.. {
                        if read_request(&mut stream).await.is_empty() {
                            return;
                        }
                        seen.lock().unwrap()[index] += 1;
                        if turn >= answers || stream.write_all(OK).await.is_err() {
                            return;
                        }
                    }
                });
            }
        }
    });
    (address, seen)
}

#[tokio::test]
async fn a_request_lost_on_a_kept_connection_is_sent_again_on_a_new_one() {
    let (address, seen) = closing(&[1]).await;
    let transport = transport();
    let request = || get(&format!("http://{address}/"));
    transport.send(request()).await.unwrap();
    assert_eq!(transport.send(request()).await.unwrap().status, 200);
    assert_eq!(*seen.lock().unwrap(), [2, 1]);
}

#[tokio::test]
async fn a_request_lost_on_a_new_connection_is_not_sent_again() {
    let (address, seen) = closing(&[0]).await;
    let failure = transport().send(get(&format!("http://{address}/"))).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::NoAnswer, "{}", failure.detail);
    assert_eq!(*seen.lock().unwrap(), [1]);
}

#[tokio::test]
async fn a_request_is_sent_again_once() {
    let (address, seen) = closing(&[1, 0, 0]).await;
    let transport = transport();
    let request = || get(&format!("http://{address}/"));
    transport.send(request()).await.unwrap();
    assert_eq!(kind(transport.send(request()).await), FailureKind::NoAnswer);
    assert_eq!(*seen.lock().unwrap(), [2, 1]);
}

#[tokio::test]
async fn an_answer_that_breaks_off_on_a_kept_connection_is_not_asked_for_again() {
    let (listener, address) = listen().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        stream.write_all(OK).await.unwrap();
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 2").await.unwrap();
        drop(stream);
        // Nobody else comes: the listener is still here to say so.
        listener.accept().now_or_never().is_none()
    });
    let transport = transport();
    let request = || get(&format!("http://{address}/"));
    transport.send(request()).await.unwrap();
    assert_eq!(kind(transport.send(request()).await), FailureKind::ResponseBroken);
    assert!(server.await.unwrap());
}

#[tokio::test]
async fn a_request_nobody_waits_for_is_sent_again_all_the_same() {
    let (address, seen) = closing(&[1]).await;
    let transport = transport();
    let request = || get(&format!("http://{address}/"));
    transport.send(request()).await.unwrap();
    let failure = transport.send(Outgoing { total_time_max: Duration::ZERO, ..request() }).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Timeout);
    let arrived = async {
        while *seen.lock().unwrap() != [2, 1] {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, arrived).await.expect("it arrives");
}

// --- HTTP/2, frame by frame. ---

const SETTINGS: u8 = 4;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// HEADERS with `:status 200`, the end of the stream.
fn done(stream: u32) -> Vec<u8> {
    frame(1, 4 | 1, stream, b"\x88")
}

fn reset(stream: u32, reason: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &reason.to_be_bytes())
}

fn go_away(last: u32, reason: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), reason.to_be_bytes()].concat())
}

/// What is sent when a request is whole, given the connection's number and the stream's; nothing: the connection is closed.
type OnRequest = fn(usize, u32) -> Option<Vec<u8>>;

#[derive(Default)]
struct Seen {
    connections: usize,
    /// Requests over HTTP/2 and HTTP/1.1.
    requests: (usize, usize),
}

/// An endpoint that speaks HTTP/2 as it is told, and HTTP/1.1 well.
async fn endpoint(authority: &Authority, on_request: OnRequest) -> (SocketAddr, Arc<Mutex<Seen>>) {
    let acceptor = acceptor(authority, &["h2", "http/1.1"], None);
    let (listener, address) = listen().await;
    let seen = Arc::new(Mutex::new(Seen::default()));
    tokio::spawn({
        let seen = Arc::clone(&seen);
        async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(tcp).await else { return };
                    let number = {
                        let mut seen = seen.lock().unwrap();
                        seen.connections += 1;
                        seen.connections
                    };
                    if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
                        while !read_request(&mut stream).await.is_empty() {
                            seen.lock().unwrap().requests.1 += 1;
                            stream.write_all(OK).await.unwrap();
                        }
                        return;
                    }
                    drop(frames(&mut stream, number, on_request, &seen).await);
                });
            }
        }
    });
    (address, seen)
}

async fn frames(
    stream: &mut (impl AsyncRead + tokio::io::AsyncWrite + Unpin),
    number: usize,
    on_request: OnRequest,
    seen: &Mutex<Seen>,
) -> std::io::Result<()> {
    stream.read_exact(&mut [0; 24]).await?;
    stream.write_all(&frame(SETTINGS, 0, 0, b"")).await?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let [a, b, c, kind, flags, id @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload).await?;
        if kind == SETTINGS && flags & 1 == 0 {
            stream.write_all(&frame(SETTINGS, 1, 0, b"")).await?;
        }
        if kind <= 1 && flags & 1 == 1 {
            seen.lock().unwrap().requests.0 += 1;
            match on_request(number, u32::from_be_bytes(id)) {
                Some(bytes) => stream.write_all(&bytes).await?,
                None => return Ok(()),
            }
        }
    }
}

#[tokio::test]
async fn what_the_endpoint_did_not_process_is_sent_again() {
    let authority = Authority::new();
    let cases: [(&str, OnRequest); 3] = [
        ("REFUSED_STREAM", |connection, stream| Some(if connection == 1 { reset(stream, 7) } else { done(stream) })),
        ("GOAWAY below the stream", |connection, stream| Some(if connection == 1 { go_away(0, 0) } else { done(stream) })),
        ("GOAWAY with an error", |connection, stream| Some(if connection == 1 { go_away(0, 11) } else { done(stream) })),
    ];
    for (name, on_request) in cases {
        let (address, seen) = endpoint(&authority, on_request).await;
        let answer =
            transport().send(to(address, authority.trusted(None))).await.unwrap_or_else(|failure| panic!("{name}: {}", failure.detail));
        let seen = seen.lock().unwrap();
        assert_eq!((answer.status, seen.connections, seen.requests), (200, 2, (2, 0)), "{name}");
    }
}

#[tokio::test]
async fn many_requests_outlive_connections_that_end_after_five() {
    let authority = Authority::new();
    let (address, seen) = endpoint(&authority, |_, stream| match stream {
        1..=7 => Some(done(stream)),
        9 => Some([done(stream), go_away(stream, 0)].concat()),
        _ => Some(Vec::new()),
    })
    .await;
    let transport = transport();
    let trust = authority.trusted(None);
    let sent = (0..40).map(|_| transport.send(to(address, trust.clone())));
    let answers = futures::future::join_all(sent).await;
    let failures: Vec<_> = answers.into_iter().filter_map(|answer| answer.err().map(|failure| failure.detail)).collect();
    assert_eq!(failures, Vec::<String>::new());
    assert!(seen.lock().unwrap().connections > 1);
}

#[tokio::test]
async fn an_endpoint_that_never_processes_is_asked_a_few_times() {
    let authority = Authority::new();
    let (address, seen) = endpoint(&authority, |_, stream| Some(reset(stream, 7))).await;
    let failure = transport().send(to(address, authority.trusted(None))).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::NotProcessed, "{}", failure.detail);
    assert_eq!(seen.lock().unwrap().requests, (4, 0));
}

#[tokio::test]
async fn one_that_wants_http_1_gets_it_and_is_remembered() {
    let authority = Authority::new();
    let cases: [OnRequest; 2] = [|_, stream| Some(reset(stream, 13)), |_, _| Some(go_away(0, 13))];
    for on_request in cases {
        let (address, seen) = endpoint(&authority, on_request).await;
        let (transport, trust) = (transport(), authority.trusted(None));
        for _ in 0..2 {
            assert_eq!(transport.send(to(address, trust.clone())).await.unwrap().status, 200);
        }
        assert_eq!(seen.lock().unwrap().requests, (1, 2), "the second is not asked by HTTP/2");
    }
}

#[tokio::test]
async fn a_stream_that_is_reset_or_a_connection_that_ends_is_no_answer() {
    let authority = Authority::new();
    // What resets a stream has looked at it; a connection may end under a request nobody has seen.
    let cases: [(&str, OnRequest, usize); 2] = [("INTERNAL_ERROR", |_, stream| Some(reset(stream, 2)), 1), ("closed", |_, _| None, 2)];
    for (name, on_request, requests) in cases {
        let (address, seen) = endpoint(&authority, on_request).await;
        let failure = transport().send(to(address, authority.trusted(None))).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::NoAnswer, "{name}: {}", failure.detail);
        assert_eq!(seen.lock().unwrap().requests, (requests, 0), "{name}");
    }
}

#[tokio::test]
async fn a_kept_http_2_connection_that_ends_is_replaced_once() {
    let authority = Authority::new();
    let (address, seen) = endpoint(&authority, |connection, stream| (connection > 1 || stream == 1).then(|| done(stream))).await;
    let (transport, trust) = (transport(), authority.trusted(None));
    for _ in 0..2 {
        assert_eq!(transport.send(to(address, trust.clone())).await.unwrap().status, 200);
    }
    let seen = seen.lock().unwrap();
    assert_eq!((seen.connections, seen.requests), (2, (3, 0)));
}
