//! Reads documents that admins write: the name in the path, and merge patches.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    request::{Asked, parse_value},
    respond::ApiError,
};
use crate::model::merge_patch::merge;

/// Checks the name in a document: it may repeat the name in the path but not contradict it.
pub fn named(written: &mut String, of_path: &str) -> Result<(), ApiError> {
    if written.is_empty() {
        of_path.clone_into(written);
    }
    if written == of_path {
        Ok(())
    } else {
        Err(ApiError::invalid("/name", format!("the address says `{of_path}`; leave `name` out or write the same")))
    }
}

pub fn merge_patch(asked: &Asked) -> Result<Value, ApiError> {
    let media = asked.media_type();
    if !matches!(media.as_str(), "" | "application/json" | "application/merge-patch+json" | "application/x-www-form-urlencoded") {
        return Err(ApiError::UnsupportedMedia(format!("a patch is `application/merge-patch+json` (RFC 7396), not `{media}`")));
    }
    let patch: Value = asked.json()?;
    if patch.is_object() { Ok(patch) } else { Err(ApiError::invalid("", "a merge patch is a JSON object")) }
}

/// A document with a merge patch applied to it.
pub fn merged<T: Serialize + DeserializeOwned>(document: &T, patch: &Value) -> Result<T, ApiError> {
    let mut value = serde_json::to_value(document).map_err(|error| ApiError::Internal(Box::new(error)))?;
    merge(&mut value, patch);
    parse_value(value)
}
