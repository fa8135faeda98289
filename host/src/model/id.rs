//! Identifiers. All are text with a prefix that says what they name; they sort by time of making.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Crockford's base 32 in lower case: sorts like the number it encodes, no letter is mistaken for a digit.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = String)]
        pub struct $name(pub String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// An event: `evt_` + its sequence number + randomness ([`EventId::unplaced`]), or + time + hash where the same event may be told
    /// twice.
    EventId
);
id!(
    /// A delivery: `dlv_` + sequence number of its event + hash of (webhook, batch, run). See [`DeliveryId::new`].
    DeliveryId
);
id!(
    /// An inbound call: `cal_` + time + randomness.
    CallId
);
id!(
    /// A webhook, for as long as it exists, whatever its name: `whk_` + time + randomness.
    WebhookId
);

id!(
    /// Where a webhook sends: its identifier, with the environment where that one overrides it. What limits, breaker and fairness are
    /// kept by. See [`EndpointId::new`].
    EndpointId
);

/// 48 bits of milliseconds and 80 bits that tell apart what happens in the same one (the shape of a ULID).
fn time_ordered(prefix: &str, millis: u64, rest: [u8; 10]) -> String {
    let mut bytes = [0u8; 16];
    bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    bytes[6..].copy_from_slice(&rest);
    let mut text = String::with_capacity(prefix.len() + 26);
    text.push_str(prefix);
    push_base32(&mut text, &bytes);
    text
}

/// Five bits a letter, most significant first, the last letter padded with zero bits.
fn push_base32(text: &mut String, bytes: &[u8]) {
    let (mut buffer, mut bits) = (0u32, 0u32);
    for byte in bytes {
        buffer = (buffer << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(ALPHABET[((buffer >> bits) & 31) as usize]));
        }
    }
    if bits > 0 {
        text.push(char::from(ALPHABET[((buffer << (5 - bits)) & 31) as usize]));
    }
}

fn hash_parts(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        // Lengths keep ("ab","c") and ("a","bc") apart.
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// Letters of a sequence number.
const SEQ_CHARS: usize = 13;

fn push_seq(text: &mut String, seq: u64) {
    push_base32(text, &seq.to_be_bytes());
}

/// The number [`push_seq`] wrote.
fn read_seq(text: &str) -> Option<u64> {
    let mut number = 0u128;
    for letter in text.bytes() {
        number = number << 5 | ALPHABET.iter().position(|other| *other == letter)? as u128;
    }
    // Thirteen letters hold one bit more than 64.
    u64::try_from(number >> 1).ok()
}

impl EventId {
    const PREFIX: &str = "evt_";
    /// The length of those that hold their event's number.
    const PLACED_CHARS: usize = Self::PREFIX.len() + SEQ_CHARS + 16;

    /// An identifier of an event that has no number yet; [`EventId::at`] gives it one. It tells where the event is, so that no index
    /// has to.
    pub fn unplaced(random: [u8; 10]) -> Self {
        let mut text = String::with_capacity(Self::PLACED_CHARS);
        text.push_str(Self::PREFIX);
        push_seq(&mut text, 0);
        push_base32(&mut text, &random);
        Self(text)
    }

    /// The identifier of the event that is numbered `seq`.
    pub fn at(mut self, seq: u64) -> Self {
        if self.seq() == Some(0) {
            let mut number = String::with_capacity(SEQ_CHARS);
            push_seq(&mut number, seq);
            self.0.replace_range(Self::PREFIX.len()..Self::PREFIX.len() + SEQ_CHARS, &number);
        }
        self
    }

    /// The number in it; `None`: it has none, and stands in an index.
    pub fn seq(&self) -> Option<u64> {
        let rest = self.0.strip_prefix(Self::PREFIX).filter(|_| self.0.len() == Self::PLACED_CHARS)?;
        read_seq(rest.get(..SEQ_CHARS)?)
    }

    /// The identifier of the event that tells `what` of a webhook (by its identifier) or a plugin (by its name) at `millis`: the same when it
    /// is told twice.
    pub fn operational(subject: &str, what: &str, millis: u64) -> Self {
        Self::hashed(&[b"operational", subject.as_bytes(), what.as_bytes()], millis)
    }

    /// The identifier of the `index`th event a call emits: the same when the call runs again, so that nothing is emitted twice.
    pub fn emitted(call: &CallId, index: u32, millis: u64) -> Self {
        Self::hashed(&[call.0.as_bytes(), &index.to_be_bytes()], millis)
    }

    fn hashed(parts: &[&[u8]], millis: u64) -> Self {
        let mut rest = [0u8; 10];
        rest.copy_from_slice(&hash_parts(parts)[..10]);
        Self(time_ordered(Self::PREFIX, millis, rest))
    }
}

impl CallId {
    /// An identifier made at `millis` from ten random bytes.
    pub fn new(millis: u64, random: [u8; 10]) -> Self {
        Self(time_ordered("cal_", millis, random))
    }
}

impl WebhookId {
    /// An identifier made at `millis` from ten random bytes.
    pub fn new(millis: u64, random: [u8; 10]) -> Self {
        Self(time_ordered("whk_", millis, random))
    }
}

impl DeliveryId {
    /// The length of every identifier.
    pub const CHARS: usize = 33;

    /// The delivery of `webhook` for the event (or closed batch) numbered `seq`. `run` is 0, or a replay's number.
    pub fn new(seq: u64, webhook: &WebhookId, batch: u64, run: u64) -> Self {
        let hash = hash_parts(&[webhook.0.as_bytes(), &batch.to_be_bytes(), &run.to_be_bytes()]);
        let mut text = Self::prefix(seq);
        push_base32(&mut text, &hash[..10]);
        Self(text)
    }

    const PREFIX: &str = "dlv_";

    /// The number of its event, or its own when it was invoked.
    pub fn seq(&self) -> Option<u64> {
        read_seq(self.0.strip_prefix(Self::PREFIX)?.get(..SEQ_CHARS)?)
    }

    /// What the identifiers of all deliveries of the event numbered `seq` begin with.
    pub fn prefix(seq: u64) -> String {
        let mut text = String::from(Self::PREFIX);
        push_seq(&mut text, seq);
        text
    }
}

/// An environment's name longer than this, or with other characters than a name's, stands in an [`EndpointId`] as its hash.
const ENVIRONMENT_CHARS_MAX: usize = 64;

impl EndpointId {
    /// Where `webhook` sends in `environment`; `None`: where none of its environments overrides it.
    pub fn new(webhook: &WebhookId, environment: Option<&str>) -> Self {
        let Some(name) = environment else { return Self(webhook.0.clone()) };
        let is_plain = name.len() <= ENVIRONMENT_CHARS_MAX && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        let name = if is_plain { name.to_owned() } else { format!("#{}", hex::encode(&hash_parts(&[name.as_bytes()])[..16])) };
        Self(format!("{webhook}/{name}"))
    }

    /// Whose it is.
    pub fn webhook(&self) -> WebhookId {
        WebhookId(self.0.split('/').next().unwrap_or_default().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_sort_by_time_and_by_sequence() {
        assert!(EventId::unplaced([255; 10]).at(1) < EventId::unplaced([0; 10]).at(2));
        let webhook = WebhookId::new(0, [0; 10]);
        assert!(DeliveryId::new(9, &webhook, 0, 0) < DeliveryId::new(10, &webhook, 0, 0));
        assert!(DeliveryId::new(10, &webhook, 3, 0).0.starts_with(&DeliveryId::prefix(10)));
    }

    #[test]
    fn an_event_tells_its_number() {
        for seq in [1, 31, 32, u64::MAX] {
            let id = EventId::unplaced([7; 10]).at(seq);
            assert_eq!((id.seq(), id.0.len()), (Some(seq), EventId::PLACED_CHARS));
            assert_eq!(id.clone().at(5), id, "a place is for good");
        }
        let elsewhere = EventId::operational(WebhookId::new(0, [0; 10]).as_str(), "deactivated", 1);
        assert_eq!((elsewhere.seq(), elsewhere.clone().at(1)), (None, elsewhere));
        for wrong in ["", "evt_", "evt_ü000000000000aaaaaaaaaaaaaaaa", "evt_zzzzzzzzzzzzz_______________!"] {
            let _ = EventId(wrong.to_owned()).seq();
        }
    }

    #[test]
    fn every_delivery_has_an_identifier_of_the_same_length() {
        for seq in [0, 1, u64::MAX] {
            assert_eq!(DeliveryId::new(seq, &WebhookId::new(seq, [9; 10]), seq, seq).0.len(), DeliveryId::CHARS);
        }
    }

    #[test]
    fn an_endpoint_tells_its_webhook_and_its_environment_apart() {
        let webhook = WebhookId::new(1, [0; 10]);
        let ids = [None, Some("a"), Some("b"), Some("a/b"), Some("\0"), Some("")].map(|name| EndpointId::new(&webhook, name));
        assert!(ids.iter().all(|id| id.webhook() == webhook && !id.0.contains('\0')));
        assert!(ids.iter().enumerate().all(|(n, id)| ids.iter().skip(n + 1).all(|other| id != other)));
    }

    #[test]
    fn a_call_run_twice_emits_the_same_identifiers() {
        let call = CallId::new(7, [1; 10]);
        assert_eq!(EventId::emitted(&call, 0, 7), EventId::emitted(&call, 0, 7));
        assert_ne!(EventId::emitted(&call, 0, 7), EventId::emitted(&call, 1, 7));
    }
}
