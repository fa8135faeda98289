//! What hyper says went wrong, in our words.

use std::{error::Error, iter::successors};

use hyper_util::client::legacy;

use super::connect::NotConnected;
use crate::model::outcome::{Failure, FailureKind};

/// A request without an answer.
pub(super) fn of_request(name: &str, error: &legacy::Error) -> Failure {
    if let Some(NotConnected(failure)) = find(error) {
        return failure.clone();
    }
    // With TLS 1.3 a server judges our certificate only after the handshake is over for us.
    if let Some(tls) = find::<rustls::Error>(error) {
        return Failure::new(FailureKind::TlsFailed, format!("no TLS with `{name}`: {tls}"));
    }
    if error.is_connect() {
        return Failure::new(FailureKind::ConnectFailed, format!("no HTTP connection to `{name}`: {}", innermost(error)));
    }
    match find::<hyper::Error>(error) {
        Some(error) if error.is_parse_too_large() => {
            Failure::new(FailureKind::ResponseTooLarge, format!("the head of the answer of `{name}` is too long"))
        }
        Some(error) if error.is_incomplete_message() => {
            Failure::new(FailureKind::ResponseBroken, format!("`{name}` closed the connection before its answer was complete"))
        }
        Some(error) if error.is_parse() => {
            Failure::new(FailureKind::ResponseBroken, format!("the answer of `{name}` is not HTTP: {error}"))
        }
        _ => Failure::new(FailureKind::ResponseBroken, format!("the connection to `{name}` broke off: {}", innermost(error))),
    }
}

/// An answer whose body cannot be read to its end.
pub(super) fn of_body(name: &str, error: &hyper::Error) -> Failure {
    Failure::new(FailureKind::ResponseBroken, format!("the answer of `{name}` broke off: {}", innermost(error)))
}

/// The error at the root of it, which is the one that says something.
pub(super) fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    causes(error).last().unwrap_or(error)
}

/// The first of the causes that is an `E`.
pub(super) fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    causes(error).find_map(|error| error.downcast_ref())
}

/// The error and its causes. An `io::Error` that only wraps another error counts as that one, which its `source` passes over.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |error| cause(*error))
}

fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<std::io::Error>() {
        Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    }
}
