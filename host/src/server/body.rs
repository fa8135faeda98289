//! The body of a request. It is read when a handler asks for it, within the budgets of `bodies`; the rest of a refused body is read and
//! discarded, up to a limit.

use std::{net::IpAddr, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{Version, header::EXPECT, request::Parts};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use tokio::time::Instant;

use super::{caller::network, respond::ApiError};
use crate::{
    bodies::{Held, Owner},
    model::token::TokenRecord,
    services::Services,
};

/// Bytes reserved for a body of unknown length. If the body turns out longer, room for the longest allowed body is reserved.
const FIRST_BYTES: usize = 64 * 1024;
/// Most bytes of a refused body that are read and discarded.
const DISCARDED_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Longest time in which the rest of a refused body is read and discarded.
const DISCARD_TIME_MAX: Duration = Duration::from_secs(10);

/// The body of a request that is being answered. Dropping it gives back the memory it reserved.
pub struct RequestBody {
    incoming: Incoming,
    services: Services,
    /// The length that the client announced; absent: it announced none.
    announced: Option<usize>,
    /// The sender's address; absent: a trusted proxy sent the request and named no client.
    address: Option<IpAddr>,
    is_http2: bool,
    /// The client waits for `100 Continue`: it sends no body until the host reads.
    expects_continue: bool,
    buffer: Buffer,
    is_whole: bool,
    held: Vec<Held>,
    deadline: Option<Instant>,
}

/// The bytes read so far. A single piece is kept without a copy; several are copied together, because a piece may be as short as one
/// byte.
enum Buffer {
    One(Bytes),
    Several(BytesMut),
}

impl Buffer {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::One(bytes) => bytes,
            Self::Several(bytes) => bytes,
        }
    }

    fn push(&mut self, piece: Bytes) {
        match self {
            Self::One(bytes) if bytes.is_empty() => *bytes = piece,
            Self::One(bytes) => {
                let mut several = BytesMut::with_capacity(2 * (bytes.len() + piece.len()));
                several.extend_from_slice(bytes);
                several.extend_from_slice(&piece);
                *self = Self::Several(several);
            }
            Self::Several(bytes) => bytes.extend_from_slice(&piece),
        }
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Self::One(bytes) => bytes,
            Self::Several(bytes) => bytes.freeze(),
        }
    }
}

impl RequestBody {
    /// The body of the request with these `parts`, sent by `remote`.
    pub fn new(incoming: Incoming, services: Services, parts: &Parts, remote: IpAddr) -> Self {
        let settings = &services.limits.http;
        Self {
            announced: incoming.size_hint().exact().map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
            address: (!settings.trusts(remote)).then(|| network(remote)),
            is_http2: parts.version == Version::HTTP_2,
            expects_continue: parts.headers.contains_key(EXPECT),
            buffer: Buffer::One(Bytes::new()),
            is_whole: incoming.is_end_stream(),
            held: Vec::new(),
            deadline: None,
            incoming,
            services,
        }
    }

    /// Reads the whole body, if it has at most `max` bytes. The bytes count in the budget of the sender's address and in that of `token`.
    pub async fn read(&mut self, max: usize, token: Option<&TokenRecord>) -> Result<Bytes, ApiError> {
        // Refuse a body that announces too many bytes before the client is told to send it.
        if self.announced.is_some_and(|bytes| bytes > max) || !self.begin(max, token).await? {
            return Err(ApiError::TooLarge(max));
        }
        Ok(std::mem::replace(&mut self.buffer, Buffer::One(Bytes::new())).into_bytes())
    }

    /// Reads until the body is complete or more than `bytes` are read. Returns whether it is complete.
    pub async fn begin(&mut self, bytes: usize, token: Option<&TokenRecord>) -> Result<bool, ApiError> {
        while !self.is_whole {
            let length = self.buffer.bytes().len();
            if length > bytes || length == bytes && self.announced.is_some_and(|announced| announced > bytes) {
                return Ok(false);
            }
            let may_come = self.announced.unwrap_or(if length < FIRST_BYTES { FIRST_BYTES } else { usize::MAX });
            self.make_room(may_come.min(bytes), token).await?;
            self.read_on().await?;
        }
        self.give_room_back();
        Ok(self.buffer.bytes().len() <= bytes)
    }

    pub fn announced(&self) -> Option<usize> {
        self.announced
    }

    pub fn is_empty(&self) -> bool {
        self.is_whole && self.buffer.bytes().is_empty()
    }

    pub fn so_far(&self) -> &[u8] {
        self.buffer.bytes()
    }

    async fn read_on(&mut self) -> Result<(), ApiError> {
        let time_max = self.services.limits.http.body_time_max;
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + time_max);
        match tokio::time::timeout_at(deadline, self.incoming.frame()).await {
            Ok(Some(Ok(frame))) => {
                if let Ok(piece) = frame.into_data() {
                    self.buffer.push(piece);
                }
                self.is_whole = self.incoming.is_end_stream();
                Ok(())
            }
            Ok(None) => {
                self.is_whole = true;
                Ok(())
            }
            Ok(Some(Err(error))) => Err(ApiError::invalid("", format!("the body broke off: {error}"))),
            Err(_) => Err(ApiError::invalid("", format!("the body did not arrive within {} seconds", time_max.as_secs()))),
        }
    }

    async fn make_room(&mut self, bytes: usize, token: Option<&TokenRecord>) -> Result<(), ApiError> {
        let missing = (bytes as u64).saturating_sub(self.held.iter().map(Held::bytes).sum());
        if missing == 0 {
            return Ok(());
        }
        let owners = [self.address.map(Owner::Address), token.map(|token| Owner::Token(token.number()))];
        let begun = Instant::now();
        let services = &self.services;
        let taken = tokio::select! {
            biased;
            taken = services.bodies.take(owners, missing, services.limits.http.body_wait_max) => taken,
            () = services.stop.cancelled() => return Err(ApiError::Unavailable("the host is stopping".to_owned())),
        };
        self.held.push(taken.map_err(|full| ApiError::Unavailable(full.to_string()))?);
        // The client gets back the time that it spent waiting for memory.
        if let Some(deadline) = &mut self.deadline {
            *deadline += begun.elapsed();
        }
        Ok(())
    }

    /// Gives back the memory that was reserved beyond the body's length.
    fn give_room_back(&mut self) {
        let mut left = self.buffer.bytes().len() as u64;
        for held in &mut self.held {
            held.shrink(left.min(held.bytes()));
            left -= held.bytes();
        }
    }

    /// Reads and discards what the client still sends after it was answered. If we closed the connection at once, the client's system
    /// would discard the answer unread (RFC 9112, section 9.6). It stops after too many bytes, after too much time, and when the host
    /// stops.
    pub fn leave(self) {
        let Self { mut incoming, services, is_http2, expects_continue, .. } = self;
        if incoming.is_end_stream() || expects_continue {
            return;
        }
        // Streams share the window of their connection, so each takes longer.
        let time_max = if is_http2 { services.limits.http.body_time_max.max(DISCARD_TIME_MAX) } else { DISCARD_TIME_MAX };
        let stop = services.stop.clone();
        tokio::spawn(tokio::time::timeout(time_max, async move {
            let taken = async {
                let mut bytes = 0;
                while let Some(Ok(frame)) = incoming.frame().await {
                    bytes += frame.data_ref().map_or(0, Bytes::len);
                    if bytes > DISCARDED_BYTES_MAX {
                        break;
                    }
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = taken => {}
            }
        }));
    }
}
