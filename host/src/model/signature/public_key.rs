//! Public keys of senders: how they are written, and whether one verifies a signature. ring verifies, and the library that reads certificates
//! for TLS reads the keys.

use base64::Engine;
use rustls::pki_types::{SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer, pem::PemObject};
use webpki::{
    Error, RawPublicKeyEntity,
    ring::{ECDSA_P256_SHA256, ED25519, RSA_PKCS1_2048_8192_SHA256},
};

use super::{
    algorithm::Algorithm,
    key::{BASE64_LENIENT, BadKey},
};
use crate::model::secret::Secret;

/// What stands before the 32 bytes of a key of Ed25519 in a `SubjectPublicKeyInfo` (RFC 8410).
const ED25519_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Whether a text is a public key in PEM. Everybody may know it, so as the key of an HMAC it would let everyone in.
pub(super) fn is_public_key(secret: &Secret) -> bool {
    secret.expose_str().is_some_and(|text| text.trim_start().starts_with("-----BEGIN ") && text.contains("PUBLIC KEY-----"))
}

/// A public key as bytes (`SubjectPublicKeyInfo`): from PEM, from the same in Base64, or from the 32 bytes of a key of Ed25519.
fn spki(algorithm: Algorithm, secret: &Secret) -> Option<Vec<u8>> {
    if is_public_key(secret) {
        return SubjectPublicKeyInfoDer::from_pem_slice(secret.expose()).ok().map(|der| der.to_vec());
    }
    let text: String = secret.expose_str()?.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let text = text.strip_prefix("whpk_").unwrap_or(&text);
    let bytes = hex::decode(text).ok().or_else(|| BASE64_LENIENT.decode(text).ok())?;
    Some(if algorithm == Algorithm::Ed25519 && bytes.len() == 32 { [&ED25519_HEAD[..], &bytes].concat() } else { bytes })
}

fn verifier(algorithm: Algorithm) -> Option<&'static dyn SignatureVerificationAlgorithm> {
    match algorithm {
        Algorithm::Sha1 | Algorithm::Sha256 | Algorithm::Sha512 => None,
        Algorithm::Ed25519 => Some(ED25519),
        Algorithm::RsaSha256 => Some(RSA_PKCS1_2048_8192_SHA256),
        Algorithm::EcdsaP256Sha256 => Some(ECDSA_P256_SHA256),
    }
}

/// Whether `secret` is a public key of this algorithm.
pub(super) fn check_public_key(algorithm: Algorithm, secret: &Secret) -> Result<(), BadKey> {
    let (wanted, bytes) = match algorithm {
        Algorithm::Ed25519 => ("ed25519", 44..=44),
        Algorithm::EcdsaP256Sha256 => ("ecdsa-p256-sha256", 91..=91),
        // 2048 to 8192 bits, and what stands around them.
        Algorithm::RsaSha256 => ("rsa-sha256", 290..=1100),
        Algorithm::Sha1 | Algorithm::Sha256 | Algorithm::Sha512 => return Err(BadKey::Public),
    };
    let bad = BadKey::NotPublicKey(wanted);
    let der = SubjectPublicKeyInfoDer::from(spki(algorithm, secret).filter(|der| bytes.contains(&der.len())).ok_or(bad)?);
    let key = RawPublicKeyEntity::try_from(&der).map_err(|_| bad)?;
    match key.verify_signature(verifier(algorithm).ok_or(bad)?, b"", b"") {
        Err(Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_)) => Err(bad),
        // No signature is empty; what counts is that the key is of this algorithm.
        _ => Ok(()),
    }
}

/// Whether one of the signatures over `signed` is one of this key's.
pub(super) fn has_signed(algorithm: Algorithm, secret: &Secret, signed: &[u8], given: &[Vec<u8>]) -> bool {
    let Some(der) = spki(algorithm, secret).map(SubjectPublicKeyInfoDer::from) else { return false };
    let (Ok(key), Some(verifier)) = (RawPublicKeyEntity::try_from(&der), verifier(algorithm)) else { return false };
    given.iter().any(|signature| key.verify_signature(verifier, signed, signature).is_ok())
}
