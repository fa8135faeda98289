//! The HTTP edge: connections (`edge`), routing, one file per resource. Only `respond` knows status codes.

use std::sync::Arc;

use http::{Request, Response, header::HOST};
use hyper::body::Incoming;

use self::caller::{Caller, Sent};
use crate::services::Services;

pub mod actions;
pub mod arcgis;
pub mod audit;
pub mod authorization;
pub mod body;
pub mod caller;
pub mod calls;
pub mod codes;
pub mod cx;
pub mod deliveries;
pub mod document;
pub mod edge;
pub mod events;
pub mod health;
pub mod inbound;
pub mod inline;
pub mod invoke;
pub mod maintenance;
pub mod metrics;
pub mod openapi;
pub mod origin;
pub mod plugins;
pub mod profiles;
pub mod receivers;
pub mod recovery;
pub mod request;
pub mod respond;
pub mod route;
pub mod router;
pub mod secrets;
pub mod services;
pub mod sessions;
pub mod templates;
pub mod tokens;
pub mod triggers;
pub mod try_out;
pub mod webhooks;

pub use caller::Face;
pub use respond::Body;

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
