use serde_json::json;

use super::*;

#[tokio::test]
async fn an_accepted_event_is_there_with_what_is_owed_and_leased() {
    let bench = Bench::new();
    let (event, claimed) = bench.accept(1, &["a", "b"]).await;
    assert_eq!(event.seq, 1);
    assert_eq!(claimed.len(), 2);
    assert_eq!(bench.store.event(&event.id).await.expect("read").as_ref(), Some(&*event));
    assert_eq!(bench.store.event_deliveries(&event.id).await.expect("read").len(), 2);
    assert_eq!(bench.store.delivery(&claimed[0].delivery.id).await.expect("read"), Some(claimed[0].delivery.clone()));
    assert!(bench.claim(10).await.is_empty(), "leased already");
}

#[tokio::test]
async fn all_events_of_one_call_are_accepted_or_none() {
    let bench = Bench::new();
    let dedup = Dedup { key: [1; 32], body: [1; 32] };
    bench.store.accept(vec![AcceptEvent { dedup: Some(dedup), ..incoming(1, &[]) }], LEASE).await.expect("accepted");
    let reused = AcceptEvent { dedup: Some(Dedup { body: [2; 32], ..dedup }), ..incoming(3, &["a"]) };
    let parameters = AcceptEvent { parameters: vec![change("x", json!(1))], ..incoming(2, &["a"]) };
    let refused = bench.store.accept(vec![parameters, reused], LEASE).await;
    assert!(matches!(refused, Err(StoreError::KeyReused { index: 1 })), "{refused:?}");
    assert_eq!(bench.store.event(&event_id(2)).await.expect("read"), None);
    assert_eq!(bench.store.parameters("s1").await.expect("read").version, 0);
    assert_eq!(bench.store.events(None, 10).await.expect("read").data.len(), 1);
    assert_eq!(bench.accept(4, &[]).await.0.seq, 2, "a refused call leaves no gap");
}

#[tokio::test]
async fn the_same_key_and_body_is_the_same_event_until_it_is_forgotten() {
    let bench = Bench::new();
    let dedup = Some(Dedup { key: [1; 32], body: [1; 32] });
    let twice = vec![AcceptEvent { dedup, ..incoming(1, &["a"]) }, AcceptEvent { dedup, ..incoming(2, &["a"]) }];
    let accepted = bench.store.accept(twice, LEASE).await.expect("accepted");
    assert!(matches!(&accepted[1], Accepted::Duplicate { id } if *id == event_id(1)), "{accepted:?}");
    let bench = bench.reopened();
    let again = bench.store.accept(vec![AcceptEvent { dedup, ..incoming(3, &["a"]) }], LEASE).await.expect("accepted");
    assert!(matches!(&again[0], Accepted::Duplicate { id } if *id == event_id(1)), "{again:?}");
    bench.pass(DEDUP_LIFE);
    let later = bench.store.accept(vec![AcceptEvent { dedup, ..incoming(4, &["a"]) }], LEASE).await.expect("accepted");
    assert!(matches!(later[0], Accepted::New { .. }));
}

#[tokio::test]
async fn the_same_event_id_is_the_same_event() {
    let bench = Bench::new();
    bench.accept(1, &["a"]).await;
    let again = bench.store.accept(vec![incoming(1, &["a"])], LEASE).await.expect("accepted");
    assert!(matches!(&again[0], Accepted::Duplicate { id } if *id == event_id(1)));
}

#[tokio::test]
async fn numbers_go_on_without_gaps_after_a_restart_and_after_everything_was_forgotten() {
    let bench = Bench::new();
    let (first, _) = bench.accept(1, &[]).await;
    bench.store.begin_invoke(plain_invoke(), LEASE).await.expect("begun");
    let bench = bench.reopened();
    let (third, _) = bench.accept(3, &[]).await;
    assert_eq!((first.seq, third.seq), (1, 3));
    assert!(bench.store.delete_event(third.id.clone()).await.expect("deleted"));
    let bench = bench.reopened();
    assert_eq!(bench.accept(4, &[]).await.0.seq, 4);
    assert_eq!(bench.store.last_seq(), 4);
}

#[tokio::test]
async fn concurrent_callers_get_every_number_once() {
    let bench = Bench::new();
    let tasks: Vec<_> = (0..200)
        .map(|n| {
            let store = bench.store.clone();
            tokio::spawn(async move { store.accept(vec![incoming(n, &["a"])], LEASE).await.expect("accepted").remove(0) })
        })
        .collect();
    let mut numbers = Vec::new();
    for task in tasks {
        numbers.push(new(task.await.expect("no panic")).0.seq);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=200).collect::<Vec<_>>());
    assert!(bench.store.stats().syncs < 200, "commits share syncs: {:?}", bench.store.stats());
}

#[tokio::test]
async fn large_events_are_kept_in_pieces_and_given_back_whole() {
    let bench = Bench::new();
    let text = "0123456789".repeat(40_000);
    for n in 0..40 {
        let mut large = incoming(n, &["a"]);
        large.event.data = json!({ "n": n, "text": text });
        bench.store.accept(vec![large], LEASE).await.expect("accepted");
    }
    let bench = bench.reopened();
    // A page is limited in bytes too: twenty of these.
    let first = bench.store.events(None, 100).await.expect("read");
    let second = bench.store.events(first.next.clone(), 100).await.expect("read");
    assert_eq!((first.data.len(), second.data.len(), second.next), (20, 20, None));
    let numbers: Vec<_> = first.data.iter().chain(&second.data).map(|event| event.data["n"].as_u64().expect("a number")).collect();
    assert_eq!(numbers, (0..40).rev().collect::<Vec<_>>());
    assert!(first.data.iter().chain(&second.data).all(|event| event.data["text"] == json!(text)));
    let large_pages = bench.directory.path().join("store/gen-1/blobs");
    assert_eq!(std::fs::read_dir(large_pages).expect("a directory").count(), 0, "sled never syncs those");
}

#[tokio::test]
async fn events_come_newest_first_page_by_page() {
    let bench = Bench::new();
    for n in 1..=7 {
        bench.accept(n, &[]).await;
    }
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = bench.store.events(cursor, 3).await.expect("read");
        seen.extend(page.data.iter().map(|event| event.seq));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, [7, 6, 5, 4, 3, 2, 1]);
}
