//! References inside text an admin wrote: `$session.params.fruit`, `$event.data.items[0]`.
//!
//! The forms under `$session.`, `$intent.`, `$page.` and `$request.` are Dialogflow CX's ("Parameters", "Webhooks"); `$event.` and
//! `$call.` are ours. That page leaves open how names with `.` and `-` end, what follows an unset one, and what is no reference;
//! each such rule is our decision and stands where it is applied.

pub(in crate::model) mod expansion;
mod resolve;

use std::fmt;

use serde_json::{Map, Value};

use super::{ambient::Ambient, parameter::Parameters, problem::nearest};
pub use expansion::{Expansion, SUBSTITUTED_BYTES_MAX};

/// The longest reference, in characters.
pub const REFERENCE_CHARS_MAX: usize = 512;

/// What can follow `$event.`: the fields of [`super::event::Event`].
pub const EVENT_FIELDS: [&str; 13] =
    ["id", "seq", "trigger", "source", "time", "accepted_at", "session", "environment", "attributes", "data", "call", "depth", "batch"];

/// What can follow `$call.`.
pub const CALL_FIELDS: [&str; 6] = ["parameters", "query", "headers", "body", "method", "caller"];

/// Where a reference looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Root {
    /// `$session.params.NAME`: the session's parameters.
    Session,
    /// `$event.FIELD`: the event's document.
    Event,
    /// `$intent.params.NAME.original`, `.resolved`: the last matched intent.
    Intent,
    /// `$page.params.status`, `$page.params.NAME`, `$page.params.NAME.status`: the current page's form.
    Page,
    /// `$request.NAME`: what the caller of `invoke` said about its request.
    Request,
    /// `$call.FIELD`: the inbound call a receiver answers.
    Call,
}

impl Root {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Session, Self::Event, Self::Intent, Self::Page, Self::Request, Self::Call];

    /// The word behind the `$`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Event => "event",
            Self::Intent => "intent",
            Self::Page => "page",
            Self::Request => "request",
            Self::Call => "call",
        }
    }

    /// The form, for refusals.
    fn form(self) -> &'static str {
        match self {
            Self::Session => "`$session.params.NAME`",
            Self::Event => "`$event.FIELD`",
            Self::Intent => "`$intent.params.NAME.original` or `$intent.params.NAME.resolved`",
            Self::Page => "`$page.params.status` or `$page.params.NAME`",
            Self::Request => "`$request.NAME`",
            Self::Call => "`$call.FIELD`",
        }
    }
}

/// One reference, parsed.
#[derive(Clone, PartialEq, Eq)]
pub struct Reference {
    root: Root,
    /// As written, from the `$` on.
    text: String,
    /// Where in `text` what is looked up begins: behind `$session.params.`, `$event.`, ...
    tail_start: usize,
}

/// Why something that looks like a reference is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceError {
    /// What is wrong, and what would be right.
    pub detail: String,
}

impl fmt::Display for ReferenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for ReferenceError {}

fn refused<T>(detail: impl Into<String>) -> Result<T, ReferenceError> {
    Err(ReferenceError { detail: detail.into() })
}

impl Reference {
    /// Reads the reference `text` begins with, which begins with `$`. `None`: this `$` is text.
    ///
    /// A `$` that is not followed by a word, a `.` and a name is text: prices, `$$`, `$.path`. Anything else must be a reference we
    /// know, so that a slip is found when it is written and not in what is sent.
    pub fn parse(text: &str) -> Result<Option<Self>, ReferenceError> {
        let Some(behind) = text.strip_prefix('$') else { return Ok(None) };
        if behind.starts_with("secret:") {
            return refused("a secret is not put into URLs, headers or bodies; credentials stand in `auth`, signing keys in `signing`");
        }
        let word = &behind[..behind.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count()];
        let Some(rest) = behind[word.len()..].strip_prefix('.') else { return Ok(None) };
        if !word.starts_with(|c: char| c.is_ascii_alphabetic()) || !rest.starts_with(is_name_char) {
            return Ok(None);
        }
        let Some(root) = Root::ALL.into_iter().find(|root| root.as_str() == word) else { return refused(unknown_root(word)) };
        let length = token_length(rest);
        let token = &rest[..length];
        if let Some(bracket) = rest[length..].strip_prefix('[') {
            let inside: String = bracket.chars().take_while(|c| *c != ']').take(20).collect();
            return refused(format!("`[{inside}` behind a reference is no index; an index is a number, as in `[0]`"));
        }
        if token.len() > REFERENCE_CHARS_MAX {
            return refused(format!("a reference has at most {REFERENCE_CHARS_MAX} characters"));
        }
        let skipped = match root {
            Root::Session | Root::Intent | Root::Page => match token.strip_prefix("params.") {
                Some(_) => "params.".len(),
                None => return refused(format!("`${word}.{token}` is no reference; write {}", root.form())),
            },
            Root::Event => known_field(root, token, &EVENT_FIELDS)?,
            Root::Call => known_field(root, token, &CALL_FIELDS)?,
            Root::Request => 0,
        };
        let reference = Self { root, text: format!("${word}.{token}"), tail_start: 1 + word.len() + 1 + skipped };
        if root == Root::Intent && intent_parts(reference.tail()).is_none() {
            return refused(format!("`{reference}` is no reference; write {}", root.form()));
        }
        Ok(Some(reference))
    }

    /// As written, from the `$` on.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Where it looks.
    pub fn root(&self) -> Root {
        self.root
    }

    /// What is looked up there.
    fn tail(&self) -> &str {
        &self.text[self.tail_start..]
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reference({})", self.text)
    }
}

/// Letters A to Z, digits, `-` and `_`; `.` is one too, but also divides (Dialogflow CX, "Parameters").
fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

/// How many bytes belong to the reference: names, dots between them, `[0]`. A `.` that no name follows is a full stop.
fn token_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        at += match byte {
            b'.' if bytes.get(at + 1).is_some_and(|next| is_name_char(char::from(*next))) => 1,
            b'[' => {
                let digits = bytes[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
                if digits == 0 || bytes.get(at + 1 + digits) != Some(&b']') {
                    break;
                }
                digits + 2
            }
            byte if is_name_char(char::from(*byte)) => 1,
            _ => break,
        };
    }
    at
}

fn unknown_root(word: &str) -> String {
    if word == "sys" {
        return "a function is written `$sys.func.NAME(...)`".to_owned();
    }
    let forms: Vec<_> = Root::ALL.iter().map(|root| format!("`${}.`", root.as_str())).collect();
    match nearest(word, Root::ALL.map(Root::as_str)) {
        Some(near) => format!("there is no `${word}.`; did you mean `${near}.`?"),
        None => format!("there is no `${word}.`; there are {}", forms.join(", ")),
    }
}

fn known_field(root: Root, token: &str, fields: &[&str]) -> Result<usize, ReferenceError> {
    let field = &token[..token.find(['.', '[', '-']).unwrap_or(token.len())];
    if fields.contains(&field) {
        return Ok(0);
    }
    let (root, list) = (root.as_str(), fields.join("`, `"));
    match nearest(field, fields.iter().copied()) {
        Some(near) => refused(format!("`${root}.` has no `{field}`; did you mean `${root}.{near}`?")),
        None => refused(format!("`${root}.` has no `{field}`; it has `{list}`")),
    }
}

/// `NAME.original...` and `NAME.resolved...`: the name, the keys its part has in Dialogflow's WebhookRequest, and what follows.
fn intent_parts(tail: &str) -> Option<(&str, [&'static str; 2], &str)> {
    [(".original", ["original", "originalValue"]), (".resolved", ["resolved", "resolvedValue"])]
        .into_iter()
        .filter_map(|(part, keys)| {
            let (at, _) = tail
                .match_indices(part)
                .find(|(at, _)| *at > 0 && !tail[at + part.len()..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))?;
            Some((&tail[..at], keys, &tail[at + part.len()..]))
        })
        .min_by_key(|(name, ..)| name.len())
}

/// What references are looked up in. Borrowed; made again for each build.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The session's parameters.
    pub session: &'a Parameters,
    /// The event's document ([`super::event::Event::document`]); for `invoke` an object with `data` alone, if it was given any.
    pub event: Option<&'a Value>,
    /// What the caller of `invoke` gave besides parameters. `intent` (or `intentInfo`), `page` (or `pageInfo`) and `text` as in
    /// Dialogflow's WebhookRequest; `request` for everything else under `$request.`.
    pub context: Option<&'a Map<String, Value>>,
    /// The inbound call: an object with [`CALL_FIELDS`].
    pub call: Option<&'a Value>,
    /// `$request.webhook_status_code`: the HTTP status of the webhook called last.
    pub webhook_status_code: Option<u16>,
    /// The time and the randomness of `$sys.func.`.
    pub ambient: Ambient,
}

impl<'a> Scope<'a> {
    /// Session parameters and nothing else, at the beginning of time.
    pub fn of(session: &'a Parameters) -> Self {
        Self { session, event: None, context: None, call: None, webhook_status_code: None, ambient: Ambient::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn read(text: &str) -> Option<String> {
        Reference::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).map(|reference| reference.text)
    }

    #[track_caller]
    fn refusal(text: &str) -> String {
        match Reference::parse(text) {
            Err(error) => error.detail,
            Ok(reference) => panic!("{text} was taken: {reference:?}"),
        }
    }

    #[test]
    fn a_reference_ends_where_its_names_end() {
        for (text, expected) in [
            ("$session.params.fruit", "$session.params.fruit"),
            ("$session.params.fruit, please", "$session.params.fruit"),
            ("$session.params.fruit.", "$session.params.fruit"),
            ("$session.params.fruit...", "$session.params.fruit"),
            ("$session.params.a.b[0].c]", "$session.params.a.b[0].c"),
            ("$session.params.a-b_c/d", "$session.params.a-b_c"),
            ("$session.params.a&b=1", "$session.params.a"),
            ("$session.params.nomé", "$session.params.nom"),
            ("$event.data.x[0][1]", "$event.data.x[0][1]"),
            ("$event.trigger", "$event.trigger"),
            ("$intent.params.x.original", "$intent.params.x.original"),
            ("$intent.params.x.resolved.startTime", "$intent.params.x.resolved.startTime"),
            ("$page.params.status", "$page.params.status"),
            ("$request.user-utterance?", "$request.user-utterance"),
            ("$call.headers.x-y", "$call.headers.x-y"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_dollar_that_refers_to_nothing_is_text() {
        for text in [
            "$",
            "$$",
            "$5",
            "$5.00",
            "$ session.params.x",
            "$.path.to",
            "$a",
            "$a b.c",
            "$session",
            "$session.",
            "$session. Next",
            "${x.y}",
            "$5a.b",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn what_looks_like_a_reference_must_be_one() {
        assert!(refusal("$sesion.params.x").contains("did you mean `$session.`?"));
        assert!(refusal("$Session.params.x").contains("did you mean `$session.`?"));
        assert!(refusal("$jquery.ajax").contains("`$session.`, `$event.`"));
        assert!(refusal("$session.foo").contains("write `$session.params.NAME`"));
        assert!(refusal("$session.params").contains("write `$session.params.NAME`"));
        assert!(refusal("$intent.params.x").contains(".resolved"));
        assert!(refusal("$event.dta.x").contains("did you mean `$event.data`?"));
        assert!(refusal("$call.cookies").contains("`caller`"));
        assert!(refusal("$sys.func.NOW()").contains("`$sys.func.NAME(...)`"));
        assert!(refusal("$secret:key").contains("`auth`"));
        assert!(refusal("$session.params.a[b]").contains("an index is a number"));
        assert!(refusal("$session.params.a[0").contains("an index is a number"));
        assert!(refusal(&format!("$session.params.{}", "a".repeat(600))).contains("at most"));
    }
}
