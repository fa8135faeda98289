//! Shows the progress of long work on standard error: a moving line on a terminal, nothing elsewhere.

use std::{future::Future, time::Duration};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

/// Time between two movements of the line.
const TICK: Duration = Duration::from_millis(100);

/// A line that says what is waited for, and how long already.
pub fn waiting(what: impl Into<String>) -> ProgressBar {
    let line = styled(ProgressBar::new_spinner(), "{spinner} {msg} {elapsed}").with_message(what.into());
    line.enable_steady_tick(TICK);
    line
}

/// Shows a line with `what` while `work` runs.
pub async fn during<T>(what: impl Into<String>, work: impl Future<Output = T>) -> T {
    let line = waiting(what);
    let done = work.await;
    line.finish_and_clear();
    done
}

/// A line for work of unknown length, with the records and bytes so far.
pub fn counting(what: &str) -> ProgressBar {
    let line = styled(ProgressBar::new_spinner(), "{spinner} {prefix} {msg} {elapsed}").with_prefix(what.to_owned());
    line.enable_steady_tick(TICK);
    line
}

/// Updates a [`counting`] line.
pub fn count(line: &ProgressBar, records: u64, bytes: u64) {
    line.set_message(amount(records, bytes));
}

/// A bar for work that is measured in bytes.
pub fn bytes(what: &str) -> ProgressBar {
    styled(ProgressBar::new(0), "{prefix} {bar:40} {bytes}/{total_bytes} {elapsed}").with_prefix(what.to_owned())
}

/// Records and bytes as text for people.
pub fn amount(records: u64, bytes: u64) -> String {
    format!("{} records, {}", HumanCount(records), HumanBytes(bytes))
}

fn styled(line: ProgressBar, template: &str) -> ProgressBar {
    match ProgressStyle::with_template(template) {
        Ok(style) => line.with_style(style),
        Err(_) => line,
    }
}

/// A bar for work in steps. The message of the bar names the current step.
pub fn steps(what: &str, count: usize) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(count).unwrap_or(u64::MAX));
    styled(bar, "{prefix} {bar:40} {pos}/{len} {msg}").with_prefix(what.to_owned())
}
