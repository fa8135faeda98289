//! JSONPath (RFC 9535), parsed once, within limits that keep its cost near the size of the document.
//!
//! The grammar and the evaluation are `jsonpath-rust`'s. What we refuse beyond it is our decision: what is no RFC 9535, what that
//! library is known to evaluate wrongly, and what an endpoint's answer could turn into minutes of work.

mod cost;
mod error;

use std::fmt;

use jsonpath_rust::{
    parser::{
        errors::JsonPathError as ParseError,
        model::{JpQuery, Segment, Selector},
        parse_json_path,
    },
    query::js_path_process,
};
use serde_json::Value;

use error::refusal;

pub use error::JsonPathError;

/// The longest path, in characters.
pub const PATH_CHARS_MAX: usize = 1024;

/// Brackets and parentheses inside each other.
pub const PATH_DEPTH_MAX: usize = 16;

/// A parsed path.
#[derive(Clone, PartialEq)]
pub struct JsonPath {
    text: String,
    query: JpQuery,
}

impl JsonPath {
    /// Reads a path.
    pub fn parse(text: &str) -> Result<Self, JsonPathError> {
        let at = |position, detail: &str| Err(JsonPathError { position: Some(position), detail: detail.to_owned() });
        if text.chars().count() > PATH_CHARS_MAX {
            return Err(refusal(format!("a JSONPath has at most {PATH_CHARS_MAX} characters")));
        }
        if !text.starts_with('$') {
            return at(0, "a JSONPath begins with `$`, as in `$.routes[0].distance`");
        }
        if let Some(position) = too_deep(text) {
            return at(position, &format!("brackets stand at most {PATH_DEPTH_MAX} deep in a JSONPath"));
        }
        if let Some(position) = stray_space(text) {
            return at(position, "white space stands only inside brackets; a name that holds some is written `['two words']`");
        }
        let query = parse_json_path(text).map_err(|error| explained(text, error))?;
        cost::check(&query)?;
        Ok(Self { text: text.to_owned(), query })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it leads to one value at most: names and indices alone.
    pub fn is_singular(&self) -> bool {
        self.query.segments.iter().all(|segment| matches!(segment, Segment::Selector(Selector::Name(_) | Selector::Index(_))))
    }

    /// What it finds in `document`, in order.
    pub fn find<'v>(&self, document: &'v Value) -> Vec<&'v Value> {
        // The library's one error here is a result that stands nowhere in the document; no path that parses has such a result.
        js_path_process(&self.query, document).map(|found| found.into_iter().map(|one| one.val).collect()).unwrap_or_default()
    }
}

impl fmt::Debug for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonPath({:?})", self.text)
    }
}

/// The characters outside string literals, with their place and the brackets that are open before them.
fn structure(text: &str) -> impl Iterator<Item = (usize, char, usize)> {
    let (mut quote, mut escaped, mut depth) = (None, false, 0usize);
    text.chars().enumerate().filter_map(move |(position, c)| {
        if let Some(open) = quote {
            if !escaped && c == open {
                quote = None;
            }
            escaped = !escaped && c == '\\';
            return None;
        }
        let before = depth;
        match c {
            '\'' | '"' => quote = Some(c),
            '[' | '(' => depth += 1,
            ']' | ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        Some((position, c, before))
    })
}

fn too_deep(text: &str) -> Option<usize> {
    structure(text).find(|(_, c, depth)| matches!(c, '[' | '(') && *depth >= PATH_DEPTH_MAX).map(|(position, ..)| position)
}

/// White space outside brackets: the library would take it as part of a name.
fn stray_space(text: &str) -> Option<usize> {
    structure(text).find(|(_, c, depth)| c.is_whitespace() && *depth == 0).map(|(position, ..)| position)
}

fn explained(text: &str, error: ParseError) -> JsonPathError {
    match error {
        ParseError::PestError(error) => {
            // The parser's position is of a type we cannot name: `Pos(7)` or `Span((7, 9))`, in bytes.
            let location = format!("{:?}", error.location);
            let digits: String = location.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
            let position = digits.parse().ok().and_then(|byte: usize| text.get(..byte)).map(|before| before.chars().count());
            JsonPathError { position, detail: format!("this is no JSONPath (RFC 9535): {}", error.variant.message().replace('_', " ")) }
        }
        other => refusal(format!("this is no JSONPath (RFC 9535): {other}")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::json;

    use super::*;

    fn error(text: &str) -> JsonPathError {
        JsonPath::parse(text).unwrap_err()
    }

    #[test]
    fn the_path_of_the_dialogflow_page_finds_its_value() {
        // Dialogflow CX, "Webhooks", flexible webhook response.
        let answer = json!({"routes": [{"legs": [{"distance": {"text": "2,064 mi", "value": 3_321_004}}]}]});
        let path = JsonPath::parse("$.routes[0].legs[0].distance.value").unwrap();
        assert_eq!(path.find(&answer), [&json!(3_321_004)]);
        assert_eq!(JsonPath::parse("$['routes'][-1].legs[0:1].distance['text']").unwrap().find(&answer), [&json!("2,064 mi")]);
        assert!(path.find(&json!([])).is_empty() && path.find(&Value::Null).is_empty());
    }

    #[test]
    fn errors_say_where() {
        assert_eq!(error("data").position, Some(0));
        assert_eq!(error("").position, Some(0));
        assert_eq!(error("$.a[").position, Some(4));
        assert_eq!(error("$.é[").position, Some(4));
        assert_eq!(error("$.a b").position, Some(3));
        assert!(error("$.a[").to_string().ends_with("(at character 4)"));
    }

    #[test]
    fn what_would_cost_too_much_or_be_wrong_is_refused() {
        for text in [
            "$..a..b",
            "$..[?@..b]",
            "$[*,*][*,*][*,*][*,*][*,*][*,*][*,*]",
            "$..[?$..x]",
            "$[?$.a[*]]",
            "$[?@[?@>1]]",
            "$[?any_of(@.a, $.b)]",
            "$[?match(@.a, @.b)]",
            r"$[?match(@.a, '((\\w{99}){99}){99}')]",
            r"$[?match(@.a, '\\w{1000}')]",
        ] {
            assert!(JsonPath::parse(text).is_err(), "{text}");
        }
        assert!(JsonPath::parse(&format!("$.{}", "a".repeat(PATH_CHARS_MAX))).is_err());
        let deep = |n: usize| format!("$[?{}@.a{}]", "(".repeat(n), ")".repeat(n));
        assert!(JsonPath::parse(&deep(PATH_DEPTH_MAX - 1)).is_ok());
        assert!(JsonPath::parse(&deep(PATH_DEPTH_MAX)).is_err());
        assert!(JsonPath::parse(&format!("$['{}']", "(".repeat(100))).is_ok());
    }

    #[test]
    fn ordinary_paths_are_taken() {
        for text in [
            "$",
            "$..price",
            "$.a['two words']",
            "$[?@.a == 1 || @.b]",
            "$[?length(@.a)>2]",
            "$[?match(@.a, '[a-z]{3}')]",
            "$[0,1]",
            "$.a[?count(@.*)>1]",
        ] {
            assert!(JsonPath::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn the_costliest_path_ends_soon_on_a_hostile_document() {
        let mut document = json!(vec![1; 2_000]);
        for _ in 0..100 {
            document = json!([document]);
        }
        let started = Instant::now();
        for text in ["$..*", "$..[*,*,*,*,*,*,*,*]", "$..[?@.a || @[0]]"] {
            let _ = JsonPath::parse(text).unwrap().find(&document);
        }
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    }
}
