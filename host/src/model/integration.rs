//! Webhooks to begin with, one file for each service: integration -> API -> what must be filled in.
//!
//! What is filled in stands in the document as `{{name}}`. Nothing here knows a vendor; the files do.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::problem::nearest;

/// A service, and what of it there is a webhook for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Integration {
    /// Its name in addresses.
    #[schema(example = "oauth-json")]
    pub name: String,
    /// Its name for people.
    pub title: String,
    /// What it is for.
    pub description: String,
    /// What can be called.
    pub apis: Vec<Api>,
}

/// One thing that can be called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Api {
    /// Its name.
    pub name: String,
    /// What it does.
    pub title: String,
    /// What must be filled in, everywhere `{{name}}` stands.
    pub fields: Vec<Field>,
    /// The webhook, to be filled in.
    #[schema(value_type = Object)]
    pub webhook: Value,
}

/// Something to fill in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What it is.
    pub hint: String,
    /// What it looks like.
    pub example: String,
    /// Whether it belongs to the credentials.
    #[serde(default)]
    pub oauth: bool,
}

const FILES: &[&str] = &[
    include_str!("../../templates/oauth-json.json"),
    include_str!("../../templates/salesforce.json"),
    include_str!("../../templates/slack.json"),
];

static BUILT_IN: LazyLock<Vec<Integration>> = LazyLock::new(|| {
    // The files are part of the binary and a test reads each: one that does not parse cannot be released.
    FILES.iter().filter_map(|text| serde_json::from_str(text).ok()).collect()
});

/// Those in the binary, by name.
pub fn built_in() -> &'static [Integration] {
    &BUILT_IN
}

impl Api {
    /// The webhook with everything filled in. What is missing or unknown is said by its name.
    pub fn fill(&self, values: &BTreeMap<String, String>) -> Result<Value, String> {
        let names = || self.fields.iter().map(|field| field.name.as_str());
        if let Some(unknown) = values.keys().find(|name| !names().any(|known| known == *name)) {
            return Err(match nearest(unknown, names()) {
                Some(near) => format!("there is no field `{unknown}`; did you mean `{near}`?"),
                None => format!("there is no field `{unknown}`; there are: {}", names().collect::<Vec<_>>().join(", ")),
            });
        }
        if let Some(missing) = self.fields.iter().find(|field| !values.contains_key(&field.name)) {
            return Err(format!("`{}` is missing: {}, such as `{}`", missing.name, missing.hint, missing.example));
        }
        let mut webhook = self.webhook.clone();
        fill(&mut webhook, values);
        Ok(webhook)
    }
}

fn fill(value: &mut Value, values: &BTreeMap<String, String>) {
    match value {
        Value::String(text) => *text = filled(text, values),
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, values)),
        Value::Object(members) => {
            let before = std::mem::take(members);
            for (key, mut member) in before {
                fill(&mut member, values);
                members.insert(filled(&key, values), member);
            }
        }
        _ => {}
    }
}

/// One pass: a value that holds `{{...}}` itself stays as it is.
fn filled(text: &str, values: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("{{") {
        out.push_str(before);
        match behind.split_once("}}").and_then(|(name, behind)| Some((values.get(name)?, behind))) {
            Some((value, behind)) => {
                out.push_str(value);
                rest = behind;
            }
            None => {
                out.push_str("{{");
                rest = behind;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{id::WebhookId, profile, webhook::Webhook};

    #[test]
    fn every_file_makes_webhooks_that_compile_once_filled_in() {
        for text in FILES {
            let integration: Integration = serde_json::from_str(text).expect(text);
            for api in &integration.apis {
                let examples: BTreeMap<_, _> = api.fields.iter().map(|field| (field.name.clone(), field.example.clone())).collect();
                let webhook = api.fill(&examples).unwrap();
                assert!(!webhook.to_string().contains("{{"), "{} {}: {webhook}", integration.name, api.name);
                for field in &api.fields {
                    assert!(api.webhook.to_string().contains(&format!("{{{{{}}}}}", field.name)), "{} is used nowhere", field.name);
                }
                let spec = crate::model::problem::read(webhook).unwrap();
                Webhook::compile(&spec, &WebhookId::new(1, [0; 10]), profile::built_in())
                    .unwrap_or_else(|problems| panic!("{} {}: {problems:?}", integration.name, api.name));
            }
        }
        assert_eq!(built_in().len(), FILES.len());
    }

    #[test]
    fn what_is_missing_or_misspelt_is_said() {
        let api = &built_in()[0].apis[0];
        assert!(api.fill(&BTreeMap::new()).unwrap_err().contains("`url` is missing"));
        let misspelt = BTreeMap::from([("ulr".to_owned(), String::new())]);
        assert!(api.fill(&misspelt).unwrap_err().contains("did you mean `url`?"));
        let values = BTreeMap::from([("a".to_owned(), "{{b}}".to_owned()), ("b".to_owned(), "x".to_owned())]);
        assert_eq!(filled("{{a}}-{{b}}-{{c}}-{{", &values), "{{b}}-x-{{c}}-{{");
    }
}
