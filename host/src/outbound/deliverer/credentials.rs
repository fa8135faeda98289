//! Signatures and credentials, put on each attempt and never stored with it (decision: credentials-per-attempt).

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};

use self::tokens::token;
use super::{super::material::Material, secrets::secret};
use crate::{
    clock::{self, millis},
    model::{
        function::Ambient,
        outcome::{Failure, FailureKind},
        reference::{Expansion, SUBSTITUTED_BYTES_MAX, Scope},
        request::headers::HEADER_VALUE_BYTES_MAX,
        signature::{self, SignInput, SigningScheme},
        webhook::{
            Webhook,
            auth::{Auth, HeaderValueSpec},
        },
    },
    services::Services,
    volatile::tokens::Used,
};

mod tokens;

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

/// What a signed request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be sent.
    Send,
    /// To be shown. Nobody is asked for a token for that.
    Show,
}

/// The headers of a request while its signature and its credentials are put on.
pub struct Signing<'m> {
    material: &'m Material<'m>,
    /// The headers.
    pub headers: HeaderMap,
    /// What was put on.
    pub shown: Shown,
}

impl<'m> Signing<'m> {
    /// Nothing is put on these headers yet.
    pub fn new(material: &'m Material<'m>, headers: HeaderMap) -> Self {
        Self { material, headers, shown: Shown::default() }
    }

    /// Puts the signature's headers on; returns the body where the scheme rewrites it.
    pub async fn sign(&mut self, body: &[u8]) -> Result<Option<Bytes>, Failure> {
        let Material { services, webhook, claimed, .. } = self.material;
        let (scheme, references) = &webhook.signing;
        if *scheme == SigningScheme::None {
            return Ok(None);
        }
        let mut keys = Vec::with_capacity(references.len());
        for reference in references {
            keys.push(secret(services, reference).await?);
        }
        let content_type = self.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let timestamp_s = i64::try_from(millis(services.clock.now()) / 1000).unwrap_or(i64::MAX);
        let input = SignInput { id: claimed.delivery.id.as_str(), timestamp_s, body, content_type };
        let signed = signature::sign(*scheme, &input, &keys)
            .map_err(|error| Failure::new(FailureKind::SecretMissing, format!("the key does not fit the scheme: {error}")))?;
        for (name, value) in signed.headers {
            if value.is_sensitive() {
                self.shown.headers.push(name.clone());
            }
            self.headers.insert(name, value);
        }
        Ok(signed.body)
    }

    /// Puts the webhook's credentials on a request to `url`.
    pub async fn authenticate(&mut self, url: &str, purpose: Purpose) -> Result<(), Failure> {
        let Material { services, webhook, claimed, .. } = self.material;
        match &webhook.auth {
            Auth::None => Ok(()),
            Auth::Bearer(reference) => {
                let token = secret(services, reference).await?;
                self.put(AUTHORIZATION, &[b"Bearer ", token.expose()].concat())
            }
            Auth::Basic(username, reference) => {
                let password = secret(services, reference).await?;
                let pair = match username {
                    Some(username) => [username.as_bytes(), b":", password.expose()].concat(),
                    None => password.expose().to_vec(),
                };
                self.put(AUTHORIZATION, format!("Basic {}", BASE64_STANDARD.encode(pair)).as_bytes())
            }
            Auth::Token(_) if purpose == Purpose::Show => self.put(AUTHORIZATION, b"Bearer"),
            Auth::Token(source) => {
                let environment = claimed.delivery.environment.as_deref();
                let (token, used) = token(services, webhook, environment, source, url).await?;
                self.shown.token = Some(used);
                self.put(AUTHORIZATION, &[b"Bearer ", token.expose()].concat())
            }
            Auth::Headers(specs) => self.custom(specs).await,
        }
    }

    /// Headers an admin wrote, with what they refer to.
    async fn custom(&mut self, specs: &[(String, HeaderValueSpec)]) -> Result<(), Failure> {
        let texts = self.expanded(specs).await?;
        for ((name, spec), text) in specs.iter().zip(texts) {
            let value = match spec {
                HeaderValueSpec::Secret(reference) => secret(self.material.services, reference).await?.expose().to_vec(),
                HeaderValueSpec::Text(_) => text.into_bytes(),
            };
            let name =
                HeaderName::try_from(name).map_err(|_| Failure::new(FailureKind::RequestInvalid, format!("`{name}` is no header name")))?;
            self.put(name, &value)?;
        }
        Ok(())
    }

    /// The text of each of these headers; nothing for one that is a secret. Session and event are read only where a text refers to
    /// something.
    async fn expanded(&mut self, specs: &[(String, HeaderValueSpec)]) -> Result<Vec<String>, Failure> {
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
        let scope = self.material.scope().await?;
        // What is drawn for a header is not what was drawn for the request.
        let scope = Scope { ambient: Ambient { seed: clock::random(), ..scope.ambient }, ..scope };
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
        self.shown.unset = expansion.into_names();
        Ok(texts)
    }

    fn put(&mut self, name: HeaderName, value: &[u8]) -> Result<(), Failure> {
        if value.len() > HEADER_VALUE_BYTES_MAX {
            let detail = format!("the credential for `{name}` has {} bytes; a header may have {HEADER_VALUE_BYTES_MAX}", value.len());
            return Err(Failure::new(FailureKind::RequestInvalid, detail));
        }
        let mut value = HeaderValue::from_bytes(value).map_err(|_| {
            Failure::new(FailureKind::RequestInvalid, format!("the credential for `{name}` has a character HTTP does not allow"))
        })?;
        value.set_sensitive(true);
        self.shown.headers.push(name.clone());
        self.headers.insert(name, value);
        Ok(())
    }
}

/// Looks whether the credentials are there: every secret, and a token where one is got. What was found, for people.
pub async fn check(services: &Services, webhook: &Webhook, environment: Option<&str>, url: &str) -> Result<Option<String>, Failure> {
    for reference in webhook.auth.secrets() {
        secret(services, reference).await?;
    }
    match &webhook.auth {
        Auth::None => Ok(None),
        Auth::Token(source) => token(services, webhook, environment, source, url).await.map(|_| Some("a token was got".to_owned())),
        _ => Ok(Some("every secret is there".to_owned())),
    }
}
