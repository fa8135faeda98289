use super::*;
use crate::model::{delivery::DeliveryState, ordering::BatchRule};

const PERIOD: Duration = Duration::from_secs(20);

impl Bench {
    /// Accepts event `n` into a batch of webhook `a`, in `session`.
    async fn join(&self, n: u64, session: Option<&str>) {
        let mut event = incoming(n, &["a"]);
        event.event.session = session.map(str::to_owned);
        event.deliveries[0].batch = Some(BatchRule { after: PERIOD, events_max: 4, starts_at: None });
        let (_, claimed) = new(self.store.accept(vec![event], LEASE).await.expect("accepted").remove(0));
        assert!(claimed.is_empty(), "a batch is closed before it is sent");
    }

    /// The batches that are due, as lists of their events' numbers; each is delivered at once.
    async fn delivered(&self) -> Vec<Vec<u64>> {
        let claimed = self.closed().await;
        for claimed in &claimed {
            self.settle(claimed, Next::End(End::Delivered)).await.expect("held");
        }
        claimed.iter().map(numbers).collect()
    }

    async fn closed(&self) -> Vec<Claimed> {
        while self.store.close_batches().await.expect("closed") > 0 {}
        self.claim(10).await
    }
}

fn numbers(claimed: &Claimed) -> Vec<u64> {
    claimed.events.iter().map(|event| event.data["n"].as_u64().expect("a number")).collect()
}

#[tokio::test]
async fn the_events_of_a_period_are_one_delivery() {
    let bench = Bench::new();
    for n in 1..=3 {
        bench.join(n, None).await;
        bench.pass(Duration::from_secs(5));
    }
    assert!(bench.delivered().await.is_empty());
    assert_eq!(bench.store.next_due(), Some(bench.clock.now() + Duration::from_secs(5)));
    bench.pass(Duration::from_secs(5));
    assert_eq!(bench.delivered().await, [[1, 2, 3]]);
    bench.pass(PERIOD * 5);
    assert!(bench.delivered().await.is_empty(), "an idle period sends nothing");
    bench.join(4, None).await;
    bench.pass(PERIOD);
    assert_eq!(bench.delivered().await, [[4]]);
}

#[tokio::test]
async fn another_rule_holds_for_what_has_gathered_already() {
    let bench = Bench::new();
    let rule = |seconds, events_max| Some(BatchRule { after: Duration::from_secs(seconds), events_max, starts_at: None });
    let webhook = incoming(0, &["a"]).deliveries[0].webhook_id.clone();
    bench.join(1, None).await;
    bench.store.reschedule_batches(&webhook, rule(60, 4)).await.expect("rescheduled");
    bench.pass(PERIOD);
    assert!(bench.delivered().await.is_empty());
    bench.pass(Duration::from_secs(40));
    assert_eq!(bench.delivered().await, [[1]]);
    for (n, rule) in [(2, rule(1, 4)), (3, rule(60, 1)), (4, None)] {
        bench.join(n, None).await;
        bench.pass(Duration::from_secs(2));
        bench.store.reschedule_batches(&webhook, rule).await.expect("rescheduled");
        assert_eq!(bench.delivered().await, [[n]], "at once");
    }
}

#[tokio::test]
async fn a_full_batch_goes_at_once_and_sessions_are_kept_apart() {
    let bench = Bench::new();
    for n in 1..=4 {
        bench.join(n, Some("s")).await;
    }
    bench.join(5, Some("t")).await;
    assert_eq!(bench.delivered().await, [[1, 2, 3, 4]]);
    bench.join(6, Some("s")).await;
    bench.pass(PERIOD);
    let mut closed = bench.delivered().await;
    closed.sort();
    assert_eq!(closed, [[5], [6]]);
}

#[tokio::test]
async fn a_batch_survives_a_crash_open_and_closed_and_each_event_finds_it() {
    let bench = Bench::new();
    bench.join(1, None).await;
    bench.join(2, None).await;
    let bench = bench.reopened();
    bench.join(3, None).await;
    bench.pass(PERIOD);
    let bench = bench.reopened();
    assert_eq!(bench.closed().await.iter().map(numbers).collect::<Vec<_>>(), [[1, 2, 3]]);
    let of_first = bench.store.event_deliveries(&event_id(1)).await.expect("read");
    let of_third = bench.store.event_deliveries(&event_id(3)).await.expect("read");
    assert_eq!(of_first, of_third);
    assert_eq!((of_first.len(), of_first[0].further_events.len()), (1, 2));
    let filter = DeliveryFilter { event: Some(event_id(2)), ..Default::default() };
    assert_eq!(bench.store.deliveries(filter, None, 10).await.expect("read").data, of_first);
    let bench = bench.reopened();
    assert_eq!(bench.delivered().await, [[1, 2, 3]], "it is made again, whole");
}

#[tokio::test]
async fn a_deleted_event_leaves_its_batch_and_the_others_go() {
    let bench = Bench::new();
    for n in 1..=3 {
        bench.join(n, None).await;
    }
    assert!(bench.store.delete_event(event_id(1)).await.expect("deleted"));
    bench.pass(PERIOD);
    assert_eq!(bench.delivered().await, [[2, 3]]);
    assert!(bench.store.delete_event(event_id(2)).await.expect("deleted"));
}

#[tokio::test]
async fn an_open_batch_is_cancelled_with_its_webhook_and_recovered() {
    let bench = Bench::new();
    bench.join(1, None).await;
    bench.join(2, None).await;
    assert_eq!(bench.store.cancel_for_webhook(&webhook("a")).await.expect("cancelled"), 1);
    bench.pass(PERIOD);
    assert!(bench.delivered().await.is_empty());
    let cancelled = bench.store.event_deliveries(&event_id(2)).await.expect("read").remove(0);
    assert_eq!(cancelled.state, DeliveryState::Cancelled);
    assert_eq!(bench.store.recover(&webhook("a"), Timestamp::UNIX_EPOCH).await.expect("recovered"), 1);
    assert_eq!(bench.delivered().await, [[1, 2]]);
}

/// Bytes of data of which a batch holds sixteen.
const LARGE: usize = 256 * 1024 - 1000;

impl Bench {
    /// Accepts a large event `n` into a batch of up to a hundred.
    async fn join_large(&self, n: u64, lane: Option<&str>) {
        let mut event = incoming(n, &["a"]);
        event.event.data = json!({ "n": n, "x": "x".repeat(LARGE) });
        event.deliveries[0].lane = lane.map(str::to_owned);
        event.deliveries[0].batch = Some(BatchRule { after: PERIOD, events_max: 100, starts_at: None });
        self.store.accept(vec![event], LEASE).await.expect("accepted");
    }

    /// Makes the open batches those of a build that did not count their bytes.
    async fn forget_bytes(&self) {
        let range = key::open_batches(&webhook("a"));
        let forgotten = self.store.commit_scanning(move |transaction| {
            let open: Vec<_> = transaction.engine.records(range).collect::<Result<_, _>>()?;
            for (key, bytes) in open {
                let mut batch: Value = transaction::decode(&key, &bytes)?;
                assert!(batch.as_object_mut().expect("an object").shift_remove("bytes").is_some());
                transaction.put(key, &batch)?;
            }
            Ok(())
        });
        forgotten.await.expect("written");
    }

    /// The one delivery each event is in, and where it stands there.
    async fn all_found(&self, numbers: std::ops::RangeInclusive<u64>) {
        for n in numbers {
            let found = self.store.event_deliveries(&event_id(n)).await.expect("read");
            let [delivery] = found.as_slice() else { panic!("{n} is in {found:?}") };
            let event = self.store.event(&event_id(n)).await.expect("read").expect("an event");
            assert!(delivery.event.as_ref() == Some(&event.id) || delivery.further_events.contains(&event.id));
        }
    }
}

#[tokio::test]
async fn a_batch_is_full_with_so_many_bytes_and_the_next_event_begins_another() {
    let bench = Bench::new();
    for n in 1..=20 {
        bench.join_large(n, None).await;
    }
    let first: Vec<_> = (1..=16).collect();
    assert_eq!(bench.delivered().await, [first], "it goes at once");
    bench.pass(PERIOD);
    assert_eq!(bench.delivered().await, [[17, 18, 19, 20]]);
    bench.all_found(1..=20).await;
}

#[tokio::test]
async fn a_batch_an_earlier_build_gathered_is_closed_in_parts_and_in_its_order() {
    let bench = Bench::new();
    for n in 1..=10 {
        bench.join_large(n, Some("all")).await;
    }
    bench.forget_bytes().await;
    for n in 11..=20 {
        bench.join_large(n, Some("all")).await;
    }
    bench.pass(PERIOD);
    let first: Vec<_> = (1..=16).collect();
    assert_eq!(bench.delivered().await, [first], "the others wait for it");
    assert_eq!(bench.delivered().await, [[17, 18, 19, 20]]);
    bench.all_found(1..=20).await;
}

#[tokio::test]
async fn a_batch_in_somebodys_hands_is_split_and_its_halves_keep_their_place() {
    let bench = Bench::new();
    for n in 1..=5 {
        bench.join_large(n, Some("all")).await;
    }
    bench.pass(PERIOD);
    let claimed = bench.closed().await.remove(0);
    assert!(!claimed.is_oversized() && claimed.event_bytes > 5 * LARGE);
    // One that comes later stands behind both halves.
    bench.join_large(6, Some("all")).await;
    bench.pass(PERIOD);
    while bench.store.close_batches().await.expect("closed") > 0 {}
    bench.store.split_batch(claimed.delivery.id.clone(), claimed.token).await.expect("split");
    let lost = bench.store.split_batch(claimed.delivery.id.clone(), claimed.token).await;
    assert!(matches!(lost, Err(StoreError::LeaseLost)));
    bench.all_found(1..=6).await;
    let first = bench.claim(10).await;
    assert_eq!(first.iter().map(numbers).collect::<Vec<_>>(), [[1, 2, 3]]);
    assert_eq!((&first[0].delivery.id, first[0].delivery.attempts), (&claimed.delivery.id, 0));
    bench.settle(&first[0], Next::End(End::Delivered)).await.expect("held");
    let bench = bench.reopened();
    let second = bench.claim(10).await.remove(0);
    assert_eq!(numbers(&second), [4, 5]);
    // Down to single events.
    bench.store.split_batch(second.delivery.id.clone(), second.token).await.expect("split");
    assert_eq!(bench.delivered().await, [[4]]);
    assert_eq!(bench.delivered().await, [[5]]);
    assert_eq!(bench.delivered().await, [[6]]);
    bench.all_found(1..=6).await;
    assert_eq!(bench.store.deliveries(DeliveryFilter::default(), None, 10).await.expect("read").data.len(), 4);
}
