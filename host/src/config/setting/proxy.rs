//! `[[proxy]]`: rules in a table each. A rule's URL may hold a password: no error shows it.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{
    draft::{Form, Setting, Write, read_file},
    kinds::{kind, setting},
};
use crate::model::{
    problem::nearest,
    proxy::{Proxies, ProxyRule, Resolve},
};

/// The fields of one `[[proxy]]`.
const PROXY_FIELDS: [&str; 4] = ["url", "url_file", "hosts", "resolve"];

/// `[[proxy]]`.
pub(super) fn proxies() -> Setting {
    let write: Write = Box::new(|draft, value| {
        let rules = value.as_array().ok_or_else(|| format!("is {}; it must be an array of rules, `[[proxy]]`", kind(value)))?;
        let mut read = Vec::new();
        draft.proxies_shown.clear();
        for (at, rule) in rules.iter().enumerate() {
            let (rule, shown) = proxy(rule).map_err(|why| format!("number {}: {why}", at + 1))?;
            read.push(rule);
            draft.proxies_shown.push(shown);
        }
        draft.config.proxies = Proxies::new(read);
        Ok(())
    });
    let about = "Proxies on the way out: rules of `url` or `url_file`, `hosts` and `resolve`; the first rule that matches a host is used.";
    setting("proxy", about, Form::Rules, write, Box::new(|draft| draft.proxies_shown.clone().into()))
}

/// A rule, and how it is shown. Its URL may hold a password: errors do not show it.
fn proxy(rule: &Value) -> Result<(ProxyRule, Value), String> {
    let table = rule.as_object().ok_or("it must be a table")?;
    if let Some(name) = table.keys().find(|name| !PROXY_FIELDS.contains(&name.as_str())) {
        return Err(match nearest(name, PROXY_FIELDS) {
            Some(near) => format!("there is no field `{name}`; did you mean `{near}`?"),
            None => format!("there is no field `{name}`; there are: {}", PROXY_FIELDS.join(", ")),
        });
    }
    let field = |name: &str| match table.get(name) {
        None => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or_else(|| format!("`{name}` is {}; it must be a text", kind(value))),
    };
    let (url, from) = match (field("url")?, field("url_file")?) {
        (Some(url), None) => (url.to_owned(), None),
        (None, Some(path)) => (read_file(path.as_ref()).map_err(|why| format!("`url_file`: {why}"))?.trim().to_owned(), Some(path)),
        _ => return Err("it must have `url` or `url_file`, and not both".to_owned()),
    };
    let (hosts, resolve): (Vec<String>, Resolve) = (read_field(table, "hosts")?, read_field(table, "resolve")?);
    let read = ProxyRule::new(&url, &hosts, resolve).map_err(|error| error.to_string())?;
    let mut shown = table.clone();
    if from.is_none() {
        shown.insert("url".to_owned(), read.shown().into());
    }
    Ok((read, shown.into()))
}

/// A field of a table; its default where it is not there.
fn read_field<T: Default + DeserializeOwned>(table: &Map<String, Value>, name: &str) -> Result<T, String> {
    let Some(value) = table.get(name) else { return Ok(T::default()) };
    serde_json::from_value(value.clone()).map_err(|error| format!("`{name}`: {error}"))
}
