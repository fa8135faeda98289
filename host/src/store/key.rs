//! Where each kind of record lives: one tree, a byte for the kind, then big-endian numbers or text, so that keys sort like what
//! they stand for.
//!
//! | kind | key | value; *sealed* ones with the storage key, see [`super::sealing`] |
//! |---|---|---|
//! | `m` | name | counters, format, key check |
//! | `e` | seq | event, sealed |
//! | `i` | event id without a seq in it | seq |
//! | `l` | delivery id | delivery under a lease; sealed if an `invoke` gave it data |
//! | `q` | delivery id | delivery that waits: the live queue; sealed likewise |
//! | `f` | delivery id | delivery at its end: the log, sealed |
//! | `y` | endpoint, due, delivery id | - |
//! | `o` | webhook id, lane | whose turn it is |
//! | `O` | webhook id, lane, seq, delivery id | - |
//! | `B` | webhook id, batch key | open batch |
//! | `t` | closing time, key of a `B` record | - |
//! | `n` | seq, delivery id | - (a batch's delivery, under its further events) |
//! | `F` | seq | webhooks still to be given a delivery |
//! | `D` | webhook id | how its attempts went |
//! | `b` | webhook id, delivery id | - |
//! | `a` | delivery id, number | attempt, sealed |
//! | `u` | delivery id | built request, sealed |
//! | `c` | call id | call, sealed |
//! | `g` | receiver, call id | - |
//! | `p` | call id | - (it waits to be run) |
//! | `U` | code id | how often it was called |
//! | `s` | session | parameters, sealed |
//! | `k` | hash of a dedup key | body's hash, event id |
//! | `x` | expiry, key of a `s` or `k` record | - |
//! | `C` | kind, id | configuration document, sealed |
//! | `R` | revision | kind and id of what it changed |
//! | `A` | number | entry of the audit log, sealed |
//! | `v` | name | a secret, each version sealed by itself |
//! | `h` | plugin, key | plugin state, sealed |
//! | `H` | plugin | how much state it keeps |
//! | `Z` | stamp, number | a piece of a long value |
//!
//! Keys stay short (text beyond [`TEXT_BYTES_MAX`] is hashed): the engine would write index pages of long ones to files of their own.

use sha2::{Digest, Sha256};

use crate::model::id::{CallId, DeliveryId, EndpointId, EventId, WebhookId};

/// Text longer than this stands in keys as its beginning and its hash.
const TEXT_BYTES_MAX: usize = 128;

pub(super) const FORMAT: &[u8] = b"mformat";
pub(super) const KEY_CHECK: &[u8] = b"mkey_check";
pub(super) const EPOCH: &[u8] = b"mepoch";
pub(super) const SEQ: &[u8] = b"mseq";
pub(super) const REVISION: &[u8] = b"mrevision";
pub(super) const CALLS: &[u8] = b"mcalls";
pub(super) const AUDIT_NUMBER: &[u8] = b"maudit";
pub(super) const LIVE: &[u8] = b"mlive";

pub(super) const EVENTS: &[u8] = b"e";
pub(super) const LEASED: &[u8] = b"l";
pub(super) const WAITING: &[u8] = b"q";
pub(super) const FINISHED: &[u8] = b"f";
pub(super) const DUES: &[u8] = b"y";
pub(super) const OPEN_BATCHES: &[u8] = b"B";
pub(super) const CLOSINGS: &[u8] = b"t";
pub(super) const FAN_OUTS: &[u8] = b"F";
pub(super) const STANDINGS: &[u8] = b"D";
pub(super) const WAITING_COUNT: &[u8] = b"mwaiting";
pub(super) const PENDING_CALLS: &[u8] = b"p";
pub(super) const CALL_LOG: &[u8] = b"c";
pub(super) const CODE_USES: &[u8] = b"U";
pub(super) const EXPIRIES: &[u8] = b"x";
pub(super) const CONFIGS: &[u8] = b"C";
pub(super) const REVISIONS: &[u8] = b"R";
pub(super) const AUDIT: &[u8] = b"A";
pub(super) const SECRETS: &[u8] = b"v";
pub(super) const SESSIONS: &[u8] = b"s";
pub(super) const DEDUPS: &[u8] = b"k";
pub(super) const ATTEMPTS: &[u8] = b"a";
pub(super) const BUILT: &[u8] = b"u";
pub(super) const PLUGIN_STATES: &[u8] = b"h";

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

/// Every key that begins with `prefix`.
pub(super) fn under(prefix: &[u8]) -> Range {
    let mut end = prefix.to_vec();
    // The next key of that length: a number may end in 255.
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
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

/// The due time of what waits for something else than the time: the delivery before it in its lane.
pub(super) const NEVER: u64 = u64::MAX;

pub(super) fn due(endpoint: &EndpointId, due_ms: u64, id: &DeliveryId) -> Vec<u8> {
    let mut key = dues(endpoint).0;
    key.extend_from_slice(&due_ms.to_be_bytes());
    key.extend_from_slice(id.as_str().as_bytes());
    key
}

/// What waits for an endpoint, what is due first first.
pub(super) fn dues(endpoint: &EndpointId) -> Range {
    under(&pair(DUES, endpoint.as_str(), ""))
}

/// What waits for an endpoint and is due at `now_ms`.
pub(super) fn dues_until(endpoint: &EndpointId, now_ms: u64) -> Range {
    let (begin, _) = dues(endpoint);
    let end = [begin.as_slice(), &now_ms.saturating_add(1).to_be_bytes()].concat();
    (begin, end)
}

/// What waits for a webhook, in whatever environment.
pub(super) fn webhook_dues(webhook: &WebhookId) -> [Range; 2] {
    let begin = named(DUES, webhook.as_str());
    [0, b'/'].map(|next| under(&[begin.as_slice(), &[next]].concat()))
}

/// Endpoint, due time in milliseconds, and delivery of a [`due`] key.
pub(super) fn due_parts(key: &[u8]) -> Option<(EndpointId, u64, DeliveryId)> {
    let (head, id) = key.split_at_checked(key.len().checked_sub(DeliveryId::CHARS)?)?;
    let (head, due) = head.split_last_chunk::<8>()?;
    let endpoint = head.strip_prefix(DUES)?.strip_suffix(&[0])?;
    let text = |bytes: &[u8]| Some(std::str::from_utf8(bytes).ok()?.to_owned());
    Some((EndpointId(text(endpoint)?), u64::from_be_bytes(*due), DeliveryId(text(id)?)))
}

pub(super) fn lane(webhook: &WebhookId, lane: &str) -> Vec<u8> {
    pair(b"o", webhook.as_str(), lane)
}

/// Everything in a lane, in order.
pub(super) fn lane_places(webhook: &WebhookId, lane: &str) -> Range {
    under(&[pair(b"O", webhook.as_str(), lane).as_slice(), &[0]].concat())
}

pub(super) fn lane_place(webhook: &WebhookId, lane: &str, seq: u64, id: &DeliveryId) -> Vec<u8> {
    let mut key = lane_places(webhook, lane).0;
    key.extend_from_slice(&seq.to_be_bytes());
    key.extend_from_slice(id.as_str().as_bytes());
    key
}

/// The delivery at the end of a key.
pub(super) fn delivery_at_end(key: &[u8]) -> Option<DeliveryId> {
    tail(key, key.len().checked_sub(DeliveryId::CHARS)?).map(DeliveryId)
}

pub(super) fn open_batch(webhook: &WebhookId, batch: &str) -> Vec<u8> {
    pair(OPEN_BATCHES, webhook.as_str(), batch)
}

/// Every open batch of a webhook.
pub(super) fn open_batches(webhook: &WebhookId) -> Range {
    under(&pair(OPEN_BATCHES, webhook.as_str(), ""))
}

/// A note that the open batch under `key` is closed at `at_ms`.
pub(super) fn closing(at_ms: u64, key: &[u8]) -> Vec<u8> {
    [numbered(CLOSINGS, at_ms).as_slice(), key].concat()
}

/// The batch a [`closing`] key is about.
pub(super) fn closing_batch(key: &[u8]) -> &[u8] {
    key.get(CLOSINGS.len() + 8..).unwrap_or_default()
}

/// A note that the event numbered `seq` is also in the delivery `id`.
pub(super) fn further(seq: u64, id: &DeliveryId) -> Vec<u8> {
    [numbered(b"n", seq).as_slice(), id.as_str().as_bytes()].concat()
}

/// Such notes of one event.
pub(super) fn furthers(seq: u64) -> Range {
    under(&numbered(b"n", seq))
}

pub(super) fn fan_out(seq: u64) -> Vec<u8> {
    numbered(FAN_OUTS, seq)
}

pub(super) fn standing(webhook: &WebhookId) -> Vec<u8> {
    named(STANDINGS, webhook.as_str())
}

pub(super) fn webhook_delivery(webhook: &WebhookId, id: &DeliveryId) -> Vec<u8> {
    pair(b"b", webhook.as_str(), id.as_str())
}

pub(super) fn webhook_deliveries(webhook: &WebhookId) -> Range {
    under(&pair(b"b", webhook.as_str(), ""))
}

pub(super) fn attempts(id: &DeliveryId) -> Range {
    under(&pair(ATTEMPTS, id.as_str(), ""))
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
    named(BUILT, id.as_str())
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

/// How often a code was called.
pub(super) fn code_use(id: &str) -> Vec<u8> {
    named(CODE_USES, id)
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

/// An entry of the audit log.
pub(super) fn audit(number: u64) -> Vec<u8> {
    numbered(AUDIT, number)
}

pub(super) fn secret(name: &str) -> Vec<u8> {
    named(SECRETS, name)
}

pub(super) fn plugin_state(plugin: &str, key: &str) -> Vec<u8> {
    pair(PLUGIN_STATES, plugin, key)
}

/// Everything a plugin keeps.
pub(super) fn plugin_states(plugin: &str) -> Range {
    under(&pair(PLUGIN_STATES, plugin, ""))
}

/// How much that is.
pub(super) fn plugin_usage(plugin: &str) -> Vec<u8> {
    named(b"H", plugin)
}

/// Everything but the pieces of long values.
pub(super) fn all_but_chunks() -> [Range; 2] {
    let (first, behind) = under(b"Z");
    [(Vec::new(), first), (behind, vec![u8::MAX])]
}

pub(super) fn chunk(stamp: u64, number: u32) -> Vec<u8> {
    [b"Z".as_slice(), &stamp.to_be_bytes(), &number.to_be_bytes()].concat()
}

/// The text of `key` from `start` on.
pub(super) fn tail(key: &[u8], start: usize) -> Option<String> {
    Some(std::str::from_utf8(key.get(start..)?).ok()?.to_owned())
}
