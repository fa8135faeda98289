//! `notificationStatus`: the deliveries of a webhook, in the two formats of ArcGIS's APIs.

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{
    asked::Asked,
    outcome::{Slice, problems},
};
use crate::{
    catalog::WebhookEntry,
    model::{
        arcgis::{FAILURES_SINCE_LABEL, epoch},
        delivery::{Attempt, Delivery, DeliveryState},
    },
    server::respond::ApiError,
    services::Services,
    store::DeliveryFilter,
};

/// Most deliveries that are read for one list. `/v1/deliveries` shows older ones.
const LISTED_MAX: usize = 10_000;
/// Deliveries that are read at a time.
const CHUNK: usize = 500;

/// The deliveries of a webhook, newest first.
async fn deliveries(services: &Services, entry: &WebhookEntry, state: Option<DeliveryState>) -> Result<Vec<Delivery>, ApiError> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let filter = DeliveryFilter { webhook: Some(entry.id.clone()), event: None, state, since: None };
        let page = services.store.deliveries(filter, after, CHUNK).await?;
        found.extend(page.data);
        after = page.next;
        if after.is_none() || found.len() >= LISTED_MAX {
            return Ok(found);
        }
    }
}

/// All payloads that were tried, with their answers. As in Esri's documentation, the time and the payload are strings.
pub(super) async fn of_organization(asked: &Asked<'_>, entry: &WebhookEntry) -> Result<Value, ApiError> {
    let mut tried = deliveries(asked.services, entry, None).await?;
    tried.retain(|delivery| delivery.attempts > 0);
    let order = asked.form.choice("sortOrder", &["asc", "desc"]).map_err(|problem| problems(vec![problem]))?;
    if order == Some("asc") {
        tried.reverse();
    }
    let slice = Slice::of(&asked.form, tried.len())?;
    let total = tried.len();
    let mut listed = Vec::new();
    for delivery in slice.take(tried) {
        let attempt = asked.services.store.attempts(&delivery.id).await?.pop();
        listed.push(told(entry, &delivery, attempt));
    }
    Ok(json!({ "total": total, "start": slice.start, "num": slice.num, "nextStart": slice.next, "WebhookStatus": listed }))
}

fn told(entry: &WebhookEntry, delivery: &Delivery, attempt: Option<Attempt>) -> Value {
    let attempt = attempt.unwrap_or_else(|| Attempt::begun(delivery.attempts, delivery.updated_at));
    let at = attempt.started_at.to_zoned(TimeZone::UTC);
    let response = match (&attempt.answer, &attempt.failure) {
        (Some(answer), _) => answer.body.clone(),
        (None, Some(failure)) => failure.detail.clone(),
        (None, None) => String::new(),
    };
    json!({
        "id": entry.id,
        "isInvoked": delivery.state == DeliveryState::Delivered,
        "invokedTimestamp": at.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string(),
        "responseText": response,
        "payload": attempt.request.map(|request| request.body).unwrap_or_default(),
    })
}

/// The payloads that failed since the webhook was last activated. Activating clears this log.
pub(super) async fn of_service(asked: &Asked<'_>, entry: &WebhookEntry) -> Result<Value, ApiError> {
    let since = entry.spec.labels.get(FAILURES_SINCE_LABEL).and_then(|text| text.parse().ok());
    let mut failed = deliveries(asked.services, entry, Some(DeliveryState::Failed)).await?;
    failed.retain(|delivery| since.is_none_or(|since| delivery.updated_at >= since));
    let entries: Vec<_> =
        failed.iter().map(|delivery| json!({ "invoked": false, "invokedTimestamp": epoch(delivery.updated_at) })).collect();
    Ok(json!({ "webhookNotificationStatus": entries }))
}
