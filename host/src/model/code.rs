//! The strings in inbound URLs that name a receiver and a caller.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Letters and digits of a made code: no `0`, `1`, which are mistaken for `O`, `I` (our decision; the published sample has both).
const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ23456789";
/// The most calls in a minute a code may be limited to.
pub const PER_MINUTE_MAX: u32 = 60_000;
/// The longest time earlier codes of a caller go on beside a new one, in seconds: 30 days.
pub const OVERLAP_SECONDS_MAX: u32 = 30 * 24 * 3600;
/// Random characters of a made code: 24 of 34 letters are more than 120 bits.
pub const RANDOM_CHARS: usize = 24;
/// The shortest code that may be brought along, in characters.
pub const CODE_CHARS_MIN: usize = 24;
/// The longest code, in characters.
pub const CODE_CHARS_MAX: usize = 128;
/// The longest readable prefix, in characters.
pub const PREFIX_CHARS_MAX: usize = 64;

/// A code as kept: found by a keyed hash of its text, which is encrypted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CodeRecord {
    /// What an admin revokes it by.
    pub id: String,
    /// The receiver it names.
    pub receiver: String,
    /// The caller it was issued to.
    pub caller: String,
    /// Hexadecimal keyed hash of the code.
    pub hash: String,
    /// The code, sealed.
    pub sealed: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends; absent: never.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    #[serde(default)]
    pub revoked_at: Option<Timestamp>,
    /// Calls it allows in a minute; absent: as many as come.
    #[serde(default)]
    pub per_minute: Option<u32>,
}

/// What the text of the code `id` is sealed for.
pub fn sealed_as(id: &str) -> String {
    format!("code/{id}")
}

/// What a code is at a moment. A caller is never told which of the last two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CodeState {
    /// Calls are taken.
    Active,
    /// Its end has come.
    Expired,
    /// An admin revoked it.
    Revoked,
}

impl CodeRecord {
    /// What its text is sealed for.
    pub fn sealed_as(&self) -> String {
        sealed_as(&self.id)
    }

    /// What it is at `now`.
    pub fn state(&self, now: Timestamp) -> CodeState {
        if self.revoked_at.is_some() {
            CodeState::Revoked
        } else if self.expires_at.is_some_and(|end| end <= now) {
            CodeState::Expired
        } else {
            CodeState::Active
        }
    }
}

/// How often a code was called. Counted with the call's own commit, so that no crash loses or doubles one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeUse {
    /// Calls that came in by it.
    pub calls: u64,
    /// The last one; absent: there was none.
    #[serde(default)]
    pub last_called_at: Option<Timestamp>,
}

impl CodeUse {
    /// One call more.
    pub fn count(&mut self, at: Timestamp) {
        self.calls += 1;
        self.last_called_at = self.last_called_at.max(Some(at));
    }
}

/// What is asked for when a code is made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CodeSpec {
    /// To whom it is issued.
    #[schema(example = "crm")]
    pub caller: String,
    /// A readable beginning: up to 64 letters and digits.
    #[serde(default)]
    pub prefix: Option<String>,
    /// An existing code to take over: 24 to 128 letters, digits, `-` or `_`.
    #[serde(default)]
    pub code: Option<String>,
    /// When it ends; absent: never.
    #[serde(default)]
    pub expires: Option<Timestamp>,
    /// Calls it allows in a minute, 1 to 60000; absent: as many as come.
    #[serde(default)]
    #[schema(example = 60)]
    pub per_minute: Option<u32>,
    /// Seconds after which the caller's codes of this receiver end that there were before, up to 2592000: a change of codes without a gap.
    /// Absent: they stay.
    #[serde(default)]
    pub overlap_seconds: Option<u32>,
}

/// A made code: the prefix in capitals and 24 random characters. `random` is one byte each, redrawn by the caller beyond 238.
pub fn make_code(prefix: &str, random: impl IntoIterator<Item = u8>) -> String {
    // Bytes from the largest multiple of the alphabet's length on would favour its first letters.
    let limit = u8::MAX - (u8::MAX % ALPHABET.len() as u8);
    let letters = random.into_iter().filter(|byte| *byte < limit).map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]));
    prefix.to_ascii_uppercase().chars().chain(letters.take(RANDOM_CHARS)).collect()
}

/// Whether `code` may be taken over.
pub fn is_code(code: &str) -> bool {
    (CODE_CHARS_MIN..=CODE_CHARS_MAX).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// Whether `prefix` can begin a code.
pub fn is_prefix(prefix: &str) -> bool {
    prefix.len() <= PREFIX_CHARS_MAX && prefix.bytes().all(|b| b.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_code_is_its_prefix_and_24_letters() {
        let code = make_code("crm", 0..=255);
        assert!(code.starts_with("CRM"));
        assert_eq!(code.len(), 3 + RANDOM_CHARS);
        assert!(is_code(&code));
    }

    #[test]
    fn the_published_sample_can_be_taken_over() {
        assert!(is_code("MONWEBHOOKACADEMY123456789012363F53"));
        assert!(!is_code("short"));
        assert!(!is_code("has/slash/and/is/long/enough/for/it"));
    }
}
