//! How signatures of senders are made and written: algorithms, and the texts of signatures and keys.

use std::borrow::Cow;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use ring::hmac::{self, HMAC_SHA1_FOR_LEGACY_USE_ONLY, HMAC_SHA256, HMAC_SHA512};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::key::{BASE64_LENIENT, BadKey};
use crate::model::secret::Secret;

/// The alphabet of URLs, padded or not.
const BASE64URL_LENIENT: GeneralPurpose =
    GeneralPurpose::new(&alphabet::URL_SAFE, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// How a call is signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = SignatureAlgorithm)]
pub enum Algorithm {
    /// HMAC with SHA-1, for senders that have nothing else.
    Sha1,
    /// HMAC with SHA-256.
    #[default]
    Sha256,
    /// HMAC with SHA-512.
    Sha512,
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// RSA PKCS #1 v1.5 with SHA-256, keys of 2048 to 8192 bits.
    RsaSha256,
    /// ECDSA on P-256 with SHA-256, signatures in DER.
    EcdsaP256Sha256,
}

impl Algorithm {
    /// Whether a public key verifies it.
    pub fn is_public(self) -> bool {
        self.hmac().is_none()
    }

    /// The HMAC it is.
    pub(super) fn hmac(self) -> Option<hmac::Algorithm> {
        match self {
            Self::Sha1 => Some(HMAC_SHA1_FOR_LEGACY_USE_ONLY),
            Self::Sha256 => Some(HMAC_SHA256),
            Self::Sha512 => Some(HMAC_SHA512),
            Self::Ed25519 | Self::RsaSha256 | Self::EcdsaP256Sha256 => None,
        }
    }

    /// Whether a signature may have this number of bytes.
    pub(super) fn may_have(self, bytes: usize) -> bool {
        match self {
            Self::Sha1 => bytes == 20,
            Self::Sha256 => bytes == 32,
            Self::Sha512 | Self::Ed25519 => bytes == 64,
            Self::RsaSha256 => (256..=1024).contains(&bytes),
            // Two whole numbers of at most 33 bytes, each with its head, in a sequence.
            Self::EcdsaP256Sha256 => (8..=72).contains(&bytes),
        }
    }
}

/// How the bytes of a signature are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = SignatureEncoding)]
pub enum Encoding {
    /// Hexadecimal digits of either case.
    #[default]
    Hex,
    /// Standard Base64, padded or not.
    Base64,
    /// Base64 with the alphabet of URLs (`-` and `_`), padded or not.
    Base64url,
}

impl Encoding {
    /// The bytes of a signature of this algorithm, if it can be one.
    pub(super) fn decode(self, algorithm: Algorithm, text: &str) -> Option<Vec<u8>> {
        let bytes = match self {
            Self::Hex => hex::decode(text).ok(),
            Self::Base64 => BASE64_LENIENT.decode(text).ok(),
            Self::Base64url => BASE64URL_LENIENT.decode(text).ok(),
        };
        bytes.filter(|bytes| algorithm.may_have(bytes.len()))
    }
}

/// How the key of an HMAC is written in its secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeyEncoding {
    /// The key is the text.
    #[default]
    Text,
    /// Hexadecimal digits.
    Hex,
    /// Standard Base64, padded or not.
    Base64,
}

impl KeyEncoding {
    /// Whether the key is the text.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
    pub(super) fn is_text(&self) -> bool {
        *self == Self::Text
    }

    /// The key's bytes.
    pub(super) fn read(self, secret: &Secret) -> Result<Cow<'_, [u8]>, BadKey> {
        let text = || secret.expose_str().map(str::trim);
        let (bytes, what) = match self {
            Self::Text => return Ok(Cow::Borrowed(secret.expose())),
            Self::Hex => (text().and_then(|text| hex::decode(text).ok()), "hexadecimal digits"),
            Self::Base64 => (text().and_then(|text| BASE64_LENIENT.decode(text).ok()), "Base64"),
        };
        match bytes {
            Some(bytes) if bytes.is_empty() => Err(BadKey::Empty),
            Some(bytes) => Ok(Cow::Owned(bytes)),
            None => Err(BadKey::NotEncoded(what)),
        }
    }
}
