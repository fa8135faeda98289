//! Scripts: plugins that need no toolchain.

use super::*;
use crate::model::plugin::{Export, PluginFailure};

async fn script(host: &TestHost, name: &str, source: &str) -> Result<Uploaded, UploadError> {
    host.plugins.upload(name, source.to_owned().into(), PluginKind::Script, true).await
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
    assert!(matches!(error, UploadError::StartDeadline(300)), "{error}");
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
    assert_eq!(failure("endless", "for (;;) {}").await, PluginFailure::Deadline(300));
    assert!(matches!(failure("deep", "const f = () => f() + 1; f();").await, PluginFailure::Rejected(_) | PluginFailure::Trapped(_)));
    assert_eq!(failure("huge", "return { body: 'x'.repeat(2000000) };").await, PluginFailure::OutputTooLarge(1 << 20));
    assert_eq!(failure("greedy", "const a = []; for (;;) a.push('x'.repeat(1000) + a.length);").await, PluginFailure::Memory(16 << 20));
}
