//! What hyper says went wrong, in our words.

use std::fmt;

use h2::Reason;
use hyper_util::client::legacy::{self, connect::Connected};

use super::{
    causes::{causes, find, innermost},
    progress::Progress,
};
use crate::model::outcome::{Failure, FailureKind};

/// A failure on its way through hyper's errors, in which [`of_request`] finds it.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.detail)]
pub(super) struct NotConnected(pub(super) Failure);

/// A request without an answer: what is recorded of it, and whether it may be sent again at once.
pub(super) struct Lost {
    pub failure: Failure,
    pub again: Again,
}

impl Lost {
    /// On a kept connection, a 408 came back that was about the connection.
    pub fn idle_timeout(name: &str) -> Self {
        let detail = format!("`{name}` gave up a connection that was idle (408) as the request went out");
        Self { failure: Failure::new(FailureKind::NoAnswer, detail), again: Again::KeptConnection }
    }
}

/// Whether a request without an answer may be sent again at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// No.
    No,
    /// A connection that had served others before, or that is shared with others over HTTP/2, ended without a byte of an answer: the
    /// endpoint most likely gave it up while the request was on its way.
    KeptConnection,
    /// The endpoint said that it did not process the request, or the request never left.
    NotProcessed,
    /// The endpoint wants it by HTTP/1.1.
    ByHttp1,
}

/// What became of a request without an answer.
pub(super) fn of_request(name: &str, error: &legacy::Error) -> Lost {
    let told = |kind, detail: String, again| Lost { failure: Failure::new(kind, detail), again };
    if let Some(NotConnected(failure)) = find(error) {
        return Lost { failure: failure.clone(), again: Again::No };
    }
    // With TLS 1.3 a server judges our certificate only after the handshake is over for us.
    if let Some(tls) = find::<rustls::Error>(error) {
        return told(FailureKind::TlsFailed, format!("no TLS with `{name}`: {tls}"), Again::No);
    }
    if error.is_connect() {
        return told(FailureKind::ConnectFailed, format!("no HTTP connection to `{name}`: {}", innermost(error)), Again::No);
    }
    let connection = error.connect_info();
    let progress = connection.and_then(Progress::of);
    let is_h2 = connection.is_some_and(Connected::is_negotiated_h2);
    // An HTTP/2 connection is shared: which of its requests was the first cannot be told when it ends under several of them.
    let is_kept = is_h2 || progress.as_ref().is_some_and(Progress::has_answered);
    let kept = if is_kept { Again::KeptConnection } else { Again::No };
    let not_processed = |why: &dyn fmt::Display| {
        told(FailureKind::NotProcessed, format!("`{name}` did not process the request: {why}"), Again::NotProcessed)
    };
    if let Some(error) = find::<h2::Error>(error) {
        let reason = error.reason().filter(|_| error.is_remote());
        return match reason {
            Some(Reason::HTTP_1_1_REQUIRED) => {
                told(FailureKind::NotProcessed, format!("`{name}` wants the request by HTTP/1.1: {error}"), Again::ByHttp1)
            }
            // Streams above the last that GOAWAY names, and streams opened after it (RFC 9113, section 6.8).
            Some(_) if error.is_go_away() => not_processed(error),
            Some(Reason::REFUSED_STREAM) => not_processed(error),
            Some(_) => told(FailureKind::NoAnswer, format!("`{name}` ended the request without an answer: {error}"), Again::No),
            None if error.is_library() => {
                told(FailureKind::ResponseBroken, format!("the answer of `{name}` is not HTTP/2: {error}"), Again::No)
            }
            None => told(FailureKind::NoAnswer, format!("the connection to `{name}` broke off without an answer: {error}"), kept),
        };
    }
    let hyper = find::<hyper::Error>(error);
    match hyper {
        Some(error) if error.is_parse_too_large() => {
            return told(FailureKind::ResponseTooLarge, format!("the head of the answer of `{name}` is too long"), Again::No);
        }
        Some(error) if error.is_parse() => {
            return told(FailureKind::ResponseBroken, format!("the answer of `{name}` is not HTTP: {error}"), Again::No);
        }
        // The connection ended while the request waited for its stream: `is_user` is how hyper says that its task is gone.
        Some(error) if is_h2 && (error.is_canceled() || error.is_user()) => return not_processed(error),
        _ => {}
    }
    // By HTTP/2 an answer that began is an answer: what comes here had none. A server that speaks before it is asked says something that
    // is no end of a connection.
    let began = !is_h2 && progress.is_some_and(|progress| progress.has_begun_to_answer());
    if began || !is_end_of_connection(error) {
        let detail = match hyper {
            Some(error) if error.is_incomplete_message() => format!("`{name}` closed the connection before its answer was complete"),
            _ => format!("the connection to `{name}` broke off: {}", innermost(error)),
        };
        return told(FailureKind::ResponseBroken, detail, Again::No);
    }
    let detail = match hyper {
        Some(error) if error.is_incomplete_message() => format!("`{name}` closed the connection without an answer"),
        _ => format!("the connection to `{name}` broke off without an answer: {}", innermost(error)),
    };
    told(FailureKind::NoAnswer, detail, kept)
}

/// Whether nothing is wrong but that the connection ended.
fn is_end_of_connection(error: &legacy::Error) -> bool {
    let ended = |error: &hyper::Error| error.is_incomplete_message() || error.is_canceled() || error.is_closed() || error.is_timeout();
    // The last of hyper's errors is the one the others came from.
    let hyper = causes(error).filter_map(|cause| cause.downcast_ref::<hyper::Error>()).last();
    hyper.is_none_or(ended) || find::<std::io::Error>(error).is_some()
}

/// An answer whose body cannot be read to its end.
pub(super) fn of_body(name: &str, error: &hyper::Error) -> Failure {
    Failure::new(FailureKind::ResponseBroken, format!("the answer of `{name}` broke off: {}", innermost(error)))
}
