//! The documents of a host as files: a folder for each kind, a file for each document, and the files of plugins next to their documents.
//!
//! Two documents are compared in one form: as the host reads them, without the fields that only the host writes.

mod source;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http::Method;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

pub use self::source::Document;
use super::{
    at::segment,
    client::Api,
    documents::{self, Format},
};
use crate::model::{
    difference::{Lists, walk},
    plugin::{Digest, Grants, PluginKind, limits::PluginLimitsSpec, rollback::RollbackRule},
    problem::{nearest, read},
    profile::{self, Deactivation},
    receiver::{ActionSpec, ReceiverSpec},
    retry::Retry,
    secret::INLINE_PREFIX,
    service::ServiceSpec,
    webhook::WebhookSpec,
};

/// Kinds of documents, in the order in which they are written: a document may only refer to documents of earlier kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A secret: only where its value comes from.
    Secret,
    /// A service that webhooks may be about.
    Service,
    /// The site-wide values of a profile.
    Profile,
    /// A plugin: its file, configuration, grants, limits.
    Plugin,
    Action,
    Receiver,
    Webhook,
}

impl Kind {
    pub const ALL: [Self; 7] = [Self::Secret, Self::Service, Self::Profile, Self::Plugin, Self::Action, Self::Receiver, Self::Webhook];

    /// The name of the folder, which is also the name of the collection in the API.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Secret => "secrets",
            Self::Service => "services",
            Self::Profile => "profiles",
            Self::Plugin => "plugins",
            Self::Action => "actions",
            Self::Receiver => "receivers",
            Self::Webhook => "webhooks",
        }
    }

    /// The word for one document of this kind.
    pub fn word(self) -> &'static str {
        self.folder().trim_end_matches('s')
    }

    /// The path of the document with this name in the API.
    pub fn path(self, name: &str) -> String {
        // A service's folder is a segment of its own.
        let name = name.split('/').map(segment).collect::<Vec<_>>().join("/");
        format!("/v1/{}/{name}", self.folder())
    }
}

/// All documents, by kind and name.
pub type State = BTreeMap<(Kind, String), Document>;

/// The documents of a folder. Every file in it must be understood: one that we skipped would be missed later.
pub fn of_folder(folder: &Path) -> anyhow::Result<State> {
    let mut state = State::new();
    for entry in sorted(folder)? {
        let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if name.starts_with('.') {
            continue;
        }
        let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.folder() == name && entry.is_dir()) else {
            let hint = nearest(&name, Kind::ALL.map(Kind::folder)).map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            bail!("{} is none of the folders {}{hint}", entry.display(), Kind::ALL.map(Kind::folder).join(", "));
        };
        let mut files = Vec::new();
        for file in sorted(&entry)? {
            match Format::of_file(&file) {
                Some(_) => files.push(file),
                // Files of plugins are read when a document names them.
                None if kind == Kind::Plugin && PluginKind::of_file(&file.to_string_lossy()).is_some() => {}
                None => bail!("{} is neither .json nor .toml nor .yaml", file.display()),
            }
        }
        for file in files {
            for value in documents::read(&file)? {
                let document = document(kind, value, Some(&file)).with_context(|| file.display().to_string())?;
                let name = document.value["name"].as_str().unwrap_or_default().to_owned();
                if state.insert((kind, name.clone()), document).is_some() {
                    bail!("{}: a second document of the {} `{name}`", file.display(), kind.word());
                }
            }
        }
    }
    Ok(state)
}

fn sorted(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    Ok(paths)
}

/// A document in the form in which documents are compared. `file`: its path, to find files next to it.
fn document(kind: Kind, mut value: Value, file: Option<&Path>) -> anyhow::Result<Document> {
    let stem = file.and_then(|file| file.file_stem()?.to_str());
    let fields = value.as_object_mut().ok_or_else(|| anyhow!("it must be an object"))?;
    for own in ["id", "created_at", "updated_at", "deactivated"] {
        fields.remove(own);
    }
    if kind == Kind::Action {
        fields.remove("receivers");
    }
    if !fields.contains_key("name") {
        let stem = stem.ok_or_else(|| anyhow!("it has no `name`"))?;
        fields.insert("name".to_owned(), stem.into());
    }
    let plain = |value| Ok(Document { value, bytes: None, source: None });
    match kind {
        Kind::Webhook => plain(as_read::<WebhookSpec>(value)?),
        Kind::Receiver => plain(as_read::<ReceiverSpec>(value)?),
        Kind::Action => plain(as_read::<ActionSpec>(value)?),
        Kind::Service => plain(as_read::<ServiceSpec>(value)?),
        Kind::Profile => plain(as_read::<ProfileValues>(value)?),
        Kind::Secret => source::document(value, file),
        Kind::Plugin => plugin(value, file),
    }
}

/// The document as the host reads it and would show it.
fn as_read<T: Serialize + DeserializeOwned>(value: Value) -> anyhow::Result<Value> {
    let spec: T = read(value).map_err(|problem| anyhow!("{} {}", problem.pointer, problem.detail))?;
    let Value::Object(mut fields) = serde_json::to_value(spec)? else { bail!("it is no object") };
    fields.retain(|_, value| !value.is_null());
    Ok(fields.into())
}

#[derive(Debug, Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileValues {
    name: String,
    timeout_ms: Option<u64>,
    response_bytes_max: Option<u64>,
    retry: Option<Retry>,
    deactivation: Option<Deactivation>,
}

#[derive(Debug, Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct PluginDocument {
    name: String,
    /// The plugin's file, relative to the document; absent: the plugin in the binary.
    #[serde(default)]
    file: Option<PathBuf>,
    #[serde(default)]
    config: Map<String, Value>,
    #[serde(default)]
    grants: Grants,
    #[serde(default)]
    limits: PluginLimitsSpec,
    /// The plugin's own rule; absent: the host's.
    #[serde(default)]
    rollback: Option<RollbackRule>,
}

fn plugin(value: Value, file: Option<&Path>) -> anyhow::Result<Document> {
    let PluginDocument { name, file: path, config, grants, limits, rollback } =
        read(value).map_err(|problem| anyhow!("{} {}", problem.pointer, problem.detail))?;
    let bytes = match &path {
        None => None,
        Some(path) => {
            let path = file.and_then(Path::parent).unwrap_or(Path::new(".")).join(path);
            let kind = PluginKind::of_file(&path.to_string_lossy())
                .ok_or_else(|| anyhow!("{} is neither a .wasm nor a .js or .ts file", path.display()))?;
            Some((kind, Bytes::from(fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?)))
        }
    };
    let digest = bytes.as_ref().map(|(_, bytes)| Digest::of(bytes));
    Ok(Document { value: comparable(&name, digest, &config.into(), grants, limits, rollback), bytes, source: None })
}

fn comparable(
    name: &str,
    digest: Option<Digest>,
    config: &Value,
    grants: Grants,
    limits: PluginLimitsSpec,
    rollback: Option<RollbackRule>,
) -> Value {
    let config = if config.is_null() { json!({}) } else { config.clone() };
    json!({ "name": name, "file": digest, "config": config, "grants": grants, "limits": limits, "rollback": rollback })
}

/// Which optional parts to get from a host.
#[derive(Clone, Copy)]
pub struct Wanted {
    /// The files of plugins.
    pub bytes: bool,
    /// The values in the queries of URLs. They need the scope `admin`.
    pub query_values: bool,
}

/// The documents of a host.
pub async fn of_host(api: &Api, wanted: Wanted) -> anyhow::Result<State> {
    let mut state = State::new();
    for kind in Kind::ALL {
        for shown in list(api, kind).await? {
            let Some(name) = shown["name"].as_str().map(str::to_owned) else { continue };
            let found = match kind {
                Kind::Secret if name.starts_with(INLINE_PREFIX) => None,
                Kind::Secret => Some(Document { value: json!({ "name": name }), bytes: None, source: None }),
                Kind::Profile => changed_values(&name, &shown)?,
                Kind::Plugin => plugin_of_host(api, &name, &shown, wanted.bytes).await?,
                // The list shows URLs with redacted query values, so get the webhook itself.
                Kind::Webhook if wanted.query_values => {
                    Some(document(kind, api.call(Method::GET, &format!("{}?reveal=true", kind.path(&name)), None).await?, None)?)
                }
                _ => Some(document(kind, shown, None)?),
            };
            state.extend(found.map(|document| ((kind, name), document)));
        }
    }
    Ok(state)
}

async fn list(api: &Api, kind: Kind) -> anyhow::Result<Vec<Value>> {
    let is_paged = !matches!(kind, Kind::Secret | Kind::Profile | Kind::Plugin);
    let mut found = Vec::new();
    let mut after = String::new();
    loop {
        let query = if is_paged { format!("?limit=500{after}") } else { String::new() };
        let mut page = api.call(Method::GET, &format!("/v1/{}{query}", kind.folder()), None).await?;
        found.extend(serde_json::from_value::<Vec<Value>>(page["data"].take())?);
        match page["next"].as_str() {
            Some(next) => after = format!("&after={}", segment(next)),
            None => return Ok(found),
        }
    }
}

/// The site-wide values of a profile, if they differ from those in the binary.
fn changed_values(name: &str, shown: &Value) -> anyhow::Result<Option<Document>> {
    let values = |profile: &Value| {
        json!({ "name": name, "timeout_ms": profile["timeout_ms"]["default"], "response_bytes_max": profile["response_bytes_max"]["default"],
            "retry": profile["retry"], "deactivation": profile["deactivation"] })
    };
    let now = document(Kind::Profile, values(shown), None)?;
    let built_in = profile::built_in().get(name).map(serde_json::to_value).transpose()?;
    let before = built_in.map(|profile| document(Kind::Profile, values(&profile), None)).transpose()?;
    Ok(before.is_none_or(|before| before.value != now.value).then_some(now))
}

/// A plugin that was uploaded or of which something was set.
async fn plugin_of_host(api: &Api, name: &str, shown: &Value, with_bytes: bool) -> anyhow::Result<Option<Document>> {
    let version = shown["versions"].as_array().into_iter().flatten().find(|version| version["version"] == shown["active"]);
    let digest = version.map(|version| serde_json::from_value(version["digest"].clone())).transpose()?;
    let part = |field: &str| shown[field].clone();
    let rule = (shown["rollback"]["is_own"] == true).then(|| serde_json::from_value(shown["rollback"]["rule"].clone())).transpose()?;
    let [grants, limits] = [part("grants"), part("own_limits")];
    let value = comparable(name, digest, &part("config"), serde_json::from_value(grants)?, serde_json::from_value(limits)?, rule);
    let untouched = comparable(name, None, &json!({}), Grants::default(), PluginLimitsSpec::default(), None);
    if value == untouched && shown["versions"].as_array().is_none_or(Vec::is_empty) {
        return Ok(None);
    }
    let bytes = match version {
        Some(version) if with_bytes => {
            let kind: PluginKind = serde_json::from_value(version["kind"].clone())?;
            Some((kind, api.download(&format!("{}/versions/{}", Kind::Plugin.path(name), version["version"])).await?))
        }
        _ => None,
    };
    Ok(Some(Document { value, bytes, source: None }))
}

/// The places in which `wanted` differs from `now`: JSON Pointers with both values. URLs are shown without what may be a credential.
pub fn differences(now: &Value, wanted: &Value) -> Vec<(String, Value, Value)> {
    let mut found = Vec::new();
    walk("", now, wanted, Lists::Whole, &mut |at, now, wanted| found.push((at.to_owned(), shown(at, now), shown(at, wanted))));
    // Sort by name, at each level.
    found.sort_by(|(one, ..), (other, ..)| one.split('/').cmp(other.split('/')));
    found
}

fn shown(at: &str, value: &Value) -> Value {
    match value {
        Value::String(url) if at.ends_with("/url") || at.ends_with("/token_endpoint") => {
            crate::model::request::redact::redact_template_url(url).into()
        }
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), shown(&format!("{at}/{name}"), value))).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}

/// A document as it is written to a file: with the name of a plugin's file instead of its digest, and with the variable of a secret.
pub fn exported(kind: Kind, name: &str, document: &Document) -> (Value, Option<(String, Bytes)>) {
    let mut value = document.value.clone();
    let mut beside = None;
    match (kind, &document.bytes) {
        (Kind::Secret, _) => {
            let variable: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
            value = json!({ "name": name, "env": format!("SECRET_{variable}") });
        }
        (Kind::Plugin, bytes) => {
            if let Some((kind, bytes)) = bytes {
                let file = format!("{name}.{}", kind.ending());
                value["file"] = file.clone().into();
                beside = Some((file, bytes.clone()));
            }
            if let Some(fields) = value.as_object_mut() {
                fields.retain(|_, value| !value.is_null() && value.as_object().is_none_or(|fields| !fields.is_empty()));
            }
        }
        _ => {}
    }
    (value, beside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_show_both_sides_and_no_credential_of_a_url() {
        let now = json!({ "request": { "url": "https://h/x?sig=canary-1" }, "active": true, "same": 1 });
        let wanted = json!({ "request": { "url": "https://h/x?sig=canary-2", "method": "PUT" }, "active": true, "same": 1 });
        let found = differences(&now, &wanted);
        let places: Vec<_> = found.iter().map(|(at, ..)| at.as_str()).collect();
        assert_eq!(places, ["/request/method", "/request/url"]);
        assert!(!format!("{found:?}").contains("canary"), "{found:?}");
    }
}
