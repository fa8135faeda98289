//! Certificate authorities, servers and clients for one test, with real certificates and real handshakes.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    /// The authority's certificate in PEM.
    pub pem: String,
}

/// A certificate and its key, both in PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The key, without a line feed at its end, as a secret is written.
    pub key: String,
}

impl Authority {
    /// Makes a new authority.
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate");
        Self { pem: certificate.pem(), certificate: certificate.der().clone(), issuer: Issuer::new(params, key) }
    }

    /// Issues a certificate for a server with these names or addresses. Without any, the server's name is only in the certificate's
    /// subject.
    pub fn server(&self, names: &[&str]) -> Identity {
        self.issue(names, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Issues a certificate for a client.
    pub fn client(&self) -> Identity {
        self.issue(&["client.example"], ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(&self, names: &[&str], usage: ExtendedKeyUsagePurpose) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, "127.0.0.1");
        params.extended_key_usages = vec![usage];
        Identity {
            certificate: params.signed_by(&key, &self.issuer).expect("a certificate").pem(),
            key: key.serialize_pem().trim_end().to_owned(),
        }
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// Connects to `address`, checks its certificate and offers these protocols.
    pub async fn connect(
        &self,
        address: std::net::SocketAddr,
        protocols: &[&str],
    ) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("a root");
        let builder = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let mut config =
            builder.with_safe_default_protocol_versions().expect("versions").with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let name = rustls::pki_types::ServerName::IpAddress(address.ip().into());
        tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(address).await?).await
    }
}

/// Accepts TLS connections as `identity`. With `clients`, clients must show a certificate of that authority.
pub(crate) fn acceptor(identity: &Identity, clients: Option<&Authority>) -> TlsAcceptor {
    let provider = Arc::new(ring::default_provider());
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().expect("versions");
    let config = match clients {
        None => config.with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(clients.certificate.clone()).expect("a root");
            config
                .with_client_cert_verifier(WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().expect("a verifier"))
        }
    };
    let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("a key");
    TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key).expect("a certificate and its key")))
}

/// The encrypted connection, if the handshake succeeds.
pub(crate) async fn accept(tls: &TlsAcceptor, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
    match tls.accept(stream).into_fallible().await {
        Ok(stream) => Some(stream),
        Err((_, mut stream)) => {
            // The alert has been sent. Read what is left before closing, because a reset would discard the alert.
            drop(stream.shutdown().await);
            drop(tokio::io::copy(&mut stream, &mut tokio::io::sink()).await);
            None
        }
    }
}

/// A TLS proxy in front of a host: it ends TLS as `identity` and passes the bytes on to `behind`. It stops when this value is dropped.
pub struct TlsFront {
    /// The port on 127.0.0.1.
    pub port: u16,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl TlsFront {
    /// Starts the proxy.
    pub async fn start(identity: &Identity, behind: std::net::SocketAddr) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let tls = acceptor(identity, None);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let tls = tls.clone();
                tokio::spawn(async move {
                    if let (Some(mut outside), Ok(mut inside)) = (accept(&tls, stream).await, TcpStream::connect(behind).await) {
                        // It is no error if either end disconnects.
                        drop(tokio::io::copy_bidirectional(&mut outside, &mut inside).await);
                    }
                });
            }
        });
        Self { port, serving }
    }
}
