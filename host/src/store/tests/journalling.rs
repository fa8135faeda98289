//! The engine by itself: what is read while layers leave for the tree, and what a journal says after a crash.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicU64},
};

use proptest::{collection::vec, prelude::*, sample::Index};

use super::*;
use crate::store::{directory::FORMAT, draft::Draft, engine::Writes, journal::Journal, value::encode_number};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// What is done to an engine.
#[derive(Clone, Debug)]
enum Step {
    Write(Vec<(u8, Option<u8>)>),
    Turn,
    Reopen,
    Crash,
    Scan {
        from: u8,
        to: u8,
        sides: Vec<bool>,
    },
    /// Looks at this number of the first ones, and takes all but a few of them.
    Queue(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => vec((any::<u8>(), proptest::option::weighted(0.6, any::<u8>())), 1..40).prop_map(Step::Write),
        2 => Just(Step::Turn),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
        3 => (0..20_usize, 0..3_usize).prop_map(|(taken, left)| Step::Queue(taken, left)),
        4 => (any::<u8>(), any::<u8>(), vec(any::<bool>(), 1..300)).prop_map(|(from, to, sides)| Step::Scan { from, to, sides }),
    ]
}

fn row(n: u8) -> Vec<u8> {
    // Longer than what a sled value keeps inline, and with a common beginning.
    format!("some key of a certain length {n:03}").into_bytes()
}

fn write(engine: &Engine, writes: &Writes) {
    engine.apply(writes);
    engine.sync().expect("synced");
}

/// The engine a process finds that starts after this one was killed.
fn killed(engine: &Engine, path: &Path) -> (TempDir, Engine) {
    let directory = tempfile::tempdir().expect("a directory");
    engine.wait_for_writer().expect("written");
    for entry in fs::read_dir(path).expect("a directory").map(|entry| entry.expect("an entry").path()) {
        let target = directory.path().join(entry.file_name().expect("a name"));
        if entry.is_dir() {
            fs::create_dir(target).expect("made");
        } else {
            fs::copy(entry, target).expect("copied");
        }
    }
    let engine = Engine::open(directory.path(), None).expect("opens");
    (directory, engine)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn layers_and_tree_read_as_one_whatever_happens(steps in vec(step(), 1..60)) {
        let mut directory = tempfile::tempdir().expect("a directory");
        let mut engine = Engine::open(directory.path(), None).expect("opens");
        let mut model = Model::new();
        for step in steps {
            match step {
                Step::Write(pairs) => {
                    let writes: Writes = pairs.into_iter().map(|(n, value)| (row(n), value.map(|value| vec![0, value]))).collect();
                    write(&engine, &writes);
                    for (key, value) in writes {
                        match value {
                            Some(value) => _ = model.insert(key, value),
                            None => _ = model.remove(&key),
                        }
                    }
                }
                Step::Turn => engine.turn().expect("turned"),
                Step::Reopen => {
                    drop(engine);
                    engine = Engine::open(directory.path(), None).expect("opens");
                }
                Step::Crash => {
                    let (new_directory, new_engine) = killed(&engine, directory.path());
                    drop(std::mem::replace(&mut engine, new_engine));
                    directory = new_directory;
                }
                Step::Queue(taken, left) => {
                    let begin = row(0);
                    let first: Vec<_> = engine.queue((begin.clone(), row(255))).take(taken).map(|key| key.expect("read")).collect();
                    let expected: Vec<_> = model.range(begin.clone()..row(255)).map(|(key, _)| key.clone()).take(taken).collect();
                    prop_assert_eq!(&first, &expected);
                    engine.remember_front(begin, first.first());
                    let gone = first.len().saturating_sub(left);
                    write(&engine, &first[..gone].iter().map(|key| (key.clone(), None)).collect());
                    first[..gone].iter().for_each(|key| _ = model.remove(key));
                }
                Step::Scan { from, to, sides } => {
                    let range = (row(from), row(to));
                    let mut expected = model.range(range.0.clone()..range.1.clone().max(range.0.clone()));
                    let mut records = engine.raw_records(range);
                    for side in sides {
                        let (record, expected) = match side {
                            true => (records.next(), expected.next()),
                            false => (records.next_back(), expected.next_back()),
                        };
                        let record = record.map(|record| record.expect("read"));
                        prop_assert_eq!(record, expected.map(|(key, value)| (key.clone(), value.clone())));
                    }
                }
            }
        }
        for n in 0..=255 {
            prop_assert_eq!(engine.raw(&row(n)).expect("read"), model.get(&row(n)).cloned());
        }
        let all = engine.raw_records((Vec::new(), vec![255])).collect::<Result<Model, _>>().expect("read");
        prop_assert_eq!(all, model);
    }

    #[test]
    fn a_journal_cut_anywhere_holds_what_was_synced_before_and_no_more(commits in 1..20_u8, cut: Index, flips in any::<bool>()) {
        let directory = tempfile::tempdir().expect("a directory");
        let (mut journal, _) = Journal::open(directory.path()).expect("opens");
        let mut ends = vec![0];
        for n in 0..commits {
            let (key, value) = (row(n), vec![n; usize::from(n)]);
            journal.add([(key.as_slice(), (n % 3 > 0).then_some(value.as_slice()))].into_iter());
            journal.add([(b"last".as_slice(), Some([n].as_slice()))].into_iter());
            journal.sync().expect("synced");
            ends.push(journal.turn_bytes());
        }
        let path = directory.path().join("journal-0");
        let mut bytes = fs::read(&path).expect("read");
        let mut cut = cut.index(usize::try_from(journal.turn_bytes()).expect("a length"));
        // Bytes that are zero already are not cut: the first frame ends in one.
        if !flips { cut += bytes[cut..].iter().take_while(|byte| **byte == 0).count() }
        // A cut, or something that went wrong in one place.
        if flips { bytes[cut] ^= 1 } else { bytes[cut..].fill(0) }
        fs::write(&path, bytes).expect("written");
        drop(journal);
        let whole = ends.iter().filter(|end| **end <= cut as u64).count() - 1;
        match Journal::open(directory.path()) {
            Ok((_, mut written)) => {
                let last = written.remove(b"last".as_slice()).flatten().map(|value| value.to_vec());
                prop_assert_eq!(last, whole.checked_sub(1).map(|n| vec![n as u8]), "one sync is one frame");
                prop_assert!(!flips || whole + 1 == usize::from(commits), "what follows the place is lost");
                prop_assert_eq!(written.into_keys().map(|key| key.to_vec()).collect::<Vec<_>>(), (0..whole).map(|n| row(n as u8)).collect::<Vec<_>>());
            }
            Err(error) => prop_assert!(flips && matches!(error, StoreError::Corrupt { .. }), "{error}"),
        }
    }
}

#[test]
fn what_an_earlier_turn_left_in_a_file_is_not_read_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut journal, written) = Journal::open(directory.path()).expect("opens");
    assert!(written.is_empty());
    let put = |journal: &mut Journal, names: &[&str]| {
        for name in names {
            journal.add([(name.as_bytes(), Some(name.as_bytes()))].into_iter());
            journal.sync().expect("synced");
        }
    };
    let read = || {
        let (journal, written) = Journal::open(directory.path()).expect("opens");
        (journal, written.into_keys().map(|key| String::from_utf8(key.to_vec()).expect("text")).collect::<Vec<_>>())
    };
    put(&mut journal, &["one", "two", "three"]);
    journal.begin_turn().expect("turned");
    put(&mut journal, &["four"]);
    journal.begin_turn().expect("turned");
    put(&mut journal, &["five"]);
    drop(journal);
    assert_eq!(read().1, ["five", "four"]);
    let (mut journal, _) = read();
    put(&mut journal, &["six"]);
    drop(journal);
    assert_eq!(read().1, ["five", "six"], "the turn before the last is read again, the one before that is not");
    let (mut journal, _) = read();
    journal.clear().expect("cleared");
    drop(journal);
    assert_eq!(read().1, Vec::<String>::new());
    // The newest turn's first frame: what follows it says that it was there.
    let (mut journal, _) = read();
    put(&mut journal, &["seven", "eight"]);
    drop(journal);
    let newest = ["journal-0", "journal-1"]
        .map(|name| directory.path().join(name))
        .into_iter()
        .find(|path| fs::read(path).expect("read").windows(5).any(|window| window == b"eight"));
    let newest = newest.expect("a file");
    let mut bytes = fs::read(&newest).expect("read");
    bytes[30] ^= 1;
    fs::write(&newest, bytes).expect("written");
    assert!(matches!(Journal::open(directory.path()), Err(StoreError::Corrupt { .. })));
}

#[test]
fn a_scan_misses_nothing_while_layers_leave_for_the_tree() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = Engine::open(directory.path(), None).expect("opens");
    let name = |n: u64| [b"k".as_slice(), &n.to_be_bytes()].concat();
    let value = |n: u64| Some([[0].as_slice(), &n.to_be_bytes()].concat());
    let (lasting, done) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let readers: Vec<_> = [false, true]
            .into_iter()
            .map(|backwards| {
                let (engine, lasting, done) = (&engine, &lasting, &done);
                scope.spawn(move || {
                    let mut scans = 0;
                    while !done.load(Ordering::Acquire) {
                        let at_least = lasting.load(Ordering::Acquire);
                        let keys = engine.keys((b"k".to_vec(), b"l".to_vec()));
                        let mut keys: Vec<_> =
                            if backwards { keys.rev().map(Result::unwrap).collect() } else { keys.map(Result::unwrap).collect() };
                        assert!(keys.iter().is_sorted_by(|one, other| (one < other) != backwards && one != other), "each once, in order");
                        if backwards {
                            keys.reverse();
                        }
                        let even: Vec<_> = keys.into_iter().filter(|key| key[8] % 2 == 0).collect();
                        assert!(even.len() as u64 >= at_least, "{} of {at_least}", even.len());
                        assert!(even.iter().zip(0..).all(|(key, n)| *key == name(n * 2)));
                        scans += 1;
                    }
                    scans
                })
            })
            .collect();
        for n in 0..2000 {
            // Even ones stay, odd ones are gone with the next commit.
            let mut writes = Writes::from([(name(n * 2), value(n)), (name(n * 2 + 1), value(n))]);
            if n > 0 {
                writes.insert(name(n * 2 - 1), None);
            }
            write(&engine, &writes);
            lasting.store(n + 1, Ordering::Release);
            if n % 50 == 0 {
                engine.turn().expect("turned");
            }
        }
        done.store(true, Ordering::Release);
        assert!(readers.into_iter().all(|reader| reader.join().expect("no panic") > 0));
    });
}

#[tokio::test]
async fn a_store_without_its_journal_is_refused() {
    for name in ["journal-0", "journal-1"] {
        let bench = Bench::new();
        bench.accept(1, &["a"]).await;
        let Bench { directory, clock, store } = bench;
        drop(store);
        fs::remove_file(directory.path().join("store/gen-1").join(name)).expect("removed");
        let refused = open(directory.path(), &clock, [7; 32]).err().expect("refused");
        assert!(matches!(refused, StoreError::Corrupt { .. }), "{refused:?}");
        assert!(refused.with_causes().contains("its journal is missing"), "{}", refused.with_causes());
    }
}

#[tokio::test]
async fn a_store_of_format_2_becomes_one_of_this_format_when_it_is_opened() {
    let bench = Bench::new();
    for n in 0..20 {
        bench.accept(n, &["a"]).await;
    }
    let Bench { directory, clock, store } = bench;
    drop(store);
    let (store, generation) = (directory.path().join("store"), directory.path().join("store/gen-1"));
    let files: Vec<PathBuf> = ["journal-0", "journal-1"].map(|name| generation.join(name)).into();
    // A tree alone, that says so.
    let draft = Draft::open(&generation, None).expect("opens");
    draft.put(&Writes::from([(key::FORMAT.to_vec(), Some(encode_number(2)))])).expect("written");
    drop(draft.finish().expect("finished"));
    files.iter().for_each(|file| fs::remove_file(file).expect("removed"));
    let current = fs::read_to_string(store.join("current")).expect("read").replace(&format!("\"format\":{FORMAT}"), "\"format\":2");
    fs::write(store.join("current"), current).expect("written");
    for _ in 0..2 {
        let store = open(directory.path(), &clock, [7; 32]).expect("opens");
        assert_eq!(store.last_seq(), 20);
        assert_eq!(claim(&store, 100).await.len(), 20);
        drop(store);
        assert!(files.iter().all(|file| file.exists()));
        let current = fs::read_to_string(directory.path().join("store/current")).expect("read");
        assert!(current.contains(&format!("\"format\":{FORMAT}")), "an older version must refuse it: {current}");
    }
}
