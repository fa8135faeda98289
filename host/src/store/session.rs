//! Sessions: parameters by name, for as long as somebody uses them.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Store,
    error::StoreError,
    key,
    transaction::{Transaction, decode},
};
use crate::{
    clock,
    model::parameter::{Change, Overflow, Parameters, SessionBounds},
};

/// What holds for every session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// How long it lives after its last use.
    pub(super) life: Duration,
    /// What it may hold.
    pub(super) bounds: SessionBounds,
}

/// What a session holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Session {
    /// Counts its changes; 0: there is no such session.
    pub version: u64,
    /// Its parameters.
    pub parameters: Parameters,
    /// When it ends unless it is used; absent: there is no such session.
    pub expires_at: Option<Timestamp>,
    /// What the webhook invoked last in it was answered: `$request.webhook_status_code`.
    pub webhook_status_code: Option<u16>,
}

/// A session as kept.
#[derive(Serialize, Deserialize)]
pub(super) struct SessionRecord {
    version: u64,
    parameters: Parameters,
    pub(super) expires_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    webhook_status_code: Option<u16>,
}

impl SessionRecord {
    fn shown(self) -> Session {
        let Self { version, parameters, expires_at, webhook_status_code } = self;
        Session { version, parameters, expires_at: Some(expires_at), webhook_status_code }
    }

    fn begun(version: u64, expires_at: Timestamp) -> Self {
        Self { version, parameters: Parameters::default(), expires_at, webhook_status_code: None }
    }
}

/// The session, begun if need be, and alive for another life.
fn begin(transaction: &mut Transaction<'_>, key: &[u8], life: Duration) -> Result<SessionRecord, StoreError> {
    let expires_at = clock::after(transaction.now, life);
    let mut record = match transaction.get::<SessionRecord>(key)? {
        Some(record) if record.expires_at > transaction.now => record,
        // Expired, but not swept: it starts empty, as a new session.
        Some(record) => SessionRecord::begun(record.version, expires_at),
        None => {
            transaction.mark(key::expiry(clock::millis(expires_at), key));
            SessionRecord::begun(0, expires_at)
        }
    };
    record.expires_at = expires_at;
    Ok(record)
}

/// Makes all changes to a session's parameters, beginning the session if need be; [`StoreError::SessionFull`] when not all of them fit.
pub(super) fn merge(transaction: &mut Transaction<'_>, session: &str, changes: Vec<Change>, rules: Rules) -> Result<Session, StoreError> {
    let key = key::session(session);
    let mut record = begin(transaction, &key, rules.life)?;
    record.version += 1;
    let applied = record.parameters.apply_all_within(changes, rules.bounds);
    applied.map_err(|overflow| StoreError::SessionFull { index: None, overflow })?;
    transaction.put(key, &record)?;
    Ok(record.shown())
}

/// Makes the changes that fit; what does not comes back.
pub(super) fn merge_fitting(
    transaction: &mut Transaction<'_>,
    session: &str,
    changes: Vec<Change>,
    rules: Rules,
) -> Result<(Session, Vec<Overflow>), StoreError> {
    let key = key::session(session);
    let mut record = begin(transaction, &key, rules.life)?;
    record.version += 1;
    let overflows = record.parameters.apply_fitting(changes, rules.bounds);
    transaction.put(key, &record)?;
    Ok((record.shown(), overflows))
}

/// Notes what the webhook invoked last in a session was answered. No change of its parameters, so that its version stays.
pub(super) fn note_status(transaction: &mut Transaction<'_>, session: &str, status: u16, life: Duration) -> Result<(), StoreError> {
    let key = key::session(session);
    let mut record = begin(transaction, &key, life)?;
    if record.webhook_status_code != Some(status) {
        record.webhook_status_code = Some(status);
        transaction.put(key, &record)?;
    }
    Ok(())
}

impl Store {
    /// A session's parameters; reading them keeps it alive. One that is over is empty.
    pub async fn parameters(&self, session: &str) -> Result<Session, StoreError> {
        let key = key::session(session);
        let Some(bytes) = self.engine().get(&key)? else { return Ok(Session::default()) };
        let mut record: SessionRecord = decode(&key, &bytes)?;
        let now = self.now();
        if record.expires_at <= now {
            return Ok(Session::default());
        }
        let life = self.shared.sessions.life;
        // Noted when a quarter of its life is used up: not at each read, and not waited for.
        if record.expires_at < clock::after(now, life / 4 * 3) {
            self.leave(move |transaction| {
                if let Some(mut record) = transaction.get::<SessionRecord>(&key)? {
                    record.expires_at = record.expires_at.max(clock::after(now, life));
                    transaction.put(key, &record)?;
                }
                Ok(())
            });
        }
        record.expires_at = clock::after(now, life);
        Ok(record.shown())
    }

    /// The same for who only looks: a session lives no longer for that.
    pub async fn peek_parameters(&self, session: &str) -> Result<Session, StoreError> {
        let key = key::session(session);
        let Some(bytes) = self.engine().get(&key)? else { return Ok(Session::default()) };
        let record: SessionRecord = decode(&key, &bytes)?;
        Ok(if record.expires_at <= self.now() { Session::default() } else { record.shown() })
    }

    /// Makes changes to a session's parameters. With `expected_version` only if that is its version; 0: if there is no such session.
    pub async fn update_parameters(
        &self,
        session: &str,
        expected_version: Option<u64>,
        changes: Vec<Change>,
    ) -> Result<Session, StoreError> {
        let session = session.to_owned();
        let rules = self.shared.sessions;
        self.commit(0, move |transaction| {
            let record = transaction.get::<SessionRecord>(&key::session(&session))?;
            let current = record.filter(|record| record.expires_at > transaction.now).map_or(0, |record| record.version);
            match expected_version {
                Some(expected) if expected != current => {
                    Err(StoreError::Conflict { what: format!("session `{session}`"), expected, current })
                }
                _ => merge(transaction, &session, changes, rules),
            }
        })
        .await
    }

    /// Ends a session. Whether there was one.
    pub async fn delete_session(&self, session: &str) -> Result<bool, StoreError> {
        let key = key::session(session);
        self.commit(0, move |transaction| {
            let record = transaction.get::<SessionRecord>(&key)?;
            let existed = record.is_some_and(|record| record.expires_at > transaction.now);
            transaction.remove(key)?;
            Ok(existed)
        })
        .await
    }
}
