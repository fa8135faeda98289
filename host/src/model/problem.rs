//! What is wrong with a document somebody wrote: where, and what would be right.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use utoipa::ToSchema;

/// One thing wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Where, as a JSON Pointer (RFC 6901): `/request/url`. Empty: the document as a whole.
    pub pointer: String,
    /// What is wrong, and what would be right.
    pub detail: String,
}

impl Problem {
    /// A problem at `pointer`.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }

    /// What serde could not read.
    pub fn unreadable(error: &serde_path_to_error::Error<serde_json::Error>) -> Self {
        explain(pointer_of(error.path()), &error.inner().to_string())
    }

    /// The same problem in a larger document, where this one stands at `prefix`.
    pub fn under(mut self, prefix: &str) -> Self {
        self.pointer.insert_str(0, prefix);
        self
    }
}

/// Reads a document in JSON already parsed; what is wrong comes with its pointer and the nearest known name.
pub fn read<T: DeserializeOwned>(value: Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(value).map_err(|error| Problem::unreadable(&error))
}

fn pointer_of(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .map(|part| match part {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => segment(key),
            Segment::Enum { variant } => segment(variant),
            Segment::Unknown => String::new(),
        })
        .collect()
}

/// serde says «unknown field `x`, expected one of `a`, `b` at line 1 column 2»; people want the nearest name.
fn explain(pointer: String, message: &str) -> Problem {
    let message = message.split(" at line ").next().unwrap_or(message);
    let Some(rest) = message.strip_prefix("unknown field `") else { return Problem::new(pointer, message) };
    let Some((unknown, expected)) = rest.split_once('`') else { return Problem::new(pointer, message) };
    let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    // The path ends before the field that could not be read.
    let ends_with_it = pointer.ends_with(&segment(unknown));
    let pointer = if ends_with_it { pointer } else { pointer + &segment(unknown) };
    let detail = match nearest(unknown, known.iter().copied()) {
        Some(near) => format!("there is no field `{unknown}`; did you mean `{near}`?"),
        None => format!("there is no field `{unknown}`; there are: {}", known.join(", ")),
    };
    Problem::new(pointer, detail)
}

/// One segment of a JSON Pointer, escaped.
pub fn segment(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// The known name nearest to `unknown`, if any is near enough to be what was meant.
pub fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&unknown.to_lowercase(), &name.to_lowercase()), name))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_when_it_is_near() {
        assert_eq!(nearest("metod", ["method", "url"]), Some("method"));
        assert_eq!(nearest("colour", ["method", "url"]), None);
    }
}
