//! Calls, and everything one call changes: one commit, before the answer is written.

use std::time::Duration;

use super::{
    Store,
    accept::{self, AcceptEvent, Accepted},
    engine::Engine,
    error::StoreError,
    key,
    log::{EXAMINED_MAX, Page, Room, before},
    session,
    state::{self, StateChanges},
    transaction::{Transaction, decode, encode},
};
use crate::model::{
    call::{Call, CallState, Rerun},
    code::CodeUse,
    id::CallId,
    parameter::Change,
};

/// Calls looked at to find how many there were: ids are in the order of beginning, numbers in that of committing.
const LAST_CALLS: usize = 64;

/// Bytes of a call's number before its record.
const NUMBER_BYTES: usize = 8;

/// Which calls. Everything given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallFilter {
    /// To this receiver.
    pub receiver: Option<String>,
    /// In this state.
    pub state: Option<CallState>,
}

/// A call that is to be run: as little of it as says whether it may be now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingCall {
    /// Which.
    pub id: CallId,
    /// Whose plugin runs it.
    pub receiver: String,
    /// [`Call::waits_for_admin`].
    pub waits_for_admin: bool,
}

impl From<Call> for PendingCall {
    fn from(call: Call) -> Self {
        Self { waits_for_admin: call.waits_for_admin(), id: call.id, receiver: call.receiver }
    }
}

impl Store {
    /// Records a call that will be run later. Of a call that is over, or that an admin had run again meanwhile, nothing is changed.
    pub async fn begin_call(&self, call: Call) -> Result<(), StoreError> {
        let encoded = encode(&call)?;
        self.commit(
            encoded.len(),
            move |transaction| if is_overtaken(transaction, &call)? { Ok(()) } else { put(transaction, &call, &encoded) },
        )
        .await
    }

    /// Calls that failed for good wait to be run again, all in one commit. How many; `bytes` is how long they are together.
    pub async fn rerun_calls(&self, ids: Vec<CallId>, rerun: Rerun, bytes: usize) -> Result<u64, StoreError> {
        self.commit(bytes, move |transaction| {
            let mut asked = 0;
            for id in &ids {
                let Some(mut call) = load(transaction, id)?.filter(|call| call.rerun_refusal().is_none()) else { continue };
                call.ask_again(rerun.clone());
                put(transaction, &call, &encode(&call)?)?;
                asked += 1;
            }
            Ok(asked)
        })
        .await
    }

    /// Records a call with all it did: its events with their deliveries, parameters, plugin state. Done again with the same
    /// call it changes nothing, and each event is a [`Accepted::Duplicate`].
    pub async fn commit_call(
        &self,
        call: Call,
        events: Vec<AcceptEvent>,
        parameters: Vec<(String, Change)>,
        state: Option<StateChanges>,
        lease_for: Duration,
    ) -> Result<Vec<Accepted>, StoreError> {
        let encoded = encode(&call)?;
        let now = self.now();
        let ids: Vec<_> = events.iter().map(|event| event.event.id.clone()).collect();
        let ready: Vec<_> = events.into_iter().map(|event| accept::Ready::new(event, now)).collect::<Result<_, _>>()?;
        let lives = self.lives(lease_for);
        let bytes = encoded.len() + ready.iter().map(accept::Ready::bytes).sum::<usize>();
        self.commit(bytes, move |transaction| {
            if is_overtaken(transaction, &call)? {
                return Ok(ids.into_iter().map(|id| Accepted::Duplicate { id }).collect());
            }
            put(transaction, &call, &encoded)?;
            for (session, changes) in by_session(parameters) {
                session::merge(transaction, &session, changes, lives.session)?;
            }
            if let Some(changes) = state {
                state::change(transaction, changes)?;
            }
            accept::accept_all(transaction, ready, lives)
        })
        .await
    }

    /// A call.
    pub async fn call(&self, id: &CallId) -> Result<Option<Call>, StoreError> {
        get(&self.engine(), id)
    }

    /// How often each of these codes was called, in their order.
    pub async fn code_uses(&self, ids: Vec<String>) -> Result<Vec<CodeUse>, StoreError> {
        self.scan(move |engine| {
            let used = |id: &String| {
                let key = key::code_use(id);
                Ok(engine.get(&key)?.map(|bytes| decode(&key, &bytes)).transpose()?.unwrap_or_default())
            };
            ids.iter().map(used).collect()
        })
        .await
    }

    /// Forgets how often codes were called that are no more.
    pub async fn forget_code_uses(&self, ids: Vec<String>) -> Result<(), StoreError> {
        self.commit(0, move |transaction| ids.iter().try_for_each(|id| transaction.remove(key::code_use(id)))).await
    }

    /// Up to `n` calls that are to be run, the oldest first, those behind `after` if it is given.
    pub async fn pending_calls(&self, after: Option<CallId>, n: usize) -> Result<Vec<PendingCall>, StoreError> {
        self.scan(move |engine| {
            let (start, end) = key::under(key::PENDING_CALLS);
            let start = after.map_or(start, |id| [key::pending_call(&id), vec![0]].concat());
            let ids = engine.keys((start, end)).take(n);
            let calls = ids.map(|key| {
                let call = get(engine, &CallId(key::tail(&key?, key::PENDING_CALLS.len()).unwrap_or_default()))?;
                Ok(call.map(PendingCall::from))
            });
            calls.filter_map(Result::transpose).collect()
        })
        .await
    }

    /// Calls, newest first.
    pub async fn calls(&self, filter: CallFilter, cursor: Option<String>, limit: usize) -> Result<Page<Call>, StoreError> {
        self.scan(move |engine| {
            let range = match &filter.receiver {
                Some(receiver) => key::receiver_calls(receiver),
                None => key::under(key::CALL_LOG),
            };
            let (mut data, mut last, start) = (Vec::new(), None, range.0.len());
            let mut room = Room::new(limit);
            for (examined, key) in engine.keys(before(range, cursor.as_deref())).rev().enumerate() {
                if data.len() >= limit || examined >= EXAMINED_MAX {
                    return Ok(Page { data, next: last });
                }
                let id = CallId(key::tail(&key?, start).unwrap_or_default());
                let found = get_sized(engine, &id)?.filter(|(call, _)| filter.state.is_none_or(|state| call.state == state));
                if let Some((call, bytes)) = found {
                    if !room.admits(bytes) {
                        return Ok(Page { data, next: last });
                    }
                    data.push(call);
                }
                last = Some(id.0);
            }
            Ok(Page { data, next: None })
        })
        .await
    }
}

/// Writes a call's record and where it is found.
fn put(transaction: &mut Transaction<'_>, call: &Call, encoded: &[u8]) -> Result<(), StoreError> {
    let key = key::call(&call.id);
    let number = match transaction.get_bytes(&key)? {
        Some(earlier) => split(&earlier).0,
        None => {
            let key = key::code_use(&call.code_id);
            let mut used: CodeUse = transaction.get(&key)?.unwrap_or_default();
            used.count(call.received_at);
            transaction.put(key, &used)?;
            transaction.counters.calls += 1;
            transaction.counters.calls
        }
    };
    transaction.put_bytes(key, &[number.to_be_bytes().as_slice(), encoded].concat())?;
    transaction.mark(key::receiver_call(&call.receiver, &call.id));
    match call.state {
        CallState::Pending => transaction.mark(key::pending_call(&call.id)),
        _ => transaction.remove(key::pending_call(&call.id))?,
    }
    Ok(())
}

/// Whether what is kept of a call is newer than what a run of `call` found: it is over, or an admin had it run again since.
fn is_overtaken(transaction: &Transaction<'_>, call: &Call) -> Result<bool, StoreError> {
    let newer = |kept: Call| kept.state != CallState::Pending || kept.reruns.last() != call.reruns.last();
    Ok(load(transaction, &call.id)?.is_some_and(newer))
}

fn load(transaction: &Transaction<'_>, id: &CallId) -> Result<Option<Call>, StoreError> {
    let key = key::call(id);
    transaction.get_bytes(&key)?.map(|bytes| decode(&key, split(&bytes).1)).transpose()
}

fn get(engine: &Engine, id: &CallId) -> Result<Option<Call>, StoreError> {
    Ok(get_sized(engine, id)?.map(|(call, _)| call))
}

/// A call and the number of its bytes.
fn get_sized(engine: &Engine, id: &CallId) -> Result<Option<(Call, usize)>, StoreError> {
    let key = key::call(id);
    engine.get(&key)?.map(|bytes| Ok((decode(&key, split(&bytes).1)?, bytes.len()))).transpose()
}

/// A call's number and its record.
pub(super) fn split(bytes: &[u8]) -> (u64, &[u8]) {
    match bytes.split_first_chunk::<NUMBER_BYTES>() {
        Some((number, record)) => (u64::from_be_bytes(*number), record),
        None => (0, bytes),
    }
}

/// About how many calls there were.
pub(super) fn last_number(engine: &Engine) -> Result<u64, StoreError> {
    let mut last = 0;
    for record in engine.records(key::under(key::CALL_LOG)).rev().take(LAST_CALLS) {
        last = last.max(split(&record?.1).0);
    }
    Ok(last)
}

/// Changes in order, those of one session together.
fn by_session(parameters: Vec<(String, Change)>) -> Vec<(String, Vec<Change>)> {
    let mut grouped: Vec<(String, Vec<Change>)> = Vec::new();
    for (session, change) in parameters {
        match grouped.iter_mut().find(|(name, _)| *name == session) {
            Some((_, changes)) => changes.push(change),
            None => grouped.push((session, vec![change])),
        }
    }
    grouped
}
