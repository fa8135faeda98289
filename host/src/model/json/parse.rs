//! Reads JSON (RFC 8259) into [`Json`], once, without recursion beyond a limit.

use super::{
    Json, Object,
    number::{self, NUMBER_CHARS_MAX, Number},
};

/// Lists and objects inside each other, as `serde_json` has it.
pub const JSON_DEPTH_MAX: usize = 128;

/// Why bytes are no JSON, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail} at line {line} column {column}")]
pub struct JsonError {
    /// What is wrong.
    pub detail: String,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

/// One document.
pub(super) fn document(bytes: &[u8]) -> Result<Json, JsonError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let valid = std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
        Parser { text: valid, at: valid.len(), depth: 0 }.error("invalid UTF-8")
    })?;
    let mut parser = Parser { text, at: 0, depth: 0 };
    let value = parser.value()?;
    match parser.peek() {
        None => Ok(value),
        Some(_) => Err(parser.error("trailing characters: one JSON value is expected")),
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn error(&self, detail: impl Into<String>) -> JsonError {
        let before = self.text.get(..self.at).unwrap_or(self.text);
        let line = memchr::memchr_iter(b'\n', before.as_bytes()).count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        JsonError { detail: detail.into(), line, column }
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    fn value(&mut self) -> Result<Json, JsonError> {
        match self.peek() {
            None => Err(self.error("the text ends where a value is expected")),
            Some(b'"') => Ok(Json::String(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number().map(Json::Number),
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'n') => self.word("null", Json::Null),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(_) => Err(self.error("expected value")),
        }
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, JsonError> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.error("expected value"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn nested(&mut self, read: impl FnOnce(&mut Self) -> Result<Json, JsonError>) -> Result<Json, JsonError> {
        if self.depth >= JSON_DEPTH_MAX {
            return Err(self.error(format!("lists and objects are nested more than {JSON_DEPTH_MAX} deep")));
        }
        self.depth += 1;
        // The bracket.
        self.at += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn array(&mut self) -> Result<Json, JsonError> {
        let mut items = Vec::new();
        if self.takes(b']') {
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value()?);
            if !self.goes_on(b']', "expected `,` or `]`")? {
                return Ok(Json::Array(items));
            }
        }
    }

    fn object(&mut self) -> Result<Json, JsonError> {
        let mut members = Object::new();
        if self.takes(b'}') {
            return Ok(Json::Object(members));
        }
        loop {
            match self.peek() {
                Some(b'"') => {}
                None => return Err(self.error("the text ends inside an object")),
                Some(_) => return Err(self.error("a member's name is expected, in double quotes")),
            }
            let name = self.string()?;
            if !self.takes(b':') {
                return Err(self.error("expected `:`"));
            }
            let value = self.value()?;
            members.insert(name, value);
            if !self.goes_on(b'}', "expected `,` or `}`")? {
                return Ok(Json::Object(members));
            }
        }
    }

    fn takes(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// Whether a comma comes, and not the closing bracket.
    fn goes_on(&mut self, close: u8, expected: &str) -> Result<bool, JsonError> {
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                if self.peek() == Some(close) { Err(self.error("trailing comma")) } else { Ok(true) }
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            Some(_) => Err(self.error(expected)),
            None => Err(self.error(format!("the text ends where {} is expected", &expected["expected ".len()..]))),
        }
    }

    fn number(&mut self) -> Result<Number, JsonError> {
        let rest = &self.text[self.at..];
        let Some(length) = number::grammar(rest.as_bytes()) else { return Err(self.error("invalid number")) };
        if length > NUMBER_CHARS_MAX {
            return Err(self.error(format!("a number has at most {NUMBER_CHARS_MAX} characters")));
        }
        // `01` and `1x` are no numbers with something behind.
        if rest.as_bytes().get(length).is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'-')) {
            return Err(self.error("invalid number"));
        }
        self.at += length;
        Ok(Number::of_grammar(&rest[..length]))
    }

    /// The text between two quotes; the first is next.
    fn string(&mut self) -> Result<String, JsonError> {
        self.at += 1;
        let bytes = self.text.as_bytes();
        let mut text = String::new();
        let mut from = self.at;
        loop {
            let plain = bytes[self.at..].iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
            let Some(plain) = plain else {
                self.at = bytes.len();
                return Err(self.error("the text ends inside a string"));
            };
            self.at += plain;
            match bytes[self.at] {
                b'"' => {
                    let last = &self.text[from..self.at];
                    self.at += 1;
                    if text.is_empty() {
                        return Ok(last.to_owned());
                    }
                    text.push_str(last);
                    return Ok(text);
                }
                b'\\' => {
                    text.push_str(&self.text[from..self.at]);
                    text.push(self.escape()?);
                    from = self.at;
                }
                _ => return Err(self.error("a control character in a string is written `\\n`, `\\t` or `\\u00..`")),
            }
        }
    }

    /// What `\n`, `\u00e9` or `\ud83d\ude00` is; the backslash is next.
    fn escape(&mut self) -> Result<char, JsonError> {
        let escaped = match self.text.as_bytes().get(self.at + 1) {
            Some(b'u') => return self.unicode(),
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            _ => return Err(self.error("invalid escape")),
        };
        self.at += 2;
        Ok(escaped)
    }

    fn unicode(&mut self) -> Result<char, JsonError> {
        let unit = self.unit(self.at)?;
        let scalar = match unit {
            0xd800..=0xdbff => match self.text[self.at + 6..].starts_with("\\u").then(|| self.unit(self.at + 6)).transpose()? {
                Some(low @ 0xdc00..=0xdfff) => {
                    self.at += 6;
                    0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
                }
                _ => unit,
            },
            _ => unit,
        };
        let Some(found) = char::from_u32(scalar) else {
            return Err(self.error(format!("`\\u{unit:04x}` is half of a pair of surrogates and no character")));
        };
        self.at += 6;
        Ok(found)
    }

    /// The four hexadecimal digits of the `\u` at `place`.
    fn unit(&self, place: usize) -> Result<u32, JsonError> {
        let digits = self.text.as_bytes().get(place + 2..place + 6).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let unit = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        unit.ok_or_else(|| self.error("`\\u` has four hexadecimal digits"))
    }
}
