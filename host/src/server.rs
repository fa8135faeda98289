//! The HTTP edge: connections (`edge`), routing, one file per resource. Status codes stand in `respond` and nowhere else.

use std::sync::Arc;

use http::{Request, Response, header::EXPECT};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};

use crate::services::Services;

pub mod actions;
pub mod arcgis;
pub mod audit;
pub mod calls;
pub mod codes;
pub mod cx;
pub mod deliveries;
pub mod edge;
pub mod events;
pub mod health;
pub mod inbound;
pub mod inline;
pub mod invoke;
pub mod maintenance;
pub mod metrics;
pub mod openapi;
pub mod plugins;
pub mod profiles;
pub mod receivers;
pub mod recovery;
pub mod rehearsals;
pub mod request;
pub mod respond;
pub mod router;
pub mod secrets;
pub mod services;
pub mod sessions;
pub mod templates;
pub mod tokens;
pub mod triggers;
pub mod webhooks;

/// Bytes of an answer.
pub type Body = Full<bytes::Bytes>;

/// What may be asked on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// Everything: there is one listener.
    Everything,
    /// Codes and how the host is; administrators have a listener of their own.
    Public,
    /// Everything but codes.
    Admin,
}

/// Answers one request.
pub async fn answer(router: Arc<router::Router>, services: Services, request: Request<Incoming>, caller: edge::Caller) -> Response<Body> {
    let (mut parts, mut body) = request.into_parts();
    let request_id = audit::request_id(&parts.headers);
    parts.headers.insert(audit::REQUEST_ID, request_id.clone());
    let settings = &services.limits.http;
    let remote = edge::request::settle(&mut parts, caller, settings);
    // Who expects a `100 Continue` has not sent what nobody asked for.
    let sends_anyway = !parts.headers.contains_key(EXPECT);
    let (metrics, limits) = (services.metrics.clone(), Arc::clone(&services.limits));
    let code = inbound::CodePath::find(parts.uri.path());
    // What a receiver answers is its own business.
    let asking = code.is_none().then(|| edge::response::Asking::of(&parts, settings));
    let mut response = match asking.as_ref().and_then(edge::response::Asking::preflight) {
        Some(response) => response,
        None => router.answer(services, code, parts, &mut body, remote, caller.face).await,
    };
    if let Some(asking) = asking {
        response = asking.dress(response, caller.is_encrypted, &limits.http).await;
    }
    edge::response::name(&mut response, request_id);
    metrics.answered(response.status().as_u16());
    if sends_anyway && !body.is_end_stream() {
        tokio::spawn(request::discard(body));
    }
    response
}
