//! Text with references and functions, parsed when it is written.
//!
//! They are expanded only in text an admin wrote; what they stand for is put in as it is and never read again (decision: values-are-literal).

pub mod body;
pub mod url;

use std::{borrow::Cow, fmt};

use serde_json::Value;

use super::{
    function::Call,
    reference::{Expansion, Reference, Scope, expansion::text_of},
};

/// The longest template, in bytes.
pub const TEMPLATE_BYTES_MAX: usize = 256 * 1024;

/// Text with references and functions.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    parts: Vec<Part>,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Reference(Reference),
    Call(Call),
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
            at = dollar + 1;
            if let Some(part) = Part::parse(text, dollar)? {
                if text_start < dollar {
                    parts.push(Part::Text(text[text_start..dollar].to_owned()));
                }
                at = dollar + part.source().len();
                text_start = at;
                parts.push(part);
            }
        }
        if text_start < text.len() {
            parts.push(Part::Text(text[text_start..].to_owned()));
        }
        Ok(Self { parts })
    }

    /// Whether it holds neither a reference nor a function.
    pub fn is_literal(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Text(_)))
    }

    /// Its references, in order, those inside of functions too.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        let mut found = Vec::new();
        for part in &self.parts {
            match part {
                Part::Text(_) => {}
                Part::Reference(reference) => found.push(reference),
                Part::Call(call) => call.references(&mut found),
            }
        }
        found.into_iter()
    }

    /// As it was written.
    pub fn source(&self) -> String {
        self.parts.iter().map(Part::source).collect()
    }

    /// The text with each reference and function replaced. Texts come as they are, numbers and booleans as in JSON, lists and objects as compact
    /// JSON (Dialogflow CX, "Webhooks"); an unset reference leaves nothing and is recorded (our decision).
    pub fn expand_text(&self, scope: &Scope<'_>, expansion: &mut Expansion) -> String {
        self.expand_with(scope, expansion, |value| Cow::Borrowed(value))
    }

    /// The same, with each value put through `escape`. The template's own text is not.
    pub(super) fn expand_with(&self, scope: &Scope<'_>, expansion: &mut Expansion, escape: impl Fn(&str) -> Cow<'_, str>) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Reference(reference) => match scope.find(reference) {
                    Some(found) if !expansion.admit(&found.value) => {}
                    Some(found) => {
                        out.push_str(&escape(&text_of(&found.value)));
                        out.push_str(found.rest);
                    }
                    None => expansion.record(reference),
                },
                Part::Call(call) => match call.value(scope, expansion) {
                    // What a function finds unset leaves nothing, as the reference would.
                    Ok(Value::Null) => {}
                    Ok(value) => out.push_str(&escape(&text_of(&value))),
                    Err(failure) => expansion.fail(failure),
                },
            }
        }
        out
    }

    /// The value: what a reference or function stands for, when it is all there is (Dialogflow CX drops the quotes around a number, list or object;
    /// that booleans keep their type too, and that an unset one is `null`, is our decision); else the expanded text.
    pub fn expand_value(&self, scope: &Scope<'_>, expansion: &mut Expansion) -> Value {
        if let [Part::Call(call)] = self.parts.as_slice() {
            return call.value(scope, expansion).unwrap_or_else(|failure| {
                expansion.fail(failure);
                Value::Null
            });
        }
        if let [Part::Reference(reference)] = self.parts.as_slice() {
            match scope.find(reference) {
                None => {
                    expansion.record(reference);
                    return Value::Null;
                }
                Some(found) if found.rest.is_empty() => {
                    return if expansion.admit(&found.value) { found.value.into_owned() } else { Value::Null };
                }
                Some(_) => {}
            }
        }
        Value::String(self.expand_text(scope, expansion))
    }

    /// Whether it is one reference or function and nothing else.
    pub(super) fn is_one_value(&self) -> bool {
        matches!(self.parts.as_slice(), [Part::Reference(_) | Part::Call(_)])
    }

    /// Each piece with the byte it begins at in the source, and whether it is plain text.
    fn pieces(&self) -> impl Iterator<Item = (usize, &str, bool)> {
        let mut at = 0;
        self.parts.iter().map(move |part| {
            let start = at;
            at += part.source().len();
            (start, part.source(), matches!(part, Part::Text(_)))
        })
    }
}

impl Part {
    /// The reference or function whose `$` stands at byte `at`, if it is one.
    fn parse(text: &str, at: usize) -> Result<Option<Self>, TemplateError> {
        let position = |byte: usize| text.get(..byte).map_or(0, |before| before.chars().count());
        let rest = &text[at..];
        if rest.starts_with("$sys.") && rest[5..].starts_with(|c: char| c.is_ascii_alphanumeric()) {
            let call = Call::parse(rest).map_err(|error| TemplateError { position: position(at + error.at), detail: error.detail })?;
            return Ok(Some(Self::Call(call)));
        }
        let reference = Reference::parse(rest).map_err(|error| TemplateError { position: position(at), detail: error.detail })?;
        Ok(reference.map(Self::Reference))
    }

    fn source(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Reference(reference) => reference.as_str(),
            Self::Call(call) => call.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::model::{function::Ambient, parameter::Parameters};

    fn session() -> Parameters {
        serde_json::from_value(json!({
            "fruit": "apple", "size": 3, "ready": true, "list": [1, "b"], "order": {"id": 7}, "empty": "", "trick": "$session.params.fruit"
        }))
        .unwrap()
    }

    #[track_caller]
    fn text(template: &str, expected: &str) {
        let session = session();
        let scope = Scope::of(&session);
        assert_eq!(Template::parse(template).unwrap().expand_text(&scope, &mut Expansion::default()), expected);
    }

    #[track_caller]
    fn value(template: &str, expected: Value) {
        let session = session();
        let scope = Scope::of(&session);
        assert_eq!(Template::parse(template).unwrap().expand_value(&scope, &mut Expansion::default()), expected);
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
        let session = session();
        let scope = Scope::of(&session);
        let mut expansion = Expansion::default();
        Template::parse("$session.params.x $event.data.y $session.params.x").unwrap().expand_text(&scope, &mut expansion);
        assert_eq!(expansion.names(), ["$session.params.x", "$event.data.y"]);
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
        let scope = Scope::of(&session);
        let mut expansion = Expansion::default();
        let text = Template::parse(&"$session.params.x ".repeat(1_000)).unwrap().expand_text(&scope, &mut expansion);
        assert!(expansion.overflowed() && text.len() < 5_000_000, "{}", text.len());
        assert!(!{
            let mut expansion = Expansion::default();
            Template::parse("$session.params.x").unwrap().expand_text(&scope, &mut expansion);
            expansion.overflowed()
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

    /// Pieces of references, functions, URLs and paths, and any character, in any order.
    fn nearly() -> impl Strategy<Value = String> {
        let pieces = "$ session . params a - [ 0 ] é event data intent .resolved call query / ? https:// .. %2e @ ' 99999999999999999999 $sys.func. \
            CONCATENATE( IF(\"$session.params.a= \" , )";
        let pieces: Vec<_> = pieces.split_whitespace().map(str::to_owned).collect();
        let piece = prop_oneof![8 => prop::sample::select(pieces), 1 => any::<char>().prop_map(String::from)];
        prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        /// `tests/run fuzz` does this for minutes.
        #[test]
        fn no_text_makes_the_parsers_panic(texts in prop::collection::vec(nearly(), 32)) {
            let session = session();
            let document = json!({"data": {"a": [0, {"-": 1}]}, "query": [["a", "1"]], "parameters": null});
            let context = json!({"intent": {"parameters": {"a": {}}}, "page": {}, "request": 3});
            let scope = Scope {
                session: &session,
                event: Some(&document),
                context: context.as_object(),
                call: Some(&document),
                webhook_status_code: Some(1),
                ambient: Ambient::default(),
            };
            for text in texts {
                if let Ok(template) = Template::parse(&text) {
                    prop_assert_eq!(template.source(), text.clone());
                    template.expand_value(&scope, &mut Expansion::default());
                }
                if let Ok(url) = url::UrlTemplate::parse(&format!("https://h/{text}")) {
                    let _ = url.expand(&scope, &mut Expansion::default());
                }
                for path in [text.clone(), format!("${text}")] {
                    if let Ok(path) = crate::model::filter::json_path::JsonPath::parse(&path) {
                        let _ = path.find(&document);
                    }
                }
                let _ = crate::model::selector::Selector::parse(&text).map(|selector| selector.hint());
                let _ = crate::model::request::redact_url(&text);
            }
        }
    }
}
