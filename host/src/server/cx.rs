//! `/v3` and `/v3beta1`: Dialogflow CX's API for webhooks, with its JSON, errors and pages. It shows and changes the same webhooks as
//! `/v1`.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    request::Asked,
    respond::{Answer, ApiError, ok},
    webhooks,
};
use crate::{
    catalog::{CatalogError, WebhookEntry},
    clock::random,
    model::{
        cx::{self, AGENT_LABEL, DISPLAY_NAME_LABEL},
        problem::Problem,
        token::Scope,
        webhook::WebhookSpec,
    },
    outbound::deliverer::Eyes,
    services::Services,
};

pub mod description;
pub mod environments;

/// Length of a page if `pageSize` is not given, and the longest (Dialogflow CX, `ListWebhooksRequest`).
const PAGE_SIZE: PageSize = PageSize { default: 100, max: 1000 };
/// Query parameters that Google's clients may add to any request ("System parameters").
const SYSTEM_PARAMETERS: [&str; 8] = ["$alt", "alt", "$prettyPrint", "prettyPrint", "key", "quotaUser", "$.xgafv", "$unique"];

struct PageSize {
    /// Used if `pageSize` is 0 or absent.
    default: usize,
    /// The longest page, whatever `pageSize` says.
    max: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    webhooks: Vec<Value>,
    #[serde(skip_serializing_if = "String::is_empty")]
    next_page_token: String,
}

fn only(asked: &Asked, known: &[&str]) -> Result<(), ApiError> {
    asked.only(&[&SYSTEM_PARAMETERS, known].concat())
}

fn agent(asked: &Asked) -> String {
    format!("projects/{}/locations/{}/agents/{}", asked.path(0), asked.path(1), asked.path(2))
}

fn of_agent(services: &Services, agent: &str) -> Vec<Arc<WebhookEntry>> {
    let snapshot = services.catalog.snapshot();
    snapshot.webhooks.values().filter(|entry| entry.spec.labels.get(AGENT_LABEL).is_some_and(|label| label == agent)).cloned().collect()
}

/// The webhook that a path names, if it belongs to the agent in the path.
fn find(services: &Services, asked: &Asked) -> Result<Arc<WebhookEntry>, ApiError> {
    let (agent, name) = (agent(asked), asked.path(3));
    let entry = services.catalog.snapshot().webhooks.get(name).cloned();
    entry
        .filter(|entry| entry.spec.labels.get(AGENT_LABEL) == Some(&agent))
        .ok_or_else(|| ApiError::NotFound(format!("webhook `{agent}/webhooks/{name}`")))
}

/// The document as this caller may see it. Only an admin sees a whole URL, because it may be a credential (decision:
/// urls-are-credentials).
fn visible(asked: &Asked, entry: &WebhookEntry) -> WebhookSpec {
    let mut spec = entry.spec.clone();
    if !asked.allows(Scope::Admin) {
        webhooks::redact(&mut spec, Eyes::Reader);
    }
    spec
}

fn shown(asked: &Asked, entry: &WebhookEntry) -> Value {
    with_encoding(asked, cx::of_spec(&visible(asked, entry)).unwrap_or_default())
}

/// Writes enumerations as names or numbers, as the caller asked.
fn with_encoding(asked: &Asked, webhook: Value) -> Value {
    let by_number = ["$alt", "alt"].iter().any(|name| asked.query(name).is_some_and(|alt| alt.contains("enum-encoding=int")));
    if by_number { cx::with_numbers(webhook) } else { webhook }
}

pub async fn list(services: Services, asked: Asked) -> Answer {
    only(&asked, &["pageSize", "pageToken"])?;
    let (webhooks, next_page_token) = page(&asked, of_agent(&services, &agent(&asked)), &PAGE_SIZE, |entry| &entry.spec.name)?;
    ok(&Page { webhooks: webhooks.iter().map(|entry| shown(&asked, entry)).collect(), next_page_token })
}

/// The requested page of `all`, sorted by `key`, and the token of the next page.
fn page<T>(asked: &Asked, mut all: Vec<T>, sizes: &PageSize, key: impl Fn(&T) -> &str) -> Result<(Vec<T>, String), ApiError> {
    let size = asked.query_as::<usize>("pageSize", "a number from 0 on")?.filter(|size| *size > 0).unwrap_or(sizes.default);
    let after = asked.query("pageToken").unwrap_or_default();
    all.retain(|one| key(one) > after);
    let rest = all.split_off(all.len().min(size.min(sizes.max)));
    let next = all.last().filter(|_| !rest.is_empty()).map(|last| key(last).to_owned()).unwrap_or_default();
    Ok((all, next))
}

pub async fn get(services: Services, asked: Asked) -> Answer {
    only(&asked, &[])?;
    ok(&shown(&asked, &*find(&services, &asked)?))
}

/// Creates a webhook. The host chooses its name.
pub async fn create(services: Services, asked: Asked) -> Answer {
    only(&asked, &[])?;
    let name = format!("cx-{}", hex::encode(random::<10>()));
    write(&services, &asked, asked.json()?, &name, None).await
}

/// Changes the fields named in `updateMask`; without a mask, all of them.
pub async fn patch(services: Services, asked: Asked) -> Answer {
    only(&asked, &["updateMask"])?;
    let entry = find(&services, &asked)?;
    let mut written: Value = asked.json()?;
    if let Some(mask) = asked.query("updateMask") {
        let current = cx::of_spec(&entry.spec).unwrap_or_default();
        written = cx::masked(&current, &written, mask).map_err(refused)?;
    }
    write(&services, &asked, written, asked.path(3), Some(entry)).await
}

/// Deletes a webhook. If environments override it, that needs `force`.
pub async fn delete(services: Services, asked: Asked) -> Answer {
    only(&asked, &["force"])?;
    let entry = find(&services, &asked)?;
    let force = asked.query_as("force", "true or false")?.unwrap_or(false);
    if !force && !entry.spec.environments.is_empty() {
        let names: Vec<_> = entry.spec.environments.keys().map(String::as_str).collect();
        return Err(ApiError::invalid(
            "/force",
            format!("environments override it ({}); `force=true` deletes it all the same", names.join(", ")),
        ));
    }
    webhooks::remove(&services, &entry.spec.name).await?;
    ok(&json!({}))
}

async fn write(services: &Services, asked: &Asked, written: Value, name: &str, existing: Option<Arc<WebhookEntry>>) -> Answer {
    let agent = agent(asked);
    let document = cx::to_document(&written, name, &agent, existing.as_deref().map(|entry| &entry.spec)).map_err(refused)?;
    let taken = of_agent(services, &agent).into_iter().any(|entry| {
        entry.spec.name != name
            && entry.spec.labels.get(DISPLAY_NAME_LABEL).is_some_and(|other| document["labels"][DISPLAY_NAME_LABEL] == **other)
    });
    if taken {
        return Err(CatalogError::Exists("webhook").into());
    }
    let is_directory = document["labels"].get(cx::SERVICE_LABEL).is_some();
    match webhooks::store(services, document, name, existing.is_none()).await {
        Ok((entry, _)) => ok(&shown(asked, &entry)),
        Err(ApiError::Invalid { problems, .. }) => Err(ApiError::problems(
            problems.into_iter().map(|problem| Problem { pointer: cx::field_of(&problem.pointer, is_directory), ..problem }).collect(),
        )),
        Err(error) => Err(error),
    }
}

fn refused(problem: Problem) -> ApiError {
    ApiError::problems(vec![problem])
}
