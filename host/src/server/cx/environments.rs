//! Environments in Dialogflow CX's API. There, creating or changing one is a long-running operation; here, it is finished when it is
//! answered.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use super::{PageSize, agent, of_agent, only, page, refused, with_encoding};
use crate::{
    catalog::{CatalogError, WebhookEntry},
    clock::random,
    model::{
        cx::{
            self,
            environment::{Environment, Override, override_for},
        },
        problem::Problem,
    },
    server::{
        request::Asked,
        respond::{Answer, ApiError, ok},
        webhooks,
    },
    services::Services,
};

/// The names of the protobuf packages of both versions.
const V3: &str = "v3";
const V3BETA1: &str = "v3beta1";

/// Length of a page if `pageSize` is not given, and the longest (Dialogflow CX, `ListEnvironmentsRequest`).
pub(super) const PAGE_SIZE: PageSize = PageSize { default: 20, max: 100 };

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    environments: Vec<Value>,
    #[serde(skip_serializing_if = "String::is_empty")]
    next_page_token: String,
}

fn of(services: &Services, agent: &str) -> Vec<Arc<Environment>> {
    let prefix = format!("{agent}/environments/");
    services.catalog.snapshot().environments.values().filter(|one| one.name.starts_with(&prefix)).cloned().collect()
}

fn find(services: &Services, asked: &Asked) -> Result<Arc<Environment>, ApiError> {
    let name = format!("{}/environments/{}", agent(asked), asked.path(3));
    services.catalog.snapshot().environments.get(&name).cloned().ok_or_else(|| ApiError::NotFound(format!("environment `{name}`")))
}

fn shown(services: &Services, asked: &Asked, environment: &Environment) -> Value {
    let webhooks = of_agent(services, &agent(asked));
    let specs: Vec<_> = webhooks.iter().map(|entry| super::visible(asked, entry)).collect();
    let mut shown = environment.shown(&specs);
    for webhook in shown.pointer_mut("/webhookConfig/webhookOverrides").and_then(Value::as_array_mut).into_iter().flatten() {
        *webhook = with_encoding(asked, webhook.take());
    }
    shown
}

pub async fn list(services: Services, asked: Asked) -> Answer {
    only(&asked, &["pageSize", "pageToken"])?;
    let (environments, next_page_token) = page(&asked, of(&services, &agent(&asked)), &PAGE_SIZE, |one| one.key())?;
    ok(&Page { environments: environments.iter().map(|one| shown(&services, &asked, one)).collect(), next_page_token })
}

pub async fn get(services: Services, asked: Asked) -> Answer {
    only(&asked, &[])?;
    ok(&shown(&services, &asked, &*find(&services, &asked)?))
}

/// Creates an environment. Its name is derived from its display name.
pub async fn create(services: Services, asked: Asked) -> Answer {
    only(&asked, &[])?;
    write(&services, &asked, asked.json()?, None, V3).await
}

/// The same in `/v3beta1`, whose messages have different type names.
pub async fn create_beta(services: Services, asked: Asked) -> Answer {
    only(&asked, &[])?;
    write(&services, &asked, asked.json()?, None, V3BETA1).await
}

/// Changes the fields named in `updateMask`; without a mask, all of them.
pub async fn patch(services: Services, asked: Asked) -> Answer {
    change(&services, &asked, V3).await
}

/// The same in `/v3beta1`.
pub async fn patch_beta(services: Services, asked: Asked) -> Answer {
    change(&services, &asked, V3BETA1).await
}

async fn change(services: &Services, asked: &Asked, version: &str) -> Answer {
    only(asked, &["updateMask"])?;
    let existing = find(services, asked)?;
    let mut written: Value = asked.json()?;
    if let Some(mask) = asked.query("updateMask") {
        written = cx::masked(&shown(services, asked, &existing), &written, mask).map_err(refused)?;
    }
    write(services, asked, written, Some(existing), version).await
}

/// Deletes an environment and its overrides.
pub async fn delete(services: Services, asked: Asked) -> Answer {
    only(&asked, &[])?;
    let existing = find(&services, &asked)?;
    let mut drafts = Vec::new();
    for (entry, document) in documents(&services, &agent(&asked), existing.key(), &[])? {
        drafts.push(webhooks::draft(&services, document, &entry.spec.name).await?);
    }
    webhooks::store_overrides(&services, drafts, &existing.name, None).await?;
    ok(&json!({}))
}

async fn write(services: &Services, asked: &Asked, written: Value, existing: Option<Arc<Environment>>, version: &str) -> Answer {
    let agent = agent(asked);
    let (mut environment, overrides) = Environment::parse(written).map_err(refused)?;
    environment.name = match &existing {
        Some(existing) => existing.name.clone(),
        None => format!("{agent}/environments/{}", free_key(services, &agent, &environment.display_name)),
    };
    environment.update_time = Some(services.clock.now());
    if of(services, &agent).iter().any(|other| other.name != environment.name && other.display_name == environment.display_name) {
        return Err(CatalogError::Exists("environment").into());
    }
    let mut drafts = Vec::new();
    for (entry, document) in documents(services, &agent, environment.key(), &overrides)? {
        let draft = webhooks::draft(services, document, &entry.spec.name).await;
        drafts.push(draft.map_err(|error| placed(error, environment.key(), &overrides, &entry))?);
    }
    let name = environment.name.clone();
    let Some(environment) = webhooks::store_overrides(services, drafts, &name, Some(environment)).await? else {
        return Err(ApiError::NotFound(format!("environment `{name}`")));
    };
    let mut response = shown(services, asked, &environment);
    response["@type"] = json!(format!("type.googleapis.com/google.cloud.dialogflow.cx.{version}.Environment"));
    let (project, location) = (asked.path(0), asked.path(1));
    let name = format!("projects/{project}/locations/{location}/operations/{}", hex::encode(random::<16>()));
    ok(&json!({ "name": name, "done": true, "response": response }))
}

/// A key that no environment of the agent uses yet.
fn free_key(services: &Services, agent: &str, display_name: &str) -> String {
    let key = Environment::key_for(display_name);
    let is_free = !key.is_empty() && of(services, agent).iter().all(|other| other.key() != key);
    if is_free { key } else { format!("{key}-{}", hex::encode(random::<4>())).trim_start_matches('-').to_owned() }
}

/// The agent's webhooks whose document changes if environment `key` has exactly these overrides, and their new documents.
fn documents(services: &Services, agent: &str, key: &str, overrides: &[Value]) -> Result<Vec<(Arc<WebhookEntry>, Value)>, ApiError> {
    let entries = of_agent(services, agent);
    let mut others: Vec<Option<Override>> = vec![None; entries.len()];
    for (index, written) in overrides.iter().enumerate() {
        let at = format!("/webhookConfig/webhookOverrides/{index}");
        let name = written["name"].as_str().unwrap_or_default();
        let found = entries.iter().position(|entry| name == format!("{agent}/webhooks/{}", entry.spec.name));
        let Some(found) = found else {
            return Err(ApiError::invalid(format!("{at}/name"), format!("there is no webhook `{name}` of this agent")));
        };
        if others[found].is_some() {
            return Err(ApiError::invalid(format!("{at}/name"), format!("`{name}` is overridden twice")));
        }
        others[found] = Some(override_for(&entries[found].spec, agent, key, written).map_err(|problem| refused(problem.under(&at)))?);
    }
    let mut changed = Vec::new();
    for (entry, other) in entries.into_iter().zip(others) {
        if Override::of(&entry.spec, key) == other {
            continue;
        }
        let mut document = serde_json::to_value(&entry.spec).map_err(|error| ApiError::Internal(Box::new(error)))?;
        let (patch, service) = other.map_or((None, None), |other| (Some(other.patch), other.service.map(Value::from)));
        for (field, key, value) in [("environments", key, patch), ("labels", &*Override::label(key), service)] {
            match value {
                Some(value) => document[field][key] = value,
                None => drop(document[field].as_object_mut().map(|fields| fields.remove(key))),
            }
        }
        changed.push((entry, document));
    }
    Ok(changed)
}

/// Translates an error of a webhook's document to the place in the environment.
fn placed(error: ApiError, key: &str, overrides: &[Value], entry: &WebhookEntry) -> ApiError {
    let ApiError::Invalid { problems, .. } = error else { return error };
    let index = overrides.iter().position(|written| written["name"].as_str().is_some_and(|name| name.ends_with(&entry.spec.name)));
    let is_directory = index.is_some_and(|index| overrides[index].get("serviceDirectory").is_some());
    let under = index.map_or_else(String::new, |index| format!("/webhookConfig/webhookOverrides/{index}"));
    let prefix = format!("/environments/{key}");
    let place = |problem: Problem| {
        let inner = problem.pointer.strip_prefix(&prefix).unwrap_or(&problem.pointer);
        Problem { pointer: format!("{under}{}", cx::field_of(inner, is_directory)), ..problem }
    };
    ApiError::problems(problems.into_iter().map(place).collect())
}
