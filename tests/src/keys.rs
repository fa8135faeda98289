//! RSA keys. They are generated when a test needs them, so the repository contains none.

use std::sync::LazyLock;

use rsa::{
    Generate, PrivateKey,
    pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding},
};

/// An account's key pair in PEM.
pub struct AccountKey {
    /// The private key, in PKCS #8, without a line feed at its end, as a secret is written.
    pub private: String,
    /// The public key, in SPKI.
    pub public: String,
}

impl AccountKey {
    /// Generates a key pair.
    pub fn new() -> Self {
        let key = PrivateKey::generate();
        let private = key.to_pkcs8_pem(LineEnding::LF).expect("a key in PEM");
        let public = key.to_public_key().to_public_key_pem(LineEnding::LF).expect("a key in PEM");
        Self { private: private.trim_end().to_owned(), public }
    }

    /// A key pair that tests share, because generating one takes a while.
    pub fn shared() -> &'static Self {
        static KEY: LazyLock<AccountKey> = LazyLock::new(AccountKey::new);
        &KEY
    }
}

impl Default for AccountKey {
    fn default() -> Self {
        Self::new()
    }
}
