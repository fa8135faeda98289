use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::model::plugin::Digest;

/// Everything in a store, as stored, but for what only counts its starts.
fn everything(store: &Store) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let all = store.engine().raw_records((Vec::new(), vec![u8::MAX]));
    let all = all.collect::<Result<BTreeMap<_, _>, _>>().expect("read");
    all.into_iter().filter(|(key, _)| key != key::EPOCH && key != key::LIVE).collect()
}

fn restored(from: &Path, clock: &Arc<HandClock>) -> (TempDir, Store) {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let mut told = Vec::new();
    restore(from, &data, |done, total| told.push((done, total))).expect("restored");
    assert!(told.is_sorted() && told.last().is_some_and(|(done, total)| done == total), "{told:?}");
    let store = open(&data, clock, [7; 32]).expect("the restored store");
    (directory, store)
}

async fn fill(bench: &Bench, events: std::ops::Range<u64>) {
    for n in events {
        let mut large = incoming(n, &["a", "b"]);
        large.event.data = json!({ "n": n, "text": "x".repeat(if n % 10 == 0 { 20_000 } else { 300 }) });
        let (_, claimed) = new(bench.store.accept(vec![large], LEASE).await.expect("accepted").remove(0));
        bench.settle(&claimed[0], if n % 2 == 0 { Next::Waiting { after: LEASE } } else { Next::End(End::Delivered) }).await.expect("held");
    }
}

#[tokio::test]
async fn a_restored_backup_is_what_was_backed_up() {
    let bench = Bench::new();
    fill(&bench, 0..50).await;
    bench.store.put_secret("api", b"hidden").await.expect("put");
    bench.store.update_parameters("s", None, vec![change("a", json!(1))]).await.expect("updated");
    let digest = bench.store.put_blob(Bytes::from_static(b"plugin")).await.expect("put");
    std::fs::write(bench.directory.path().join("key"), "0".repeat(64)).expect("written");
    std::fs::write(bench.directory.path().join("admin-token"), "hwt_secret").expect("written");
    let to = tempfile::tempdir().expect("a directory");
    let manifest = bench.store.backup(to.path()).await.expect("backed up");
    assert_eq!((manifest.seq, manifest.plugins.len()), (50, 1));
    let status = bench.store.backup_status().expect("one");
    assert!(status.outcome.is_some_and(|outcome| outcome.is_ok()) && status.records > 200 && status.bytes > 100_000);
    let before = everything(&bench.store);

    // Neither the key, nor the token, nor anything compiled, nor a secret in clear.
    let mut names: Vec<_> = files(to.path()).into_iter().map(|(path, _)| path).collect();
    names.sort();
    let wanted = [format!("blobs/{}", digest.hex()), "manifest.json".into(), "records".into()];
    assert_eq!(names, wanted.map(|name| to.path().join(name)));
    assert!(files(to.path()).iter().all(|(_, bytes)| !bytes.windows(6).any(|window| window == b"hidden")));

    let (_directory, store) = restored(to.path(), &bench.clock);
    // Opening ends the leases of the last process: that is the only difference.
    let bench = bench.reopened();
    assert_eq!(everything(&store), everything(&bench.store));
    assert_ne!(everything(&store), before, "some deliveries were leased");
    assert_eq!(store.secret("api", None).await.expect("read").expect("kept").expose(), b"hidden");
    assert_eq!(store.get_blob(&digest).await.expect("read"), Some(Bytes::from_static(b"plugin")));
    // It goes on where the backup was.
    let accepted = store.accept(vec![incoming(1000, &[])], LEASE).await.expect("accepted").remove(0);
    assert_eq!(new(accepted).0.seq, 51);
}

#[tokio::test]
async fn a_backup_taken_while_work_goes_on_holds_every_commit_up_to_one_and_none_after_it() {
    let bench = Bench::new();
    fill(&bench, 0..300).await;
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    // Each writer counts in two places of each commit, far apart in the tree, and in a session: a backup that cuts a commit in two, or
    // leaves one out that came before another, holds numbers that do not agree.
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (store, stop) = (bench.store.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut n = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    n += 1;
                    let (low, high) = (format!("a-{writer}"), format!("z-{writer}"));
                    let written = store.commit(0, move |transaction| {
                        transaction.put(key::plugin_state(&low, "n"), &n)?;
                        transaction.put(key::config("count", &high), &n)?;
                        transaction.put(key::session(&format!("s-{writer}")), &n)?;
                        let seq = transaction.next_seq();
                        transaction.put(key::SEQ.to_vec(), &seq)?;
                        transaction.put(key::config("order", &format!("{seq:020}")), &(writer, n))
                    });
                    written.await.expect("written");
                }
                n
            })
        })
        .collect();
    let to = tempfile::tempdir().expect("a directory");
    let manifest = bench.store.backup(&to.path().join("first")).await.expect("backed up");
    let written_by_then = bench.store.last_seq();
    stop.store(true, Ordering::Relaxed);
    let mut total = 300;
    for writer in writers {
        total += writer.await.expect("no panic");
    }
    assert!(manifest.seq <= written_by_then && manifest.seq > 300, "{manifest:?}");
    let (_directory, store) = restored(&to.path().join("first"), &bench.clock);
    assert_eq!(store.last_seq(), manifest.seq);
    let read = |key: Vec<u8>| {
        let bytes = store.engine().get(&key).expect("read");
        bytes.map_or(0_u64, |bytes| serde_json::from_slice(&bytes).expect("a number"))
    };
    // The commits in the backup are 301 to its own number, each whole.
    let mut last = [0_u64; 4];
    for seq in 301..=total {
        let record = store.engine().get(&key::config("order", &format!("{seq:020}"))).expect("read");
        assert_eq!(record.is_some(), seq <= manifest.seq, "commit {seq} of a backup as of {}", manifest.seq);
        if let Some(record) = record {
            let (writer, n): (usize, u64) = serde_json::from_slice(&record).expect("a record");
            assert_eq!(n, last[writer] + 1);
            last[writer] = n;
        }
    }
    for (writer, n) in last.into_iter().enumerate() {
        let found = [
            read(key::plugin_state(&format!("a-{writer}"), "n")),
            read(key::config("count", &format!("z-{writer}"))),
            read(key::session(&format!("s-{writer}"))),
        ];
        assert_eq!(found, [n; 3], "writer {writer}");
    }
}

#[tokio::test]
async fn compacting_changes_nothing_but_the_size() {
    let bench = Bench::new();
    fill(&bench, 0..100).await;
    for n in 0..2000 {
        bench
            .store
            .update_parameters("s", None, vec![change("text", json!("x".repeat(3000))), change("n", json!(n))])
            .await
            .expect("updated");
    }
    // Opening ends the leases; from here on nothing does.
    let bench = bench.reopened();
    let before = everything(&bench.store);
    let compacted = bench.store.compact().await.expect("compacted");
    assert!(compacted.after_bytes < compacted.before_bytes, "{compacted:?}");
    assert_eq!(everything(&bench.store), before);
    // What lives was counted while it was written, and again while it was copied.
    let live: u64 = before.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum();
    assert!(compacted.live_bytes.abs_diff(live) < 100, "{compacted:?}, {live}");
    // The same on a store nobody has open.
    let Bench { directory, clock, store } = bench;
    drop(store);
    let offline = Offline::open(directory.path()).expect("opened").compact(|_, _| {}).expect("compacted");
    assert!(offline.live_bytes.abs_diff(live) < 200, "{offline:?}");
    let store = open(directory.path(), &clock, [7; 32]).expect("the store again");
    assert_eq!(everything(&store), before);
}

#[tokio::test]
async fn a_store_nobody_has_open_is_backed_up_without_its_key() {
    let bench = Bench::new();
    fill(&bench, 0..20).await;
    let to = tempfile::tempdir().expect("a directory");
    assert!(matches!(Offline::open(bench.directory.path()), Err(StoreError::Locked { .. })));
    let online = bench.store.backup(&to.path().join("online")).await.expect("backed up");
    let Bench { directory, clock, store } = bench;
    drop(store);
    let offline = Offline::open(directory.path()).expect("opened");
    let manifest = offline.backup(&to.path().join("offline"), Timestamp::UNIX_EPOCH, |_, _| {}).expect("backed up");
    assert_eq!(manifest.records, online.records);
    drop(offline);
    let (_one, one) = restored(&to.path().join("offline"), &clock);
    let (_two, two) = restored(&to.path().join("online"), &clock);
    assert_eq!(everything(&one), everything(&two));
    let empty = tempfile::tempdir().expect("a directory");
    assert!(matches!(Offline::open(empty.path()), Err(StoreError::NoStore { .. })));
}

#[tokio::test]
async fn a_backup_goes_where_nothing_is_and_one_at_a_time() {
    let bench = Bench::new();
    let to = tempfile::tempdir().expect("a directory");
    let begun = bench.store.begin_backup(&to.path().join("one")).expect("begun");
    assert!(matches!(bench.store.begin_backup(&to.path().join("two")), Err(StoreError::Busy { .. })));
    drop(begun);
    std::fs::write(to.path().join("file"), "x").expect("written");
    assert!(matches!(bench.store.begin_backup(to.path()), Err(StoreError::NotEmpty { .. })));
    assert!(matches!(bench.store.begin_backup(&to.path().join("file")), Err(StoreError::Misplaced { .. })));
    assert!(matches!(bench.store.begin_backup(&bench.directory.path().join("backup")), Err(StoreError::Misplaced { .. })));
    bench.store.backup(&to.path().join("one")).await.expect("a place that was given back");
}

#[tokio::test]
async fn plugin_bytes_stay_while_a_backup_is_under_way() {
    let bench = Bench::new();
    let digest = bench.store.put_blob(Bytes::from_static(b"plugin")).await.expect("put");
    let to = tempfile::tempdir().expect("a directory");
    let begun = bench.store.begin_backup(&to.path().join("one")).expect("begun");
    bench.store.remove_blob(&digest).await.expect("left");
    assert!(bench.store.has_blob(&digest).await.expect("looked"));
    assert_eq!(bench.store.sweep_blobs(Default::default(), Duration::ZERO).await.expect("left"), 0);
    let manifest = begun.run().await.expect("backed up");
    assert!(manifest.plugins.contains_key(digest.hex()));
    let used = bench.store.put_blob(Bytes::from_static(b"used")).await.expect("put");
    assert_eq!(bench.store.sweep_blobs([used.clone()].into(), Duration::from_secs(3600)).await.expect("swept"), 0, "both are new");
    assert_eq!(bench.store.sweep_blobs([used.clone()].into(), Duration::ZERO).await.expect("swept"), 1);
    assert!(bench.store.has_blob(&used).await.expect("looked") && !bench.store.has_blob(&digest).await.expect("looked"));
}

#[tokio::test]
async fn what_is_no_whole_backup_is_refused_and_leaves_nothing() {
    let bench = Bench::new();
    fill(&bench, 0..20).await;
    let digest = bench.store.put_blob(Bytes::from_static(b"plugin")).await.expect("put");
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    type Damage = fn(&Path, &Digest);
    let damages: [(&str, Damage); 7] = [
        ("has no manifest.json", |backup, _| std::fs::remove_file(backup.join("manifest.json")).expect("damaged")),
        ("manifest.json cannot be read", |backup, _| std::fs::write(backup.join("manifest.json"), "{").expect("damaged")),
        ("to its end", |backup, _| {
            let bytes = std::fs::read(backup.join("records")).expect("read");
            std::fs::write(backup.join("records"), &bytes[..bytes.len() / 2]).expect("damaged");
        }),
        ("its digest is not", |backup, _| {
            let mut bytes = std::fs::read(backup.join("records")).expect("read");
            let middle = bytes.len() - 100;
            bytes[middle] ^= 1;
            std::fs::write(backup.join("records"), &bytes).expect("damaged");
        }),
        ("its digest is not", |backup, _| {
            let mut bytes = std::fs::read(backup.join("records")).expect("read");
            bytes.push(0);
            std::fs::write(backup.join("records"), &bytes).expect("damaged");
        }),
        ("not those of its digest", |backup, digest| {
            std::fs::write(backup.join("blobs").join(digest.hex()), "other").expect("damaged");
        }),
        ("run the newer version", |backup, _| std::fs::write(backup.join("manifest.json"), r#"{"format":4}"#).expect("damaged")),
    ];
    for (n, (says, damage)) in damages.into_iter().enumerate() {
        let backup = directory.path().join(n.to_string());
        bench.store.backup(&backup).await.expect("backed up");
        damage(&backup, &digest);
        let refused = restore(&backup, &data, |_, _| {}).expect_err("refused");
        assert!(refused.to_string().contains(says), "{says}: {refused}");
        assert!(!data.exists() || files(&data).is_empty(), "{says} left {:?}", files(&data));
    }
    // Not over what is there; a key may wait for its store.
    let backup = directory.path().join("good");
    bench.store.backup(&backup).await.expect("backed up");
    std::fs::create_dir_all(&data).expect("made");
    std::fs::write(data.join("other"), "x").expect("written");
    assert!(matches!(restore(&backup, &data, |_, _| {}), Err(StoreError::NotEmpty { .. })));
    std::fs::rename(data.join("other"), data.join("key")).expect("renamed");
    restore(&backup, &data, |_, _| {}).expect("restored");
    assert!(matches!(restore(&backup, &data, |_, _| {}), Err(StoreError::NotEmpty { .. })));
}

#[tokio::test]
async fn a_directory_a_restore_was_interrupted_in_is_not_taken_for_a_new_store() {
    let Bench { directory, clock, store } = Bench::new();
    drop(store);
    std::fs::remove_dir_all(directory.path().join("store")).expect("removed");
    std::fs::create_dir_all(directory.path().join("store/restoring")).expect("made");
    let refused = open(directory.path(), &clock, [7; 32]).err().expect("refused");
    assert!(refused.to_string().contains("restore again"), "{refused}");
}
