//! `/v1/audit`: who changed what. The store records a change of a document together with the change; this file records the other actions
//! of admins, after they are done.

use http::{HeaderMap, HeaderName, HeaderValue, Method, request::Parts};
use jiff::Timestamp;

use super::{
    request::Asked,
    respond::{Answer, List, ok},
};
use crate::{
    clock::random,
    model::{
        audit::{AuditEntry, AuditFilter, Deed, Origin},
        token::{Scope, TokenRecord},
    },
    services::Services,
};

/// The header with a request's identifier, in requests and answers.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest request identifier that is taken over from a client, in characters.
const REQUEST_ID_CHARS_MAX: usize = 128;

/// Characters of a request's method and path that the audit log keeps.
const REQUEST_CHARS_MAX: usize = 500;

/// Routes with a method other than GET that change nothing.
const CHANGES_NOTHING: [&str; 4] =
    ["/v1/webhooks/{name}/test", "/v1/webhooks/{name}/check", "/v1/plugins/{name}/try", "/v1/plugins/{name}/compare"];

/// The identifier that the client gave its request, or a new one.
pub fn request_id(headers: &HeaderMap) -> HeaderValue {
    let may_stand = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:=+/@".contains(byte);
    let given = headers.get(REQUEST_ID).filter(|id| (1..=REQUEST_ID_CHARS_MAX).contains(&id.len()) && id.as_bytes().iter().all(may_stand));
    let made = || HeaderValue::try_from(format!("req_{}", hex::encode(random::<12>())));
    given.cloned().or_else(|| made().ok()).unwrap_or_else(|| HeaderValue::from_static("req_"))
}

/// Who made a request and how: for the audit log.
pub fn origin(parts: &Parts, token: &TokenRecord) -> Origin {
    Origin {
        who: format!("token {}", token.name),
        token: Some(token.id()),
        request: Some(format!("{} {}", parts.method, parts.uri.path()).chars().take(REQUEST_CHARS_MAX).collect()),
        request_id: parts.headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).map(str::to_owned),
    }
}

/// Whether a request with this scope may change administrators' documents or show secrets. Requests for events and invocations do
/// neither, and there are too many of them for the audit log.
pub fn concerns_admins(scope: Scope) -> bool {
    !matches!(scope, Scope::EventsWrite | Scope::Invoke)
}

/// Whether a route changes administrators' documents.
pub fn changes_something(method: &Method, path: &str, scope: Option<Scope>) -> bool {
    *method != Method::GET && matches!(scope, Some(Scope::Admin | Scope::PluginsWrite)) && !CHANGES_NOTHING.contains(&path)
}

/// The audit entry of a request that changed no document: the last word of its route, and the thing it was about.
pub fn plain(method: &Method, route: &str, path: &[String]) -> Deed {
    let mut words = route.split('/').filter(|word| !word.is_empty() && *word != "v1");
    let kind = words.next().map_or("", |kind| match kind {
        "deliveries" => "delivery",
        plural => plural.strip_suffix('s').unwrap_or(plural),
    });
    let last = words.next_back().filter(|word| !word.starts_with('{'));
    let action = match (last, method) {
        (_, &Method::DELETE) => "deleted",
        (Some(word), _) if *method == Method::POST => word,
        (None, &Method::POST) => "begun",
        _ => "changed",
    };
    Deed::plain(action, kind, path.join("/"))
}

/// List what admins changed, newest first. Each change shows the document before and after it, without secrets.
#[utoipa::path(get, path = "/v1/audit", tag = "audit",
    params(("who" = Option<String>, Query, description = "only changes by this token: its name or `tok_...`; or `hookwright` for the host itself"), ("kind" = Option<String>, Query, description = "only changes of things of this kind, such as `webhook`"),
        ("name" = Option<String>, Query, description = "only changes of the thing with this name"), ("since" = Option<String>, Query, description = "only changes at or after this time, RFC 3339"),
        ("limit" = Option<usize>, Query, description = "1 to 500, 50 by default"), ("after" = Option<String>, Query, description = "`next` of the previous page")),
    responses((status = 200, description = "a page", body = List<AuditEntry>)))]
pub async fn list(services: Services, asked: Asked) -> Answer {
    asked.only(&["who", "kind", "name", "since", "limit", "after"])?;
    let (limit, after) = asked.page()?;
    let text = |name| asked.query(name).map(str::to_owned);
    let filter = AuditFilter {
        who: text("who"),
        kind: text("kind"),
        name: text("name"),
        since: asked.query_as::<Timestamp>("since", "an RFC 3339 time")?,
    };
    let page = services.store.audit(filter, after, limit).await?;
    ok(&List { data: page.data, next: page.next })
}
