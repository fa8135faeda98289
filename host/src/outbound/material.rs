//! What one attempt is made of: the moment, the session, the events. Each is read once, when it is first needed, and handed on.
//!
//! The session counts as it is when an attempt first needs it: to build the request, to fill the headers of `auth`, or, where a stored
//! request is sent again, to read the answer. A later change counts from the next attempt on.

use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::{
    model::{
        delivery::Delivery,
        event::Event,
        function::Ambient,
        id::{EventId, WebhookId},
        outcome::{Failure, FailureKind},
        parameter::Parameters,
        reference::Scope,
        trigger::Trigger,
        webhook::Webhook,
    },
    services::Services,
    store::{Claimed, Session},
};

/// What one attempt is made of.
pub struct Material<'a> {
    /// The handles.
    pub services: &'a Services,
    /// The delivery and its events.
    pub claimed: &'a Claimed,
    /// The webhook, in the environment of the delivery.
    pub webhook: &'a Arc<Webhook>,
    moment: OnceLock<Ambient>,
    session: OnceCell<Seen>,
    document: OnceLock<Value>,
}

/// A session as one attempt sees it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Its parameters.
    pub parameters: Arc<Parameters>,
    webhook_status_code: Option<u16>,
}

impl From<Session> for Seen {
    fn from(session: Session) -> Self {
        Self { parameters: Arc::new(session.parameters), webhook_status_code: session.webhook_status_code }
    }
}

impl<'a> Material<'a> {
    /// Nothing of it is read yet.
    pub fn new(services: &'a Services, claimed: &'a Claimed, webhook: &'a Arc<Webhook>) -> Self {
        Self { services, claimed, webhook, moment: OnceLock::new(), session: OnceCell::new(), document: OnceLock::new() }
    }

    /// With this session in place of the stored one: for what is only looked at.
    pub fn seeing(self, session: Session) -> Self {
        Self { session: OnceCell::new_with(Some(session.into())), ..self }
    }

    /// At this moment in place of the present one: for what is only looked at.
    pub fn at(self, moment: Ambient) -> Self {
        Self { moment: OnceLock::from(moment), ..self }
    }

    /// The time and the randomness of functions.
    pub fn moment(&self) -> Ambient {
        *self.moment.get_or_init(|| self.services.ambient())
    }

    /// The session; an empty one where the delivery has none.
    pub async fn session(&self) -> Result<&Seen, Failure> {
        let read = || async {
            let Some(session) = &self.claimed.delivery.session else { return Ok(Seen::default()) };
            let read = self.services.store.parameters(session).await;
            read.map(Seen::from).map_err(|error| Failure::new(FailureKind::Interrupted, format!("the session cannot be read: {error}")))
        };
        self.session.get_or_try_init(read).await
    }

    /// What references are looked up in.
    pub async fn scope(&self) -> Result<Scope<'_>, Failure> {
        let Seen { parameters, webhook_status_code } = self.session().await?;
        let context = self.claimed.delivery.invocation.as_ref().map(|input| &input.context);
        Ok(Scope {
            event: Some(self.document()),
            context,
            webhook_status_code: *webhook_status_code,
            ambient: self.moment(),
            ..Scope::of(parameters)
        })
    }

    /// Why acceptance could not tell whether the event fires the webhook, or after which others. Such a delivery was made without a batch. It is
    /// told again from the event, so that nothing is stored of it and a mended filter counts.
    pub fn over_budget(&self) -> Option<String> {
        let [event] = self.claimed.events.as_slice() else { return None };
        if !self.webhook.looks_into_events() {
            return None;
        }
        match self.webhook.batch {
            Some(_) => self.webhook.over_budget(&event.document()),
            None => self.webhook.over_budget(self.document()),
        }
    }

    /// What `$event.*` looks into: of a webhook that batches the first event, and all of them under `batch`. So too of several events that
    /// were batched before the webhook was told not to: none of them may be lost when the request is built later.
    fn document(&self) -> &Value {
        self.document.get_or_init(|| {
            if let Some(input) = &self.claimed.delivery.invocation {
                return json!({ "data": input.data });
            }
            let events = &self.claimed.events;
            let mut document = events.first().map_or_else(|| json!({}), |event| event.document());
            if self.webhook.batch.is_some() || events.len() > 1 {
                document["batch"] = events.iter().map(|event| event.document()).collect();
            }
            document
        })
    }
}

/// The events a transform gets: the delivery's own; for `invoke` one made of its data.
pub fn events_of(claimed: &Claimed) -> Vec<Event> {
    match &claimed.delivery.invocation {
        None => claimed.events.iter().map(|event| Event::clone(event)).collect(),
        Some(input) => vec![invoked_event(&claimed.delivery, input.data.clone())],
    }
}

/// What `invoke` looks like as an event: the trigger `invoke`, at the time of the call. It is never stored.
fn invoked_event(delivery: &Delivery, data: Value) -> Event {
    Event {
        id: EventId(delivery.id.as_str().replacen("dlv_", "evt_", 1)),
        seq: 0,
        trigger: Trigger::invoke(),
        source: String::new(),
        time: delivery.created_at,
        accepted_at: delivery.created_at,
        session: delivery.session.clone(),
        environment: delivery.environment.clone(),
        attributes: Default::default(),
        data,
        call: None,
        depth: delivery.depth,
        trace: delivery.trace.clone(),
    }
}

/// A webhook as it is now, in this environment; `None`: it is gone.
pub fn webhook_now(services: &Services, id: &WebhookId, environment: Option<&str>) -> Option<Arc<Webhook>> {
    let snapshot = services.catalog.snapshot();
    Some(Arc::clone(snapshot.webhooks_by_id.get(id)?.webhook.in_environment(environment)))
}

/// The webhook of a delivery as it is now, in the delivery's environment; `None`: it is gone or inactive.
pub fn webhook_of(services: &Services, delivery: &Delivery) -> Option<Arc<Webhook>> {
    webhook_now(services, &delivery.webhook_id, delivery.environment.as_deref()).filter(|webhook| webhook.active)
}
