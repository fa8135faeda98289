//! URLs as they are shown.

use std::borrow::Cow;

use crate::model::{mail::is_mail, reference::Reference};

/// What stands where a value was.
pub const REDACTED: &str = "redacted";

/// `url` without user information, and with the values of its query replaced; their names stay. URLs may be credentials
/// (decision 16: `...&sig=`), so this is what is logged and shown. Works on any text; nothing is decoded.
pub fn redact_url(url: &str) -> String {
    redact(url, |_, _| false)
}

/// The same of an expanded URL. Of the pairs of its query, in order, `from_reference` says which have a value that is what a reference stands
/// for, and nothing an admin spelt out: those stay.
pub fn redact_literals(url: &str, from_reference: &[bool]) -> String {
    redact(url, |at, _| from_reference.get(at).copied().unwrap_or(false))
}

/// A webhook's URL as its document shows it: values that are nothing but a reference say nothing secret and stay.
pub fn redact_template_url(url: &str) -> String {
    redact(url, |_, value| Reference::parse(value).is_ok_and(|found| found.is_some_and(|reference| reference.as_str() == value)))
}

/// Whether a URL was written back as it was shown: its secrets are lost.
pub fn is_redacted(url: &str) -> bool {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    if code_in(url).is_some_and(|code| url[code] == *REDACTED) {
        return true;
    }
    query.split('&').any(|pair| pair == REDACTED || pair.split_once('=').is_some_and(|(_, value)| value == REDACTED))
}

/// What stands before a code in a path of a host such as this one.
const CODE_MARK: &str = "/api/v1/webhook/";

/// Where a path's code stands, if it names one.
fn code_in(path: &str) -> Option<std::ops::Range<usize>> {
    if path.len() <= CODE_MARK.len() {
        return None;
    }
    // ASCII lower case keeps every byte where it is.
    let start = path.to_ascii_lowercase().find(CODE_MARK)? + CODE_MARK.len();
    let end = path[start..].find(['/', '?', '#']).map_or(path.len(), |length| start + length);
    (start < end).then_some(start..end)
}

/// A path without the code in it, which is a credential; a reference stays.
fn without_code(path: &str) -> Cow<'_, str> {
    match code_in(path) {
        Some(code) if !path[code.clone()].starts_with('$') => format!("{}{REDACTED}{}", &path[..code.start], &path[code.end..]).into(),
        _ => path.into(),
    }
}

fn redact(url: &str, keeps: impl Fn(usize, &str) -> bool) -> String {
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
            shown.push_str(&without_code(path));
        }
        None => shown.push_str(&without_code(front)),
    }
    if let Some(query) = query {
        let pairs: Vec<String> = query
            .split('&')
            .enumerate()
            .map(|(at, pair)| match pair.split_once('=') {
                Some((name, value)) if !value.is_empty() && !keeps(at, value) => format!("{name}={REDACTED}"),
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
        assert!(!is_redacted("https://h/redacted?f=1"));
        assert_eq!(redact_template_url("https://h/api/v1/webhook/$session.params.code"), "https://h/api/v1/webhook/$session.params.code");
        assert!(is_redacted(&redact_template_url("https://h/api/v1/webhook/CODE")) && !is_redacted("https://h/api/v1/webhook/CODE"));
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
