//! Which headers a webhook or a plugin may set.

/// Headers of one request.
pub const HEADERS_MAX: usize = 64;

/// The longest value, in bytes.
pub const HEADER_VALUE_BYTES_MAX: usize = 8 * 1024;

/// Headers only the host sets; a `*` stands for any ending. They are (decision: origin-is-the-admins) those that frame the message or
/// choose where it goes (RFC 9110, RFC 9112), credentials, and those that sign a delivery. `cookie` is not among them: a plugin
/// can put nothing into it that it does not know already.
pub const HOST_OWNED_HEADERS: [&str; 18] = [
    "host",
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "authorization",
    "proxy-*",
    "webhook-*",
    "secret",
    "x-esrihook-signature",
    "x-hub-signature*",
    "hookwright-*",
    "x-hookwright-*",
];

/// Headers whose values are credentials, in requests and in answers.
pub const CREDENTIAL_HEADERS: [&str; 5] = ["authorization", "cookie", "proxy-authorization", "secret", "x-api-key"];

/// Whether only the host sets the header, whatever its case.
pub fn is_host_owned(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    HOST_OWNED_HEADERS.iter().any(|owned| match owned.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == *owned,
    })
}

/// Whether `name`, in lower case, may be set by a webhook or plugin.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    if !is_token(name) {
        return Err("a header's name is letters, digits and `!#$%&'*+-.^_`|~` (RFC 9110)".to_owned());
    }
    if name == "content-type" {
        return Err("say it in `content_type`".to_owned());
    }
    if !is_host_owned(name) {
        return Ok(());
    }
    Err(match name {
        "authorization" | "proxy-authorization" => "credentials stand in `auth`".to_owned(),
        "secret" | "x-esrihook-signature" => "signatures and shared values come from `signing`".to_owned(),
        _ if name.starts_with("webhook-") || name.starts_with("x-hub-signature") => "signatures come from `signing`".to_owned(),
        _ => "this header is the host's".to_owned(),
    })
}

/// Whether `value` may be sent: no control characters, so that a value never becomes a second header (RFC 9110, 5.5).
pub(super) fn check_value(value: &str) -> Result<(), String> {
    if value.len() > HEADER_VALUE_BYTES_MAX {
        return Err(format!("its value has {} bytes; it may have {HEADER_VALUE_BYTES_MAX}", value.len()));
    }
    if value.chars().any(|c| c.is_control() && c != '\t') {
        return Err("its value holds a control character, such as a line break".to_owned());
    }
    Ok(())
}

/// RFC 9110's `token`.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_headers_are_refused_with_a_word_on_what_to_do() {
        for name in [
            "Host",
            "AUTHORIZATION",
            "content-length",
            "webhook-id",
            "webhook-anything",
            "Proxy-Connection",
            "secret",
            "x-hub-signature-256",
        ] {
            assert!(is_host_owned(name), "{name}");
            assert!(check_name(&name.to_lowercase()).is_err(), "{name}");
        }
        for name in ["x-tenant", "cookie", "user-agent", "accept", "webhook", "secrets", "idempotency-key"] {
            assert!(!is_host_owned(name) && check_name(name).is_ok(), "{name}");
        }
        assert!(check_name("authorization").unwrap_err().contains("`auth`"));
        assert!(check_name("content-type").unwrap_err().contains("`content_type`"));
        for name in ["", "a b", "a:b", "é", "a\r\nb"] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_value_never_becomes_a_second_header() {
        assert!(check_value("a\r\nx: y").is_err() && check_value("a\0").is_err() && check_value("\u{7f}").is_err());
        assert!(check_value("a\tb é").is_ok() && check_value("").is_ok());
        assert!(check_value(&"a".repeat(HEADER_VALUE_BYTES_MAX + 1)).is_err());
    }
}
