//! Harmful clients on loopback: slow heads, oversized heads, idle connections, HTTP/2 rapid resets, TLS handshakes. The host's memory
//! stays bounded, and other clients are served meanwhile. `tests/run edge N` runs it with N clients.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use hookwright_tests::{
    Authority, Process, data_directory, run,
    wait::{eventually, within},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
};

mod bodies;

/// Memory in bytes that a host may need in addition during a flood.
const MEMORY_BYTES: u64 = 96 * 1024 * 1024;
/// Memory in bytes for each open connection.
const CONNECTION_BYTES: u64 = 40 * 1024;

/// How often another client must be served during a flood.
const SERVED: usize = 20;

/// Number of clients of each kind.
fn clients() -> usize {
    std::env::var("HOOKWRIGHT_TEST_FLOOD").ok().and_then(|number| number.parse().ok()).unwrap_or(300)
}

/// Each connection takes a descriptor here and one in the host.
fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).expect("more open files");
}

async fn host(directory: &std::path::Path, tls: &str) -> Process {
    let config = directory.join("config.toml");
    let http = "[http]\nconnections_per_address_max = 20000\nhead_seconds_max = 20\n";
    std::fs::write(&config, format!("{http}{tls}")).expect("written");
    Process::serve_under(&directory.join("data"), &[], &[("HOOKWRIGHT_CONFIG", config.to_str().expect("a path")), ("RUST_LOG", "error")])
        .await
}

/// Another client, which asks at another address again and again whether the host is healthy.
struct Another {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    asking: tokio::task::JoinHandle<Vec<Duration>>,
}

impl Another {
    fn start(address: SocketAddr, authority: Option<Arc<Authority>>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let served = Arc::new(AtomicUsize::new(0));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&served));
        let asking = tokio::spawn(async move {
            let mut times = Vec::new();
            while !stopped.load(Ordering::Relaxed) || times.is_empty() {
                let begun = Instant::now();
                let request = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
                let mut answer = Vec::new();
                match &authority {
                    None => {
                        let socket = TcpSocket::new_v4().expect("a socket");
                        socket.bind("127.0.0.2:0".parse().expect("an address")).expect("bound");
                        let mut stream = within("a connection", socket.connect(address)).await.expect("a connection");
                        stream.write_all(request).await.expect("written");
                        within("an answer", stream.read_to_end(&mut answer)).await.expect("read");
                    }
                    Some(authority) => {
                        let mut stream = within("a handshake", authority.connect(address, &["http/1.1"])).await.expect("a handshake");
                        stream.write_all(request).await.expect("written");
                        within("an answer", stream.read_to_end(&mut answer)).await.expect("read");
                    }
                }
                assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
                times.push(begun.elapsed());
                counted.fetch_add(1, Ordering::Relaxed);
            }
            times
        });
        Self { stop, served, asking }
    }

    /// Waits until the client was served this many times more.
    async fn is_served(&self, times: usize) {
        let wanted = self.served.load(Ordering::Relaxed) + times;
        eventually("another client that is served", || async { (self.served.load(Ordering::Relaxed) >= wanted).then_some(()) }).await;
    }

    async fn end(self) -> Vec<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        let mut times = self.asking.await.expect("always served");
        times.sort();
        times
    }
}

/// Floods the host and prints the effect.
async fn survives<T>(name: &str, host: &Process, authority: Option<Arc<Authority>>, open: usize, flood: impl AsyncFnOnce() -> T) {
    let before = host.resident_bytes();
    let another = Another::start(host.address, authority);
    let begun = Instant::now();
    let held = flood().await;
    let took = begun.elapsed();
    // Measure while all of them are connected.
    another.is_served(SERVED).await;
    let resident = host.resident_bytes();
    drop(held);
    let times = another.end().await;
    let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
    println!(
        "{name}: {took:.1?}, resident {} -> {} MiB; another client was served {} times, median {median:.1?}, longest {longest:.1?}",
        mib(before),
        mib(resident),
        times.len()
    );
    let bound = before + MEMORY_BYTES + CONNECTION_BYTES * open as u64;
    assert!(resident <= bound, "{name}: {} MiB are resident, {} at most", mib(resident), mib(bound));
}

fn mib(bytes: u64) -> u64 {
    bytes / (1024 * 1024)
}

/// Connections, each of which has sent `bytes`.
async fn connections(address: SocketAddr, count: usize, bytes: &'static [u8]) -> Vec<TcpStream> {
    let mut held = Vec::with_capacity(count);
    while held.len() < count {
        let mut opening = JoinSet::new();
        for _ in 0..256.min(count - held.len()) {
            opening.spawn(async move {
                let mut stream = within("a connection", TcpStream::connect(address)).await.expect("a connection");
                // The host may have closed it already.
                drop(stream.write_all(bytes).await);
                stream
            });
        }
        held.extend(opening.join_all().await);
    }
    held
}

/// The two frames that open a stream and reset it at once (RFC 9113, sections 6.2 and 6.4).
fn reset_stream(id: u32) -> Vec<u8> {
    let fields = [0x82, 0x86, 0x84, 0x41, 0x01, b'x'];
    let mut frames = vec![0, 0, fields.len() as u8, 1, 0x5];
    frames.extend(id.to_be_bytes());
    frames.extend(fields);
    frames.extend([0, 0, 4, 3, 0]);
    frames.extend(id.to_be_bytes());
    frames.extend(8_u32.to_be_bytes());
    frames
}

#[test]
fn clients_that_do_harm_cost_bounded_memory_and_others_are_served() {
    raise_descriptors();
    run(async {
        let directory = data_directory();
        let host = host(directory.path(), "").await;
        let (address, count) = (host.address, clients());
        survives("slow heads", &host, None, count, async || {
            connections(address, count, b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: ").await
        })
        .await;
        survives("oversized heads", &host, None, 0, async || {
            let mut sending = JoinSet::new();
            for _ in 0..count {
                while sending.len() >= 64 {
                    sending.join_next().await;
                }
                sending.spawn(async move {
                    let mut stream = within("a connection", TcpStream::connect(address)).await.expect("a connection");
                    let head = format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx-large: {}", "x".repeat(1024 * 1024));
                    // The host closes the connection before the head is complete.
                    drop(stream.write_all(head.as_bytes()).await);
                });
            }
            sending.join_all().await;
        })
        .await;
        survives("idle connections", &host, None, count, async || {
            let held = connections(address, count, b"").await;
            assert_eq!(held.len(), count);
            held
        })
        .await;
        survives("rapid resets", &host, None, 0, async || {
            let mut ended = 0;
            for _ in 0..(count / 100).max(1) {
                let mut stream = within("a connection", TcpStream::connect(address)).await.expect("a connection");
                let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
                bytes.extend((0..20_000).flat_map(|n| reset_stream(2 * n + 1)));
                let (mut reading, mut writing) = stream.split();
                let mut answer = Vec::new();
                let (_, written) = within("the end of a connection that resets", async {
                    tokio::join!(reading.read_to_end(&mut answer), writing.write_all(&bytes))
                })
                .await;
                // GOAWAY is the frame of type 7. A reset of the connection may have discarded it.
                ended += usize::from(written.is_err() || answer.windows(5).any(|bytes| bytes[3] == 7));
            }
            assert_eq!(ended, (count / 100).max(1), "every connection that resets is ended");
        })
        .await;
        assert!(host.terminate().await.success());
    });
}

#[test]
fn a_flood_of_handshakes_costs_bounded_memory_and_others_are_served() {
    raise_descriptors();
    run(async {
        let directory = data_directory();
        let authority = Arc::new(Authority::new());
        let identity = authority.server(&["127.0.0.1"]);
        let file = |name: &str| directory.path().join(name);
        std::fs::write(file("tls.crt"), &identity.certificate).expect("written");
        std::fs::write(file("tls.key"), &identity.key).expect("written");
        let tls = format!("[tls]\ncertificate_file = {:?}\nkey_file = {:?}\n", file("tls.crt"), file("tls.key"));
        let host = host(directory.path(), &tls).await;
        let (address, count) = (host.address, clients());
        survives("handshakes", &host, Some(Arc::clone(&authority)), 64, async || {
            let mut shaking = JoinSet::new();
            for _ in 0..count {
                while shaking.len() >= 64 {
                    shaking.join_next().await;
                }
                let authority = Arc::clone(&authority);
                shaking.spawn(async move { drop(within("a handshake", authority.connect(address, &["h2"])).await) });
            }
            shaking.join_all().await;
        })
        .await;
        // Half a ClientHello, and nothing more.
        survives("handshakes that stall", &host, Some(Arc::clone(&authority)), count, async || {
            connections(address, count, b"\x16\x03\x01\x02\x00\x01\x00").await
        })
        .await;
        assert!(host.terminate().await.success());
    });
}
