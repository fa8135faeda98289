//! Which version of a plugin: its bytes, and the one that is active.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `sha256:` and 64 lower-case hexadecimal digits: the digest of the uploaded bytes, which is the identity of a version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, example = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
pub struct Digest(String);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(format!("sha256:{}", hex::encode(sha2::Sha256::digest(bytes))))
    }

    /// With the algorithm in front.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The hexadecimal digits alone, fit for a file name.
    pub fn hex(&self) -> &str {
        self.0.strip_prefix("sha256:").unwrap_or(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which version a name points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActiveVersion {
    /// The one in the binary, whichever that is.
    Builtin,
    /// An uploaded one.
    Version(u32),
    /// None: uploads were staged only.
    None,
}

impl ActiveVersion {
    /// Its number, if it was uploaded.
    pub fn number(self) -> Option<u32> {
        match self {
            Self::Version(number) => Some(number),
            Self::Builtin | Self::None => None,
        }
    }
}

impl fmt::Display for ActiveVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin => f.write_str("the one in the binary"),
            Self::Version(number) => write!(f, "version {number}"),
            Self::None => f.write_str("none"),
        }
    }
}
