//! Values nobody may see, and how a document refers to them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
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
