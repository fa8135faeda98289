//! Whom a connection trusts, what it shows, and where it goes: a webhook's authorities, client certificate and `resolve`.

use std::{net::SocketAddr, sync::Arc};

use url::Url;

use super::secrets::secret;
use crate::{
    model::{
        outcome::{Failure, FailureKind},
        secret::Secret,
        webhook::Webhook,
    },
    services::Services,
    transport::TlsSettings,
};

/// Trust and client certificate; `None` where the webhook has neither.
pub async fn tls(services: &Services, webhook: &Webhook) -> Result<Option<Arc<TlsSettings>>, Failure> {
    let client = match &webhook.tls.client_certificate {
        Some(certificate) => Some((certificate.certificate.clone(), secret(services, &certificate.key).await?)),
        None => None,
    };
    trusting(&webhook.tls.ca_certificates, client)
}

/// Trust alone: without a client certificate, whose key is a credential.
pub fn authorities(webhook: &Webhook) -> Result<Option<Arc<TlsSettings>>, Failure> {
    trusting(&webhook.tls.ca_certificates, None)
}

/// The settings for these authorities and this certificate; `None` where there are neither.
pub fn trusting(ca_certificates: &[String], client: Option<(String, Secret)>) -> Result<Option<Arc<TlsSettings>>, Failure> {
    if ca_certificates.is_empty() && client.is_none() {
        return Ok(None);
    }
    TlsSettings::from_pem(ca_certificates, client)
        .map(|settings| Some(Arc::new(settings)))
        .map_err(|error| Failure::new(FailureKind::RequestInvalid, format!("the webhook's certificates cannot be used: {error}")))
}

/// Where the webhook says that the URL's host is.
pub fn pinned(webhook: &Webhook, url: &Url) -> Option<SocketAddr> {
    webhook.resolve.get(&url.host_str()?.to_ascii_lowercase()).copied()
}
