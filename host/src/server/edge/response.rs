//! What every answer of the API gets: security headers, CORS headers, compression.

use std::io::Write;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response,
    header::{
        ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, CACHE_CONTROL, CONTENT_ENCODING,
        CONTENT_LENGTH, CONTENT_TYPE, ORIGIN, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
    request::Parts,
};
use http_body_util::{BodyExt, Full};
use hyper::body::Body as _;

use crate::{
    config::http::HttpSettings,
    server::{
        audit::REQUEST_ID,
        respond::{self, Body},
    },
};

/// Headers that an answer gets unless it sets them itself.
const SECURITY: [(HeaderName, &str); 4] =
    [(X_CONTENT_TYPE_OPTIONS, "nosniff"), (X_FRAME_OPTIONS, "DENY"), (REFERRER_POLICY, "no-referrer"), (CACHE_CONTROL, "no-store")];
/// One year, as HSTS's preload list requires.
const HSTS: &str = "max-age=31536000";
/// How long a browser may cache the answer to a preflight, in seconds.
const PREFLIGHT_SECONDS: &str = "600";
/// Media types that compress well.
const COMPRESSED: [&str; 4] = ["application/", "text/", "image/svg", "multipart/form"];

/// The parts of a request on which the headers of its answer depend.
pub struct Asking {
    origin: Option<HeaderValue>,
    is_preflight: bool,
    takes_gzip: bool,
}

impl Asking {
    pub fn of(parts: &Parts, settings: &HttpSettings) -> Self {
        let is_let_in = |origin: &&HeaderValue| settings.cors_origins.iter().any(|known| known.as_bytes() == origin.as_bytes());
        Self {
            origin: parts.headers.get(ORIGIN).filter(is_let_in).cloned(),
            is_preflight: parts.method == Method::OPTIONS && parts.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD),
            takes_gzip: takes_gzip(&parts.headers),
        }
    }

    /// The answer to a CORS preflight; `None`: the request is no preflight, or its origin is not allowed.
    pub fn preflight(&self) -> Option<Response<Body>> {
        let _ = self.origin.as_ref().filter(|_| self.is_preflight)?;
        let mut response = respond::no_content().ok()?;
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE"));
        headers
            .insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization, content-type, idempotency-key, x-request-id"));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_SECONDS));
        Some(response)
    }

    /// Adds headers to an answer of the API and compresses it.
    pub async fn dress(self, mut response: Response<Body>, is_encrypted: bool, settings: &HttpSettings) -> Response<Body> {
        let headers = response.headers_mut();
        for (name, value) in SECURITY {
            headers.entry(name).or_insert(HeaderValue::from_static(value));
        }
        if is_encrypted {
            headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(HSTS));
        }
        if !settings.cors_origins.is_empty() {
            headers.append(VARY, HeaderValue::from_static("origin"));
        }
        if let Some(origin) = self.origin {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after, x-request-id"));
        }
        if self.takes_gzip { compressed(response, settings.compressed_bytes_min).await } else { response }
    }
}

/// Puts the request's identifier on its answer.
pub fn name(response: &mut Response<Body>, request_id: HeaderValue) {
    response.headers_mut().insert(REQUEST_ID, request_id);
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let listed = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    listed.into_iter().any(|one| {
        let (name, weight) = one.split_once(';').map_or((one, ""), |(name, weight)| (name, weight));
        let is_refused = weight.trim().strip_prefix("q=").is_some_and(|weight| weight.parse::<f32>().is_ok_and(|weight| weight == 0.0));
        name.trim().eq_ignore_ascii_case("gzip") && !is_refused
    })
}

async fn compressed(response: Response<Body>, bytes_min: usize) -> Response<Body> {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let gets_smaller = COMPRESSED.iter().any(|known| kind.starts_with(known)) && !response.headers().contains_key(CONTENT_ENCODING);
    if !gets_smaller || response.body().size_hint().lower() < bytes_min as u64 {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // The body is already complete, so this does not wait.
    let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes);
    let Some(small) = gzip(body.clone()).await.filter(|small| small.len() < body.len()) else {
        return Response::from_parts(parts, Full::new(body));
    };
    parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    parts.headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, Full::new(small.into()))
}

/// Compresses on a thread where it does not block other requests.
async fn gzip(body: Bytes) -> Option<Vec<u8>> {
    let work = move || {
        let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
        encoder.write_all(&body).ok()?;
        encoder.finish().ok()
    };
    tokio::task::spawn_blocking(work).await.ok()?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_taken_unless_it_is_refused() {
        let takes = |value: &str| takes_gzip(&HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_str(value).expect("a value"))]));
        assert!(takes("br, gzip") && takes("GZIP;q=0.5"));
        assert!(!takes("br") && !takes("gzip;q=0") && !takes("identity"));
    }
}
