//! Who was turned away, and what codes and receivers have left of their rates.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, LazyLock, Mutex, MutexGuard},
};

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    lock::lock,
    model::{
        code::CodeRecord,
        token_bucket::{Rate, TokenBuckets},
    },
};

/// Refusals remembered, the newest ones, until the host stops.
pub const REFUSALS_MAX: usize = 1000;

/// What stands for the identifier of a code there is not.
const NO_CODE: &str = "cod_00000000000000000000";

/// A code nobody has.
pub(crate) static NOBODYS: LazyLock<Arc<CodeRecord>> = LazyLock::new(|| {
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
pub struct Refusals {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    refusals: VecDeque<(Timestamp, RefusalReason, Option<Arc<CodeRecord>>, String)>,
    refused: HashMap<String, (u64, Timestamp)>,
    left: TokenBuckets,
    rejected: TokenBuckets,
}

impl Refusals {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The newest `limit` refusals, newest first.
    pub fn newest(&self, limit: usize) -> Vec<Refusal> {
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

    /// Notes a refusal.
    pub(crate) fn refuse(&self, at: Timestamp, reason: RefusalReason, code: Option<Arc<CodeRecord>>, remote: &str) {
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

    /// Whether one more rejected call of a receiver is recorded in this minute.
    pub(crate) fn keeps_rejected(&self, receiver: &str, per_minute: u32, now: Timestamp) -> bool {
        per_minute > 0 && self.state().rejected.take(receiver, Rate::per_minute(per_minute), now).is_ok()
    }

    /// Takes one call of what the code allows; else the seconds until there is one.
    pub(crate) fn take(&self, code: &CodeRecord, now: Timestamp) -> Result<(), u32> {
        let Some(per_minute) = code.per_minute else { return Ok(()) };
        self.state().left.take(&code.id, Rate::per_minute(per_minute), now)
    }
}
