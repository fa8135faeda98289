use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::*;

#[tokio::test]
async fn a_second_process_is_told_to_wait() {
    let bench = Bench::new();
    let second = open(bench.directory.path(), &bench.clock, [7; 32]);
    assert!(matches!(second, Err(StoreError::Locked { .. })));
}

#[tokio::test]
async fn another_key_is_refused() {
    let bench = Bench::new();
    bench.store.put_secret("api", b"x").await.expect("put");
    let Bench { directory, clock, store } = bench;
    drop(store);
    assert!(matches!(open(directory.path(), &clock, [8; 32]), Err(StoreError::WrongKey)));
    open(directory.path(), &clock, [7; 32]).expect("the right key opens it");
}

#[tokio::test]
async fn a_newer_format_is_refused_with_a_sentence() {
    let Bench { directory, clock, store } = Bench::new();
    drop(store);
    std::fs::write(directory.path().join("store/current"), br#"{"format":5,"shards":[]}"#).expect("written");
    let refused = open(directory.path(), &clock, [7; 32]).err().expect("refused");
    assert!(refused.to_string().contains("run the newer version"), "{refused}");
}

#[tokio::test]
async fn a_stop_in_the_middle_of_an_upgrade_is_made_good() {
    let bench = Bench::new();
    bench.accept(1, &["a"]).await;
    let Bench { directory, clock, store } = bench;
    drop(store);
    let current = directory.path().join("store/current");
    let now = std::fs::read_to_string(&current).expect("read");
    assert!(now.contains(r#""format":4"#), "{now}");
    // The tree is of this format already, and the file beside it does not say so yet.
    std::fs::write(&current, now.replace(r#""format":4"#, r#""format":3"#)).expect("written");
    drop(open(directory.path(), &clock, [7; 32]).expect("opens"));
    assert_eq!(std::fs::read_to_string(&current).expect("read"), now, "an older version refuses it by this file");
}

#[tokio::test]
async fn a_damaged_store_is_refused_with_a_sentence() {
    for damage in ["conf", "snap", "current", "directory"] {
        let bench = Bench::new();
        for n in 0..50 {
            bench.accept(n, &["a"]).await;
        }
        // A second start writes a snapshot.
        let Bench { directory, clock, store } = bench.reopened();
        drop(store);
        let generation = directory.path().join("store/gen-1");
        match damage {
            "conf" => std::fs::write(generation.join("conf"), b"something else entirely").expect("damaged"),
            "current" => std::fs::write(directory.path().join("store/current"), b"{").expect("damaged"),
            "directory" => std::fs::remove_dir_all(&generation).expect("damaged"),
            _ => {
                for (path, mut bytes) in files(&generation) {
                    if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("snap.")) {
                        bytes[0] ^= 255;
                        std::fs::write(path, bytes).expect("damaged");
                    }
                }
            }
        }
        let refused = open(directory.path(), &clock, [7; 32]).err().unwrap_or_else(|| panic!("{damage} was not noticed"));
        assert!(matches!(refused, StoreError::Corrupt { .. }), "{damage}: {refused:?}");
        assert!(refused.to_string().contains("restore it from a backup"), "{refused}");
    }
}

#[tokio::test]
async fn a_snapshot_left_unfinished_by_a_kill_does_not_matter() {
    let bench = Bench::new();
    bench.accept(1, &["a"]).await;
    let Bench { directory, clock, store } = bench;
    drop(store);
    std::fs::write(directory.path().join("store/gen-1/snap.FFFFFFFFFFFFFFF0.generating"), b"half").expect("written");
    let store = open(directory.path(), &clock, [7; 32]).expect("opens");
    assert_eq!(store.last_seq(), 1);
}

#[tokio::test]
async fn what_waits_is_written_before_the_store_is_closed() {
    let bench = Bench::new();
    let tasks: Vec<_> = (0..300)
        .map(|n| {
            let store = bench.store.clone();
            tokio::spawn(async move { store.accept(vec![incoming(n, &["a"])], LEASE).await })
        })
        .collect();
    tokio::task::yield_now().await;
    bench.store.close().await;
    let mut accepted = 0;
    for task in tasks {
        match task.await.expect("no panic") {
            Ok(_) => accepted += 1,
            Err(StoreError::Closed) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert!(accepted > 0);
    assert!(matches!(bench.store.accept(vec![incoming(999, &[])], LEASE).await, Err(StoreError::Closed)));
    let bench = bench.reopened();
    assert_eq!(bench.store.last_seq(), accepted);
}

#[tokio::test]
async fn a_panic_in_one_commit_leaves_the_others_alone() {
    let bench = Bench::new();
    let panicked = bench.store.commit::<(), _>(0, |_| panic!("on purpose")).await;
    assert!(matches!(panicked, Err(StoreError::Unavailable { .. })), "{panicked:?}");
    assert_eq!(bench.accept(1, &[]).await.0.seq, 1);
}

#[tokio::test]
async fn compacting_keeps_everything_while_work_goes_on() {
    let bench = Bench::new();
    let text = "x".repeat(20_000);
    for n in 0..100 {
        let mut large = incoming(n, &["a"]);
        large.event.data = json!({ "text": text });
        let accepted = bench.store.accept(vec![large], LEASE).await.expect("accepted").remove(0);
        let next = if n % 2 == 0 { Next::Waiting { after: LEASE } } else { Next::End(End::Delivered) };
        bench.settle(&new(accepted).1[0], next).await.expect("held");
    }
    for n in 0..500 {
        bench.store.update_parameters("s", None, vec![change("big", json!(text)), change("n", json!(n))]).await.expect("updated");
    }
    let store = bench.store.clone();
    let compaction = tokio::spawn(async move { store.compact().await });
    for n in 100..200 {
        let (_, claimed) = bench.accept(n, &["b"]).await;
        bench.settle(&claimed[0], Next::End(End::Delivered)).await.expect("held");
        bench.store.update_parameters("s", None, vec![change("n", json!(n))]).await.expect("updated");
    }
    compaction.await.expect("no panic").expect("compacted");
    let (event, claimed) = bench.accept(200, &["b"]).await;
    bench.settle(&claimed[0], Next::End(End::Delivered)).await.expect("held");
    assert_eq!(event.seq, 201);
    // About 2 MiB live; sled writes in segments of 512 KiB, and how many it fills meanwhile depends on the machine.
    let after = bench.store.stats();
    assert!(after.bytes_on_disk <= 16 * 1024 * 1024, "{after:?}");
    assert!(bench.directory.path().join("store/gen-2").exists());
    let bench = bench.reopened();
    assert!(!bench.directory.path().join("store/gen-1").exists());
    let events = bench.store.events(None, 1000).await.expect("read").data;
    assert_eq!(events.len(), 201);
    assert!(events[101..].iter().all(|event| event.data["text"] == json!(text)));
    assert_eq!(bench.store.deliveries(DeliveryFilter::default(), None, 1000).await.expect("read").data.len(), 201);
    let session = bench.store.parameters("s").await.expect("read");
    assert_eq!(session.version, 600);
    assert_eq!(session.parameters.get("n"), Some(&json!(199)));
    bench.pass(LEASE);
    assert_eq!(bench.claim(1000).await.len(), 50);
}

#[test]
fn a_key_is_made_once_for_its_owner_and_never_for_a_store_that_has_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path();
    let (made, origin) = StorageKey::load(None, data).expect("made");
    assert_eq!(origin, KeyOrigin::Generated(data.join("key")));
    let mode = std::fs::metadata(data.join("key")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (again, origin) = StorageKey::load(None, data).expect("read");
    assert_eq!(origin, KeyOrigin::Data(data.join("key")));
    assert_eq!(made.keyed_hash("a", b"b"), again.keyed_hash("a", b"b"));

    let clock = Arc::new(HandClock(AtomicI64::new(1)));
    drop(open(data, &clock, [7; 32]).expect("a store"));
    std::fs::rename(data.join("key"), data.join("elsewhere")).expect("moved");
    assert!(matches!(StorageKey::load(None, data), Err(StoreError::KeyMissing { .. })));
    let (named, _) = StorageKey::load(Some(&data.join("elsewhere")), data).expect("read");
    assert_eq!(made.keyed_hash("a", b"b"), named.keyed_hash("a", b"b"));
    assert!(matches!(StorageKey::load(Some(&data.join("nowhere")), data), Err(StoreError::KeyFileMissing { .. })));
    std::fs::write(data.join("short"), "abc").expect("written");
    assert!(matches!(StorageKey::load(Some(&data.join("short")), data), Err(StoreError::KeyMalformed { .. })));
    std::fs::write(data.join("raw"), [9; 32]).expect("written");
    StorageKey::load(Some(&data.join("raw")), data).expect("32 bytes");
}
