//! Content codings of answers: gzip and deflate, decoded within the limit for the body.

use std::io::Read;

use flate2::bufread::{DeflateDecoder, GzDecoder, ZlibDecoder};
use http::{HeaderMap, header::CONTENT_ENCODING};

/// What a request says in `accept-encoding`, unless somebody wrote another.
pub const UNDERSTOOD: &str = "gzip, deflate";
/// Codings on top of each other; more is no answer anybody means.
const LAYERS_MAX: usize = 2;
/// Members of one gzip body. Each takes the time of a new decoder, also an empty one.
const MEMBERS_MAX: usize = 1024;
/// What every gzip member begins with (RFC 1952, section 2.3.1).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Bytes decoded before more room is made.
const CHUNK_BYTES: u64 = 16 * 1024;

/// One coding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Deflate,
    /// One that is not understood.
    Unknown(String),
}

/// What came of a coded body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    /// All of it.
    Whole(Vec<u8>),
    /// As much as the limit allows; there is more.
    TooLarge(Vec<u8>),
    /// As much as could be decoded, and what is wrong with the rest.
    Broken(Vec<u8>, String),
}

/// The codings of an answer, in the order they were applied. `identity` is left out.
pub(super) fn of(headers: &HeaderMap) -> Vec<Coding> {
    let mut codings = Vec::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        for name in String::from_utf8_lossy(value.as_bytes()).split(',') {
            match name.trim().to_ascii_lowercase().as_str() {
                "" | "identity" => {}
                "gzip" | "x-gzip" => codings.push(Coding::Gzip),
                "deflate" => codings.push(Coding::Deflate),
                other => codings.push(Coding::Unknown(other.chars().take(32).collect())),
            }
        }
    }
    codings
}

/// How long a coded body may be that stands for `bytes_max`: what does not shrink grows by a few bytes for each block, and by headers.
pub(super) fn coded_bytes_max(bytes_max: usize) -> usize {
    bytes_max.saturating_add(bytes_max / 64).saturating_add(1024)
}

/// Takes the codings off, last one first. No more than `bytes_max` bytes are ever decoded of one.
pub(super) fn decode(sent: &[u8], codings: &[Coding], bytes_max: usize) -> Decoded {
    if codings.len() > LAYERS_MAX {
        return Decoded::Broken(Vec::new(), format!("it has {} content codings on top of each other", codings.len()));
    }
    let mut body = sent.to_vec();
    for (left, coding) in codings.iter().enumerate().rev() {
        let max = if left == 0 { bytes_max } else { coded_bytes_max(bytes_max) };
        let decoded = match coding {
            Coding::Gzip => gzip(&body, max),
            Coding::Deflate => deflate(&body, max),
            Coding::Unknown(name) => Decoded::Broken(Vec::new(), format!("the content coding `{name}` is not understood")),
        };
        body = match decoded {
            Decoded::Whole(body) => body,
            // What is still coded is of no use to anybody.
            Decoded::TooLarge(body) => return Decoded::TooLarge(if left == 0 { body } else { Vec::new() }),
            Decoded::Broken(body, why) => return Decoded::Broken(if left == 0 { body } else { Vec::new() }, why),
        };
    }
    Decoded::Whole(body)
}

/// One member after the other; what follows the last is padding (RFC 1952, section 2.2; GNU gzip ignores it too).
fn gzip(sent: &[u8], max: usize) -> Decoded {
    let (mut body, mut rest) = (Vec::new(), sent);
    for _ in 0..MEMBERS_MAX {
        let mut decoder = GzDecoder::new(rest);
        if let Some(ended) = drain(&mut decoder, &mut body, max) {
            return ended;
        }
        rest = decoder.into_inner();
        if !rest.starts_with(&GZIP_MAGIC) {
            return Decoded::Whole(body);
        }
    }
    Decoded::Broken(body, format!("it has more than {MEMBERS_MAX} gzip members"))
}

/// `deflate` is the zlib format (RFC 9110, section 8.4.1.2); some servers leave its two bytes of header out.
fn deflate(sent: &[u8], max: usize) -> Decoded {
    let is_zlib = matches!(sent, [method, flags, ..] if method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]).is_multiple_of(31));
    let mut body = Vec::new();
    let ended = match is_zlib {
        true => drain(&mut ZlibDecoder::new(sent), &mut body, max),
        false => drain(&mut DeflateDecoder::new(sent), &mut body, max),
    };
    ended.unwrap_or(Decoded::Whole(body))
}

/// Reads `decoder` to its end, which is `None`, or until something ends it before.
fn drain(decoder: &mut impl Read, body: &mut Vec<u8>, max: usize) -> Option<Decoded> {
    loop {
        // One byte more than may be: that there is more has to be seen.
        let room = (max - body.len()) as u64 + 1;
        match decoder.by_ref().take(room.min(CHUNK_BYTES)).read_to_end(body) {
            Ok(0) => return None,
            Ok(_) if body.len() > max => {
                body.truncate(max);
                return Some(Decoded::TooLarge(std::mem::take(body)));
            }
            Ok(_) => {}
            Err(error) => {
                body.truncate(max);
                return Some(Decoded::Broken(std::mem::take(body), error.to_string()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{
        Compression,
        write::{DeflateEncoder, GzEncoder, ZlibEncoder},
    };
    use http::HeaderValue;

    use super::*;

    fn gzipped(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    const SAID: &[u8] = br#"{"received":true}"#;

    #[test]
    fn codings_are_read_in_the_order_they_were_applied() {
        let of = |values: &[&'static str]| of(&values.iter().map(|value| (CONTENT_ENCODING, HeaderValue::from_static(value))).collect());
        assert_eq!(of(&[]), []);
        assert_eq!(of(&["identity", " "]), []);
        assert_eq!(of(&["X-GZip, br", "deflate"]), [Coding::Gzip, Coding::Unknown("br".to_owned()), Coding::Deflate]);
    }

    #[test]
    fn what_is_coded_is_decoded_up_to_the_last_byte_of_the_limit() {
        let whole = |sent: &[u8], codings: &[Coding]| assert_eq!(decode(sent, codings, SAID.len()), Decoded::Whole(SAID.to_vec()));
        whole(&gzipped(SAID), &[Coding::Gzip]);
        whole(&[gzipped(&SAID[..5]), gzipped(&SAID[5..])].concat(), &[Coding::Gzip]);
        whole(&[gzipped(SAID), vec![0; 9]].concat(), &[Coding::Gzip]);
        whole(&gzipped(&gzipped(SAID)), &[Coding::Gzip, Coding::Gzip]);
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
        zlib.write_all(SAID).unwrap();
        whole(&zlib.finish().unwrap(), &[Coding::Deflate]);
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::default());
        raw.write_all(SAID).unwrap();
        whole(&raw.finish().unwrap(), &[Coding::Deflate]);
    }

    #[test]
    fn a_bomb_goes_off_no_further_than_the_limit() {
        let bomb = gzipped(&vec![b'x'; 8 * 1024 * 1024]);
        assert!(bomb.len() < 64 * 1024);
        assert_eq!(decode(&bomb, &[Coding::Gzip], 1000), Decoded::TooLarge(vec![b'x'; 1000]));
        assert_eq!(decode(&bomb, &[Coding::Gzip], 0), Decoded::TooLarge(Vec::new()));
        assert_eq!(decode(&gzipped(&bomb), &[Coding::Gzip, Coding::Gzip], 1000), Decoded::TooLarge(Vec::new()));
        let Decoded::Broken(body, _) = decode(&bomb, &[Coding::Gzip, Coding::Gzip, Coding::Gzip], 1000) else { panic!("three layers") };
        assert!(body.is_empty());
    }

    #[test]
    fn a_body_has_only_so_many_members() {
        let members = |number: usize| gzipped(b"x").repeat(number);
        assert_eq!(decode(&members(MEMBERS_MAX), &[Coding::Gzip], 2 * MEMBERS_MAX), Decoded::Whole(vec![b'x'; MEMBERS_MAX]));
        let Decoded::Broken(body, _) = decode(&members(MEMBERS_MAX + 1), &[Coding::Gzip], 2 * MEMBERS_MAX) else { panic!("one more") };
        assert_eq!(body.len(), MEMBERS_MAX);
    }

    #[test]
    fn what_breaks_off_or_is_not_understood_says_so() {
        let sent = gzipped(SAID);
        let Decoded::Broken(body, _) = decode(&sent[..sent.len() - 9], &[Coding::Gzip], 100) else { panic!("cut") };
        assert!(SAID.starts_with(&body));
        assert!(matches!(decode(b"{}", &[Coding::Gzip], 100), Decoded::Broken(..)));
        assert!(matches!(decode(b"{}", &[Coding::Deflate], 100), Decoded::Broken(..)));
        let unknown = decode(b"{}", &[Coding::Unknown("br".to_owned())], 100);
        assert_eq!(unknown, Decoded::Broken(Vec::new(), "the content coding `br` is not understood".to_owned()));
    }

    #[test]
    fn what_does_not_shrink_fits_the_limit_all_the_same() {
        let noise: Vec<u8> = (0..65_536u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
        encoder.write_all(&noise).unwrap();
        let sent = encoder.finish().unwrap();
        assert!(sent.len() > noise.len() && sent.len() <= coded_bytes_max(noise.len()));
        assert_eq!(decode(&sent, &[Coding::Gzip], noise.len()), Decoded::Whole(noise));
    }
}
