//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03): a nonce long enough to be drawn at random for as many values as there ever are.
//!
//! ChaCha20-Poly1305 is `ring`'s, under the key that HChaCha20 makes of the long one and the nonce's first 16 bytes. The crate that does
//! both takes 2.9 µs to seal 300 bytes, which would be felt on the way of an event; this takes half of it.

use std::fmt;

use chacha20::{cipher::consts::U10, hchacha};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::clock;

/// Bytes of a nonce: 16 that make the key, 8 of the nonce proper.
const NONCE_BYTES: usize = 24;

/// A key to seal with. Does not print.
pub(super) struct Cipher(Zeroizing<[u8; 32]>);

/// It does not open: another key, another place, or other bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unopened;

impl fmt::Display for Unopened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it was not sealed with this key for this place")
    }
}

impl std::error::Error for Unopened {}

impl Cipher {
    /// One with this key.
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self(Zeroizing::new(key))
    }

    /// `bytes` sealed for the place `aad`: the nonce, the sealed bytes, their tag. `None`: there are more than 256 GiB of them.
    pub(super) fn seal(&self, aad: &[u8], bytes: &[u8]) -> Option<Vec<u8>> {
        let nonce = clock::random::<NONCE_BYTES>();
        let (key, short) = self.under(&nonce)?;
        let mut sealed = Vec::with_capacity(NONCE_BYTES + bytes.len() + CHACHA20_POLY1305.tag_len());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(bytes);
        let tag = key.seal_in_place_separate_tag(short, Aad::from(aad), &mut sealed[NONCE_BYTES..]).ok()?;
        sealed.extend_from_slice(tag.as_ref());
        Some(sealed)
    }

    /// What [`Cipher::seal`] made, opened in its place.
    pub(super) fn open(&self, aad: &[u8], mut sealed: Vec<u8>) -> Result<Vec<u8>, Unopened> {
        let nonce = sealed.first_chunk::<NONCE_BYTES>().copied().ok_or(Unopened)?;
        let (key, short) = self.under(&nonce).ok_or(Unopened)?;
        // The opened bytes are moved to the front.
        let opened = key.open_within(short, Aad::from(aad), &mut sealed, NONCE_BYTES..).map_err(|_| Unopened)?.len();
        sealed.truncate(opened);
        Ok(sealed)
    }

    /// The key and the nonce one value is sealed with.
    fn under(&self, nonce: &[u8; NONCE_BYTES]) -> Option<(LessSafeKey, Nonce)> {
        let (first, last) = nonce.split_first_chunk::<16>()?;
        let key = hchacha::<U10>(&(*self.0).into(), &(*first).into());
        let mut short = [0; 12];
        short[4..].copy_from_slice(last);
        let key = UnboundKey::new(&CHACHA20_POLY1305, &key).ok()?;
        Some((LessSafeKey::new(key), Nonce::assume_unique_for_key(short)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// draft-irtf-cfrg-xchacha-03, appendix A.3.1.
    #[test]
    fn the_example_of_the_draft_opens() {
        let text: &[u8] =
            b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
        let aad = hex::decode("50515253c0c1c2c3c4c5c6c7").expect("hexadecimal");
        let key: [u8; 32] = std::array::from_fn(|n| 0x80 + n as u8);
        let nonce: [u8; NONCE_BYTES] = std::array::from_fn(|n| 0x40 + n as u8);
        let sealed = "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39\
                      ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9\
                      21f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49";
        let sealed = [nonce.as_slice(), &hex::decode(sealed).expect("hexadecimal")].concat();
        assert_eq!(Cipher::new(key).open(&aad, sealed.clone()).as_deref(), Ok(text));
        assert_eq!(Cipher::new(key).open(b"", sealed.clone()), Err(Unopened), "another place");
        assert_eq!(Cipher::new([0; 32]).open(&aad, sealed[..sealed.len() - 1].to_vec()), Err(Unopened), "another key, cut off");
        for short in [0, NONCE_BYTES, NONCE_BYTES + 15] {
            assert_eq!(Cipher::new(key).open(&aad, sealed[..short].to_vec()), Err(Unopened));
        }
    }

    #[test]
    fn what_was_sealed_opens_and_never_looks_the_same() {
        let cipher = Cipher::new([3; 32]);
        for length in [0, 1, 300, 5000] {
            let bytes = vec![7; length];
            let sealed = cipher.seal(b"place", &bytes).expect("sealed");
            assert_ne!(sealed, cipher.seal(b"place", &bytes).expect("sealed"));
            assert_eq!(cipher.open(b"place", sealed), Ok(bytes));
        }
    }
}
