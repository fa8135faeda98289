//! URLs as they are shown.

use crate::model::{mail::is_mail, reference::Reference};

/// What stands where a value was.
pub const REDACTED: &str = "redacted";

/// `url` without user information, with the values of its query replaced, and without what is a credential in its path; the names in the query
/// stay. URLs may be credentials (`...&sig=`; decision: urls-are-credentials), so this is what is logged and shown. Works on any text; nothing is decoded.
pub fn redact_url(url: &str) -> String {
    redact(url, |_, _| false)
}

/// Which parts of an expanded URL are what a reference stands for, and nothing an admin spelt out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FromReference {
    /// Of each segment of the path; what stands before the first `/` is the first.
    pub segments: Vec<bool>,
    /// Of each value of the query.
    pub values: Vec<bool>,
}

/// The same of an expanded URL: what is `from_reference` stays.
pub fn redact_literals(url: &str, from_reference: &FromReference) -> String {
    redact(url, |part, _| {
        let (known, at) = match part {
            Part::Segment(at) => (&from_reference.segments, at),
            Part::Value(at) => (&from_reference.values, at),
        };
        known.get(at).copied().unwrap_or(false)
    })
}

/// A webhook's URL as its document shows it: what is nothing but a reference says nothing secret and stays.
pub fn redact_template_url(url: &str) -> String {
    redact(url, |_, text| Reference::parse(text).is_ok_and(|found| found.is_some_and(|reference| reference.as_str() == text)))
}

/// Whether a URL was written back as it was shown: its secrets are lost.
pub fn is_redacted(url: &str) -> bool {
    let (front, query) = url.split_once('?').unwrap_or((url, ""));
    let path = front.split_once("://").map_or("", |(_, behind)| behind);
    path.split('/').skip(1).any(|segment| segment == REDACTED)
        || query.split('&').any(|pair| pair == REDACTED || pair.split_once('=').is_some_and(|(_, value)| value == REDACTED))
}

/// A part of a URL that may be a credential, and which of them it is.
#[derive(Clone, Copy)]
enum Part {
    Segment(usize),
    Value(usize),
}

/// What stands in a path before a segment that is a credential, however it looks: before the codes of a host such as this one, and before the
/// tokens of Slack's webhooks. In lower case; a `*` stands for any ending, and the path begins with an empty segment.
const BEFORE_CREDENTIALS: [&[&str]; 2] = [&["api", "v1", "webhook"], &["", "services", "t*", "b*"]];

/// Whether the segment at `at` of a path is a credential: it stands where one stands, or nobody could guess it.
fn is_credential(segments: &[&str], at: usize) -> bool {
    let stands_behind = |pattern: &&[&str]| {
        let before = at.checked_sub(pattern.len()).and_then(|from| segments.get(from..at));
        before.is_some_and(|before| {
            before.iter().zip(pattern.iter()).all(|(segment, word)| match word.strip_suffix('*') {
                Some(beginning) => segment.get(..beginning.len()).is_some_and(|begins| begins.eq_ignore_ascii_case(beginning)),
                None => segment.eq_ignore_ascii_case(word),
            })
        })
    };
    // References are values, not credentials that stand in the document.
    let written = segments[at].split('$').next().unwrap_or_default();
    !written.is_empty() && (BEFORE_CREDENTIALS.iter().any(stands_behind) || is_random(written))
}

/// Letters and digits from which on a word may have been made by chance.
const RANDOM_CHARS_MIN: usize = 20;

/// Whether a word looks as if it was made by chance, as the tokens in URLs of webhooks are: long, and with digits, small and capital letters in
/// turn. One in four of its characters is of another kind than the one before it, where a word of a language has a capital or a
/// number here and there.
fn is_random(word: &str) -> bool {
    #[derive(PartialEq)]
    enum Kind {
        Digit,
        Small,
        Capital,
    }
    let (mut chars, mut changes, mut before) = (0, 0, None);
    let mut bytes = word.bytes();
    while let Some(byte) = bytes.next() {
        let kind = match byte {
            b'0'..=b'9' => Kind::Digit,
            b'a'..=b'z' => Kind::Small,
            b'A'..=b'Z' => Kind::Capital,
            // What is percent-encoded is a character of a language.
            b'%' => {
                bytes.nth(1);
                before = None;
                continue;
            }
            _ => {
                before = None;
                continue;
            }
        };
        chars += 1;
        // A capital begins a word.
        changes += usize::from(before.is_some_and(|before| before != kind && !(before == Kind::Capital && kind == Kind::Small)));
        before = Some(kind);
    }
    chars >= RANDOM_CHARS_MIN && changes * 4 >= chars
}

/// A path without the credentials in it.
fn redact_path(path: &str, keeps: impl Fn(Part, &str) -> bool) -> String {
    let segments: Vec<&str> = path.split('/').collect();
    let shown = |(at, segment): (usize, &&str)| match is_credential(&segments, at) && !keeps(Part::Segment(at), segment) {
        true => REDACTED.to_owned(),
        false => (*segment).to_owned(),
    };
    segments.iter().enumerate().map(shown).collect::<Vec<_>>().join("/")
}

fn redact(url: &str, keeps: impl Fn(Part, &str) -> bool) -> String {
    if is_mail(url) {
        return url.to_owned();
    }
    let (front, fragment) = url.split_once('#').map_or((url, None), |(front, fragment)| (front, Some(fragment)));
    let (front, query) = front.split_once('?').map_or((front, None), |(front, query)| (front, Some(query)));
    let mut shown = String::with_capacity(url.len());
    match front.split_once("://") {
        Some((scheme, behind)) => {
            let (authority, path) = behind.split_at(behind.find('/').unwrap_or(behind.len()));
            shown.push_str(scheme);
            shown.push_str("://");
            shown.push_str(authority.rsplit_once('@').map_or(authority, |(_, host)| host));
            shown.push_str(&redact_path(path, &keeps));
        }
        None => shown.push_str(&redact_path(front, &keeps)),
    }
    if let Some(query) = query {
        let pairs: Vec<String> = query
            .split('&')
            .enumerate()
            .map(|(at, pair)| match pair.split_once('=') {
                Some((name, value)) if !value.is_empty() && !keeps(Part::Value(at), value) => format!("{name}={REDACTED}"),
                Some(_) => pair.to_owned(),
                None if pair.is_empty() => String::new(),
                // A name without a value may as well be a value without a name.
                None => REDACTED.to_owned(),
            })
            .collect();
        shown.push('?');
        shown.push_str(&pairs.join("&"));
    }
    if fragment.is_some() {
        shown.push('#');
        shown.push_str(REDACTED);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_and_names_stay() {
        for (url, shown) in [
            ("https://h/p?sig=abc&v=1", "https://h/p?sig=redacted&v=redacted"),
            ("https://h/p", "https://h/p"),
            ("https://user:pass@h:8443/p?a=b=c", "https://h:8443/p?a=redacted"),
            ("https://u@x@h?token", "https://h?redacted"),
            ("https://h/?a=&b", "https://h/?a=&redacted"),
            ("https://h/?a=1&&#key", "https://h/?a=redacted&&#redacted"),
            ("/p@q?x=1", "/p@q?x=redacted"),
            ("https://h/p@q", "https://h/p@q"),
            ("https://h/base/api/v1/WebHook/CODE/more?x=1", "https://h/base/api/v1/WebHook/redacted/more?x=redacted"),
            ("/api/v1/webhook/CODE", "/api/v1/webhook/redacted"),
            ("https://h/api/v1/webhook/", "https://h/api/v1/webhook/"),
            ("https://h/api/v1/webhooks/x", "https://h/api/v1/webhooks/x"),
            ("", ""),
        ] {
            assert_eq!(redact_url(url), shown);
        }
    }

    #[test]
    fn a_webhook_document_keeps_references_and_is_recognised_when_written_back() {
        let shown = redact_template_url("https://h/p?f=$session.params.fruit&sig=abc");
        assert_eq!(shown, "https://h/p?f=$session.params.fruit&sig=redacted");
        assert_eq!(redact_template_url("https://h/?a=$session.params.x+secret"), "https://h/?a=redacted");
        assert!(is_redacted(&shown));
        assert!(is_redacted("https://h/redacted?f=1") && !is_redacted("https://redacted/?f=redacted.json"));
        assert_eq!(redact_template_url("https://h/api/v1/webhook/$session.params.code"), "https://h/api/v1/webhook/$session.params.code");
        assert!(is_redacted(&redact_template_url("https://h/api/v1/webhook/CODE")) && !is_redacted("https://h/api/v1/webhook/CODE"));
    }

    #[test]
    fn a_word_of_a_path_that_nobody_could_guess_goes() {
        for (path, shown) in [
            ("/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX", "/services/T00000000/B00000000/redacted"),
            ("/api/webhooks/123456789012345678/Qx7_a9Zk2LmN-4pR8tVwY1bC3dE", "/api/webhooks/123456789012345678/redacted"),
            ("/bot110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw/sendMessage", "/redacted/sendMessage"),
            ("/hooks/catch/123456/aB3dE6gH9jK2mN5pQ8sT/", "/hooks/catch/123456/redacted/"),
            ("/webhook/5f0c7a52-9d1e-4b6f-8a3c-2e1d0f9b8a7c", "/webhook/redacted"),
            ("/v1/$session.params.x/5f0c7a529d1e4b6f8a3c2e1d0f9b8a7c", "/v1/$session.params.x/redacted"),
        ] {
            assert_eq!(redact_template_url(&format!("https://h{path}")), format!("https://h{shown}"));
            assert!(is_redacted(&format!("https://h{shown}")), "{shown}");
        }
        for path in [
            "/arcgis-organization-webhooks-2024/getCustomerByIdentifier2",
            "/portal/sharing/rest/portals/self/webhooks/ArcGISServices2024Sample",
            "/1234567890123456789012345/2026-11-30T12:00:00Z",
            "/api/webhooks/$session.params.id/$session.params.token",
            "/caf%C3%A9%20%E6%97%A5%E6%9C%AC%E8%AA%9E%E6%97%A5%E6%9C%AC%E8%AA%9E",
            "/services/T1/B1/",
            "/arcgis/rest/services/Traffic/Buses/FeatureServer",
        ] {
            assert_eq!(redact_template_url(&format!("https://h{path}")), format!("https://h{path}"));
        }
    }

    #[test]
    fn a_value_that_only_begins_like_a_reference_is_not_shown() {
        for value in
            ["$session.params.x+secret", "$event.data.x%2Fsecret", "$session.params.x$secret", "$session.params.", "$intent.params.x"]
        {
            assert_eq!(redact_template_url(&format!("https://h/p?sig={value}")), "https://h/p?sig=redacted", "{value}");
        }
        let whole = "https://h/p?a=$session.params.a.b[0].c&b=$event.data.n&c=$intent.params.x.resolved";
        assert_eq!(redact_template_url(whole), whole);
    }
}
