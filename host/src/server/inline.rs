//! Inline credentials: `{"inline":"..."}` in a document, in place of `$secret:name`. Each is stored as a secret of its own, so that it is
//! never kept or shown in clear text.

use std::collections::BTreeSet;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{respond::ApiError, secrets::check_value};
use crate::{
    model::{
        problem::segment,
        secret::{INLINE_PREFIX, Secret, SecretRef},
    },
    services::Services,
};

/// Characters of the owner's name in the secret's name, so that people recognise it.
const OWNER_CHARS_MAX: usize = 24;
/// The parts of a document that may hold credentials.
const PARTS: [&str; 4] = ["auth", "tls", "signing", "verify"];

/// A credential that was taken out of a document.
pub struct Inline {
    name: String,
    value: Secret,
}

/// The value of the credential that was replaced by `reference`, if it is among `taken`.
pub fn given<'a>(taken: &'a [Inline], reference: &SecretRef) -> Option<&'a Secret> {
    taken.iter().find(|inline| inline.name == reference.name).map(|inline| &inline.value)
}

/// Takes every inline credential out of a document of `kind` (`webhook` or `receiver`) and leaves a reference in its place.
pub fn take(document: &mut Value, kind: &str, owner: &str) -> Result<Vec<Inline>, ApiError> {
    let mut found = Vec::new();
    let mut at = Place { kind, owner, found: &mut found };
    at.parts(document, "")?;
    for (name, patch) in document.get_mut("environments").and_then(Value::as_object_mut).into_iter().flatten() {
        at.parts(patch, &format!("/environments{}", segment(name)))?;
    }
    Ok(found)
}

struct Place<'a> {
    kind: &'a str,
    owner: &'a str,
    found: &'a mut Vec<Inline>,
}

impl Place<'_> {
    fn parts(&mut self, document: &mut Value, pointer: &str) -> Result<(), ApiError> {
        for part in PARTS {
            if let Some(value) = document.get_mut(part) {
                self.walk(value, &format!("{pointer}/{part}"))?;
            }
        }
        Ok(())
    }

    fn walk(&mut self, value: &mut Value, pointer: &str) -> Result<(), ApiError> {
        match value {
            Value::Object(fields) if fields.contains_key("inline") => {
                let pointer = format!("{pointer}/inline");
                let [(_, Value::String(credential))] = fields.iter().collect::<Vec<_>>()[..] else {
                    return Err(ApiError::invalid(pointer, "an inline credential is a text, alone: `{\"inline\":\"...\"}`"));
                };
                check_value(credential, false).map_err(|detail| ApiError::invalid(pointer.clone(), detail))?;
                let name = self.name(&pointer);
                self.found.push(Inline { name: name.clone(), value: Secret::new(credential.as_bytes()) });
                *value = SecretRef { name, version: None }.to_string().into();
            }
            Value::Object(fields) => {
                for (name, field) in fields {
                    self.walk(field, &format!("{pointer}{}", segment(name)))?;
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.walk(item, &format!("{pointer}/{index}"))?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The name of a credential's secret. It depends only on the place in the document, so writing the document again rotates the secret.
    fn name(&self, pointer: &str) -> String {
        let digest = Sha256::digest(format!("{}/{}{pointer}", self.kind, self.owner));
        let owner: String = self.owner.chars().take(OWNER_CHARS_MAX).collect();
        format!("{INLINE_PREFIX}{owner}.{}", hex::encode(&digest[..12]))
    }
}

/// Stores the credentials. If a value is unchanged, no new version is created.
pub async fn keep(services: &Services, taken: Vec<Inline>) -> Result<(), ApiError> {
    for Inline { name, value } in taken {
        let current = services.store.secret(&name, None).await?;
        if current.is_none_or(|current| current.expose() != value.expose()) {
            let version = services.store.put_secret(&name, value.expose()).await?;
            tracing::info!(secret = name, version, "an inline credential was kept as a secret");
        }
    }
    Ok(())
}

/// Deletes those secrets in `before` that were inline and that no document refers to any more.
pub async fn forget<'a>(services: &Services, before: impl IntoIterator<Item = &'a SecretRef>) -> Result<(), ApiError> {
    let names: BTreeSet<&str> = before.into_iter().filter(|secret| secret.is_inline()).map(|secret| secret.name.as_str()).collect();
    let snapshot = services.catalog.snapshot();
    for name in names.into_iter().filter(|name| snapshot.users_of_secret(name).is_empty()) {
        services.store.delete_secret(name).await?;
    }
    Ok(())
}
