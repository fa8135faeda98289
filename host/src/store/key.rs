//! Where each kind of record lives: one tree, a byte for the kind, then big-endian numbers or text, so that keys sort like what
//! they stand for.
//!
//! | kind | key | value |
//! |---|---|---|
//! | `m` | name | counters, format, key check |
//! | `e` | seq | event |
//! | `i` | event id | seq |
//! | `l` | delivery id | delivery under a lease |
//! | `q` | delivery id | delivery that waits: the live queue |
//! | `f` | delivery id | delivery at its end: the log |
//! | `w` | due, delivery id | - |
//! | `y` | webhook id, due, delivery id | - |
//! | `b` | webhook id, delivery id | - |
//! | `a` | delivery id, number | attempt |
//! | `u` | delivery id | built request |
//! | `c` | call id | call |
//! | `g` | receiver, call id | - |
//! | `p` | call id | - (it waits to be run) |
//! | `s` | session | parameters |
//! | `k` | hash of a dedup key | body's hash, event id |
//! | `x` | expiry, key of a `s` or `k` record | - |
//! | `C` | kind, id | configuration document |
//! | `R` | revision | kind and id of what it changed |
//! | `v` | name | sealed secret |
//! | `h` | plugin, key | plugin state |
//! | `Z` | stamp, number | a piece of a long value |
//!
//! Keys stay short (text beyond [`TEXT_BYTES_MAX`] is hashed): the engine would write index pages of long ones to files of their own.

use sha2::{Digest, Sha256};

use crate::model::id::{CallId, DeliveryId, EventId, WebhookId};

/// Text longer than this stands in keys as its beginning and its hash.
const TEXT_BYTES_MAX: usize = 128;

pub(super) const FORMAT: &[u8] = b"mformat";
pub(super) const KEY_CHECK: &[u8] = b"mkey_check";
pub(super) const EPOCH: &[u8] = b"mepoch";
pub(super) const SEQ: &[u8] = b"mseq";
pub(super) const REVISION: &[u8] = b"mrevision";
pub(super) const CALLS: &[u8] = b"mcalls";
pub(super) const LIVE: &[u8] = b"mlive";

pub(super) const EVENTS: &[u8] = b"e";
pub(super) const LEASED: &[u8] = b"l";
pub(super) const WAITING: &[u8] = b"q";
pub(super) const FINISHED: &[u8] = b"f";
pub(super) const DUE: &[u8] = b"w";
pub(super) const PENDING_CALLS: &[u8] = b"p";
pub(super) const CALL_LOG: &[u8] = b"c";
pub(super) const EXPIRIES: &[u8] = b"x";
pub(super) const CONFIGS: &[u8] = b"C";
pub(super) const REVISIONS: &[u8] = b"R";
pub(super) const SECRETS: &[u8] = b"v";
pub(super) const SESSIONS: &[u8] = b"s";
pub(super) const DEDUPS: &[u8] = b"k";

/// Keys from the first (inclusive) to the second (exclusive).
pub(super) type Range = (Vec<u8>, Vec<u8>);

fn text(key: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    if bytes.len() <= TEXT_BYTES_MAX {
        key.extend_from_slice(bytes);
    } else {
        key.extend_from_slice(&bytes[..TEXT_BYTES_MAX / 2]);
        key.push(b'#');
        key.extend_from_slice(hex::encode(Sha256::digest(bytes)).as_bytes());
    }
}

fn named(kind: &[u8], name: &str) -> Vec<u8> {
    let mut key = kind.to_vec();
    text(&mut key, name);
    key
}

fn pair(kind: &[u8], first: &str, second: &str) -> Vec<u8> {
    let mut key = named(kind, first);
    key.push(0);
    text(&mut key, second);
    key
}

fn numbered(kind: &[u8], number: u64) -> Vec<u8> {
    [kind, &number.to_be_bytes()].concat()
}

/// Every key that begins with `prefix`. No prefix here ends in 255.
pub(super) fn under(prefix: &[u8]) -> Range {
    let mut end = prefix.to_vec();
    if let Some(last) = end.last_mut() {
        *last = last.saturating_add(1);
    }
    (prefix.to_vec(), end)
}

/// Every key of `kind` numbered from `first` on.
pub(super) fn numbered_from(kind: &[u8], first: u64) -> Range {
    (numbered(kind, first), under(kind).1)
}

/// Every key of `kind` numbered up to and with `last`.
pub(super) fn numbered_to(kind: &[u8], last: u64) -> Range {
    (kind.to_vec(), last.checked_add(1).map_or_else(|| under(kind).1, |end| numbered(kind, end)))
}

/// The number behind `kind` in a numbered key.
pub(super) fn number(kind: &[u8], key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(kind.len()..kind.len() + 8)?.try_into().ok()?))
}

pub(super) fn event(seq: u64) -> Vec<u8> {
    numbered(EVENTS, seq)
}

pub(super) fn event_seq(id: &EventId) -> Vec<u8> {
    named(b"i", id.as_str())
}

/// A delivery's record in one of the ranges [`LEASED`], [`WAITING`], [`FINISHED`].
pub(super) fn delivery(range: &[u8], id: &DeliveryId) -> Vec<u8> {
    named(range, id.as_str())
}

/// The records of all deliveries of the event numbered `seq` in one range.
pub(super) fn deliveries_of(range: &[u8], seq: u64) -> Range {
    under(&named(range, &DeliveryId::prefix(seq)))
}

pub(super) fn due(due_ms: u64, id: &DeliveryId) -> Vec<u8> {
    let mut key = numbered(DUE, due_ms);
    text(&mut key, id.as_str());
    key
}

/// The delivery a [`due`] key names.
pub(super) fn due_delivery(key: &[u8]) -> Option<DeliveryId> {
    tail(key, DUE.len() + 8).map(DeliveryId)
}

pub(super) fn webhook_due(webhook: &WebhookId, due_ms: u64, id: &DeliveryId) -> Vec<u8> {
    let mut key = webhook_dues(webhook).0;
    key.extend_from_slice(&due_ms.to_be_bytes());
    text(&mut key, id.as_str());
    key
}

pub(super) fn webhook_dues(webhook: &WebhookId) -> Range {
    under(&pair(b"y", webhook.as_str(), ""))
}

/// The delivery a [`webhook_due`] key in `range` names.
pub(super) fn webhook_due_delivery(range: &Range, key: &[u8]) -> Option<DeliveryId> {
    tail(key, range.0.len() + 8).map(DeliveryId)
}

pub(super) fn webhook_delivery(webhook: &WebhookId, id: &DeliveryId) -> Vec<u8> {
    pair(b"b", webhook.as_str(), id.as_str())
}

pub(super) fn webhook_deliveries(webhook: &WebhookId) -> Range {
    under(&pair(b"b", webhook.as_str(), ""))
}

pub(super) fn attempts(id: &DeliveryId) -> Range {
    under(&pair(b"a", id.as_str(), ""))
}

pub(super) fn attempt(id: &DeliveryId, number: u32) -> Vec<u8> {
    let mut key = attempts(id).0;
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// The number in an [`attempt`] key.
pub(super) fn attempt_number(key: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(key.get(key.len().checked_sub(4)?..)?.try_into().ok()?))
}

pub(super) fn built(id: &DeliveryId) -> Vec<u8> {
    named(b"u", id.as_str())
}

pub(super) fn call(id: &CallId) -> Vec<u8> {
    named(CALL_LOG, id.as_str())
}

pub(super) fn pending_call(id: &CallId) -> Vec<u8> {
    named(PENDING_CALLS, id.as_str())
}

pub(super) fn receiver_call(receiver: &str, id: &CallId) -> Vec<u8> {
    pair(b"g", receiver, id.as_str())
}

pub(super) fn receiver_calls(receiver: &str) -> Range {
    under(&pair(b"g", receiver, ""))
}

pub(super) fn session(name: &str) -> Vec<u8> {
    named(SESSIONS, name)
}

pub(super) fn dedup(hash: &[u8; 32]) -> Vec<u8> {
    [DEDUPS, hash].concat()
}

/// A note that the record under `key` may be over at `at_ms`.
pub(super) fn expiry(at_ms: u64, key: &[u8]) -> Vec<u8> {
    let mut expiry = numbered(EXPIRIES, at_ms);
    expiry.extend_from_slice(key);
    expiry
}

/// The record an [`expiry`] key is about.
pub(super) fn expiring(key: &[u8]) -> &[u8] {
    key.get(EXPIRIES.len() + 8..).unwrap_or_default()
}

pub(super) fn config(kind: &str, id: &str) -> Vec<u8> {
    pair(CONFIGS, kind, id)
}

pub(super) fn revision(revision: u64) -> Vec<u8> {
    numbered(REVISIONS, revision)
}

pub(super) fn secret(name: &str) -> Vec<u8> {
    named(SECRETS, name)
}

pub(super) fn plugin_state(plugin: &str, key: &str) -> Vec<u8> {
    pair(b"h", plugin, key)
}

pub(super) fn chunk(stamp: u64, number: u32) -> Vec<u8> {
    [b"Z".as_slice(), &stamp.to_be_bytes(), &number.to_be_bytes()].concat()
}

/// The text of `key` from `start` on.
pub(super) fn tail(key: &[u8], start: usize) -> Option<String> {
    Some(std::str::from_utf8(key.get(start..)?).ok()?.to_owned())
}
