//! What a call brings to prove who sends it: signatures, times and credentials, as their headers have them.

use http::{HeaderMap, header::AUTHORIZATION};

use super::error::{SIGNATURES_MAX, VerifyError};

/// The signatures in a header, which may have several and may occur several times: those with `prefix` in front that `decode` can read. None is
/// an empty list; a header that is not there is an error, and so are too many.
pub(super) fn signatures(
    headers: &HeaderMap,
    name: &str,
    prefix: &str,
    decode: impl Fn(&str) -> Option<Vec<u8>>,
) -> Result<Vec<Vec<u8>>, VerifyError> {
    let (mut found, mut is_there) = (Vec::new(), false);
    for value in headers.get_all(name) {
        is_there = true;
        let value = std::str::from_utf8(value.as_bytes()).map_err(|_| malformed(name))?;
        for signature in parts(value, prefix).filter_map(|part| decode(part.strip_prefix(prefix)?)) {
            if found.len() == SIGNATURES_MAX {
                return Err(VerifyError::TooManySignatures(name.to_owned()));
            }
            found.push(signature);
        }
    }
    if is_there { Ok(found) } else { Err(VerifyError::HeaderMissing(name.to_owned())) }
}

/// The time in a header that occurs once: all of it, or the one part with `prefix` in front.
pub(super) fn time<'a>(headers: &'a HeaderMap, name: &str, prefix: &str) -> Result<&'a str, VerifyError> {
    let value = text(headers, name)?;
    if prefix.is_empty() {
        return Ok(value);
    }
    let mut times = parts(value, prefix).filter_map(|part| part.strip_prefix(prefix));
    // Which of two was meant cannot be told.
    times.next().filter(|_| times.next().is_none()).ok_or_else(|| malformed(name))
}

/// The parts of a header. What stands in the prefix of a part does not divide it.
fn parts<'v>(value: &'v str, prefix: &str) -> impl Iterator<Item = &'v str> {
    let divides = |c: char| matches!(c, ',' | ';' | ' ' | '\t') && !prefix.contains(c);
    value.split(divides).map(str::trim).filter(|part| !part.is_empty())
}

/// What follows the scheme in `Authorization`.
pub(super) fn authorization<'a>(headers: &'a HeaderMap, scheme: &str) -> Result<&'a str, VerifyError> {
    let name = AUTHORIZATION.as_str();
    let (given, credential) = text(headers, name)?.split_once(' ').ok_or_else(|| malformed(name))?;
    if given.eq_ignore_ascii_case(scheme) { Ok(credential.trim()) } else { Err(malformed(name)) }
}

/// The text of a header that occurs once.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, VerifyError> {
    std::str::from_utf8(header(headers, name)?).map_err(|_| malformed(name))
}

/// The value of a header that occurs once.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a [u8], VerifyError> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or_else(|| VerifyError::HeaderMissing(name.to_owned()))?;
    if values.next().is_some() { Err(VerifyError::Twice(name.to_owned())) } else { Ok(value.as_bytes()) }
}

pub(super) fn malformed(name: &str) -> VerifyError {
    VerifyError::Malformed(name.to_owned())
}
