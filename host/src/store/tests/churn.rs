use serde_json::json;

use super::{calling::call, *};
use crate::model::call::CallState;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// What is promised of the directory: four times what lives in it, and 256 MB.
const FACTOR: u64 = 4;
const BESIDES: u64 = 256_000_000;

/// Events of a simulated minute; `tests/run churn N` asks for more.
fn events_per_minute() -> u64 {
    std::env::var("HOOKWRIGHT_TEST_CHURN").ok().and_then(|count| count.parse().ok()).unwrap_or(10)
}

/// Bytes of everything below.
fn size(directory: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size(&entry.path()),
            // Removed meanwhile.
            metadata => metadata.map_or(0, |metadata| metadata.len()),
        })
        .sum()
}

/// Events with deliveries, attempts, dedup keys, parameters, retries; calls with events of theirs.
async fn one_minute(bench: &Bench, minute: u64, per_minute: u64) {
    let mut n = minute * per_minute;
    let end = n + per_minute;
    while n < end {
        let batch: Vec<_> = (n..end.min(n + 20))
            .map(|n| {
                let mut event = incoming(n, &["a", "b"]);
                event.event.session = Some(format!("session-{}", n % 5000));
                event.event.data = json!({ "n": n, "text": "y".repeat(if n % 50 == 0 { 10_000 } else { 500 }) });
                let mut key = [0; 32];
                key[..8].copy_from_slice(&n.to_be_bytes());
                AcceptEvent { dedup: Some(Dedup { key, body: [1; 32] }), parameters: vec![change("n", json!(n))], ..event }
            })
            .collect();
        n += batch.len() as u64;
        let accepted = bench.store.accept(batch, LEASE).await.expect("accepted");
        let mut settled = Vec::new();
        for (event, claimed) in accepted.into_iter().map(new) {
            settled.push(settlement(&claimed[0], Next::End(End::Delivered)));
            let next = if event.seq % 10 == 0 { Next::Waiting { after: MINUTE * 5 } } else { Next::End(End::Delivered) };
            settled.push(Settlement { built: Some(json!({ "body": "z".repeat(300) })), ..settlement(&claimed[1], next) });
        }
        bench.store.settle(settled).await.expect("settled").into_iter().for_each(|one| drop(one.expect("held")));
    }
    for n in 0..per_minute / 10 {
        let mut done = call(minute * per_minute + n, "r", CallState::Done);
        done.received_at = bench.clock.now();
        let event = AcceptEvent { deliveries: Vec::new(), ..incoming((1 << 40) | (minute * per_minute + n), &[]) };
        bench.store.commit_call(done, vec![event], Vec::new(), None, LEASE).await.expect("committed");
    }
    loop {
        let due = claim(&bench.store, 500).await;
        if due.is_empty() {
            break;
        }
        let settled = due.iter().map(|claimed| settlement(claimed, Next::End(End::Delivered))).collect();
        bench.store.settle(settled).await.expect("settled").into_iter().for_each(|one| drop(one.expect("held")));
    }
}

/// 24 hours, of which two are kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_of_steady_work_leaves_the_directory_within_four_times_what_lives_in_it() {
    let bench = Bench::new();
    let per_minute = events_per_minute();
    let retention = Retention {
        deliveries: HOUR * 2,
        events: HOUR * 2,
        calls: HOUR * 2,
        events_max: u64::MAX,
        calls_max: u64::MAX,
        audit: HOUR * 2,
        audit_max: u64::MAX,
    };
    let (done, path, store) = (Arc::new(std::sync::atomic::AtomicBool::new(false)), bench.directory.path().to_owned(), bench.store.clone());
    // Looks all the time: also while a compaction has the tree twice.
    let watch = std::thread::spawn({
        let done = Arc::clone(&done);
        move || {
            let (mut worst, mut largest) = ((0, 0, 0.0_f64), 0);
            while !done.load(Ordering::Relaxed) {
                let (live, size) = (store.stats().bytes_live, size(&path));
                largest = largest.max(size);
                let part = size as f64 / (FACTOR * live + BESIDES) as f64;
                if part > worst.2 {
                    worst = (live, size, part);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            (worst, largest)
        }
    });
    let begun = Instant::now();
    for minute in 0..24 * 60 {
        one_minute(&bench, minute, per_minute).await;
        bench.pass(MINUTE);
        while bench.store.sweep(retention).await.expect("swept").more {}
        if per_minute > 10 && minute % 60 == 59 {
            let stats = bench.store.stats();
            let (live, disk, compactions) = (stats.bytes_live >> 20, size(bench.directory.path()) >> 20, stats.compactions);
            println!("hour {}: {live} MiB live, {disk} MiB of disk, {compactions} compactions, {:?}", minute / 60 + 1, begun.elapsed());
        }
    }
    done.store(true, Ordering::Relaxed);
    let ((live, disk, part), largest) = watch.join().expect("a watch");
    let stats = bench.store.stats();
    println!(
        "{} events in {:?}; worst: {live} bytes live, {disk} of disk, {part:.2} of what is promised; largest: {largest}; {} compactions",
        24 * 60 * per_minute,
        begun.elapsed(),
        stats.compactions
    );
    assert!(part <= 1.0, "{disk} bytes of disk with {live} live");
    // What lives is counted right, and is what two hours leave.
    let all = bench.store.engine().raw_records((Vec::new(), vec![u8::MAX]));
    let counted: u64 = all.map(|record| record.map(|(key, value)| (key.len() + value.len()) as u64)).sum::<Result<_, _>>().expect("read");
    assert!(stats.bytes_live.abs_diff(counted) <= counted / 10 + 4 * 1024 * 1024, "{} counted, {counted} there", stats.bytes_live);
    let kept = bench.store.engine().keys(key::under(key::EVENTS)).count() as u64;
    assert!(kept <= per_minute * 125 * 11 / 10, "{kept} events are kept");
}
