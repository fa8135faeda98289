//! Whether the version before handles what a new version of a plugin failed on.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Map;

use super::{Inbound, SEED, Setting, TryError, compare::build, look_back, rehearsed, session_of, try_receive, webhook_of};
use crate::{
    model::{
        function::Ambient,
        id::{CallId, DeliveryId},
        outcome::FailureKind,
        plugin::{evidence::Rehearsed, party::Kept},
    },
    outbound::plugin_call::delivery_input,
    plugin::{ActivePlugin, AnswerInput, Keys},
    services::Services,
    store::{Store, StoreError},
};

/// How long an input is waited for that is only just being written down.
const KEPT_WAIT_MAX: Duration = Duration::from_secs(5);

/// How often it is looked for.
const KEPT_LOOK_EVERY: Duration = Duration::from_millis(50);

/// How often the version before is tried while all its instances are busy.
const BUSY_TRIES_MAX: u32 = 10;

/// How long each of these waits for the next.
const BUSY_WAIT: Duration = Duration::from_millis(200);

/// What the version before makes of an input that a new one failed on. It signs with the secrets, for nobody sees what it makes.
pub async fn rehearse(services: &Services, before: &Arc<ActivePlugin>, kept: &Kept) -> Rehearsed {
    for _ in 0..BUSY_TRIES_MAX {
        match handles(services, before, kept).await {
            Ok(None) => tokio::time::sleep(BUSY_WAIT).await,
            Ok(Some(true)) => return Rehearsed::Handled,
            Ok(Some(false)) => return Rehearsed::Failed,
            Err(error) => {
                tracing::warn!(?kept, %error, "the version before cannot be tried on what a new one failed on");
                return Rehearsed::Failed;
            }
        }
    }
    Rehearsed::Failed
}

/// Whether `plugin` handles an input; `None`: it is too busy to say.
async fn handles(services: &Services, plugin: &Arc<ActivePlugin>, kept: &Kept) -> Result<Option<bool>, TryError> {
    match kept {
        Kept::Call(id) => {
            let failed = |store: Store, id: CallId| async move { Ok(store.call(&id).await?.filter(|call| call.failure.is_some())) };
            let call = written_down(services, id, failed).await?.ok_or_else(|| TryError::Missing(format!("call {id}")))?;
            let setting = Setting { keys: Keys::Secrets, ..Setting::default() };
            let tried = try_receive(services, plugin, Inbound::Past(id.clone()), setting).await?;
            // In a try no webhook is invoked. One that wants to invoke where the new version never came to that has got further.
            let got_further = !tried.invoked.is_empty() && call.webhook_statuses.is_empty();
            Ok(judged(tried.outcome.as_ref().err().map(FailureKind::from), got_further))
        }
        Kept::Delivery(id) => {
            let claimed = look_back(services, id).await?;
            let webhook = webhook_of(services, &claimed).ok_or_else(|| TryError::Missing(format!("webhook of delivery {id}")))?;
            let session = session_of(services, claimed.delivery.session.as_deref()).await?;
            let built = build(services, &claimed, &webhook, session, (plugin, Keys::Secrets)).await;
            Ok(judged(built.request.as_ref().err().map(|failure| failure.kind), false))
        }
        Kept::Answer(id) => read_again(services, plugin, id).await,
    }
}

fn judged(failure: Option<FailureKind>, got_further: bool) -> Option<bool> {
    (failure != Some(FailureKind::PluginBusy)).then_some(failure.is_none() || got_further)
}

/// The last answer to a delivery, as far as it is kept, read by `plugin`.
async fn read_again(services: &Services, plugin: &Arc<ActivePlugin>, id: &DeliveryId) -> Result<Option<bool>, TryError> {
    if !plugin.loaded.exports_answers() {
        return Ok(Some(true));
    }
    let last =
        |store: Store, id: DeliveryId| async move { Ok(store.attempts(&id).await?.into_iter().rev().find_map(|attempt| attempt.answer)) };
    let answer = written_down(services, id, last).await?.filter(|answer| !answer.truncated);
    let answer = answer.ok_or_else(|| TryError::Missing(format!("whole answer to delivery {id}")))?;
    let claimed = look_back(services, id).await?;
    let session = session_of(services, claimed.delivery.session.as_deref()).await?;
    let config = webhook_of(services, &claimed).and_then(|webhook| webhook.transform.clone().map(|transform| transform.config));
    let own = [config.unwrap_or_default(), Map::new()];
    let now = claimed.delivery.created_at;
    let context = rehearsed(services, plugin, own, session.parameters, now).rehearsed(Ambient { now, seed: SEED }, Keys::Secrets);
    let input = AnswerInput { status: answer.status, headers: answer.headers.into_iter().collect(), body: answer.body.into_bytes() };
    let read = plugin.loaded.read_answer(context, delivery_input(services, &claimed.delivery), input).await;
    Ok(judged(read.as_ref().err().map(|failed| FailureKind::from(&failed.failure)), false))
}

/// What `look` finds, once it does: a call fails a moment before that is written down.
async fn written_down<I: Clone, T, F: Future<Output = Result<Option<T>, StoreError>>>(
    services: &Services,
    id: &I,
    look: impl Fn(Store, I) -> F,
) -> Result<Option<T>, StoreError> {
    let begun = Instant::now();
    loop {
        let found = look(services.store.clone(), id.clone()).await?;
        if found.is_some() || begun.elapsed() > KEPT_WAIT_MAX {
            return Ok(found);
        }
        tokio::time::sleep(KEPT_LOOK_EVERY).await;
    }
}
