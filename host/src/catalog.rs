//! What admins have written, compiled: webhooks, receivers, codes, profiles, tokens.
//!
//! Readers take one snapshot and never see half a change. A write is checked, made durable, then swapped in.
//! Plugins are not here: `plugin::registry` holds them, because a version is more than a document.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use crate::{
    model::{
        code::CodeRecord,
        cx::environment::Environment,
        deactivation::Reason,
        event::NewEvent,
        id::WebhookId,
        problem::Problem,
        profile::{self, Profile},
        receiver::{ActionSpec, Receiver, ReceiverSpec},
        secret::SecretRef,
        selector::{Selector, index::SelectorIndex},
        service::{ServiceEntry, ServiceSpec},
        signature::Challenge,
        token::TokenRecord,
        webhook::{Mismatch, MismatchReason, Webhook, WebhookSpec, mismatch::MISMATCHES_MAX, unknown},
    },
    store::{ConfigWrite, Store, StoreError},
};

mod changing;

pub use changing::{Change, Changing};

/// Webhooks among whose selectors one is looked for that an event's trigger is near to.
const HINTS_OF_WEBHOOKS_MAX: usize = 1000;

const WEBHOOK: &str = "webhook";
const RECEIVER: &str = "receiver";
const CODE: &str = "code";
const TOKEN: &str = "token";
const ACTION: &str = "action";
const PROFILE: &str = "profile";
const ENVIRONMENT: &str = "environment";
const SERVICE: &str = "service";

/// A document as kept: what was written, and when.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept<T> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<WebhookId>,
    spec: T,
    created_at: Timestamp,
    updated_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deactivated: Option<Deactivated>,
}

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

impl WebhookEntry {
    fn kept(&self) -> Kept<&WebhookSpec> {
        let Self { created_at, updated_at, deactivated, .. } = *self;
        Kept { id: Some(self.id.clone()), spec: &self.spec, created_at, updated_at, deactivated }
    }
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
    index: SelectorIndex<Arc<Webhook>>,
    /// Those that are not active.
    inactive: SelectorIndex<Arc<Webhook>>,
    /// Secrets under which receivers answer `crc_token` challenges.
    crc_secrets: BTreeSet<String>,
}

impl Snapshot {
    /// Whether anybody gets signatures over words made with this secret, by a challenge of whichever receiver.
    pub fn answers_crc(&self, secret: &str) -> bool {
        self.crc_secrets.contains(secret)
    }

    /// The active webhooks that `event` fires, each once.
    pub fn matching(&self, event: &NewEvent) -> Vec<Arc<Webhook>> {
        let mut document = None;
        self.index.lookup(&event.trigger).filter(|webhook| webhook.lets_by(event, &mut document)).cloned().collect()
    }

    /// Why `event` fires no webhook, up to [`MISMATCHES_MAX`] reasons.
    pub fn mismatches(&self, event: &NewEvent) -> Vec<Mismatch> {
        let (active, inactive) = (self.index.lookup(&event.trigger), self.inactive.lookup(&event.trigger));
        let selecting: Vec<_> = active.chain(inactive).take(MISMATCHES_MAX).collect();
        if selecting.is_empty() {
            let known = self.index.entries().iter().take(HINTS_OF_WEBHOOKS_MAX).flat_map(|webhook| &webhook.selectors);
            return vec![Mismatch::unselected(&event.trigger, known.map(Selector::as_str))];
        }
        let mut document = None;
        let mut reason = |webhook: &Webhook| match webhook.active {
            true => webhook.refuses(event, &mut document),
            false => Some(MismatchReason::Inactive),
        };
        selecting.into_iter().filter_map(|webhook| Some(Mismatch::of(webhook, reason(webhook)?))).collect()
    }

    /// Names of webhooks and receivers that refer to the secret `name`.
    pub fn users_of_secret(&self, name: &str) -> Vec<String> {
        let webhooks = self.webhooks.values().filter(|entry| entry.webhook.secrets().iter().any(|secret| secret.name == name));
        let receivers = self.receivers.values().filter(|entry| entry.spec.verify.secrets().any(|secret| secret.name == name));
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

    fn index_challenges(&mut self) {
        let answering = self.receivers.values().filter(|entry| entry.spec.verify.handshake() == Challenge::CrcToken);
        self.crc_secrets = answering.filter_map(|entry| Some(entry.spec.verify.secret.as_ref()?.name.clone())).collect();
    }

    fn reindex(&mut self) {
        let index = |active: bool| {
            let webhooks = self.webhooks.values().filter(|entry| entry.webhook.active == active);
            SelectorIndex::new(webhooks.map(|entry| (entry.webhook.selectors.clone(), Arc::clone(&entry.webhook))))
        };
        (self.index, self.inactive) = (index(true), index(false));
        self.webhooks_by_id = self.webhooks.values().map(|entry| (entry.id.clone(), Arc::clone(entry))).collect();
    }
}

/// Why a write was refused.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The document is wrong.
    #[error("the document is not valid")]
    Invalid(Vec<Problem>),
    /// There is one of that name already.
    #[error("there is a {0} of that name already")]
    Exists(&'static str),
    /// There is none of that name.
    #[error("there is no {0} of that name")]
    Missing(&'static str),
    /// Something refers to it.
    #[error("it is referred to by {}", .0.join(", "))]
    Referred(Vec<String>),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What admins have written. Cheap to clone.
#[derive(Clone)]
pub struct Catalog {
    shared: Arc<Shared>,
    store: Store,
}

struct Shared {
    snapshot: ArcSwap<Snapshot>,
    /// One writer at a time: a write is check, commit, swap.
    writing: Mutex<()>,
    /// Webhooks that are being given other credentials.
    changing: Changing,
}

impl Catalog {
    /// Reads what the store has.
    pub async fn open(store: Store) -> Result<Self, CatalogError> {
        let mut snapshot = Snapshot { profiles: profile::built_in().clone(), ..Snapshot::default() };
        let documents: Vec<_> = store.configs().await?.into_iter().filter_map(|kept| Some((kept.kind, kept.document?))).collect();
        for profile in documents.iter().filter(|(kind, _)| kind == PROFILE).filter_map(|(_, document)| decode::<Profile>(document)) {
            snapshot.profiles.insert(profile.name.clone(), profile::revived(profile));
        }
        // What receivers are bound to comes before them.
        for kept in documents.iter().filter(|(kind, _)| kind == ACTION).filter_map(|(_, document)| decode::<Kept<ActionSpec>>(document)) {
            let Kept { spec, created_at, updated_at, .. } = kept;
            snapshot.actions.insert(spec.name.clone(), Arc::new(ActionEntry { spec, created_at, updated_at }));
        }
        for (kind, document) in &documents {
            match kind.as_str() {
                WEBHOOK => {
                    if let Some(entry) = decode(document).and_then(|kept| webhook_entry(kept, &snapshot.profiles)) {
                        snapshot.webhooks.insert(entry.spec.name.clone(), entry);
                    }
                }
                RECEIVER => {
                    if let Some(entry) = decode(document).and_then(|kept| receiver_entry(kept, &snapshot)) {
                        snapshot.receivers.insert(entry.spec.name.clone(), entry);
                    }
                }
                CODE => {
                    if let Some(code) = decode::<CodeRecord>(document) {
                        snapshot.codes.insert(code.hash.clone(), Arc::new(code));
                    }
                }
                TOKEN => {
                    if let Some(token) = decode::<TokenRecord>(document) {
                        snapshot.tokens.insert(token.hash.clone(), Arc::new(token));
                    }
                }
                ENVIRONMENT => {
                    if let Some(environment) = decode::<Environment>(document) {
                        snapshot.environments.insert(environment.name.clone(), Arc::new(environment));
                    }
                }
                SERVICE => {
                    if let Some(service) = decode::<ServiceEntry>(document) {
                        snapshot.services.insert(service.spec.name.clone(), Arc::new(service));
                    }
                }
                _ => {}
            }
        }
        snapshot.reindex();
        snapshot.index_challenges();
        Ok(Self {
            shared: Arc::new(Shared { snapshot: ArcSwap::from_pointee(snapshot), writing: Mutex::new(()), changing: Changing::default() }),
            store,
        })
    }

    /// The same documents: what is changed through this handle is changed on behalf of whom `store` writes for.
    pub fn writing_to(&self, store: &Store) -> Self {
        Self { shared: Arc::clone(&self.shared), store: store.clone() }
    }

    /// Everything at this moment.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.snapshot.load_full()
    }

    /// The webhooks that are being given other credentials: nothing is sent for them meanwhile.
    pub fn changing(&self) -> &Changing {
        &self.shared.changing
    }

    /// Creates or replaces a webhook; the flag says whether it was created. `fresh_id` names it if it is new.
    pub async fn put_webhook(
        &self,
        spec: WebhookSpec,
        fresh_id: WebhookId,
        now: Timestamp,
        only_new: bool,
    ) -> Result<(Arc<WebhookEntry>, bool), CatalogError> {
        let _writing = self.shared.writing.lock().await;
        let snapshot = self.snapshot();
        let existing = snapshot.webhooks.get(&spec.name);
        if only_new && existing.is_some() {
            return Err(CatalogError::Exists(WEBHOOK));
        }
        let id = existing.map_or(fresh_id, |entry| entry.id.clone());
        let entry = Self::rewritten(spec, id, existing.map(AsRef::as_ref), now, &snapshot.profiles)?;
        self.check_secrets(entry.webhook.secrets()).await?;
        let created = existing.is_none();
        Ok((self.keep(entry).await?, created))
    }

    /// `spec` in place of `existing`.
    fn rewritten(
        spec: WebhookSpec,
        id: WebhookId,
        existing: Option<&WebhookEntry>,
        now: Timestamp,
        profiles: &BTreeMap<String, Profile>,
    ) -> Result<WebhookEntry, CatalogError> {
        let webhook = Arc::new(Webhook::compile(&spec, &id, profiles).map_err(CatalogError::Invalid)?);
        let created_at = existing.map_or(now, |entry| entry.created_at);
        let deactivated = existing.and_then(|entry| entry.deactivated).filter(|_| !spec.active);
        Ok(WebhookEntry { id, spec, webhook, created_at, updated_at: now, deactivated })
    }

    /// Replaces webhooks that are there, and writes the agent's environment `name` that is why, or deletes it: one commit for all.
    pub async fn put_overrides(
        &self,
        specs: Vec<WebhookSpec>,
        now: Timestamp,
        name: &str,
        environment: Option<Environment>,
    ) -> Result<Option<Arc<Environment>>, CatalogError> {
        let _writing = self.shared.writing.lock().await;
        let snapshot = self.snapshot();
        let mut writes = vec![write(ENVIRONMENT, name, environment.as_ref().map(encode).transpose()?)];
        let mut entries = Vec::with_capacity(specs.len());
        for spec in specs {
            let existing = snapshot.webhooks.get(&spec.name).ok_or(CatalogError::Missing(WEBHOOK))?;
            let entry = Self::rewritten(spec, existing.id.clone(), Some(existing), now, &snapshot.profiles)?;
            self.check_secrets(entry.webhook.secrets()).await?;
            writes.push(write(WEBHOOK, entry.id.as_str(), Some(encode(&entry.kept())?)));
            entries.push(Arc::new(entry));
        }
        self.store.put_config(writes).await?;
        let environment = environment.map(Arc::new);
        self.swap(|snapshot| {
            snapshot.webhooks.extend(entries.into_iter().map(|entry| (entry.spec.name.clone(), entry)));
            snapshot.reindex();
            match &environment {
                Some(environment) => drop(snapshot.environments.insert(name.to_owned(), Arc::clone(environment))),
                None => drop(snapshot.environments.remove(name)),
            }
        });
        Ok(environment)
    }

    /// Switches a webhook off because it kept failing. Whether it was on.
    pub async fn deactivate(&self, id: &WebhookId, reason: Reason, at: Timestamp) -> Result<bool, CatalogError> {
        let _writing = self.shared.writing.lock().await;
        let snapshot = self.snapshot();
        let Some(entry) = snapshot.webhooks_by_id.get(id).filter(|entry| entry.spec.active) else { return Ok(false) };
        let spec = WebhookSpec { active: false, ..entry.spec.clone() };
        let webhook = Webhook::compile(&spec, id, &snapshot.profiles).map_err(CatalogError::Invalid)?;
        let deactivated = Some(Deactivated { at, reason });
        let (webhook, created_at) = (Arc::new(webhook), entry.created_at);
        self.keep(WebhookEntry { id: id.clone(), spec, webhook, created_at, updated_at: at, deactivated }).await?;
        Ok(true)
    }

    /// Makes a webhook durable, then swaps it in.
    async fn keep(&self, entry: WebhookEntry) -> Result<Arc<WebhookEntry>, CatalogError> {
        self.write(WEBHOOK, entry.id.as_str(), Some(encode(&entry.kept())?)).await?;
        let entry = Arc::new(entry);
        self.swap(|snapshot| {
            snapshot.webhooks.insert(entry.spec.name.clone(), Arc::clone(&entry));
            snapshot.reindex();
        });
        Ok(entry)
    }

    /// Deletes a webhook.
    pub async fn delete_webhook(&self, name: &str) -> Result<Arc<WebhookEntry>, CatalogError> {
        let _writing = self.shared.writing.lock().await;
        let entry = self.snapshot().webhooks.get(name).cloned().ok_or(CatalogError::Missing(WEBHOOK))?;
        self.write(WEBHOOK, entry.id.as_str(), None).await?;
        self.swap(|snapshot| {
            snapshot.webhooks.remove(name);
            snapshot.reindex();
        });
        Ok(entry)
    }

    /// Creates or replaces a receiver; the flag says whether it was created.
    pub async fn put_receiver(&self, spec: ReceiverSpec, now: Timestamp) -> Result<(Arc<ReceiverEntry>, bool), CatalogError> {
        let _writing = self.shared.writing.lock().await;
        let snapshot = self.snapshot();
        let existing = snapshot.receivers.get(&spec.name);
        let receiver = snapshot.compile_receiver(&spec).map_err(CatalogError::Invalid)?;
        self.check_secrets(spec.verify.secrets()).await?;
        let created_at = existing.map_or(now, |entry| entry.created_at);
        let kept = Kept { id: None, spec: &spec, created_at, updated_at: now, deactivated: None };
        self.write(RECEIVER, &spec.name, Some(encode(&kept)?)).await?;
        let entry = Arc::new(ReceiverEntry { spec, receiver: Arc::new(receiver), created_at, updated_at: now });
        let created = existing.is_none();
        self.swap(|snapshot| drop(snapshot.receivers.insert(entry.spec.name.clone(), Arc::clone(&entry))));
        Ok((entry, created))
    }

    /// Deletes a receiver and its codes.
    pub async fn delete_receiver(&self, name: &str) -> Result<(), CatalogError> {
        let _writing = self.shared.writing.lock().await;
        let snapshot = self.snapshot();
        if !snapshot.receivers.contains_key(name) {
            return Err(CatalogError::Missing(RECEIVER));
        }
        let codes = snapshot.codes.values().filter(|code| code.receiver == name);
        let codes: Vec<_> = codes.map(|code| code.id.clone()).collect();
        let mut writes: Vec<_> = codes.iter().map(|id| write(CODE, id, None)).collect();
        writes.push(write(RECEIVER, name, None));
        self.store.put_config(writes).await?;
        self.swap(|snapshot| {
            snapshot.receivers.remove(name);
            snapshot.codes.retain(|_, code| code.receiver != name);
        });
        Ok(self.store.forget_code_uses(codes).await?)
    }

    /// Creates or replaces a service action; every receiver bound to it follows at once. The flag says whether it was created.
    pub async fn put_action(&self, spec: ActionSpec, now: Timestamp) -> Result<(Arc<ActionEntry>, bool), CatalogError> {
        let _writing = self.shared.writing.lock().await;
        let snapshot = self.snapshot();
        let alone = spec.alone().map_err(|problem| CatalogError::Invalid(vec![problem]))?;
        Receiver::compile(&alone, &snapshot.profiles).map_err(CatalogError::Invalid)?;
        let existing = snapshot.actions.get(&spec.name);
        let created_at = existing.map_or(now, |entry| entry.created_at);
        let mut recompiled = Vec::new();
        for entry in snapshot.receivers.values().filter(|entry| entry.spec.action.as_ref() == Some(&spec.name)) {
            let bound = entry.spec.bound_to(&spec).map_err(CatalogError::Invalid)?;
            let receiver = Arc::new(Receiver::compile(&bound, &snapshot.profiles).map_err(CatalogError::Invalid)?);
            recompiled.push(Arc::new(ReceiverEntry { spec: entry.spec.clone(), receiver, ..**entry }));
        }
        let kept = Kept { id: None, spec: &spec, created_at, updated_at: now, deactivated: None };
        self.write(ACTION, &spec.name, Some(encode(&kept)?)).await?;
        let entry = Arc::new(ActionEntry { spec, created_at, updated_at: now });
        self.swap(|snapshot| {
            snapshot.actions.insert(entry.spec.name.clone(), Arc::clone(&entry));
            snapshot.receivers.extend(recompiled.into_iter().map(|receiver| (receiver.spec.name.clone(), receiver)));
        });
        Ok((entry, existing.is_none()))
    }

    /// Deletes a service action no receiver is bound to.
    pub async fn delete_action(&self, name: &str) -> Result<(), CatalogError> {
        let _writing = self.shared.writing.lock().await;
        let snapshot = self.snapshot();
        if !snapshot.actions.contains_key(name) {
            return Err(CatalogError::Missing(ACTION));
        }
        let bound: Vec<_> = snapshot.bound_to(name).into_iter().map(|receiver| format!("receiver {receiver}")).collect();
        if !bound.is_empty() {
            return Err(CatalogError::Referred(bound));
        }
        self.write(ACTION, name, None).await?;
        self.swap(|snapshot| drop(snapshot.actions.remove(name)));
        Ok(())
    }

    /// Adds or replaces codes of one receiver, all or none.
    pub async fn put_codes(&self, codes: Vec<CodeRecord>) -> Result<(), CatalogError> {
        let _writing = self.shared.writing.lock().await;
        let snapshot = self.snapshot();
        let mut writes = Vec::with_capacity(codes.len());
        for code in &codes {
            if !snapshot.receivers.contains_key(&code.receiver) {
                return Err(CatalogError::Missing(RECEIVER));
            }
            if snapshot.codes.get(&code.hash).is_some_and(|existing| existing.id != code.id) {
                return Err(CatalogError::Exists(CODE));
            }
            writes.push(write(CODE, &code.id, Some(encode(code)?)));
        }
        self.store.put_config(writes).await?;
        self.swap(|snapshot| snapshot.codes.extend(codes.into_iter().map(|code| (code.hash.clone(), Arc::new(code)))));
        Ok(())
    }

    /// Adds or replaces a token.
    pub async fn put_token(&self, token: TokenRecord) -> Result<(), CatalogError> {
        let _writing = self.shared.writing.lock().await;
        self.write(TOKEN, &token.hash, Some(encode(&token)?)).await?;
        self.swap(|snapshot| drop(snapshot.tokens.insert(token.hash.clone(), Arc::new(token))));
        Ok(())
    }

    /// Puts a token in the place of another, which ends when `old` says, or at once where it is `None`: in one commit.
    pub async fn replace_token(&self, old_hash: &str, old: Option<TokenRecord>, new: TokenRecord) -> Result<(), CatalogError> {
        let _writing = self.shared.writing.lock().await;
        if !self.snapshot().tokens.contains_key(old_hash) {
            return Err(CatalogError::Missing(TOKEN));
        }
        let before = write(TOKEN, old_hash, old.as_ref().map(encode).transpose()?);
        self.store.put_config(vec![before, write(TOKEN, &new.hash, Some(encode(&new)?))]).await?;
        self.swap(|snapshot| {
            snapshot.tokens.remove(old_hash);
            snapshot.tokens.extend(old.into_iter().chain([new]).map(|token| (token.hash.clone(), Arc::new(token))));
        });
        Ok(())
    }

    /// Revokes a token.
    pub async fn delete_token(&self, hash: &str) -> Result<(), CatalogError> {
        let _writing = self.shared.writing.lock().await;
        if !self.snapshot().tokens.contains_key(hash) {
            return Err(CatalogError::Missing(TOKEN));
        }
        self.write(TOKEN, hash, None).await?;
        self.swap(|snapshot| drop(snapshot.tokens.remove(hash)));
        Ok(())
    }

    /// Creates or replaces a service; the flag says whether it was created.
    pub async fn put_service(&self, spec: ServiceSpec, now: Timestamp) -> Result<(Arc<ServiceEntry>, bool), CatalogError> {
        let _writing = self.shared.writing.lock().await;
        let created_at = self.snapshot().services.get(&spec.name).map(|existing| existing.created_at);
        let entry = ServiceEntry { spec, created_at: created_at.unwrap_or(now), updated_at: now };
        self.write(SERVICE, &entry.spec.name, Some(encode(&entry)?)).await?;
        let entry = Arc::new(entry);
        self.swap(|snapshot| drop(snapshot.services.insert(entry.spec.name.clone(), Arc::clone(&entry))));
        Ok((entry, created_at.is_none()))
    }

    /// Deletes a service.
    pub async fn delete_service(&self, name: &str) -> Result<(), CatalogError> {
        let _writing = self.shared.writing.lock().await;
        self.write(SERVICE, name, None).await?;
        self.swap(|snapshot| drop(snapshot.services.remove(name)));
        Ok(())
    }

    /// Sets the site-wide values of a profile; every webhook that inherits from it follows at once.
    pub async fn put_profile(&self, profile: Profile) -> Result<(), CatalogError> {
        let _writing = self.shared.writing.lock().await;
        let mut profiles = self.snapshot().profiles.clone();
        profiles.insert(profile.name.clone(), profile.clone());
        let mut recompiled = BTreeMap::new();
        for (name, entry) in &self.snapshot().webhooks {
            let webhook = Webhook::compile(&entry.spec, &entry.id, &profiles).map_err(CatalogError::Invalid)?;
            let entry = WebhookEntry { webhook: Arc::new(webhook), id: entry.id.clone(), spec: entry.spec.clone(), ..**entry };
            recompiled.insert(name.clone(), Arc::new(entry));
        }
        self.write(PROFILE, &profile.name, Some(encode(&profile)?)).await?;
        self.swap(|snapshot| {
            snapshot.profiles = profiles;
            snapshot.webhooks = recompiled;
            snapshot.reindex();
        });
        Ok(())
    }

    /// Refuses where one of these secrets is not there.
    pub async fn check_secrets(&self, secrets: impl IntoIterator<Item = &SecretRef>) -> Result<(), CatalogError> {
        let mut problems = Vec::new();
        for secret in secrets {
            if self.store.secret(&secret.name, secret.version).await?.is_none() {
                let name = &secret.name;
                problems.push(Problem::new("", format!("there is no secret `{secret}`; write it first: PUT /v1/secrets/{name}")));
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(CatalogError::Invalid(problems)) }
    }

    async fn write(&self, kind: &'static str, id: &str, document: Option<Value>) -> Result<(), CatalogError> {
        self.store.put_config(vec![write(kind, id, document)]).await?;
        Ok(())
    }

    fn swap(&self, change: impl FnOnce(&mut Snapshot)) {
        let current = self.shared.snapshot.load();
        let mut next = Snapshot {
            webhooks: current.webhooks.clone(),
            webhooks_by_id: current.webhooks_by_id.clone(),
            receivers: current.receivers.clone(),
            actions: current.actions.clone(),
            codes: current.codes.clone(),
            profiles: current.profiles.clone(),
            tokens: current.tokens.clone(),
            environments: current.environments.clone(),
            services: current.services.clone(),
            index: current.index.clone(),
            inactive: current.inactive.clone(),
            crc_secrets: BTreeSet::new(),
        };
        change(&mut next);
        next.index_challenges();
        self.shared.snapshot.store(Arc::new(next));
    }
}

fn write(kind: &'static str, id: &str, document: Option<Value>) -> ConfigWrite {
    ConfigWrite { kind, id: id.to_owned(), expected: None, document }
}

fn encode<T: Serialize>(document: &T) -> Result<Value, CatalogError> {
    serde_json::to_value(document).map_err(|error| CatalogError::Invalid(vec![Problem::new("", error.to_string())]))
}

fn decode<T: DeserializeOwned>(document: &Value) -> Option<T> {
    // A newer version may have written what this one does not know: it is left alone and said, not dropped.
    T::deserialize(document).inspect_err(|error| tracing::error!(%error, "a stored document cannot be read and is left out")).ok()
}

fn webhook_entry(kept: Kept<WebhookSpec>, profiles: &BTreeMap<String, Profile>) -> Option<Arc<WebhookEntry>> {
    let Kept { id, spec, created_at, updated_at, deactivated } = kept;
    let id = id?;
    match Webhook::compile(&spec, &id, profiles) {
        Ok(webhook) => Some(Arc::new(WebhookEntry { id, spec, webhook: Arc::new(webhook), created_at, updated_at, deactivated })),
        Err(problems) => {
            tracing::error!(webhook = spec.name, ?problems, "a stored webhook does not compile and is left out");
            None
        }
    }
}

fn receiver_entry(kept: Kept<ReceiverSpec>, snapshot: &Snapshot) -> Option<Arc<ReceiverEntry>> {
    let Kept { spec, created_at, updated_at, .. } = kept;
    match snapshot.compile_receiver(&spec) {
        Ok(receiver) => Some(Arc::new(ReceiverEntry { spec, receiver: Arc::new(receiver), created_at, updated_at })),
        Err(problems) => {
            tracing::error!(receiver = spec.name, ?problems, "a stored receiver does not compile and is left out");
            None
        }
    }
}
