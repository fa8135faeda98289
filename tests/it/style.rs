//! Plain English in documents and comments: phrases that need a second reading are not used.

use std::path::PathBuf;

use hookwright_tests::pages::{self, pages, read};

use crate::tidy;

/// A phrase to avoid, and a better one.
type Phrase = (&'static str, &'static str);

/// Avoided in documents and in comments.
const EVERYWHERE: &[Phrase] = &[
    ("anew", "again, from scratch"),
    ("bit by bit", "incrementally"),
    ("so many in a", "a number per"),
    ("so many bytes", "this number of bytes"),
    ("so many seconds", "this number of seconds"),
    ("so many of", "this number of"),
    ("that one's", "the noun"),
    ("those who wait", "the waiting calls, or deliveries"),
    ("what is owed", "the deliveries"),
    ("whoever", "the caller, the client, the process"),
    ("who of it", "which of them"),
    ("such of them", "those that"),
    ("is through", "is finished"),
];

/// Avoided in documents; comments still contain some of these.
const IN_DOCUMENTS: &[Phrase] = &[
    ("besides", "in addition to, also"),
    ("is none", "is not a ..."),
    ("owed", "waiting, or: a delivery of"),
    ("owes", "has"),
    ("so many", "the number, or: a limited number"),
    ("stand for", "is, means"),
    ("stands", "is"),
    ("nobody's", "the noun"),
    ("whose it is", "the owner"),
    ("what is said", "the noun"),
    ("further ones", "more"),
];

/// Exceptions: the end of a path, and the phrase. Keep the list short.
const MEANT: &[(&str, &str)] = &[];

/// The prose of a page, without its blocks and its inline code.
fn prose(page: &str) -> Vec<String> {
    let mut is_code = false;
    let mut lines = Vec::new();
    for line in page.lines() {
        is_code ^= line.trim_start().starts_with("```");
        let line = if is_code { "" } else { line };
        lines.push(line.split('`').step_by(2).collect::<Vec<_>>().join(" _ "));
    }
    lines
}

/// The comments of a source file, line by line.
fn comments(source: &str) -> Vec<String> {
    source.lines().map(|line| line.trim_start().strip_prefix("//").unwrap_or_default().trim_start_matches(['/', '!']).to_owned()).collect()
}

/// The first line that contains the phrase as whole words. The phrase may continue on the next line.
fn found(lines: &[String], phrase: &str) -> Option<usize> {
    let is_word = |c: char| c.is_alphanumeric() || c == '\'' || c == '-';
    (0..lines.len()).find(|at| {
        let next = lines.get(at + 1).map(String::as_str).unwrap_or_default();
        let text = format!(" {} {next} ", lines[*at]).to_lowercase();
        let own = lines[*at].len() + 1;
        text.match_indices(phrase).any(|(start, found)| {
            start <= own
                && !text[..start].chars().next_back().is_some_and(is_word)
                && !text[start + found.len()..].chars().next().is_some_and(is_word)
        })
    })
}

/// The documents whose prose is checked: all except those that describe a corpus or are generated from comments.
fn documents() -> Vec<PathBuf> {
    pages().into_iter().filter(|page| !["host/docs/files.md"].contains(&pages::name(page).as_str())).collect()
}

#[track_caller]
fn check(files: Vec<(PathBuf, Vec<String>)>, phrases: &[Phrase]) {
    let mut wrong = Vec::new();
    for (path, lines) in files {
        let name = pages::name(&path);
        for (phrase, better) in phrases {
            if MEANT.iter().any(|(part, meant)| name.ends_with(part) && meant == phrase) {
                continue;
            }
            if let Some(at) = found(&lines, phrase) {
                wrong.push(format!("{name}:{}: `{phrase}`; better: {better}", at + 1));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn documents_are_in_plain_english() {
    let prose = |page: PathBuf| {
        let lines = prose(&read(&page));
        (page, lines)
    };
    check(documents().into_iter().map(prose).collect(), &[EVERYWHERE, IN_DOCUMENTS].concat());
}

#[test]
fn comments_are_in_plain_english() {
    let with_comments = |file: PathBuf| {
        let lines = comments(&read(&file));
        (file, lines)
    };
    check(tidy::files("host/src", ".rs").into_iter().map(with_comments).collect(), EVERYWHERE);
}

/// Comments cite decisions by name: a number changes its meaning when the list does.
#[test]
fn no_comment_cites_a_number_of_a_list() {
    let mut wrong = Vec::new();
    for file in tidy::files("host/src", ".rs") {
        for (at, line) in comments(&read(&file)).iter().enumerate() {
            let words: Vec<_> = line.split_whitespace().map(str::to_lowercase).collect();
            let cites = words.windows(2).any(|pair| {
                pair[0].trim_start_matches('(').trim_end_matches('s') == "decision" && pair[1].starts_with(|c: char| c.is_ascii_digit())
            });
            if cites {
                wrong.push(format!("{}:{}", pages::name(&file), at + 1));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}
