//! Scripts: plugins that need no toolchain.

use super::*;
use crate::{
    model::plugin::{Export, PluginFailure},
    plugin::snapshot::SnapshotError,
};

async fn script(host: &TestHost, name: &str, source: &str) -> Result<Uploaded, UploadError> {
    host.plugins.upload(name, source.to_owned().into(), PluginKind::Script, true, Actor::host()).await
}

#[tokio::test]
async fn a_script_is_a_plugin() {
    let host = TestHost::start().await;
    let source = "export function transform(delivery, events) {\n  console.log('building', delivery.id);\n  return { body: { n: events[0].data.n + 1 } };\n}\n";
    let uploaded = script(&host, "next", source).await.expect("a good script");
    assert_eq!((uploaded.version.exports.as_slice(), uploaded.active), (&[Export::Transform][..], true));
    let next = host.plugins.get("next", None).expect("active");
    let called = transform(&host, &next, json!({ "n": 41 })).await.expect("built");
    assert_eq!(body(&called), json!({ "n": 42 }));
    assert!(written(&called.log).contains("building dlv_1"));
    assert!(!next.loaded.exports_receive());
    let refused = next.loaded.receive(context(&next, &host), invocation(&json!(1))).await.expect_err("not exported");
    assert_eq!(refused.failure, PluginFailure::Missing("next".into()));
    let host = host.again().await;
    let next = host.plugins.get("next", None).expect("active");
    assert_eq!(body(&transform(&host, &next, json!({ "n": 1 })).await.expect("built")), json!({ "n": 2 }));
}

#[tokio::test]
async fn a_bad_script_is_refused_with_line_and_column() {
    let host = TestHost::start().await;
    let error = script(&host, "x", "export function transform() {\n  return ;;) }").await.expect_err("refused");
    assert!(matches!(error, UploadError::Script { line: Some(2), column: Some(_), .. }), "{error}");
    let error = script(&host, "x", "export function other() {}").await.expect_err("refused");
    assert!(error.to_string().contains("none of `transform`"), "{error}");
    let error = script(&host, "x", "export function transform() {}\nnull.x;\n").await.expect_err("refused");
    assert!(matches!(error, UploadError::Script { line: Some(2), .. }), "{error}");
    let error = script(&host, "x", "export function transform() {}\nfor (;;) {}\n").await.expect_err("refused");
    assert!(matches!(error, UploadError::StartLimit(Limit::WallMs, 300)), "{error}");
    let error = host.upload("x", "export function transform() {}").await.expect_err("sent as WebAssembly");
    assert!(error.to_string().contains("text/javascript"), "{error}");
    assert!(!host.plugins.exists("x"));
}

#[tokio::test]
async fn a_script_is_bounded_like_any_plugin() {
    let host = TestHost::start().await;
    let failure = async |name: &str, body: &str| {
        script(&host, name, &format!("export function transform() {{ {body} }}")).await.expect("it starts");
        let plugin = host.plugins.get(name, None).expect("active");
        let failed = transform(&host, &plugin, json!(1)).await.expect_err("it breaks a limit");
        println!("{name}: {failed}");
        failed.failure
    };
    assert_eq!(failure("endless", "for (;;) {}").await, PluginFailure::Limit(Limit::WallMs, 300));
    assert!(matches!(failure("deep", "const f = () => f() + 1; f();").await, PluginFailure::Rejected(_) | PluginFailure::Trapped(_)));
    assert_eq!(failure("huge", "return { body: 'x'.repeat(2000000) };").await, PluginFailure::Limit(Limit::OutputBytes, 1 << 20));
    assert_eq!(
        failure("greedy", "const a = []; for (;;) a.push('x'.repeat(1000) + a.length);").await,
        PluginFailure::Limit(Limit::MemoryBytes, 16 << 20)
    );
}

#[tokio::test]
async fn typescript_is_a_script_and_its_errors_are_at_the_authors_place() {
    let host = TestHost::start().await;
    let source = "type N = { n: number };\nexport function transform(delivery: Delivery, events: { data: N }[]): object {\n  \
                  const { n } = events[0].data as N; if (n < 0) null!.x;\n  return { body: { n: n + 1 } };\n}\n";
    host.plugins.upload("typed", source.into(), PluginKind::TypeScript, true, Actor::host()).await.expect("a good script");
    let typed = host.plugins.get("typed", None).expect("active");
    assert_eq!(body(&transform(&host, &typed, json!({ "n": 41 })).await.expect("built")), json!({ "n": 42 }));
    let failed = transform(&host, &typed, json!({ "n": -1 })).await.expect_err("a null");
    assert!(failed.failure.to_string().contains("line 3, column"), "{failed}");
    let host = host.again().await;
    let typed = host.plugins.get("typed", None).expect("active");
    assert_eq!(body(&transform(&host, &typed, json!({ "n": 1 })).await.expect("built")), json!({ "n": 2 }));
    let refused = host.plugins.upload("typed", "enum A { B }".into(), PluginKind::TypeScript, true, Actor::host()).await.expect_err("code");
    assert!(matches!(refused, UploadError::Script { line: Some(1), .. }), "{refused}");
}

#[tokio::test]
async fn a_script_evaluated_ahead_does_what_it_did() {
    let host = TestHost::start().await;
    let source = "const table = new Map([['a', 1]]);\nlet calls = 0;\nexport function transform(delivery, events) {\n  calls++;\n  \
                  if (events[0].data === 'fail') null.x;\n  \
                  return { body: { calls, of: table.get('a'), random: Math.random(), configured: hookwright.config.mark } };\n}\n";
    script(&host, "ahead", source).await.expect("a good script");
    let ahead = host.plugins.get("ahead", None).expect("active");
    let before = body(&transform(&host, &ahead, json!(1)).await.expect("built"));
    ahead.loaded.snapshot().await.expect("a snapshot");
    let after = body(&transform(&host, &ahead, json!(1)).await.expect("built"));
    let again = body(&transform(&host, &ahead, json!(1)).await.expect("built"));
    for built in [&before, &after, &again] {
        assert_eq!((&built["calls"], &built["of"]), (&json!(1), &json!(1)), "no call sees what another one changed");
    }
    assert_ne!(after["random"], again["random"]);
    host.plugins.set_config("ahead", json!({ "mark": "new" }), Actor::host()).await.expect("set");
    let ahead = host.plugins.get("ahead", None).expect("active");
    assert_eq!(body(&transform(&host, &ahead, json!(1)).await.expect("built"))["configured"], json!("new"));
    let failed = transform(&host, &ahead, json!("fail")).await.expect_err("a null");
    assert!(failed.failure.to_string().contains("line 5, column"), "{failed}");

    // Kept: after a restart it is there without the script being evaluated, and without a compiler.
    let host = host.again().await;
    fs::write(host.data.path().join("compiler"), "#!/bin/sh\nexit 9\n").expect("written");
    let ahead = host.plugins.get("ahead", None).expect("active");
    assert_eq!(body(&transform(&host, &ahead, json!(1)).await.expect("built"))["calls"], json!(1));
    assert!(ahead.loaded.has_snapshot());
}

#[tokio::test]
async fn a_script_whose_top_level_asks_the_host_is_evaluated_at_each_call() {
    let host = TestHost::start().await;
    for (name, top) in [
        ("configured", "const top = hookwright.config.mark;"),
        ("random", "const top = Math.random();"),
        ("clock", "const top = Date.now();"),
        ("logs", "const top = 1; console.log('hello');"),
    ] {
        let source = format!("{top}\nexport const transform = () => ({{ body: {{ top }} }});");
        script(&host, name, &source).await.expect("a good script");
        host.plugins.set_config(name, json!({ "mark": name }), Actor::host()).await.expect("set");
        let plugin = host.plugins.get(name, None).expect("active");
        let refused = plugin.loaded.snapshot().await.expect_err("it asks the host");
        println!("{name}: {refused}");
        assert!(matches!(refused, SnapshotError::Evaluation(PluginFailure::Trapped(_))), "{name}: {refused}");
        let called = transform(&host, &plugin, json!(1)).await.expect("built");
        if name == "configured" {
            assert_eq!(body(&called)["top"], json!("configured"));
        }
        assert!(!plugin.loaded.has_snapshot());
    }
}

#[tokio::test]
async fn a_script_is_evaluated_ahead_once_its_calls_took_long_enough() {
    let host = TestHost::start().await;
    let source =
        "export function transform(d, events) {\n  let n = 0; for (let i = 0; i < 100000; i++) n += i;\n  return { body: { n } };\n}";
    script(&host, "busy", source).await.expect("a good script");
    let busy = host.plugins.get("busy", None).expect("active");
    // As many calls as it takes: some milliseconds each here, and the snapshot is made beside them.
    for _ in 0..20_000 {
        transform(&host, &busy, json!(1)).await.expect("built");
        if busy.loaded.has_snapshot() {
            return;
        }
    }
    panic!("no snapshot was made");
}
