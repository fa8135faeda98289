//! `/v1/plugins`: upload, activate, configure, grant, delete. Limits, rollback and the circuit breaker are in `conduct`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{
    request::Asked,
    respond::{Answer, ApiError, List, ProblemDetails, bytes, created, no_content, ok},
};
use crate::{
    model::{
        plugin::{ActiveVersion, Digest, Export, Grants, PluginKind},
        token::Scope,
    },
    services::Services,
};

pub mod conduct;
mod view;

use view::{ChangedPlugin, PluginView, actor, changed, find, shown};

/// The answer to an upload.
#[derive(Debug, Serialize, ToSchema)]
pub struct UploadView {
    /// The plugin's name.
    pub name: String,
    /// The number of the version with these bytes.
    pub version: Option<u32>,
    /// The digest of the bytes.
    pub digest: Digest,
    /// What the bytes are: a module, a component or a script.
    pub kind: PluginKind,
    /// What the plugin can do.
    pub exports: Vec<Export>,
    /// The `hookwright:plugin/*` interfaces that it imports.
    pub imports: Vec<String>,
    /// The imported interfaces for which a grant is missing.
    pub missing_grants: Vec<String>,
    /// `active` or `staged`.
    pub state: &'static str,
    /// Bytes that were uploaded.
    pub size_bytes: u64,
}

/// Which version to activate.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ActivateInput {
    /// A version's number, or `"builtin"`.
    #[schema(value_type = Object, example = json!(1))]
    pub version: Value,
}

/// List the plugins, sorted by name, including those in the binary.
#[utoipa::path(get, path = "/v1/plugins", tag = "plugins", responses((status = 200, description = "all plugins", body = List<PluginView>)))]
pub async fn list(services: Services, asked: Asked) -> Answer {
    asked.only(&[])?;
    ok(&List { data: services.plugins.list().into_iter().map(shown).collect(), next: None })
}

/// Get a plugin with its versions.
#[utoipa::path(get, path = "/v1/plugins/{name}", tag = "plugins", params(("name" = String, Path, description = "the plugin's name")),
    responses((status = 200, description = "the plugin", body = PluginView), (status = 404, body = ProblemDetails, description = "there is no plugin with this name", content_type = "application/problem+json")))]
pub async fn get(services: Services, asked: Asked) -> Answer {
    ok(&shown(find(&services, asked.path(0))?))
}

/// Upload a version. It is checked, compiled and tried before it replaces anything. If it does not load, the active version stays.
#[utoipa::path(put, path = "/v1/plugins/{name}", tag = "plugins",
    params(("name" = String, Path, description = "the plugin's name: lower-case letters, digits and `-`"), ("activate" = Option<bool>, Query, description = "false: store the version but do not activate it")),
    request_body(content(([u8] = "application/wasm"), (String = "text/javascript"), (String = "text/typescript")), description = "a wasm32-wasip1 module, a component, or a script"),
    responses((status = 201, description = "a new version", body = UploadView), (status = 200, description = "these bytes were uploaded before", body = UploadView),
        (status = 413, body = ProblemDetails, description = "too long", content_type = "application/problem+json"),
        (status = 415, body = ProblemDetails, description = "neither wasm nor a script", content_type = "application/problem+json"),
        (status = 422, body = ProblemDetails, description = "the version does not load; the error says why", content_type = "application/problem+json")))]
pub async fn put(services: Services, asked: Asked) -> Answer {
    asked.only(&["activate"])?;
    let activate = asked.query_as("activate", "true or false")?.unwrap_or(true);
    let media_type = asked.media_type();
    let kind = PluginKind::of_media_type(&media_type).ok_or_else(|| {
        ApiError::UnsupportedMedia(format!(
            "a plugin is `application/wasm`, `text/javascript` or `text/typescript`, not `{media_type}`; \
             curl: -H 'content-type: application/wasm' --data-binary @FILE"
        ))
    })?;
    let uploaded = services.plugins.upload(asked.path(0), asked.body.clone(), kind, activate, actor(&asked)).await?;
    services.window.wake();
    let version = uploaded.version;
    created(
        uploaded.created,
        &UploadView {
            name: asked.path(0).to_owned(),
            version: version.version,
            digest: version.digest,
            kind: version.kind,
            exports: version.exports,
            imports: version.imports,
            missing_grants: uploaded.missing_grants,
            state: if uploaded.active { "active" } else { "staged" },
            size_bytes: version.size_bytes,
        },
    )
}

/// Get the bytes of a version, as they were uploaded.
#[utoipa::path(get, path = "/v1/plugins/{name}/versions/{version}", tag = "plugins",
    params(("name" = String, Path, description = "the plugin's name"), ("version" = u32, Path, description = "the version's number")),
    responses((status = 200, description = "the bytes", content(([u8] = "application/wasm"), (String = "text/javascript"), (String = "text/typescript"))),
        (status = 404, body = ProblemDetails, description = "there is no plugin or version of this name", content_type = "application/problem+json")))]
pub async fn version(services: Services, asked: Asked) -> Answer {
    let none = || ApiError::NotFound(format!("version `{}` of the plugin `{}`", asked.path(1), asked.path(0)));
    let number: u32 = asked.path(1).parse().map_err(|_| none())?;
    let info = find(&services, asked.path(0))?;
    let version = info.record.versions.iter().find(|version| version.version == Some(number)).ok_or_else(none)?;
    let stored = services.store.get_blob(&version.digest).await?.ok_or_else(none)?;
    bytes(version.kind.media_type(), stored)
}

/// Activate another version. Activating an older one is a rollback.
#[utoipa::path(post, path = "/v1/plugins/{name}/activate", tag = "plugins", request_body = ActivateInput, params(("name" = String, Path, description = "the plugin's name")),
    responses((status = 200, description = "activated", body = ChangedPlugin), (status = 400, body = ProblemDetails, description = "not valid", content_type = "application/problem+json"),
        (status = 404, body = ProblemDetails, description = "there is no plugin or version of this name", content_type = "application/problem+json"),
        (status = 422, body = ProblemDetails, description = "a grant is missing", content_type = "application/problem+json")))]
pub async fn activate(services: Services, asked: Asked) -> Answer {
    let input: ActivateInput = asked.json()?;
    let version = match &input.version {
        Value::String(word) if word == "builtin" => Some(ActiveVersion::Builtin),
        Value::Number(number) => number.as_u64().and_then(|number| u32::try_from(number).ok()).map(ActiveVersion::Version),
        _ => None,
    };
    let version = version.ok_or_else(|| ApiError::invalid("/version", "a version's number, or `\"builtin\"`"))?;
    services.plugins.activate(asked.path(0), version, actor(&asked)).await?;
    services.window.wake();
    changed(&services, &asked)
}

/// Configure a plugin. The configuration of a webhook or receiver is merged over it.
#[utoipa::path(put, path = "/v1/plugins/{name}/config", tag = "plugins", request_body(content = Object, description = "the configuration"), params(("name" = String, Path, description = "the plugin's name")),
    responses((status = 200, description = "configured", body = ChangedPlugin), (status = 400, body = ProblemDetails, description = "the configuration is not an object", content_type = "application/problem+json")))]
pub async fn put_config(services: Services, asked: Asked) -> Answer {
    let config: Map<String, Value> = asked.json()?;
    services.plugins.set_config(asked.path(0), Value::Object(config), actor(&asked)).await?;
    changed(&services, &asked)
}

/// Grant capabilities to a plugin. That is possible before its first upload.
#[utoipa::path(put, path = "/v1/plugins/{name}/grants", tag = "plugins", request_body = Grants, params(("name" = String, Path, description = "the plugin's name")),
    responses((status = 200, description = "granted", body = PluginView), (status = 400, body = ProblemDetails, description = "not valid", content_type = "application/problem+json")))]
pub async fn put_grants(services: Services, asked: Asked) -> Answer {
    let grants: Grants = asked.json()?;
    for (index, trigger) in grants.triggers.iter().enumerate() {
        if let Err(error) = crate::model::selector::Selector::parse(trigger) {
            return Err(ApiError::invalid(format!("/triggers/{index}"), error.to_string()));
        }
    }
    services.plugins.set_grants(asked.path(0), grants, actor(&asked)).await?;
    ok(&shown(find(&services, asked.path(0))?))
}

/// Delete a plugin that nothing uses.
#[utoipa::path(delete, path = "/v1/plugins/{name}", tag = "plugins", params(("name" = String, Path, description = "the plugin's name")),
    responses((status = 204, description = "deleted"), (status = 404, body = ProblemDetails, description = "there is no plugin with this name", content_type = "application/problem+json"),
        (status = 409, body = ProblemDetails, description = "something uses the plugin", content_type = "application/problem+json")))]
pub async fn delete(services: Services, asked: Asked) -> Answer {
    let name = asked.path(0);
    let users = services.catalog.snapshot().users_of_plugin(name);
    if !users.is_empty() {
        let by = if asked.allows(Scope::Read) {
            users.join(", ")
        } else {
            format!("{}; which they are is shown to tokens with the scope `read`", count_of(users.len()))
        };
        return Err(ApiError::Conflict(format!("it is used by {by}")));
    }
    services.plugins.delete(name).await?;
    no_content()
}

fn count_of(users: usize) -> String {
    if users == 1 { "one webhook, receiver or action".to_owned() } else { format!("{users} webhooks, receivers or actions") }
}
