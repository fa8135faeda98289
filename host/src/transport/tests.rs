//! Over real sockets on 127.0.0.1.

mod again;
mod answers;
mod connecting;
mod encrypted;
mod forged;
mod heads;
mod proxied;

use std::{
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicUsize, Ordering},
};

use futures::FutureExt;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::*;

/// More than any test takes.
const LONG: Duration = Duration::from_secs(60);
/// For what never comes.
const SHORT: Duration = Duration::from_millis(150);

fn options() -> TransportOptions {
    TransportOptions { allow_networks: vec!["127.0.0.0/8".parse().unwrap()], ..TransportOptions::default() }
}

fn transport() -> Transport {
    Transport::new(options()).unwrap()
}

/// Resolves every name to the answers, one after the other, the last one for ever.
fn names(answers: &[&[&str]]) -> Names {
    let answers: Vec<Vec<IpAddr>> = answers.iter().map(|answer| answer.iter().map(|ip| ip.parse().unwrap()).collect()).collect();
    let asked = AtomicUsize::new(0);
    Names::Given(Arc::new(move |_| {
        let answer = answers[asked.fetch_add(1, Ordering::Relaxed).min(answers.len() - 1)].clone();
        async move { Ok(answer) }.boxed()
    }))
}

fn get(text: &str) -> Outgoing {
    let url: Url = text.parse().unwrap();
    Outgoing {
        method: Method::GET,
        exact_url: text.to_owned(),
        url,
        headers: HeaderMap::new(),
        body: Bytes::new(),
        total_time_max: LONG,
        response_bytes_max: 1024,
        tls: None,
        pinned: None,
    }
}

fn kind<T: std::fmt::Debug>(result: Result<T, Failure>) -> FailureKind {
    result.unwrap_err().kind
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Reads a request with the body its `content-length` announces; empty at the end of the connection.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return text;
            }
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return text;
        }
    }
}

/// Answers every request of one connection after the other with the same bytes; gives back the requests, once `connections` of them
/// are over.
async fn server(reply: &'static str, connections: usize) -> (SocketAddr, JoinHandle<Vec<Vec<String>>>) {
    let (listener, address) = listen().await;
    let task = tokio::spawn(async move {
        let mut all = Vec::new();
        for _ in 0..connections {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut requests = Vec::new();
            loop {
                let request = read_request(&mut stream).await;
                if request.is_empty() {
                    break;
                }
                requests.push(request);
                stream.write_all(reply.as_bytes()).await.unwrap();
            }
            all.push(requests);
        }
        all
    });
    (address, task)
}

/// Reads one request, answers, closes.
async fn once(reply: impl Into<Vec<u8>>) -> (SocketAddr, JoinHandle<String>) {
    let (listener, address) = listen().await;
    let reply = reply.into();
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = read_request(&mut stream).await;
        // A client that has read enough may be gone.
        stream.write_all(&reply).await.ok();
        stream.shutdown().await.ok();
        request
    });
    (address, task)
}

/// Keeps what it accepts, and says nothing.
async fn black_hole() -> (SocketAddr, JoinHandle<()>) {
    let (listener, address) = listen().await;
    let task = tokio::spawn(async move {
        let mut kept: Vec<TcpStream> = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            kept.push(stream);
        }
    });
    (address, task)
}
