//! What is to be done when: kept in memory by the committer, made again from the tree at each start.
//!
//! After a cancellation an entry may be too early; the claim then finds nothing and corrects it. An entry is never too late.

use std::collections::{BTreeSet, HashMap};

use super::{
    depth::Depths,
    engine::Engine,
    error::StoreError,
    fan_out,
    key::{self, Range},
};
use crate::model::id::EndpointId;

/// When something is due for each endpoint, and what else waits for the dispatcher.
#[derive(Default)]
pub(super) struct Agenda {
    due_of: HashMap<EndpointId, u64>,
    by_due: BTreeSet<(u64, EndpointId)>,
    /// When the first open batch is closed, in milliseconds.
    first_closing: Option<u64>,
    /// Events whose deliveries are not all written yet.
    fan_outs: u64,
    /// How many wait for each endpoint.
    pub(super) depths: Depths,
}

/// What a commit does to the agenda.
pub(super) enum AgendaChange {
    /// Something more is due for an endpoint then.
    Note(EndpointId, u64),
    /// What is due first for an endpoint, as the tree says.
    Set(EndpointId, Option<u64>),
    /// A batch is closed then.
    Closing(u64),
    /// The first batch that is closed, as the tree says.
    SetClosing(Option<u64>),
    /// An event with a fan-out of its own came.
    FanOutBegun,
    /// One is finished.
    FanOutEnded,
    /// A delivery waits under this key from now on, or no more.
    Waits(Vec<u8>, bool),
}

impl Agenda {
    /// What the tree says. Costs a look per endpoint, not per delivery.
    pub(super) fn load(engine: &Engine) -> Result<Self, StoreError> {
        let mut agenda = Self::default();
        let (mut begin, end): Range = key::under(key::DUES);
        while let Some(first) = engine.keys((begin.clone(), end.clone())).next().transpose()? {
            let Some((endpoint, due, _)) = key::due_parts(&first) else {
                return Err(StoreError::corrupt(format!("the record {}", first.escape_ascii()), "it names no delivery"));
            };
            begin = key::dues(&endpoint).1;
            agenda.apply(AgendaChange::Set(endpoint, Some(due)));
        }
        agenda.first_closing = first_closing(engine)?;
        agenda.fan_outs = fan_out::number(engine)?;
        Ok(agenda)
    }

    /// Makes `change`.
    pub(super) fn apply(&mut self, change: AgendaChange) {
        match change {
            AgendaChange::Note(endpoint, due) => {
                if self.due_of.get(&endpoint).is_none_or(|earlier| due < *earlier) {
                    self.set(endpoint, Some(due));
                }
            }
            AgendaChange::Set(endpoint, due) => self.set(endpoint, due),
            AgendaChange::Closing(at) => self.first_closing = Some(self.first_closing.map_or(at, |first| first.min(at))),
            AgendaChange::SetClosing(at) => self.first_closing = at,
            AgendaChange::FanOutBegun => self.fan_outs += 1,
            AgendaChange::Waits(due, waits) => self.depths.change(&due, waits),
            AgendaChange::FanOutEnded => self.fan_outs = self.fan_outs.saturating_sub(1),
        }
    }

    fn set(&mut self, endpoint: EndpointId, due: Option<u64>) {
        if let Some(earlier) = self.due_of.remove(&endpoint) {
            self.by_due.remove(&(earlier, endpoint.clone()));
        }
        if let Some(due) = due.filter(|due| *due != key::NEVER) {
            self.by_due.insert((due, endpoint.clone()));
            self.due_of.insert(endpoint, due);
        }
    }

    /// Endpoints something is due for at `now_ms`, the longest due first.
    pub(super) fn ready(&self, now_ms: u64) -> impl Iterator<Item = &EndpointId> {
        self.by_due.iter().take_while(move |(due, _)| *due <= now_ms).map(|(_, endpoint)| endpoint)
    }

    /// What is due first for each endpoint, the longest due first.
    pub(super) fn dues(&self) -> impl Iterator<Item = (u64, &EndpointId)> {
        self.by_due.iter().map(|(due, endpoint)| (*due, endpoint))
    }

    /// When what is due longest was due, in milliseconds; what is due later has its time, too.
    pub(super) fn first_due(&self) -> Option<u64> {
        self.by_due.first().map(|(due, _)| *due)
    }

    /// When the next thing will be due that is not due at `now_ms`.
    pub(super) fn next_after(&self, now_ms: u64) -> Option<u64> {
        let later = (now_ms.saturating_add(1), EndpointId(String::new()));
        let due = self.by_due.range(later..).next().map(|(due, _)| *due);
        [due, self.first_closing].into_iter().flatten().min()
    }

    /// Whether a batch is to be closed at `now_ms`.
    pub(super) fn closes(&self, now_ms: u64) -> bool {
        self.first_closing.is_some_and(|at| at <= now_ms)
    }

    /// Whether an event's deliveries are not all written yet.
    pub(super) fn fans_out(&self) -> bool {
        self.fan_outs > 0
    }
}

/// When the first batch is closed, as the tree says.
pub(super) fn first_closing(engine: &Engine) -> Result<Option<u64>, StoreError> {
    let first = engine.keys(key::under(key::CLOSINGS)).next().transpose()?;
    Ok(first.and_then(|first| key::number(key::CLOSINGS, &first)))
}
