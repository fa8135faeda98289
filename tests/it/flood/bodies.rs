//! Hundreds of bodies from strangers and from callers with a code: the host's memory stays bounded, other clients are served, and a stop
//! stays within its time limit.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::future::join_all;
use hookwright_tests::{
    Process, data_directory, run,
    wait::{eventually, within},
};
use http::{Method, Request};
use hyper::{
    body::{Body, Frame},
    client::conn::http2::{SendRequest, handshake},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};

use super::{Another, MEMORY_BYTES, SERVED, clients, mib, raise_descriptors};

/// Bytes of a body that is never completed.
const BODY_BYTES: usize = 4 * 1024 * 1024;
/// Streams of one connection: as many as a host allows.
const STREAMS: usize = 128;
/// Time limit of a stop. The rest is what a process needs to begin and end it.
const DRAIN_SECONDS: u64 = 5;
const END_TIME: Duration = Duration::from_secs(15);

/// A body of which everything but the last byte is sent.
struct Unfinished(usize);

impl Body for Unfinished {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.0.min(16 * 1024);
        if piece == 0 {
            return Poll::Pending;
        }
        self.0 -= piece;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![b'a'; piece])))))
    }
}

/// A request that is sent again and again.
struct Asked<'a> {
    method: Method,
    path: &'a str,
    bytes: usize,
}

/// Connections on which a request was sent except for its last byte, as far as the host reads it. Answers are read.
async fn by_http1(address: SocketAddr, connections: usize, asked: &Asked<'_>) -> Vec<JoinHandle<TcpStream>> {
    let Asked { method, path, bytes } = asked;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {bytes}\r\n\r\n"
    );
    let body: Bytes = vec![b'a'; bytes - 1].into();
    let mut sending = Vec::new();
    for _ in 0..connections {
        let mut stream = within("a connection", TcpStream::connect(address)).await.expect("a connection");
        stream.write_all(head.as_bytes()).await.expect("written");
        let body = body.clone();
        sending.push(tokio::spawn(async move {
            let mut answer = [0; 1024];
            let (mut reading, mut writing) = stream.split();
            // The host may answer before the body is sent, or close the connection.
            let _ = tokio::join!(reading.read(&mut answer), writing.write_all(&body));
            stream
        }));
    }
    sending
}

/// The same over HTTP/2, with the highest number of streams on each connection; also returns how many requests were answered.
async fn by_http2(address: SocketAddr, connections: usize, asked: &Asked<'_>) -> (Vec<SendRequest<Unfinished>>, Vec<JoinHandle<bool>>) {
    let (mut held, mut answering) = (Vec::new(), Vec::new());
    for _ in 0..connections {
        let stream = within("a connection", TcpStream::connect(address)).await.expect("a connection");
        let (mut sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
        tokio::spawn(connection);
        for _ in 0..STREAMS {
            let request = Request::builder().method(&asked.method).uri(format!("http://{address}{}", asked.path));
            let request = request.header("content-type", "application/x-www-form-urlencoded").body(Unfinished(asked.bytes - 1));
            let answer = sender.send_request(request.expect("a request"));
            answering.push(tokio::spawn(async move { answer.await.is_ok() }));
        }
        held.push(sender);
    }
    (held, answering)
}

/// A host, and a code of one of its receivers.
async fn host(directory: &std::path::Path) -> (Process, String) {
    let config = directory.join("config.toml");
    let settings = format!("[http]\nconnections_per_address_max = 20000\n[limits]\ndrain_seconds_max = {DRAIN_SECONDS}\n");
    std::fs::write(&config, settings).expect("written");
    let environment = [("HOOKWRIGHT_CONFIG", config.to_str().expect("a path")), ("RUST_LOG", "error")];
    let host = Process::serve_under(&directory.join("data"), &[], &environment).await;
    let document = json!({ "reply": { "message": "ok" }, "methods": ["POST"], "body_bytes_max": BODY_BYTES });
    let code = host.client.receiver("flooded", document).await;
    (host, format!("/api/v1/webhook/{code}"))
}

/// Floods the host, measures its highest memory, and stops the host during the flood. `held`: whether bodies must queue for memory.
async fn survives<T>(name: &str, asked: impl Fn(&str) -> Asked<'_>, is_held: bool, flood: impl AsyncFnOnce(SocketAddr, &Asked<'_>) -> T) {
    let directory = data_directory();
    let (host, code) = host(directory.path()).await;
    let another = Another::start(host.address, None);
    another.is_served(SERVED).await;
    let before = host.resident_bytes();
    host.forget_resident_peak();
    let flooding = flood(host.address, &asked(&code)).await;
    if is_held {
        let line = "hookwright_request_bodies_waiting ";
        let queue = || async {
            let text = host.client.send(Method::GET, "/metrics", &[], "").await.text();
            text.lines().filter_map(|found| found.strip_prefix(line)).any(|number| number != "0").then_some(())
        };
        eventually("a queue for room", queue).await;
    }
    another.is_served(SERVED).await;
    let peak = host.resident_peak_bytes();
    let times = another.end().await;
    let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
    let begun = Instant::now();
    let status = host.terminate().await;
    let took = begun.elapsed();
    drop(flooding);
    println!(
        "{name}: resident {} -> {} MiB at most (jemalloc, as the binary has it); another client was served {} times, median {median:.1?}, longest \
         {longest:.1?}; a stop took {took:.1?}",
        mib(before),
        mib(peak),
        times.len()
    );
    assert!(peak <= before + MEMORY_BYTES, "{name}: {} MiB are resident, {} at most", mib(peak), mib(before + MEMORY_BYTES));
    assert!(status.success() && took < Duration::from_secs(DRAIN_SECONDS) + END_TIME, "{name}: a stop took {took:?}");
}

const LOGIN: &str = "/portal/sharing/rest/login";
const WEBHOOKS: &str = "/portal/sharing/rest/portals/self/webhooks/createWebhook";

fn called(code: &str) -> Asked<'_> {
    Asked { method: Method::POST, path: code, bytes: BODY_BYTES }
}

fn form(path: &'static str) -> impl Fn(&str) -> Asked<'_> {
    move |_| Asked { method: Method::POST, path, bytes: BODY_BYTES }
}

fn open(path: &'static str) -> impl Fn(&str) -> Asked<'_> {
    move |_| Asked { method: Method::GET, path, bytes: BODY_BYTES }
}

#[test]
fn half_bodies_over_http1_cost_bounded_memory_and_a_stop_is_quick() {
    raise_descriptors();
    run(async {
        let connections = clients() / 3;
        let flood = async |address: SocketAddr, asked: &Asked<'_>| by_http1(address, connections, asked).await;
        survives(&format!("{connections} ArcGIS forms of strangers, signing in"), form(LOGIN), false, &flood).await;
        survives(&format!("{connections} ArcGIS forms of strangers, elsewhere"), form(WEBHOOKS), false, &flood).await;
        survives(&format!("{connections} bodies at an open address"), open("/healthz"), false, &flood).await;
        survives(&format!("{connections} bodies at a code"), called, true, &flood).await;
    });
}

#[test]
fn half_bodies_over_http2_cost_bounded_memory_and_a_stop_is_quick() {
    raise_descriptors();
    run(async {
        let connections = (clients() / 100).max(2);
        let all = format!("{connections} HTTP/2 connections with {STREAMS} streams each");
        let answered = async |address: SocketAddr, asked: &Asked<'_>| {
            let (held, answering) = by_http2(address, connections, asked).await;
            let answers = within("an answer to every stream", join_all(answering)).await;
            assert!(answers.iter().all(|answer| matches!(answer, Ok(true))), "every stream is answered before its body ended");
            held
        };
        survives(&format!("{all}, ArcGIS forms of strangers"), form(LOGIN), false, &answered).await;
        survives(&format!("{all}, at open addresses"), open("/healthz"), false, &answered).await;
        let held = async |address: SocketAddr, asked: &Asked<'_>| by_http2(address, connections, asked).await;
        survives(&format!("{all}, at a code"), called, true, &held).await;
    });
}
