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
