use super::*;
use crate::model::delivery::DeliveryState;

impl Bench {
    /// Accepts event `n` for webhook `a`, in `lane`, to be taken along if it is its turn.
    async fn accept_in(&self, n: u64, lane: &str) -> Option<Claimed> {
        let mut event = incoming(n, &["a"]);
        event.deliveries[0].lane = Some(lane.into());
        new(self.store.accept(vec![event], LEASE).await.expect("accepted").remove(0)).1.pop()
    }
}

fn numbers(claimed: &[Claimed]) -> Vec<u64> {
    claimed.iter().map(|claimed| claimed.events[0].data["n"].as_u64().expect("a number")).collect()
}

#[tokio::test]
async fn one_after_the_other_in_the_order_they_were_accepted() {
    let bench = Bench::new();
    let first = bench.accept_in(1, "x").await.expect("its turn");
    for n in 2..=4 {
        assert!(bench.accept_in(n, "x").await.is_none(), "it waits behind the first");
    }
    assert!(bench.claim(10).await.is_empty());
    bench.settle(&first, Next::End(End::Delivered)).await.expect("held");
    for (n, next) in [(2, End::Failed), (3, End::Refused), (4, End::Cancelled)] {
        let claimed = bench.claim(10).await;
        assert_eq!(numbers(&claimed), [n]);
        bench.settle(&claimed[0], Next::End(next)).await.expect("held");
    }
    assert!(bench.accept_in(5, "x").await.is_some(), "nobody is left before it");
}

#[tokio::test]
async fn one_that_waits_for_its_next_try_holds_up_its_own_lane_only() {
    let bench = Bench::new();
    let first = bench.accept_in(1, "x").await.expect("its turn");
    assert!(bench.accept_in(2, "x").await.is_none());
    assert!(bench.accept_in(3, "y").await.is_some());
    bench.settle(&first, Next::Waiting { after: Duration::from_secs(60) }).await.expect("held");
    assert!(bench.claim(10).await.is_empty());
    bench.pass(Duration::from_secs(60));
    let again = bench.claim(1).await;
    assert_eq!(numbers(&again), [1]);
}

#[tokio::test]
async fn one_that_is_first_for_too_long_is_passed() {
    let bench = Bench::new();
    let mut first = bench.accept_in(1, "x").await.expect("its turn");
    assert!(bench.accept_in(2, "x").await.is_none());
    for _ in 0..2 {
        bench.settle(&first, Next::Waiting { after: ORDER_WAIT_MAX / 2 }).await.expect("held");
        bench.pass(ORDER_WAIT_MAX / 2);
        let claimed = bench.claim(10).await;
        assert_eq!(numbers(&claimed), [1]);
        first = claimed.into_iter().next().expect("one");
    }
    bench.settle(&first, Next::Waiting { after: Duration::from_secs(1) }).await.expect("held");
    assert_eq!(numbers(&bench.claim(10).await), [2]);
    bench.pass(Duration::from_secs(1));
    assert_eq!(numbers(&bench.claim(10).await), [1], "it is still tried, outside the order");
}

#[tokio::test]
async fn order_survives_a_crash_a_cancellation_and_a_resend() {
    let bench = Bench::new();
    let first = bench.accept_in(1, "x").await.expect("its turn");
    for n in 2..=5 {
        bench.accept_in(n, "x").await;
    }
    let bench = bench.reopened();
    let again = bench.claim(10).await;
    assert_eq!(numbers(&again), [1]);
    assert!(again[0].rebuilt);
    let second = bench.store.event_deliveries(&event_id(2)).await.expect("read").remove(0);
    assert_eq!((second.state, second.due_at), (DeliveryState::Pending, None));
    bench.store.cancel(second.id.clone()).await.expect("cancelled");
    let third = bench.store.event_deliveries(&event_id(3)).await.expect("read").remove(0);
    bench.store.resend(third.id).await.expect("taken out of the order");
    assert_eq!(numbers(&bench.claim(10).await), [3], "what is resent stands outside");
    bench.settle(&again[0], Next::End(End::Delivered)).await.expect("held");
    assert_eq!(numbers(&bench.claim(10).await), [4]);
    bench.store.cancel(first.delivery.id).await.expect_err("it is over");
    let fifth = bench.store.event_deliveries(&event_id(5)).await.expect("read").remove(0);
    assert_eq!(fifth.due_at, None);
}

#[tokio::test]
async fn the_first_being_cancelled_lets_the_next_one_go() {
    let bench = Bench::new();
    let first = bench.accept_in(1, "x").await.expect("its turn");
    bench.accept_in(2, "x").await;
    bench.store.cancel(first.delivery.id).await.expect("cancelled");
    assert_eq!(numbers(&bench.claim(10).await), [2]);
    assert_eq!(bench.store.cancel_for_webhook(&webhook("a")).await.expect("cancelled"), 0, "it is being sent");
}

#[tokio::test]
async fn what_waits_for_its_turn_is_cancelled_with_its_webhook() {
    let bench = Bench::new();
    let first = bench.accept_in(1, "x").await.expect("its turn");
    for n in 2..=9 {
        bench.accept_in(n, "x").await;
    }
    assert_eq!(bench.store.cancel_for_webhook(&webhook("a")).await.expect("cancelled"), 8);
    bench.settle(&first, Next::End(End::Delivered)).await.expect("held");
    assert!(bench.claim(10).await.is_empty());
    assert_eq!(bench.store.stats().deliveries_waiting, 0);
}

#[tokio::test]
async fn several_events_at_once_keep_their_order_too() {
    let bench = Bench::new();
    let events = (1..=3).map(|n| {
        let mut event = incoming(n, &["a"]);
        event.deliveries[0].lane = Some("x".into());
        event
    });
    let accepted = bench.store.accept(events.collect(), LEASE).await.expect("accepted");
    let taken: Vec<_> = accepted.into_iter().flat_map(|accepted| new(accepted).1).collect();
    assert_eq!(numbers(&taken), [1]);
    let mut now = taken.into_iter().next().expect("one");
    for n in 2..=3 {
        bench.settle(&now, Next::End(End::Delivered)).await.expect("held");
        let next = bench.claim(10).await;
        assert_eq!(numbers(&next), [n]);
        now = next.into_iter().next().expect("one");
    }
}
