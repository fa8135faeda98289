//! The body of a request. Nothing is read before a handler asks for it, and no more than the budgets (`bodies`) have room for. The rest of a
//! refused body is discarded within bounds.

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

/// Bytes reserved for a body that does not say how long it is. If it is longer, room for the longest allowed body is reserved.
const FIRST_BYTES: usize = 64 * 1024;
/// Bytes of a refused body that are read and discarded.
const DISCARDED_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How long a client may go on sending a refused body.
const DISCARD_TIME_MAX: Duration = Duration::from_secs(10);

/// The body of a request that is being answered. Dropping it gives back the room it holds.
pub struct RequestBody {
    incoming: Incoming,
    services: Services,
    /// The length the client gave.
    announced: Option<usize>,
    /// The sender's address. Absent: a trusted proxy sent it and does not say for whom.
    address: Option<IpAddr>,
    is_http2: bool,
    /// The client waits for `100 Continue`: it sends no body unless the host reads it.
    expects_continue: bool,
    buffer: Buffer,
    is_whole: bool,
    held: Vec<Held>,
    deadline: Option<Instant>,
}

/// The bytes read so far. One piece is kept as it came; several are copied together, because pieces may be as short as a byte.
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
    /// The body of the request with these `parts`, which `remote` sends.
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

    /// Reads all of it, if it is no longer than `max`. `token`: whose budget it counts for, besides the address's.
    pub async fn read(&mut self, max: usize, token: Option<&TokenRecord>) -> Result<Bytes, ApiError> {
        // A body that announces too many bytes is refused before the client is told to send it.
        if self.announced.is_some_and(|bytes| bytes > max) || !self.begin(max, token).await? {
            return Err(ApiError::TooLarge(max));
        }
        Ok(std::mem::replace(&mut self.buffer, Buffer::One(Bytes::new())).into_bytes())
    }

    /// Reads until the body is complete or has more than `bytes`. True: it is complete.
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

    /// The length the client gave.
    pub fn announced(&self) -> Option<usize> {
        self.announced
    }

    /// Whether the request has no body.
    pub fn is_empty(&self) -> bool {
        self.is_whole && self.buffer.bytes().is_empty()
    }

    /// The bytes read so far.
    pub fn so_far(&self) -> &[u8] {
        self.buffer.bytes()
    }

    async fn read_on(&mut self) -> Result<(), ApiError> {
        let time_max = self.services.limits.http.body_time_max;
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + time_max);
        match tokio::time::timeout_at(deadline, self.incoming.frame()).await {
            Ok(Some(Ok(frame))) => {
                // Trailers are ignored.
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
        // The time spent waiting for room is not the client's.
        if let Some(deadline) = &mut self.deadline {
            *deadline += begun.elapsed();
        }
        Ok(())
    }

    /// Gives back the room beyond the body's length.
    fn give_room_back(&mut self) {
        let mut left = self.buffer.bytes().len() as u64;
        for held in &mut self.held {
            held.shrink(left.min(held.bytes()));
            left -= held.bytes();
        }
    }

    /// Reads and discards what a client goes on sending after its answer. If the connection were closed at once, the client's system would
    /// discard the answer unread (RFC 9112, section 9.6). Too long a body, too slow a client and a stop of the host end it.
    pub fn leave(self) {
        let Self { mut incoming, services, is_http2, expects_continue, .. } = self;
        if incoming.is_end_stream() || expects_continue {
            return;
        }
        // Streams share the connection's window, so each takes longer.
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
