//! An HTTP/2 endpoint that processes no request: it refuses each stream.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use crate::tls::{Identity, accept, acceptor};

/// Kinds of frames (RFC 9113, section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
/// The flag `END_STREAM`, which for SETTINGS is `ACK`.
const END_OR_ACK: u8 = 1;
/// The error code of a refused stream (RFC 9113, section 7).
const REFUSED_STREAM: u32 = 7;
/// Length of the preface that a client sends first.
const PREFACE_BYTES: usize = 24;

/// The endpoint. It listens until it is dropped.
pub struct RefusingEndpoint {
    /// The address it listens on.
    pub address: SocketAddr,
    refused: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
}

impl RefusingEndpoint {
    /// Starts an endpoint as `identity`.
    pub async fn start(identity: &Identity) -> Self {
        let mut config = rustls::ServerConfig::clone(acceptor(identity, None).config());
        config.alpn_protocols = vec![b"h2".to_vec()];
        let tls = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let refused = Arc::new(AtomicUsize::new(0));
        let mut serving = JoinSet::new();
        serving.spawn({
            let refused = Arc::clone(&refused);
            async move {
                let mut connections = JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    let (tls, refused) = (tls.clone(), Arc::clone(&refused));
                    connections.spawn(async move {
                        if let Some(stream) = accept(&tls, stream).await {
                            // An error means that the client disconnected. All its requests were refused.
                            drop(refuse(stream, &refused).await);
                        }
                    });
                }
            }
        });
        Self { address, refused, _serving: serving }
    }

    /// The URL of a path: `https://127.0.0.1:...` and the path.
    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    /// Number of refused requests.
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::SeqCst)
    }
}

async fn refuse(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, refused: &AtomicUsize) -> std::io::Result<()> {
    stream.read_exact(&mut [0; PREFACE_BYTES]).await?;
    stream.write_all(&frame(SETTINGS, 0, [0; 4], &[])).await?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let [a, b, c, kind, flags, id @ ..] = head;
        stream.read_exact(&mut vec![0; u32::from_be_bytes([0, a, b, c]) as usize]).await?;
        match kind {
            SETTINGS if flags & END_OR_ACK == 0 => stream.write_all(&frame(SETTINGS, END_OR_ACK, [0; 4], &[])).await?,
            DATA | HEADERS if flags & END_OR_ACK != 0 => {
                refused.fetch_add(1, Ordering::SeqCst);
                stream.write_all(&frame(RST_STREAM, 0, id, &REFUSED_STREAM.to_be_bytes())).await?;
            }
            _ => {}
        }
    }
}

fn frame(kind: u8, flags: u8, stream: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    [&length[1..], &[kind, flags], &stream, payload].concat()
}
