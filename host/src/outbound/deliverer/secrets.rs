//! Secrets are read by name at the moment they are used.

use super::super::material::webhook_now;
use crate::{
    model::{
        outcome::{Failure, FailureKind},
        secret::{Secret, SecretRef},
        webhook::Webhook,
    },
    services::Services,
};

/// The value of a secret, for one computation.
pub async fn secret(services: &Services, reference: &SecretRef) -> Result<Secret, Failure> {
    match services.store.secret(&reference.name, reference.version).await {
        Ok(Some(secret)) => Ok(secret),
        Ok(None) => Err(Failure::new(FailureKind::SecretMissing, format!("there is no secret `{reference}`"))),
        Err(error) => Err(Failure::new(FailureKind::SecretMissing, format!("the secret `{reference}` cannot be read: {error}"))),
    }
}

/// Looks, once every secret was read, whether the webhook still is what they were read for: before a request goes out, and before a token
/// endpoint is asked. Secrets are read by name at the moment they are used, and plugins and token endpoints take their time: without this
/// look a new secret could go where the webhook pointed before.
pub fn check_current(services: &Services, webhook: &Webhook, environment: Option<&str>) -> Result<(), Failure> {
    // In this order: a change that ended before the first look shows in the second.
    let is_changing = services.catalog.changing().holds(&webhook.name);
    match webhook_now(services, &webhook.id, environment) {
        // One that is inactive is called where somebody checks it, and it was inactive then.
        Some(now) if !is_changing && (std::ptr::eq(&*now, webhook) || (now.active || !webhook.active) && webhook.sends_like(&now)) => {
            Ok(())
        }
        _ => Err(Failure::new(FailureKind::WebhookChanged, "the webhook was changed while its request was being made; nothing was sent")),
    }
}
