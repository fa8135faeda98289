//! Everything at one moment: what admins have written, compiled and indexed.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::{
    code::CodeRecord,
    cx::environment::Environment,
    deactivation::Reason,
    event::NewEvent,
    id::WebhookId,
    problem::Problem,
    profile::Profile,
    receiver::{ActionSpec, Receiver, ReceiverSpec},
    selector::{Selector, index::SelectorIndex},
    service::ServiceEntry,
    signature::Challenge,
    token::TokenRecord,
    trigger::Trigger,
    webhook::{
        Fired, Webhook, WebhookSpec,
        mismatch::{MISMATCHES_MAX, Mismatch, MismatchReason},
        unknown,
    },
};

/// Webhooks among whose selectors one is looked for that an event's trigger is near to.
const HINTS_OF_WEBHOOKS_MAX: usize = 1000;

/// That a webhook was switched off because it kept failing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Deactivated {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: Reason,
}

/// A webhook as written and as compiled.
#[derive(Debug)]
pub struct WebhookEntry {
    /// For as long as it exists.
    pub id: WebhookId,
    /// As written.
    pub spec: WebhookSpec,
    /// As compiled.
    pub webhook: Arc<Webhook>,
    /// When it was first written.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
    /// That it was switched off; an admin who deactivates leaves none.
    pub deactivated: Option<Deactivated>,
}

/// A receiver as written and as compiled.
#[derive(Debug)]
pub struct ReceiverEntry {
    /// As written.
    pub spec: ReceiverSpec,
    /// As compiled.
    pub receiver: Arc<Receiver>,
    /// When it was first written.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
}

/// A service action as written.
#[derive(Debug)]
pub struct ActionEntry {
    /// As written.
    pub spec: ActionSpec,
    /// When it was first written.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
}

/// Everything at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// By name.
    pub webhooks: BTreeMap<String, Arc<WebhookEntry>>,
    /// By identifier.
    pub webhooks_by_id: HashMap<WebhookId, Arc<WebhookEntry>>,
    /// By name.
    pub receivers: BTreeMap<String, Arc<ReceiverEntry>>,
    /// Service actions, by name.
    pub actions: BTreeMap<String, Arc<ActionEntry>>,
    /// By the hexadecimal keyed hash of their text.
    pub codes: HashMap<String, Arc<CodeRecord>>,
    /// By name, with the site-wide values an admin set.
    pub profiles: BTreeMap<String, Profile>,
    /// By hash.
    pub tokens: HashMap<String, Arc<TokenRecord>>,
    /// Environments of agents, by their resource names.
    pub environments: BTreeMap<String, Arc<Environment>>,
    /// Services webhooks may be about, by name.
    pub services: BTreeMap<String, Arc<ServiceEntry>>,
    pub(super) index: SelectorIndex<Arc<Webhook>>,
    /// Those that are not active.
    pub(super) inactive: SelectorIndex<Arc<Webhook>>,
    /// Secrets under which receivers answer `crc_token` challenges.
    pub(super) crc_secrets: BTreeSet<String>,
}

impl Snapshot {
    /// Whether anybody gets signatures over words made with this secret, by a challenge of whichever receiver.
    pub fn answers_crc(&self, secret: &str) -> bool {
        self.crc_secrets.contains(secret)
    }

    /// The active webhooks that `event` fires, each once, and whether that could be told ([`Fired::Untold`]).
    pub fn matching(&self, event: &NewEvent) -> Vec<(Arc<Webhook>, bool)> {
        let mut document = None;
        let fired = self.index.lookup(&event.trigger).filter_map(|webhook| match webhook.fired_by(event, &mut document) {
            Fired::Yes => Some((Arc::clone(webhook), true)),
            Fired::Untold => Some((Arc::clone(webhook), false)),
            Fired::No(_) => None,
        });
        fired.collect()
    }

    /// Why an event with this trigger fires no webhook, up to [`MISMATCHES_MAX`] reasons. `event` is made only if a webhook selects the trigger.
    pub fn mismatches(&self, trigger: &Trigger, event: impl FnOnce() -> NewEvent) -> Vec<Mismatch> {
        let (active, inactive) = (self.index.lookup(trigger), self.inactive.lookup(trigger));
        let selecting: Vec<_> = active.chain(inactive).take(MISMATCHES_MAX).collect();
        if selecting.is_empty() {
            let known = self.index.entries().iter().take(HINTS_OF_WEBHOOKS_MAX).flat_map(|webhook| &webhook.selectors);
            return vec![Mismatch::unselected(trigger, known.map(Selector::as_str))];
        }
        let (event, mut document) = (event(), None);
        let mut reason = |webhook: &Webhook| match webhook.active {
            true => webhook.refuses(&event, &mut document),
            false => Some(MismatchReason::Inactive),
        };
        selecting.into_iter().filter_map(|webhook| Some(Mismatch::of(webhook, reason(webhook)?))).collect()
    }

    /// Names of webhooks and receivers that refer to the secret `name`.
    pub fn users_of_secret(&self, name: &str) -> Vec<String> {
        let webhooks = self.webhooks.values().filter(|entry| entry.webhook.secrets().iter().any(|secret| secret.name == name));
        let receivers = self.receivers.values().filter(|entry| entry.spec.verify.all_secrets().any(|secret| secret.name == name));
        webhooks
            .map(|entry| format!("webhook {}", entry.spec.name))
            .chain(receivers.map(|entry| format!("receiver {}", entry.spec.name)))
            .collect()
    }

    /// Names of webhooks and receivers that use the plugin `name`.
    pub fn users_of_plugin(&self, name: &str) -> Vec<String> {
        let webhooks = self.webhooks.values().filter(|entry| entry.webhook.transform.as_ref().is_some_and(|t| t.plugin == name));
        let receivers = self.receivers.values().filter(|entry| entry.spec.plugins().iter().any(|(_, plugin)| *plugin == name));
        let actions = self.actions.values().filter(|entry| entry.spec.plugin.as_deref() == Some(name));
        webhooks
            .map(|entry| format!("webhook {}", entry.spec.name))
            .chain(receivers.map(|entry| format!("receiver {}", entry.spec.name)))
            .chain(actions.map(|entry| format!("action {}", entry.spec.name)))
            .collect()
    }

    /// Names of the receivers bound to the action `name`.
    pub fn bound_to(&self, name: &str) -> Vec<&str> {
        let bound = self.receivers.values().filter(|entry| entry.spec.action.as_deref() == Some(name));
        bound.map(|entry| entry.spec.name.as_str()).collect()
    }

    /// Compiles a receiver, with what its action says. All that is wrong is found at once.
    pub fn compile_receiver(&self, spec: &ReceiverSpec) -> Result<Receiver, Vec<Problem>> {
        let Some(name) = &spec.action else { return Receiver::compile(spec, &self.profiles) };
        let Some(action) = self.actions.get(name) else {
            return Err(vec![Problem::new("/action", unknown("action", name, self.actions.keys().map(String::as_str)))]);
        };
        Receiver::compile(&spec.bound_to(&action.spec)?, &self.profiles)
    }

    /// Notes under which secrets challenges are answered.
    pub(super) fn index_challenges(&mut self) {
        let answering = self.receivers.values().filter(|entry| entry.spec.verify.handshake() == Challenge::CrcToken);
        // The first signs. The others may have been the first once, and what they signed then may have been kept.
        self.crc_secrets = answering.flat_map(|entry| entry.spec.verify.keys().map(|key| key.name.clone())).collect();
    }

    /// Makes what is looked up by identifier and by trigger again.
    pub(super) fn reindex(&mut self) {
        let index = |active: bool| {
            let webhooks = self.webhooks.values().filter(|entry| entry.webhook.active == active);
            SelectorIndex::new(webhooks.map(|entry| (entry.webhook.selectors.clone(), Arc::clone(&entry.webhook))))
        };
        (self.index, self.inactive) = (index(true), index(false));
        self.webhooks_by_id = self.webhooks.values().map(|entry| (entry.id.clone(), Arc::clone(entry))).collect();
    }
}
