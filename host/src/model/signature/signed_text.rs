//! What a signature is over: the pieces of a signed text, what stands for them in a call, and whether the text can be read in one way alone.

use http::HeaderMap;
use sha2::{Digest, Sha256};

use super::{
    error::{SIGNED_PARAMS_MAX, VerifyError},
    esri::is_form,
    given::header,
};

/// A piece of what is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedPart<'a> {
    /// As it stands there.
    Text(&'a str),
    /// The raw body.
    Body,
    /// The time.
    Timestamp,
    /// The identifier.
    Id,
    /// The method.
    Method,
    /// The whole URL that was called.
    Url,
    /// The fields of a form.
    Params,
}

/// Splits the text of `signed` into pieces. The error is the first unknown placeholder.
pub(super) fn read_pieces(signed: &str) -> Result<Vec<SignedPart<'_>>, &str> {
    let (mut pieces, mut rest) = (Vec::new(), signed);
    while let Some(open) = rest.find('{') {
        let length = rest[open..].find('}').ok_or(&rest[open..])? + 1;
        if open > 0 {
            pieces.push(SignedPart::Text(&rest[..open]));
        }
        pieces.push(match &rest[open..open + length] {
            "{body}" => SignedPart::Body,
            "{timestamp}" => SignedPart::Timestamp,
            "{id}" => SignedPart::Id,
            "{method}" => SignedPart::Method,
            "{url}" => SignedPart::Url,
            "{params}" => SignedPart::Params,
            other => return Err(other),
        });
        rest = &rest[open + length..];
    }
    if !rest.is_empty() {
        pieces.push(SignedPart::Text(rest));
    }
    Ok(pieces)
}

/// What is wrong with the order of the pieces. Pieces that are only known from the call itself must be told apart from their neighbours.
pub(super) fn problems_of_pieces(pieces: &[SignedPart<'_>]) -> Vec<&'static str> {
    let mut problems = Vec::new();
    let place = |piece: SignedPart<'_>| pieces.iter().position(|other| *other == piece);
    if place(SignedPart::Body).is_none() && place(SignedPart::Params).is_none() {
        problems.push("a signature that is not over the `{body}`, or over its `{params}`, proves nothing of it");
    }
    if place(SignedPart::Params).is_some_and(|at| at + 1 != pieces.len() || place(SignedPart::Body).is_some()) {
        problems.push("`{params}` stands last, and not with `{body}`");
    }
    if let Some(at) = place(SignedPart::Url) {
        if pieces[..at].iter().any(|piece| !matches!(piece, SignedPart::Text(_) | SignedPart::Method | SignedPart::Timestamp)) {
            problems.push("`{url}` stands before `{id}`, `{body}` and `{params}`");
        }
        let runs_on = |piece: &SignedPart<'_>| match piece {
            SignedPart::Text(text) => text.bytes().next().is_some_and(|byte| is_of_urls(&byte)),
            SignedPart::Id | SignedPart::Method | SignedPart::Url => true,
            SignedPart::Body | SignedPart::Timestamp | SignedPart::Params => false,
        };
        if pieces.get(at + 1).is_some_and(runs_on) {
            problems.push("what follows `{url}` begins with a character that no URL has, or is `{body}`, `{timestamp}` or `{params}`");
        }
    }
    let is_known = |piece: &SignedPart<'_>| matches!(piece, SignedPart::Text(_));
    if place(SignedPart::Method).is_some_and(|at| !pieces[..at].iter().all(is_known)) {
        problems.push("`{method}` stands before all other placeholders");
    }
    problems
}

/// What stands for the placeholders of a signed text.
#[derive(Clone, Copy, Debug, Default)]
pub struct SignedValues<'a> {
    /// As its header has it.
    pub time: &'a [u8],
    /// As its header has it.
    pub id: &'a [u8],
    /// Byte for byte.
    pub body: &'a [u8],
    /// In upper case.
    pub method: &'a [u8],
    /// As it was called.
    pub url: &'a [u8],
    /// Names and values, sorted.
    pub params: &'a [u8],
}

impl<'a> SignedValues<'a> {
    /// The bytes of a piece.
    pub fn of<'p: 'a>(&self, piece: &SignedPart<'p>) -> &'a [u8] {
        match piece {
            SignedPart::Text(text) => text.as_bytes(),
            SignedPart::Body => self.body,
            SignedPart::Timestamp => self.time,
            SignedPart::Id => self.id,
            SignedPart::Method => self.method,
            SignedPart::Url => self.url,
            SignedPart::Params => self.params,
        }
    }

    /// Whether what was signed can be taken apart in this way alone. Otherwise somebody who overheard a call moves the end of one piece into
    /// the next, and what is read is not what was signed although its bytes are. `{params}` is not looked into: the senders that sign it put
    /// nothing between a name and its value.
    pub fn is_told_apart(&self, pieces: &[SignedPart<'_>]) -> bool {
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-".contains(byte);
        let is_plain_id = || self.id.iter().all(is_word);
        let mut has_body = false;
        pieces.iter().enumerate().all(|(at, piece)| {
            has_body |= *piece == SignedPart::Body;
            match (piece, pieces.get(at + 1)) {
                (SignedPart::Id, Some(SignedPart::Text(text))) => {
                    let is_before_time = pieces.get(at + 2) == Some(&SignedPart::Timestamp);
                    self.ends_at_first(text.as_bytes(), is_before_time)
                }
                (SignedPart::Text(text), Some(SignedPart::Id)) if has_body => self.begins_at_last(text.as_bytes()),
                (SignedPart::Id, Some(SignedPart::Timestamp)) => {
                    let joined = [self.id, self.time].concat();
                    (0..self.id.len()).all(|at| !may_begin_time(&joined[at..]))
                }
                (SignedPart::Timestamp, Some(SignedPart::Id)) => {
                    let joined = [self.time, self.id].concat();
                    let is_last = || (1..joined.len()).all(|at| !may_begin_time(&joined[at..]));
                    !self.id.first().is_some_and(u8::is_ascii_digit) && (!has_body || is_last())
                }
                (SignedPart::Id, Some(SignedPart::Body)) => is_plain_id() && !self.body.first().is_some_and(is_word),
                (SignedPart::Body, Some(SignedPart::Id)) => is_plain_id() && !self.body.last().is_some_and(is_word),
                (SignedPart::Timestamp, Some(SignedPart::Body)) => !self.body.first().is_some_and(u8::is_ascii_digit),
                (SignedPart::Body, Some(SignedPart::Timestamp)) => !self.body.last().is_some_and(u8::is_ascii_digit),
                (SignedPart::Url, next) => self.is_one_url(next, pieces.get(at + 2)),
                _ => true,
            }
        })
    }

    /// Whether the first `text` behind the beginning of the id is that behind its end; before a time only those count that a time may follow.
    fn ends_at_first(&self, text: &[u8], is_before_time: bool) -> bool {
        let joined = [self.id, text, self.time].concat();
        (0..self.id.len()).all(|at| {
            let behind = joined[at..].strip_prefix(text);
            behind.is_none_or(|behind| is_before_time && !has_time_digits(behind) && !begins_rfc3339(behind))
        })
    }

    /// Whether the last `text` before the end of the id is that before its beginning.
    fn begins_at_last(&self, text: &[u8]) -> bool {
        let joined = [text, self.id].concat();
        (1..joined.len()).all(|at| !joined[at..].starts_with(text))
    }

    /// Whether the URL holds nothing but what URLs have, and what follows it goes on with something else.
    fn is_one_url(&self, next: Option<&SignedPart<'_>>, after: Option<&SignedPart<'_>>) -> bool {
        let ends_with_digit = self.url.last().is_some_and(u8::is_ascii_digit);
        self.url.iter().all(is_of_urls)
            && match (next, self.body.first()) {
                (Some(SignedPart::Body), Some(first)) => !is_of_urls(first),
                (Some(SignedPart::Body), None) => after != Some(&SignedPart::Timestamp) || !ends_with_digit,
                (Some(SignedPart::Timestamp), _) => !ends_with_digit,
                _ => true,
            }
    }
}

/// Whether a URL may have this byte in its path and query (RFC 3986). Not `[` and `]`, which only hosts have.
fn is_of_urls(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?#@!$&'()*+,;=%".contains(byte)
}

/// Digits of a time that can be near now: Unix seconds have ten.
const TIME_DIGITS_MIN: usize = 10;

fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

fn has_time_digits(text: &[u8]) -> bool {
    digits(text) >= TIME_DIGITS_MIN
}

/// Whether a time that is near now may begin here: seconds have 10 digits from 2001 to 2286, milliseconds 13, and none has a zero in front.
fn may_begin_time(text: &[u8]) -> bool {
    (matches!(digits(text), 10 | 13) && text[0] != b'0') || begins_rfc3339(text)
}

/// Whether a text begins as `2026-01-31T` does.
fn begins_rfc3339(text: &[u8]) -> bool {
    let is_date =
        |head: &[u8]| head.iter().enumerate().all(|(at, byte)| if matches!(at, 4 | 7) { *byte == b'-' } else { byte.is_ascii_digit() });
    text.get(..10).is_some_and(is_date) && text.get(10).is_some_and(|byte| b"Tt ".contains(byte))
}

/// Unix seconds of a time as senders write it: decimal digits, which are milliseconds where there are more of them than seconds have had since
/// 1970 or will have before the year 5000; or RFC 3339. No sender writes a sign, a space or a zero in front.
pub(super) fn seconds(text: &str) -> Option<i64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number: i64 = Some(text).filter(|text| *text == "0" || !text.starts_with('0'))?.parse().ok()?;
        return Some(if number < 100_000_000_000 { number } else { number / 1000 });
    }
    Some(text).filter(|text| is_rfc3339(text.as_bytes()))?.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second)
}

/// `2026-01-31T12:00:00.25Z` or with `+01:00` at its end, and nothing shorter: no such time is the beginning of another.
fn is_rfc3339(text: &[u8]) -> bool {
    let two = |text: &[u8]| text.len() == 2 && text.iter().all(u8::is_ascii_digit);
    let is_offset = |text: &[u8]| match text {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', hours_and_minutes @ ..] => {
            hours_and_minutes.len() == 5 && hours_and_minutes[2] == b':' && two(&hours_and_minutes[..2]) && two(&hours_and_minutes[3..])
        }
        _ => false,
    };
    let Some((date, time)) = text.split_at_checked(11).filter(|(date, _)| begins_rfc3339(date)) else { return false };
    let Some((clock, rest)) = time.split_at_checked(8) else { return false };
    let is_clock = clock.split(|byte| *byte == b':').map(two).eq([true; 3]);
    let rest = match rest.split_first() {
        Some((b'.', fraction)) if digits(fraction) > 0 => &fraction[digits(fraction)..],
        _ => rest,
    };
    date.len() == 11 && is_clock && is_offset(rest)
}

/// What `{params}` stands for: the fields of a form, sorted by name and value, each once, names and values without anything between (Twilio
/// Docs, "Webhooks security"). Another body is no part of it: its SHA-256 must be in the URL, as `bodySHA256`. A URL that has one is for that
/// body alone.
pub(super) fn params(headers: &HeaderMap, body: &[u8], url: &str) -> Result<Vec<u8>, VerifyError> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let mut digests = url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "bodySHA256");
    let is_of_body = |text: &str| hex::decode(text).is_ok_and(|digest| digest == Sha256::digest(body).as_slice());
    let has_digest = match (digests.next(), digests.next()) {
        (None, _) => false,
        (Some((_, digest)), None) if is_of_body(&digest) => true,
        _ => return Err(VerifyError::UnsignedBody),
    };
    if !header(headers, "content-type").is_ok_and(|value| std::str::from_utf8(value).is_ok_and(is_form)) {
        return if has_digest || body.is_empty() { Ok(Vec::new()) } else { Err(VerifyError::UnsignedBody) };
    }
    if memchr::memchr_iter(b'&', body).count() >= SIGNED_PARAMS_MAX {
        return Err(VerifyError::TooManyParams);
    }
    let mut fields: Vec<_> = url::form_urlencoded::parse(body).collect();
    fields.sort_unstable();
    fields.dedup();
    Ok(fields.into_iter().flat_map(|(name, value)| [name, value]).flat_map(|text| text.into_owned().into_bytes()).collect())
}
