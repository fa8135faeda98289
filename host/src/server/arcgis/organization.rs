//! `/sharing/rest/portals/{id}/webhooks`: organization webhooks.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    access,
    asked::Asked,
    log,
    outcome::{Slice, kept, placed, problems, success},
    page::{Field, Shown},
    portal::{self, PORTAL_ID},
};
use crate::{
    catalog::{CatalogError, WebhookEntry},
    clock::random,
    model::{
        arcgis::{
            Kept, Writer, display_name,
            organization::{PROFILE, settings, to_document, view, with_settings},
            rights::Places,
        },
        problem::Problem,
        profile::Profile,
    },
    server::{respond::ApiError, webhooks},
};

/// For errors: places in the document, and the form fields they come from.
const FIELDS: [(&str, &str); 6] = [
    ("/request/url", "/url"),
    ("/signing", "/secret"),
    ("/deactivation", "/config/deactivationPolicy"),
    ("/selectors", "/events"),
    ("/labels", "/name"),
    ("/name", "/name"),
];

/// The form fields with the URL and the secret.
const PLACES: Places = Places { url: "/url", secret: "/secret" };

/// Answers a path below `/webhooks`.
pub(super) async fn answer(asked: &Asked<'_>, id: &str, rest: &[&str]) -> Result<Shown, ApiError> {
    access::organization(asked)?;
    portal::check_id(id)?;
    let at = asked.link(&format!("sharing/rest/portals/{id}/webhooks"));
    match rest {
        [] => list(asked, &at),
        ["createWebhook"] => create(asked).await,
        ["settings"] => show_settings(asked, &at),
        ["settings", "update"] => update_settings(asked).await,
        [webhook] => Ok(one(asked, &*find(asked, webhook)?, &at)),
        [webhook, "update"] => update(asked, &find_own(asked, webhook)?).await,
        [webhook, "activate"] => set_active(asked, &find_own(asked, webhook)?, true).await,
        [webhook, "deactivate"] => set_active(asked, &find_own(asked, webhook)?, false).await,
        [webhook, "delete"] => delete(asked, &find_own(asked, webhook)?, &at).await,
        [webhook, "notificationStatus"] => {
            let entry = find_own(asked, webhook)?;
            Ok(Shown::new(format!("Notification Status: {}", display_name(&entry.spec)), log::of_organization(asked, &entry).await?))
        }
        _ => Err(ApiError::NotFound(format!("operation `{}` of webhooks", rest.join("/")))),
    }
}

fn profile(asked: &Asked<'_>) -> Result<Profile, ApiError> {
    asked.services.catalog.snapshot().profiles.get(PROFILE).cloned().ok_or_else(|| ApiError::NotFound(format!("profile `{PROFILE}`")))
}

/// All organization webhooks, oldest first. Webhooks written through `/v1` are included.
fn all(asked: &Asked<'_>) -> Vec<Arc<WebhookEntry>> {
    let mut all: Vec<_> =
        asked.services.catalog.snapshot().webhooks.values().filter(|entry| entry.spec.profile == PROFILE).cloned().collect();
    all.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    all
}

fn find(asked: &Asked<'_>, id: &str) -> Result<Arc<WebhookEntry>, ApiError> {
    all(asked).into_iter().find(|entry| entry.id.as_str() == id).ok_or_else(|| ApiError::NotFound(format!("webhook `{id}`")))
}

/// The webhook, if the caller may change it.
fn find_own(asked: &Asked<'_>, id: &str) -> Result<Arc<WebhookEntry>, ApiError> {
    let entry = find(asked, id)?;
    access::change(asked, &entry.spec)?;
    Ok(entry)
}

fn shown(asked: &Asked<'_>, entry: &WebhookEntry) -> Value {
    let spec = access::visible(asked, &entry.spec);
    view(Kept { spec: &spec, ..kept(entry) }, PORTAL_ID, asked.services.catalog.snapshot().profiles.get(PROFILE))
}

/// Fields by which a list can be sorted.
const SORT_FIELDS: [&str; 4] = ["name", "created", "modified", "isActive"];

fn list(asked: &Asked<'_>, at: &str) -> Result<Shown, ApiError> {
    let mut all: Vec<_> = all(asked).iter().map(|entry| shown(asked, entry)).collect();
    let word = |name: &str, words: &[&'static str]| asked.form.choice(name, words).map_err(|problem| problems(vec![problem]));
    if let Some(field) = word("sortField", &SORT_FIELDS)? {
        all.sort_by(|a, b| match (a[field].as_i64(), b[field].as_i64()) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => a[field].to_string().to_lowercase().cmp(&b[field].to_string().to_lowercase()),
        });
    }
    if word("sortOrder", &["asc", "desc"])? == Some("desc") {
        all.reverse();
    }
    let slice = Slice::of(&asked.form, all.len())?;
    let total = all.len();
    let page = slice.take(all);
    let mut page_shown = Shown::new("Webhooks", Value::Null);
    for webhook in &page {
        let (name, id) = (webhook["name"].as_str().unwrap_or_default(), webhook["id"].as_str().unwrap_or_default());
        page_shown = page_shown.link(format!("Webhook: {name}"), format!("{at}/{id}"));
    }
    if slice.next > 0 {
        page_shown = page_shown.link("Next page", format!("{at}?start={}&num={}", slice.next, slice.num));
    }
    page_shown.value = json!({ "total": total, "start": slice.start, "num": slice.num, "nextStart": slice.next, "webhooks": page });
    Ok(page_shown.link("Create Webhook", format!("{at}/createWebhook")).link("Settings", format!("{at}/settings")))
}

fn one(asked: &Asked<'_>, entry: &WebhookEntry, at: &str) -> Shown {
    let at = format!("{at}/{}", entry.id);
    let value = shown(asked, entry);
    let switch = if entry.spec.active { ("Deactivate", "deactivate") } else { ("Activate", "activate") };
    let page = Shown::new(format!("Webhook: {}", display_name(&entry.spec)), value);
    if !access::may_change(asked, &entry.spec) {
        return page;
    }
    page.link("Update", format!("{at}/update"))
        .link(switch.0, format!("{at}/{}", switch.1))
        .link("Delete", format!("{at}/delete"))
        .link("Notification Status", format!("{at}/notificationStatus"))
}

/// The fields of the page, with their present values.
fn fields(value: &Value) -> Vec<Field> {
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let events = value["events"].as_array().map(|events| events.iter().filter_map(Value::as_str).collect::<Vec<_>>()).unwrap_or_default();
    let (changes, events) = if events == ["/"] { ("allChanges", String::new()) } else { ("manualChanges", events.join(",")) };
    let config = if value["config"].is_object() {
        value["config"].clone()
    } else {
        json!({ "deactivationPolicy": { "numberOfFailures": 5, "daysInPast": 5 } })
    };
    vec![
        Field::text("name", "Name", &text("name")),
        Field::text("url", "Payload URL", &text("payloadUrl")),
        Field::text("secret", "Secret (Optional)", &text("secret")),
        Field::area("config", "Configuration Properties", &config.to_string()),
        Field::choice(
            "changes",
            "Which events would you like to trigger this webhook",
            &[("manualChanges", "Let me define manually"), ("allChanges", "Send me everything")],
            changes,
        ),
        Field::area("events", "Send me changes for these comma separated events", &events),
    ]
}

async fn create(asked: &Asked<'_>) -> Result<Shown, ApiError> {
    if !asked.does()? {
        return Ok(Shown::new("Create Webhook", json!({})).with_form("Create Webhook", fields(&json!({ "events": [] }))));
    }
    let entry = write(asked, None).await?;
    let mut value = success();
    if let (Value::Object(value), Value::Object(webhook)) = (&mut value, shown(asked, &entry)) {
        value.extend(webhook);
    }
    Ok(Shown::new("Create Webhook", value).link(format!("Webhook: {}", display_name(&entry.spec)), webhook_link(asked, &entry)))
}

fn webhook_link(asked: &Asked<'_>, entry: &WebhookEntry) -> String {
    asked.link(&format!("sharing/rest/portals/{PORTAL_ID}/webhooks/{}", entry.id))
}

async fn update(asked: &Asked<'_>, entry: &Arc<WebhookEntry>) -> Result<Shown, ApiError> {
    if !asked.does()? {
        return Ok(Shown::new("Update Webhook", json!({})).with_form("Update Webhook", fields(&shown(asked, entry))));
    }
    write(asked, Some(entry)).await?;
    Ok(done(asked, entry))
}

/// The success answer: an object in JSON; a page redirects to the webhook.
fn done(asked: &Asked<'_>, entry: &WebhookEntry) -> Shown {
    Shown { to: Some(webhook_link(asked, entry)), ..Shown::new("Success", success()) }
}

async fn write(asked: &Asked<'_>, existing: Option<&Arc<WebhookEntry>>) -> Result<Arc<WebhookEntry>, ApiError> {
    let who = access::organization(asked)?;
    let generated = format!("arcgis-{}", hex::encode(random::<10>()));
    let name = existing.map_or(generated.as_str(), |entry| entry.spec.name.as_str());
    let writer = Writer { name, owner: &who.name, base: &asked.base(), existing: existing.map(|entry| &entry.spec) };
    let document = to_document(&asked.form, writer).map_err(problems)?;
    access::writable(asked, writer.existing, &document, PLACES)?;
    let wanted = document["labels"][crate::model::arcgis::NAME_LABEL].as_str().unwrap_or(name).to_lowercase();
    if all(asked).iter().any(|other| other.spec.name != name && display_name(&other.spec).to_lowercase() == wanted) {
        return Err(CatalogError::Exists("webhook").into());
    }
    let stored = webhooks::store(asked.services, document, name, existing.is_none()).await;
    stored.map(|(entry, _)| entry).map_err(|error| placed(error, &FIELDS))
}

async fn set_active(asked: &Asked<'_>, entry: &Arc<WebhookEntry>, active: bool) -> Result<Shown, ApiError> {
    let word = if active { "Activate" } else { "Deactivate" };
    if !asked.does()? {
        return Ok(Shown::new(format!("{word}: {}", display_name(&entry.spec)), json!({})).with_form(word, Vec::new()));
    }
    webhooks::set_active(asked.services, entry, active).await?;
    Ok(done(asked, entry))
}

async fn delete(asked: &Asked<'_>, entry: &Arc<WebhookEntry>, at: &str) -> Result<Shown, ApiError> {
    if !asked.does()? {
        return Ok(Shown::new(format!("Delete: {}", display_name(&entry.spec)), json!({})).with_form("Delete", Vec::new()));
    }
    webhooks::remove(asked.services, &entry.spec.name).await?;
    Ok(Shown { to: Some(at.to_owned()), ..Shown::new("Success", success()) })
}

fn show_settings(asked: &Asked<'_>, at: &str) -> Result<Shown, ApiError> {
    Ok(Shown::new("Webhook Settings", Value::Object(settings(&profile(asked)?))).link("Update", format!("{at}/settings/update")))
}

async fn update_settings(asked: &Asked<'_>) -> Result<Shown, ApiError> {
    let profile = profile(asked)?;
    if !asked.does()? {
        return Ok(Shown::new("Update Webhook Settings", json!({})).with_form("Update Webhook Settings", setting_fields(&profile)));
    }
    let changed = with_settings(profile, &asked.form).map_err(problems)?;
    asked.services.catalog.put_profile(changed).await.map_err(settings_error)?;
    let to = Some(asked.link(&format!("sharing/rest/portals/{PORTAL_ID}/webhooks/settings")));
    Ok(Shown { to, ..Shown::new("Success", success()) })
}

/// The error of a site-wide value that a webhook's own value does not allow.
fn settings_error(error: CatalogError) -> ApiError {
    match error {
        CatalogError::Invalid(found) => problems(found.into_iter().map(|problem| Problem { pointer: String::new(), ..problem }).collect()),
        other => other.into(),
    }
}

fn setting_fields(profile: &Profile) -> Vec<Field> {
    let label = |name: &str| match name {
        "notificationAttempts" => "Number of Notification Attempts",
        "notificationTimeOutInSeconds" => "Notification Time Out in Seconds",
        _ => "Notification Elapsed Time in Seconds",
    };
    settings(profile).into_iter().map(|(name, value)| Field::text(&name, label(&name), &value.to_string())).collect()
}
