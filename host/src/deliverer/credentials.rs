//! Signatures and credentials, put on each attempt and never stored with it (decision 4).

use std::{net::SocketAddr, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};
use url::Url;

use crate::{
    clock::millis,
    dispatcher,
    model::{
        outcome::{Failure, FailureKind},
        reference::{Expansion, SUBSTITUTED_BYTES_MAX},
        request::headers::HEADER_VALUE_BYTES_MAX,
        secret::{Secret, SecretRef},
        signature::{self, SignInput, SigningScheme},
        webhook::{
            Webhook,
            auth::{Auth, HeaderValueSpec},
        },
    },
    services::Services,
    store::Claimed,
    transport::TlsSettings,
};

mod tokens;

pub use tokens::{TOKEN_ANSWER_BYTES_MAX, TOKEN_TIME_MAX, TOKENS_MAX, Tokens, Used};

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
pub async fn sign(services: &Services, webhook: &Webhook, id: &str, body: &[u8], head: &mut Head) -> Result<Option<Bytes>, Failure> {
    let (scheme, references) = &webhook.signing;
    if *scheme == SigningScheme::None {
        return Ok(None);
    }
    let mut keys = Vec::with_capacity(references.len());
    for reference in references {
        keys.push(secret(services, reference).await?);
    }
    let content_type = head.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let timestamp_s = i64::try_from(millis(services.clock.now()) / 1000).unwrap_or(i64::MAX);
    let signed = signature::sign(*scheme, &SignInput { id, timestamp_s, body, content_type: &content_type }, &keys)
        .map_err(|error| Failure::new(FailureKind::SecretMissing, format!("the key does not fit the scheme: {error}")))?;
    for (name, value) in signed.headers {
        if value.is_sensitive() {
            head.shown.headers.push(name.clone());
        }
        head.headers.insert(name, value);
    }
    Ok(signed.body)
}

/// What the credentials of one attempt left behind.
#[derive(Default)]
pub struct Shown {
    /// Headers whose values are credentials.
    pub headers: Vec<HeaderName>,
    /// The token among them, if it was got for it.
    pub token: Option<Used>,
    /// References in them that have no value.
    pub unset: Vec<String>,
    /// Headers whose value the webhook's document spells out.
    pub spelt_out: Vec<String>,
}

/// The head of a request on its way to be sent, and what its credentials left behind.
pub struct Head {
    /// Its headers so far.
    pub headers: HeaderMap,
    /// What the credentials among them left behind.
    pub shown: Shown,
}

/// Whose credentials a request gets, and for which delivery.
#[derive(Clone, Copy)]
pub struct Sender<'a> {
    /// Where secrets, sessions and tokens come from.
    pub services: &'a Services,
    /// The webhook.
    pub webhook: &'a Webhook,
    /// The delivery, with its events.
    pub claimed: &'a Claimed,
}

/// What a signed request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be sent.
    Send,
    /// To be shown. Nobody is asked for a token for that.
    Show,
}

/// Puts the webhook's credentials on a request to `url`.
pub async fn authenticate(sender: Sender<'_>, url: &str, purpose: Purpose, head: &mut Head) -> Result<(), Failure> {
    let Sender { services, webhook, .. } = sender;
    match &webhook.auth {
        Auth::None => Ok(()),
        Auth::Bearer(reference) => {
            let token = secret(services, reference).await?;
            put(head, AUTHORIZATION, [b"Bearer ", token.expose()].concat())
        }
        Auth::Basic(username, reference) => {
            let password = secret(services, reference).await?;
            let pair = match username {
                Some(username) => [username.as_bytes(), b":", password.expose()].concat(),
                None => password.expose().to_vec(),
            };
            put(head, AUTHORIZATION, format!("Basic {}", BASE64_STANDARD.encode(pair)).into_bytes())
        }
        Auth::Token(_) if purpose == Purpose::Show => put(head, AUTHORIZATION, b"Bearer".to_vec()),
        Auth::Token(source) => {
            let environment = sender.claimed.delivery.environment.as_deref();
            let (token, used) = tokens::token(services, webhook, environment, source, url).await?;
            head.shown.token = Some(used);
            put(head, AUTHORIZATION, [b"Bearer ", token.expose()].concat())
        }
        Auth::Headers(specs) => custom(sender, specs, purpose, head).await,
    }
}

/// Headers an admin wrote, with what they refer to.
async fn custom(sender: Sender<'_>, specs: &[(String, HeaderValueSpec)], purpose: Purpose, head: &mut Head) -> Result<(), Failure> {
    let services = sender.services;
    let texts = expanded(sender, specs, purpose, &mut head.shown).await?;
    for ((name, spec), text) in specs.iter().zip(texts) {
        let value = match spec {
            HeaderValueSpec::Secret(reference) => secret(services, reference).await?.expose().to_vec(),
            HeaderValueSpec::Text(_) => text.into_bytes(),
        };
        let name =
            HeaderName::try_from(name).map_err(|_| Failure::new(FailureKind::RequestInvalid, format!("`{name}` is no header name")))?;
        put(head, name, value)?;
    }
    Ok(())
}

/// The text of each of these headers; nothing for one that is a secret. Session and event are read only where a text refers to something.
async fn expanded(
    sender: Sender<'_>,
    specs: &[(String, HeaderValueSpec)],
    purpose: Purpose,
    shown: &mut Shown,
) -> Result<Vec<String>, Failure> {
    let Sender { services, webhook, claimed } = sender;
    let is_literal = |(_, spec): &(String, HeaderValueSpec)| match spec {
        HeaderValueSpec::Secret(_) => true,
        HeaderValueSpec::Text(template) => template.is_literal(),
    };
    if specs.iter().all(is_literal) {
        let source = |(_, spec): &(String, HeaderValueSpec)| match spec {
            HeaderValueSpec::Secret(_) => String::new(),
            HeaderValueSpec::Text(template) => template.source(),
        };
        return Ok(specs.iter().map(source).collect());
    }
    let session = match purpose {
        Purpose::Send => dispatcher::session(services, &claimed.delivery).await?,
        // The values are not shown. A session is not prolonged by a look at it.
        Purpose::Show => dispatcher::session_looked_at(services, &claimed.delivery).await?,
    };
    let document = dispatcher::event_document(claimed, webhook);
    let scope = dispatcher::scope(services.ambient(), claimed, &session.parameters, &document, session.webhook_status_code);
    let mut expansion = Expansion::default();
    let mut texts = Vec::with_capacity(specs.len());
    for (_, spec) in specs {
        texts.push(match spec {
            HeaderValueSpec::Secret(_) => String::new(),
            HeaderValueSpec::Text(template) => template.expand_text(&scope, &mut expansion),
        });
    }
    if let Some(failure) = expansion.failure() {
        return Err(Failure::new(FailureKind::FunctionFailed, failure.to_string()));
    }
    if expansion.overflowed() {
        return Err(Failure::new(
            FailureKind::RequestInvalid,
            format!("the values in `auth` have more than {SUBSTITUTED_BYTES_MAX} bytes"),
        ));
    }
    shown.unset = expansion.into_names();
    Ok(texts)
}

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
fn trusting(ca_certificates: &[String], client: Option<(String, Secret)>) -> Result<Option<Arc<TlsSettings>>, Failure> {
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

/// Looks whether the credentials are there: every secret, and a token where one is got. What was found, for people.
pub async fn check(services: &Services, webhook: &Webhook, environment: Option<&str>, url: &str) -> Result<Option<String>, Failure> {
    for reference in webhook.auth.secrets() {
        secret(services, reference).await?;
    }
    match &webhook.auth {
        Auth::None => Ok(None),
        Auth::Token(source) => tokens::token(services, webhook, environment, source, url).await.map(|_| Some("a token was got".to_owned())),
        _ => Ok(Some("every secret is there".to_owned())),
    }
}

/// Tells a call to ourselves how deep it is. Nothing is said to anybody else.
pub async fn carry_depth(services: &Services, url: &Url, depth: u8, headers: &mut HeaderMap) {
    if services.transport.is_own(url).await
        && let Ok(mut value) = HeaderValue::from_str(&depth_value(services, depth + 1))
    {
        value.set_sensitive(true);
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

fn put(head: &mut Head, name: HeaderName, value: Vec<u8>) -> Result<(), Failure> {
    if value.len() > HEADER_VALUE_BYTES_MAX {
        let detail = format!("the credential for `{name}` has {} bytes; a header may have {HEADER_VALUE_BYTES_MAX}", value.len());
        return Err(Failure::new(FailureKind::RequestInvalid, detail));
    }
    let mut value = HeaderValue::from_bytes(&value).map_err(|_| {
        Failure::new(FailureKind::RequestInvalid, format!("the credential for `{name}` has a character HTTP does not allow"))
    })?;
    value.set_sensitive(true);
    head.shown.headers.push(name.clone());
    head.headers.insert(name, value);
    Ok(())
}
