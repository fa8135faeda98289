//! `hookwright event tail`: prints events as they come.

use std::{process::ExitCode, time::Duration};

use clap::Args;
use http::Method;
use serde_json::Value;

use super::listed::{documents, line};
use crate::cli::{
    at::{At, with_query},
    client::Api,
    output,
};

/// Most events of one poll. If more have come, only their number is printed.
const EVENTS_MAX: usize = 10_000;
/// Length of a page.
const PAGE: &str = "500";
/// The shortest and the longest time between two polls, in seconds.
const INTERVAL_S: (f64, f64) = (0.1, 60.0);

/// Print events as they come, until interrupted.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hookwright event tail\n  hookwright event tail --last 20 --json | jq .data\n\n\
    It asks the host again after each interval, and goes on when the host comes back after a restart.")]
pub struct Tail {
    /// Begin with this many earlier events.
    #[arg(long, default_value = "0", value_parser = clap::value_parser!(u32).range(0..=500))]
    last: u32,
    /// End after this number of events.
    #[arg(long)]
    count: Option<u64>,
    /// Seconds between two polls, 0.1 to 60.
    #[arg(long, default_value = "1", value_parser = interval)]
    interval: f64,
    /// The host; with --json, one event is printed on each line.
    #[command(flatten)]
    at: At,
}

fn interval(text: &str) -> Result<f64, String> {
    let seconds = text.strip_suffix('s').unwrap_or(text).parse::<f64>().ok();
    seconds.filter(|seconds| (INTERVAL_S.0..=INTERVAL_S.1).contains(seconds)).ok_or_else(|| "a number of seconds from 0.1 to 60".to_owned())
}

/// How far the events have been printed.
#[derive(Debug)]
struct Place {
    /// The last event's place in commit order.
    seq: u64,
    printed: u64,
    /// Whether the host did not answer the last poll.
    lost: bool,
}

impl Tail {
    /// Prints until interrupted, or until `count` events were printed.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let api = self.at.open()?;
        let mut place = self.begin(&api).await?;
        while !self.is_over(&place) {
            tokio::time::sleep(Duration::from_secs_f64(self.interval)).await;
            match newer(&api, place.seq).await {
                Ok((events, skipped)) => {
                    place.lost = false;
                    if skipped {
                        eprintln!("hookwright: more than {EVENTS_MAX} events came at once; older ones are left out");
                    }
                    self.print(&events, &mut place)?;
                }
                // The host may be restarting, so go on. The error is printed only once.
                Err(error) if !place.lost => {
                    place.lost = true;
                    eprintln!("hookwright: {error:#}; asking again");
                }
                Err(_) => {}
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn is_over(&self, place: &Place) -> bool {
        self.count.is_some_and(|count| place.printed >= count)
    }

    /// The first poll must succeed, so that a wrong token is reported at once.
    async fn begin(&self, api: &Api) -> anyhow::Result<Place> {
        let limit = self.last.max(1).to_string();
        let list = api.call(Method::GET, &with_query("/v1/events", [("limit", Some(&*limit))]), None).await?;
        let mut place = Place { seq: 0, printed: 0, lost: false };
        if self.last > 0 {
            let events: Vec<Value> = documents(&list).rev().cloned().collect();
            self.print(&events, &mut place)?;
        }
        place.seq = documents(&list).map(seq).max().unwrap_or(0);
        Ok(place)
    }

    fn print(&self, events: &[Value], place: &mut Place) -> anyhow::Result<()> {
        for event in events {
            if self.is_over(place) {
                break;
            }
            output::print(&if self.at.json { event.to_string() } else { line(event) })?;
            place.seq = place.seq.max(seq(event));
            place.printed += 1;
        }
        Ok(())
    }
}

/// The events after `last`, oldest first, and whether there were more than [`EVENTS_MAX`].
async fn newer(api: &Api, last: u64) -> anyhow::Result<(Vec<Value>, bool)> {
    let mut events: Vec<Value> = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let list = api.call(Method::GET, &with_query("/v1/events", [("limit", Some(PAGE)), ("after", after.as_deref())]), None).await?;
        let before = events.len();
        events.extend(documents(&list).take_while(|event| seq(event) > last).cloned());
        let all_new = events.len() - before == documents(&list).len();
        after = list["next"].as_str().map(str::to_owned);
        if !all_new || after.is_none() || events.len() >= EVENTS_MAX {
            let skipped = all_new && after.is_some();
            events.reverse();
            return Ok((events, skipped));
        }
    }
}

fn seq(event: &Value) -> u64 {
    event["seq"].as_u64().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_bounded() {
        assert_eq!(interval("0.5"), Ok(0.5));
        assert_eq!(interval("2s"), Ok(2.0));
        assert!(["0", "61", "x", "NaN", "-1"].iter().all(|text| interval(text).is_err()));
    }
}
