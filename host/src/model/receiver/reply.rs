//! Which headers a receiver may answer with, where pages of administrators stand at the same origin.
//!
//! What concerns the one answer is the receiver's business, also when a browser obeys it: its status, where it leads, how it is kept, who may
//! read it (`access-control-allow-origin`), a policy of its own. What a browser keeps for the whole origin is not: cookies, workers, what is
//! to be forgotten, how the host is to be reached from now on.

/// Kept by browsers for the whole origin.
const OF_THE_ORIGIN: [&str; 35] = [
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
];

/// Takes out of a reply what acts on more than itself. The names of what was taken out.
pub fn take_out(headers: &mut Vec<(String, String)>) -> Vec<String> {
    let mut taken = Vec::new();
    headers.retain(|(name, value)| {
        let name = name.to_ascii_lowercase();
        let is_refused = match name.as_str() {
            // Parts with types of their own, each a document that replaces the one before.
            "content-type" => value.to_ascii_lowercase().contains("x-mixed-replace"),
            "location" | "content-location" => leads_into_code(value),
            // Seconds and `url=` come first.
            "refresh" => value.split([';', ',', '=', '\'', '"']).any(leads_into_code),
            name => OF_THE_ORIGIN.contains(&name),
        };
        if is_refused && !taken.contains(&name) {
            taken.push(name);
        }
        !is_refused
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
        let taken = take_out(&mut headers);
        (headers.into_iter().map(|(name, _)| name).collect(), taken)
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
        assert_eq!(left_of(&[("refresh", "0; url=javascript:alert(1)")]).1, ["refresh"]);
        assert_eq!(left_of(&[("refresh", "5; url=/thanks")]).1, Vec::<String>::new());
    }

    #[test]
    fn documents_that_replace_each_other_are_of_no_type() {
        assert_eq!(left_of(&[("content-type", "Multipart/X-Mixed-Replace; boundary=x")]).1, ["content-type"]);
        assert_eq!(left_of(&[("content-type", "multipart/mixed; boundary=x")]).1, Vec::<String>::new());
    }

    #[test]
    fn the_list_is_in_lower_case_and_in_order() {
        assert!(OF_THE_ORIGIN.is_sorted() && OF_THE_ORIGIN.iter().all(|name| *name == name.to_ascii_lowercase()));
    }
}
