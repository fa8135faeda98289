use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::model::plugin::Digest;

#[tokio::test]
async fn a_session_lives_as_long_as_it_is_used() {
    let bench = Bench::new();
    let session = bench.store.update_parameters("s", None, vec![change("Size", json!(3))]).await.expect("updated");
    assert_eq!(session.version, 1);
    bench.pass(SESSION_LIFE / 3 * 2);
    assert_eq!(bench.store.parameters("s").await.expect("read").parameters.get("size"), Some(&json!(3)));
    // Reading is noted by a commit behind this one in the queue.
    bench.store.update_parameters("other", None, Vec::new()).await.expect("updated");
    let bench = bench.reopened();
    bench.pass(SESSION_LIFE / 3 * 2);
    assert_eq!(bench.store.parameters("s").await.expect("read").version, 1);
    bench.pass(SESSION_LIFE);
    assert_eq!(bench.store.parameters("s").await.expect("read"), Session::default());
    let anew = bench.store.update_parameters("s", Some(0), vec![change("b", json!(1))]).await.expect("updated");
    assert_eq!((anew.version, anew.parameters.get("size")), (2, None));
}

#[tokio::test]
async fn a_session_changed_meanwhile_is_a_conflict() {
    let bench = Bench::new();
    bench.store.update_parameters("s", Some(0), vec![change("a", json!(1))]).await.expect("updated");
    let conflict = bench.store.update_parameters("s", Some(0), vec![change("a", json!(2))]).await;
    assert!(matches!(conflict, Err(StoreError::Conflict { expected: 0, current: 1, .. })), "{conflict:?}");
    bench.store.update_parameters("s", Some(1), vec![("a".into(), None)]).await.expect("updated");
    assert!(bench.store.parameters("s").await.expect("read").parameters.is_empty());
    assert!(bench.store.delete_session("s").await.expect("deleted"));
    assert!(!bench.store.delete_session("s").await.expect("deleted"));
}

fn write(id: &str, expected: Option<u64>, document: Option<Value>) -> ConfigWrite {
    ConfigWrite { kind: "webhook", id: id.into(), expected, document }
}

#[tokio::test]
async fn configuration_is_compared_and_swapped_and_numbered_in_commit_order() {
    let bench = Bench::new();
    let store = &bench.store;
    assert_eq!(store.put_config(vec![write("a", Some(0), Some(json!(1)))]).await.expect("put"), 1);
    assert_eq!(store.put_config(vec![write("b", None, Some(json!(2)))]).await.expect("put"), 2);
    let conflict = store.put_config(vec![write("c", None, Some(json!(1))), write("a", Some(0), Some(json!(3)))]).await;
    assert!(matches!(conflict, Err(StoreError::Conflict { expected: 0, current: 1, .. })), "{conflict:?}");
    assert_eq!(store.config("webhook", "c").await.expect("read"), None, "all or none");
    assert_eq!(store.put_config(vec![write("a", Some(1), Some(json!(3)))]).await.expect("put"), 3);
    assert_eq!(store.put_config(vec![write("b", Some(2), None)]).await.expect("put"), 4);
    assert_eq!(store.put_config(vec![write("b", None, None)]).await.expect("put"), 4, "nothing to delete, nothing changed");
    let bench = bench.reopened();
    let live = bench.store.configs().await.expect("read");
    assert_eq!(live.iter().map(|doc| (doc.id.as_str(), doc.revision)).collect::<Vec<_>>(), [("a", 3)]);
    let since = bench.store.config_since(1).await.expect("read");
    let since: Vec<_> = since.iter().map(|doc| (doc.id.as_str(), doc.revision, doc.document.is_some())).collect();
    assert_eq!(since, [("a", 3, true), ("b", 4, false)]);
    assert_eq!(bench.store.put_config(vec![write("b", Some(0), Some(json!(5)))]).await.expect("put"), 5);
}

#[tokio::test]
async fn bytes_are_found_by_their_digest_and_verified() {
    let bench = Bench::new();
    let digest = bench.store.put_blob(Bytes::from_static(b"\0asm")).await.expect("put");
    assert_eq!(bench.store.get_blob(&digest).await.expect("read"), Some(Bytes::from_static(b"\0asm")));
    let path = bench.directory.path().join("blobs").join(digest.hex());
    std::fs::write(&path, b"other").expect("damaged");
    assert!(matches!(bench.store.get_blob(&digest).await, Err(StoreError::Corrupt { .. })));
    bench.store.put_blob(Bytes::from_static(b"\0asm")).await.expect("mended");
    assert!(bench.store.get_blob(&digest).await.expect("read").is_some());
    bench.store.remove_blob(&digest).await.expect("removed");
    assert!(!bench.store.has_blob(&digest).await.expect("read"));
    let outside: Digest = serde_json::from_value(json!("sha256:../key")).expect("a digest");
    assert_eq!(bench.store.get_blob(&outside).await.expect("read"), None);
}

#[tokio::test]
async fn secrets_have_versions_and_are_nowhere_in_clear() {
    let bench = Bench::new();
    let canary = b"canary-5f1d0c9e";
    assert_eq!(bench.store.put_secret("api", canary).await.expect("put"), 1);
    assert_eq!(bench.store.put_secret("api", b"canary-second").await.expect("put"), 2);
    let secret = bench.store.secret("api", Some(1)).await.expect("read").expect("there");
    assert_eq!(secret.expose(), canary);
    assert_eq!(bench.store.secret("api", None).await.expect("read").expect("there").expose(), b"canary-second");
    assert_eq!(bench.store.secrets().await.expect("read")[0].versions.len(), 2);
    let bench = bench.reopened();
    for (path, bytes) in files(bench.directory.path()) {
        assert!(!bytes.windows(7).any(|window| window == b"canary-"), "{} has a secret in clear", path.display());
    }
    assert!(bench.store.delete_secret("api").await.expect("deleted"));
    assert!(bench.store.secret("api", None).await.expect("read").is_none());
}

#[test]
fn a_sealed_value_opens_with_its_key_in_its_place_only() {
    let key = StorageKey::new([1; 32]);
    let sealed = key.seal("secret a@1", b"hunter2").expect("sealed");
    assert_ne!(sealed, key.seal("secret a@1", b"hunter2").expect("sealed"), "a new nonce each time");
    assert_eq!(key.unseal("secret a@1", &sealed).expect("opened").expose(), b"hunter2");
    assert!(key.unseal("secret a@2", &sealed).is_err());
    assert!(StorageKey::new([2; 32]).unseal("secret a@1", &sealed).is_err());
    assert!(key.unseal("secret a@1", "x1.AAAA").is_err());
    assert_ne!(key.keyed_hash("code", b"x"), key.keyed_hash("artifact", b"x"));
    assert!(!format!("{key:?}").contains('1'));
}
