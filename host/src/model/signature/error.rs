//! Why a call is not believed.

use super::key::BadKey;

/// Signatures a call may have. Senders that rotate a key send two or three.
pub const SIGNATURES_MAX: usize = 10;
/// Fields of a form that `{params}` may stand for.
pub const SIGNED_PARAMS_MAX: usize = 1000;

/// Why a call is not believed. Says nothing of the secret, nor of what would have been right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// What should prove the origin is not there.
    #[error("the header `{0}` is missing")]
    HeaderMissing(String),
    /// It is there, but cannot be read.
    #[error("the header `{0}` is malformed")]
    Malformed(String),
    /// It is there twice, and which is meant cannot be told.
    #[error("the header `{0}` is given more than once")]
    Twice(String),
    /// More signatures than are looked at.
    #[error("the header `{0}` has more than {SIGNATURES_MAX} signatures")]
    TooManySignatures(String),
    /// Signed too long ago.
    #[error("the call was signed {away_s} s ago; `verify.tolerance_s` allows {tolerance_s} s")]
    TooOld {
        /// Seconds since then.
        away_s: i64,
        /// Seconds that are allowed.
        tolerance_s: i64,
    },
    /// Signed in the future: the sender's clock is wrong, or ours.
    #[error("the call was signed {away_s} s in the future; `verify.tolerance_s` allows {tolerance_s} s")]
    InFuture {
        /// Seconds until then.
        away_s: i64,
        /// Seconds that are allowed.
        tolerance_s: i64,
    },
    /// It proves nothing.
    #[error("the signature or credential matches no secret")]
    Mismatch,
    /// There is no secret to verify with.
    #[error("no secret to verify with")]
    KeyMissing,
    /// A secret cannot be used.
    #[error("a secret to verify with cannot be used: {0}")]
    Key(#[from] BadKey),
    /// What is signed is such a word as the host signs for anybody.
    #[error("what is signed may be a `crc_token`, for which anybody gets a signature: it proves nothing")]
    Challengeable,
    /// A signed form with more in it.
    #[error("a signed form is one `payload` and one signature, and nothing else")]
    UnsignedField,
    /// A body that the signature is not over.
    #[error("the signature is not over the body: it is no form, and `bodySHA256` in the URL is not its digest")]
    UnsignedBody,
    /// A form of more fields than are sorted.
    #[error("a form that is signed by its fields has more than {SIGNED_PARAMS_MAX} of them")]
    TooManyParams,
    /// What was signed can be taken apart in several ways.
    #[error("the header `{0}` and what follows it can be told apart in more than one way")]
    Ambiguous(String),
    /// A URL with characters that no URL has, or whose end cannot be told.
    #[error("where the signed URL ends cannot be told from what follows it")]
    AmbiguousUrl,
    /// A scheme without its rule.
    #[error("the scheme needs the name of a header")]
    RuleMissing,
}
