//! Text with references, parsed when it is written.
//!
//! References are expanded only in text an admin wrote; what they stand for is put in as it is and never read again (decision 12).

pub mod body;
pub mod url;

use std::{borrow::Cow, fmt};

use serde_json::Value;

use super::reference::{Reference, Scope, Unset};

/// The longest template, in bytes.
pub const TEMPLATE_BYTES_MAX: usize = 256 * 1024;

/// Text with references.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Reference(Reference),
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// Where, counted in characters from 0.
    pub position: usize,
    /// What is wrong, and what would be right.
    pub detail: String,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at character {})", self.detail, self.position)
    }
}

impl std::error::Error for TemplateError {}

impl Template {
    /// Reads a template.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.len() > TEMPLATE_BYTES_MAX {
            return Err(TemplateError { position: 0, detail: format!("a template has at most {TEMPLATE_BYTES_MAX} bytes") });
        }
        let mut parts = Vec::new();
        let (mut text_start, mut at) = (0, 0);
        while let Some(dollar) = text[at..].find('$').map(|found| at + found) {
            let parsed = Reference::parse(&text[dollar..])
                .map_err(|error| TemplateError { position: text[..dollar].chars().count(), detail: error.detail })?;
            at = dollar + 1;
            if let Some(reference) = parsed {
                if text_start < dollar {
                    parts.push(Part::Text(text[text_start..dollar].to_owned()));
                }
                at = dollar + reference.as_str().len();
                text_start = at;
                parts.push(Part::Reference(reference));
            }
        }
        if text_start < text.len() {
            parts.push(Part::Text(text[text_start..].to_owned()));
        }
        Ok(Self { parts })
    }

    /// Whether it holds no reference.
    pub fn is_literal(&self) -> bool {
        self.references().next().is_none()
    }

    /// Its references, in order.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.parts.iter().filter_map(|part| match part {
            Part::Reference(reference) => Some(reference),
            Part::Text(_) => None,
        })
    }

    /// As it was written.
    pub fn source(&self) -> String {
        self.parts.iter().map(Part::source).collect()
    }

    /// The text with each reference replaced. Texts come as they are, numbers and booleans as in JSON, lists and objects as compact
    /// JSON (Dialogflow CX, "Webhooks"); an unset reference leaves nothing and is recorded (our decision).
    pub fn expand_text(&self, scope: &Scope<'_>, unset: &mut Unset) -> String {
        self.expand_with(scope, unset, |value| Cow::Borrowed(value))
    }

    /// The same, with each value put through `escape`. The template's own text is not.
    pub(super) fn expand_with(&self, scope: &Scope<'_>, unset: &mut Unset, escape: impl Fn(&str) -> Cow<'_, str>) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Reference(reference) => match scope.find(reference) {
                    Some(found) if !unset.admit(&found.value) => {}
                    Some(found) => {
                        out.push_str(&escape(&text_of(&found.value)));
                        out.push_str(found.rest);
                    }
                    None => unset.record(reference),
                },
            }
        }
        out
    }

    /// The value: what a reference stands for, when it is all there is (Dialogflow CX drops the quotes around a number, list or object;
    /// that booleans keep their type too, and that an unset one is `null`, is our decision); else the expanded text.
    pub fn expand_value(&self, scope: &Scope<'_>, unset: &mut Unset) -> Value {
        if let [Part::Reference(reference)] = self.parts.as_slice() {
            match scope.find(reference) {
                None => {
                    unset.record(reference);
                    return Value::Null;
                }
                Some(found) if found.rest.is_empty() => {
                    return if unset.admit(&found.value) { found.value.into_owned() } else { Value::Null };
                }
                Some(_) => {}
            }
        }
        Value::String(self.expand_text(scope, unset))
    }

    /// Whether it is one reference and nothing else.
    pub(super) fn is_one_reference(&self) -> bool {
        matches!(self.parts.as_slice(), [Part::Reference(_)])
    }

    /// Each reference with the byte it begins at in the source.
    fn reference_offsets(&self) -> impl Iterator<Item = (usize, &Reference)> {
        let mut at = 0;
        self.parts.iter().filter_map(move |part| {
            let start = at;
            at += part.source().len();
            match part {
                Part::Reference(reference) => Some((start, reference)),
                Part::Text(_) => None,
            }
        })
    }
}

impl Part {
    fn source(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Reference(reference) => reference.as_str(),
        }
    }
}

/// A value inside text.
pub(super) fn text_of(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::parameter::Parameters;

    fn session() -> Parameters {
        serde_json::from_value(json!({
            "fruit": "apple", "size": 3, "ready": true, "list": [1, "b"], "order": {"id": 7}, "empty": "", "trick": "$session.params.fruit"
        }))
        .unwrap()
    }

    #[track_caller]
    fn text(template: &str, expected: &str) {
        let session = session();
        let scope = Scope { session: &session, event: None, context: None, call: None, webhook_status_code: None };
        assert_eq!(Template::parse(template).unwrap().expand_text(&scope, &mut Unset::default()), expected);
    }

    #[track_caller]
    fn value(template: &str, expected: Value) {
        let session = session();
        let scope = Scope { session: &session, event: None, context: None, call: None, webhook_status_code: None };
        assert_eq!(Template::parse(template).unwrap().expand_value(&scope, &mut Unset::default()), expected);
    }

    #[test]
    fn values_are_put_into_text() {
        text("Size: $session.params.size.", "Size: 3.");
        text("$session.params.fruit-$session.params.size", "apple-3");
        text("$session.params.list and $session.params.order", r#"[1,"b"] and {"id":7}"#);
        text("$$session.params.size or $5", "$3 or $5");
        text("$session.params.fruit.json", "apple.json");
        text("a$session.params.nope b$session.params.empty", "a b");
        text("été $session.params.fruit", "été apple");
    }

    #[test]
    fn a_value_alone_keeps_its_type() {
        value("$session.params.size", json!(3));
        value("$session.params.ready", json!(true));
        value("$session.params.list", json!([1, "b"]));
        value("$session.params.order.id", json!(7));
        value("$session.params.fruit", json!("apple"));
        value("$session.params.nope", Value::Null);
        value("This is a number: $session.params.size", json!("This is a number: 3"));
        value("$session.params.size ", json!("3 "));
        value("plain", json!("plain"));
        value("", json!(""));
    }

    #[test]
    fn what_is_substituted_is_not_read_again() {
        text("$session.params.trick", "$session.params.fruit");
        value("$session.params.trick", json!("$session.params.fruit"));
    }

    #[test]
    fn unset_references_are_recorded_once() {
        let scope = Scope { session: &session(), event: None, context: None, call: None, webhook_status_code: None };
        let mut unset = Unset::default();
        Template::parse("$session.params.x $event.data.y $session.params.x").unwrap().expand_text(&scope, &mut unset);
        assert_eq!(unset.names(), ["$session.params.x", "$event.data.y"]);
    }

    #[test]
    fn a_slip_is_refused_with_its_place() {
        let error = Template::parse("été: $sesion.params.x").unwrap_err();
        assert_eq!(error.position, 5);
        assert!(error.to_string().contains("did you mean `$session.`?") && error.to_string().ends_with("(at character 5)"));
        assert!(Template::parse(&"a".repeat(TEMPLATE_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn a_large_value_named_often_does_not_fill_the_memory() {
        let session: Parameters = serde_json::from_value(json!({"x": "y".repeat(100_000)})).unwrap();
        let scope = Scope { session: &session, event: None, context: None, call: None, webhook_status_code: None };
        let mut unset = Unset::default();
        let text = Template::parse(&"$session.params.x ".repeat(1_000)).unwrap().expand_text(&scope, &mut unset);
        assert!(unset.overflowed() && text.len() < 5_000_000, "{}", text.len());
        assert!(!{
            let mut unset = Unset::default();
            Template::parse("$session.params.x").unwrap().expand_text(&scope, &mut unset);
            unset.overflowed()
        });
    }

    #[test]
    fn the_source_comes_back_as_it_was() {
        for source in ["", "a", "$session.params.a", "x $session.params.a. $5 $event.id$call.caller é"] {
            let template = Template::parse(source).unwrap();
            assert_eq!(template.source(), source);
            assert_eq!(template.is_literal(), !source.contains("params"));
        }
    }

    #[test]
    fn no_text_makes_the_parsers_panic() {
        const PIECES: [&str; 24] = [
            "$",
            "session",
            ".",
            "params",
            "a",
            "-",
            "[",
            "0",
            "]",
            "é",
            "event",
            "data",
            "intent",
            ".resolved",
            "call",
            "query",
            "/",
            "?",
            "https://",
            "..",
            "%2e",
            "@",
            "'",
            "99999999999999999999",
        ];
        let session = session();
        let document = json!({"data": {"a": [0, {"-": 1}]}, "query": [["a", "1"]], "parameters": null});
        let context = json!({"intent": {"parameters": {"a": {}}}, "page": {}, "request": 3});
        let scope = Scope {
            session: &session,
            event: Some(&document),
            context: context.as_object(),
            call: Some(&document),
            webhook_status_code: Some(1),
        };
        let mut dice = 1u64;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..12 {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.push_str(PIECES[(dice >> 33) as usize % PIECES.len()]);
            }
            if let Ok(template) = Template::parse(&text) {
                assert_eq!(template.source(), text);
                template.expand_value(&scope, &mut Unset::default());
            }
            if let Ok(url) = url::UrlTemplate::parse(&format!("https://h/{text}")) {
                let _ = url.expand(&scope, &mut Unset::default());
            }
            for path in [&text, &format!("${text}")] {
                if let Ok(path) = crate::model::filter::json_path::JsonPath::parse(path) {
                    path.find(&document);
                }
            }
            let _ = crate::model::selector::Selector::parse(&text).map(|selector| selector.hint());
            let _ = crate::model::request::redact_url(&text);
        }
    }
}
