//! `/v1/secrets`: secrets, which can be written but never read.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    request::Asked,
    respond::{Answer, ApiError, List, ProblemDetails, created, no_content, ok},
};
use crate::{
    model::secret::{INLINE_PREFIX, SECRET_NAME_CHARS_MAX, is_secret_name},
    services::Services,
};

/// Longest value of a secret, in bytes.
const SECRET_BYTES_MAX: usize = 64 * 1024;

/// A secret to write.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretInput {
    /// The value.
    pub value: String,
    /// Whether to accept a trailing newline. Otherwise it is refused, because it is usually an accident.
    #[serde(default)]
    pub raw: bool,
}

/// A secret without its value.
#[derive(Debug, Serialize, ToSchema)]
pub struct SecretView {
    /// The secret's name.
    pub name: String,
    /// Number of the newest version.
    pub version: u32,
    /// All versions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<SecretVersionView>,
}

/// A version of a secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct SecretVersionView {
    /// The version's number.
    pub version: u32,
    /// When the version was written.
    pub created_at: Timestamp,
}

/// List the secrets without their values, sorted by name.
#[utoipa::path(get, path = "/v1/secrets", tag = "secrets", responses((status = 200, description = "all of them", body = List<SecretView>)))]
pub async fn list(services: Services, asked: Asked) -> Answer {
    asked.only(&[])?;
    let secrets = services.store.secrets().await?;
    let data: Vec<_> = secrets
        .into_iter()
        .map(|secret| {
            let shown =
                |version: crate::store::SecretVersion| SecretVersionView { version: version.version, created_at: version.created_at };
            let versions: Vec<_> = secret.versions.into_iter().map(shown).collect();
            SecretView { name: secret.name, version: versions.last().map_or(0, |newest| newest.version), versions }
        })
        .collect();
    ok(&List { data, next: None })
}

/// Write a new version of a secret.
#[utoipa::path(put, path = "/v1/secrets/{name}", tag = "secrets", request_body = SecretInput, params(("name" = String, Path, description = "the secret's name")),
    responses((status = 201, description = "the first version", body = SecretView), (status = 200, description = "a further version", body = SecretView),
        (status = 400, body = ProblemDetails, description = "not valid", content_type = "application/problem+json")))]
pub async fn put(services: Services, asked: Asked) -> Answer {
    let name = asked.path(0);
    if !is_secret_name(name) {
        return Err(ApiError::invalid("", format!("a secret's name is 1 to {SECRET_NAME_CHARS_MAX} letters, digits, `-`, `_` or `.`")));
    }
    if name.starts_with(INLINE_PREFIX) {
        return Err(ApiError::invalid("", format!("`{INLINE_PREFIX}` begins what documents hold inline: write it there")));
    }
    let input: SecretInput = asked.json()?;
    check_value(&input.value, input.raw).map_err(|detail| ApiError::invalid("/value", detail))?;
    let version = services.store.put_secret(name, input.value.as_bytes()).await?;
    tracing::info!(secret = name, version, "secret written");
    created(version == 1, &SecretView { name: name.to_owned(), version, versions: Vec::new() })
}

/// Checks a secret's value. `Err` says what is wrong with it.
pub fn check_value(value: &str, is_raw: bool) -> Result<(), String> {
    if value.is_empty() || value.len() > SECRET_BYTES_MAX {
        return Err(format!("1 to {SECRET_BYTES_MAX} bytes"));
    }
    if !is_raw && value.ends_with('\n') {
        return Err("it ends with a newline, which is mostly an accident; leave it out, or say `\"raw\":true`".to_owned());
    }
    Ok(())
}

/// Delete a secret that nothing refers to.
#[utoipa::path(delete, path = "/v1/secrets/{name}", tag = "secrets", params(("name" = String, Path, description = "the secret's name")),
    responses((status = 204, description = "deleted"), (status = 404, body = ProblemDetails, description = "there is no secret with this name", content_type = "application/problem+json"),
        (status = 409, body = ProblemDetails, description = "something refers to the secret", content_type = "application/problem+json")))]
pub async fn delete(services: Services, asked: Asked) -> Answer {
    let name = asked.path(0);
    let mut users = services.catalog.snapshot().users_of_secret(name);
    let mails = services.mailer.as_ref().and_then(|mailer| mailer.password()).is_some_and(|password| password.name == name);
    users.extend(mails.then(|| "the configuration's `[smtp]`".to_owned()));
    if !users.is_empty() {
        return Err(ApiError::Conflict(format!("it is referred to by {}", users.join(", "))));
    }
    if services.store.delete_secret(name).await? { no_content() } else { Err(ApiError::NotFound(format!("secret `{name}`"))) }
}
