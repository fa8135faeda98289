//! The HTTP edge: connections (`edge`), routing, one file per resource. Only `respond` knows status codes.

use std::sync::Arc;

use http::{Request, Response, header::HOST};
use hyper::body::Incoming;

use self::caller::{Caller, Sent};
use crate::services::Services;

pub(crate) mod actions;
pub(crate) mod arcgis;
pub(crate) mod audit;
pub(crate) mod authorization;
pub(crate) mod body;
pub(crate) mod caller;
pub(crate) mod calls;
pub(crate) mod codes;
pub(crate) mod cx;
pub(crate) mod deliveries;
pub(crate) mod document;
pub(crate) mod edge;
pub(crate) mod events;
pub(crate) mod health;
pub(crate) mod inbound;
pub(crate) mod inline;
pub(crate) mod invoke;
pub(crate) mod maintenance;
pub(crate) mod metrics;
pub(crate) mod openapi;
pub(crate) mod origin;
pub(crate) mod plugins;
pub(crate) mod profiles;
pub(crate) mod receivers;
pub(crate) mod recovery;
pub(crate) mod request;
pub(crate) mod respond;
pub(crate) mod route;
pub mod router;
pub(crate) mod secrets;
pub(crate) mod services;
pub(crate) mod sessions;
pub(crate) mod templates;
pub(crate) mod tokens;
pub(crate) mod triggers;
pub(crate) mod try_out;
pub(crate) mod webhooks;

pub use caller::Face;
pub use respond::Body;

/// Answers one request.
pub async fn answer(router: Arc<router::Router>, services: Services, request: Request<Incoming>, caller: Caller) -> Response<Body> {
    let (mut parts, incoming) = request.into_parts();
    let request_id = audit::request_id(&parts.headers);
    parts.headers.insert(audit::REQUEST_ID, request_id.clone());
    let settings = &services.limits.http;
    let remote = edge::request::settle(&mut parts, caller, settings);
    let mut body = body::RequestBody::new(incoming, services.clone(), &parts, remote.ip());
    let (metrics, limits) = (services.metrics.clone(), Arc::clone(&services.limits));
    let code = inbound::CodePath::find(parts.uri.path());
    // A host name that serves only codes is an origin of its own.
    let is_apart = parts.headers.get(HOST).and_then(|host| host.to_str().ok()).is_some_and(|host| settings.serves_codes_alone(host));
    let face = if is_apart && caller.face == Face::Everything { Face::Public } else { caller.face };
    // A receiver chooses the headers of its replies, so CORS and compression do not apply to them.
    let asking = code.is_none().then(|| edge::response::Asking::of(&parts, settings));
    let mut response = match asking.as_ref().and_then(edge::response::Asking::preflight) {
        Some(response) => response,
        None => router.answer(services, code, parts, &mut body, Sent { remote, face, is_apart }).await,
    };
    if let Some(asking) = asking {
        response = asking.dress(response, caller.is_encrypted, &limits.http).await;
    }
    edge::response::name(&mut response, request_id);
    metrics.answered(response.status().as_u16());
    body.leave();
    response
}
