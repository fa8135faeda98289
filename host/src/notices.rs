//! What becomes of a webhook whose attempts went badly, or well again: it is switched off, and an operational event says so.
//!
//! The count is kept with each settlement ([`crate::model::deactivation`]); here it is acted upon. It takes no input, is woken by a
//! signal and backed by a scan, and may do everything twice: the event's identifier is made of what it tells.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    catalog::{CatalogError, WebhookEntry},
    clock::millis,
    model::{
        deactivation::{Notice, NoticeKind, Reason},
        event::{CONCERNS, NewEvent},
        id::{EventId, WebhookId},
        trigger::Trigger,
    },
    outbound::{
        acceptance::{self, Incoming, SOURCE, binding_failed, tell},
        deliverer::Invoked,
    },
    services::Services,
};

pub mod plugins;

/// The longest sleep between two looks.
const SCAN_EVERY: Duration = Duration::from_secs(10);

/// Acts upon notices until the host stops.
pub async fn work(services: Services) {
    loop {
        match services.store.notices().await {
            Ok(notices) => {
                for (webhook, notice) in notices {
                    if let Err(error) = act(&services, &webhook, notice).await {
                        tracing::error!(%webhook, %error, "a webhook cannot be switched off; trying again");
                    }
                }
            }
            Err(error) => tracing::error!(%error, "the notices of webhooks cannot be read; trying again"),
        }
        tokio::select! {
            () = services.stop.cancelled() => return,
            () = services.notices.notified() => {}
            () = tokio::time::sleep(SCAN_EVERY) => {}
        }
    }
}

/// Why a notice was not acted upon.
#[derive(Debug, thiserror::Error)]
enum NoticeError {
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Accept(#[from] acceptance::AcceptError),
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
}

async fn act(services: &Services, id: &WebhookId, notice: Notice) -> Result<(), NoticeError> {
    let Some(entry) = services.catalog.snapshot().webhooks_by_id.get(id).cloned() else {
        services.store.reset_standing(id, None).await?;
        return Ok(());
    };
    let event = match notice.kind {
        NoticeKind::Deactivate(reason) => {
            let deactivated = services.catalog.deactivate(id, reason, notice.at).await?;
            services.window.forget(id, services.clock.now());
            let cancelled = services.store.cancel_for_webhook(id).await?;
            if deactivated {
                tracing::warn!(webhook = entry.spec.name, ?reason, cancelled, "switched off; activate it, then recover what was cancelled");
            }
            operational(&entry, "deactivated", notice.at, Some(reason))
        }
        NoticeKind::Recovered => operational(&entry, "recovered", notice.at, None),
    };
    if let Some(incoming) = event.filter(|_| notice.is_told) {
        acceptance::accept(services, vec![incoming]).await?;
    }
    services.store.noticed(id, notice).await?;
    Ok(())
}

/// Emits the event of a failed `invoke`, such as `webhook.error.timeout`. An event that no webhook selects is not written.
pub async fn invoke_failed(services: &Services, invoked: &Invoked) {
    let Invoked { delivery, attempt, error_event: Some(name) } = invoked else { return };
    let data = json!({
        "webhook": delivery.webhook,
        "delivery": delivery.id,
        "http_status": attempt.answer.as_ref().map(|answer| answer.status),
        "failure": attempt.shortcoming().map(|failure| failure.kind),
    });
    tell(services, delivery, name, data).await;
    if let Some(failure) = &attempt.binding_failure {
        binding_failed(services, delivery, failure).await;
    }
}

/// `webhook.deactivated` or `webhook.recovered`. Never delivered to the webhook it concerns ([`crate::catalog::Snapshot::matching`]).
fn operational(entry: &WebhookEntry, what: &str, at: Timestamp, reason: Option<Reason>) -> Option<Incoming> {
    let trigger = Trigger::parse(&format!("webhook.{what}")).ok()?;
    let mut data = json!({ "webhook": entry.spec.name, "id": entry.id, "at": at });
    if let Some(reason) = reason {
        data["reason"] = json!(reason);
    }
    let event = NewEvent {
        id: EventId::operational(entry.id.as_str(), what, millis(at)),
        trigger,
        source: SOURCE.to_owned(),
        time: at,
        session: None,
        environment: None,
        attributes: BTreeMap::from([(CONCERNS.to_owned(), entry.id.0.clone())]),
        data,
        call: None,
        depth: 0,
        trace: None,
    };
    Some(Incoming { event, parameters: Map::<String, Value>::new(), dedup: None })
}
