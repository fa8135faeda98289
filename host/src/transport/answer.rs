//! An answer: its head, and its body as far as it came and can be read.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response, StatusCode, header::RETRY_AFTER};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};

use super::{
    coding::{self, Coding, Decoded},
    failure,
};
use crate::model::{
    health::retry_after,
    outcome::{Failure, FailureKind},
};

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body without its content coding: the whole of it, or what there is if it cannot be read.
    pub body: Bytes,
    /// Why the body is not whole or cannot be read.
    pub body_failure: Option<Failure>,
    /// Whether the body was in a content coding that the headers still name.
    pub decoded: bool,
}

impl Answer {
    /// For how long it asks to be left alone.
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        retry_after(self.headers.get_all(RETRY_AFTER).iter().filter_map(|value| value.to_str().ok()), now)
    }

    /// The body, if it is whole.
    pub fn whole(&self) -> Result<&Bytes, &Failure> {
        self.body_failure.as_ref().map_or(Ok(&self.body), Err)
    }
}

/// Within which limits an answer is read.
pub(super) struct Reading<'a> {
    pub name: &'a str,
    pub deadline: Instant,
    /// As the deadline was set.
    pub total_time_max: Duration,
    pub bytes_max: usize,
}

impl Reading<'_> {
    /// Reads the body, up to its end or the first limit. A connection whose answer is not read to its end is given up.
    pub(super) async fn answer(&self, response: Response<Incoming>) -> Answer {
        let (head, body) = response.into_parts();
        let codings = coding::of(&head.headers);
        // What is coded may, at worst, be a little longer than what it stands for.
        let sent_max = if codings.is_empty() { self.bytes_max } else { coding::coded_bytes_max(self.bytes_max) };
        let mut sent = BytesMut::new();
        let read = timeout_at(self.deadline, self.read(body, &mut sent, sent_max)).await;
        let cut = read.unwrap_or_else(|_| Err(self.late(head.status))).err();
        let sent = sent.freeze();
        let (body, body_failure) = if codings.is_empty() || sent.is_empty() { (sent, cut) } else { self.decoded(sent, &codings, cut) };
        Answer { status: head.status.as_u16(), headers: head.headers, body, body_failure, decoded: !codings.is_empty() }
    }

    async fn read(&self, mut body: Incoming, sent: &mut BytesMut, bytes_max: usize) -> Result<(), Failure> {
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| failure::of_body(self.name, &error))?;
            let Ok(data) = frame.into_data() else { continue };
            let room = bytes_max - sent.len();
            sent.extend_from_slice(&data[..data.len().min(room)]);
            if data.len() > room {
                return Err(self.too_large());
            }
        }
        Ok(())
    }

    fn decoded(&self, sent: Bytes, codings: &[Coding], cut: Option<Failure>) -> (Bytes, Option<Failure>) {
        match coding::decode(&sent, codings, self.bytes_max) {
            Decoded::Whole(body) => (body.into(), cut),
            Decoded::TooLarge(body) => (body.into(), Some(self.too_large())),
            Decoded::Broken(body, why) => {
                let broken =
                    || Failure::new(FailureKind::ResponseInvalid, format!("the answer of `{}` cannot be decoded: {why}", self.name));
                (body.into(), Some(cut.unwrap_or_else(broken)))
            }
        }
    }

    fn too_large(&self) -> Failure {
        let Self { name, bytes_max, .. } = self;
        Failure::new(
            FailureKind::ResponseTooLarge,
            format!("the answer of `{name}` is longer than `response_bytes_max`, {bytes_max} bytes"),
        )
    }

    fn late(&self, status: StatusCode) -> Failure {
        let Self { name, total_time_max, .. } = self;
        Failure::new(FailureKind::Timeout, format!("`{name}` answered {status}, but not completely within {total_time_max:?}"))
    }
}
