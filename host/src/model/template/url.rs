//! A URL with references and functions in its path and query.

use url::Url;

use super::{Part, Template, TemplateError};
use crate::model::{
    mail::{self, MailTo},
    reference::{Expansion, Reference, Scope, expansion::escape},
    request::redact::{FromReference, redact_literals},
};

/// The longest URL, in bytes: as written, and as sent.
pub const URL_BYTES_MAX: usize = 16 * 1024;

/// A URL with references anywhere in its path and query, never in its scheme or authority: where a request goes, and with it where
/// credentials go, is what an admin wrote (decision: origin-is-the-admins). All but the references goes out byte for byte.
#[derive(Clone, Debug, PartialEq)]
pub struct UrlTemplate {
    template: Template,
    source: String,
    /// Where the path or query begins.
    origin_end: usize,
    /// A URL it could expand to: its origin is that of all of them.
    sample: Url,
    from_reference: FromReference,
}

/// Why an expanded URL is not called. None of these shows a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlProblem {
    /// A segment became `.` or `..`, which would lead to another path than the one written.
    #[error("a value would make a segment of the path `.` or `..`")]
    UnsafeSegment,
    /// Too long.
    #[error("the URL has {0} bytes; it may have {URL_BYTES_MAX}")]
    TooLong(usize),
    /// Not a URL.
    #[error("with the values put in this is no URL: {0}")]
    Invalid(String),
    /// It would go somewhere else.
    #[error("the URL would leave the origin written in the webhook")]
    OtherOrigin,
}

impl UrlTemplate {
    /// Reads a URL template.
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        let refused = |byte: usize, detail: &str| {
            let position = source.get(..byte).map_or(0, |before| before.chars().count());
            Err(TemplateError { position, detail: detail.to_owned() })
        };
        if source.len() > URL_BYTES_MAX {
            return refused(0, &format!("a URL has at most {URL_BYTES_MAX} bytes"));
        }
        let template = Template::parse(source)?;
        for (start, text, _) in template.pieces().filter(|(.., is_text)| *is_text) {
            if let Some((at, c)) = text.char_indices().find(|(_, c)| !is_url_char(*c)) {
                return refused(
                    start + at,
                    &format!("{c:?} has no place in a URL; write it percent-encoded (a host name in its `xn--` form)"),
                );
            }
        }
        if mail::is_mail(source) {
            return Self::parse_mail(source, template);
        }
        let authority_start = match source.split_once("://") {
            Some((scheme, _)) if ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) => scheme.len() + 3,
            _ => return refused(0, "a URL begins with `https://` (or `http://`, to networks that are opened to it), or with `mailto:`"),
        };
        let origin_end = source[authority_start..].find(['/', '?', '#']).map_or(source.len(), |end| authority_start + end);
        if origin_end == authority_start {
            return refused(authority_start, "a URL names a host");
        }
        if let Some((at, looked_up, _)) = template.pieces().find(|(at, _, is_text)| !is_text && *at < origin_end) {
            return refused(
                at,
                &format!("`{looked_up}` stands in the host part; references and functions stand in the path and query only"),
            );
        }
        if let Some(at) = source[authority_start..origin_end].find('@') {
            return refused(authority_start + at, "credentials do not stand in the URL; use `auth` of kind `basic`");
        }
        let fragment = template.pieces().filter(|(.., is_text)| *is_text).find_map(|(start, text, _)| Some(start + text.find('#')?));
        if let Some(at) = fragment {
            return refused(at, "a fragment (`#...`) is never sent; leave it out, or write `%23`");
        }
        let sample = sample_of(&template);
        if has_dot_segment(path_of(&sample, origin_end)) {
            return refused(origin_end, "the path holds a segment `.` or `..`; write where it leads");
        }
        match Url::parse(&sample) {
            Ok(sample) if sample.has_host() => {
                let from_reference = from_reference(&template, origin_end);
                Ok(Self { template, source: source.to_owned(), origin_end, sample, from_reference })
            }
            Ok(_) => refused(authority_start, "a URL names a host"),
            Err(error) => refused(authority_start, &format!("this is no URL: {error}")),
        }
    }

    /// Of a `mailto:` only the subject, which comes last, takes references: where a mail goes is what an admin wrote, too.
    fn parse_mail(source: &str, template: Template) -> Result<Self, TemplateError> {
        let refused = |position: usize, detail: String| Err(TemplateError { position, detail });
        let lower = source.to_ascii_lowercase();
        let subject = ["?subject=", "&subject="].iter().find_map(|mark| Some(lower.find(mark)? + mark.len()));
        let origin_end = subject.unwrap_or(source.len());
        if let Some((at, looked_up, _)) = template.pieces().find(|(at, _, is_text)| !is_text && *at < origin_end) {
            return refused(at, format!("`{looked_up}` stands in an address; in a `mailto:` the subject alone takes references"));
        }
        if let Some(at) = source[origin_end..].find('&') {
            return refused(origin_end + at, "the subject comes last; write `&` in it as `%26`".to_owned());
        }
        let sample = sample_of(&template);
        match (MailTo::parse(&sample), Url::parse(&sample)) {
            (Ok(_), Ok(sample)) => {
                Ok(Self { template, source: source.to_owned(), origin_end, sample, from_reference: FromReference::default() })
            }
            (Ok(_), Err(error)) => refused(0, format!("this is no URL: {error}")),
            (Err(detail), _) => refused(0, detail),
        }
    }

    /// Whether it is a `mailto:`: what is sent there is a mail.
    pub fn is_mail(&self) -> bool {
        mail::is_mail(&self.source)
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Scheme and authority, as written.
    pub fn origin(&self) -> &str {
        &self.source[..self.origin_end]
    }

    /// Where everything it expands to goes, spelled as [`destination`] does.
    pub fn destination(&self) -> String {
        destination(&self.sample)
    }

    /// Whether `url` goes where everything goes that this expands to: to the same scheme, host and port; of a mail, to the same addresses.
    pub fn leads_to(&self, url: &Url) -> bool {
        if self.is_mail() || url.cannot_be_a_base() {
            return destination(&self.sample) == destination(url);
        }
        let place = |url: &Url| (url.scheme() == "https", url.port_or_known_default());
        ["http", "https"].contains(&url.scheme()) && place(&self.sample) == place(url) && self.sample.host_str() == url.host_str()
    }

    /// Whether it holds neither a reference nor a function.
    pub fn is_literal(&self) -> bool {
        self.template.is_literal()
    }

    /// Its references, in order.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.template.references()
    }

    /// The URL with each reference and function replaced by its value, percent-encoded. An unset one leaves nothing.
    pub fn expand(&self, scope: &Scope<'_>, expansion: &mut Expansion) -> Result<String, UrlProblem> {
        let url = self.template.expand_with(scope, expansion, escape);
        // One without references is the sample it was read with.
        if !self.is_literal() {
            self.check(&url)?;
        }
        Ok(url)
    }

    /// `url`, which this template was expanded to, as it is shown: without credentials an admin spelt out in its path and query.
    pub fn shown(&self, url: &str) -> String {
        redact_literals(url, &self.from_reference)
    }

    /// This origin with another path and query, both literal.
    pub fn with_path(&self, path_and_query: &str) -> Result<String, UrlProblem> {
        let refused = |detail: &str| Err(UrlProblem::Invalid(detail.to_owned()));
        if self.is_mail() {
            return refused("a mail has no path to choose");
        }
        if !path_and_query.starts_with('/') || path_and_query.starts_with("//") {
            return refused("path and query begin with one `/`");
        }
        if let Some(c) = path_and_query.chars().find(|c| !is_url_char(*c) || *c == '#') {
            return refused(&format!("{c:?} has no place in path and query; percent-encode it"));
        }
        let url = format!("{}{path_and_query}", self.origin());
        self.check(&url)?;
        Ok(url)
    }

    fn check(&self, url: &str) -> Result<(), UrlProblem> {
        if url.len() > URL_BYTES_MAX {
            return Err(UrlProblem::TooLong(url.len()));
        }
        if self.is_mail() {
            return MailTo::parse(url).map(|_| ()).map_err(UrlProblem::Invalid);
        }
        if has_dot_segment(path_of(url, self.origin_end)) {
            return Err(UrlProblem::UnsafeSegment);
        }
        let parsed = Url::parse(url).map_err(|error| UrlProblem::Invalid(error.to_string()))?;
        if self.leads_to(&parsed) && parsed.username().is_empty() && parsed.password().is_none() {
            Ok(())
        } else {
            Err(UrlProblem::OtherOrigin)
        }
    }
}

/// Where a URL goes, the same text for all spellings of one place: scheme, host and port (RFC 6454); of a mail its addresses.
pub fn destination(url: &Url) -> String {
    match MailTo::parse(url.as_str()) {
        Ok(MailTo { to, cc, bcc, .. }) => format!("mailto:{}", [to, cc, bcc].map(|addresses| addresses.join(",")).join(";")),
        Err(_) => url.origin().ascii_serialization(),
    }
}

/// A URL the template could expand to.
fn sample_of(template: &Template) -> String {
    template.parts.iter().map(|part| if let Part::Text(text) = part { text } else { "x" }).collect()
}

/// The path of a URL whose origin ends at `origin_end`.
fn path_of(url: &str, origin_end: usize) -> &str {
    let behind = url.get(origin_end..).unwrap_or_default();
    &behind[..behind.find(['?', '#']).unwrap_or(behind.len())]
}

/// Of each segment of a URL's path and each pair of its query, whether it is one reference and nothing else. Values are percent-encoded when they
/// are put in, so that they add neither a segment nor a pair.
fn from_reference(template: &Template, origin_end: usize) -> FromReference {
    const VALUE: char = '\u{0}';
    const MADE: char = '\u{1}';
    let mark = |part: &Part| match part {
        Part::Text(text) => text.clone(),
        Part::Reference(_) => VALUE.to_string(),
        Part::Call(_) => MADE.to_string(),
    };
    let marked: String = template.parts.iter().map(mark).collect();
    let is_value = |text: &str| text.chars().eq([VALUE]);
    let segments = path_of(&marked, origin_end).split('/').map(is_value).collect();
    let pairs = marked.split_once('?').map_or("", |(_, query)| query).split('&');
    FromReference { segments, values: pairs.map(|pair| pair.split_once('=').is_some_and(|(_, value)| is_value(value))).collect() }
}

/// Visible ASCII without what the WHATWG URL Standard reads differently from RFC 3986 (`\`) or neither allows.
fn is_url_char(c: char) -> bool {
    c.is_ascii_graphic() && !matches!(c, '\\' | '"' | '<' | '>' | '^' | '`')
}

/// Whether a segment is `.` or `..`, plain or percent-encoded: RFC 3986, 5.2.4 and the URL Standard remove such segments.
fn has_dot_segment(path: &str) -> bool {
    path.split('/').any(|segment| segment.len() <= 6 && matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | ".."))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::parameter::Parameters;

    fn expand(template: &str, parameters: Value) -> Result<String, UrlProblem> {
        let session: Parameters = serde_json::from_value(parameters).unwrap();
        let scope = Scope::of(&session);
        UrlTemplate::parse(template).unwrap().expand(&scope, &mut Expansion::default())
    }

    #[track_caller]
    fn expands(template: &str, parameters: Value, expected: &str) {
        assert_eq!(expand(template, parameters).as_deref(), Ok(expected));
    }

    #[test]
    fn values_are_percent_encoded_and_the_rest_is_untouched() {
        // The URL of Dialogflow CX, "Webhooks", flexible webhook request.
        let url = "https://your-webhook-service.com/handler?f=$session.params.fruit&s=$session.params.size";
        expands(
            url,
            json!({"fruit": "apple pie/é&=+", "size": 3}),
            "https://your-webhook-service.com/handler?f=apple%20pie%2F%C3%A9%26%3D%2B&s=3",
        );
        expands("https://h/$session.params.a/x.json?q=%7b+~|{}", json!({"a": "a/b"}), "https://h/a%2Fb/x.json?q=%7b+~|{}");
        expands("https://h/f/$session.params.name.json", json!({"name": "r 1"}), "https://h/f/r%201.json");
        expands("https://h?l=$session.params.l", json!({"l": [1, {"a": "b"}]}), "https://h?l=%5B1%2C%7B%22a%22%3A%22b%22%7D%5D");
        expands("HTTPS://Host:8443/A//b/?x=$session.params.no", json!({}), "HTTPS://Host:8443/A//b/?x=");
    }

    #[test]
    fn values_never_become_dot_segments() {
        for (template, value) in [
            ("https://h/a/$session.params.x/b", ".."),
            ("https://h/$session.params.x", "."),
            ("https://h/.$session.params.x/b", "."),
            ("https://h/.$session.params.x./b", ""),
            ("https://h/%2$session.params.x$session.params.x/b", "e"),
            ("https://h/%2$session.params.x", "E"),
        ] {
            let result = expand(template, json!({"x": value}));
            assert!(!result.as_ref().is_ok_and(|url| has_dot_segment(url)), "{template}: {result:?}");
        }
        assert_eq!(expand("https://h/a/$session.params.x/b", json!({"x": ".."})), Err(UrlProblem::UnsafeSegment));
        assert_eq!(expand("https://h/%2$session.params.x", json!({"x": "e"})), Err(UrlProblem::UnsafeSegment));
        expands("https://h/$session.params.x?p=$session.params.x", json!({"x": "%2e%2e"}), "https://h/%252e%252e?p=%252e%252e");
        expands("https://h/a?p=$session.params.x", json!({"x": "../.."}), "https://h/a?p=..%2F..");
    }

    #[test]
    fn scheme_and_authority_take_no_reference() {
        for text in [
            "$session.params.scheme://h/",
            "https://$session.params.host/",
            "https://h$session.params.x",
            "https://h:$session.params.port/x",
            "https://$session.params.user@h/x",
            "$session.params.url",
        ] {
            assert!(UrlTemplate::parse(text).is_err(), "{text}");
        }
        let error = UrlTemplate::parse("https://api.$session.params.host/").unwrap_err();
        assert_eq!(error.position, 12);
    }

    #[test]
    fn what_is_no_url_to_call_is_refused() {
        for text in [
            "",
            "h/x",
            "ftp://h/",
            "https:/h",
            "https://",
            "https:///x",
            "https://h:99999/",
            "https://u:p@h/",
            "https://@h/",
            "https://h/#x",
            "https://h/a b",
            "https://h/é",
            r"https://h\@evil/",
            "https://h/a/../b",
            "https://h/%2E%2e/b",
            "https://h/\n",
            "https://[::1/",
            "https://h/?k=$secret:key",
            "https://h/?k=$sesion.params.x",
        ] {
            assert!(UrlTemplate::parse(text).is_err(), "{text}");
        }
        assert_eq!(UrlTemplate::parse("https://h:1/a?b").unwrap().origin(), "https://h:1");
        assert_eq!(
            expand("https://h/$session.params.x", json!({"x": "a".repeat(URL_BYTES_MAX)})),
            Err(UrlProblem::TooLong(URL_BYTES_MAX + 10))
        );
    }

    #[test]
    fn of_a_mail_the_subject_alone_takes_references() {
        expands(
            "mailto:a@h.example?subject=Item%20$session.params.t",
            json!({"t": "é & x\r\n"}),
            "mailto:a@h.example?subject=Item%20%C3%A9%20%26%20x%0D%0A",
        );
        for text in [
            "mailto:$session.params.to",
            "mailto:a@h.example?cc=$session.params.cc",
            "mailto:a@h.example?subject=x&cc=b@h.example",
            "mailto:nobody",
            "mailto:a@h.example?body=x",
        ] {
            assert!(UrlTemplate::parse(text).is_err(), "{text}");
        }
        assert!(UrlTemplate::parse("mailto:a@h.example").unwrap().with_path("/x").is_err());
    }

    #[test]
    fn one_place_has_many_spellings_and_another_none_of_them() {
        let leads = |template: &str, url: &str| {
            let template = UrlTemplate::parse(template).unwrap();
            let url = Url::parse(url).unwrap();
            assert_eq!(template.leads_to(&url), template.destination() == destination(&url), "{url}");
            template.leads_to(&url)
        };
        for url in ["https://h.example", "https://H.Example:443/other?k=v", "HTTPS://h.example/a/b"] {
            assert!(leads("https://h.example/$session.params.x", url), "{url}");
        }
        for url in [
            "http://h.example/",
            "https://h.example:8443/",
            "https://h.example.evil/",
            "https://evil/h.example",
            "https://h.example./",
            "mailto:a@h.example",
        ] {
            assert!(!leads("https://h.example/$session.params.x", url), "{url}");
        }
        let mail = "mailto:a@h.example?cc=b@h.example&subject=$session.params.t";
        assert!(leads(mail, "mailto:a@h.example?cc=b@h.example&subject=Other"));
        for url in ["mailto:a@h.example", "mailto:b@h.example?cc=a@h.example", "mailto:a@h.example?bcc=b@h.example", "https://h.example/"] {
            assert!(!leads(mail, url), "{url}");
        }
    }

    #[test]
    fn another_path_stays_at_the_origin() {
        let url = UrlTemplate::parse("https://h:8443/base?x=$session.params.x").unwrap();
        assert_eq!(url.with_path("/a/b?c=$session.params.x").as_deref(), Ok("https://h:8443/a/b?c=$session.params.x"));
        for path in ["", "a", "//evil/x", "@evil", ".evil", "/a/../b", "/%2e%2e/", "/a#b", "/a b", "/a\r\nb", r"/\evil", "/é"] {
            assert!(url.with_path(path).is_err(), "{path}");
        }
    }
}
