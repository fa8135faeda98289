//! What speaks against a version that is watched: inputs it failed on that the version before it handles. What no version could have
//! handled speaks against neither, and each party counts once.

use std::collections::BTreeMap;

use super::{
    party::{Input, Party},
    rollback::{RollbackRule, Tally},
};

/// Parties remembered of one version; what more there are do not count.
pub const PARTIES_MAX: usize = 1024;
/// Failed inputs that wait to be tried on the version before; those beyond it are not tried.
pub const SUSPECTS_MAX: usize = 32;
/// How often inputs of one party are tried on the version before, when that one fails on them too.
pub const TRIES_OF_ONE_MAX: u8 = 3;

/// What is known of a version that is watched, as far as this process has seen it.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    parties: BTreeMap<Party, Standing>,
    /// Events that went well: each is a party, and need not be told from the others.
    events: u64,
    suspects: Vec<Input>,
}

/// How the inputs of one party went.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    went_well: bool,
    blame: Blame,
    /// Inputs that were tried on the version before.
    tries: u8,
}

/// What its failures say of the version.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Blame {
    /// There are none that count.
    #[default]
    None,
    /// It is to be tried on the version before.
    Suspected,
    /// The version before handles it.
    Confirmed,
    /// The version before fails on it too.
    Excused,
}

/// What the version before makes of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rehearsed {
    /// It handles it.
    Handled,
    /// It fails on it too, or nobody can tell.
    Failed,
}

impl Evidence {
    /// A call for this party went well.
    pub fn went_well(&mut self, party: &Party) {
        let is_full = self.parties.len() >= PARTIES_MAX;
        match (self.parties.get_mut(party), party) {
            (Some(standing), _) => standing.went_well = true,
            (None, Party::Event(_) | Party::CallerOf(_)) => self.events = self.events.saturating_add(1),
            (None, _) if is_full => {}
            (None, _) => drop(self.parties.insert(party.clone(), Standing { went_well: true, ..Standing::default() })),
        }
    }

    /// A call failed on this input.
    pub fn failed(&mut self, input: &Input) {
        let Input { party, .. } = input;
        if self.suspects.len() >= SUSPECTS_MAX || !self.parties.contains_key(party) && self.parties.len() >= PARTIES_MAX {
            return;
        }
        let standing = self.parties.entry(party.clone()).or_default();
        if matches!(standing.blame, Blame::None | Blame::Excused) && standing.tries < TRIES_OF_ONE_MAX {
            standing.blame = Blame::Suspected;
            standing.tries += 1;
            self.suspects.push(input.clone());
        }
    }

    /// Whether it would be condemned if the version before handled every input that waits to be tried.
    pub fn is_suspicious(&self, rule: &RollbackRule, is_set_aside: bool) -> bool {
        !self.suspects.is_empty() && self.found(rule, is_set_aside, true)
    }

    /// The inputs to be tried; there are none afterwards.
    pub fn take_suspects(&mut self) -> Vec<Input> {
        std::mem::take(&mut self.suspects)
    }

    /// What came of a try.
    pub fn rehearsed(&mut self, party: &Party, rehearsed: Rehearsed) {
        let Some(standing) = self.parties.get_mut(party) else { return };
        standing.blame = match rehearsed {
            Rehearsed::Handled => Blame::Confirmed,
            Rehearsed::Failed => Blame::Excused,
        };
    }

    /// Whether what was found condemns it.
    pub fn condemns(&self, rule: &RollbackRule, is_set_aside: bool) -> bool {
        self.found(rule, is_set_aside, false)
    }

    /// Parties that say something of the version, and those of them that speak against it.
    pub fn tally(&self) -> Tally {
        self.count(false)
    }

    /// One that is set aside is judged at once, and by what set it aside: that it worked before is no excuse.
    fn found(&self, rule: &RollbackRule, is_set_aside: bool, with_suspects: bool) -> bool {
        let tally = self.count(with_suspects);
        if !is_set_aside {
            return tally.failed > 0 && rule.condemns(tally);
        }
        let excused = self.parties.values().filter(|standing| standing.blame == Blame::Excused).count() as u64;
        let tally = Tally { calls: tally.failed + excused, ..tally };
        tally.failed > 0 && RollbackRule { calls_min: 1, ..*rule }.condemns(tally)
    }

    fn count(&self, with_suspects: bool) -> Tally {
        let mut tally = Tally { calls: self.events, failed: 0 };
        for standing in self.parties.values() {
            let is_against = standing.blame == Blame::Confirmed || with_suspects && standing.blame == Blame::Suspected;
            tally.calls += u64::from(is_against || standing.went_well);
            tally.failed += u64::from(is_against);
        }
        tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        id::{CallId, EventId},
        plugin::party::Kept,
    };

    const RULE: RollbackRule = RollbackRule { automatic: true, failed_percent: 50, calls_min: 10, window_s: 600 };

    fn caller(number: usize) -> Input {
        Input { party: Party::Caller(format!("caller {number}")), kept: Kept::Call(CallId(format!("cal_{number}"))) }
    }

    fn event(number: usize) -> Input {
        Input { party: Party::Event(EventId(format!("evt_{number}"))), kept: Kept::Call(CallId("cal_1".into())) }
    }

    fn tried(evidence: &mut Evidence, rehearsed: impl Fn(&Party) -> Rehearsed) -> usize {
        let suspects = evidence.take_suspects();
        for input in &suspects {
            evidence.rehearsed(&input.party, rehearsed(&input.party));
        }
        suspects.len()
    }

    #[test]
    fn a_hundred_failures_by_one_caller_are_one() {
        let mut evidence = Evidence::default();
        for _ in 0..100 {
            evidence.failed(&caller(1));
            assert!(!evidence.is_suspicious(&RULE, false));
        }
        for n in 2..=9 {
            evidence.failed(&caller(n));
        }
        assert!(!evidence.is_suspicious(&RULE, false));
        evidence.failed(&caller(10));
        assert!(evidence.is_suspicious(&RULE, false), "ten callers are ten");
        assert_eq!(tried(&mut evidence, |_| Rehearsed::Handled), 10);
        assert!(evidence.condemns(&RULE, false));
        assert_eq!(evidence.tally(), Tally { calls: 10, failed: 10 });
    }

    #[test]
    fn what_the_version_before_fails_on_too_counts_against_nobody() {
        let mut evidence = Evidence::default();
        (0..20).for_each(|n| evidence.failed(&event(n)));
        assert!(evidence.is_suspicious(&RULE, true));
        tried(&mut evidence, |_| Rehearsed::Failed);
        assert!(!evidence.condemns(&RULE, false) && !evidence.condemns(&RULE, true));
        assert_eq!(evidence.tally(), Tally { calls: 0, failed: 0 });
    }

    #[test]
    fn only_the_share_that_the_version_before_handles_counts() {
        let mut evidence = Evidence::default();
        (0..10).for_each(|n| evidence.went_well(&event(n).party));
        (10..30).for_each(|n| evidence.failed(&event(n)));
        let bad = |party: &Party| matches!(party, Party::Event(id) if id.as_str() >= "evt_19");
        tried(&mut evidence, |party| if bad(party) { Rehearsed::Failed } else { Rehearsed::Handled });
        assert_eq!(evidence.tally(), Tally { calls: 19, failed: 9 });
        assert!(!evidence.condemns(&RULE, false));
        evidence.failed(&event(40));
        tried(&mut evidence, |_| Rehearsed::Handled);
        assert!(evidence.condemns(&RULE, false));
    }

    #[test]
    fn one_that_is_set_aside_is_judged_by_what_set_it_aside() {
        let mut evidence = Evidence::default();
        (0..1000).for_each(|n| evidence.went_well(&event(n).party));
        (1000..1010).for_each(|n| evidence.failed(&event(n)));
        assert!(!evidence.is_suspicious(&RULE, false) && evidence.is_suspicious(&RULE, true));
        let odd = |party: &Party| matches!(party, Party::Event(id) if id.as_str().ends_with(['1', '3', '5', '7', '9']));
        tried(&mut evidence, |party| if odd(party) { Rehearsed::Failed } else { Rehearsed::Handled });
        assert!(evidence.condemns(&RULE, true), "half of them");
        assert!(!evidence.condemns(&RollbackRule { failed_percent: 51, ..RULE }, true));
    }

    #[test]
    fn another_input_of_a_party_is_tried_again_but_not_for_ever() {
        let mut evidence = Evidence::default();
        let rule = RollbackRule { calls_min: 1, ..RULE };
        for _ in 0..TRIES_OF_ONE_MAX {
            evidence.failed(&caller(1));
            assert!(evidence.is_suspicious(&rule, false));
            assert_eq!(tried(&mut evidence, |_| Rehearsed::Failed), 1);
        }
        evidence.failed(&caller(1));
        assert!(!evidence.is_suspicious(&rule, false));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut evidence = Evidence::default();
        for n in 0..10_000 {
            evidence.went_well(&caller(n).party);
            evidence.failed(&event(n));
        }
        assert!(evidence.parties.len() <= PARTIES_MAX && evidence.suspects.len() <= SUSPECTS_MAX);
        assert_eq!(evidence.take_suspects().len(), SUSPECTS_MAX);
    }
}
