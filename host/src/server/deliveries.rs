//! `/v1/deliveries`: deliveries and their attempts.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    request::Asked,
    respond::{Answer, ApiError, List, ProblemDetails, ok},
};
use crate::{
    model::{
        delivery::{Attempt, Delivery, DeliveryState},
        id::{DeliveryId, EventId, WebhookId},
    },
    services::Services,
    store::DeliveryFilter,
};

/// A delivery with all its attempts.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeliveryWithAttempts {
    #[serde(flatten)]
    pub delivery: Delivery,
    /// The attempts, oldest first. Requests are shown as sent but without secrets; answers are cut off at the size limit.
    #[serde(rename = "attempt_log")]
    pub attempts: Vec<Attempt>,
}

/// List the deliveries, newest first.
#[utoipa::path(get, path = "/v1/deliveries", tag = "deliveries",
    params(("webhook" = Option<String>, Query, description = "only deliveries of this webhook: its name, or its identifier if it was deleted"), ("event" = Option<String>, Query, description = "only deliveries of this event"),
        ("state" = Option<DeliveryState>, Query, description = "only deliveries in this state"), ("since" = Option<String>, Query, description = "only deliveries created at or after this time, RFC 3339"),
        ("limit" = Option<usize>, Query, description = "1 to 500, 50 by default"), ("after" = Option<String>, Query, description = "`next` of the previous page")),
    responses((status = 200, description = "a page", body = List<Delivery>)))]
pub async fn list(services: Services, asked: Asked) -> Answer {
    asked.only(&["webhook", "event", "state", "since", "limit", "after"])?;
    let (limit, after) = asked.page()?;
    let states = "pending, sending, waiting, delivered, failed, refused or cancelled";
    let filter = DeliveryFilter {
        webhook: asked.query("webhook").map(|name| webhook_id(&services, name)),
        event: asked.query("event").map(|id| EventId(id.to_owned())),
        state: asked.query_as::<DeliveryState>("state", states)?,
        since: asked.query_as::<Timestamp>("since", "an RFC 3339 time")?,
    };
    let page = services.store.deliveries(filter, after, limit).await?;
    ok(&List { data: page.data, next: page.next })
}

/// The identifier of a webhook, given its name. Deliveries are stored by identifier, so the identifier of a deleted webhook works, too.
fn webhook_id(services: &Services, name: &str) -> WebhookId {
    services.catalog.snapshot().webhooks.get(name).map_or_else(|| WebhookId(name.to_owned()), |entry| entry.id.clone())
}

/// Get a delivery with its attempts.
#[utoipa::path(get, path = "/v1/deliveries/{id}", tag = "deliveries", params(("id" = String, Path, description = "`dlv_...`")),
    responses((status = 200, description = "the delivery", body = DeliveryWithAttempts), (status = 404, body = ProblemDetails, description = "there is no delivery with this identifier", content_type = "application/problem+json")))]
pub async fn get(services: Services, asked: Asked) -> Answer {
    let id = DeliveryId(asked.path(0).to_owned());
    let delivery = services.store.delivery(&id).await?.ok_or_else(|| missing(&id))?;
    let attempts = services.store.attempts(&id).await?;
    ok(&DeliveryWithAttempts { delivery, attempts })
}

fn missing(id: &DeliveryId) -> ApiError {
    ApiError::NotFound(format!("delivery `{id}`"))
}

/// Send a delivery once more. It keeps its identifier.
#[utoipa::path(post, path = "/v1/deliveries/{id}/resend", tag = "deliveries", params(("id" = String, Path, description = "`dlv_...`")),
    responses((status = 200, description = "the delivery is pending again", body = Delivery), (status = 404, body = ProblemDetails, description = "there is no delivery with this identifier", content_type = "application/problem+json"),
        (status = 409, body = ProblemDetails, description = "it has not ended yet", content_type = "application/problem+json")))]
pub async fn resend(services: Services, asked: Asked) -> Answer {
    let id = DeliveryId(asked.path(0).to_owned());
    let existing = services.store.delivery(&id).await?.ok_or_else(|| missing(&id))?;
    if existing.event.is_none() {
        return Err(ApiError::Conflict("an invocation is not resent: nobody waits for its answer; invoke again".to_owned()));
    }
    let delivery = services.store.resend(id).await?;
    services.window.wake();
    ok(&delivery)
}

/// Cancel a delivery that is pending or waiting.
#[utoipa::path(post, path = "/v1/deliveries/{id}/cancel", tag = "deliveries", params(("id" = String, Path, description = "`dlv_...`")),
    responses((status = 200, description = "cancelled", body = Delivery), (status = 404, body = ProblemDetails, description = "there is no delivery with this identifier", content_type = "application/problem+json"),
        (status = 409, body = ProblemDetails, description = "it is being sent or has ended", content_type = "application/problem+json")))]
pub async fn cancel(services: Services, asked: Asked) -> Answer {
    let id = DeliveryId(asked.path(0).to_owned());
    services.store.delivery(&id).await?.ok_or_else(|| missing(&id))?;
    ok(&services.store.cancel(id).await?)
}
