//! What admins have written, compiled: webhooks, receivers, codes, profiles, tokens.
//!
//! Readers take one snapshot and never see half a change. A write is checked, made durable, then swapped in.
//! Plugins are not here: `plugin::registry` holds them, because a version is more than a document.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::{
    model::{
        code::CodeRecord,
        cx::environment::Environment,
        deactivation::Reason,
        id::WebhookId,
        problem::Problem,
        profile::{self, Profile},
        receiver::{ActionSpec, Receiver, ReceiverSpec},
        secret::SecretRef,
        service::{ServiceEntry, ServiceSpec},
        token::TokenRecord,
        webhook::{Webhook, WebhookSpec},
    },
    store::Store,
};

mod changing;
mod error;
mod snapshot;
mod stored;

pub use changing::Changing;
pub use error::CatalogError;
pub use snapshot::{ActionEntry, Deactivated, ReceiverEntry, Snapshot, WebhookEntry};

use stored::{
    ACTION, CODE, ENVIRONMENT, Kept, PROFILE, RECEIVER, SERVICE, TOKEN, WEBHOOK, decode, encode, receiver_entry, tell_lists,
    tell_lists_of_calls, webhook_entry, write,
};

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
                        tell_lists(&entry);
                        snapshot.webhooks.insert(entry.spec.name.clone(), entry);
                    }
                }
                RECEIVER => {
                    if let Some(entry) = decode(document).and_then(|kept| receiver_entry(kept, &snapshot)) {
                        tell_lists_of_calls(&entry);
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
        self.check_secrets(spec.verify.all_secrets()).await?;
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
