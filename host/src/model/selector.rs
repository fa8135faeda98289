//! What a webhook subscribes to.

pub mod index;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    problem::nearest,
    trigger::{
        OPERATIONAL_PREFIXES, Trigger, TriggerError,
        arcgis::{CHANGE_TYPES, FEATURE_EDITS, FEATURES_EDITED, Family},
        check_text, unknown_operation,
    },
};

/// How far a segment may be from a known operation, in edits, for [`Selector::hint`] to speak up.
pub const HINT_EDITS_MAX: usize = 2;

/// A path, a word, `prefix.*` or `*`.
///
/// In the four families of an ArcGIS organization a path is read as ArcGIS Enterprise, "Webhook event triggers", writes it: `/` every
/// path, `/items` a family, `/items/share` an operation on any object, `/items/<id>` one object, `/items/<id>/share` both. The page
/// leaves open three things we decide: families and operations are compared without case, identifiers with it; a second segment is an
/// operation when the family knows it, else an identifier; an operation known in one form is known in both.
/// Any other path is a prefix, segment by segment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Selector {
    text: String,
    kind: Kind,
}

/// What a selector says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// `/`
    EveryPath,
    /// `/items/share`
    FamilyOperation(Family, &'static str),
    /// A path that is this one or begins with it and a `/`. In the closed families, in the table's spelling.
    PathPrefix(String),
    /// `FeaturesCreated`
    Word(String),
    /// `user.*`, kept as `user.`
    WordPrefix(String),
    /// `*`
    Everything,
}

/// Why a text selects nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// A `*` where none can be.
    #[error(
        "`*` stands alone or at the end of a word as `prefix.*`; a path is a prefix by itself (`/items` has everything below it, `/items/share` is the operation on any item)"
    )]
    Star,
    /// A path of a closed family with more segments than there are.
    #[error("a path in `/{0}` has at most an object and an operation: `/{0}/<id>/<operation>`")]
    TooDeep(&'static str),
    /// Not a path, not a word, or no such operation.
    #[error(transparent)]
    Text(#[from] TriggerError),
}

impl Selector {
    /// Reads a selector.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let kind = match text {
            "*" => Kind::Everything,
            "/" => Kind::EveryPath,
            _ => match text.strip_suffix(".*") {
                Some(prefix) if !text.starts_with('/') => {
                    if prefix.contains('*') {
                        return Err(SelectorError::Star);
                    }
                    check_text(prefix)?;
                    Kind::WordPrefix(format!("{prefix}."))
                }
                _ if text.contains('*') => return Err(SelectorError::Star),
                _ => {
                    check_text(text)?;
                    if text.starts_with('/') { parse_path(text)? } else { Kind::Word(text.to_owned()) }
                }
            },
        };
        Ok(Self { text: text.to_owned(), kind })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether an event of this trigger is selected. Operational events (`webhook.*`, `plugin.*`) are selected only by selectors that
    /// spell that; `*` does not (decision: operational-events).
    pub fn matches(&self, trigger: &Trigger) -> bool {
        let name = trigger.as_str();
        match &self.kind {
            Kind::Everything => !trigger.is_operational(),
            Kind::EveryPath => trigger.is_path(),
            Kind::FamilyOperation(family, operation) => family_operation(trigger) == Some((*family, operation)),
            Kind::PathPrefix(prefix) => name.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
            Kind::Word(word) => name == word || (word == FEATURES_EDITED && FEATURE_EDITS.contains(&name)),
            Kind::WordPrefix(prefix) => name.len() > prefix.len() && name.starts_with(prefix.as_str()),
        }
    }

    /// Whether operational events can match.
    pub fn spells_operational(&self) -> bool {
        match &self.kind {
            Kind::Word(text) | Kind::WordPrefix(text) => OPERATIONAL_PREFIXES.iter().any(|prefix| text.starts_with(prefix)),
            _ => false,
        }
    }

    /// A sentence when the selector is valid but probably not what was meant: an identifier that looks like an operation, a word that
    /// looks like a change type, a path that looks like a family.
    pub fn hint(&self) -> Option<String> {
        match &self.kind {
            Kind::PathPrefix(path) => {
                let mut parts = path.split('/').skip(1);
                let (first, second) = (parts.next()?, parts.next());
                match (Family::named(first), second, parts.next()) {
                    (Some(family), Some(id), None) => {
                        let near = near(id, family.operations().iter().map(|operation| operation.name))?;
                        let name = family.as_str();
                        Some(format!("`{path}` selects one object called `{id}`; the operation on any object is `/{name}/{near}`"))
                    }
                    (None, _, _) => {
                        let near = near(first, Family::ALL.map(Family::as_str))?;
                        Some(format!("`{path}` is a path of your own; ArcGIS's family is spelled `/{near}`"))
                    }
                    _ => None,
                }
            }
            Kind::Word(word) => {
                let near = near(word, CHANGE_TYPES.iter().map(|change| change.name))?;
                Some(format!("`{word}` is a word of your own; ArcGIS's change type is spelled `{near}`"))
            }
            _ => None,
        }
    }
}

fn parse_path(text: &str) -> Result<Kind, SelectorError> {
    let mut parts = text.split('/').skip(1);
    let Some(family) = parts.next().and_then(Family::named) else { return Ok(Kind::PathPrefix(text.to_owned())) };
    let name = family.as_str();
    match (parts.next(), parts.next(), parts.next()) {
        (None, ..) => Ok(Kind::PathPrefix(format!("/{name}"))),
        (Some(second), None, _) => Ok(match family.operation(second) {
            Some(operation) => Kind::FamilyOperation(family, operation.name),
            None => Kind::PathPrefix(format!("/{name}/{second}")),
        }),
        (Some(id), Some(operation), None) => match family.operation(operation) {
            Some(operation) => Ok(Kind::PathPrefix(format!("/{name}/{id}/{}", operation.name))),
            None => Err(unknown_operation(family, Some(id), operation).into()),
        },
        (_, _, Some(_)) => Err(SelectorError::TooDeep(name)),
    }
}

/// Family and operation of an event of a closed family.
fn family_operation(trigger: &Trigger) -> Option<(Family, &'static str)> {
    let family = trigger.family()?;
    let mut parts = trigger.segments().skip(2);
    let operation = family.operation(parts.next()?)?;
    parts.next().is_none().then_some((family, operation.name))
}

/// The nearest of `known` that `text` is not, within [`HINT_EDITS_MAX`].
fn near<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = nearest(text, known)?;
    let edits = strsim::damerau_levenshtein(&text.to_lowercase(), &near.to_lowercase());
    (near != text && edits <= HINT_EDITS_MAX).then_some(near)
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Selector {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(selector: &str, selected: &[&str], passed_over: &[&str]) {
        let parsed = Selector::parse(selector).unwrap();
        for (triggers, expected) in [(selected, true), (passed_over, false)] {
            for trigger in triggers {
                assert_eq!(parsed.matches(&Trigger::parse(trigger).unwrap()), expected, "{selector} on {trigger}");
            }
        }
    }

    #[test]
    fn paths_in_the_closed_families_follow_the_arcgis_rules() {
        check("/", &["/items/a/share", "/services/x"], &["user.created", "FeaturesCreated"]);
        check("/items", &["/items/a/share", "/items/a/add"], &["/groups/a/add", "/itemsets/a"]);
        check(
            "/items/share",
            &["/items/a/share", "/items/share/share"],
            &["/items/a/unshare", "/items/share/update", "/groups/g/itemShare"],
        );
        check("/items/abc", &["/items/abc/share", "/items/abc/delete"], &["/items/abcd/share", "/items/ABC/share"]);
        check("/items/abc/share", &["/items/abc/share"], &["/items/abc/delete", "/items/x/share"]);
    }

    #[test]
    fn families_and_operations_are_compared_without_case_identifiers_with_it() {
        check("/users/signin", &["/users/jo/signIn"], &["/users/jo/signOut"]);
        check("/USERS/SIGNIN", &["/users/jo/signIn"], &[]);
        check("/users/Jo/SIGNOUT", &["/users/Jo/signOut"], &["/users/jo/signOut"]);
        check("/groups/itemshare", &["/groups/g/itemShare"], &[]);
    }

    #[test]
    fn other_paths_are_prefixes_by_segment() {
        check("/services/roads", &["/services/roads", "/services/roads/jobs/1"], &["/services/roads2", "/services"]);
        assert_ne!(Selector::parse("/Services/a").unwrap(), Selector::parse("/services/a").unwrap());
    }

    #[test]
    fn words_are_exact_and_features_edited_stands_for_its_parts() {
        check("FeaturesCreated", &["FeaturesCreated"], &["FeaturesUpdated", "FeaturesEdited"]);
        check("FeaturesEdited", &["FeaturesEdited", "FeaturesCreated", "FeaturesUpdated", "FeaturesDeleted"], &["AttachmentsCreated"]);
        check("user.created", &["user.created"], &["user.created.x", "User.created"]);
    }

    #[test]
    fn a_word_prefix_ends_at_a_dot() {
        check("user.*", &["user.created", "user.a.b"], &["user", "users.x", "/user/x"]);
        check("a.b.*", &["a.b.c"], &["a.b", "a.c"]);
    }

    #[test]
    fn operational_events_match_only_selectors_that_spell_them() {
        check("*", &["user.created", "/items/a/share", "webhook"], &["webhook.failed"]);
        check("webhook.*", &["webhook.failed"], &["webhook"]);
        check("webhook.failed", &["webhook.failed"], &[]);
        check("/", &[], &["webhook.failed"]);
        assert!(Selector::parse("webhook.*").unwrap().spells_operational());
        assert!(!Selector::parse("*").unwrap().spells_operational());
    }

    #[test]
    fn what_selects_nothing_is_refused() {
        for text in
            ["", "**", "a*", "*.a", ".*", "a.*.b", "*.*", "/items/*", "/items/*/share", "/items/a/b/c", "/items//share", "/items/", "a b"]
        {
            assert!(Selector::parse(text).is_err(), "{text:?}");
        }
        let error = Selector::parse("/items/abc/shar").unwrap_err().to_string();
        assert!(error.contains("did you mean `/items/abc/share`?"), "{error}");
    }

    #[test]
    fn a_probable_slip_is_accepted_with_a_hint() {
        let hint = |text: &str| Selector::parse(text).unwrap().hint();
        assert!(hint("/items/shar").is_some_and(|hint| hint.contains("`/items/share`")));
        assert!(hint("/item/share").is_some_and(|hint| hint.contains("`/items`")));
        assert!(hint("featuresCreated").is_some_and(|hint| hint.contains("`FeaturesCreated`")));
        for fine in [
            "/items/share",
            "/items/6cd80cb32d4a4b4d858a020e57fba7b1",
            "/items/a/share",
            "FeaturesCreated",
            "user.created",
            "/services/x",
            "*",
        ] {
            assert_eq!(hint(fine), None, "{fine}");
        }
    }

    #[test]
    fn a_selector_travels_as_its_text() {
        let selector: Selector = serde_json::from_str("\"/Items/SHARE\"").unwrap();
        assert_eq!(serde_json::to_string(&selector).unwrap(), "\"/Items/SHARE\"");
        assert!(serde_json::from_str::<Selector>("\"a*\"").is_err());
    }
}
