//! Whom a code names, and who is turned away: unknown, expired and revoked codes are one to a caller and three to an admin.
//!
//! Every refusal does the same work before its answer: one keyed hash, one look-up, one entry, and none of the body is read. What takes longer the more
//! is known of a code, the line of log, is written beside it.

use std::sync::Arc;

use http::Method;
use jiff::Timestamp;

use super::reply::Reply;
use crate::{
    model::{
        code::{CodeRecord, CodeState},
        receiver::{Probe, Receiver},
    },
    services::Services,
    volatile::refusals::{NOBODYS, RefusalReason},
};

/// Bytes of the longest body that may be a vendor's probe: an empty one, or `{}` and white space.
pub const PROBE_BYTES_MAX: usize = 64;

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
            (CodeState::Active, Some(entry)) => match services.refusals.take(known, now) {
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
    services.refusals.refuse(now, reason, code.clone(), remote);
    let remote = remote.to_owned();
    services.tasks.spawn(async move {
        let CodeRecord { id, receiver, caller, .. } = &**code.as_ref().unwrap_or(&NOBODYS);
        tracing::warn!(?reason, code = id, receiver, caller, remote, "a call was turned away");
    });
}
