use super::*;
use crate::model::{
    deactivation::{Ended, NoticeKind, Reason, Standing},
    delivery::{DeliveryState, ReplayOf},
    profile::{Deactivation, FailuresWithin},
};

#[tokio::test]
async fn an_event_that_matches_very_many_webhooks_reaches_them_all_through_a_crash() {
    let bench = Bench::new();
    let names: Vec<_> = (0..1200).map(|n| format!("w{n}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let (event, claimed) = bench.accept(1, &names).await;
    assert!(claimed.is_empty());
    assert!(bench.store.fan_out().await.expect("written"));
    let bench = bench.reopened();
    while bench.store.fan_out().await.expect("written") {}
    let deliveries = bench.store.event_deliveries(&event.id).await.expect("read");
    assert_eq!(deliveries.len(), 1200);
    assert_eq!(bench.store.stats().deliveries_waiting, 1200);
    let claimed = bench.claim(1).await;
    assert_eq!(claimed.len(), 1200);
    assert!(claimed.iter().all(|claimed| claimed.events[0].id == event.id && !claimed.rebuilt));
}

#[tokio::test]
async fn what_keeps_an_order_does_not_overtake_an_event_that_matches_very_many_webhooks() {
    let bench = Bench::new();
    let names: Vec<_> = (0..1200).map(|n| format!("w{n}")).collect();
    let mut many = incoming(1, &names.iter().map(String::as_str).collect::<Vec<_>>());
    let ordered = |event: &mut AcceptEvent| event.deliveries[0].lane = Some("first in first out".to_owned());
    let mut few = incoming(2, &["w0"]);
    ordered(&mut many);
    ordered(&mut few);
    bench.store.accept(vec![many], LEASE).await.expect("accepted");
    let bench = bench.reopened();
    let accepted = bench.store.accept(vec![few, incoming(3, &["w0"])], LEASE).await.expect("accepted");
    let taken: Vec<_> = accepted.iter().map(|one| matches!(one, Accepted::New { claimed, .. } if !claimed.is_empty())).collect();
    assert_eq!(taken, [false, true], "what keeps no order is not held up");
    assert_eq!(bench.store.whole_event_deliveries(&event_id(2)).await.expect("read"), None);
    while bench.store.fan_out().await.expect("written") {}
    assert_eq!(bench.store.whole_event_deliveries(&event_id(2)).await.expect("read").map(|all| all.len()), Some(1));
    let first = bench.claim(1).await.into_iter().filter(|claimed| claimed.delivery.webhook_id == webhook("w0"));
    assert_eq!(first.map(|claimed| claimed.events[0].id.clone()).collect::<Vec<_>>(), [event_id(1)]);
}

#[tokio::test]
async fn the_deliveries_of_one_request_are_written_in_steps_past_a_number() {
    let bench = Bench::new();
    let names: Vec<_> = (0..900).map(|n| format!("w{n}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let accepted = bench.store.accept((0..12).map(|n| incoming(n, &names)).collect(), LEASE).await.expect("accepted");
    let written = accepted.iter().filter(|one| matches!(one, Accepted::New { claimed, .. } if !claimed.is_empty())).count();
    assert_eq!(written, 11);
    while bench.store.fan_out().await.expect("written") {}
    assert_eq!(bench.store.event_deliveries(&event_id(11)).await.expect("read").len(), 900);
}

#[tokio::test]
async fn deliveries_that_are_still_to_be_written_count_in_the_backlog() {
    let bench = Bench::new();
    let names: Vec<_> = (0..1200).map(|n| format!("w{n}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    for n in 0..9 {
        bench.accept(n, &names).await;
    }
    assert_eq!(bench.store.stats().deliveries_waiting, 9 * 1200);
    let full = bench.store.accept(vec![incoming(9, &["a"])], LEASE).await;
    assert!(matches!(full, Err(StoreError::BacklogFull { max: BACKLOG_MAX })));
    // Those of an event that is deleted meanwhile count no more.
    assert!(bench.store.delete_event(event_id(8)).await.expect("deleted"));
    while bench.store.fan_out().await.expect("written") {}
    assert_eq!(bench.store.stats().deliveries_waiting, 8 * 1200);
    assert!(bench.store.accept(vec![incoming(9, &["a"])], LEASE).await.is_ok());
}

#[tokio::test]
async fn past_its_bound_the_backlog_takes_nothing_more_and_nothing_half() {
    let bench = Bench::new();
    let wait = |n: u64| {
        let mut event = incoming(n, &["a", "b"]);
        event.deliveries.iter_mut().for_each(|new| new.take = false);
        event
    };
    let mut n = 0;
    while bench.store.stats().deliveries_waiting < BACKLOG_MAX {
        bench.store.accept((n..n + 500).map(wait).collect(), LEASE).await.expect("accepted");
        n += 500;
    }
    let full = bench.store.accept(vec![incoming(n, &["a"])], LEASE).await;
    assert!(matches!(full, Err(StoreError::BacklogFull { max: BACKLOG_MAX })));
    assert_eq!(bench.store.event(&event_id(n)).await.expect("read"), None);
    bench.store.accept(vec![incoming(n + 1, &[])], LEASE).await.expect("what owes nothing is taken");
    // The count is exact, also after a restart, and what goes makes room.
    let bench = bench.reopened();
    assert_eq!(bench.store.stats().deliveries_waiting, BACKLOG_MAX);
    let claimed = bench.claim(10).await;
    assert_eq!(bench.store.stats().deliveries_waiting, BACKLOG_MAX - 20);
    bench.settle(&claimed[0], Next::GivenBack { until: bench.clock.now(), is_refused: false }).await.expect("held");
    assert_eq!(bench.store.stats().deliveries_waiting, BACKLOG_MAX - 19);
    bench.store.accept(vec![incoming(n, &["a"])], LEASE).await.expect("there is room");
}

#[tokio::test]
async fn what_is_given_back_was_not_tried() {
    let bench = Bench::new();
    let (_, claimed) = bench.accept(1, &["a"]).await;
    let until = bench.clock.now() + Duration::from_secs(5);
    let back = bench.settle(&claimed[0], Next::GivenBack { until, is_refused: false }).await;
    // Its settlement carries an attempt, which is the test's own doing; what counts is the state and the time.
    assert_eq!(back.map(|delivery| (delivery.state, delivery.due_at)).expect("held"), (DeliveryState::Pending, Some(until)));
    assert!(bench.claim(1).await.is_empty());
    bench.pass(Duration::from_secs(5));
    let again = bench.claim(1).await;
    assert_eq!((again.len(), again[0].rebuilt), (1, false));
}

#[tokio::test]
async fn recovering_sends_again_what_failed_was_cancelled_or_could_not_be_built_since_a_time() {
    let bench = Bench::new();
    let (judged, not_built) = (FailureKind::PluginRejected, FailureKind::RequestInvalid);
    for (n, end, kind) in [
        (1, End::Failed, FailureKind::HttpStatus),
        (2, End::Delivered, FailureKind::HttpStatus),
        (3, End::Cancelled, FailureKind::HttpStatus),
        (4, End::Refused, judged),
        (5, End::Failed, FailureKind::HttpStatus),
        (6, End::Refused, not_built),
    ] {
        let (_, claimed) = bench.accept(n, &["a", "b"]).await;
        let attempt = Some(Attempt { failure: Some(Failure::new(kind, "")), ..attempt() });
        let ended = Settlement { attempt, ..settlement(&claimed[0], Next::End(end)) };
        bench.store.settle(vec![ended]).await.expect("settled").remove(0).expect("held");
        bench.settle(&claimed[1], Next::End(End::Delivered)).await.expect("held");
        bench.pass(Duration::from_secs(60));
    }
    let since = bench.clock.now() - Duration::from_secs(5 * 60);
    assert_eq!(bench.store.recover(&webhook("a"), since).await.expect("recovered"), 3, "not the first: it is older");
    let mut again: Vec<_> = bench.claim(10).await.iter().filter_map(|claimed| claimed.events[0].data["n"].as_u64()).collect();
    again.sort_unstable();
    assert_eq!(again, [3, 5, 6]);
}

#[tokio::test]
async fn a_replay_makes_deliveries_of_its_own_once() {
    let bench = Bench::new();
    for n in 1..=3 {
        bench.accept(n, &[]).await;
    }
    let (events, next) = bench.store.events_from(0, 2).await.expect("read");
    assert_eq!((events.len(), next), (2, Some(3)));
    let (rest, next) = bench.store.events_from(3, 2).await.expect("read");
    assert_eq!((rest.len(), next), (1, None));
    let of = ReplayOf { run: 9, version: Some(2) };
    let replayed: Vec<_> = events.iter().map(|event| Replayed { seq: event.seq, new: owed("a"), of: of.clone() }).collect();
    assert_eq!(bench.store.replay(replayed.clone()).await.expect("made"), 2);
    assert_eq!(bench.store.replay(replayed.clone()).await.expect("made"), 0, "the same replay, repeated");
    let claimed = bench.claim(10).await;
    assert_eq!(claimed.len(), 2);
    assert!(claimed.iter().all(|claimed| claimed.delivery.replay.as_ref() == Some(&of)));
    let other = Replayed { of: ReplayOf { run: 10, version: None }, ..replayed[0].clone() };
    assert_eq!(bench.store.replay(vec![other]).await.expect("made"), 1, "another replay");
}

#[tokio::test]
async fn failures_are_counted_with_their_settlement_and_told_until_somebody_acted() {
    let bench = Bench::new();
    let rule = Some(Deactivation::Failures(FailuresWithin { failures: 2, days: 1 }));
    let count = |ended| Some(Count { ended, rule, is_told: true });
    for n in 1..=2 {
        let (_, claimed) = bench.accept(n, &["a"]).await;
        let failed = Settlement { count: count(Ended::Failed), ..settlement(&claimed[0], Next::End(End::Failed)) };
        // A settlement without a lease counts nothing.
        let stale = Settlement { token: 1, ..failed.clone() };
        let settled = bench.store.settle(vec![stale, failed]).await.expect("settled");
        assert!(settled[0].is_err());
        assert_eq!(settled[1].as_ref().map(|settled| settled.is_noticed).ok(), Some(n == 2));
    }
    let bench = bench.reopened();
    let notices = bench.store.notices().await.expect("read");
    let (id, notice) = notices.into_iter().next().expect("a notice");
    assert_eq!((id.clone(), notice.kind), (webhook("a"), NoticeKind::Deactivate(Reason::Failures)));
    bench.store.noticed(&id, notice).await.expect("acted");
    assert!(bench.store.notices().await.expect("read").is_empty());
    bench.store.reset_standing(&id, Some(Standing::activated())).await.expect("activated");
    let (_, claimed) = bench.accept(3, &["a"]).await;
    let delivered = Settlement { count: count(Ended::Delivered), ..settlement(&claimed[0], Next::End(End::Delivered)) };
    bench.store.settle(vec![delivered]).await.expect("settled").remove(0).expect("held");
    assert_eq!(bench.store.notices().await.expect("read")[0].1.kind, NoticeKind::Recovered);
}
