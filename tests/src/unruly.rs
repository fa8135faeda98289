//! An endpoint that misbehaves at random, below HTTP where necessary: it answers, refuses, cuts an answer off, drips, or hangs.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::{Random, lock};

/// Time between two bytes of a dripping answer.
const DRIP: Duration = Duration::from_millis(50);

/// The endpoint and what it has seen. It listens until it is dropped.
pub struct Unruly {
    /// The address it listens on.
    pub address: SocketAddr,
    seen: Arc<Mutex<HashMap<String, usize>>>,
    server: JoinHandle<()>,
}

impl Unruly {
    /// Starts an endpoint that behaves well with the chance `well`, in percent.
    pub async fn start(mut random: Random, well: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(HashMap::new()));
        let server = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                let mut connections = tokio::task::JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    let random = random.fork();
                    let seen = Arc::clone(&seen);
                    // An error of the client is what the test looks at.
                    connections.spawn(async move { drop(serve(stream, random, well, &seen).await) });
                }
            }
        });
        Self { address, seen, server }
    }

    /// How often each `webhook-id` arrived completely, whatever the answer was.
    pub fn seen(&self) -> HashMap<String, usize> {
        lock(&self.seen).clone()
    }
}

impl Drop for Unruly {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Answers the requests on a connection one after the other.
async fn serve(stream: TcpStream, mut random: Random, well: u64, seen: &Mutex<HashMap<String, usize>>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut id, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("webhook-id") => value.clone_into(&mut id),
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().unwrap_or(0),
                None if line.trim_end().is_empty() => break,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        *lock(seen).entry(id).or_default() += 1;
        if random.chance(well) {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await?;
            continue;
        }
        match random.below(5) {
            0 => stream.write_all(b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n").await?,
            // Close the connection in the middle of an answer, with a reset.
            1 => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{").await?;
                stream.get_ref().set_zero_linger()?;
                return Ok(());
            }
            2 => return Ok(()),
            3 => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n").await?;
                let mut drips = tokio::time::interval(DRIP);
                loop {
                    drips.tick().await;
                    stream.write_all(b" ").await?;
                }
            }
            // Wait until the client gives up.
            _ => {
                stream.read_u8().await?;
            }
        }
    }
}
