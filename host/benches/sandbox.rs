//! What an instance of its own costs each call, beside the same call in an instance that is used again:
//! `cargo bench --package=hookwright --package=hookwright-tests --bench sandbox`. `hookwright bench` measures the same under load.

use std::{path::PathBuf, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use hookwright::cli::bench::{
    sandbox::{MEASURED, Subject},
    start,
};
use tikv_jemallocator::Jemalloc;
use tokio::runtime::Runtime;

/// As in the binary: what a call allocates is part of what it costs.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn sandbox(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let data = tempfile::tempdir().expect("a directory");
    let compiler = PathBuf::from(env!("CARGO_BIN_EXE_hookwright"));
    let host = runtime.block_on(start(data.path(), Some(compiler))).expect("a host");
    let mut group = criterion.benchmark_group("sandbox");
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    for (name, plugin, is_fresh) in MEASURED {
        let subject = runtime.block_on(Subject::prepare(&host, plugin)).expect("a plugin");
        group.bench_function(name.trim_start_matches("sandbox: "), |bencher| {
            bencher.to_async(&runtime).iter_custom(|calls| {
                let subject = &subject;
                async move {
                    if !is_fresh {
                        let calls = usize::try_from(calls).expect("a number of calls");
                        return subject.reused(calls).await.expect("calls").into_iter().sum();
                    }
                    let mut times = Duration::ZERO;
                    for _ in 0..calls {
                        times += subject.fresh().await.expect("a call");
                    }
                    times
                }
            });
        });
    }
    group.finish();
    runtime.block_on(host.stop());
}

criterion_group!(benches, sandbox);
criterion_main!(benches);
