//! The states of a delivery and the only steps between them. The store asks here before it writes.
//!
//! | from | step | to |
//! |---|---|---|
//! | (accepted) | | pending, or sending when its sender took it along |
//! | pending, waiting | claim | sending |
//! | sending | give back, interrupt | pending |
//! | sending | go on | sending |
//! | sending | try later | waiting |
//! | sending | end | delivered, failed, refused, cancelled |
//! | pending, waiting, sending | cancel | cancelled |
//! | pending, waiting, and whatever is over | resend | pending |

use super::DeliveryState::{self, Cancelled, Delivered, Failed, Pending, Refused, Sending, Waiting};

/// What can happen to a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Somebody takes it to send it, under a lease.
    Claim,
    /// Its holder gives it back untried: its endpoint is not to be called now, or the host stops.
    GiveBack,
    /// Its holder is gone, or its lease is over: the endpoint may have seen it.
    Interrupt,
    /// Its holder tries again at once, under the same lease.
    GoOn,
    /// An attempt failed and another one has a time.
    TryLater,
    /// Its holder is done with it.
    End(End),
    /// An admin, or the deactivation of its webhook, ends it.
    Cancel,
    /// It is to be sent (again), outside any order.
    Resend,
}

/// How a delivery ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// A 2xx answer was read, or there was nothing to send.
    Delivered,
    /// All tries are used up.
    Failed,
    /// It must not be sent.
    Refused,
    /// It is not to be sent any more.
    Cancelled,
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [Self; 7] = [Pending, Sending, Waiting, Delivered, Failed, Refused, Cancelled];

    /// The state after `step`; `None`: the step is not possible here.
    pub fn after(self, step: Step) -> Option<Self> {
        match (self, step) {
            (Pending | Waiting, Step::Claim) | (Sending, Step::GoOn) => Some(Sending),
            (Sending, Step::GiveBack | Step::Interrupt) => Some(Pending),
            (Sending, Step::TryLater) => Some(Waiting),
            (Sending, Step::End(end)) => Some(end.into()),
            (Pending | Waiting | Sending, Step::Cancel) => Some(Cancelled),
            (Pending | Waiting | Delivered | Failed | Refused | Cancelled, Step::Resend) => Some(Pending),
            _ => None,
        }
    }
}

impl From<End> for DeliveryState {
    fn from(end: End) -> Self {
        match end {
            End::Delivered => Delivered,
            End::Failed => Failed,
            End::Refused => Refused,
            End::Cancelled => Cancelled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [Step; 11] = [
        Step::Claim,
        Step::GiveBack,
        Step::Interrupt,
        Step::GoOn,
        Step::TryLater,
        Step::End(End::Delivered),
        Step::End(End::Failed),
        Step::End(End::Refused),
        Step::End(End::Cancelled),
        Step::Cancel,
        Step::Resend,
    ];

    #[test]
    fn only_its_holder_moves_what_is_being_sent_and_only_a_resend_what_is_over() {
        for state in DeliveryState::ALL {
            for step in STEPS {
                let after = state.after(step);
                if state.is_final() {
                    assert_eq!(after.is_some(), step == Step::Resend, "{state:?} {step:?}");
                }
                if state == Sending {
                    assert_eq!(after.is_none(), matches!(step, Step::Claim | Step::Resend), "{state:?} {step:?}");
                } else if after.is_some() {
                    assert!(matches!(step, Step::Claim | Step::Cancel | Step::Resend), "{state:?} {step:?}");
                }
            }
        }
    }

    #[test]
    fn every_state_can_be_reached_and_left() {
        let mut reached = vec![Pending];
        for _ in 0..DeliveryState::ALL.len() {
            let next: Vec<_> = reached.iter().flat_map(|state| STEPS.iter().filter_map(|step| state.after(*step))).collect();
            reached.extend(next);
            reached.sort();
            reached.dedup();
        }
        assert_eq!(reached.len(), DeliveryState::ALL.len());
        assert!(DeliveryState::ALL.iter().all(|state| STEPS.iter().any(|step| state.after(*step).is_some())));
    }
}
