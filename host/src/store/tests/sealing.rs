use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::{
    model::delivery::InvokeInput,
    store::{directory::FORMAT, value::encode_number},
};

/// What must not be seen in a file.
const CANARY: &str = "canary-in-clear";

/// Something of every kind that is sealed, with the canary in it.
async fn fill(bench: &Bench) {
    let store = &bench.store;
    for n in 0..40 {
        let mut event = incoming(n, &["a", "b"]);
        // Some are cut into pieces, and some are only once they are sealed.
        event.event.data = json!({ "text": CANARY.repeat([1, 265, 900][n as usize % 3]) });
        event.parameters = vec![change("token", json!(CANARY))];
        let (_, claimed) = new(store.accept(vec![event], LEASE).await.expect("accepted").remove(0));
        store.keep_built(claimed[0].delivery.id.clone(), claimed[0].token, &json!({ "url": CANARY })).await.expect("kept");
        let state = StateChanges { plugin: "p".into(), changes: vec![("k".into(), Some(CANARY.into()))], keys_max: 10, bytes_max: 1000 };
        store.change_plugin_state(claimed[0].delivery.id.clone(), claimed[0].token, state).await.expect("kept");
        for (claimed, next) in claimed.iter().zip([Next::End(End::Failed), Next::Waiting { after: LEASE }]) {
            let failure = Some(Failure::new(FailureKind::HttpStatus, CANARY));
            let attempt = Some(Attempt { failure, ..Attempt::begun(1, Timestamp::UNIX_EPOCH) });
            store.settle(vec![Settlement { attempt, ..settlement(claimed, next) }]).await.expect("settled").remove(0).expect("held");
        }
    }
    let document = ConfigWrite { kind: "webhook", id: "w".into(), expected: None, document: Some(json!({ "url": CANARY })) };
    store.put_config(vec![document]).await.expect("put");
    store.put_secret("api", CANARY.as_bytes()).await.expect("put");
    let input = InvokeInput { data: json!({ "text": CANARY }), ..InvokeInput::default() };
    store.begin_invoke(NewInvoke { input, ..plain_invoke() }, LEASE).await.expect("begun");
}

/// Everything in a store that is not about the store itself, opened.
fn content(store: &Store) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let engine = store.engine();
    let of_store = [key::EPOCH, key::LIVE, key::KEY_CHECK, key::FORMAT];
    let rows = key::all_but_chunks().into_iter().flat_map(|range| engine.records(range).collect::<Vec<_>>());
    rows.map(|row| row.expect("read")).filter(|(key, _)| !of_store.contains(&key.as_slice()) && !key.starts_with(key::SECRETS)).collect()
}

/// A store with something of every kind, closed; and what is in it.
async fn filled() -> (TempDir, Arc<HandClock>, BTreeMap<Vec<u8>, Vec<u8>>) {
    let bench = Bench::new();
    fill(&bench).await;
    let Bench { directory, clock, store } = bench.reopened();
    (directory, clock, content(&store))
}

fn shows(directory: &Path) -> Vec<PathBuf> {
    let found = files(directory).into_iter().filter(|(_, bytes)| bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()));
    found.map(|(path, _)| path).collect()
}

/// Makes of a store what format 1 was: nothing sealed but secrets and codes.
fn opened_to_all(data: &Path, key: [u8; 32]) {
    let directory = Directory::lock(data).expect("free");
    let engine = directory.open_current(Some(&StorageKey::new(key))).expect("open");
    let mut stamp = 1 << 60;
    for range in key::all_but_chunks() {
        for row in engine.records(range).collect::<Vec<_>>() {
            let (key, value) = row.expect("read");
            let (value, pieces) = engine
                .values()
                .encode(&key, &value, false, || {
                    stamp += 1;
                    stamp
                })
                .expect("written");
            let rows: Vec<_> = pieces.into_iter().chain([(key, value)]).map(|(key, value)| (key, Some(value))).collect();
            engine.apply(rows.iter().map(|(key, value)| (key, value)));
        }
    }
    engine.apply([(&key::FORMAT.to_vec(), &Some(encode_number(1)))]);
    engine.sync().expect("synced");
    let current = data.join("store/current");
    let text = std::fs::read_to_string(&current).expect("read").replace(&format!("\"format\":{FORMAT}"), "\"format\":1");
    std::fs::write(current, text).expect("written");
}

fn format(data: &Path) -> Value {
    serde_json::from_slice::<Value>(&std::fs::read(data.join("store/current")).expect("read")).expect("JSON")["format"].clone()
}

#[tokio::test]
async fn what_was_written_sent_or_answered_stands_nowhere_in_clear() {
    let bench = Bench::new();
    fill(&bench).await;
    let backup = tempfile::tempdir().expect("a directory");
    bench.store.backup(backup.path()).await.expect("backed up");
    let before = content(&bench.store);
    let bench = bench.reopened();
    assert_eq!(content(&bench.store).len(), before.len());
    for directory in [bench.directory.path(), backup.path()] {
        assert_eq!(shows(directory), Vec::<PathBuf>::new());
    }
    let event = bench.store.events(None, 1).await.expect("read").data.remove(0);
    assert!(event.data.to_string().contains(CANARY), "it is there all the same");
}

#[tokio::test]
async fn a_sealed_value_opens_under_its_own_key_alone() {
    let bench = Bench::new();
    fill(&bench).await;
    let engine = bench.store.engine();
    let raw = engine.raw(&key::config("webhook", "w")).expect("read").expect("there");
    engine.apply([(&key::config("webhook", "other"), &Some(raw))]);
    assert!(bench.store.config("webhook", "w").await.expect("read").is_some());
    let refused = bench.store.config("webhook", "other").await.expect_err("it is another's");
    assert!(matches!(refused, StoreError::Corrupt { .. }), "{refused}");
    assert!(refused.with_causes().contains("not sealed with this key for this place"), "{}", refused.with_causes());
}

#[tokio::test]
async fn a_store_of_format_1_is_sealed_when_it_is_opened() {
    let (directory, clock, before) = filled().await;
    let data = directory.path();
    opened_to_all(data, [7; 32]);
    assert!(!shows(data).is_empty() && format(data) == 1);
    assert!(matches!(open(data, &clock, [8; 32]), Err(StoreError::WrongKey)));
    assert_eq!(format(data), 1, "nothing was changed with another key");
    // Without the key it is worked on as it is.
    let backup = tempfile::tempdir().expect("a directory");
    let offline = Offline::open(data).expect("open");
    let manifest = offline.backup(&backup.path().join("b"), Timestamp::UNIX_EPOCH, |_, _| ()).expect("backed up");
    assert_eq!(manifest.seq, 41);
    offline.compact(|_, _| ()).expect("compacted");
    assert_eq!(format(data), 1);
    // One that was cut off leaves what is not looked at.
    std::fs::create_dir(data.join("store/gen-9")).expect("made");
    let restored = backup.path().join("data");
    restore(&backup.path().join("b"), &restored, |_, _| ()).expect("restored");
    for data in [data, &*restored] {
        let store = open(data, &clock, [7; 32]).expect("opened and sealed");
        assert_eq!(content(&store), before);
        drop(store);
        assert_eq!(format(data), FORMAT);
        assert_eq!(shows(data), Vec::<PathBuf>::new());
    }
}

#[tokio::test]
async fn another_storage_key_seals_everything_anew() {
    let (directory, clock, before) = filled().await;
    let data = directory.path();
    let (old, new) = (StorageKey::new([7; 32]), StorageKey::new([9; 32]));
    assert!(matches!(rotate(data, &new, &old, |_, _| ()), Err(StoreError::WrongKey)));
    // A copy that was cut off is none: the old key holds.
    {
        let locked = Directory::lock(data).expect("free");
        let engine = locked.open_current(Some(&old)).expect("open");
        resealing::tests::cut_off(&locked, &engine, &new);
    }
    assert_eq!(content(&open(data, &clock, [7; 32]).expect("the old key")), before);
    let mut told = Vec::new();
    let rotated = rotate(data, &old, &new, |records, _| told.push(records)).expect("rotated");
    assert_eq!((rotated.secrets, told.last()), (1, Some(&rotated.records)));
    assert!(rotated.records as usize > before.len());
    assert!(matches!(open(data, &clock, [7; 32]), Err(StoreError::WrongKey)));
    let store = open(data, &clock, [9; 32]).expect("the new key");
    assert_eq!(content(&store), before);
    assert_eq!(store.secret("api", None).await.expect("read").expect("there").expose(), CANARY.as_bytes());
    assert_eq!(store.last_seq(), 41);
    assert_eq!(shows(data), Vec::<PathBuf>::new());
}
