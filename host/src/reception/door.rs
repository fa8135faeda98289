//! Whom a code names, and who is turned away: unknown, expired and revoked codes are one to a caller and three to an admin.
//!
//! Every refusal does the same work before its answer: one keyed hash, one look-up, one entry, and none of the body is read. What takes longer the more
//! is known of a code, the line of log, is written beside it.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, LazyLock, Mutex, MutexGuard},
};

use http::Method;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::reply::Reply;
use crate::{
    lock::lock,
    model::{
        code::{CodeRecord, CodeState},
        receiver::{Probe, Receiver},
        token_bucket::{Rate, TokenBuckets},
    },
    services::Services,
};

/// Bytes of the longest body that may be a vendor's probe: an empty one, or `{}` and white space.
pub const PROBE_BYTES_MAX: usize = 64;
/// Refusals remembered, the newest ones, until the host stops.
pub const REFUSALS_MAX: usize = 1000;
/// What stands for the identifier of a code there is not.
const NO_CODE: &str = "cod_00000000000000000000";
/// A code nobody has.
static NOBODYS: LazyLock<Arc<CodeRecord>> = LazyLock::new(|| {
    Arc::new(CodeRecord {
        id: NO_CODE.to_owned(),
        receiver: "-".to_owned(),
        caller: "-".to_owned(),
        hash: String::new(),
        sealed: String::new(),
        created_at: Timestamp::UNIX_EPOCH,
        expires_at: Some(Timestamp::UNIX_EPOCH),
        revoked_at: None,
        per_minute: None,
    })
});
/// Codes of which it is remembered how often they were refused.
const CODES_MAX: usize = 10_000;

/// Who a code names.
#[derive(Clone, Debug)]
pub struct Target {
    pub(super) code: Arc<CodeRecord>,
    pub(super) receiver: Arc<Receiver>,
    /// The environment the base stands for.
    pub environment: Option<String>,
}

impl Target {
    /// The most bytes a body may have.
    pub fn body_bytes_max(&self) -> usize {
        self.receiver.body_bytes_max
    }

    /// Whether a call by this method may be a vendor's probe, which is told from a call by its body.
    pub fn may_be_probe(&self, method: &Method) -> bool {
        self.receiver.probe == Probe::Answer && method == Method::POST
    }
}

/// Why a call was turned away before it was one. The first four are answered alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefusalReason {
    /// There is no such code.
    Unknown,
    /// It has ended.
    Expired,
    /// An admin revoked it.
    Revoked,
    /// It was called at a base that is not one of the configured.
    WrongBase,
    /// It was called more often than it allows.
    TooMany,
}

/// A call that was turned away.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Refusal {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: RefusalReason,
    /// The code, if there is one: its identifier, never its text.
    pub code_id: Option<String>,
    /// The receiver it is for.
    pub receiver: Option<String>,
    /// The caller it was issued to.
    pub caller: Option<String>,
    /// Where the call came from.
    pub remote_address: String,
}

/// Remembers refusals, and what codes have left. In this process alone. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Door {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    refusals: VecDeque<(Timestamp, RefusalReason, Option<Arc<CodeRecord>>, String)>,
    refused: HashMap<String, (u64, Timestamp)>,
    left: TokenBuckets,
    rejected: TokenBuckets,
}

impl Door {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The newest `limit` refusals, newest first.
    pub fn refusals(&self, limit: usize) -> Vec<Refusal> {
        let shown = |(at, reason, code, remote): &(Timestamp, RefusalReason, Option<Arc<CodeRecord>>, String)| Refusal {
            at: *at,
            reason: *reason,
            code_id: code.as_ref().map(|code| code.id.clone()),
            receiver: code.as_ref().map(|code| code.receiver.clone()),
            caller: code.as_ref().map(|code| code.caller.clone()),
            remote_address: remote.clone(),
        };
        self.state().refusals.iter().rev().take(limit).map(shown).collect()
    }

    /// How often a code was refused since the host started, and when last.
    pub fn refused(&self, code_id: &str) -> (u64, Option<Timestamp>) {
        self.state().refused.get(code_id).map_or((0, None), |(count, at)| (*count, Some(*at)))
    }

    fn refuse(&self, at: Timestamp, reason: RefusalReason, code: Option<Arc<CodeRecord>>, remote: &str) {
        let mut state = self.state();
        let key = code.as_ref().unwrap_or(&NOBODYS).id.clone();
        if state.refused.len() >= CODES_MAX && !state.refused.contains_key(&key) {
            state.refused.clear();
        }
        let counted = state.refused.entry(key).or_insert((0, at));
        *counted = (counted.0 + 1, at);
        if state.refusals.len() >= REFUSALS_MAX {
            state.refusals.pop_front();
        }
        state.refusals.push_back((at, reason, code, remote.to_owned()));
    }

    /// Whether one more call that was turned away is recorded, of so many of a receiver in a minute.
    pub(super) fn keeps_rejected(&self, receiver: &str, per_minute: u32, now: Timestamp) -> bool {
        per_minute > 0 && self.state().rejected.take(receiver, Rate::per_minute(per_minute), now).is_ok()
    }

    /// Takes one call of what the code allows; else the seconds until there is one.
    fn take(&self, code: &CodeRecord, now: Timestamp) -> Result<(), u32> {
        let Some(per_minute) = code.per_minute else { return Ok(()) };
        self.state().left.take(&code.id, Rate::per_minute(per_minute), now)
    }
}

/// Whom `code`, called at `base` from `remote`, names; else the answer.
pub fn find(services: &Services, base: &str, code: &str, remote: &str) -> Result<Target, Reply> {
    let hash = hex::encode(services.store.storage_key().keyed_hash("code", code.as_bytes()));
    let snapshot = services.catalog.snapshot();
    let environment = services.bases.environment(base);
    let now = services.clock.now();
    let code = snapshot.codes.get(&hash).cloned();
    // Where there is no code another one is looked at in its place, so that it takes as long.
    let looked_at = code.as_ref().unwrap_or(&NOBODYS);
    let (state, entry) = (looked_at.state(now), snapshot.receivers.get(&looked_at.receiver));
    let reason = match (&code, &environment) {
        (None, _) => RefusalReason::Unknown,
        (Some(_), None) => RefusalReason::WrongBase,
        (Some(known), Some(environment)) => match (state, entry) {
            (CodeState::Revoked, _) => RefusalReason::Revoked,
            (CodeState::Expired, _) => RefusalReason::Expired,
            (CodeState::Active, None) => RefusalReason::Unknown,
            (CodeState::Active, Some(entry)) => match services.door.take(known, now) {
                Ok(()) => {
                    let (code, receiver) = (Arc::clone(known), Arc::clone(&entry.receiver));
                    return Ok(Target { code, receiver, environment: environment.clone() });
                }
                Err(seconds) => {
                    refuse(services, now, RefusalReason::TooMany, code, remote);
                    return Err(Reply::too_many(seconds));
                }
            },
        },
    };
    refuse(services, now, reason, code, remote);
    Err(Reply::message(404, "unknown code"))
}

fn refuse(services: &Services, now: Timestamp, reason: RefusalReason, code: Option<Arc<CodeRecord>>, remote: &str) {
    services.door.refuse(now, reason, code.clone(), remote);
    let remote = remote.to_owned();
    services.tasks.spawn(async move {
        let CodeRecord { id, receiver, caller, .. } = &**code.as_ref().unwrap_or(&NOBODYS);
        tracing::warn!(?reason, code = id, receiver, caller, remote, "a call was turned away");
    });
}
