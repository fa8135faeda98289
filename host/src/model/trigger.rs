//! The name of what happened.

pub mod arcgis;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::problem::nearest;
use arcgis::Family;

/// The longest trigger or selector, in characters.
pub const TRIGGER_CHARS_MAX: usize = 256;

/// What the words of operational events begin with (decision: operational-events; they match only selectors that spell it).
pub const OPERATIONAL_PREFIXES: [&str; 2] = ["webhook.", "plugin."];

/// A path (`/items/abc123/share`) or a word (`FeaturesCreated`, `user.created`).
///
/// The four families of an ArcGIS organization (`items`, `groups`, `users`, `roles`) are closed: an event's trigger names the
/// object and a known operation, in the spelling of ArcGIS Enterprise, "Webhook event triggers". That an event always names the
/// object, and that families and operations are compared without case, is our decision; that page lists what a subscription may
/// say and spells one operation in two ways. Every other path or word is free.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Trigger(String);

/// Why a text names nothing that can happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TriggerError {
    /// Nothing there.
    #[error("a trigger is a path such as `/items/abc123/share` or a word such as `FeaturesCreated`; this one is empty")]
    Empty,
    /// Too long.
    #[error("a trigger has at most {TRIGGER_CHARS_MAX} characters; this one has {0}")]
    TooLong(usize),
    /// A character that has no place in it.
    #[error("{character:?} at character {position} cannot be part of a trigger: {rule}")]
    Character {
        /// Which.
        character: char,
        /// Where, counted in characters from 0.
        position: usize,
        /// What can.
        rule: &'static str,
    },
    /// `//`, `..`, or a `/` or `.` at the end.
    #[error("a part of `{0}` is empty: parts are divided by one `/` (paths) or one `.` (words), with none at the end")]
    EmptyPart(String),
    /// Something only a selector says: `/`, `/items`, `/items/share`, `/items/abc123`.
    #[error(
        "an event in `/{family}` names the object and the operation, as `/{family}/<{placeholder}>/<operation>`; the operations are {operations}"
    )]
    Incomplete {
        /// The family.
        family: &'static str,
        /// What its identifiers are called.
        placeholder: &'static str,
        /// All of them.
        operations: String,
    },
    /// `/`.
    #[error("`/` is a selector; an event says what happened, such as `/items/abc123/share`")]
    EveryPath,
    /// An operation the family does not know.
    #[error("`/{family}` knows no operation `{operation}`{}; the operations are {operations}", did_you_mean(nearest))]
    UnknownOperation {
        /// The family.
        family: &'static str,
        /// What was written.
        operation: String,
        /// The nearest trigger there is.
        nearest: Option<String>,
        /// All operations of the family.
        operations: String,
    },
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"))
}

const PATH_RULE: &str = "a path holds no white space, no control characters and no `*`";
const WORD_RULE: &str = "a word holds letters A to Z, digits, `_`, `-` and `.`; a path begins with `/`";

impl Trigger {
    /// Reads the trigger of an event. Families and operations of the closed families come out in the table's spelling.
    pub fn parse(text: &str) -> Result<Self, TriggerError> {
        check_text(text)?;
        let Some(path) = text.strip_prefix('/') else { return Ok(Self(text.to_owned())) };
        if path.is_empty() {
            return Err(TriggerError::EveryPath);
        }
        let mut parts = path.split('/');
        let Some(family) = parts.next().and_then(Family::named) else { return Ok(Self(text.to_owned())) };
        match (parts.next(), parts.next(), parts.next()) {
            (Some(object), Some(operation), None) => match family.operation(operation) {
                Some(known) => Ok(Self(format!("/{}/{object}/{}", family.as_str(), known.name))),
                None => Err(unknown_operation(family, Some(object), operation)),
            },
            _ => Err(TriggerError::Incomplete {
                family: family.as_str(),
                placeholder: family.placeholder(),
                operations: operation_list(family),
            }),
        }
    }

    /// The trigger of the one event a transform sees of an `invoke`; it is never stored.
    pub fn invoke() -> Self {
        Self("invoke".to_owned())
    }

    /// The trigger of the event that every call of `receiver` is.
    pub fn of_code(receiver: &str) -> Self {
        Self(format!("code.{receiver}"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a path rather than a word.
    pub fn is_path(&self) -> bool {
        self.0.starts_with('/')
    }

    /// The parts: a path's between the slashes, a word's between the dots.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        match self.0.strip_prefix('/') {
            Some(path) => path.split('/'),
            None => self.0.split('.'),
        }
    }

    /// The last part of a path: `share` of `/items/abc123/share`. A word has none.
    pub fn operation(&self) -> Option<&str> {
        if self.is_path() { self.segments().last() } else { None }
    }

    /// The closed family it belongs to.
    pub fn family(&self) -> Option<Family> {
        if self.is_path() { self.segments().next().and_then(Family::named) } else { None }
    }

    /// The object an event of a closed family is about: `abc123` of `/items/abc123/share`.
    pub fn object(&self) -> Option<&str> {
        self.family().and_then(|_| self.segments().nth(1))
    }

    /// Whether the engine says this about itself (decision: operational-events).
    pub fn is_operational(&self) -> bool {
        OPERATIONAL_PREFIXES.iter().any(|prefix| self.0.starts_with(prefix))
    }
}

/// What holds for triggers and selectors alike: length, characters, no empty parts. `/` alone passes.
pub(super) fn check_text(text: &str) -> Result<(), TriggerError> {
    if text.is_empty() {
        return Err(TriggerError::Empty);
    }
    let length = text.chars().count();
    if length > TRIGGER_CHARS_MAX {
        return Err(TriggerError::TooLong(length));
    }
    let path = text.strip_prefix('/');
    let (fits, rule): (fn(char) -> bool, _) = match path {
        Some(_) => (|c| !c.is_whitespace() && !c.is_control() && c != '*', PATH_RULE),
        None => (|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'), WORD_RULE),
    };
    if let Some((position, character)) = text.chars().enumerate().find(|(_, c)| !fits(*c)) {
        return Err(TriggerError::Character { character, position, rule });
    }
    let has_empty_part = match path {
        Some("") => false,
        Some(path) => path.split('/').any(str::is_empty),
        None => text.split('.').any(str::is_empty),
    };
    if has_empty_part { Err(TriggerError::EmptyPart(text.to_owned())) } else { Ok(()) }
}

/// The refusal of `operation` in `family`, with what was probably meant.
pub(super) fn unknown_operation(family: Family, object: Option<&str>, operation: &str) -> TriggerError {
    let near = nearest(operation, family.operations().iter().map(|known| known.name));
    let object = object.map_or_else(String::new, |object| format!("/{object}"));
    TriggerError::UnknownOperation {
        family: family.as_str(),
        operation: operation.to_owned(),
        nearest: near.map(|near| format!("/{}{object}/{near}", family.as_str())),
        operations: operation_list(family),
    }
}

fn operation_list(family: Family) -> String {
    let names: Vec<_> = family.operations().iter().map(|operation| format!("`{}`", operation.name)).collect();
    names.join(", ")
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Trigger {
    type Err = TriggerError;

    fn from_str(text: &str) -> Result<Self, TriggerError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        Trigger::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).0
    }

    #[test]
    fn words_and_other_paths_are_free() {
        for text in ["FeaturesCreated", "user.created", "a-b_c.9", "/services/roads.GPServer/jobs/j1/succeeded", "/x", "/é/ü"] {
            assert_eq!(parsed(text), text);
        }
    }

    #[test]
    fn families_and_operations_take_the_spelling_of_the_table() {
        assert_eq!(parsed("/items/AbC/SHARE"), "/items/AbC/share");
        assert_eq!(parsed("/users/jo/signin"), "/users/jo/signIn");
        assert_eq!(parsed("/Users/Jo/SignOut"), "/users/Jo/signOut");
        assert_eq!(parsed("/groups/g/itemshare"), "/groups/g/itemShare");
        assert_eq!(parsed("/roles/r/updated"), "/roles/r/updated");
        assert_eq!(parsed("/items/i/addComment"), "/items/i/addComment");
        // An object may be called like an operation.
        assert_eq!(parsed("/users/add/delete"), "/users/add/delete");
    }

    #[test]
    fn an_unknown_operation_is_refused_with_the_nearest_trigger_and_the_list() {
        let error = Trigger::parse("/items/abc/shar").unwrap_err().to_string();
        assert!(error.contains("did you mean `/items/abc/share`?"), "{error}");
        assert!(error.contains("`unshare`, `reassign`"), "{error}");
        let error = Trigger::parse("/roles/r/zzzzzzzz").unwrap_err().to_string();
        assert!(!error.contains("did you mean") && error.contains("`add`, `updated`, `delete`"), "{error}");
        assert!(Trigger::parse("/roles/r/reassign").is_err());
    }

    #[test]
    fn an_event_of_a_closed_family_names_its_object() {
        for text in ["/items", "/items/share", "/items/abc", "/groups/g/update/more"] {
            assert!(matches!(Trigger::parse(text), Err(TriggerError::Incomplete { .. })), "{text}");
        }
        assert_eq!(Trigger::parse("/"), Err(TriggerError::EveryPath));
    }

    #[test]
    fn what_is_no_trigger_is_refused() {
        for text in
            ["", "a b", "*", "user.*", "a..b", ".a", "a.", "a/b", "//x", "/x/", "/x//y", "/a b", "/a\tb", "/a\u{7}", "é", "/items/*/share"]
        {
            assert!(Trigger::parse(text).is_err(), "{text:?}");
        }
        assert!(Trigger::parse(&"a".repeat(TRIGGER_CHARS_MAX)).is_ok());
        assert_eq!(Trigger::parse(&"a".repeat(257)), Err(TriggerError::TooLong(257)));
        assert!(matches!(Trigger::parse("ab c"), Err(TriggerError::Character { position: 2, .. })));
    }

    #[test]
    fn parts_are_read_from_paths_and_words() {
        let share = Trigger::parse("/items/abc/share").unwrap();
        assert_eq!(share.segments().collect::<Vec<_>>(), ["items", "abc", "share"]);
        assert_eq!((share.operation(), share.object(), share.family()), (Some("share"), Some("abc"), Some(Family::Items)));
        let word = Trigger::parse("user.created").unwrap();
        assert_eq!((word.operation(), word.object(), word.is_path()), (None, None, false));
        assert_eq!(word.segments().collect::<Vec<_>>(), ["user", "created"]);
        assert!(Trigger::parse("webhook.failed").unwrap().is_operational());
        assert!(Trigger::parse("plugin.set_aside").unwrap().is_operational());
        assert!(!Trigger::parse("webhooks").unwrap().is_operational());
    }
}
