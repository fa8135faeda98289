//! Which headers a receiver may answer with.
//!
//! What concerns the one answer is the receiver's business, also when a browser obeys it: its status, where it leads, how it is kept, who may
//! read it (`access-control-allow-origin`), a policy of its own. Two kinds of headers do more. A reverse proxy in front of the host obeys
//! some, and serves a file or another address in place of the answer: they are never passed on. Browsers keep others for the whole origin
//! (cookies, workers, passwords, how the host is to be reached): they are not passed on where pages of administrators stand at that origin.

use std::fmt;

/// Obeyed by reverse proxies: nginx, Apache's mod_xsendfile, lighttpd, LiteSpeed, Perlbal.
const OF_PROXIES: [&str; 8] = [
    "x-accel-redirect",
    "x-lighttpd-send-file",
    "x-lighttpd-send-tempfile",
    "x-litespeed-location",
    "x-reproxy-file",
    "x-reproxy-url",
    "x-sendfile",
    "x-sendfile2",
];

/// Kept by browsers for the whole origin.
const OF_THE_ORIGIN: [&str; 36] = [
    "accept-ch",
    "accept-ch-lifetime",
    // Credentials of the origin in answers to others' pages.
    "access-control-allow-credentials",
    "access-control-allow-local-network",
    "access-control-allow-private-network",
    "activate-storage-access",
    "ad-auction-allowed",
    "ad-auction-signals",
    "alt-svc",
    "attribution-reporting-register-os-source",
    "attribution-reporting-register-os-trigger",
    "attribution-reporting-register-source",
    "attribution-reporting-register-trigger",
    "clear-site-data",
    "critical-ch",
    "expect-ct",
    "nel",
    "observe-browsing-topics",
    "origin-agent-cluster",
    "origin-trial",
    "p3p",
    "public-key-pins",
    "public-key-pins-report-only",
    "report-to",
    "sec-session-challenge",
    "sec-session-registration",
    "secure-session-challenge",
    "secure-session-registration",
    "service-worker-allowed",
    "set-cookie",
    "set-cookie2",
    "set-login",
    "shared-storage-write",
    "strict-transport-security",
    "use-as-dictionary",
    // The browser asks for a password in the origin's name, and sends it to all of the origin from then on.
    "www-authenticate",
];

/// Why a header of a reply is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// A reverse proxy would obey it.
    ForProxies,
    /// A browser would obey it for the whole origin.
    ForOrigin,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ForProxies => "a reverse proxy in front of the host would serve something else in place of this answer",
            Self::ForOrigin => {
                "it acts on more than this answer, and administrators have pages at the same origin; a name of `http.codes_hosts` serves \
                 codes alone"
            }
        })
    }
}

/// Takes out of a reply what acts on more than itself. `shares_origin`: whether pages of administrators stand at the same origin. The names of
/// what was taken out, each once.
pub fn take_out(headers: &mut Vec<(String, String)>, shares_origin: bool) -> Vec<(String, LeftOut)> {
    let mut taken: Vec<(String, LeftOut)> = Vec::new();
    headers.retain(|(name, value)| {
        let name = name.to_ascii_lowercase();
        let acts_on_origin = || match name.as_str() {
            // Parts with types of their own, each a document that replaces the one before.
            "content-type" => value.to_ascii_lowercase().contains("x-mixed-replace"),
            "location" | "content-location" => leads_into_code(value),
            // Seconds and `url=` come first, and white space is enough between them.
            "refresh" => {
                let is_of_time = |c: char| c.is_ascii_digit() || c == '.' || c.is_whitespace();
                value.split([';', ',', '=', '\'', '"']).any(|piece| leads_into_code(piece.trim_start_matches(is_of_time)))
            }
            name => OF_THE_ORIGIN.contains(&name),
        };
        let why = match name.as_str() {
            name if OF_PROXIES.contains(&name) => LeftOut::ForProxies,
            _ if shares_origin && acts_on_origin() => LeftOut::ForOrigin,
            _ => return true,
        };
        if !taken.iter().any(|(known, _)| *known == name) {
            taken.push((name, why));
        }
        false
    });
    taken
}

/// Whether an address is run rather than gone to. Browsers pass over white space and controls in its scheme.
fn leads_into_code(value: &str) -> bool {
    let bare: String = value.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
    let bare = bare.to_ascii_lowercase();
    ["javascript:", "vbscript:", "data:", "blob:", "filesystem:"].iter().any(|scheme| bare.starts_with(scheme))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_of(headers: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        let mut headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let taken = take_out(&mut headers, true);
        (headers.into_iter().map(|(name, _)| name).collect(), taken.into_iter().map(|(name, _)| name).collect())
    }

    #[test]
    fn what_a_reverse_proxy_obeys_is_taken_out_everywhere() {
        let mut headers =
            [("X-Accel-Redirect", "/v1/tokens"), ("x-sendfile", "/etc/passwd"), ("set-cookie", "a=b"), ("x-accel-buffering", "no")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec();
        let taken = take_out(&mut headers, false);
        assert_eq!(taken, [("x-accel-redirect".to_owned(), LeftOut::ForProxies), ("x-sendfile".to_owned(), LeftOut::ForProxies)]);
        assert_eq!(headers.into_iter().map(|(name, _)| name).collect::<Vec<_>>(), ["set-cookie", "x-accel-buffering"]);
    }

    #[test]
    fn what_acts_on_the_whole_origin_is_taken_out_and_named_once() {
        let (left, taken) = left_of(&[
            ("Set-Cookie", "agstoken=x; Path=/portal"),
            ("set-cookie", "a=b"),
            ("SERVICE-WORKER-ALLOWED", "/"),
            ("clear-site-data", "\"*\""),
            ("strict-transport-security", "max-age=0"),
            ("content-type", "text/html"),
            ("access-control-allow-origin", "*"),
            ("content-security-policy", "default-src 'none'"),
            ("cache-control", "no-store"),
        ]);
        assert_eq!(left, ["content-type", "access-control-allow-origin", "content-security-policy", "cache-control"]);
        assert_eq!(taken, ["set-cookie", "service-worker-allowed", "clear-site-data", "strict-transport-security"]);
    }

    #[test]
    fn a_reply_may_lead_elsewhere_but_not_into_code() {
        for address in ["https://thanks.example/", "/thanks", "../x?a=data:b", "mailto:a@b.example"] {
            assert_eq!(left_of(&[("location", address)]).1, Vec::<String>::new(), "{address}");
        }
        for address in ["javascript:alert(1)", "  JavaScript:alert(1)", "java\tscript:alert(1)", "data:text/html,x", "blob:x"] {
            assert_eq!(left_of(&[("Location", address)]).1, ["location"], "{address}");
        }
        for value in ["0; url=javascript:alert(1)", "0 javascript:alert(1)", "1.5,data:text/html,x", "0;URL = 'java\tscript:alert(1)'"] {
            assert_eq!(left_of(&[("refresh", value)]).1, ["refresh"], "{value}");
        }
        assert_eq!(left_of(&[("refresh", "5; url=/thanks")]).1, Vec::<String>::new());
    }

    #[test]
    fn documents_that_replace_each_other_are_of_no_type() {
        assert_eq!(left_of(&[("content-type", "Multipart/X-Mixed-Replace; boundary=x")]).1, ["content-type"]);
        assert_eq!(left_of(&[("content-type", "multipart/mixed; boundary=x")]).1, Vec::<String>::new());
    }

    #[test]
    fn the_lists_are_in_lower_case_and_in_order() {
        for list in [&OF_PROXIES[..], &OF_THE_ORIGIN] {
            assert!(list.is_sorted() && list.iter().all(|name| *name == name.to_ascii_lowercase()));
        }
    }
}
