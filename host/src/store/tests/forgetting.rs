use serde_json::json;

use super::{sweep::Swept, *};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn retention() -> Retention {
    Retention { deliveries: DAY, events: DAY, calls: DAY, events_max: 1_000_000, calls_max: 1_000_000, audit: DAY, audit_max: 1_000_000 }
}

async fn sweep_all(store: &Store, retention: Retention) -> Swept {
    let mut total = Swept::default();
    for _ in 0..1000 {
        let swept = store.sweep(retention).await.expect("swept");
        total.sessions += swept.sessions;
        total.dedup_keys += swept.dedup_keys;
        total.deliveries += swept.deliveries;
        total.events += swept.events;
        total.calls += swept.calls;
        total.audit += swept.audit;
        if !swept.more {
            return total;
        }
    }
    panic!("a sweep that never ends: {total:?}");
}

#[tokio::test]
async fn what_is_over_and_old_is_forgotten_and_what_is_owed_never() {
    let bench = Bench::new();
    let mut waiting = Vec::new();
    for n in 0..10 {
        let (_, claimed) = bench.accept(n, &["a", "b"]).await;
        bench.settle(&claimed[0], Next::End(End::Delivered)).await.expect("held");
        if n < 3 {
            bench.settle(&claimed[1], Next::Waiting { after: DAY * 10 }).await.expect("held");
            waiting.push(claimed[1].delivery.id.clone());
        } else {
            bench.settle(&claimed[1], Next::End(End::Failed)).await.expect("held");
        }
    }
    bench.pass(DAY * 2);
    let (kept, _) = bench.accept(11, &[]).await;
    let swept = sweep_all(&bench.store, retention()).await;
    assert_eq!((swept.deliveries, swept.events), (17, 7));
    for id in &waiting {
        assert!(bench.store.delivery(id).await.expect("read").is_some());
    }
    assert!(bench.store.event(&event_id(0)).await.expect("read").is_some(), "it is still owed");
    assert!(bench.store.event(&kept.id).await.expect("read").is_some());
    assert!(bench.store.attempts(&waiting[0]).await.expect("read").len() == 1);
    let (_, claimed) = bench.accept(12, &["a"]).await;
    bench.settle(&claimed[0], Next::End(End::Delivered)).await.expect("held");
    assert_eq!(sweep_all(&bench.store, retention()).await.deliveries, 0);
}

#[tokio::test]
async fn only_so_many_are_kept_whatever_their_age() {
    let bench = Bench::new();
    for n in 0..30 {
        let (_, claimed) = bench.accept(n, &["a"]).await;
        bench.settle(&claimed[0], Next::End(End::Delivered)).await.expect("held");
    }
    let swept = sweep_all(&bench.store, Retention { events_max: 10, ..retention() }).await;
    assert_eq!((swept.deliveries, swept.events), (20, 20));
    assert_eq!(bench.store.events(None, 100).await.expect("read").data.len(), 10);
}

#[tokio::test]
async fn one_sweep_does_a_bounded_part() {
    let bench = Bench::new();
    let mut accepting = Vec::new();
    for n in 0..600 {
        let store = bench.store.clone();
        accepting.push(tokio::spawn(async move { store.accept(vec![incoming(n, &[])], LEASE).await }));
    }
    for task in accepting {
        task.await.expect("no panic").expect("accepted");
    }
    bench.pass(DAY * 2);
    let swept = bench.store.sweep(retention()).await.expect("swept");
    assert!(swept.more && swept.events < 600, "{swept:?}");
    assert_eq!(swept.events + sweep_all(&bench.store, retention()).await.events, 600);
}

#[tokio::test]
async fn sessions_and_dedup_keys_are_forgotten_when_they_are_over() {
    let bench = Bench::new();
    let dedup = Some(Dedup { key: [1; 32], body: [1; 32] });
    bench.store.accept(vec![AcceptEvent { dedup, ..incoming(1, &[]) }], LEASE).await.expect("accepted");
    bench.store.update_parameters("idle", None, vec![change("a", json!(1))]).await.expect("updated");
    bench.store.update_parameters("used", None, vec![change("a", json!(1))]).await.expect("updated");
    bench.pass(SESSION_LIFE / 2);
    bench.store.update_parameters("used", None, vec![change("a", json!(2))]).await.expect("updated");
    bench.pass(SESSION_LIFE / 2);
    let swept = sweep_all(&bench.store, retention()).await;
    assert_eq!((swept.sessions, swept.dedup_keys), (1, 0));
    assert_eq!(bench.store.parameters("used").await.expect("read").version, 2);
    bench.pass(DEDUP_LIFE);
    let swept = sweep_all(&bench.store, retention()).await;
    assert_eq!((swept.sessions, swept.dedup_keys), (1, 1));
    let again = bench.store.accept(vec![AcceptEvent { dedup, ..incoming(2, &[]) }], LEASE).await.expect("accepted");
    assert!(matches!(again[0], Accepted::New { .. }));
}

#[tokio::test]
async fn entries_of_the_audit_log_go_by_age_and_number_and_numbers_go_on() {
    use crate::model::audit::{AuditFilter, Deed};
    let bench = Bench::new();
    for n in 0..30 {
        bench.store.note(Deed::plain("begun", "compact", n.to_string())).await.expect("noted");
    }
    let numbers = async || {
        let page = bench.store.audit(AuditFilter::default(), None, 100).await.expect("read");
        page.data.iter().map(|entry| entry.number).collect::<Vec<_>>()
    };
    let swept = sweep_all(&bench.store, Retention { audit_max: 10, ..retention() }).await;
    assert_eq!((swept.audit, numbers().await), (20, (21..=30).rev().collect()));
    bench.pass(DAY * 2);
    assert_eq!(sweep_all(&bench.store, retention()).await.audit, 10);
    bench.store.note(Deed::plain("begun", "compact", "")).await.expect("noted");
    assert_eq!(numbers().await, [31]);
}
