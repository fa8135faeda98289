//! Which page a browser says a request comes from. It matters for every request with a cookie: a page of another site can make a browser
//! send any request, and the browser adds the cookie.

use http::{
    HeaderMap, HeaderName,
    header::{HOST, ORIGIN, REFERER},
    uri::Authority,
};
use url::Url;

use super::request::FORWARDED_PROTO;
use crate::services::Services;

/// What a browser says about the page that sent a request, in one word (Fetch Metadata, section 2.4).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The page that a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page {
    /// A page of ours, or none: the user typed the address.
    Ours,
    /// The request does not say. No current browser leaves it out.
    Unsaid,
    /// A page of another site, and the header that says so.
    Elsewhere(String),
}

pub fn of(headers: &HeaderMap, services: &Services) -> Page {
    let ours = services.bases.public_url.as_deref().filter(|url| {
        // A host name that serves only codes does not count as ours, because receivers write its pages.
        Url::parse(url).is_ok_and(|url| url.host_str().is_some_and(|host| !services.limits.http.serves_codes_alone(host)))
    });
    read(headers, ours)
}

/// `ours`: the origin that callers use, if it is configured.
fn read(headers: &HeaderMap, ours: Option<&str>) -> Page {
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    // A page of a sibling host may belong to anybody, and the browser sends our cookie from there.
    if let Some(site) = text(&SEC_FETCH_SITE).filter(|site| !["same-origin", "none"].contains(site)) {
        return Page::Elsewhere(format!("`Sec-Fetch-Site` says `{}`", site.escape_default()));
    }
    for (name, title) in [(ORIGIN, "Origin"), (REFERER, "Referer")] {
        if let Some(page) = text(&name) {
            let is_own = Url::parse(page).is_ok_and(|page| is_own(&page, headers, ours));
            let origin = Url::parse(page).map_or_else(|_| page.to_owned(), |page| page.origin().ascii_serialization());
            return if is_own { Page::Ours } else { Page::Elsewhere(format!("`{title}` says `{}`", origin.escape_default())) };
        }
    }
    if headers.contains_key(SEC_FETCH_SITE) { Page::Ours } else { Page::Unsaid }
}

/// Whether the page has the origin that this request was sent to. We do not always know whether a proxy in front received the request by
/// TLS; if it has the header for it, the page must be `https`.
fn is_own(page: &Url, headers: &HeaderMap, ours: Option<&str>) -> bool {
    if ours.and_then(|ours| Url::parse(ours).ok()).is_some_and(|ours| ours.origin() == page.origin()) {
        return true;
    }
    let is_encrypted = headers.get(FORWARDED_PROTO).is_some_and(|scheme| scheme == "https");
    let sent_to = headers.get(HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    let Some(sent_to) = sent_to.filter(|_| page.scheme() == "https" || page.scheme() == "http" && !is_encrypted) else { return false };
    // Both are parsed by the same rules, so that a default port, capitals and spellings of addresses make no difference.
    Url::parse(&format!("{}://{sent_to}", page.scheme())).is_ok_and(|sent_to| sent_to.origin() == page.origin())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn from(said: &[(&'static str, &'static str)]) -> Page {
        let given = said.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        read(&given.collect(), Some("https://public.example"))
    }

    #[test]
    fn a_page_of_ours_is_told_from_others() {
        for page in ["https://gis.example", "http://gis.example", "https://GIS.example:443", "https://public.example"] {
            assert_eq!(from(&[("host", "gis.example"), ("origin", page)]), Page::Ours, "{page}");
            assert_eq!(from(&[("host", "gis.example"), ("origin", page), ("sec-fetch-site", "same-origin")]), Page::Ours, "{page}");
        }
        let others = [
            "https://evil.example",
            "https://evil.gis.example",
            "https://gis.example:8443",
            "http://public.example",
            "null",
            "",
            "gis.example",
        ];
        for page in others.into_iter().chain([
            "https://gis.example.evil.example",
            "data:text/html,x",
            "file:///x",
            "https://gis.example@evil.example",
        ]) {
            assert!(matches!(from(&[("host", "gis.example"), ("origin", page)]), Page::Elsewhere(_)), "{page}");
        }
        assert!(matches!(from(&[("host", "gis.example:8400"), ("origin", "http://gis.example:8401")]), Page::Elsewhere(_)));
        assert_eq!(from(&[("host", "gis.example:8400"), ("origin", "http://gis.example:8400")]), Page::Ours);
        assert_eq!(from(&[("host", "[::1]:8400"), ("origin", "http://[::1]:8400")]), Page::Ours);
    }

    #[test]
    fn what_came_by_tls_comes_from_a_page_that_did() {
        let said = |page| from(&[("host", "gis.example"), ("x-forwarded-proto", "https"), ("origin", page)]);
        assert_eq!(said("https://gis.example"), Page::Ours);
        assert!(matches!(said("http://gis.example"), Page::Elsewhere(_)));
    }

    #[test]
    fn a_siblings_page_is_another_and_silence_is_silence() {
        for site in ["cross-site", "same-site", "", "nonsense"] {
            let said = from(&[("host", "gis.example"), ("origin", "https://gis.example"), ("sec-fetch-site", site)]);
            assert!(matches!(said, Page::Elsewhere(_)), "{site}");
        }
        assert_eq!(from(&[("host", "gis.example"), ("sec-fetch-site", "none")]), Page::Ours);
        assert_eq!(from(&[("host", "gis.example"), ("referer", "https://gis.example/portal")]), Page::Ours);
        assert!(matches!(from(&[("host", "gis.example"), ("referer", "https://evil.example/x")]), Page::Elsewhere(_)));
        assert_eq!(from(&[("host", "gis.example")]), Page::Unsaid);
    }
}
