//! `/v1/audit`: who changed what. Changes of documents are written down by the store, with the change; what an admin does otherwise is
//! written down here, after it.

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

/// The header that names a request, coming in and going out.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Characters of a request's identifier that is taken from a client.
const REQUEST_ID_CHARS_MAX: usize = 128;

/// Characters kept of a request's method and path.
const REQUEST_CHARS_MAX: usize = 500;

/// What admins may do by other methods than GET that changes nothing.
const CHANGES_NOTHING: [&str; 4] =
    ["/v1/webhooks/{name}/test", "/v1/webhooks/{name}/check", "/v1/plugins/{name}/try", "/v1/plugins/{name}/compare"];

/// The identifier a client gave its request, or a new one.
pub fn request_id(headers: &HeaderMap) -> HeaderValue {
    let may_stand = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:=+/@".contains(byte);
    let given = headers.get(REQUEST_ID).filter(|id| (1..=REQUEST_ID_CHARS_MAX).contains(&id.len()) && id.as_bytes().iter().all(may_stand));
    let made = || HeaderValue::try_from(format!("req_{}", hex::encode(random::<12>())));
    given.cloned().or_else(|| made().ok()).unwrap_or_else(|| HeaderValue::from_static("req_"))
}

/// On whose behalf a request is.
pub fn origin(parts: &Parts, token: &TokenRecord) -> Origin {
    Origin {
        who: format!("token {}", token.name),
        token: Some(token.id()),
        request: Some(format!("{} {}", parts.method, parts.uri.path()).chars().take(REQUEST_CHARS_MAX).collect()),
        request_id: parts.headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).map(str::to_owned),
    }
}

/// Whether what is asked under a scope may change what admins look after, or show what is secret. Events and invocations do neither, and
/// are many.
pub fn concerns_admins(scope: Scope) -> bool {
    !matches!(scope, Scope::EventsWrite | Scope::Invoke)
}

/// Whether a route changes what admins look after.
pub fn changes_something(method: &Method, path: &str, scope: Option<Scope>) -> bool {
    *method != Method::GET && matches!(scope, Some(Scope::Admin | Scope::PluginsWrite)) && !CHANGES_NOTHING.contains(&path)
}

/// What was done by a request that changed no document: its last word, and what it was done to.
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

/// What admins changed, newest first: each change with the document before and after it, secrets left out.
#[utoipa::path(get, path = "/v1/audit", tag = "audit",
    params(("who" = Option<String>, Query, description = "by this token: its name or `tok_...`; or `hookwright`"), ("kind" = Option<String>, Query, description = "of this kind, such as `webhook`"),
        ("name" = Option<String>, Query, description = "of this name"), ("since" = Option<String>, Query, description = "made since then, RFC 3339"),
        ("limit" = Option<usize>, Query, description = "1 to 500, 50 by default"), ("after" = Option<String>, Query, description = "`next` of the page before")),
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
