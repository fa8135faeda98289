//! Patterns of `match` and `search`: I-Regexp (RFC 9485), checked and handed to the crate `regex`, whose cost is linear.
//!
//! Beyond I-Regexp we take what version 0.1 took and admins wrote: `\d`, `\w`, `\s`, `\b` and their opposites, `(?i)` in front, `(?:`,
//! lazy quantifiers. `^` and `$` are anchors, as the compliance suite has it.

use regex::{Regex, RegexBuilder};

/// The longest pattern, in characters.
pub const PATTERN_CHARS_MAX: usize = 128;
/// The largest pattern, in characters and classes it can stand at: `[a-z]{3}` is three.
pub const PATTERN_POSITIONS_MAX: u64 = 400;

/// Bytes a compiled pattern may take.
const COMPILED_BYTES_MAX: usize = 4 << 20;
/// Bytes the states may take that are kept while a pattern runs.
const STATES_BYTES_MAX: usize = 1 << 20;
/// Steps for each byte that is read, for each position of the pattern, in eighths: measured at patterns whose states fit no cache.
const EIGHTHS_A_POSITION: u64 = 2;
/// Steps that compiling takes, and those for each position.
const COMPILE_STEPS: (u64, u64) = (5_000, 2_000);

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    regex: Regex,
    positions: u64,
}

/// Why a text is no pattern.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PatternError {
    /// Not of the language.
    Not(String),
    /// Too long or too large.
    TooLarge(String),
}

impl Pattern {
    /// Compiles; `is_whole`: the whole string must match (`match`), else a part of it (`search`).
    pub fn compile(text: &str, is_whole: bool) -> Result<Self, PatternError> {
        let (translated, positions) = Translation::of(text)?;
        let (begin, end) = if is_whole { (r"\A(?:", r")\z") } else { ("(?:", ")") };
        // Flags hold to the end of the group they stand in.
        let regex =
            RegexBuilder::new(&[begin, &translated, end].concat()).size_limit(COMPILED_BYTES_MAX).dfa_size_limit(STATES_BYTES_MAX).build();
        match regex {
            Ok(regex) => Ok(Self { regex, positions }),
            Err(regex::Error::CompiledTooBig(_)) => Err(too_large()),
            Err(_) => Err(PatternError::Not("this is no regular expression of RFC 9485 (I-Regexp)".to_owned())),
        }
    }

    pub fn is_in(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// Steps that looking through `bytes` takes.
    pub fn steps(&self, bytes: usize) -> u64 {
        4 + (bytes as u64 * (1 + self.positions) * EIGHTHS_A_POSITION).div_ceil(8)
    }
}

/// Steps that compiling `text` takes, told before it is done.
pub(super) fn compile_steps(text: &str) -> Result<u64, PatternError> {
    let (_, positions) = Translation::of(text)?;
    Ok(COMPILE_STEPS.0 + COMPILE_STEPS.1 * positions)
}

fn too_large() -> PatternError {
    PatternError::TooLarge(format!(
        "the pattern is too large: at most {PATTERN_CHARS_MAX} characters, and {PATTERN_POSITIONS_MAX} with its repetitions written out"
    ))
}

/// What a pattern becomes.
#[derive(Default)]
struct Translation {
    text: String,
    /// Positions of each open group, and of the last item of each, which a quantifier would repeat.
    open: Vec<(u64, Option<u64>)>,
}

impl Translation {
    /// The pattern in the syntax of `regex`, and its positions.
    fn of(pattern: &str) -> Result<(String, u64), PatternError> {
        if pattern.chars().count() > PATTERN_CHARS_MAX {
            return Err(too_large());
        }
        let mut this = Self { text: String::new(), open: vec![(0, None)] };
        let (flags, rest) = pattern.strip_prefix("(?i)").map_or(("", pattern), |rest| ("(?i)", rest));
        this.text.push_str(flags);
        let mut chars = rest.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '(' => this.begin_group(&mut chars)?,
                ')' => this.end_group()?,
                '|' => {
                    this.settle();
                    this.text.push('|');
                }
                '[' => this.class(&mut chars)?,
                '\\' => this.escape(&mut chars, false)?,
                '.' => this.item(r"[^\n\r]"),
                '*' => this.repeat("*", 1, &mut chars)?,
                '+' => this.repeat("+", 1, &mut chars)?,
                '?' => this.repeat("?", 1, &mut chars)?,
                '{' => {
                    let counts: String = std::iter::from_fn(|| chars.next_if(|c| *c != '}')).collect();
                    let most = counts
                        .split(',')
                        .filter(|count| !count.is_empty())
                        .map(str::parse::<u64>)
                        .try_fold(1, |most, count| count.ok().map(|count| most.max(count)));
                    match (chars.next(), most, counts.split(',').count()) {
                        (Some('}'), Some(most), 1 | 2) if counts.starts_with(|c: char| c.is_ascii_digit()) => {
                            this.repeat(&format!("{{{counts}}}"), most, &mut chars)?;
                        }
                        _ => return not(r"a count is written `{2}`, `{2,}` or `{2,5}`, a brace itself `\{`"),
                    }
                }
                '}' | ']' => return not(&format!(r"`{c}` itself is written `\{c}`")),
                '^' | '$' => {
                    this.settle();
                    this.text.push(c);
                }
                c => this.item(&regex::escape(&c.to_string())),
            }
            if this.open.iter().any(|(sum, last)| sum.saturating_add(last.unwrap_or_default()) > PATTERN_POSITIONS_MAX) {
                return Err(too_large());
            }
        }
        this.settle();
        match this.open.as_slice() {
            [(positions, _)] => Ok((this.text, *positions)),
            _ => not("a parenthesis is not closed"),
        }
    }

    fn item(&mut self, text: &str) {
        self.settle();
        self.text.push_str(text);
        if let Some((_, last)) = self.open.last_mut() {
            *last = Some(1);
        }
    }

    /// Counts the last item: nothing repeats it any more.
    fn settle(&mut self) {
        if let Some((sum, last)) = self.open.last_mut() {
            *sum = sum.saturating_add(last.take().unwrap_or_default());
        }
    }

    fn begin_group(&mut self, chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<(), PatternError> {
        self.settle();
        if chars.next_if_eq(&'?').is_some() && chars.next_if_eq(&':').is_none() {
            return not("look-around, names and flags inside are not of RFC 9485 (I-Regexp); `(?i)` may stand in front");
        }
        self.text.push_str("(?:");
        self.open.push((0, None));
        Ok(())
    }

    fn end_group(&mut self) -> Result<(), PatternError> {
        self.settle();
        let Some((sum, _)) = self.open.pop() else { return not(r"`)` itself is written `\)`") };
        let Some((_, last)) = self.open.last_mut() else { return not(r"`)` itself is written `\)`") };
        *last = Some(sum);
        self.text.push(')');
        Ok(())
    }

    fn repeat(&mut self, quantifier: &str, most: u64, chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<(), PatternError> {
        let Some((sum, last)) = self.open.last_mut() else { return not("a parenthesis is not closed") };
        let Some(item) = last.take() else {
            return not(&format!(
                r"`{quantifier}` repeats what stands before it, and nothing that can be repeated does; itself it is written with `\`"
            ));
        };
        *sum = sum.saturating_add(item.saturating_mul(most));
        self.text.push_str(quantifier);
        if chars.next_if_eq(&'?').is_some() {
            self.text.push('?');
        }
        Ok(())
    }

    fn escape(&mut self, chars: &mut std::iter::Peekable<std::str::Chars<'_>>, is_in_class: bool) -> Result<(), PatternError> {
        let Some(c) = chars.next() else { return not(r"a backslash itself is written `\\`") };
        let written = match c {
            'p' | 'P' => {
                let name: String = match chars.next() {
                    Some('{') => std::iter::from_fn(|| chars.next_if(|c| *c != '}')).collect(),
                    Some(letter) if letter.is_ascii_uppercase() => {
                        return self.escaped(&format!(r"\{c}{{{letter}}}"), is_in_class);
                    }
                    _ => String::new(),
                };
                if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric()) || chars.next() != Some('}') {
                    return not(r"a category is written `\p{Lu}`");
                }
                format!(r"\{c}{{{name}}}")
            }
            'n' | 'r' | 't' | 'd' | 'D' | 'w' | 'W' | 's' | 'S' => format!(r"\{c}"),
            'b' | 'B' if !is_in_class => {
                self.settle();
                self.text.push('\\');
                self.text.push(c);
                return Ok(());
            }
            c if c.is_ascii_punctuation() => regex::escape(&c.to_string()),
            '0'..='9' => return not("back-references are not of RFC 9485 (I-Regexp)"),
            c => return not(&format!(r"`\{c}` is not of RFC 9485 (I-Regexp)")),
        };
        self.escaped(&written, is_in_class)
    }

    #[expect(clippy::unnecessary_wraps, reason = "it ends functions that may fail")]
    fn escaped(&mut self, written: &str, is_in_class: bool) -> Result<(), PatternError> {
        if is_in_class {
            self.text.push_str(written);
        } else {
            self.item(written);
        }
        Ok(())
    }

    /// A class, after its `[`.
    fn class(&mut self, chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<(), PatternError> {
        self.item("[");
        if chars.next_if_eq(&'^').is_some() {
            self.text.push('^');
        }
        let mut is_first = true;
        loop {
            match chars.next() {
                None => return not("a class `[...]` is not closed"),
                Some(']') if is_first => return not(r"a class has a member; `]` itself is written `\]`"),
                Some(']') => break,
                Some('[') => return not(r"inside of a class, `[` is written `\[`"),
                Some('\\') => self.escape(chars, true)?,
                // Between two members it makes a range; at either end it is itself.
                Some('-') if is_first || chars.peek() == Some(&']') => self.text.push_str(r"\-"),
                Some('-') => self.text.push('-'),
                Some(c) => self.text.push_str(&if c.is_ascii_punctuation() { format!(r"\{c}") } else { c.to_string() }),
            }
            is_first = false;
        }
        self.text.push(']');
        Ok(())
    }
}

fn not<T>(detail: &str) -> Result<T, PatternError> {
    Err(PatternError::Not(detail.to_owned()))
}
