//! An endpoint below HTTP: it reads requests and answers with any bytes that a test gives it.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::lock;

/// What to do with a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Send these bytes and read the next request.
    Send(Vec<u8>),
    /// Send these bytes and close the connection.
    Last(Vec<u8>),
    /// Send these bytes, then send nothing more until the client disconnects.
    Hold(Vec<u8>),
}

impl Reply {
    /// Sends an answer and reads the next request.
    pub fn send(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Send(bytes.into())
    }

    /// Sends an incomplete answer and closes the connection.
    pub fn last(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Last(bytes.into())
    }

    /// Closes the connection without an answer.
    pub fn close() -> Self {
        Self::Last(Vec::new())
    }
}

/// A request: the number of its connection, and its number on that connection, both from 1.
pub type Place = (usize, usize);

/// The endpoint. It listens until it is dropped.
pub struct RawEndpoint {
    /// The address it listens on.
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<(Place, String)>>>,
    server: JoinHandle<()>,
}

impl RawEndpoint {
    /// Starts an endpoint that answers each request as `reply` says.
    pub async fn start(reply: impl Fn(Place) -> Reply + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let server = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                let mut connections = tokio::task::JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    let (reply, seen, number) = (reply.clone(), Arc::clone(&seen), connections.len() + 1);
                    // An error of the client is what the test looks at.
                    connections.spawn(async move { drop(serve(stream, number, reply, &seen).await) });
                }
            }
        });
        Self { address, seen, server }
    }

    /// The URL of a path: `http://127.0.0.1:...` and the path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The places of the requests so far.
    pub fn places(&self) -> Vec<Place> {
        lock(&self.seen).iter().map(|(place, _)| *place).collect()
    }

    /// The heads of the requests so far.
    pub fn heads(&self) -> Vec<String> {
        lock(&self.seen).iter().map(|(_, head)| head.clone()).collect()
    }
}

impl Drop for RawEndpoint {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(
    stream: TcpStream,
    connection: usize,
    reply: impl Fn(Place) -> Reply,
    seen: &Mutex<Vec<(Place, String)>>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    for turn in 1.. {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let from = head.len();
            if stream.read_line(&mut head).await? == 0 {
                return Ok(());
            }
            let line = head[from..].trim_end();
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(": ")
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.parse().unwrap_or(0);
            }
        }
        stream.read_exact(&mut vec![0; length]).await?;
        let place = (connection, turn);
        lock(seen).push((place, head));
        match reply(place) {
            Reply::Send(bytes) => stream.write_all(&bytes).await?,
            Reply::Last(bytes) => {
                stream.write_all(&bytes).await?;
                return stream.shutdown().await;
            }
            Reply::Hold(bytes) => {
                stream.write_all(&bytes).await?;
                stream.read_u8().await?;
            }
        }
    }
    Ok(())
}
