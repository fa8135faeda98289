//! The body of a request: JSON, a form, or a text.

use std::borrow::Cow;

use ::url::form_urlencoded::Serializer;
use serde_json::{Map, Value};

use crate::model::{
    problem::Problem,
    reference::{
        Expansion, Reference, Scope,
        expansion::{escape, text_of},
    },
    template::{Template, body::BodyTemplate},
};

/// The media type of JSON.
pub(super) const JSON: &str = "application/json";
/// The media type of a form.
const FORM: &str = "application/x-www-form-urlencoded";
/// The media type of a text that says nothing else.
const TEXT: &str = "text/plain; charset=utf-8";

/// A body as written, parsed.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum RequestBody {
    Json(BodyTemplate),
    /// A text whose one reference or function is the whole document.
    JsonValue(Template),
    Form(BodyTemplate),
    Text(Template, Escape),
}

/// What is done to values inside a text, so that they stay values: our decision, as with a URL's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escape {
    /// Nothing.
    None,
    /// As in a URL.
    Form,
    /// The five characters XML reserves.
    Xml,
}

enum Media {
    Json,
    Form,
    Xml,
    Other,
}

fn media(content_type: &str) -> Media {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        FORM => Media::Form,
        JSON | "text/json" => Media::Json,
        "application/xml" | "text/xml" | "text/html" => Media::Xml,
        other if other.ends_with("+json") => Media::Json,
        other if other.ends_with("+xml") => Media::Xml,
        _ => Media::Other,
    }
}

impl RequestBody {
    /// Reads a body. Objects, lists, numbers and booleans are JSON, or a form when `content_type` says so. A text is sent as the text it
    /// is; one that is said to be JSON must be JSON (Dialogflow CX writes bodies so), and is treated like JSON written without quotes.
    pub(super) fn parse(body: &Value, content_type: Option<&str>, problems: &mut Vec<Problem>) -> Option<Self> {
        let media = content_type.map(media);
        let tree =
            |document: &Value| BodyTemplate::parse(document).map_err(|(pointer, error)| (format!("/body{pointer}"), error.to_string()));
        let parsed = match (body, media) {
            (Value::String(text), media) => match Template::parse(text) {
                Err(error) => Err(("/body".to_owned(), error.to_string())),
                Ok(template) => match media {
                    Some(Media::Json) if template.is_one_value() => Ok(Self::JsonValue(template)),
                    Some(Media::Json) => match serde_json::from_str::<Value>(text) {
                        Ok(document) => tree(&document).map(Self::Json).map_err(|(_, detail)| ("/body".to_owned(), detail)),
                        Err(error) => Err((
                            "/body".to_owned(),
                            format!(
                                "by its `content_type` this text is JSON, and it is not: {error}; references stand inside JSON's quotes"
                            ),
                        )),
                    },
                    Some(Media::Form) => Ok(Self::Text(template, Escape::Form)),
                    Some(Media::Xml) => Ok(Self::Text(template, Escape::Xml)),
                    Some(Media::Other) | None => Ok(Self::Text(template, Escape::None)),
                },
            },
            (Value::Object(_), Some(Media::Form)) => tree(body).map(Self::Form),
            (_, Some(Media::Form)) => Err(("/body".to_owned(), "a form is an object: one member for each field".to_owned())),
            (_, Some(Media::Json) | None) => tree(body).map(Self::Json),
            (_, Some(Media::Xml | Media::Other)) => Err((
                "/body".to_owned(),
                "objects, lists, numbers and booleans are sent as JSON or as a form; with another `content_type` the body is a string"
                    .to_owned(),
            )),
        };
        parsed.map_err(|(pointer, detail)| problems.push(Problem::new(pointer, detail))).ok()
    }

    /// The bytes to send.
    pub(super) fn expand(&self, scope: &Scope<'_>, expansion: &mut Expansion) -> Vec<u8> {
        match self {
            Self::Json(template) => template.expand(scope, expansion).to_string().into_bytes(),
            Self::JsonValue(template) => template.expand_value(scope, expansion).to_string().into_bytes(),
            Self::Form(template) => form(&template.expand(scope, expansion)).into_bytes(),
            Self::Text(template, escape) => template.expand_with(scope, expansion, |value| escape.apply(value)).into_bytes(),
        }
    }

    /// What it is when nothing is said.
    pub(super) fn default_content_type(&self) -> &'static str {
        match self {
            Self::Json(_) | Self::JsonValue(_) => JSON,
            Self::Form(_) => FORM,
            Self::Text(..) => TEXT,
        }
    }

    /// Adds its references to `found`.
    pub(super) fn references<'r>(&'r self, found: &mut Vec<&'r Reference>) {
        match self {
            Self::Json(template) | Self::Form(template) => template.references(found),
            Self::JsonValue(template) | Self::Text(template, _) => found.extend(template.references()),
        }
    }
}

impl Escape {
    fn apply(self, value: &str) -> Cow<'_, str> {
        match self {
            Self::None => Cow::Borrowed(value),
            Self::Form => escape(value),
            Self::Xml if !value.contains(['&', '<', '>', '"', '\'']) => Cow::Borrowed(value),
            Self::Xml => {
                let text = value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
                Cow::Owned(text.replace('"', "&quot;").replace('\'', "&apos;"))
            }
        }
    }
}

/// An object as a form: lists and objects as JSON text, `null` as an empty field.
fn form(document: &Value) -> String {
    let mut form = Serializer::new(String::new());
    for (name, value) in document.as_object().into_iter().flatten() {
        form.append_pair(name, if value.is_null() { "".into() } else { text_of(value) }.as_ref());
    }
    form.finish()
}

/// The body of an event's request when nobody wrote one: `{"type","timestamp","data"}`, as Standard Webhooks 1.0.0 recommends for payloads;
/// of a batch a list of them.
pub(super) fn envelope(event: &Value) -> Vec<u8> {
    let one = |event: &Value| -> Value {
        let fields = [("type", "trigger"), ("timestamp", "time"), ("data", "data")];
        fields
            .into_iter()
            .map(|(name, field)| (name.to_owned(), event.get(field).cloned().unwrap_or_default()))
            .collect::<Map<_, _>>()
            .into()
    };
    let body = match event.get("batch") {
        Some(Value::Array(events)) => events.iter().map(one).collect(),
        _ => one(event),
    };
    body.to_string().into_bytes()
}

/// `written` if it is a JSON type, for the envelope is JSON.
pub(super) fn json_or(written: Option<&str>) -> &str {
    written.filter(|written| matches!(media(written), Media::Json)).unwrap_or(JSON)
}

/// How bytes stand in the store: as text where they are text.
pub(super) mod stored {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Stored<T> {
        Text(T),
        Base64(String),
    }

    /// `{"text":"..."}`, or `{"base64":"..."}` for what is not UTF-8.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Stored::Text(text).serialize(serializer),
            Err(_) => Stored::<&str>::Base64(STANDARD.encode(bytes)).serialize(serializer),
        }
    }

    /// Either form.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        match Stored::<String>::deserialize(deserializer)? {
            Stored::Text(text) => Ok(text.into_bytes()),
            Stored::Base64(text) => STANDARD.decode(text).map_err(D::Error::custom),
        }
    }
}
