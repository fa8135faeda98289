//! The kinds of settings there are: each knows how it is read, refused and shown.

use std::{path::PathBuf, str::FromStr};

use ipnet::IpNet;
use serde_json::Value;

use super::draft::{Draft, Form, Read, Setting, Write};
use crate::config::bounded::Number;

/// Where in a draft something stands: to be written, and to be shown.
pub(super) type Place<T> = (fn(&mut Draft) -> &mut T, fn(&Draft) -> &T);

/// Such a place, by its path of fields.
macro_rules! place {
    ($($field:tt)+) => {
        (|draft| &mut draft.$($field)+, |draft| &draft.$($field)+)
    };
}

pub(super) use place;

/// The text a value is, or what it must be.
pub(super) fn as_text<'a>(value: &'a Value, what: &str) -> Result<&'a str, String> {
    value.as_str().ok_or_else(|| format!("is {}; it must be a text: {what}", kind(value)))
}

/// What a value of the wrong kind is, without showing it.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "a table",
    }
}

/// A setting of any kind.
pub(super) fn setting(key: &str, about: &str, form: Form, write: Write, read: Read) -> Setting {
    Setting { key: key.to_owned(), unit: "", about: about.to_owned(), bounds: None, form, write, read }
}

/// A text that is read as a `T`; absent: `None`.
pub(super) fn optional<T>(key: &str, about: &str, what: &'static str, place: Place<Option<T>>, show: fn(&T) -> String) -> Setting
where
    T: FromStr + 'static,
{
    let (place, shown) = place;
    let write: Write = Box::new(move |draft, value| {
        *place(draft) = Some(parsed(value, what)?);
        Ok(())
    });
    setting(key, about, Form::Text, write, Box::new(move |draft| shown(draft).as_ref().map(show).into()))
}

/// A text that is read as a `T`, with a default.
pub(super) fn text<T>(key: &str, about: &str, what: &'static str, place: Place<T>, show: fn(&T) -> String) -> Setting
where
    T: FromStr + 'static,
{
    let (place, shown) = place;
    let write: Write = Box::new(move |draft, value| {
        *place(draft) = parsed(value, what)?;
        Ok(())
    });
    setting(key, about, Form::Text, write, Box::new(move |draft| show(shown(draft)).into()))
}

/// A text as a `T`.
pub(super) fn parsed<T: FromStr>(value: &Value, what: &str) -> Result<T, String> {
    let text = as_text(value, what)?;
    let parsed = text.parse().ok().filter(|_| !text.is_empty());
    parsed.ok_or_else(|| format!("is `{text}`; it must be {what}"))
}

/// A path; absent: `None`.
pub(super) fn path(key: &str, about: &str, place: Place<Option<PathBuf>>) -> Setting {
    optional(key, about, "a path", place, shown_path)
}

/// A path as it is shown.
#[expect(clippy::ptr_arg, reason = "it is a function of what stands in the draft")]
pub(super) fn shown_path(path: &PathBuf) -> String {
    path.display().to_string()
}

/// `true` or `false`.
pub(super) fn truth(key: &str, about: &str, place: Place<bool>) -> Setting {
    let (place, shown) = place;
    let write: Write = Box::new(move |draft, value| {
        *place(draft) = value.as_bool().ok_or_else(|| format!("is {}; it must be `true` or `false`", kind(value)))?;
        Ok(())
    });
    setting(key, about, Form::Truth, write, Box::new(move |draft| (*shown(draft)).into()))
}

/// A whole number of `unit`.
pub(super) fn number(
    key: &str,
    about: &str,
    unit: &'static str,
    bounds: (u64, Option<u64>),
    write: WriteNumber,
    read: ReadNumber,
) -> Setting {
    let (least, most) = bounds;
    let write: Write = Box::new(move |draft, value| {
        let wanted = |found: &str| wanted(found, unit, bounds);
        let number = value.as_u64().ok_or_else(|| wanted(&if value.is_number() { value.to_string() } else { kind(value).to_owned() }))?;
        if !(least..=most.unwrap_or(u64::MAX)).contains(&number) {
            return Err(wanted(&number.to_string()));
        }
        write(draft, number);
        Ok(())
    });
    Setting { unit, bounds: Some(bounds), ..setting(key, about, Form::Number, write, Box::new(move |draft| read(draft).into())) }
}

/// A whole number that stands there as it is.
pub(super) fn whole(key: &str, about: &str, unit: &'static str, bounds: (u64, Option<u64>), (place, shown): Place<u64>) -> Setting {
    number(key, about, unit, bounds, Box::new(move |draft, value| *place(draft) = value), Box::new(move |draft| *shown(draft)))
}

/// What a number must be.
pub(super) fn wanted(found: &str, unit: &str, (least, most): (u64, Option<u64>)) -> String {
    format!("is {found}; it must be a whole number of {unit}, {}", range(least, most))
}

/// Writes a number.
pub(super) type WriteNumber = Box<dyn Fn(&mut Draft, u64) + Send + Sync>;
/// Reads one.
pub(super) type ReadNumber = Box<dyn Fn(&Draft) -> u64 + Send + Sync>;

/// Bounds in words.
pub(super) fn range(least: u64, most: Option<u64>) -> String {
    most.map_or_else(|| format!("{least} at least"), |most| format!("{least} to {most}"))
}

/// A number of one of the tables of `limits`.
pub(super) fn counted<T>(it: &'static Number<T>, (place, shown): Place<T>) -> Setting {
    let write: WriteNumber = Box::new(move |draft, value| (it.set)(place(draft), value));
    number(it.key, it.about, it.unit, (it.least, Some(it.most)), write, Box::new(move |draft| (it.get)(shown(draft))))
}

/// A list, each of which `read` makes something of.
pub(super) fn list<T: 'static>(
    key: &str,
    about: &str,
    what: &'static str,
    read: fn(&str) -> Option<T>,
    place: fn(&mut Draft) -> &mut Vec<T>,
    show: Read,
) -> Setting {
    let write: Write = Box::new(move |draft, value| {
        let list = value.as_array().ok_or_else(|| format!("is {}; it must be an array of {what}", kind(value)))?;
        let one = |one: &Value| {
            let text = as_text(one, what)?;
            read(text).ok_or_else(|| format!("has `{text}`; it must be an array of {what}"))
        };
        *place(draft) = list.iter().map(one).collect::<Result<_, String>>()?;
        Ok(())
    });
    setting(key, about, Form::List, write, show)
}

/// A list of networks.
pub(super) fn networks(key: &str, about: &str, (place, shown): Place<Vec<IpNet>>) -> Setting {
    let show: Read = Box::new(move |draft| shown(draft).iter().map(ToString::to_string).collect());
    list(key, about, "networks such as `10.1.0.0/16`", |text| text.parse().ok(), place, show)
}
