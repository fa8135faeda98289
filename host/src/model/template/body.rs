//! A JSON document with references in its strings.

use serde_json::Value;

use super::{Template, TemplateError};
use crate::model::{
    problem::segment,
    reference::{Expansion, Reference, Scope},
};

/// Lists and objects inside each other. `serde_json` reads no deeper text either.
pub const BODY_DEPTH_MAX: usize = 128;

/// A JSON document whose strings are templates; keys are literal. A string that is one reference becomes that value, of its type.
/// A document that is a plain string at the top is a text: it stays one whatever its references stand for.
#[derive(Clone, Debug, PartialEq)]
pub struct BodyTemplate(Node);

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Literal(Value),
    Text(Template),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl BodyTemplate {
    /// Reads a document. The error comes with the JSON Pointer of the string at fault.
    pub fn parse(document: &Value) -> Result<Self, (String, TemplateError)> {
        Node::parse(document, &mut String::new(), 0).map(Self)
    }

    /// Adds its references to `found`, in order.
    pub fn references<'r>(&'r self, found: &mut Vec<&'r Reference>) {
        self.0.references(found);
    }

    /// The document with each reference replaced.
    pub fn expand(&self, scope: &Scope<'_>, expansion: &mut Expansion) -> Value {
        match &self.0 {
            Node::Text(template) => Value::String(template.expand_text(scope, expansion)),
            node => node.expand(scope, expansion),
        }
    }
}

impl Node {
    fn parse(value: &Value, pointer: &mut String, depth: usize) -> Result<Self, (String, TemplateError)> {
        if depth > BODY_DEPTH_MAX {
            let detail = format!("lists and objects stand at most {BODY_DEPTH_MAX} deep");
            return Err((pointer.clone(), TemplateError { position: 0, detail }));
        }
        let here = pointer.len();
        match value {
            Value::String(text) => {
                let template = Template::parse(text).map_err(|error| (pointer.clone(), error))?;
                Ok(if template.is_literal() { Self::Literal(value.clone()) } else { Self::Text(template) })
            }
            Value::Array(items) => {
                let mut nodes = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    pointer.push_str(&format!("/{index}"));
                    nodes.push(Self::parse(item, pointer, depth + 1)?);
                    pointer.truncate(here);
                }
                Ok(if nodes.iter().all(Self::is_literal) { Self::Literal(value.clone()) } else { Self::List(nodes) })
            }
            Value::Object(members) => {
                let mut nodes = Vec::with_capacity(members.len());
                for (key, item) in members {
                    pointer.push_str(&segment(key));
                    nodes.push((key.clone(), Self::parse(item, pointer, depth + 1)?));
                    pointer.truncate(here);
                }
                Ok(if nodes.iter().all(|(_, node)| node.is_literal()) { Self::Literal(value.clone()) } else { Self::Object(nodes) })
            }
            other => Ok(Self::Literal(other.clone())),
        }
    }

    fn is_literal(&self) -> bool {
        matches!(self, Self::Literal(_))
    }

    fn references<'r>(&'r self, found: &mut Vec<&'r Reference>) {
        match self {
            Self::Literal(_) => {}
            Self::Text(template) => found.extend(template.references()),
            Self::List(nodes) => nodes.iter().for_each(|node| node.references(found)),
            Self::Object(nodes) => nodes.iter().for_each(|(_, node)| node.references(found)),
        }
    }

    fn expand(&self, scope: &Scope<'_>, expansion: &mut Expansion) -> Value {
        match self {
            Self::Literal(value) => value.clone(),
            Self::Text(template) => template.expand_value(scope, expansion),
            Self::List(nodes) => nodes.iter().map(|node| node.expand(scope, expansion)).collect(),
            Self::Object(nodes) => nodes.iter().map(|(key, node)| (key.clone(), node.expand(scope, expansion))).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::parameter::Parameters;

    fn expand(document: Value) -> (Value, Vec<String>) {
        let session: Parameters = serde_json::from_value(json!({"fruit": "ap\"ple", "size": 3, "list": [1, {"a": null}]})).unwrap();
        let scope = Scope::of(&session);
        let mut expansion = Expansion::default();
        (BodyTemplate::parse(&document).unwrap().expand(&scope, &mut expansion), expansion.into_names())
    }

    #[test]
    fn strings_are_templates_and_keep_the_type_of_a_lone_reference() {
        // The body of Dialogflow CX, "Webhooks", flexible webhook request.
        let (body, unset) = expand(json!({"fruitParameter": "$session.params.fruit", "sizeParameter": "$session.params.size",
            "all": ["$session.params.list", "n=$session.params.size", 4, null, true], "$session.params.size": "key"}));
        assert_eq!(
            body.to_string(),
            r#"{"fruitParameter":"ap\"ple","sizeParameter":3,"all":[[1,{"a":null}],"n=3",4,null,true],"$session.params.size":"key"}"#
        );
        assert!(unset.is_empty());
    }

    #[test]
    fn an_unset_reference_is_null_alone_and_nothing_in_text() {
        let (body, unset) = expand(json!({"a": "$session.params.x", "b": "[$session.params.x]"}));
        assert_eq!(body, json!({"a": null, "b": "[]"}));
        assert_eq!(unset, ["$session.params.x"]);
    }

    #[test]
    fn a_string_at_the_top_is_a_text() {
        assert_eq!(expand(json!("$session.params.size")).0, json!("3"));
        assert_eq!(expand(json!("{\"a\": $session.params.list}")).0, json!("{\"a\": [1,{\"a\":null}]}"));
    }

    #[test]
    fn errors_come_with_the_pointer() {
        let (pointer, error) = BodyTemplate::parse(&json!({"a/b": [1, {"c": "x $sesion.params.y"}]})).unwrap_err();
        assert_eq!((pointer.as_str(), error.position), ("/a~1b/1/c", 2));
        let mut deep = json!(1);
        for _ in 0..200 {
            deep = json!([deep]);
        }
        assert!(BodyTemplate::parse(&deep).is_err());
        assert!(matches!(BodyTemplate::parse(&json!({"a": [1, "b"]})).unwrap().0, Node::Literal(_)));
    }
}
