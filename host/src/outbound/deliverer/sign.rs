//! A built request -> one that can only be sent: with its signature and its credentials.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{ACCEPT_ENCODING, USER_AGENT},
};

use super::{
    super::material::Material,
    credentials::{Purpose, Shown, Signing},
    secrets::check_current,
    trust::{pinned, tls},
};
use crate::{
    loop_depth,
    model::{
        outcome::{Failure, FailureKind},
        request::BuiltRequest,
    },
    transport::{AGENT, Outgoing, UNDERSTOOD},
};

/// A request with its signature and credentials on: it can only be sent.
pub(super) struct SignedRequest {
    /// What goes out.
    pub(super) outgoing: Outgoing,
    /// What its credentials are.
    pub(super) shown: Shown,
    /// Its URL without what it refers to.
    pub(super) shown_url: String,
    /// Whether the signature stands in the body.
    pub(super) is_signed_body: bool,
}

/// Signs a request and puts its credentials on.
pub(super) async fn sign(material: &Material<'_>, request: &BuiltRequest, purpose: Purpose) -> Result<SignedRequest, Failure> {
    let Material { services, claimed, webhook, .. } = material;
    let mut signing = Signing::new(material, headers(request, claimed.delivery.id.as_str())?);
    let url =
        request.url.parse().map_err(|error| Failure::new(FailureKind::RequestInvalid, format!("the URL cannot be parsed: {error}")))?;
    // The last look before a credential is taken out: at what is really sent, however it came here.
    if !webhook.request.url().leads_to(&url) {
        return Err(Failure::new(FailureKind::RequestInvalid, "the request is for another origin than the webhook's"));
    }
    let body = signing.sign(&request.body).await?;
    let is_signed_body = body.is_some();
    signing.authenticate(&request.url, purpose).await?;
    let Signing { mut headers, mut shown, .. } = signing;
    if purpose == Purpose::Send {
        loop_depth::carry_depth(services, &url, claimed.delivery.depth, &mut headers).await;
    }
    let method = Method::try_from(request.method.as_str())
        .map_err(|_| Failure::new(FailureKind::RequestInvalid, format!("`{}` is no method", request.method)))?;
    let outgoing = Outgoing {
        method,
        pinned: pinned(webhook, &url),
        url,
        exact_url: request.url.clone(),
        headers,
        body: body.unwrap_or_else(|| request.body.clone().into()),
        total_time_max: webhook.timeout,
        response_bytes_max: webhook.response_bytes_max,
        tls: tls(services, webhook).await?,
    };
    if purpose == Purpose::Send {
        check_current(services, webhook, claimed.delivery.environment.as_deref())?;
    }
    shown.spelt_out.clone_from(&request.spelt_out);
    Ok(SignedRequest { outgoing, shown, shown_url: request.shown_url(), is_signed_body })
}

/// The request's headers, and those every request has.
fn headers(request: &BuiltRequest, id: &str) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
            return Err(Failure::new(FailureKind::RequestInvalid, format!("the header `{name}` has a value HTTP does not allow")));
        };
        headers.append(name, value);
    }
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
    // Said here rather than by the connection, so that it is in the record.
    headers.entry(ACCEPT_ENCODING).or_insert(HeaderValue::from_static(UNDERSTOOD));
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert("webhook-id", value);
    }
    Ok(headers)
}
