//! What is done to a path before `jsonpath-rust` reads it, because of what its parser does with numbers and names.
//!
//! The parser reads literals as `i64` and `f64`. `Normal` replaces each number that would lose digits by `0.5`, `1.5` and so on, and keeps its
//! text. The parser takes such a number as a literal only, so it still refuses an invalid index. The parser also trims Unicode white space
//! from names, so `.name` becomes `['name']`.

use super::{PATH_DEPTH_MAX, PATH_FUNCTIONS_MAX, error::JsonPathError};

/// The largest integer that is exact in a double (RFC 9535, section 2.1), and an index of a path at most.
const EXACT_MAX: u64 = 9_007_199_254_740_991;

/// A path as the parser is given it.
#[derive(Debug, Default)]
pub(super) struct Normal {
    pub text: String,
    /// For each byte of `text`, the character of the path it comes from.
    places: Vec<usize>,
    /// The numbers that were replaced, in order.
    pub numbers: Vec<String>,
    /// Where each function's name begins, in order.
    pub calls: Vec<usize>,
    /// Characters of the path.
    end: usize,
}

impl Normal {
    /// Reads `path`, which may be anything.
    pub fn of(path: &str) -> Result<Self, JsonPathError> {
        let chars: Vec<char> = path.chars().collect();
        let mut this = Self { end: chars.len(), ..Self::default() };
        let mut at = 0;
        // What is open: whether it is a function's parenthesis.
        let mut open: Vec<bool> = Vec::new();
        while let Some(&c) = chars.get(at) {
            let refused = |detail: String| Err(JsonPathError { position: Some(at), detail });
            let begin = at;
            match c {
                '\'' | '"' => at = string_end(&chars, at),
                '[' | '(' => {
                    open.push(c == '(' && at > 0 && is_name(chars[at - 1]));
                    if open.len() > PATH_DEPTH_MAX {
                        return refused(format!("brackets stand at most {PATH_DEPTH_MAX} deep in a JSONPath"));
                    }
                    if open.iter().filter(|is_function| **is_function).count() > PATH_FUNCTIONS_MAX {
                        return refused(format!("functions stand at most {PATH_FUNCTIONS_MAX} deep in a JSONPath"));
                    }
                    at += 1;
                }
                ']' | ')' => {
                    open.pop();
                    at += 1;
                }
                '-' | '0'..='9' => {
                    let end = number_end(&chars, at);
                    let text: String = chars[at..end].iter().collect();
                    if end > at && !chars.get(end).is_some_and(|next| is_name(*next) || *next == '.') && !survives(&text) {
                        this.replace(at, &format!("{}.5", this.numbers.len()));
                        this.numbers.push(text);
                        at = end;
                        continue;
                    }
                    at = end.max(at + 1);
                }
                c if is_name_first(c) => {
                    at = name_end(&chars, at);
                    if at - begin < chars.len() && begin > 0 && chars[begin - 1] == '.' {
                        let name: String = chars[begin..at].iter().collect();
                        // The dot before it goes, unless there are two.
                        if begin < 2 || chars[begin - 2] != '.' {
                            this.text.pop();
                            this.places.pop();
                        }
                        this.replace(begin, &format!("['{name}']"));
                        continue;
                    }
                    if chars.get(at) == Some(&'(') {
                        this.calls.push(begin);
                    }
                }
                _ => at += 1,
            }
            (begin..at).for_each(|place| this.push(place, chars[place]));
        }
        Ok(this)
    }

    /// The character of the path that byte `byte` of the text comes from.
    pub fn place(&self, byte: usize) -> usize {
        self.places.get(byte).copied().unwrap_or(self.end)
    }

    fn push(&mut self, place: usize, c: char) {
        self.text.push(c);
        self.places.resize(self.text.len(), place);
    }

    fn replace(&mut self, place: usize, text: &str) {
        self.text.push_str(text);
        self.places.resize(self.text.len(), place);
    }
}

fn is_name_first(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

fn is_name(c: char) -> bool {
    is_name_first(c) || c.is_ascii_digit()
}

fn name_end(chars: &[char], at: usize) -> usize {
    at + chars[at..].iter().take_while(|c| is_name(**c)).count()
}

/// Behind the closing quote of the string that begins at `at`, or the end.
fn string_end(chars: &[char], at: usize) -> usize {
    let (quote, mut next) = (chars[at], at + 1);
    while let Some(&c) = chars.get(next) {
        next += if c == '\\' { 2 } else { 1 };
        if c == quote {
            break;
        }
    }
    next.min(chars.len())
}

/// The end of the number that begins at `at` (RFC 9535, `number`); `at` if no number begins there.
fn number_end(chars: &[char], at: usize) -> usize {
    let digits = |from: usize| chars[from.min(chars.len())..].iter().take_while(|c| c.is_ascii_digit()).count();
    let is = |place: usize, of: &[char]| chars.get(place).is_some_and(|c| of.contains(c));
    let mut end = at + usize::from(chars[at] == '-');
    end += match chars.get(end) {
        Some('0') => 1,
        Some('1'..='9') => digits(end),
        _ => return at,
    };
    if is(end, &['.']) && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
    }
    if is(end, &['e', 'E']) {
        let sign = usize::from(is(end + 1, &['+', '-']));
        let power = digits(end + 1 + sign);
        end += if power > 0 { 1 + sign + power } else { 0 };
    }
    end
}

/// Whether the parser's own reading of this number is exact.
fn survives(number: &str) -> bool {
    number.strip_prefix('-').unwrap_or(number).parse::<u64>().is_ok_and(|whole| whole <= EXACT_MAX)
}
