//! A value as it is stored: whole or in pieces, in clear or sealed.

use super::{error::StoreError, key, storage_key::StorageKey};

/// Values longer than this are cut into pieces of this size. Seventeen of them fit in a page of the tree.
pub(super) const CHUNK_BYTES: usize = 4096;

/// The first byte of a value kept whole.
const WHOLE: u8 = 0;
/// The first byte of a value kept in pieces: their stamp and number follow.
const IN_PIECES: u8 = 1;
/// As [`WHOLE`], sealed.
const SEALED: u8 = 2;
/// As [`IN_PIECES`], sealed before it was cut.
const SEALED_IN_PIECES: u8 = 3;

/// What stands under a key without a value.
pub(super) const MARK: &[u8] = &[WHOLE];

/// What values are sealed with. Without a key what is sealed can be neither read nor written.
pub(super) struct Values(pub(super) Option<StorageKey>);

impl Values {
    /// The value under `key` from what is stored; `None` when a piece is gone.
    pub(super) fn assemble(
        &self,
        key: &[u8],
        raw: &[u8],
        piece: impl FnMut(&[u8]) -> Result<Option<Vec<u8>>, StoreError>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(value) = assemble(raw, piece)? else { return Ok(None) };
        match raw.first() {
            Some(&(SEALED | SEALED_IN_PIECES)) => self.sealing_key()?.open_row(key, value).map(Some),
            _ => Ok(Some(value)),
        }
    }

    /// `value` as it is stored under `key`, and its pieces when it is long.
    pub(super) fn encode(
        &self,
        key: &[u8],
        value: &[u8],
        is_sealed: bool,
        stamp: impl FnOnce() -> u64,
    ) -> Result<(Vec<u8>, Vec<Piece>), StoreError> {
        match is_sealed {
            true => Ok(encode([SEALED, SEALED_IN_PIECES], &self.sealing_key()?.seal_row(key, value)?, stamp)),
            false => Ok(encode([WHOLE, IN_PIECES], value, stamp)),
        }
    }

    fn sealing_key(&self) -> Result<&StorageKey, StoreError> {
        self.0.as_ref().ok_or_else(|| StoreError::unavailable("read what is sealed", "it was opened without its key"))
    }
}

/// Whether a value as stored has no pieces.
pub(super) fn is_whole(raw: &[u8]) -> bool {
    matches!(raw.first(), Some(&(WHOLE | SEALED)))
}

/// A piece of a long value under its own key.
pub(super) type Piece = (Vec<u8>, Vec<u8>);

/// `value` behind the first of the two bytes, or cut into pieces that stand behind the second.
fn encode([whole, in_pieces]: [u8; 2], value: &[u8], stamp: impl FnOnce() -> u64) -> (Vec<u8>, Vec<Piece>) {
    if value.len() <= CHUNK_BYTES {
        return ([&[whole], value].concat(), Vec::new());
    }
    let stamp = stamp();
    let pieces: Vec<_> = (0..).zip(value.chunks(CHUNK_BYTES)).map(|(n, piece)| (key::chunk(stamp, n), piece.to_vec())).collect();
    let count = u32::try_from(pieces.len()).unwrap_or(u32::MAX);
    ([&[in_pieces], stamp.to_be_bytes().as_slice(), &count.to_be_bytes()].concat(), pieces)
}

/// A number as it is stored.
pub(super) fn encode_number(number: u64) -> Vec<u8> {
    encode([WHOLE, IN_PIECES], number.to_string().as_bytes(), || 0).0
}

/// The keys of the pieces of a value as stored.
pub(super) fn pieces(raw: &[u8]) -> impl Iterator<Item = Vec<u8>> + use<> {
    let head = raw.split_first().filter(|(kind, _)| [IN_PIECES, SEALED_IN_PIECES].contains(*kind)).and_then(|(_, head)| {
        let stamp = u64::from_be_bytes(head.get(..8)?.try_into().ok()?);
        Some((stamp, u32::from_be_bytes(head.get(8..12)?.try_into().ok()?)))
    });
    let (stamp, count) = head.unwrap_or_default();
    (0..count).map(move |n| key::chunk(stamp, n))
}

/// A value from what is stored, as sealed as it is; `None` when a piece is gone.
fn assemble(raw: &[u8], mut piece: impl FnMut(&[u8]) -> Result<Option<Vec<u8>>, StoreError>) -> Result<Option<Vec<u8>>, StoreError> {
    if is_whole(raw) {
        return Ok(Some(raw[1..].to_vec()));
    }
    let mut value = Vec::new();
    for key in pieces(raw) {
        match piece(&key)? {
            Some(bytes) => value.extend_from_slice(&bytes),
            None => return Ok(None),
        }
    }
    Ok(Some(value))
}
