//! Values nobody may see, and how a document refers to them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ObjectBuilder, OneOfBuilder, RefOr, Schema,
        schema::{AdditionalProperties, Type},
    },
};
use zeroize::Zeroize;

/// A credential in clear. It does not print, serialise or compare; [`Secret::expose`] is the one way to its bytes, which are overwritten
/// when it is dropped.
#[derive(Clone)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Takes the bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into().into_boxed_slice())
    }

    /// The bytes, for the one computation that needs them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as text, where the protocol asks for text.
    pub fn expose_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Coming in only: there is no `Serialize`.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::new(String::deserialize(deserializer)?))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// `$secret:name` (the newest version) or `$secret:name@3` (that one).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretRef {
    /// The secret's name.
    pub name: String,
    /// A fixed version; absent: the newest.
    pub version: Option<u32>,
}

/// What the names of secrets begin with that stood in a document themselves.
pub const INLINE_PREFIX: &str = "inline.";

impl SecretRef {
    /// Whether it stood in a document itself.
    pub fn is_inline(&self) -> bool {
        self.name.starts_with(INLINE_PREFIX)
    }
}

/// What a reference to a secret must look like.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "a secret is referred to as `$secret:name` or `$secret:name@3`; names are 1 to 64 letters, digits, `-`, `_` or `.`; the value itself \
     is given as `{{\"inline\":\"...\"}}`, and kept as a secret"
)]
pub struct BadSecretRef;

/// The longest secret name, in characters.
pub const SECRET_NAME_CHARS_MAX: usize = 64;

/// Whether `name` can name a secret.
pub fn is_secret_name(name: &str) -> bool {
    (1..=SECRET_NAME_CHARS_MAX).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

impl FromStr for SecretRef {
    type Err = BadSecretRef;

    fn from_str(text: &str) -> Result<Self, BadSecretRef> {
        let rest = text.strip_prefix("$secret:").ok_or(BadSecretRef)?;
        let (name, version) = match rest.split_once('@') {
            Some((name, version)) => (name, Some(version.parse().ok().filter(|v| *v > 0).ok_or(BadSecretRef)?)),
            None => (rest, None),
        };
        if is_secret_name(name) { Ok(Self { name: name.to_owned(), version }) } else { Err(BadSecretRef) }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "$secret:{}", self.name)?;
        match self.version {
            Some(version) => write!(f, "@{version}"),
            None => Ok(()),
        }
    }
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for SecretRef {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A credential itself, as a document may have it where it is written.
fn inline_schema() -> ObjectBuilder {
    let value = ObjectBuilder::new().schema_type(Type::String).write_only(true);
    ObjectBuilder::new()
        .property("inline", value.description(Some("the credential; it is kept as a secret, and a reference shown in its place")))
        .required("inline")
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
}

/// As a document has it: a reference, or the value itself where it is written. It is shown as a reference alone.
impl PartialSchema for SecretRef {
    fn schema() -> RefOr<Schema> {
        let reference = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(r"^\$secret:[A-Za-z0-9._-]{1,64}(@[1-9][0-9]*)?$"))
            .description(Some("`$secret:name`, the newest version, or `$secret:name@3`, that one"));
        OneOfBuilder::new().item(reference).item(inline_schema()).description(Some("A secret by name, or a credential itself")).into()
    }
}

impl ToSchema for SecretRef {
    fn name() -> std::borrow::Cow<'static, str> {
        "Credential".into()
    }
}

/// The value of a header that is a credential, for the description of the API.
pub struct HeaderCredential;

impl PartialSchema for HeaderCredential {
    fn schema() -> RefOr<Schema> {
        let text =
            ObjectBuilder::new().schema_type(Type::String).description(Some("`$secret:name`, or text with references and functions"));
        OneOfBuilder::new().item(text).item(inline_schema()).description(Some("A header's value")).into()
    }
}

impl ToSchema for HeaderCredential {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_name_a_secret_and_perhaps_a_version() {
        assert_eq!("$secret:k".parse(), Ok(SecretRef { name: "k".into(), version: None }));
        assert_eq!("$secret:k@3".parse(), Ok(SecretRef { name: "k".into(), version: Some(3) }));
        for bad in ["k", "$secret:", "$secret:a b", "$secret:k@", "$secret:k@0", "$secret:k@x"] {
            assert_eq!(bad.parse::<SecretRef>(), Err(BadSecretRef), "{bad}");
        }
    }

    #[test]
    fn a_secret_does_not_print() {
        assert!(!format!("{:?}", Secret::new("hunter2")).contains("hunter2"));
    }
}
