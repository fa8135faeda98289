//! The keys of Standard Webhooks, as they are written down: `whsec_`, `whsk_` or `whpk_`, then Base64.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use ed25519_dalek::{SigningKey, VerifyingKey};

use crate::model::secret::Secret;

/// The shortest symmetric key, in bytes (Standard Webhooks 1.0.0, "Signature scheme": 24 to 64 bytes).
pub const STANDARD_KEY_BYTES_MIN: usize = 24;
/// The longest symmetric key, in bytes.
pub const STANDARD_KEY_BYTES_MAX: usize = 64;

/// Base64 with or without its padding: people copy keys both ways, and the specification's own libraries differ.
pub(super) const BASE64_LENIENT: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// What is wrong with a key. Says nothing of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// Nothing there.
    #[error("the key is empty")]
    Empty,
    /// Not Base64.
    #[error("the key is not `whsec_`, `whsk_` or `whpk_` followed by standard Base64")]
    NotBase64,
    /// A symmetric key of the wrong length.
    #[error("a `whsec_` key holds 24 to 64 bytes, and this one holds {0}")]
    Length(usize),
    /// Not a key of Ed25519.
    #[error("the key is not an Ed25519 key: `whsk_` holds 32 bytes of seed, or seed and public key; `whpk_` holds 32 bytes")]
    NotEd25519,
    /// A key, but of another kind.
    #[error("the scheme needs a key that begins with `{0}`")]
    Kind(&'static str),
    /// Bytes no header can carry.
    #[error("the secret goes out as a header, and is empty or holds a character no header can carry")]
    NotAHeaderValue,
    /// A public key where a secret is needed.
    #[error("this is a public key, which anybody may have: it is for the scheme `public-key` alone")]
    Public,
    /// Not a public key of this algorithm.
    #[error(
        "the key is no public key for `{0}`: PEM (`-----BEGIN PUBLIC KEY-----`), the same in Base64, or for `ed25519` its 32 bytes in \
         hexadecimal digits or Base64; RSA has 2048 to 8192 bits"
    )]
    NotPublicKey(&'static str),
    /// Not written as its rule says.
    #[error("the key is not written in {0}, as `key_encoding` says")]
    NotEncoded(&'static str),
    /// Not `username:password`.
    #[error("the secret is not `username:password`")]
    NotUserAndPassword,
}

/// A key of Standard Webhooks. It does not print.
pub enum StandardKey {
    /// `whsec_`: HMAC-SHA256, shared by both sides.
    Symmetric(Secret),
    /// `whsk_`: signs.
    Signing(Box<SigningKey>),
    /// `whpk_`: verifies.
    Verifying(VerifyingKey),
}

impl StandardKey {
    /// The symmetric key's bytes.
    pub fn symmetric(&self) -> Result<&[u8], BadKey> {
        match self {
            Self::Symmetric(bytes) => Ok(bytes.expose()),
            Self::Signing(_) | Self::Verifying(_) => Err(BadKey::Kind("whsec_")),
        }
    }

    /// The key that signs.
    pub fn signing(&self) -> Result<&SigningKey, BadKey> {
        match self {
            Self::Signing(key) => Ok(key),
            Self::Symmetric(_) | Self::Verifying(_) => Err(BadKey::Kind("whsk_")),
        }
    }
}

impl std::fmt::Debug for StandardKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Symmetric(_) => "StandardKey::Symmetric(redacted)",
            Self::Signing(_) => "StandardKey::Signing(redacted)",
            Self::Verifying(_) => "StandardKey::Verifying",
        })
    }
}

/// Reads a key we sign with. Without a prefix it counts as symmetric, as in the specification's own libraries.
pub fn parse_standard_key(secret: &Secret) -> Result<StandardKey, BadKey> {
    let key = read_standard_key(secret)?;
    match key.symmetric().map(<[u8]>::len) {
        Ok(length) if !(STANDARD_KEY_BYTES_MIN..=STANDARD_KEY_BYTES_MAX).contains(&length) => Err(BadKey::Length(length)),
        _ => Ok(key),
    }
}

/// Reads a key we verify with: its length was another party's choice.
pub(super) fn read_standard_key(secret: &Secret) -> Result<StandardKey, BadKey> {
    let text = secret.expose_str().ok_or(BadKey::NotBase64)?;
    let decode = |text: &str| match BASE64_LENIENT.decode(text) {
        Ok(bytes) if bytes.is_empty() => Err(BadKey::Empty),
        Ok(bytes) => Ok(bytes),
        Err(_) => Err(BadKey::NotBase64),
    };
    if let Some(text) = text.strip_prefix("whsk_") {
        signing_key(&decode(text)?).map(|key| StandardKey::Signing(Box::new(key)))
    } else if let Some(text) = text.strip_prefix("whpk_") {
        let bytes = decode(text)?.try_into().map_err(|_| BadKey::NotEd25519)?;
        VerifyingKey::from_bytes(&bytes).map(StandardKey::Verifying).map_err(|_| BadKey::NotEd25519)
    } else {
        decode(text.strip_prefix("whsec_").unwrap_or(text)).map(|bytes| StandardKey::Symmetric(Secret::new(bytes)))
    }
}

/// 32 bytes of seed, or seed and public key one after the other, which must belong together.
fn signing_key(bytes: &[u8]) -> Result<SigningKey, BadKey> {
    if let Ok(seed) = <&[u8; 32]>::try_from(bytes) {
        return Ok(SigningKey::from_bytes(seed));
    }
    let pair = <&[u8; 64]>::try_from(bytes).map_err(|_| BadKey::NotEd25519)?;
    SigningKey::from_keypair_bytes(pair).map_err(|_| BadKey::NotEd25519)
}
