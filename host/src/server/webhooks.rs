//! `/v1/webhooks`: outbound subscriptions.

use std::{net::SocketAddr, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    document::{merge_patch, named},
    inline,
    request::{Asked, parse_value},
    respond::{self, Answer, ApiError, List, ProblemDetails, created, no_content, ok},
    services as known_services,
};
use crate::{
    catalog::{CatalogError, Deactivated, WebhookEntry},
    clock::{millis, random},
    model::{
        audit::Deed,
        cx::environment::Environment,
        deactivation::Standing,
        filter::Filter,
        id::WebhookId,
        mail,
        merge_patch::merge,
        problem::segment,
        request::redact::{is_redacted, redact_template_url},
        secret::SecretRef,
        selector::Selector,
        signature::{self, SigningScheme},
        template::{Template, url::UrlTemplate},
        token::Scope,
        webhook::{AuthSpec, Webhook, WebhookSpec},
    },
    outbound::deliverer::{self, Eyes},
    services::Services,
};

/// A webhook, as an answer shows it.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebhookView {
    /// The identifier. It stays the same as long as the webhook exists.
    pub id: WebhookId,
    /// The document, as it was written. Literal query values of URLs are redacted unless `reveal=true` is given. Literal values of
    /// headers are redacted unless the token has the scope `admin`.
    #[serde(flatten)]
    pub spec: WebhookSpec,
    /// When the webhook was created.
    pub created_at: Timestamp,
    /// When the webhook was last written.
    pub updated_at: Timestamp,
    /// When and why the webhook was deactivated because it kept failing; absent: it was not, or it was activated since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deactivated: Option<Deactivated>,
}

/// What to try a filter on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FilterTest {
    /// A filter to try instead of the webhook's.
    #[serde(default)]
    pub filter: Option<String>,
    /// Events, as `GET /v1/events/{id}` shows them or as they are posted.
    #[schema(value_type = Vec<Object>)]
    pub events: Vec<Value>,
}

/// The result of a filter.
#[derive(Debug, Serialize, ToSchema)]
pub struct FilterVerdicts {
    /// For each event, whether it passes the filter.
    pub verdicts: Vec<bool>,
}

fn view(entry: &WebhookEntry, eyes: Eyes) -> WebhookView {
    let mut spec = entry.spec.clone();
    redact(&mut spec, eyes);
    let WebhookEntry { created_at, updated_at, deactivated, .. } = *entry;
    WebhookView { id: entry.id.clone(), spec, created_at, updated_at, deactivated }
}

/// Redacts literal values in a document: the query values of its URLs, and its headers unless an admin looks.
pub fn redact(spec: &mut WebhookSpec, eyes: Eyes) {
    if eyes != Eyes::Revealed {
        urls(spec).into_iter().for_each(|(_, url)| *url = redact_template_url(url));
    }
    if eyes == Eyes::Reader {
        headers(spec).into_iter().filter(|(_, value)| is_spelt_out(value)).for_each(|(_, value)| REDACTED_HEADER.clone_into(value));
    }
}

/// Shown in place of a header's value.
const REDACTED_HEADER: &str = "(redacted)";

/// Whether a header's value is literal: it is no secret's name and contains no reference or function.
fn is_spelt_out(value: &str) -> bool {
    value.parse::<SecretRef>().is_err() && Template::parse(value).is_ok_and(|template| template.is_literal())
}

/// All headers of a document, with their pointers.
fn headers(spec: &mut WebhookSpec) -> Vec<(String, &mut String)> {
    let under = |place: &str, name: &str| format!("{place}{}", segment(name));
    let mut found: Vec<_> = spec.request.headers.iter_mut().map(|(name, value)| (under("/request/headers", name), value)).collect();
    if let Some(AuthSpec::Headers { headers }) = &mut spec.auth {
        found.extend(headers.iter_mut().map(|(name, value)| (under("/auth/headers", name), value)));
    }
    for (environment, patch) in &mut spec.environments {
        let Value::Object(patch) = patch else { continue };
        for (part, values) in patch.iter_mut().filter(|(part, _)| ["request", "auth"].contains(&part.as_str())) {
            let place = format!("/environments{}/{part}/headers", segment(environment));
            for (name, value) in values.get_mut("headers").and_then(Value::as_object_mut).into_iter().flatten() {
                if let Value::String(value) = value {
                    found.push((under(&place, name), value));
                }
            }
        }
    }
    found
}

/// All URLs of a document, with their pointers. Any of them may be a credential (decision: urls-are-credentials).
fn urls(spec: &mut WebhookSpec) -> Vec<(String, &mut String)> {
    let mut found = vec![("/request/url".to_owned(), &mut spec.request.url)];
    found.extend(spec.auth.as_mut().and_then(AuthSpec::token_endpoint_mut).map(|url| ("/auth/token_endpoint".to_owned(), url)));
    for (name, patch) in &mut spec.environments {
        let Value::Object(patch) = patch else { continue };
        for (part, values) in patch {
            let key = match part.as_str() {
                "request" => "url",
                "auth" => "token_endpoint",
                _ => continue,
            };
            if let Some(Value::String(url)) = values.get_mut(key) {
                found.push((format!("/environments{}/{part}/{key}", segment(name)), url));
            }
        }
    }
    found
}

/// The addresses in `resolve`, with pointer and name. Entries that are no address are left out: the compiler reports them.
fn targets(spec: &WebhookSpec) -> Vec<(String, String, SocketAddr)> {
    let mut found: Vec<(String, String, SocketAddr)> = Vec::new();
    let mut add = |under: &str, name: &str, address: &str| {
        found.extend(address.parse().ok().map(|address| (format!("{under}/resolve{}", segment(name)), name.to_owned(), address)));
    };
    spec.resolve.iter().for_each(|(name, address)| add("", name, address));
    for (environment, patch) in &spec.environments {
        let under = format!("/environments{}", segment(environment));
        for (name, address) in patch["resolve"].as_object().into_iter().flatten() {
            add(&under, name, address.as_str().unwrap_or_default());
        }
    }
    found
}

/// List the webhooks, sorted by name.
#[utoipa::path(get, path = "/v1/webhooks", tag = "webhooks",
    params(("limit" = Option<usize>, Query, description = "1 to 500, 50 by default"), ("after" = Option<String>, Query, description = "`next` of the previous page")),
    responses((status = 200, description = "a page", body = List<WebhookView>)))]
pub async fn list(services: Services, asked: Asked) -> Answer {
    asked.only(&["limit", "after"])?;
    let snapshot = services.catalog.snapshot();
    let eyes = eyes(&asked);
    ok(&respond::page_of(&snapshot.webhooks, asked.page()?, |entry| view(entry, eyes)))
}

/// Create a webhook.
#[utoipa::path(post, path = "/v1/webhooks", tag = "webhooks", request_body = WebhookSpec,
    responses((status = 201, description = "created", body = WebhookView), (status = 400, body = ProblemDetails, description = "not valid", content_type = "application/problem+json"),
        (status = 409, body = ProblemDetails, description = "the name is taken", content_type = "application/problem+json")))]
pub async fn post(services: Services, asked: Asked) -> Answer {
    let document: Value = asked.json()?;
    let name = document["name"].as_str().unwrap_or_default().to_owned();
    write_document(&services, document, &name, true).await
}

/// Create or replace a webhook.
#[utoipa::path(put, path = "/v1/webhooks/{name}", tag = "webhooks", request_body = WebhookSpec, params(("name" = String, Path, description = "the webhook's name")),
    responses((status = 201, description = "created", body = WebhookView), (status = 200, description = "replaced", body = WebhookView),
        (status = 400, body = ProblemDetails, description = "not valid", content_type = "application/problem+json")))]
pub async fn put(services: Services, asked: Asked) -> Answer {
    write_document(&services, asked.json()?, asked.path(0), false).await
}

/// Get a webhook.
#[utoipa::path(get, path = "/v1/webhooks/{name}", tag = "webhooks",
    params(("name" = String, Path, description = "the webhook's name"), ("reveal" = Option<bool>, Query, description = "show the literal query values of URLs (scope `admin`)")),
    responses((status = 200, description = "the webhook", body = WebhookView), (status = 404, body = ProblemDetails, description = "there is no webhook with this name", content_type = "application/problem+json")))]
pub async fn get(services: Services, asked: Asked) -> Answer {
    asked.only(&["reveal"])?;
    let reveal = asked.reveals()?;
    let entry = find(&services, asked.path(0))?;
    if reveal {
        services.store.note(Deed::plain("shown", "webhook", asked.path(0))).await?;
    }
    ok(&view(&entry, if reveal { Eyes::Revealed } else { eyes(&asked) }))
}

/// Who looks at a document, if nothing is to be revealed.
pub fn eyes(asked: &Asked) -> Eyes {
    if asked.allows(Scope::Admin) { Eyes::Admin } else { Eyes::Reader }
}

pub fn find(services: &Services, name: &str) -> Result<Arc<WebhookEntry>, ApiError> {
    services.catalog.snapshot().webhooks.get(name).cloned().ok_or_else(|| ApiError::NotFound(format!("webhook `{name}`")))
}

/// Change a webhook (RFC 7396).
#[utoipa::path(patch, path = "/v1/webhooks/{name}", tag = "webhooks", params(("name" = String, Path, description = "the webhook's name")),
    request_body(content = Object, description = "a JSON Merge Patch of the webhook"),
    responses((status = 200, description = "changed", body = WebhookView), (status = 400, body = ProblemDetails, description = "not valid", content_type = "application/problem+json"),
        (status = 404, body = ProblemDetails, description = "there is no webhook with this name", content_type = "application/problem+json")))]
pub async fn patch(services: Services, asked: Asked) -> Answer {
    let name = asked.path(0);
    let patch = merge_patch(&asked)?;
    if patch.get("name").is_some_and(|new| new != name) {
        return Err(ApiError::invalid("/name", "a webhook is not renamed; create another and delete this one"));
    }
    let mut document = serde_json::to_value(&find(&services, name)?.spec).map_err(|error| ApiError::Internal(Box::new(error)))?;
    merge(&mut document, &patch);
    write_document(&services, document, name, false).await
}

/// Delete a webhook. Its pending deliveries are cancelled.
#[utoipa::path(delete, path = "/v1/webhooks/{name}", tag = "webhooks", params(("name" = String, Path, description = "the webhook's name")),
    responses((status = 204, description = "deleted"), (status = 404, body = ProblemDetails, description = "there is no webhook with this name", content_type = "application/problem+json")))]
pub async fn delete(services: Services, asked: Asked) -> Answer {
    remove(&services, asked.path(0)).await?;
    no_content()
}

/// Deletes a webhook and everything that belongs only to it.
pub async fn remove(services: &Services, name: &str) -> Result<(), ApiError> {
    let entry = services.catalog.delete_webhook(name).await?;
    inline::forget(services, entry.webhook.secrets()).await?;
    services.window.forget(&entry.id, services.clock.now());
    services.metrics.forget_webhook(name);
    services.store.cancel_for_webhook(&entry.id).await?;
    services.store.reset_standing(&entry.id, None).await?;
    Ok(())
}

/// Activate a webhook.
#[utoipa::path(post, path = "/v1/webhooks/{name}/activate", tag = "webhooks", params(("name" = String, Path, description = "the webhook's name")),
    responses((status = 200, description = "active", body = WebhookView), (status = 404, body = ProblemDetails, description = "there is no webhook with this name", content_type = "application/problem+json")))]
pub async fn activate(services: Services, asked: Asked) -> Answer {
    let entry = set_active(&services, &*find(&services, asked.path(0))?, true).await?;
    created(false, &view(&entry, eyes(&asked)))
}

/// Deactivate a webhook. Its pending deliveries are cancelled; they can be resent.
#[utoipa::path(post, path = "/v1/webhooks/{name}/deactivate", tag = "webhooks", params(("name" = String, Path, description = "the webhook's name")),
    responses((status = 200, description = "inactive", body = WebhookView), (status = 404, body = ProblemDetails, description = "there is no webhook with this name", content_type = "application/problem+json")))]
pub async fn deactivate(services: Services, asked: Asked) -> Answer {
    let entry = set_active(&services, &*find(&services, asked.path(0))?, false).await?;
    created(false, &view(&entry, eyes(&asked)))
}

/// Activates or deactivates a webhook. Deactivating cancels its pending deliveries.
pub async fn set_active(services: &Services, entry: &WebhookEntry, active: bool) -> Result<Arc<WebhookEntry>, ApiError> {
    let mut spec = WebhookSpec { active, ..entry.spec.clone() };
    admissible(services, &mut spec)?;
    if active {
        check_signing_keys(services, &spec, &[]).await?;
    }
    let (entry, _) = keep(services, spec, false).await?;
    if !active {
        services.store.cancel_for_webhook(&entry.id).await?;
    }
    Ok(entry)
}

/// Try a filter on events.
#[utoipa::path(post, path = "/v1/webhooks/{name}/filter-test", tag = "webhooks", request_body = FilterTest, params(("name" = String, Path, description = "the webhook's name")),
    responses((status = 200, description = "the result of the filter", body = FilterVerdicts), (status = 404, body = ProblemDetails, description = "there is no webhook with this name", content_type = "application/problem+json"), (status = 400, body = ProblemDetails, description = "not valid", content_type = "application/problem+json")))]
pub async fn filter_test(services: Services, asked: Asked) -> Answer {
    let test: FilterTest = asked.json()?;
    let entry = find(&services, asked.path(0))?;
    let filter = match test.filter.as_ref().or(entry.spec.filter.as_ref()) {
        None => None,
        Some(text) => Some(Filter::parse(text).map_err(|error| ApiError::invalid("/filter", error.to_string()))?),
    };
    let Some(filter) = filter else { return ok(&FilterVerdicts { verdicts: vec![true; test.events.len()] }) };
    // One filter on one event is soon over. These are as many events as a request holds: they leave the threads of the runtime alone.
    let tested = tokio::task::spawn_blocking(move || filter.test(&test.events)).await;
    let verdicts = tested.map_err(|error| ApiError::Internal(Box::new(error)))?;
    let verdicts = verdicts.map_err(|error| ApiError::invalid("/filter", error.to_string()))?;
    ok(&FilterVerdicts { verdicts })
}

async fn write_document(services: &Services, document: Value, name: &str, only_new: bool) -> Answer {
    let (entry, is_new) = store(services, document, name, only_new).await?;
    // Only an admin can write a webhook, so an admin sees it.
    created(is_new, &view(&entry, Eyes::Admin))
}

/// A document that may be written as it is, and the inline credentials that were in it.
pub struct Draft {
    spec: WebhookSpec,
    credentials: Vec<inline::Inline>,
}

/// Reads a document as the webhook `name` and checks it: it compiles, its secrets exist and its signing keys fit. This writes nothing, so
/// a refused document leaves no credentials behind.
pub async fn draft(services: &Services, mut document: Value, name: &str) -> Result<Draft, ApiError> {
    let credentials = inline::take(&mut document, "webhook", name)?;
    let mut spec: WebhookSpec = parse_value(document)?;
    named(&mut spec.name, name)?;
    let compiled = Webhook::compile(&spec, &WebhookId::new(0, [0; 10]), &services.catalog.snapshot().profiles);
    let webhook = compiled.map_err(CatalogError::Invalid)?;
    admissible(services, &mut spec)?;
    let mut referred = webhook.secrets();
    referred.retain(|reference| inline::given(&credentials, reference).is_none());
    services.catalog.check_secrets(referred).await?;
    check_signing_keys(services, &spec, &credentials).await?;
    Ok(Draft { spec, credentials })
}

/// Reads a document and writes it as the webhook `name`. Also returns whether the webhook is new.
pub async fn store(services: &Services, document: Value, name: &str, only_new: bool) -> Result<(Arc<WebhookEntry>, bool), ApiError> {
    let Draft { spec, credentials } = draft(services, document, name).await?;
    if only_new && services.catalog.snapshot().webhooks.contains_key(name) {
        return Err(CatalogError::Exists("webhook").into());
    }
    probe(services, &spec).await?;
    // Credentials and their document are two commits. If the client disconnects between them, the router still finishes the change.
    let given = (!credentials.is_empty()).then(|| name.to_owned());
    let changing = services.catalog.changing().begin(given).await;
    let before = services.catalog.snapshot().webhooks.get(name).cloned();
    // Check again: if somebody else has created the webhook meanwhile, its credentials must stay.
    if only_new && before.is_some() {
        return Err(CatalogError::Exists("webhook").into());
    }
    inline::keep(services, credentials).await?;
    let kept = keep(services, spec, only_new).await?;
    if let Some(before) = before {
        inline::forget(services, before.webhook.secrets()).await?;
    }
    drop(changing);
    Ok(kept)
}

/// Writes drafts of existing webhooks and the agent's environment they belong to, all or nothing. `None` deletes the environment.
pub async fn store_overrides(
    services: &Services,
    drafts: Vec<Draft>,
    name: &str,
    environment: Option<Environment>,
) -> Result<Option<Arc<Environment>>, ApiError> {
    let given = drafts.iter().filter(|draft| !draft.credentials.is_empty()).map(|draft| draft.spec.name.clone());
    let changing = services.catalog.changing().begin(given.collect::<Vec<_>>()).await;
    let snapshot = services.catalog.snapshot();
    let before: Vec<_> = drafts.iter().filter_map(|draft| snapshot.webhooks.get(&draft.spec.name)).collect();
    let mut specs = Vec::with_capacity(drafts.len());
    for Draft { spec, credentials } in drafts {
        inline::keep(services, credentials).await?;
        specs.push(spec);
    }
    let kept = services.catalog.put_overrides(specs, services.clock.now(), name, environment).await?;
    let after = services.catalog.snapshot();
    for entry in before {
        if let Some(changed) = after.webhooks_by_id.get(&entry.id) {
            services.window.changed(&changed.webhook, services.clock.now());
        }
        inline::forget(services, entry.webhook.secrets()).await?;
    }
    drop(changing);
    Ok(kept)
}

/// Checks that only the host can do and that need no secret. They come first, so that no secret is written for a document that is
/// refused.
fn admissible(services: &Services, spec: &mut WebhookSpec) -> Result<(), ApiError> {
    if mail::is_mail(&spec.request.url) && services.mailer.is_none() {
        return Err(ApiError::invalid("/request/url", "no mail server is configured: the operator's `[smtp]` says which"));
    }
    for (pointer, url) in urls(spec) {
        check_url(services, pointer, url)?;
    }
    if let Some((pointer, _)) = headers(spec).into_iter().find(|(_, value)| *value == REDACTED_HEADER) {
        let detail = "the value of the header is the redaction mark; write the whole value, which admins are shown, or PATCH without it";
        return Err(ApiError::invalid(pointer, detail));
    }
    for (pointer, host, address) in targets(spec) {
        services.transport.check_address(&host, address).map_err(|error| ApiError::invalid(pointer, error.to_string()))?;
    }
    known_services::check(services, spec)?;
    check_plugin(services, spec)
}

/// If the profile asks for it, calls the URL as the vendor does when a webhook is created. Any answer will do.
async fn probe(services: &Services, spec: &WebhookSpec) -> Result<(), ApiError> {
    let snapshot = services.catalog.snapshot();
    if !snapshot.profiles.get(&spec.profile).is_some_and(|profile| profile.probe) {
        return Ok(());
    }
    let webhook = Webhook::compile(spec, &WebhookId::new(0, [0; 10]), &snapshot.profiles).map_err(CatalogError::Invalid)?;
    deliverer::knock(services, &webhook).await.map_err(|failure| {
        let detail = failure.detail;
        ApiError::invalid(
            "/request/url",
            format!("nobody answers there ({detail}); a POST of `{{}}` must be answered, by any status below 500"),
        )
    })
}

/// Writes a document that is [`admissible`].
async fn keep(services: &Services, spec: WebhookSpec, only_new: bool) -> Result<(Arc<WebhookEntry>, bool), ApiError> {
    for (index, selector) in spec.selectors.iter().enumerate() {
        if let Some(hint) = Selector::parse(selector).ok().and_then(|selector| selector.hint()) {
            tracing::warn!(webhook = spec.name, index, selector, hint);
        }
    }
    let before = services.catalog.snapshot().webhooks.get(&spec.name).cloned();
    if let Some(before) = before.as_ref().filter(|before| spec.active && !before.spec.active) {
        // Activating a webhook clears its count of failures.
        services.store.reset_standing(&before.id, before.deactivated.map(|_| Standing::activated())).await?;
    }
    let now = services.clock.now();
    let (entry, is_new) = services.catalog.put_webhook(spec, WebhookId::new(millis(now), random()), now, only_new).await?;
    services.window.changed(&entry.webhook, services.clock.now());
    if before.is_some_and(|before| before.webhook.batch != entry.webhook.batch) {
        // The events that are gathering for a batch follow the new rule.
        services.store.reschedule_batches(&entry.id, entry.webhook.batch).await?;
        services.window.wake();
    }
    Ok((entry, is_new))
}

/// Checks a URL before it is called. A URL that is no valid template is left to the compiler, which says where the error is.
fn check_url(services: &Services, pointer: String, url: &str) -> Result<(), ApiError> {
    if is_redacted(url) {
        return Err(ApiError::invalid(
            pointer,
            "the URL holds the redaction mark; write the whole URL (`?reveal=true` and `--reveal` show it), or PATCH without it",
        ));
    }
    let checked = match UrlTemplate::parse(url) {
        // Mail goes to the operator's mail server, so there is no address to check.
        Ok(template) if template.is_mail() => Ok(()),
        Ok(template) => services.transport.check_url(template.origin()),
        Err(_) => Ok(()),
    };
    checked.map_err(|error| ApiError::invalid(pointer, error.to_string()))
}

/// Refuses a key that cannot sign when the webhook is written, instead of when the first event comes.
async fn check_signing_keys(services: &Services, spec: &WebhookSpec, credentials: &[inline::Inline]) -> Result<(), ApiError> {
    let Some(signing) = &spec.signing else { return Ok(()) };
    let profiles = &services.catalog.snapshot().profiles;
    let scheme = signing.scheme.or_else(|| profiles.get(&spec.profile).map(|profile| profile.signing)).unwrap_or(SigningScheme::None);
    for (index, reference) in signing.secrets.iter().enumerate() {
        let key = match inline::given(credentials, reference) {
            Some(given) => Some(given.clone()),
            None => services.store.secret(&reference.name, reference.version).await?,
        };
        if let Some(Err(error)) = key.map(|key| signature::check_key(scheme, &key)) {
            return Err(ApiError::invalid(format!("/signing/secrets/{index}"), error.to_string()));
        }
    }
    Ok(())
}

fn check_plugin(services: &Services, spec: &WebhookSpec) -> Result<(), ApiError> {
    use crate::model::webhook::TransformSpec;
    let (name, pointer) = match &spec.transform {
        None => return Ok(()),
        Some(TransformSpec::Name(name)) => (name, "/transform"),
        Some(TransformSpec::Full(full)) => (&full.plugin, "/transform/plugin"),
    };
    if services.plugins.exists(name) {
        return Ok(());
    }
    Err(ApiError::invalid(pointer, format!("there is no plugin `{name}`; upload it first: PUT /v1/plugins/{name}")))
}
