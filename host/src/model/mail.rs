//! A `mailto:` URL (RFC 6068): where a webhook's mail goes.

use lettre::Address;
use percent_encoding::percent_decode_str;

/// What such a URL begins with.
const SCHEME: &str = "mailto:";
/// Addresses of one mail.
pub const ADDRESSES_MAX: usize = 50;
/// The longest subject, in characters.
pub const SUBJECT_CHARS_MAX: usize = 500;

/// Where a mail goes, and what it is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailTo {
    /// Addresses.
    pub to: Vec<String>,
    /// Addresses everybody sees.
    pub cc: Vec<String>,
    /// Addresses nobody else sees.
    pub bcc: Vec<String>,
    /// One line; empty: none was given.
    pub subject: String,
}

/// Whether `url` is one.
pub fn is_mail(url: &str) -> bool {
    url.get(..SCHEME.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME))
}

/// Whether `text` is an address, `local@domain`.
pub fn is_address(text: &str) -> bool {
    text.parse::<Address>().is_ok()
}

impl MailTo {
    /// Reads `mailto:a@example.com,b@example.com?cc=c@example.com&subject=...`.
    pub fn parse(url: &str) -> Result<Self, String> {
        let rest = url.get(SCHEME.len()..).filter(|_| is_mail(url)).ok_or("it begins with `mailto:`")?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut mail = Self { to: addresses(path)?, ..Self::default() };
        for (name, value) in query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, ""))) {
            match name.to_ascii_lowercase().as_str() {
                "to" => mail.to.extend(addresses(value)?),
                "cc" => mail.cc.extend(addresses(value)?),
                "bcc" => mail.bcc.extend(addresses(value)?),
                // A line break in a subject would begin another header.
                "subject" => mail.subject = decoded(value)?.split_whitespace().collect::<Vec<_>>().join(" "),
                other => return Err(format!("`{other}` is none of `to`, `cc`, `bcc`, `subject`; the text is the request's `body`")),
            }
        }
        let count = mail.to.len() + mail.cc.len() + mail.bcc.len();
        if mail.to.is_empty() || count > ADDRESSES_MAX {
            return Err(format!("a mail goes to 1 to {ADDRESSES_MAX} addresses"));
        }
        mail.subject = mail.subject.chars().take(SUBJECT_CHARS_MAX).collect();
        Ok(mail)
    }
}

fn decoded(text: &str) -> Result<String, String> {
    percent_decode_str(text).decode_utf8().map(Into::into).map_err(|_| format!("`{text}` is not UTF-8"))
}

fn addresses(text: &str) -> Result<Vec<String>, String> {
    let parts = text.split(',').filter(|part| !part.is_empty()).map(decoded);
    parts.map(|part| part.and_then(|part| if is_address(&part) { Ok(part) } else { Err(format!("`{part}` is no mail address")) })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_and_the_subject_are_read() {
        let mail = MailTo::parse("MAILTO:a@x.example,b%2Bc@x.example?cc=d@x.example&subject=Caf%C3%A9%0D%0ABcc:%20no").expect("a mail");
        assert_eq!((mail.to, mail.cc), (vec!["a@x.example".to_owned(), "b+c@x.example".to_owned()], vec!["d@x.example".to_owned()]));
        assert_eq!(mail.subject, "Café Bcc: no");
    }

    #[test]
    fn what_is_none_is_refused() {
        for url in
            ["mailto:", "mailto:x", "mailto:a@x.example?body=b", "mailto:a@x.example?cc=b", "https://x.example", "mailto:a@x.example,b"]
        {
            assert!(MailTo::parse(url).is_err(), "{url}");
        }
        let many = vec!["a@x.example"; ADDRESSES_MAX + 1].join(",");
        assert!(MailTo::parse(&format!("mailto:{many}")).is_err());
    }
}
