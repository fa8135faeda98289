//! Random operations and crashes on the real store, held against the pure states of [`DeliveryState::after`] and a list in memory.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::model::{
    delivery::{DeliveryState, lifecycle::Step},
    id::DeliveryId,
};

/// What a client, an admin, the dispatcher or the power may do. Numbers choose among what there is.
#[derive(Clone, Debug)]
enum Operation {
    Accept { webhook: u8, ordered: bool, take: bool },
    Claim { quota: usize },
    Settle { which: usize, next: Ending },
    SettleAgain { which: usize },
    Cancel { which: usize },
    Resend { which: usize },
    Pass { seconds: u64 },
    Crash,
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    Delivered,
    Failed,
    Refused,
    Waiting,
    GivenBack,
}

fn operation() -> impl Strategy<Value = Operation> {
    let ending =
        prop_oneof![Just(Ending::Delivered), Just(Ending::Failed), Just(Ending::Refused), Just(Ending::Waiting), Just(Ending::GivenBack),];
    prop_oneof![
        6 => (0u8..3, any::<bool>(), any::<bool>()).prop_map(|(webhook, ordered, take)| Operation::Accept { webhook, ordered, take }),
        5 => (1usize..4).prop_map(|quota| Operation::Claim { quota }),
        8 => (any::<usize>(), ending).prop_map(|(which, next)| Operation::Settle { which, next }),
        1 => any::<usize>().prop_map(|which| Operation::SettleAgain { which }),
        2 => any::<usize>().prop_map(|which| Operation::Cancel { which }),
        2 => any::<usize>().prop_map(|which| Operation::Resend { which }),
        3 => (1u64..200).prop_map(|seconds| Operation::Pass { seconds }),
        1 => Just(Operation::Crash),
    ]
}

/// A delivery as it should be.
#[derive(Clone, Debug)]
struct Expected {
    state: DeliveryState,
    due: Option<Timestamp>,
    /// Its lane, and its place in it, while it stands there.
    lane: Option<(u8, u64)>,
    interrupted: bool,
}

/// The whole store as it should be.
#[derive(Default)]
struct Model {
    deliveries: BTreeMap<DeliveryId, Expected>,
    /// Claims and when they end, as their holders have them.
    held: Vec<(Claimed, Timestamp)>,
    old: Vec<Claimed>,
    /// Who is first in each webhook's lane, and since when.
    turns: BTreeMap<u8, (DeliveryId, Timestamp)>,
}

impl Model {
    /// Notes who has become first in his lane.
    fn pass_turns(&mut self, now: Timestamp) {
        for webhook in 0..3 {
            let places = self.deliveries.iter().filter_map(|(id, one)| Some((one.lane.filter(|(of, _)| *of == webhook)?.1, id)));
            match places.min() {
                Some((_, id)) if self.turns.get(&webhook).is_none_or(|(first, _)| first != id) => {
                    self.turns.insert(webhook, (id.clone(), now));
                }
                Some(_) => {}
                None => drop(self.turns.remove(&webhook)),
            }
        }
    }

    /// A delivery that has been first for too long when it is due again is outside of the order from then on.
    fn leave_if_late(&mut self, id: &DeliveryId, due: Timestamp) {
        if self.turns.values().any(|(first, since)| first == id && *since + ORDER_WAIT_MAX < due) {
            self.deliveries.get_mut(id).expect("a delivery").lane = None;
        }
    }

    fn step(&mut self, id: &DeliveryId, step: Step) {
        let expected = self.deliveries.get_mut(id).expect("a delivery");
        expected.state = expected.state.after(step).unwrap_or_else(|| panic!("{:?} allows no {step:?}", expected.state));
        expected.due = None;
        if expected.state.is_final() || step == Step::Resend {
            expected.lane = None;
        }
    }

    fn is_first(&self, id: &DeliveryId) -> bool {
        let Some((lane, place)) = self.deliveries[id].lane else { return true };
        !self.deliveries.values().any(|other| other.lane.is_some_and(|(of, at)| of == lane && at < place))
    }

    fn claimable(&self, now: Timestamp) -> Vec<DeliveryId> {
        let is_due = |expected: &Expected| {
            matches!(expected.state, DeliveryState::Pending | DeliveryState::Waiting) && expected.due.is_none_or(|due| due <= now)
        };
        self.deliveries.iter().filter(|(id, expected)| is_due(expected) && self.is_first(id)).map(|(id, _)| id.clone()).collect()
    }

    /// What is not settled within its lease is due again.
    fn expire(&mut self, now: Timestamp) {
        let (over, held): (Vec<_>, Vec<_>) = std::mem::take(&mut self.held).into_iter().partition(|(_, until)| *until <= now);
        self.held = held;
        for (claimed, _) in over {
            self.free(claimed);
        }
    }

    fn free(&mut self, claimed: Claimed) {
        let id = claimed.delivery.id.clone();
        self.step(&id, Step::Interrupt);
        self.deliveries.get_mut(&id).expect("a delivery").interrupted = true;
        self.old.push(claimed);
    }
}

async fn check(operations: Vec<Operation>) {
    let (mut bench, mut model, mut n) = (Bench::new(), Model::default(), 0);
    for operation in operations {
        let now = bench.clock.now();
        match operation {
            Operation::Accept { webhook, ordered, take } => {
                n += 1;
                let mut event = incoming(n, &[["a", "b", "c"][usize::from(webhook)]]);
                event.deliveries[0].lane = ordered.then(|| "lane".to_owned());
                event.deliveries[0].take = take;
                let accepted = bench.store.accept(vec![event], LEASE).await.expect("accepted").remove(0);
                let (event, claimed) = new(accepted);
                let id = bench.store.event_deliveries(&event.id).await.expect("read").remove(0).id;
                let lane = ordered.then_some((webhook, n));
                model.deliveries.insert(id.clone(), Expected { state: DeliveryState::Pending, due: None, lane, interrupted: false });
                assert_eq!(!claimed.is_empty(), take && model.is_first(&id), "{id} is taken along when there is room and it is its turn");
                for claimed in claimed {
                    model.step(&id, Step::Claim);
                    model.held.push((claimed, now + LEASE));
                }
            }
            Operation::Claim { quota } => {
                model.expire(now);
                let claimed = bench.claim(quota).await;
                let claimable = model.claimable(now);
                let mut of_each: BTreeMap<String, usize> = BTreeMap::new();
                for claimed in claimed {
                    let id = claimed.delivery.id.clone();
                    assert!(claimable.contains(&id), "{id} is not to be claimed: {:?}", model.deliveries[&id]);
                    *of_each.entry(claimed.delivery.webhook.clone()).or_default() += 1;
                    assert_eq!(claimed.rebuilt, model.deliveries[&id].interrupted, "{id} may have been seen");
                    model.step(&id, Step::Claim);
                    model.held.push((claimed, now + LEASE));
                }
                for name in ["a", "b", "c"] {
                    let mut waiting = 0;
                    for id in &claimable {
                        let delivery = bench.store.delivery(id).await.expect("read").expect("there");
                        waiting += usize::from(delivery.webhook_id == webhook(name));
                    }
                    assert_eq!(of_each.get(name).copied().unwrap_or(0), waiting.min(quota), "as many as there are, up to the quota");
                }
            }
            Operation::Settle { which, next } if !model.held.is_empty() => {
                // A lease that is over counts until somebody else takes it.
                let (claimed, _) = model.held.remove(which % model.held.len());
                let id = claimed.delivery.id.clone();
                let after = Duration::from_secs(30);
                let (next, step) = match next {
                    Ending::Delivered => (Next::End(End::Delivered), Step::End(End::Delivered)),
                    Ending::Failed => (Next::End(End::Failed), Step::End(End::Failed)),
                    Ending::Refused => (Next::End(End::Refused), Step::End(End::Refused)),
                    Ending::Waiting => (Next::Waiting { after }, Step::TryLater),
                    Ending::GivenBack => (Next::GivenBack { until: now + after, is_refused: false }, Step::GiveBack),
                };
                bench.settle(&claimed, next).await.expect("held");
                model.step(&id, step);
                model.deliveries.get_mut(&id).expect("a delivery").interrupted &= step == Step::GiveBack;
                if step == Step::TryLater {
                    model.leave_if_late(&id, now + after);
                }
                if !model.deliveries[&id].state.is_final() {
                    model.deliveries.get_mut(&id).expect("a delivery").due = Some(now + after);
                }
                model.old.push(claimed);
            }
            Operation::SettleAgain { which } if !model.old.is_empty() => {
                let claimed = &model.old[which % model.old.len()];
                let lost = bench.settle(claimed, Next::End(End::Delivered)).await;
                assert!(matches!(lost, Err(StoreError::LeaseLost)), "a token settles once: {lost:?}");
            }
            Operation::Cancel { which } if !model.deliveries.is_empty() => {
                let id = model.deliveries.keys().nth(which % model.deliveries.len()).expect("one").clone();
                let cancelled = bench.store.cancel(id.clone()).await;
                let state = model.deliveries[&id].state;
                assert_eq!(cancelled.is_ok(), state.after(Step::Cancel).is_some() || state == DeliveryState::Cancelled);
                if state.after(Step::Cancel).is_some() {
                    model.step(&id, Step::Cancel);
                    let (gone, held): (Vec<_>, Vec<_>) =
                        std::mem::take(&mut model.held).into_iter().partition(|(claimed, _)| claimed.delivery.id == id);
                    model.held = held;
                    model.old.extend(gone.into_iter().map(|(claimed, _)| claimed));
                    model.deliveries.get_mut(&id).expect("a delivery").interrupted = false;
                }
            }
            Operation::Resend { which } if !model.deliveries.is_empty() => {
                let id = model.deliveries.keys().nth(which % model.deliveries.len()).expect("one").clone();
                let resent = bench.store.resend(id.clone()).await;
                let may = model.deliveries[&id].state.after(Step::Resend).is_some();
                assert_eq!(resent.is_ok(), may, "{:?}", model.deliveries[&id]);
                if may {
                    model.step(&id, Step::Resend);
                }
            }
            Operation::Pass { seconds } => bench.pass(Duration::from_secs(seconds)),
            Operation::Crash => {
                bench = bench.reopened();
                for (claimed, _) in std::mem::take(&mut model.held) {
                    model.free(claimed);
                }
            }
            _ => {}
        }
        model.pass_turns(now);
        let waiting = model.deliveries.values().filter(|one| matches!(one.state, DeliveryState::Pending | DeliveryState::Waiting)).count();
        assert_eq!(bench.store.stats().deliveries_waiting, waiting as u64, "the backlog's count");
        let counted = || bench.store.depths().into_iter().map(|(_, number)| number).sum::<u64>();
        // After a start the committer counts by itself, and soon.
        for _ in 0..LOOKS_MAX {
            if counted() == waiting as u64 {
                break;
            }
            tokio::task::yield_now().await;
        }
        assert_eq!(counted(), waiting as u64, "the backlog's count by endpoint");
    }
    for (id, expected) in &model.deliveries {
        let delivery = bench.store.delivery(id).await.expect("read").expect("never lost");
        assert_eq!(delivery.state, expected.state, "{id}");
    }
}

/// Looks at a count that is still being made.
const LOOKS_MAX: u32 = 1_000_000;

/// Sequences tried; `HOOKWRIGHT_TEST_SEQUENCES` asks for more.
fn sequences() -> u32 {
    std::env::var("HOOKWRIGHT_TEST_SEQUENCES").ok().and_then(|count| count.parse().ok()).unwrap_or(24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: sequences(), failure_persistence: None, ..ProptestConfig::default() })]

    /// What fails is printed with the shortest sequence that does, and the seed of it.
    #[test]
    fn whatever_happens_a_delivery_is_where_the_states_say(operations in proptest::collection::vec(operation(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(check(operations));
    }
}
