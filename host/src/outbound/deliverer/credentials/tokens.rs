//! Bearer tokens that are got first: from a token endpoint, or signed here. They are kept in memory alone, until shortly before they end.
//!
//! A token endpoint is called like any other: over the same transport, to an address the policy allows, within limits.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT},
};
use sha2::{Digest, Sha256};
use url::Url;

use super::super::{
    secrets::{check_current, secret},
    trust::{pinned, trusting},
};
use crate::{
    model::{
        id::WebhookId,
        oauth::{self, Question, Signer, Token, Wanted, audience, read_answer},
        outcome::{Failure, FailureKind},
        secret::Secret,
        webhook::{
            Webhook,
            auth::{TokenKind, TokenSource},
        },
    },
    services::Services,
    transport::{AGENT, Outgoing},
    volatile::tokens::{Kept, Key, Used, is_good},
};

/// How long a token endpoint may take.
pub const TOKEN_TIME_MAX: Duration = Duration::from_secs(10);

/// Bytes of a token endpoint's answer.
pub const TOKEN_ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The token for a request to `url`: the one that is kept, or a new one.
pub(super) async fn token(
    services: &Services,
    webhook: &Webhook,
    environment: Option<&str>,
    source: &TokenSource,
    url: &str,
) -> Result<(Secret, Used), Failure> {
    let secret = secret(services, source.secret()).await?;
    // The secret goes to the token endpoint, so it has to be the one that was written for it.
    check_current(services, webhook, environment)?;
    let audience = audience(url);
    let asked_at = source.endpoint.as_deref().and_then(|endpoint| pinned(webhook, &endpoint.parse().ok()?));
    let key = key(source, &secret, &Place { webhook: &webhook.id, origin: webhook.request.url().destination(), asked_at, audience });
    let now = services.clock.now();
    let (slot, came) = (services.tokens.slot(key, now), Instant::now());
    let mut kept = slot.lock().await;
    if let Some(token) = kept.token.as_ref().filter(|token| is_good(Some(token), now)) {
        return Ok((token.value.clone(), Used { key, value: token.value.clone() }));
    }
    // Asked for while this waited: the answer is everybody's. Where each asked in turn, the last would wait for all the others' timeouts.
    if let Some((_, failure)) = kept.failed.as_ref().filter(|(at, _)| *at >= came) {
        return Err(failure.clone());
    }
    match fresh(services, webhook, source, &secret, audience).await {
        Ok(fresh) => {
            let value = fresh.value.clone();
            *kept = Kept { token: Some(fresh), failed: None };
            Ok((value.clone(), Used { key, value }))
        }
        Err(failure) => {
            kept.failed = Some((Instant::now(), failure.clone()));
            Err(failure)
        }
    }
}

/// Where a token is got and used.
struct Place<'a> {
    webhook: &'a WebhookId,
    /// The webhook's, in the environment.
    origin: String,
    /// Where the webhook says that the token endpoint is, in place of what the name service says.
    asked_at: Option<SocketAddr>,
    audience: &'a str,
}

fn key(source: &TokenSource, secret: &Secret, place: &Place<'_>) -> Key {
    let mut digest = Sha256::new();
    let mut part = |bytes: &[u8]| {
        digest.update((bytes.len() as u64).to_be_bytes());
        digest.update(bytes);
    };
    // All it holds is written by an admin; its form for debugging names each part.
    part(format!("{source:?}").as_bytes());
    part(secret.expose());
    part(place.webhook.as_str().as_bytes());
    part(place.origin.as_bytes());
    part(format!("{:?}", place.asked_at).as_bytes());
    if matches!(source.kind, TokenKind::Identity { .. }) {
        part(place.audience.as_bytes());
    }
    digest.finalize().into()
}

async fn fresh(services: &Services, webhook: &Webhook, source: &TokenSource, secret: &Secret, audience: &str) -> Result<Token, Failure> {
    let now = services.clock.now();
    let bad_key = |error: oauth::BadKey| Failure::new(FailureKind::TokenFailed, format!("the secret `{}`: {error}", source.secret()));
    let endpoint = source.endpoint.as_deref();
    let (question, wanted) = match (&source.kind, endpoint) {
        (TokenKind::Client { id, auth, scopes, .. }, _) => (oauth::client_credentials(id, secret, *auth, scopes), Wanted::Access),
        (TokenKind::Account { key, scopes }, endpoint) => {
            let signer = Signer::new(key, secret).map_err(bad_key)?;
            let assertion = signer.assertion(endpoint.unwrap_or_default(), scopes, None, now).map_err(bad_key)?;
            (oauth::jwt_bearer(&assertion), Wanted::Access)
        }
        (TokenKind::Identity { key }, None) => {
            return Signer::new(key, secret).and_then(|key| key.identity(audience, now)).map_err(bad_key);
        }
        (TokenKind::Identity { key }, Some(endpoint)) => {
            let signer = Signer::new(key, secret).map_err(bad_key)?;
            let assertion = signer.assertion(endpoint, &[], Some(audience), now).map_err(bad_key)?;
            (oauth::jwt_bearer(&assertion), Wanted::Identity)
        }
    };
    ask(services, webhook, source, question, wanted).await
}

/// Asks the token endpoint.
async fn ask(services: &Services, webhook: &Webhook, source: &TokenSource, question: Question, wanted: Wanted) -> Result<Token, Failure> {
    let endpoint = source.endpoint.as_deref().unwrap_or_default();
    let failed = |detail: String| Failure::new(FailureKind::TokenFailed, format!("no token from the token endpoint: {detail}"));
    let url: Url = endpoint.parse().map_err(|error| failed(format!("its URL is none: {error}")))?;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    if let Some(authorization) = question.authorization {
        let mut value = HeaderValue::from_bytes(authorization.expose()).map_err(|error| failed(error.to_string()))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    let outgoing = Outgoing {
        method: Method::POST,
        pinned: pinned(webhook, &url),
        url,
        exact_url: endpoint.to_owned(),
        headers,
        body: Bytes::copy_from_slice(question.form.expose()),
        total_time_max: TOKEN_TIME_MAX,
        response_bytes_max: TOKEN_ANSWER_BYTES_MAX,
        tls: trusting(&source.ca_certificates, None)?,
    };
    let answer = services.transport.send(outgoing).await.map_err(|failure| failed(failure.detail))?;
    let now = services.clock.now();
    let body = match answer.whole() {
        // Of a refusal the status says enough.
        Err(failure) if (200..300).contains(&answer.status) => return Err(failed(failure.detail.clone())),
        _ => &answer.body,
    };
    read_answer(answer.status, body, wanted, now).map_err(|detail| failed(detail).waiting(answer.retry_after(now)))
}
