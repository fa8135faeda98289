//! The settings of `[otlp]`, and of what goes with traces.

use serde_json::{Map, Value};
use url::Url;

use super::{
    draft::{Form, Read, Setting, Write},
    kinds::{as_text, counted, kind, optional, path, place, setting},
};
use crate::{config::otlp::OtlpLimits, model::request::redact_url};

/// Where a collector takes traces, unless its URL has a path of its own (OTLP 1.x, "OTLP/HTTP Request").
const TRACES_PATH: &str = "/v1/traces";

/// All of them.
pub(super) fn otlp() -> Vec<Setting> {
    let mut all = vec![
        endpoint(),
        headers(),
        path(
            "otlp.headers_file",
            "A file with more headers for the collector, `name: value` in each line; read at the start.",
            place!(otlp.headers_file),
        ),
        path("otlp.ca_file", "Certificate authorities in PEM to trust instead of the public ones.", place!(otlp.ca_file)),
        optional(
            "otlp.service_name",
            "The host's name in traces (`service.name`). Absent: `hookwright`.",
            "a name",
            place!(otlp.service_name),
            String::clone,
        ),
        sample_ratio(),
    ];
    all.extend(OtlpLimits::NUMBERS.iter().map(|number| counted(number, place!(config.limits.otlp))));
    all
}

fn endpoint() -> Setting {
    const WHAT: &str = "the URL of a collector that speaks OTLP over HTTP, such as `http://127.0.0.1:4318`, without a user name";
    // What was written may hold a credential: no part of it is shown.
    let write: Write = Box::new(|draft, value| {
        let text = as_text(value, WHAT)?;
        let url = Url::parse(text).ok().filter(|url| {
            matches!(url.scheme(), "http" | "https") && url.has_host() && url.username().is_empty() && url.password().is_none()
        });
        let mut url = url.filter(|url| url.fragment().is_none()).ok_or_else(|| format!("is something else; it must be {WHAT}"))?;
        if url.path() == "/" {
            url.set_path(TRACES_PATH);
        }
        draft.otlp.endpoint = Some(url);
        Ok(())
    });
    let about = "The collector of traces, by OTLP over HTTP; without a path, `/v1/traces`. Absent: no traces are recorded.";
    let read: Read = Box::new(|draft| draft.otlp.endpoint.as_ref().map(|url| redact_url(url.as_str())).into());
    setting("otlp.endpoint", about, Form::Text, write, read)
}

fn headers() -> Setting {
    let write: Write = Box::new(|draft, value| {
        let table = value.as_object().ok_or_else(|| format!("is {}; it must be a table of headers and secrets", kind(value)))?;
        let read = |(name, value): (&String, &Value)| {
            let header = name.parse().map_err(|_| format!("has `{name}`; it must be a header's name"))?;
            // A credential that is written here by mistake is not shown again.
            let reference = as_text(value, "the name of a secret, `$secret:otlp`")?.parse();
            Ok((header, reference.map_err(|_| format!("`{name}` is no reference; it must be the name of a secret, `$secret:otlp`"))?))
        };
        draft.otlp.headers = table.iter().map(read).collect::<Result<_, String>>()?;
        Ok(())
    });
    let about = "Headers for the collector, each with the secret that is its value.";
    let read: Read = Box::new(|draft| {
        let shown = draft.otlp.headers.iter().map(|(name, reference)| (name.to_string(), reference.to_string().into()));
        shown.collect::<Map<_, _>>().into()
    });
    setting("otlp.headers", about, Form::Pairs, write, read)
}

fn sample_ratio() -> Setting {
    let write: Write = Box::new(|draft, value| {
        let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|ratio| (0.0..=1.0).contains(ratio));
        draft.otlp.sample_ratio = Some(number.ok_or("is something else; it must be a number from 0 to 1, such as `0.1`")?);
        Ok(())
    });
    let about = "The part of traces beginning here that is recorded, 0 to 1. If a caller sent a trace, the caller decides.";
    setting("otlp.sample_ratio", about, Form::Text, write, Box::new(|draft| draft.otlp.sample_ratio.unwrap_or(1.0).into()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::otlp::{Otlp, read_headers};
    use crate::config::setting::{Draft, find};

    fn draft(written: &[(&str, Value)]) -> Result<Option<Otlp>, String> {
        let (all, mut draft) = (super::super::settings(), Draft::default());
        for (key, value) in written {
            find(&all, key).and_then(|setting| setting.write(&mut draft, value))?;
        }
        draft.finish().map(|config| config.otlp).map_err(|problems| format!("{problems:?}"))
    }

    #[test]
    fn a_collector_is_its_url_and_everything_else_has_a_default() {
        let read = |url: &str| draft(&[("otlp.endpoint", json!(url))]).expect("read").expect("a collector");
        assert_eq!(read("http://127.0.0.1:4318").endpoint.as_str(), "http://127.0.0.1:4318/v1/traces");
        assert_eq!(read("https://c.example/otlp/v1/traces").endpoint.as_str(), "https://c.example/otlp/v1/traces");
        let collector = read("http://c.example");
        assert_eq!((collector.service_name.as_str(), collector.sample_ratio), ("hookwright", 1.0));
        assert!(draft(&[]).expect("read").is_none());
        let alone = draft(&[("otlp.sample_ratio", json!("0.25"))]).expect_err("refused");
        assert!(alone.contains("otlp.endpoint") && alone.contains("must be set"), "{alone}");
    }

    #[test]
    fn credentials_are_named_and_not_sent_where_anybody_reads_them() {
        let headers = json!({ "x-key": "$secret:otlp" });
        assert!(draft(&[("otlp.endpoint", json!("https://c.example")), ("otlp.headers", headers.clone())]).is_ok());
        assert!(draft(&[("otlp.endpoint", json!("http://localhost:1")), ("otlp.headers", headers.clone())]).is_ok());
        let plain = draft(&[("otlp.endpoint", json!("http://c.example")), ("otlp.headers", headers)]).expect_err("refused");
        assert!(plain.contains("https"), "{plain}");
        for (key, wrong) in [
            ("otlp.headers", json!({ "x-key": "canary" })),
            ("otlp.endpoint", json!("https://ann:canary@c.example")),
            ("otlp.endpoint", json!("canary")),
        ] {
            let why = draft(&[(key, wrong)]).expect_err("refused");
            assert!(!why.contains("canary") && why.contains("must be"), "{why}");
        }
        let lines = read_headers("x-key: canary\n\n authorization : Basic eA==\n").expect("headers");
        assert_eq!(lines.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["x-key", "authorization"]);
        let why = read_headers("x: y\ncanary\n").expect_err("refused");
        assert!(why.contains("line 2") && !why.contains("canary"), "{why}");
    }
}
