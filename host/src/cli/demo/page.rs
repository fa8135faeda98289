//! Prints the demo: plain lines, with a little colour on a terminal.

use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

use crate::cli::output::plain;

/// Width of a line, in characters.
const WIDTH: usize = 108;
/// The column at which the text of a step begins.
const INDENT: usize = 13;
/// Most lines for one text.
const LINES_MAX: usize = 3;
/// A longer run of letters and digits is a code or an identifier and is shortened.
const RUN_MAX: usize = 20;
/// Characters of such a run that are shown.
const RUN_SHOWN: usize = 10;

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

/// Where the demo is printed.
pub struct Page {
    colour: bool,
}

/// One step of the story. It is printed when it has ended.
pub struct Step {
    /// The step's number in the story.
    pub number: usize,
    title: &'static str,
    begun: Instant,
    lines: Vec<(&'static str, String, &'static str)>,
}

impl Step {
    pub fn begin(number: usize, title: &'static str) -> Self {
        Self { number, title, begun: Instant::now(), lines: Vec::new() }
    }

    /// Adds what somebody did or received.
    pub fn say(&mut self, who: &'static str, text: impl Into<String>) {
        self.lines.push((who, text.into(), ""));
    }

    /// Adds another line by the same person.
    pub fn more(&mut self, text: impl Into<String>) {
        self.say("", text);
    }

    /// Adds a successful check.
    pub fn good(&mut self, text: impl Into<String>) {
        self.lines.push(("", text.into(), GREEN));
    }

    /// Adds a body, in a fainter colour.
    pub fn body(&mut self, text: impl Into<String>) {
        self.lines.push(("", text.into(), DIM));
    }
}

impl Page {
    /// Standard output. It is coloured on a terminal unless `NO_COLOR` is set (no-color.org).
    pub fn of_stdout() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { colour: std::io::stdout().is_terminal() && !unwanted && !dumb }
    }

    /// Prints a sentence that stands out.
    pub fn heading(&self, text: &str) {
        self.print(&format!("\n{}\n", self.paint(BOLD, text)));
    }

    /// Prints faint lines.
    pub fn note(&self, text: &str) {
        let lines: Vec<String> = text.lines().map(|line| self.paint(DIM, line)).collect();
        self.print(&format!("{}\n", lines.join("\n")));
    }

    /// Prints the beginning of a line that [`Page::end`] completes.
    pub fn begin(&self, text: &str) {
        self.print(&self.paint(DIM, text));
    }

    /// Prints the end of a line.
    pub fn end(&self, text: &str) {
        self.print(&format!("{}\n", self.paint(DIM, text)));
    }

    /// Prints one line about what happens after the story.
    pub fn line(&self, who: &str, text: &str) {
        self.print(&format!("{}\n", self.laid_out(who, text, "")));
    }

    /// Prints a step that has ended, successfully or not.
    pub fn step(&self, step: &Step, failed: Option<&anyhow::Error>) {
        let took = took(step.begun.elapsed());
        let title = format!("{}  {}", step.number, step.title);
        let gap = WIDTH.saturating_sub(title.chars().count() + took.chars().count());
        let mut text = format!("\n{}{}{}\n", self.paint(BOLD, &title), " ".repeat(gap), self.paint(DIM, &took));
        for (who, said, tone) in &step.lines {
            text.push_str(&self.laid_out(who, said, tone));
            text.push('\n');
        }
        if let Some(error) = failed {
            text.push_str(&format!("{}\n", self.laid_out("NOT AS TOLD", &format!("{error:#}"), RED)));
        }
        self.print(&text);
    }

    fn laid_out(&self, who: &str, text: &str, tone: &str) -> String {
        let lines = wrapped(&brief(&plain(text)), WIDTH - INDENT);
        let mut laid_out = Vec::new();
        for (index, line) in lines.iter().enumerate() {
            let who = if index == 0 { who } else { "" };
            laid_out.push(format!("   {:<width$}{}", who, self.paint(tone, line), width = INDENT - 3));
        }
        laid_out.join("\n")
    }

    fn paint(&self, tone: &str, text: &str) -> String {
        if self.colour && !tone.is_empty() { format!("{tone}{text}{PLAIN}") } else { text.to_owned() }
    }

    fn print(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        // If standard output is closed, nobody reads the story; its outcome still counts.
        drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
    }
}

fn took(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// Shortens long codes and identifiers. A code is recognised by its beginning, our own identifiers by their end.
fn brief(text: &str) -> String {
    let mut brief = String::new();
    let mut run = String::new();
    for character in text.chars().chain([' ']) {
        if character.is_ascii_alphanumeric() {
            run.push(character);
            continue;
        }
        let is_word = !run.bytes().any(|byte| byte.is_ascii_digit()) && run.bytes().any(|byte| byte.is_ascii_lowercase());
        if run.len() <= RUN_MAX || is_word {
            brief.push_str(&run);
        } else if ["dlv_", "evt_", "cal_"].iter().any(|prefix| brief.ends_with(prefix)) {
            brief.push('…');
            brief.push_str(&run[run.len() - RUN_SHOWN..]);
        } else {
            brief.push_str(&run[..RUN_SHOWN]);
            brief.push('…');
        }
        run.clear();
        brief.push(character);
    }
    brief.pop();
    brief
}

/// Breaks a text into lines of at most `width` characters, after spaces and commas where possible. What does not fit into `LINES_MAX`
/// lines is cut off.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut rest: Vec<char> = paragraph.chars().collect();
        while rest.len() > width {
            let space = rest[..width].iter().rposition(|character| matches!(character, ' ' | ',')).filter(|at| *at > width / 3);
            let tail = rest.split_off(space.map_or(width, |at| at + 1));
            lines.push(rest.iter().collect::<String>().trim_end().to_owned());
            rest = tail;
        }
        lines.push(rest.into_iter().collect());
    }
    if lines.len() > LINES_MAX {
        lines.truncate(LINES_MAX);
        if let Some(last) = lines.last_mut() {
            *last = last.chars().take(width - 1).chain(['…']).collect();
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_identifiers_are_cut_and_words_are_not() {
        assert_eq!(brief("/webhook/AGENT0123456789ABCDEF?x=1"), "/webhook/AGENT01234…?x=1");
        assert_eq!(brief("of dlv_00000000000000000000a1b2c3d4"), "of dlv_…00a1b2c3d4");
        assert_eq!(brief("/DhsDivaltoServiceDivaApiRest/"), "/DhsDivaltoServiceDivaApiRest/");
        assert_eq!(brief("Überraschung in Saint-Étienne"), "Überraschung in Saint-Étienne");
    }

    #[test]
    fn long_texts_are_broken_at_spaces_and_cut() {
        assert_eq!(wrapped("aaa bbb ccc", 8), ["aaa bbb", "ccc"]);
        assert_eq!(wrapped("[aaaa,bbbb]", 8), ["[aaaa,", "bbbb]"]);
        assert_eq!(wrapped("aaaaaaaaaa", 4), ["aaaa", "aaaa", "aa"]);
        assert_eq!(wrapped("1 2 3 4 5 6 7 8 9", 4), ["1 2", "3 4", "5 6…"]);
    }
}
