//! Who did what with a plugin, when. Kept in its record, the newest [`ENTRIES_MAX`].

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::version::{ActiveVersion, Digest};

/// Entries kept of one plugin; beyond it the oldest go.
pub const ENTRIES_MAX: usize = 200;
/// Characters kept of a reason.
const REASON_CHARS_MAX: usize = 500;

/// Who did something: `token NAME`, `plugins directory`, or `hookwright` when nobody asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, example = "token admin")]
pub struct Actor(String);

impl Actor {
    /// The holder of a token.
    pub fn token(name: &str) -> Self {
        Self(format!("token {name}"))
    }

    /// A person who put a file into the plugins directory.
    pub fn directory() -> Self {
        Self("plugins directory".to_owned())
    }

    /// The host itself.
    pub fn host() -> Self {
        Self("hookwright".to_owned())
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Deed {
    /// A version was uploaded.
    Uploaded {
        /// Its number.
        version: u32,
        /// Its bytes.
        digest: Digest,
    },
    /// A version was activated.
    Activated {
        /// Which.
        version: ActiveVersion,
        /// What was active before.
        before: ActiveVersion,
    },
    /// The version before was activated again.
    RolledBack {
        /// Which.
        version: ActiveVersion,
        /// What was active before.
        before: ActiveVersion,
        /// Why, when nobody asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// It kept failing and was set aside.
    SetAside {
        /// Which version; absent: the one in the binary.
        version: Option<u32>,
        /// What it failed with last.
        reason: String,
    },
    /// It was let be called again.
    Resumed,
    /// Its grants were changed.
    Granted,
    /// Its limits were changed.
    Limited,
    /// When it is rolled back was changed.
    Guarded,
    /// Its configuration was changed.
    Configured,
}

impl Deed {
    /// A reason, bounded.
    pub fn reason(text: &str) -> String {
        text.chars().take(REASON_CHARS_MAX).collect()
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Entry {
    /// Counts the plugin's entries from 1, also those that are gone.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: Actor,
    /// What.
    #[serde(flatten)]
    pub deed: Deed,
}

/// The entries of a plugin, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct History(Vec<Entry>);

impl History {
    /// Adds an entry, and gives its number.
    pub fn add(&mut self, at: Timestamp, by: Actor, deed: Deed) -> u64 {
        let number = self.0.last().map_or(0, |last| last.number) + 1;
        self.0.push(Entry { number, at, by, deed });
        let beyond = self.0.len().saturating_sub(ENTRIES_MAX);
        self.0.drain(..beyond);
        number
    }

    /// All, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// The entry with this number.
    pub fn get(&self, number: u64) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.number == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_entries_are_kept_and_numbers_go_on() {
        let mut history = History::default();
        for _ in 0..ENTRIES_MAX + 5 {
            history.add(Timestamp::UNIX_EPOCH, Actor::token("ann"), Deed::Configured);
        }
        assert_eq!((history.entries().len(), history.entries()[0].number), (ENTRIES_MAX, 6));
        let text = serde_json::to_string(&history.entries()[0]).expect("JSON");
        assert_eq!(text, r#"{"number":6,"at":"1970-01-01T00:00:00Z","by":"token ann","what":"configured"}"#);
        assert_eq!(serde_json::from_str::<Entry>(&text).expect("read"), history.entries()[0]);
    }
}
