//! The tools of the tests: the real host in process, endpoints that answer as told and check signatures themselves, a clock that tests
//! move, and the real binary as a child process.
//!
//! Nothing here sleeps for a fixed time. Tests wait for answers, for requests that arrive, or for a condition; only a broken host reaches
//! the deadline.

pub mod client;
pub mod clock;
pub mod collector;
pub mod endpoint;
pub mod guests;
pub mod host;
pub mod interop;
pub mod keys;
pub mod pages;
pub mod power;
pub mod preload;
pub mod process;
pub mod proxy;
pub mod random;
pub mod raw;
pub mod refusing;
pub mod signature;
pub mod smtp;
pub mod tls;
pub mod token_server;
pub mod unruly;
pub mod wait;

pub use client::{Answered, Client, FORM};
pub use clock::TestClock;
pub use collector::{Collector, Spanned};
pub use endpoint::{Endpoint, Gate, Received, Script};
pub use host::{Options, TestHost, shared};
pub use interop::{browser, interop};
pub use keys::AccountKey;
pub use process::{Process, binary, hookwright as hookwright_command};
pub use proxy::Proxy;
pub use random::Random;
pub use raw::{RawEndpoint, Reply};
pub use refusing::RefusingEndpoint;
pub use smtp::MailServer;
pub use tls::{Authority, Identity, TlsFront};
pub use token_server::TokenServer;
pub use unruly::Unruly;

use std::{
    future::Future,
    path::{Path, PathBuf},
    sync::{
        LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

/// One runtime for all tests of the process, so that several tests can share a host.
static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime"));

/// Locks `mutex`, even if a test panicked while it held the lock.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs an asynchronous test.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    RUNTIME.block_on(test)
}

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The directory of cargo's output, derived from the path of this test binary: `target/release/deps/it-...`.
pub fn target() -> PathBuf {
    let this = std::env::current_exe().expect("this binary");
    this.ancestors().nth(2).expect("a test binary lies in target/release/deps").to_owned()
}

/// A name that no other test of this process uses.
pub fn unique(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Every file below `directory`, by its path, with its content.
pub fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for path in std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.clone(), std::fs::read(path).expect("a file")));
        }
    }
    found.sort();
    found
}

/// A directory for one test's data. It is on the disk of the build directory, where a sync is real. `tests/run` empties its parent.
pub fn data_directory() -> tempfile::TempDir {
    let parent = target().join("test-data");
    std::fs::create_dir_all(&parent).expect("a directory for the tests' data");
    tempfile::Builder::new().prefix("host-").tempdir_in(parent).expect("a data directory")
}
