//! FORMAT_DATE's patterns: the letters of Unicode's "Date Format Patterns" (UTS 35) that name days and times.

use serde_json::Value;

use super::{
    date::{When, offset_text, when},
    language::{self, Language},
};

/// A pattern, parsed.
pub(super) struct Pattern(Vec<Field>);

enum Field {
    Text(String),
    /// A letter, and how often it stands there.
    Letter(char, usize),
}

/// Letters, and how often each may be repeated.
const LETTERS: [(char, usize); 16] = [
    ('y', 4),
    ('u', 4),
    ('M', 4),
    ('L', 4),
    ('d', 2),
    ('D', 3),
    ('E', 4),
    ('a', 1),
    ('H', 2),
    ('h', 2),
    ('m', 2),
    ('s', 2),
    ('S', 9),
    ('Z', 3),
    ('X', 3),
    ('x', 3),
];

impl Pattern {
    /// Reads a pattern. Letters without a meaning are refused; text stands in apostrophes, two of which are one.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut fields = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let run = rest.chars().take_while(|c| *c == first).count();
            if first == '\'' {
                let (quoted, behind) = quoted(&rest[1..])?;
                fields.push(Field::Text(quoted));
                rest = behind;
                continue;
            }
            if first.is_ascii_alphabetic() {
                match LETTERS.iter().find(|(letter, _)| *letter == first) {
                    Some((_, most)) if run <= *most => fields.push(Field::Letter(first, run)),
                    _ => {
                        let letters: String = LETTERS.iter().map(|(letter, _)| *letter).collect();
                        return Err(format!("{run} of `{first}` mean nothing in a pattern; there are {letters}, and text in '...'"));
                    }
                }
            } else {
                fields.push(Field::Text(std::iter::repeat_n(first, run).collect()));
            }
            rest = &rest[first.len_utf8() * run..];
        }
        Ok(Self(fields))
    }

    /// The date, written so.
    pub(super) fn write(&self, when: &When, language: &Language) -> String {
        let write = |field: &Field| match field {
            Field::Text(text) => text.clone(),
            Field::Letter(letter, run) => letter_text(*letter, *run, when, language),
        };
        self.0.iter().map(write).collect()
    }
}

/// Text up to the closing apostrophe, and what follows; `text` begins behind the opening one.
fn quoted(text: &str) -> Result<(String, &str), String> {
    if let Some(behind) = text.strip_prefix('\'') {
        return Ok(("'".to_owned(), behind));
    }
    let mut out = String::new();
    let mut rest = text;
    loop {
        let Some((part, behind)) = rest.split_once('\'') else { return Err("an apostrophe in the pattern is not closed".to_owned()) };
        out.push_str(part);
        match behind.strip_prefix('\'') {
            Some(behind) => {
                out.push('\'');
                rest = behind;
            }
            None => return Ok((out, behind)),
        }
    }
}

fn letter_text(letter: char, run: usize, when: &When, language: &Language) -> String {
    let at = when.date_time;
    let padded = |number: i64| format!("{number:0run$}");
    match letter {
        'y' | 'u' if run == 2 => format!("{:02}", at.year().rem_euclid(100)),
        'y' | 'u' => padded(at.year().into()),
        'M' | 'L' => match (run, usize::from(at.month().unsigned_abs()) - 1) {
            (3, month) => language.months_short[month].to_owned(),
            (4, month) => language.months[month].to_owned(),
            _ => padded(at.month().into()),
        },
        'd' => padded(at.day().into()),
        'D' => padded(at.day_of_year().into()),
        'E' => {
            let day = usize::from(at.weekday().to_monday_zero_offset().unsigned_abs());
            if run == 4 { language.days[day] } else { language.days_short[day] }.to_owned()
        }
        'a' => language.halves[usize::from(at.hour() >= 12)].to_owned(),
        'H' => padded(at.hour().into()),
        'h' => padded(((i64::from(at.hour()) + 11) % 12) + 1),
        'm' => padded(at.minute().into()),
        's' => padded(at.second().into()),
        'S' => format!("{:09}", at.subsec_nanosecond()).chars().take(run).collect(),
        'X' | 'x' => match (offset_text(when.offset(), if run == 3 { ":" } else { "" }, letter == 'X'), run) {
            (offset, 1) if offset.ends_with("00") => offset[..3].to_owned(),
            (offset, _) => offset,
        },
        _ => offset_text(when.offset(), "", false),
    }
}

pub(super) fn format_date(values: &[Value]) -> Result<Value, String> {
    let when = when(&values[0])?;
    let language = values.get(2).and_then(Value::as_str).unwrap_or("en");
    let language = language::named(language).ok_or("argument 3 is no language we know")?;
    Ok(Pattern::parse(values[1].as_str().unwrap_or_default())?.write(&when, language).into())
}
