//! The listeners' certificate: TLS 1.2 and 1.3, with HTTP/2 and HTTP/1.1 by ALPN. It is read again when its files change and on request;
//! if the new one cannot be used, the old one stays.

use std::{fs, io, path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, pem::PemObject},
};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::{config::http::TlsFiles, transport::certificates};

/// Time between two checks of the files.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Why a certificate cannot be used. The error contains nothing of the key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("`tls`: {} cannot be read: {source}", path.display())]
    File {
        /// The file's path.
        path: PathBuf,
        /// Why it cannot be read.
        source: io::Error,
    },
    /// The file contains no certificate.
    #[error("`tls.certificate_file`: {} is not PEM with at least one whole `BEGIN CERTIFICATE`", .0.display())]
    NoCertificate(PathBuf),
    /// The file contains no key.
    #[error("`tls.key_file`: {} holds no `BEGIN PRIVATE KEY`, `BEGIN RSA PRIVATE KEY` or `BEGIN EC PRIVATE KEY` in PEM", .0.display())]
    NoKey(PathBuf),
    /// Key and certificate do not belong together, or their kind is not supported.
    #[error("`tls`: the certificate and its key cannot be used: {0}")]
    Unusable(rustls::Error),
}

/// The state of a file: its length, its time and its inode. If a link is changed to another file, the inode differs.
type Mark = Option<(u64, Option<std::time::SystemTime>, u64)>;

/// The certificate in use. Clones share it.
#[derive(Clone)]
pub struct Certificates {
    files: Arc<TlsFiles>,
    config: Arc<ArcSwap<ServerConfig>>,
    asked: Arc<Notify>,
}

impl Certificates {
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let config = read(&files)?;
        Ok(Self { files: Arc::new(files), config: Arc::new(ArcSwap::from(config)), asked: Arc::default() })
    }

    /// The TLS acceptor for the next connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }

    /// Requests that the files are read again.
    pub fn reload(&self) {
        self.asked.notify_one();
    }

    /// Reads the files again when they change or on request, until `stop`.
    pub async fn watch(self, stop: CancellationToken) {
        let mut seen = self.marks();
        loop {
            let is_asked = tokio::select! {
                () = stop.cancelled() => return,
                () = self.asked.notified() => true,
                () = tokio::time::sleep(LOOK_EVERY) => false,
            };
            let now = self.marks();
            if !is_asked && now == seen {
                continue;
            }
            match read(&self.files) {
                Ok(config) => {
                    self.config.store(config);
                    tracing::info!(file = %self.files.certificate_file.display(), "the certificate was read again");
                }
                // Usually only one of the two files has changed yet. The other follows and is read then.
                Err(error) => tracing::error!(%error, "the changed certificate cannot be used; the one before goes on"),
            }
            seen = now;
        }
    }

    fn marks(&self) -> [Mark; 2] {
        use std::os::unix::fs::MetadataExt;
        let mark = |path: &PathBuf| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.len(), metadata.modified().ok(), metadata.ino()))
        };
        [mark(&self.files.certificate_file), mark(&self.files.key_file)]
    }
}

fn read(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let TlsFiles { certificate_file, key_file } = files;
    let bytes = |path: &PathBuf| fs::read(path).map_err(|source| TlsError::File { path: path.clone(), source });
    let chain = certificates(&bytes(certificate_file)?).ok_or_else(|| TlsError::NoCertificate(certificate_file.clone()))?;
    let key = PrivateKeyDer::from_pem_slice(&bytes(key_file)?).map_err(|_| TlsError::NoKey(key_file.clone()))?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(TlsError::Unusable)?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).map_err(TlsError::Unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
