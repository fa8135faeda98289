use serde_json::json;

use super::*;
use crate::model::{
    delivery::{DeliveryState, InvokeInput},
    id::DeliveryId,
};

fn invoke() -> NewInvoke {
    NewInvoke {
        session: Some("s1".into()),
        parameters: vec![change("sku", json!("x1"))],
        input: InvokeInput { data: json!({ "k": 1 }), ..InvokeInput::default() },
        ..plain_invoke()
    }
}

#[tokio::test]
async fn settling_writes_state_attempt_and_parameters_together() {
    let bench = Bench::new();
    let (_, claimed) = bench.accept(1, &["a"]).await;
    let mut settled = settlement(&claimed[0], Next::End(End::Delivered));
    settled.parameters = Some(("s1".into(), vec![change("stock", json!(4))]));
    let delivery = bench.store.settle(vec![settled]).await.expect("settled").remove(0).expect("held").delivery;
    assert_eq!((delivery.state, delivery.attempts), (DeliveryState::Delivered, 1));
    let bench = bench.reopened();
    assert_eq!(bench.store.delivery(&delivery.id).await.expect("read"), Some(delivery.clone()));
    assert_eq!(bench.store.attempts(&delivery.id).await.expect("read").len(), 1);
    assert_eq!(bench.store.parameters("s1").await.expect("read").parameters.get("stock"), Some(&json!(4)));
    assert_eq!(bench.store.next_due(), None);
}

#[tokio::test]
async fn a_stale_token_writes_nothing() {
    let bench = Bench::new();
    let (_, claimed) = bench.accept(1, &["a"]).await;
    let stale = &claimed[0];
    bench.pass(LEASE);
    let again = bench.claim(1).await.remove(0);
    assert!(again.rebuilt && again.token > stale.token);
    assert_eq!(again.events, stale.events);
    let mut settled = settlement(stale, Next::End(End::Delivered));
    settled.parameters = Some(("s1".into(), vec![change("stock", json!(4))]));
    let good = settlement(&again, Next::End(End::Failed));
    let outcome = bench.store.settle(vec![settled, good.clone(), good]).await.expect("settled");
    assert!(matches!(outcome[0], Err(StoreError::LeaseLost)));
    assert!(outcome[1].is_ok());
    assert!(matches!(outcome[2], Err(StoreError::LeaseLost)), "a token settles once");
    assert_eq!(bench.store.parameters("s1").await.expect("read").version, 0);
    assert_eq!(bench.store.attempts(&stale.delivery.id).await.expect("read").len(), 1);
}

#[tokio::test]
async fn what_another_incarnation_had_claimed_is_claimed_again_at_once() {
    let bench = Bench::new();
    let (event, claimed) = bench.accept(1, &["a", "b"]).await;
    bench.settle(&claimed[0], Next::Waiting { after: LEASE }).await.expect("held");
    let old = claimed[1].clone();
    let bench = bench.reopened();
    let again = bench.claim(10).await;
    assert_eq!(again.len(), 1, "the other one is not due");
    assert_eq!(again[0].delivery.id, old.delivery.id);
    assert!(again[0].rebuilt);
    assert_eq!(again[0].events, [event]);
    assert!(matches!(bench.settle(&old, Next::End(End::Delivered)).await, Err(StoreError::LeaseLost)));
    bench.settle(&again[0], Next::End(End::Delivered)).await.expect("held");
    bench.pass(LEASE);
    let due = bench.claim(10).await;
    assert_eq!(due.len(), 1);
    assert!(!due[0].rebuilt, "it was not being sent");
}

#[tokio::test]
async fn an_invoke_that_was_interrupted_has_failed_and_is_never_sent_again() {
    let bench = Bench::new();
    let claimed = bench.store.begin_invoke(invoke(), LEASE).await.expect("begun");
    assert_eq!(bench.store.parameters("s1").await.expect("read").parameters.get("sku"), Some(&json!("x1")));
    let bench = bench.reopened();
    assert!(bench.claim(10).await.is_empty());
    let delivery = bench.store.delivery(&claimed.delivery.id).await.expect("read").expect("there");
    assert_eq!(delivery.state, DeliveryState::Failed);
    let attempts = bench.store.attempts(&delivery.id).await.expect("read");
    assert_eq!(attempts[0].failure.as_ref().map(|failure| failure.kind), Some(FailureKind::Interrupted));
    let late = bench.store.begin_invoke(invoke(), LEASE).await.expect("begun");
    bench.pass(LEASE);
    assert!(bench.claim(10).await.is_empty());
    assert!(matches!(bench.settle(&late, Next::End(End::Delivered)).await, Err(StoreError::LeaseLost)));
}

#[tokio::test]
async fn an_invoke_tried_again_keeps_its_lease_and_numbers_its_attempts() {
    let bench = Bench::new();
    let claimed = bench.store.begin_invoke(invoke(), LEASE).await.expect("begun");
    let again = bench.settle(&claimed, Next::Again).await.expect("held");
    assert_eq!((again.state, again.attempts), (DeliveryState::Sending, 1));
    let over = bench.settle(&claimed, Next::End(End::Delivered)).await.expect("still held");
    assert_eq!((over.state, over.attempts), (DeliveryState::Delivered, 2));
    assert_eq!(bench.store.attempts(&over.id).await.expect("read").len(), 2);
}

#[tokio::test]
async fn a_retry_comes_when_it_is_due_with_the_request_as_it_was_built() {
    let bench = Bench::new();
    let (_, claimed) = bench.accept(1, &["a"]).await;
    let mut settled = settlement(&claimed[0], Next::Waiting { after: Duration::from_secs(5) });
    settled.built = Some(json!({ "url": "http://x/" }));
    bench.store.settle(vec![settled]).await.expect("settled").remove(0).expect("held");
    assert!(bench.claim(1).await.is_empty());
    let due = bench.store.next_due().expect("something waits");
    assert_eq!(due, bench.clock.now() + Duration::from_secs(5));
    let bench = bench.reopened();
    bench.pass(Duration::from_secs(5));
    let again = bench.claim(1).await.remove(0);
    assert_eq!(again.built, Some(json!({ "url": "http://x/" })));
    assert_eq!((again.delivery.attempts, again.rebuilt), (1, false));
    bench.settle(&again, Next::End(End::Failed)).await.expect("held");
    let sent_again = bench.store.resend(again.delivery.id.clone()).await.expect("resent");
    assert_eq!(sent_again.state, DeliveryState::Pending);
    let anew = bench.claim(1).await.remove(0);
    assert_eq!((anew.delivery.id.clone(), anew.built.clone()), (again.delivery.id.clone(), None));
    bench.settle(&anew, Next::End(End::Delivered)).await.expect("held");
    let numbers: Vec<_> = bench.store.attempts(&anew.delivery.id).await.expect("read").iter().map(|a| a.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
}

#[tokio::test]
async fn extending_keeps_a_lease_and_tells_which_are_lost() {
    let bench = Bench::new();
    let (_, claimed) = bench.accept(1, &["a"]).await;
    bench.pass(LEASE / 2);
    assert_eq!(bench.store.extend(vec![claimed[0].token, 99], LEASE).await.expect("extended"), [99]);
    bench.pass(LEASE / 2);
    assert!(bench.claim(1).await.is_empty());
    bench.pass(LEASE / 2);
    assert_eq!(bench.claim(1).await.len(), 1);
}

#[tokio::test]
async fn nobody_else_gets_what_is_claimed() {
    let bench = Bench::new();
    for n in 0..50 {
        let (_, claimed) = bench.accept(n, &["a"]).await;
        bench.settle(&claimed[0], Next::Waiting { after: Duration::ZERO }).await.expect("held");
    }
    let claims: Vec<_> = (0..10)
        .map(|_| {
            let store = bench.store.clone();
            tokio::spawn(async move { claim(&store, 7).await })
        })
        .collect();
    let mut ids = Vec::new();
    for claim in claims {
        ids.extend(claim.await.expect("no panic").into_iter().map(|claimed| claimed.delivery.id));
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 50);
}

#[tokio::test]
async fn cancelling_ends_what_is_not_over_and_resending_brings_it_back() {
    let bench = Bench::new();
    let (_, claimed) = bench.accept(1, &["a", "a2", "b"]).await;
    for claimed in &claimed[..2] {
        bench.settle(claimed, Next::Waiting { after: LEASE }).await.expect("held");
    }
    assert_eq!(bench.store.cancel_for_webhook(&webhook("a")).await.expect("cancelled"), 1);
    assert_eq!(bench.store.cancel_for_webhook(&webhook("b")).await.expect("cancelled"), 0, "it is being sent");
    bench.store.cancel(claimed[2].delivery.id.clone()).await.expect("cancelled");
    assert!(matches!(bench.settle(&claimed[2], Next::End(End::Delivered)).await, Err(StoreError::LeaseLost)));
    bench.pass(LEASE * 2);
    let due = bench.claim(10).await;
    assert_eq!(due.len(), 1, "that of a2");
    bench.settle(&due[0], Next::End(End::Delivered)).await.expect("held");
    assert!(matches!(bench.store.cancel(due[0].delivery.id.clone()).await, Err(StoreError::WrongState { .. })));
    assert!(matches!(bench.store.cancel(DeliveryId("dlv_x".into())).await, Err(StoreError::NotFound { .. })));
    bench.store.resend(claimed[0].delivery.id.clone()).await.expect("recovered");
    assert_eq!(bench.claim(10).await.len(), 1);
}

#[tokio::test]
async fn deliveries_are_found_by_webhook_event_state_and_time() {
    let bench = Bench::new();
    for n in 1..=9 {
        let (_, claimed) = bench.accept(n, &["a", "b"]).await;
        let next = if n % 3 == 0 { Next::End(End::Failed) } else { Next::End(End::Delivered) };
        bench.settle(&claimed[0], next).await.expect("held");
        bench.pass(Duration::from_secs(1));
    }
    let all = |filter: DeliveryFilter| {
        let store = bench.store.clone();
        async move {
            let (mut found, mut cursor) = (Vec::new(), None);
            loop {
                let page = store.deliveries(filter.clone(), cursor, 2).await.expect("read");
                found.extend(page.data);
                cursor = page.next;
                if cursor.is_none() {
                    return found;
                }
            }
        }
    };
    let everything = all(DeliveryFilter::default()).await;
    assert_eq!(everything.len(), 18);
    assert!(everything.windows(2).all(|pair| pair[0].id > pair[1].id), "newest first");
    assert_eq!(all(DeliveryFilter { webhook: Some(webhook("a")), ..Default::default() }).await.len(), 9);
    let failed = DeliveryFilter { webhook: Some(webhook("a")), state: Some(DeliveryState::Failed), ..Default::default() };
    assert_eq!(all(failed).await.len(), 3);
    assert_eq!(all(DeliveryFilter { state: Some(DeliveryState::Sending), ..Default::default() }).await.len(), 9);
    assert_eq!(all(DeliveryFilter { event: Some(event_id(4)), ..Default::default() }).await.len(), 2);
    let since = Some(bench.clock.now() - Duration::from_secs(3));
    assert_eq!(all(DeliveryFilter { since, ..Default::default() }).await.len(), 6);
}

#[tokio::test]
async fn a_deleted_event_takes_its_attempts_along_and_ends_what_waits() {
    let bench = Bench::new();
    let (event, claimed) = bench.accept(1, &["a", "b"]).await;
    bench.settle(&claimed[0], Next::Waiting { after: LEASE }).await.expect("held");
    assert!(bench.store.delete_event(event.id.clone()).await.expect("deleted"));
    assert!(!bench.store.delete_event(event.id.clone()).await.expect("deleted"));
    assert_eq!(bench.store.event(&event.id).await.expect("read"), None);
    for claimed in &claimed {
        let delivery = bench.store.delivery(&claimed.delivery.id).await.expect("read").expect("kept");
        assert_eq!(delivery.state, DeliveryState::Cancelled);
        assert!(bench.store.attempts(&delivery.id).await.expect("read").is_empty());
    }
    bench.pass(LEASE * 2);
    assert!(bench.claim(10).await.is_empty());
}
