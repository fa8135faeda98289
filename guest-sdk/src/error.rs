use std::fmt::{self, Display};

use crate::bindings::wit;

/// Why a plugin did not do what it was asked.
///
/// `?` turns a [`serde_json::Error`] and a [`Refused`] into [`Error::Rejected`]; for everything else there is [`OrError`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// This input will never work: the delivery is refused, the call answered 400.
    Rejected(String),
    /// It may work later: the delivery is retried, the call answered 503.
    RetryLater(String),
}

impl Error {
    /// This input will never work, for this reason.
    pub fn rejected(reason: impl Display) -> Self {
        Self::Rejected(reason.to_string())
    }

    /// It may work later; this is why it does not now.
    pub fn retry_later(reason: impl Display) -> Self {
        Self::RetryLater(reason.to_string())
    }

    /// The reason, whichever kind it is.
    pub fn reason(&self) -> &str {
        match self {
            Self::Rejected(reason) | Self::RetryLater(reason) => reason,
        }
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(reason) => write!(f, "rejected: {reason}"),
            Self::RetryLater(reason) => write!(f, "retry later: {reason}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::rejected(error)
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::Rejected(refused.0)
    }
}

impl From<Error> for wit::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Rejected(reason) => Self::Rejected(reason),
            Error::RetryLater(reason) => Self::RetryLater(reason),
        }
    }
}

/// The host did not do what was asked: a grant is missing or a limit is reached. Holds the host's reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(pub String);

impl Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// Turns any error, or a missing value, into an [`Error`] that says what was being done.
///
/// ```
/// use hookwright_guest::{Error, OrError};
///
/// let error = "twelve".parse::<u32>().or_reject("the quantity").unwrap_err();
/// assert_eq!(error, Error::Rejected("the quantity: invalid digit found in string".into()));
/// ```
pub trait OrError<T> {
    /// [`Error::Rejected`] with `what` in front of the reason.
    fn or_reject(self, what: impl Display) -> Result<T, Error>;
    /// [`Error::RetryLater`] with `what` in front of the reason.
    fn or_retry_later(self, what: impl Display) -> Result<T, Error>;
}

impl<T, E: Display> OrError<T> for Result<T, E> {
    fn or_reject(self, what: impl Display) -> Result<T, Error> {
        self.map_err(|error| Error::Rejected(format!("{what}: {error}")))
    }

    fn or_retry_later(self, what: impl Display) -> Result<T, Error> {
        self.map_err(|error| Error::RetryLater(format!("{what}: {error}")))
    }
}

impl<T> OrError<T> for Option<T> {
    fn or_reject(self, what: impl Display) -> Result<T, Error> {
        self.ok_or_else(|| Error::Rejected(format!("{what} is missing")))
    }

    fn or_retry_later(self, what: impl Display) -> Result<T, Error> {
        self.ok_or_else(|| Error::RetryLater(format!("{what} is missing")))
    }
}
