//! Trust, client certificates, HTTP/2.

use http::Response;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::model::secret::Secret;

pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

impl Authority {
    pub(super) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// Chain and key in PEM.
    fn issue(&self, names: &[&str], usage: ExtendedKeyUsagePurpose) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.extended_key_usages = vec![usage];
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        roots.into()
    }

    pub(super) fn trusted(&self, client: Option<(&str, &str)>) -> Option<Arc<TlsSettings>> {
        let client = client.map(|(chain, key)| (chain.to_owned(), Secret::new(key)));
        Some(TlsSettings::from_pem(&[self.certificate.pem()], client).unwrap().into())
    }
}

/// Accepts TLS with a certificate for 127.0.0.1 and `svc.example`.
pub(super) fn acceptor(authority: &Authority, alpn: &[&str], clients: Option<&Authority>) -> TlsAcceptor {
    let (chain, key) = authority.issue(&["127.0.0.1", "svc.example"], ExtendedKeyUsagePurpose::ServerAuth);
    let provider = Arc::new(ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let config = match clients {
        None => config.with_no_client_auth(),
        Some(clients) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(clients.roots(), provider).build().unwrap();
            config.with_client_cert_verifier(verifier)
        }
    };
    let chain = vec![rustls::pki_types::CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()];
    let mut config = config.with_single_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

/// Answers with the version of HTTP, on as many connections as handshakes succeed. Its certificate is for 127.0.0.1 and `svc.example`.
pub(super) async fn https(authority: &Authority, alpn: &[&str], clients: Option<&Authority>) -> SocketAddr {
    let acceptor = acceptor(authority, alpn, clients);
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let tls = match acceptor.accept(tcp).into_fallible().await {
                Ok(tls) => tls,
                Err((_, mut tcp)) => {
                    // The alert is written; closing with something unread would take it back.
                    tcp.shutdown().await.ok();
                    tokio::io::copy(&mut tcp, &mut tokio::io::sink()).await.ok();
                    continue;
                }
            };
            let answer = service_fn(|request: Request<Incoming>| async move {
                let seen = format!("{:?} {}", request.version(), request.uri().path_and_query().unwrap());
                let mut answer = Response::new(Full::new(Bytes::from(seen)));
                if request.uri().path() == "/large" {
                    // Of 40 bytes each as HTTP/1.1 writes them.
                    for n in 0..1000 {
                        let name: HeaderName = format!("x-field-{n:04}").parse().unwrap();
                        answer.headers_mut().insert(name, HeaderValue::from_static("twenty-four bytes of one"));
                    }
                }
                Ok::<_, std::convert::Infallible>(answer)
            });
            tokio::spawn(async move {
                let io = TokioIo::new(tls);
                hyper_util::server::conn::auto::Builder::new(TokioExecutor::new()).serve_connection(io, answer).await.ok();
            });
        }
    });
    address
}

pub(super) fn to(address: SocketAddr, tls: Option<Arc<TlsSettings>>) -> Outgoing {
    Outgoing { tls, ..get(&format!("https://{address}/a%2Fb?sig=s3cret")) }
}

#[tokio::test]
async fn an_unknown_authority_is_not_trusted() {
    let address = https(&Authority::new(), &[], None).await;
    let failure = transport().send(to(address, None)).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::TlsFailed);
    assert!(failure.detail.starts_with(&format!("no TLS with `{address}`: invalid peer certificate: ")), "{}", failure.detail);
    assert_eq!(kind(transport().send(to(address, Authority::new().trusted(None))).await), FailureKind::TlsFailed);
}

#[tokio::test]
async fn an_own_authority_is_trusted_and_no_other() {
    let authority = Authority::new();
    let address = https(&authority, &[], None).await;
    let transport = transport();
    let answer = transport.send(to(address, authority.trusted(None))).await.unwrap();
    assert_eq!(&answer.body[..], b"HTTP/1.1 /a%2Fb?sig=s3cret");
    // Not over the connection of somebody who trusts more.
    assert_eq!(kind(transport.send(to(address, None)).await), FailureKind::TlsFailed);
}

#[tokio::test]
async fn http_2_is_spoken_where_it_is_offered() {
    let authority = Authority::new();
    let address = https(&authority, &["h2", "http/1.1"], None).await;
    let transport = transport();
    for _ in 0..2 {
        let answer = transport.send(to(address, authority.trusted(None))).await.unwrap();
        assert_eq!(&answer.body[..], b"HTTP/2.0 /a%2Fb?sig=s3cret");
    }
    let mut short = to(address, authority.trusted(None));
    short.response_bytes_max = 5;
    let answer = transport.send(short).await.unwrap();
    assert_eq!((answer.body.len(), answer.body_failure.map(|failure| failure.kind)), (5, Some(FailureKind::ResponseTooLarge)));
}

#[tokio::test]
async fn a_head_may_be_as_large_over_http_2_as_over_http_1() {
    let authority = Authority::new();
    for alpn in [&["h2"], &["http/1.1"]] {
        let address = https(&authority, alpn, None).await;
        let answer = transport().send(Outgoing { tls: authority.trusted(None), ..get(&format!("https://{address}/large")) }).await.unwrap();
        let fields = answer.headers.iter().filter(|(name, _)| name.as_str().starts_with("x-field-")).count();
        assert_eq!((answer.status, fields), (200, 1000), "{alpn:?}");
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_trusted() {
    let authority = Authority::new();
    let address = https(&authority, &[], None).await;
    let mut request = to(address, authority.trusted(None));
    request.url.set_host(Some("localhost")).unwrap();
    assert_eq!(kind(transport().send(request).await), FailureKind::TlsFailed);
}

#[tokio::test]
async fn a_client_certificate_is_shown() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let address = https(&authority, &[], Some(&clients)).await;
    let (chain, key) = clients.issue(&["hookwright"], ExtendedKeyUsagePurpose::ClientAuth);
    let transport = transport();
    let answer = transport.send(to(address, authority.trusted(Some((&chain, &key))))).await.unwrap();
    assert_eq!(answer.status, 200);
    // Nor over the connection of somebody who showed one.
    let failure = transport.send(to(address, authority.trusted(None))).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::TlsFailed, "{}", failure.detail);
}

#[tokio::test]
async fn a_server_without_tls_is_told() {
    let (listener, address) = listen().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        read_request(&mut stream).await
    });
    assert_eq!(kind(transport().send(to(address, None)).await), FailureKind::TlsFailed);
    server.await.unwrap();
}

#[test]
fn settings_are_checked_when_written() {
    let authority = Authority::new();
    let (chain, key) = authority.issue(&["hookwright"], ExtendedKeyUsagePurpose::ClientAuth);
    let (_, other_key) = authority.issue(&["other"], ExtendedKeyUsagePurpose::ClientAuth);
    let with = |chain: &str, key: &str| TlsSettings::from_pem(&[], Some((chain.to_owned(), Secret::new(key)))).map(drop);
    assert_eq!(with(&chain, &key), Ok(()));
    assert_eq!(with(&key, &key), Err(BadTls::ChainNotPem));
    assert_eq!(with(&chain, &chain), Err(BadTls::KeyNotPem));
    assert!(matches!(with(&chain, &other_key), Err(BadTls::Client(_))));
    let ca = |pem: &str| TlsSettings::from_pem(&[authority.certificate.pem(), pem.to_owned()], None).map(drop);
    assert_eq!(ca("nonsense"), Err(BadTls::CaNotPem { index: 1 }));
    assert!(matches!(ca("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), Err(BadTls::Ca { index: 1, .. })));
    assert_eq!(format!("{:?}", TlsSettings::public().unwrap()), "TlsSettings { .. }");
}
