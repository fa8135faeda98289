//! Who changed what, when: an entry for every change of an admin, with the document before and after it.
//!
//! Entries hold no secret: what is one is left out when the entry is made, not when it is shown.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{
    difference::{Lists, walk},
    request::{headers::CREDENTIAL_HEADERS, redact::redact_template_url},
    token,
};

/// Bytes of a document in an entry, as JSON; of a longer one only its length is kept.
pub const DOCUMENT_BYTES_MAX: usize = 16 * 1024;
/// Places named of a document that changed.
pub const CHANGES_MAX: usize = 50;
/// What stands where a credential was.
const REDACTED: &str = "(redacted)";
/// A header many services take a token of their own in.
const TOKEN_HEADER: &str = "x-auth-token";

/// On whose behalf something is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Origin {
    /// `token NAME`, `plugins directory`, or `hookwright` when nobody asked.
    #[schema(example = "token admin")]
    pub who: String,
    /// The identifier of the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "tok_3f2a9c01d5e6b7a8c9d0")]
    pub token: Option<String>,
    /// Method and path of the request, without its query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "PUT /v1/webhooks/chat")]
    pub request: Option<String>,
    /// The request's identifier: that of `x-request-id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl Origin {
    /// Somebody without a request.
    pub fn named(who: impl Into<String>) -> Self {
        Self { who: who.into(), token: None, request: None, request_id: None }
    }

    /// The host itself.
    pub fn host() -> Self {
        Self::named("hookwright")
    }

    /// Whether nobody asked.
    pub fn is_host(&self) -> bool {
        self.who == "hookwright"
    }

    /// Whether `who` names it: by the token's name, its identifier, or as shown.
    pub fn is(&self, who: &str) -> bool {
        self.who == who || self.who.strip_prefix("token ") == Some(who) || self.token.as_deref() == Some(who)
    }
}

/// What was done to what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = AuditedDeed)]
pub struct Deed {
    /// `created`, `changed`, `deleted`, `shown` (of codes and of URLs in clear), or the last word of the request: `resend`, `resume`...
    #[schema(example = "changed")]
    pub action: String,
    /// The kind: `webhook`, `receiver`, `code`, `secret`, `token`, `plugin`, ...
    #[schema(example = "webhook")]
    pub kind: String,
    /// Which one.
    #[schema(example = "chat")]
    pub name: String,
    /// Places of the document that changed, as JSON pointers; those of secrets too. At most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
    /// The document before, without secrets; absent: there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub before: Option<Value>,
    /// The document after, without secrets; absent: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub after: Option<Value>,
}

impl Deed {
    /// Something that is no change of a document.
    pub fn plain(action: impl Into<String>, kind: impl Into<String>, name: impl Into<String>) -> Self {
        Self { action: action.into(), kind: kind.into(), name: name.into(), changes: Vec::new(), before: None, after: None }
    }

    /// What a change of the document `id` of `kind` is; `None`: nobody's concern.
    pub fn of_document(kind: &str, id: &str, before: Option<&Value>, after: Option<&Value>) -> Option<Self> {
        // What was taken from the plugins directory is the host's own bookkeeping: the plugin's entry says it.
        if kind == "inbox" {
            return None;
        }
        let action = match (before, after) {
            (None, Some(_)) => "created",
            (Some(_), Some(_)) => "changed",
            (Some(_), None) => "deleted",
            (None, None) => return None,
        };
        let name = name(kind, id, after.or(before)?);
        let mut changes = Vec::new();
        if let (Some(before), Some(after)) = (before, after) {
            walk("", &kept(kind, before), &kept(kind, after), Lists::Whole, &mut |at, _, _| {
                if changes.len() < CHANGES_MAX {
                    changes.push(at.to_owned());
                }
            });
        }
        let shown = |document: &Value| bounded(shown(kind, document));
        Some(Self { action: action.to_owned(), kind: kind.to_owned(), name, changes, before: before.map(shown), after: after.map(shown) })
    }

    /// The same with the place of a secret among what changed.
    pub fn of_secret(name: &str, before: &[u32], after: &[u32]) -> Self {
        let shown = |versions: &[u32]| (!versions.is_empty()).then(|| json!({ "versions": versions }));
        let action = match (before.is_empty(), after.is_empty()) {
            (true, _) => "created",
            (false, false) => "changed",
            (false, true) => "deleted",
        };
        let changes = if before.is_empty() || after.is_empty() { Vec::new() } else { vec!["/value".to_owned()] };
        Self {
            action: action.to_owned(),
            kind: "secret".to_owned(),
            name: name.to_owned(),
            changes,
            before: shown(before),
            after: shown(after),
        }
    }
}

/// An entry as kept and as shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// Counts entries in the order they were committed.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    #[serde(flatten)]
    pub origin: Origin,
    /// What.
    #[serde(flatten)]
    pub deed: Deed,
}

/// Which entries. Everything given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Of this one: a token's name or identifier, or as shown.
    pub who: Option<String>,
    /// Of things of this kind.
    pub kind: Option<String>,
    /// Of things of this name.
    pub name: Option<String>,
    /// Made at or after this time.
    pub since: Option<Timestamp>,
}

impl AuditFilter {
    /// Whether an entry is among them, its time aside.
    pub fn matches(&self, entry: &AuditEntry) -> bool {
        self.who.as_ref().is_none_or(|who| entry.origin.is(who))
            && self.kind.as_ref().is_none_or(|kind| entry.deed.kind == *kind)
            && self.name.as_ref().is_none_or(|name| entry.deed.name == *name)
    }
}

/// What people call a document: its own name before what it is kept under.
fn name(kind: &str, id: &str, document: &Value) -> String {
    let named = match kind {
        "code" => document["id"].as_str(),
        _ => document.pointer("/spec/name").or_else(|| document.get("name")).and_then(Value::as_str),
    };
    named.unwrap_or(id).to_owned()
}

/// A document without what changes with every write, and without its own history.
fn kept(kind: &str, document: &Value) -> Value {
    let mut kept = document.clone();
    let gone: &[&str] = match kind {
        "plugin" => &["history", "untold", "before", "watched_since"],
        _ => &["updated_at"],
    };
    if let Some(fields) = kept.as_object_mut() {
        fields.retain(|name, _| !gone.contains(&name.as_str()));
    }
    kept
}

/// A document without secrets.
fn shown(kind: &str, document: &Value) -> Value {
    let mut shown = kept(kind, document);
    if let Some(fields) = shown.as_object_mut() {
        match kind {
            "token" => {
                if let Some(Value::String(hash)) = fields.remove("hash") {
                    fields.insert("id".to_owned(), token::id(&hash).into());
                }
                if let Some(Value::String(hash)) = fields.get_mut("replaced_by") {
                    *hash = token::id(hash);
                }
            }
            // Every version there was would make every entry long.
            "plugin" => {
                if let Some(Value::Array(versions)) = fields.get_mut("versions") {
                    versions.drain(..versions.len().saturating_sub(1));
                }
            }
            "code" => fields.retain(|name, _| name != "hash" && name != "sealed"),
            _ => {}
        }
    }
    redact(&mut shown);
    shown
}

/// Takes credentials out of URLs and headers, wherever they stand.
fn redact(value: &mut Value) {
    match value {
        Value::String(text) if text.contains("://") => *text = redact_template_url(text),
        Value::Array(items) => items.iter_mut().for_each(redact),
        Value::Object(fields) => {
            for (name, field) in fields {
                // Unless they are references.
                let is_header = CREDENTIAL_HEADERS.iter().chain([&TOKEN_HEADER]).any(|header| header.eq_ignore_ascii_case(name));
                match field {
                    Value::String(text) if is_header && !text.starts_with('$') => *text = REDACTED.to_owned(),
                    field => redact(field),
                }
            }
        }
        _ => {}
    }
}

/// A document, or how long it is.
fn bounded(document: Value) -> Value {
    let bytes = document.to_string().len();
    if bytes <= DOCUMENT_BYTES_MAX { document } else { json!({ "omitted_bytes": bytes }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_shows_documents_without_secrets_and_says_where_they_differ() {
        let webhook = |url: &str, at: &str| {
            json!({ "id": "whk_1", "updated_at": at, "spec": { "name": "chat",
                "request": { "url": url, "headers": { "Authorization": "Bearer canary", "x-api-key": "$secret:key" } } } })
        };
        let (before, after) = (webhook("https://u:canary@h/?sig=canary1&f=$session.params.f", "1"), webhook("https://h/?sig=canary2", "2"));
        let deed = Deed::of_document("webhook", "whk_1", Some(&before), Some(&after)).expect("a change");
        assert_eq!((deed.action.as_str(), deed.name.as_str(), &deed.changes), ("changed", "chat", &vec!["/spec/request/url".to_owned()]));
        let text = serde_json::to_string(&deed).expect("JSON");
        assert!(!text.contains("canary"), "{text}");
        assert!(text.contains("sig=redacted&f=$session.params.f") && text.contains("$secret:key"), "{text}");
    }

    #[test]
    fn tokens_and_codes_are_named_without_what_they_are_found_by() {
        let token = json!({ "hash": "ab".repeat(32), "name": "crm", "scopes": ["read"] });
        let deed = Deed::of_document("token", &"ab".repeat(32), None, Some(&token)).expect("a change");
        assert_eq!((deed.name.as_str(), &deed.after.as_ref().expect("it")["id"]), ("crm", &json!("tok_abababababababababab")));
        let code = json!({ "id": "cod_1", "receiver": "r", "hash": "h", "sealed": "x1.s" });
        let deed = Deed::of_document("code", "cod_1", Some(&code), None).expect("a change");
        assert_eq!((deed.action.as_str(), deed.before), ("deleted", Some(json!({ "id": "cod_1", "receiver": "r" }))));
    }

    #[test]
    fn a_long_document_is_left_out() {
        let long = json!({ "spec": { "name": "x", "body": "y".repeat(DOCUMENT_BYTES_MAX) } });
        let deed = Deed::of_document("webhook", "x", None, Some(&long)).expect("a change");
        assert!(deed.after.expect("it")["omitted_bytes"].as_u64() > Some(DOCUMENT_BYTES_MAX as u64));
    }
}
