//! Everything that can be set: one list of keys with units, defaults and bounds.
//!
//! A key is what the file says (`limits.backlog_max` is `backlog_max` in `[limits]`); the variable of the environment is
//! `HOOKWRIGHT_` and the key in capitals with `_` for `.`.

mod draft;
mod kinds;
mod otlp;
mod proxy;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use self::{
    kinds::{
        as_text, counted, kind, list, networks, number, optional, path, place, range, setting, shown_path, text, truth, wanted, whole,
    },
    proxy::proxies,
};
use super::{
    Bases, SmtpTls,
    http::{HttpSettings, bare_host_name, is_origin},
    limits::{Limits, Retention},
};
use crate::model::{
    plugin::{
        limits::{Limit, PluginLimits},
        rollback::{CALLS_MIN_MAX, WINDOW_S_MAX},
    },
    problem::nearest,
};
pub use draft::{Draft, Setting};
use draft::{Form, Read, Write};

/// What the variables of the environment begin with.
pub const VARIABLE_PREFIX: &str = "HOOKWRIGHT_";

impl Setting {
    /// The variable of the environment.
    pub fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.key.to_uppercase().replace('.', "_"))
    }

    /// Sets it from the file. The error does not name the key.
    pub fn write(&self, draft: &mut Draft, value: &Value) -> Result<(), String> {
        (self.write)(draft, value)
    }

    /// Sets it from text of the environment or the command line.
    pub fn write_text(&self, draft: &mut Draft, text: &str) -> Result<(), String> {
        self.write(draft, &self.parse(text)?)
    }

    /// What it is now; no secret.
    pub fn read(&self, draft: &Draft) -> Value {
        (self.read)(draft)
    }

    /// What it may be, in words: empty where anything of its kind may.
    pub fn range(&self) -> String {
        self.bounds.map_or_else(String::new, |(least, most)| range(least, most))
    }

    fn parse(&self, text: &str) -> Result<Value, String> {
        let parts = || text.split(',').map(str::trim).filter(|part| !part.is_empty());
        Ok(match self.form {
            Form::Number => {
                let wanted = |_| wanted(&format!("`{text}`"), self.unit, self.bounds.unwrap_or((0, None)));
                text.trim().parse::<u64>().map_err(wanted)?.into()
            }
            Form::Truth => match text.trim() {
                "true" => true.into(),
                "false" => false.into(),
                _ => return Err(format!("is `{text}`; it must be `true` or `false`")),
            },
            Form::Text => text.into(),
            Form::List => parts().collect(),
            Form::Pairs => {
                let pairs = parts().map(|pair| pair.split_once('=').unwrap_or((pair, "")));
                pairs.map(|(path, name)| (path.to_owned(), Value::from(name))).collect::<Map<_, _>>().into()
            }
            // What it holds may be a password: no part of it is shown.
            Form::Rules if text.trim_start().starts_with('[') => {
                serde_json::from_str(text).map_err(|_| "is neither a URL nor an array of rules in JSON".to_owned())?
            }
            Form::Rules => json!([{ "url": text }]),
        })
    }
}

/// All settings, as the operator's list has them.
pub fn settings() -> Vec<Setting> {
    let mut all = vec![
        text(
            "listen",
            "The address to listen on.",
            "an address and a port such as `127.0.0.1:8400`",
            place!(config.listen),
            ToString::to_string,
        ),
        optional(
            "admin_listen",
            "The address to listen on for administrators; then `listen` serves only codes and the host's health. Absent: one listener for all.",
            "an address and a port such as `127.0.0.1:8401`",
            place!(config.admin_listen),
            ToString::to_string,
        ),
        path(
            "tls.certificate_file",
            "The listeners' certificates in PEM, the host's own first; read again when the file changes, and on SIGHUP. Absent: plain HTTP.",
            place!(tls.0),
        ),
        path("tls.key_file", "Its key in PEM.", place!(tls.1)),
        text("data", "The data directory.", "a path", place!(config.data), shown_path),
        path(
            "key_file",
            "The file with the storage key, 64 hexadecimal digits. Absent: `key` in the data directory, made at the first start.",
            place!(config.key_file),
        ),
        path(
            "backup_dir",
            "The directory below which `POST /v1/backup` may write. Absent: nowhere. `hookwright backup` on the host's machine does not need it.",
            place!(config.backup_dir),
        ),
        networks(
            "allow_networks",
            "Networks that the host may call in addition to public addresses, also by plain `http`.",
            place!(config.allow_networks),
        ),
        proxies(),
        public_url(),
        bases(),
        truth(
            "warm_plugins",
            "Whether active plugins are compiled at the start, so that the first delivery does not wait for it.",
            place!(config.warm_plugins),
        ),
        text(
            "log_format",
            "The format of the log on standard error: `text`, `json`, or `auto`: text on a terminal, JSON elsewhere.",
            "`auto`, `text` or `json`",
            place!(config.log_format),
            |format| format.as_str().to_owned(),
        ),
        truth(
            "pass_trace_on",
            "Whether endpoints get the trace of a delivery (`traceparent`, `tracestate`).",
            place!(config.pass_trace_on),
        ),
    ];
    all.extend(smtp());
    all.extend(otlp::otlp());
    all.extend(Limits::NUMBERS.iter().map(|number| counted(number, place!(config.limits))));
    all.extend(http());
    all.extend(HttpSettings::NUMBERS.iter().map(|number| counted(number, place!(config.limits.http))));
    all.extend(Retention::NUMBERS.iter().map(|number| counted(number, place!(config.limits.retention))));
    all.extend(plugin_limits());
    all.extend(rollback());
    all
}

/// The setting with this key, or the nearest key there is.
pub fn find<'a>(settings: &'a [Setting], key: &str) -> Result<&'a Setting, String> {
    settings.iter().find(|setting| setting.key == key).ok_or_else(|| unknown(key, settings.iter().map(|setting| setting.key.as_str())))
}

/// What is said of a name nobody knows.
pub fn unknown<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(name, known) {
        Some(near) => format!("is no setting; did you mean `{near}`?"),
        None => "is no setting; `hookwright config show` lists all there are".to_owned(),
    }
}

/// The lists of `[http]`.
fn http() -> Vec<Setting> {
    vec![
        networks(
            "http.trusted_proxies",
            "Networks whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed: proxies in front of the host.",
            place!(config.limits.http.trusted_proxies),
        ),
        list(
            "http.codes_hosts",
            "Host names that serve only codes, and receivers' answers unchanged.",
            "names of hosts alone, such as `hooks.example.com`",
            bare_host_name,
            |draft| &mut draft.config.limits.http.codes_hosts,
            Box::new(|draft| draft.config.limits.http.codes_hosts.clone().into()),
        ),
        list(
            "http.cors_origins",
            "Origins whose pages may use the API from a browser.",
            "origins, scheme, host and port alone, such as `https://console.example.com`",
            |text| is_origin(text).then(|| text.to_owned()),
            |draft| &mut draft.config.limits.http.cors_origins,
            Box::new(|draft| draft.config.limits.http.cors_origins.clone().into()),
        ),
    ]
}

fn public_url() -> Setting {
    let write: Write = Box::new(|draft, value| draft.config.bases.set_public_url(as_text(value, "scheme, host and port")?));
    let about = "The host's address for callers: scheme, host and port. Absent: the address of the admin's own request.";
    setting("public_url", about, Form::Text, write, Box::new(|draft| draft.config.bases.public_url.clone().into()))
}

fn bases() -> Setting {
    let write: Write = Box::new(|draft, value| {
        let table = value.as_object().ok_or_else(|| format!("is {}; it must be a table of paths and environments", kind(value)))?;
        let mut bases = Bases { public_url: draft.config.bases.public_url.take(), ..Bases::default() };
        for (path, environment) in table {
            bases.add(path, as_text(environment, "an environment, or empty")?)?;
        }
        draft.config.bases = bases;
        Ok(())
    });
    let about = "Paths before `/api/v1/webhook/CODE`, and the environment of each. With any base, codes work only below these paths.";
    let read: Read = Box::new(|draft| {
        let paths: &BTreeMap<_, _> = &draft.config.bases.paths;
        paths.iter().map(|(path, environment)| (path.clone(), environment.clone().unwrap_or_default().into())).collect::<Map<_, _>>().into()
    });
    setting("bases", about, Form::Pairs, write, read)
}

fn smtp() -> Vec<Setting> {
    vec![
        optional("smtp.host", "The mail server's name.", "a host's name", place!(smtp.host), String::clone),
        number(
            "smtp.port",
            "Its port. Absent: 465, 587 or 25, depending on `smtp.tls`.",
            "(a port)",
            (1, Some(65_535)),
            Box::new(|draft, port| draft.smtp.port = u16::try_from(port).ok()),
            Box::new(|draft| draft.smtp.port.unwrap_or(draft.smtp.tls.unwrap_or(SmtpTls::Implicit).port()).into()),
        ),
        optional(
            "smtp.tls",
            "How the connection is protected: `implicit` from the start, `starttls` after that command, or `none`.",
            "`implicit`, `starttls` or `none`",
            place!(smtp.tls),
            |tls| tls.as_str().to_owned(),
        ),
        path("smtp.ca_file", "Certificate authorities in PEM to trust in addition to the public ones.", place!(smtp.ca_file)),
        optional(
            "smtp.from",
            "The sender of mails.",
            "a mailbox such as `Hookwright <webhooks@example.com>`",
            place!(smtp.from),
            String::clone,
        ),
        optional("smtp.user", "The user name at the mail server. Absent: no login.", "a name", place!(smtp.user), String::clone),
        optional(
            "smtp.password",
            "The secret with the user's password.",
            "the name of a secret, `$secret:smtp`",
            place!(smtp.password),
            ToString::to_string,
        ),
    ]
}

/// `[plugin_defaults]` and `[plugin_maxima]`. The former are also held against the latter, once both are known.
fn plugin_limits() -> Vec<Setting> {
    // As many core instances as a component may have, and no more memory than its addresses reach.
    let most = |limit: Limit| match limit {
        Limit::CoreInstances => Some(PluginLimits::MAXIMUM.core_instances),
        Limit::MemoryBytes => Some(1 << 32),
        _ => None,
    };
    let maxima = Limit::ALL.iter().map(|limit| {
        number(
            &format!("plugin_maxima.{}", limit.name()),
            &format!("The most an admin may set: {}", limit.about()),
            limit.unit(),
            (limit.least(), most(*limit)),
            Box::new(|draft, value| draft.plugin_maxima.set(*limit, value)),
            Box::new(|draft| PluginLimits::MAXIMUM.with(&draft.plugin_maxima).get(*limit)),
        )
    });
    let defaults = Limit::ALL.iter().map(|limit| {
        number(
            &format!("plugin_defaults.{}", limit.name()),
            limit.about(),
            limit.unit(),
            (limit.least(), most(*limit)),
            Box::new(|draft, value| draft.plugin_defaults.set(*limit, value)),
            Box::new(|draft| PluginLimits::DEFAULT.with(&draft.plugin_defaults).get(*limit)),
        )
    });
    defaults.chain(maxima).collect()
}

fn rollback() -> Vec<Setting> {
    vec![
        truth(
            "plugin_rollback.automatic",
            "Whether a new version that fails is rolled back automatically.",
            place!(config.limits.plugin_rollback.automatic),
        ),
        whole(
            "plugin_rollback.failed_percent",
            "Percentage of callers and events for which it must fail.",
            "percent",
            (1, Some(100)),
            place!(config.limits.plugin_rollback.failed_percent),
        ),
        whole(
            "plugin_rollback.calls_min",
            "Callers and events that are needed before it is judged.",
            "callers and events",
            (1, Some(CALLS_MIN_MAX)),
            place!(config.limits.plugin_rollback.calls_min),
        ),
        whole(
            "plugin_rollback.window_s",
            "How long it is watched after its activation.",
            "seconds",
            (1, Some(WINDOW_S_MAX)),
            place!(config.limits.plugin_rollback.window_s),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_and_every_variable_is_one_settings_alone() {
        let all = settings();
        let keys: std::collections::BTreeSet<_> = all.iter().map(|setting| setting.key.clone()).collect();
        let variables: std::collections::BTreeSet<_> = all.iter().map(Setting::variable).collect();
        assert_eq!((keys.len(), variables.len()), (all.len(), all.len()));
        assert!(all.iter().all(|setting| setting.about.len() > 5 && setting.bounds.is_some() != setting.unit.is_empty()));
    }

    #[test]
    fn no_limit_is_forgotten() {
        let all = settings();
        // What is a table of its own is taken apart.
        let Limits { http: _, otlp: _, retention: _, plugin_defaults: _, plugin_maxima: _, plugin_rollback: _, .. } = Limits::default();
        for key in Limits::NUMBERS.iter().map(|number| number.key).chain(Retention::NUMBERS.iter().map(|number| number.key)) {
            assert!(find(&all, key).is_ok(), "{key}");
        }
        for limit in Limit::ALL {
            for table in ["plugin_defaults", "plugin_maxima"] {
                assert!(find(&all, &format!("{table}.{}", limit.name())).is_ok(), "{limit:?}");
            }
        }
        let Value::Object(rule) = serde_json::to_value(Limits::default().plugin_rollback).expect("JSON") else { panic!("a table") };
        assert!(rule.keys().all(|field| find(&all, &format!("plugin_rollback.{field}")).is_ok()));
    }

    #[test]
    fn every_setting_says_what_it_would_take() {
        for setting in settings() {
            for wrong in [json!({ "x": {} }), json!([7]), json!(-1), json!(1.5)] {
                let refused = setting.write(&mut Draft::default(), &wrong);
                assert!(refused.is_err_and(|why| why.contains("must be") || why.contains("environment")), "{} takes {wrong}", setting.key);
            }
        }
    }
}
