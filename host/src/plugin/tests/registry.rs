//! Swaps, rollbacks, deletions and the inbox.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    model::plugin::ActiveVersion,
    plugin::{builtin::Builtin, inbox},
};

#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_while_versions_are_swapped_under_load() {
    let host = Arc::new(TestHost::start().await);
    host.upload("x", echo(1)).await.expect("good");
    host.upload("x", echo(2)).await.expect("good");
    let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (host, stop, calls) = (Arc::clone(&host), Arc::clone(&stop), Arc::clone(&calls));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let x = host.plugins.get("x", None).expect("always active");
                    let called = transform(&host, &x, json!(1)).await.expect("no call fails");
                    let version = format!("{:04}", x.plugin_use.version.expect("an uploaded one"));
                    assert_eq!(body(&called)["version"], version, "what is named is what ran");
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for turn in 0..200 {
        host.plugins.activate("x", ActiveVersion::Version(1 + turn % 2), Actor::host()).await.expect("activated");
        tokio::task::yield_now().await;
    }
    host.upload("x", echo(3)).await.expect("good");
    assert!(host.upload("x", guest_bytes("start_trap")).await.is_err());
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.expect("no call failed");
    }
    assert!(calls.load(Ordering::Relaxed) > 100);
    assert_eq!(host.plugins.get("x", None).expect("active").plugin_use.version, Some(3));
}

#[tokio::test]
async fn an_older_version_can_be_named_activated_and_outlives_a_restart() {
    let host = TestHost::start().await;
    for number in 1..=2 {
        host.upload("x", echo(number)).await.expect("good");
    }
    host.plugins.activate("x", ActiveVersion::Version(1), Actor::host()).await.expect("rolled back");
    host.plugins.set_config("x", json!({ "label": "kept" }), Actor::host()).await.expect("configured");
    let host = host.again().await;
    let version = async |number| {
        let plugin = host.plugins.get("x", number).expect("there");
        body(&transform(&host, &plugin, json!(1)).await.expect("echoed"))
    };
    assert_eq!((&version(None).await["version"], &version(Some(2)).await["version"]), (&json!("0001"), &json!("0002")));
    assert_eq!(version(None).await["label"], "kept");
    assert!(host.plugins.get("x", Some(3)).is_none());
    let missing = host.plugins.activate("x", ActiveVersion::Version(3), Actor::host()).await;
    assert!(matches!(missing, Err(UploadError::Missing(what)) if what == "version 3 of plugin `x`"));
    let held = host.plugins.get("x", None).expect("active");
    host.plugins.delete("x").await.expect("deleted");
    assert!(!host.plugins.exists("x") && host.plugins.info("x").is_none());
    transform(&host, &held, json!(1)).await.expect("who holds it may finish");
    assert!(matches!(host.plugins.delete("x").await, Err(UploadError::Missing(_))));
}

#[tokio::test]
async fn a_plugin_of_the_binary_can_be_replaced_and_comes_back() {
    let host = TestHost::start().await;
    let builtin = Builtin::named("slack").expect("there");
    assert_eq!(host.plugins.get("slack", None).expect("active").plugin_use.digest, builtin.digest);
    assert_eq!(host.plugins.info("slack").expect("shown").builtin, Some(builtin.digest.clone()));
    host.upload("slack", echo(7)).await.expect("replaced");
    assert_eq!(host.plugins.get("slack", None).expect("active").plugin_use.version, Some(1));
    host.plugins.activate("slack", ActiveVersion::Builtin, Actor::host()).await.expect("back");
    assert_eq!(host.plugins.get("slack", None).expect("active").plugin_use.version, None);
    host.plugins.activate("slack", ActiveVersion::Version(1), Actor::host()).await.expect("forth");
    host.plugins.delete("slack").await.expect("deleted");
    assert_eq!(host.plugins.get("slack", None).expect("active").plugin_use.digest, builtin.digest);
    assert!(host.plugins.list().iter().any(|info| info.record.name == "slack" && info.record.versions.is_empty()));
}

#[tokio::test]
async fn files_in_the_inbox_load_once_and_the_api_wins() {
    let host = TestHost::start().await;
    let directory = host.data.path().join("plugins");
    fs::create_dir(&directory).expect("made");
    fs::write(directory.join("x.wasm"), echo(1)).expect("written");
    fs::write(directory.join("bad.wasm"), b"nonsense").expect("written");
    fs::write(directory.join("counter.wasm"), guest_bytes("counter")).expect("written");
    let stop = CancellationToken::new();
    let watching = tokio::spawn(inbox::watch(host.plugins.clone(), directory.clone(), stop.clone()));
    until(|| host.plugins.get("x", None).is_some() && host.plugins.exists("counter")).await;
    assert!(host.plugins.get("counter", None).is_none(), "it lacks a grant, so it is staged");
    assert!(!host.plugins.exists("bad"));

    host.upload("x", echo(2)).await.expect("good");
    // A file that is put there now and loaded was seen by scans that began later.
    let mut marked = 0;
    let mut scanned = async || {
        marked += 1;
        let name = format!("mark-{marked}");
        fs::write(directory.join(format!("{name}.wasm")), echo(100 + marked)).expect("written");
        until(|| host.plugins.get(&name, None).is_some()).await;
    };
    fs::remove_file(directory.join("x.wasm")).expect("removed");
    scanned().await;
    // The same content under the same name again, as after a restart: the later upload stays.
    fs::write(directory.join("x.wasm"), echo(1)).expect("written");
    scanned().await;
    // The scan that loaded the mark may have looked at it first; the next scan begins after that scan has ended.
    scanned().await;
    assert_eq!(host.plugins.get("x", None).expect("active").plugin_use.version, Some(2));
    fs::write(directory.join("x.wasm"), echo(3)).expect("written");
    until(|| host.plugins.get("x", None).is_some_and(|x| x.plugin_use.version == Some(3))).await;
    stop.cancel();
    watching.await.expect("ended");
}

async fn until(mut reached: impl FnMut() -> bool) {
    for _ in 0..2400 {
        if reached() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it did not come to that in two minutes");
}
