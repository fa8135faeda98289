//! `/admin/services/.../webhooks`: webhooks of geoprocessing and feature services, and pages of the services.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    access,
    asked::Asked,
    log,
    outcome::{kept, placed, problems, success},
    page::{Field, Shown},
};
use crate::{
    catalog::{CatalogError, WebhookEntry},
    clock::random,
    model::{
        arcgis::{
            FAILURES_SINCE_LABEL, Kept, NAME_LABEL, Writer, display_name,
            rights::Places,
            service::{CONTENT_TYPES, PAYLOAD_FORMATS, is_about, settings as settings_of, to_document, view, with_settings},
        },
        service::{Execution, ServiceEntry, ServiceKind, ServiceName},
    },
    server::{respond::ApiError, services, webhooks},
};

/// For errors: places in the document, and the form fields they come from.
const FIELDS: [(&str, &str); 8] = [
    ("/request/url", "/hookUrl"),
    ("/request/content_type", "/contentType"),
    ("/signing", "/signatureKey"),
    ("/batch", "/scheduleInfo/recurrenceInfo"),
    ("/selectors", "/changeTypes"),
    ("/sources", ""),
    ("/labels", "/name"),
    ("/name", "/name"),
];

/// The form fields with the URL and the secret.
const PLACES: Places = Places { url: "/hookUrl", secret: "/signatureKey" };

/// A service, and its name split into its parts.
struct Named {
    entry: Arc<ServiceEntry>,
    name: ServiceName,
    /// The path of its webhooks.
    at: String,
}

fn find_service(asked: &Asked<'_>, name: &str) -> Result<Named, ApiError> {
    access::directory(asked)?;
    let missing = || ApiError::NotFound(format!("service `{name}`; an admin registers it: PUT /v1/services/{name}"));
    let parsed = ServiceName::parse(name).ok_or_else(missing)?;
    let entry = services::find(asked.services, name).map_err(|_| missing())?;
    Ok(Named { entry, name: parsed, at: asked.link(&format!("admin/services/{name}/webhooks")) })
}

/// `/admin`
pub(super) fn root(asked: &Asked<'_>) -> Result<Shown, ApiError> {
    access::anybody(asked)?;
    Ok(Shown::new("Server Administrator Directory", json!({ "resources": ["services"] })).link("Services", asked.link("admin/services")))
}

/// `/admin/services`, or one folder in it.
pub(super) fn services(asked: &Asked<'_>, folder: Option<&str>) -> Result<Shown, ApiError> {
    access::directory(asked)?;
    let snapshot = asked.services.catalog.snapshot();
    let names: Vec<_> = snapshot.services.keys().filter_map(|name| ServiceName::parse(name)).collect();
    let mut folders: Vec<_> = names.iter().map(|name| name.folder.clone()).filter(|folder| !folder.is_empty()).collect();
    folders.dedup();
    if folder.is_some_and(|folder| !folders.iter().any(|known| known == folder)) {
        return Err(ApiError::NotFound(format!("folder `{}`", folder.unwrap_or_default())));
    }
    let here: Vec<_> = names.iter().filter(|name| name.folder == folder.unwrap_or_default()).collect();
    let listed: Vec<_> = here
        .iter()
        .map(|name| json!({ "folderName": if name.folder.is_empty() { "/" } else { &name.folder }, "serviceName": name.service, "type": name.kind.as_str() }))
        .collect();
    let mut shown = Shown::new(folder.map_or_else(|| "Services".to_owned(), |folder| format!("Folder: {folder}")), Value::Null);
    if folder.is_none() {
        for folder in &folders {
            shown = shown.link(format!("Folder: {folder}"), asked.link(&format!("admin/services/{folder}")));
        }
        shown = shown.link("Webhook Settings", asked.link("admin/services/webhooks/settings"));
    }
    for name in &here {
        shown = shown.link(format!("{} ({})", name.service, name.kind.as_str()), asked.link(&format!("admin/services/{name}")));
    }
    let folder_name = folder.unwrap_or("/");
    shown.value = json!({ "folderName": folder_name, "folders": if folder.is_none() { folders } else { Vec::new() }, "services": listed });
    Ok(shown)
}

pub(super) fn service(asked: &Asked<'_>, name: &str) -> Result<Shown, ApiError> {
    let Named { entry, name, at } = find_service(asked, name)?;
    let mut value = json!({ "serviceName": name.service, "type": name.kind.as_str(), "description": entry.spec.description });
    match name.kind {
        ServiceKind::FeatureServer => {
            let words: Vec<_> = entry.spec.capabilities.iter().map(|one| one.as_str()).collect();
            value["capabilities"] = json!(words.join(","));
        }
        ServiceKind::GpServer => {
            let word = if entry.spec.execution == Execution::Asynchronous { "Asynchronous" } else { "Synchronous" };
            value["properties"] = json!({ "executionType": word });
        }
    }
    Ok(Shown::new(format!("Service: {name}"), value).link("Webhooks", at))
}

/// Answers a path below `/webhooks` of a service.
pub(super) async fn answer(asked: &Asked<'_>, service: &str, rest: &[&str]) -> Result<Shown, ApiError> {
    let service = find_service(asked, service)?;
    access::service(asked, service.name.kind, &service.entry.spec)?;
    match rest {
        [] => Ok(list(asked, &service)),
        ["create"] => create(asked, &service).await,
        // The next three words are ours: the documentation names the operations but not their addresses.
        ["deleteAll"] => for_all(asked, &service, "Delete all").await,
        ["activateAll"] => for_all(asked, &service, "Activate all").await,
        ["deactivateAll"] => for_all(asked, &service, "Deactivate all").await,
        [id] => Ok(one(asked, &service, &*find(asked, &service, id)?)),
        [id, "edit"] => edit(asked, &service, &find_own(asked, &service, id)?).await,
        [id, "delete"] => delete(asked, &service, &find_own(asked, &service, id)?).await,
        [id, "notificationStatus"] => {
            let entry = find_own(asked, &service, id)?;
            Ok(Shown::new(format!("Notification Status: {}", display_name(&entry.spec)), log::of_service(asked, &entry).await?))
        }
        _ => Err(ApiError::NotFound(format!("operation `{}` of webhooks", rest.join("/")))),
    }
}

/// The webhooks about a service, oldest first.
fn all(asked: &Asked<'_>, service: &Named) -> Vec<Arc<WebhookEntry>> {
    let snapshot = asked.services.catalog.snapshot();
    let mut all: Vec<_> = snapshot.webhooks.values().filter(|entry| is_about(&entry.spec, &service.name)).cloned().collect();
    all.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    all
}

fn find(asked: &Asked<'_>, service: &Named, id: &str) -> Result<Arc<WebhookEntry>, ApiError> {
    let found = all(asked, service).into_iter().find(|entry| entry.id.as_str() == id);
    found.ok_or_else(|| ApiError::NotFound(format!("webhook `{id}` of `{}`", service.name)))
}

/// The webhook, if the caller may change it.
fn find_own(asked: &Asked<'_>, service: &Named, id: &str) -> Result<Arc<WebhookEntry>, ApiError> {
    let entry = find(asked, service, id)?;
    access::change(asked, &entry.spec)?;
    Ok(entry)
}

fn shown(asked: &Asked<'_>, service: &Named, entry: &WebhookEntry) -> Value {
    let spec = access::visible(asked, &entry.spec);
    view(Kept { spec: &spec, ..kept(entry) }, &service.name, asked.services.catalog.snapshot().profiles.get(&entry.spec.profile))
}

fn list(asked: &Asked<'_>, service: &Named) -> Shown {
    let all = all(asked, service);
    let at = &service.at;
    let value = json!({ "webhooks": all.iter().map(|entry| shown(asked, service, entry)).collect::<Vec<_>>() });
    let mut page = Shown::new(format!("Webhooks: {}", service.name), value);
    for entry in &all {
        page = page.link(format!("Webhook: {}", display_name(&entry.spec)), format!("{at}/{}", entry.id));
    }
    page = page.link("Create", format!("{at}/create"));
    if all.is_empty() {
        return page;
    }
    [("Delete all", "deleteAll"), ("Activate all", "activateAll"), ("Deactivate all", "deactivateAll")]
        .into_iter()
        .fold(page, |page, (label, word)| page.link(label, format!("{at}/{word}")))
}

fn one(asked: &Asked<'_>, service: &Named, entry: &WebhookEntry) -> Shown {
    let at = format!("{}/{}", service.at, entry.id);
    let page = Shown::new(format!("Webhook: {}", display_name(&entry.spec)), shown(asked, service, entry));
    if !access::may_change(asked, &entry.spec) {
        return page;
    }
    page.link("Edit", format!("{at}/edit"))
        .link("Delete", format!("{at}/delete"))
        .link("Notification Status", format!("{at}/notificationStatus"))
}

/// The fields of the page, with their present values.
fn fields(kind: ServiceKind, value: &Value) -> Vec<Field> {
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let mut fields = vec![Field::text("name", "Name", &text("name"))];
    if kind == ServiceKind::FeatureServer {
        let changes = value["changeTypes"].as_array().map(|list| list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","));
        fields.push(Field::text("changeTypes", "Change Type", &changes.unwrap_or_default()));
    }
    let pairs = |words: [&'static str; 2]| words.map(|word| (word, word));
    fields.extend([
        Field::text("signatureKey", "Signature Key", &text("signatureKey")),
        Field::text("hookUrl", "Hook URL", &text("hookUrl")),
        Field::choice("contentType", "Content Type", &pairs(CONTENT_TYPES), &text("contentType")),
        Field::choice("payloadFormat", "Payload Format", &pairs(PAYLOAD_FORMATS), &text("payloadFormat")),
        Field::choice("active", "Active", &[("true", "True"), ("false", "False")], if value["active"] == false { "false" } else { "true" }),
    ]);
    if kind == ServiceKind::FeatureServer {
        let default = json!({ "name": "Every-20seconds", "state": "enabled", "recurrenceInfo": { "frequency": "second", "interval": 20 } });
        let schedule = if value["scheduleInfo"].is_object() { &value["scheduleInfo"] } else { &default };
        fields.push(Field::area("scheduleInfo", "Schedule", &schedule.to_string()));
    }
    fields
}

async fn create(asked: &Asked<'_>, service: &Named) -> Result<Shown, ApiError> {
    if !asked.does()? {
        let page = Shown::new(format!("Create Webhook: {}", service.name), json!({}));
        return Ok(page.with_form("Create", fields(service.name.kind, &Value::Null)));
    }
    let entry = write(asked, service, None).await?;
    let mut value = success();
    if let (Value::Object(value), Value::Object(webhook)) = (&mut value, shown(asked, service, &entry)) {
        value.extend(webhook);
    }
    Ok(Shown { to: Some(format!("{}/{}", service.at, entry.id)), ..Shown::new("Success", value) })
}

async fn edit(asked: &Asked<'_>, service: &Named, entry: &Arc<WebhookEntry>) -> Result<Shown, ApiError> {
    if !asked.does()? {
        let page = Shown::new(format!("Edit Webhook: {}", display_name(&entry.spec)), json!({}));
        return Ok(page.with_form("Edit", fields(service.name.kind, &shown(asked, service, entry))));
    }
    write(asked, service, Some(entry)).await?;
    Ok(Shown { to: Some(format!("{}/{}", service.at, entry.id)), ..Shown::new("Success", success()) })
}

async fn write(asked: &Asked<'_>, service: &Named, existing: Option<&Arc<WebhookEntry>>) -> Result<Arc<WebhookEntry>, ApiError> {
    let who = access::service(asked, service.name.kind, &service.entry.spec)?;
    let generated = format!("arcgis-{}", hex::encode(random::<10>()));
    let name = existing.map_or(generated.as_str(), |entry| entry.spec.name.as_str());
    let writer = Writer { name, owner: &who.name, base: &asked.base(), existing: existing.map(|entry| &entry.spec) };
    let mut document = to_document(&asked.form, &service.name, writer).map_err(problems)?;
    access::writable(asked, writer.existing, &document, PLACES)?;
    let wanted = document["labels"][NAME_LABEL].as_str().unwrap_or(name).to_lowercase();
    if all(asked, service).iter().any(|other| other.spec.name != name && display_name(&other.spec).to_lowercase() == wanted) {
        return Err(CatalogError::Exists("webhook").into());
    }
    let is_active = document["active"] == true;
    if is_active && existing.is_some_and(|existing| !existing.spec.active) {
        document["labels"][FAILURES_SINCE_LABEL] = json!(asked.services.clock.now());
    }
    let (entry, _) = webhooks::store(asked.services, document, name, existing.is_none()).await.map_err(|error| placed(error, &FIELDS))?;
    if !is_active {
        asked.services.store.cancel_for_webhook(&entry.id).await?;
    }
    Ok(entry)
}

async fn delete(asked: &Asked<'_>, service: &Named, entry: &Arc<WebhookEntry>) -> Result<Shown, ApiError> {
    if !asked.does()? {
        return Ok(Shown::new(format!("Delete: {}", display_name(&entry.spec)), json!({})).with_form("Delete", Vec::new()));
    }
    webhooks::remove(asked.services, &entry.spec.name).await?;
    Ok(Shown { to: Some(service.at.clone()), ..Shown::new("Success", success()) })
}

async fn for_all(asked: &Asked<'_>, service: &Named, what: &'static str) -> Result<Shown, ApiError> {
    if !asked.does()? {
        return Ok(Shown::new(format!("{what}: {}", service.name), json!({})).with_form(what, Vec::new()));
    }
    // A caller who is no admin changes only the webhooks that he created.
    for entry in all(asked, service).into_iter().filter(|entry| access::may_change(asked, &entry.spec)) {
        match what {
            "Delete all" => webhooks::remove(asked.services, &entry.spec.name).await.map(drop)?,
            "Activate all" if entry.spec.active => {}
            "Activate all" => {
                let mut spec = entry.spec.clone();
                spec.labels.insert(FAILURES_SINCE_LABEL.to_owned(), asked.services.clock.now().to_string());
                drop(webhooks::set_active(asked.services, &WebhookEntry { spec, ..clone_of(&entry) }, true).await?);
            }
            _ => drop(webhooks::set_active(asked.services, &entry, false).await?),
        }
    }
    Ok(Shown { to: Some(service.at.clone()), ..Shown::new("Success", success()) })
}

fn clone_of(entry: &WebhookEntry) -> WebhookEntry {
    let WebhookEntry { created_at, updated_at, deactivated, .. } = *entry;
    WebhookEntry {
        id: entry.id.clone(),
        spec: entry.spec.clone(),
        webhook: Arc::clone(&entry.webhook),
        created_at,
        updated_at,
        deactivated,
    }
}

/// `/admin/services/webhooks/settings`: settings for the webhooks of all services of both kinds.
pub(super) async fn settings(asked: &Asked<'_>) -> Result<Shown, ApiError> {
    access::administrator(asked)?;
    let profiles = asked.services.catalog.snapshot().profiles.clone();
    let kinds = ServiceKind::ALL.map(|kind| profiles.get(kind.profile()));
    let [Some(feature), Some(geoprocessing)] = kinds else { return Err(ApiError::NotFound("profile of service webhooks".to_owned())) };
    let current = settings_of(feature);
    if asked.method != http::Method::POST {
        let fields = current.iter().map(|(name, value)| Field::text(name, name, &value.to_string())).collect();
        return Ok(Shown::new("Webhook Settings", Value::Object(current)).with_form("Update", fields));
    }
    // Check both before either is written.
    let changed = [feature, geoprocessing].map(|profile| with_settings(profile.clone(), &asked.form));
    let [feature, geoprocessing] = changed;
    for profile in [feature.map_err(problems)?, geoprocessing.map_err(problems)?] {
        asked.services.catalog.put_profile(profile).await?;
    }
    Ok(Shown { to: Some(asked.link("admin/services/webhooks/settings")), ..Shown::new("Success", success()) })
}
