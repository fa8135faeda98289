//! Signatures and credentials, put on each attempt and never stored with it (decision 4).

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};

use crate::{
    clock::millis,
    dispatcher,
    model::{
        delivery::Delivery,
        outcome::{Failure, FailureKind},
        reference::{Expansion, Scope},
        secret::{Secret, SecretRef},
        signature::{self, SignInput, SigningScheme},
        webhook::{Auth, HeaderValueSpec, Webhook},
    },
    services::Services,
    transport::TlsSettings,
};

/// How deep the chain of calls to ourselves is (decision 10), with a keyed hash that only this host can make.
pub const DEPTH_HEADER: &str = "hookwright-depth";

/// The value of a secret, for one computation.
pub async fn secret(services: &Services, reference: &SecretRef) -> Result<Secret, Failure> {
    match services.store.secret(&reference.name, reference.version).await {
        Ok(Some(secret)) => Ok(secret),
        Ok(None) => Err(Failure::new(FailureKind::SecretMissing, format!("there is no secret `{reference}`"))),
        Err(error) => Err(Failure::new(FailureKind::SecretMissing, format!("the secret `{reference}` cannot be read: {error}"))),
    }
}

/// Puts the signature's headers on; returns the body where the scheme rewrites it.
pub async fn sign(
    services: &Services,
    webhook: &Webhook,
    id: &str,
    body: &[u8],
    headers: &mut HeaderMap,
    secret_headers: &mut Vec<HeaderName>,
) -> Result<Option<Bytes>, Failure> {
    let (scheme, references) = &webhook.signing;
    if *scheme == SigningScheme::None {
        return Ok(None);
    }
    let mut keys = Vec::with_capacity(references.len());
    for reference in references {
        keys.push(secret(services, reference).await?);
    }
    let content_type = headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let timestamp_s = i64::try_from(millis(services.clock.now()) / 1000).unwrap_or(i64::MAX);
    let signed = signature::sign(*scheme, &SignInput { id, timestamp_s, body, content_type: &content_type }, &keys)
        .map_err(|error| Failure::new(FailureKind::SecretMissing, format!("the key does not fit the scheme: {error}")))?;
    for (name, value) in signed.headers {
        if value.is_sensitive() {
            secret_headers.push(name.clone());
        }
        headers.insert(name, value);
    }
    Ok(signed.body)
}

/// Puts the webhook's credentials on.
pub async fn authenticate(
    services: &Services,
    webhook: &Webhook,
    delivery: &Delivery,
    headers: &mut HeaderMap,
    secret_headers: &mut Vec<HeaderName>,
) -> Result<(), Failure> {
    match &webhook.auth {
        Auth::None => Ok(()),
        Auth::Bearer(reference) => {
            let token = secret(services, reference).await?;
            put(headers, secret_headers, AUTHORIZATION, [b"Bearer ", token.expose()].concat())
        }
        Auth::Basic(username, reference) => {
            let password = secret(services, reference).await?;
            let pair = match username {
                Some(username) => [username.as_bytes(), b":", password.expose()].concat(),
                None => password.expose().to_vec(),
            };
            put(headers, secret_headers, AUTHORIZATION, format!("Basic {}", BASE64_STANDARD.encode(pair)).into_bytes())
        }
        Auth::Headers(specs) => {
            let parameters = dispatcher::session_parameters(services, delivery).await?;
            let scope = Scope { ambient: services.ambient(), ..Scope::of(&parameters) };
            for (name, spec) in specs {
                let value = match spec {
                    HeaderValueSpec::Secret(reference) => secret(services, reference).await?.expose().to_vec(),
                    HeaderValueSpec::Text(_) => spec.text(&scope, &mut Expansion::default()).unwrap_or_default().into_bytes(),
                };
                let name = HeaderName::try_from(name)
                    .map_err(|_| Failure::new(FailureKind::RequestInvalid, format!("`{name}` is no header name")))?;
                put(headers, secret_headers, name, value)?;
            }
            Ok(())
        }
    }
}

/// Trust and client certificate; `None` where the webhook has neither.
pub async fn tls(services: &Services, webhook: &Webhook) -> Result<Option<Arc<TlsSettings>>, Failure> {
    if webhook.tls.ca_certificates.is_empty() && webhook.tls.client_certificate.is_none() {
        return Ok(None);
    }
    let client = match &webhook.tls.client_certificate {
        Some(certificate) => Some((certificate.certificate.clone(), secret(services, &certificate.key).await?)),
        None => None,
    };
    TlsSettings::from_pem(&webhook.tls.ca_certificates, client)
        .map(|settings| Some(Arc::new(settings)))
        .map_err(|error| Failure::new(FailureKind::TlsFailed, format!("the webhook's certificates cannot be used: {error}")))
}

/// Tells a call to ourselves how deep it is. Nothing is said to anybody else.
pub async fn carry_depth(services: &Services, url: &url::Url, depth: u8, headers: &mut HeaderMap) {
    if services.transport.is_own(url).await
        && let Ok(value) = HeaderValue::from_str(&depth_value(services, depth + 1))
    {
        headers.insert(DEPTH_HEADER, value);
    }
}

/// The depth a call claims, if this host wrote it; 0 otherwise.
pub fn read_depth(services: &Services, headers: &HeaderMap) -> u8 {
    let Some(text) = headers.get(DEPTH_HEADER).and_then(|value| value.to_str().ok()) else { return 0 };
    let Some(depth) = text.split_once('.').and_then(|(depth, _)| depth.parse().ok()) else { return 0 };
    if subtle::ConstantTimeEq::ct_eq(depth_value(services, depth).as_bytes(), text.as_bytes()).into() { depth } else { 0 }
}

fn depth_value(services: &Services, depth: u8) -> String {
    format!("{depth}.{}", hex::encode(services.store.storage_key().keyed_hash("depth", &[depth])))
}

fn put(headers: &mut HeaderMap, secret_headers: &mut Vec<HeaderName>, name: HeaderName, value: Vec<u8>) -> Result<(), Failure> {
    let mut value = HeaderValue::from_bytes(&value).map_err(|_| {
        Failure::new(FailureKind::RequestInvalid, format!("the credential for `{name}` has a character HTTP does not allow"))
    })?;
    value.set_sensitive(true);
    secret_headers.push(name.clone());
    headers.insert(name, value);
    Ok(())
}
