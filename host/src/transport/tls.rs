//! Whom a webhook trusts, and what it shows of itself.

use std::{fmt, sync::Arc};

use hyper_rustls::ConfigBuilderExt;
use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use sha2::{Digest, Sha256};

use crate::model::secret::Secret;

/// Tells settings apart: the digest of certificates and key.
pub(super) type TlsDigest = [u8; 32];

/// What is wrong with TLS settings. Says nothing of the key's bytes.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BadTls {
    /// A text that is not certificates in PEM.
    #[error("certificate authority {index} is not PEM with at least one `BEGIN CERTIFICATE`")]
    CaNotPem {
        /// Which one, from 0.
        index: usize,
    },
    /// A certificate that cannot be trusted.
    #[error("certificate authority {index} cannot be used: {cause}")]
    Ca {
        /// Which one, from 0.
        index: usize,
        /// What rustls says.
        cause: rustls::Error,
    },
    /// A chain that is not certificates in PEM.
    #[error("the client certificate is not PEM with at least one `BEGIN CERTIFICATE`")]
    ChainNotPem,
    /// The key is not PEM of a private key.
    #[error("the client certificate's key is not PEM with a `BEGIN PRIVATE KEY`, `BEGIN RSA PRIVATE KEY` or `BEGIN EC PRIVATE KEY`")]
    KeyNotPem,
    /// A certificate and a key that do not go together, or a key of an unknown kind.
    #[error("the client certificate and its key cannot be used: {0}")]
    Client(rustls::Error),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    SetUp(rustls::Error),
}

/// Whom a webhook trusts, and what it shows of itself; checked. TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN.
pub struct TlsSettings {
    digest: TlsDigest,
    config: Arc<ClientConfig>,
}

impl fmt::Debug for TlsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSettings").finish_non_exhaustive()
    }
}

impl TlsSettings {
    /// The public certificate authorities (Mozilla's list), no client certificate.
    pub fn public() -> Result<Self, BadTls> {
        Self::from_pem(&[], None)
    }

    /// The given certificate authorities instead of the public ones, unless there are none; and a client certificate: its chain, its
    /// own certificate first, and its key.
    pub fn from_pem(ca_certificates: &[String], client: Option<(String, Secret)>) -> Result<Self, BadTls> {
        let mut digest = Sha256::new();
        let trusting = trust(ca_certificates, &mut digest)?;
        let mut config = match client {
            None => trusting.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = certificates(chain.as_bytes()).ok_or(BadTls::ChainNotPem)?;
                let key = PrivateKeyDer::from_pem_slice(key.expose()).map_err(|_| BadTls::KeyNotPem)?;
                digest.update(b"client");
                chain.iter().for_each(|certificate| part(&mut digest, certificate));
                part(&mut digest, key.secret_der());
                trusting.with_client_auth_cert(chain, key).map_err(BadTls::Client)?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { digest: digest.finalize().into(), config: config.into() })
    }

    pub(super) fn digest(&self) -> TlsDigest {
        self.digest
    }

    /// As rustls has it.
    pub fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }
}

fn trust(ca_certificates: &[String], digest: &mut Sha256) -> Result<ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, BadTls> {
    if ca_certificates.is_empty() {
        return Ok(builder()?.with_webpki_roots());
    }
    let mut roots = RootCertStore::empty();
    for (index, text) in ca_certificates.iter().enumerate() {
        for certificate in certificates(text.as_bytes()).ok_or(BadTls::CaNotPem { index })? {
            part(digest, &certificate);
            roots.add(certificate).map_err(|cause| BadTls::Ca { index, cause })?;
        }
    }
    Ok(builder()?.with_root_certificates(roots))
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, BadTls> {
    ClientConfig::builder_with_provider(ring::default_provider().into()).with_safe_default_protocol_versions().map_err(BadTls::SetUp)
}

/// The certificates of a text in PEM, one at least; `None` where any of it cannot be read.
pub(crate) fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().ok()?;
    Some(certificates).filter(|certificates| !certificates.is_empty())
}

/// With its length in front, so that no two lists have the same digest.
fn part(digest: &mut Sha256, bytes: &[u8]) {
    digest.update((bytes.len() as u64).to_be_bytes());
    digest.update(bytes);
}
