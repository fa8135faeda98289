//! Scripts: plugins that need no toolchain.

use super::*;
use crate::{
    model::plugin::{Export, PluginFailure},
    plugin::upload::snapshot::SnapshotError,
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
    let hasty = TestHost::with(with(hasty_plugin())).await;
    let error = script(&hasty, "x", "export function transform() {}\nfor (;;) {}\n").await.expect_err("refused");
    assert!(matches!(error, UploadError::StartLimit(Limit::WallMs, 300)), "{error}");
    let error = host.upload("x", "export function transform() {}").await.expect_err("sent as WebAssembly");
    assert!(error.to_string().contains("text/javascript"), "{error}");
    assert!(!host.plugins.exists("x"));
}

#[tokio::test]
async fn a_script_is_bounded_like_any_plugin() {
    let (host, hasty) = (TestHost::start().await, TestHost::with(with(hasty_plugin())).await);
    let failure = async |host: &TestHost, name: &str, body: &str| {
        script(host, name, &format!("export function transform() {{ {body} }}")).await.expect("it starts");
        let plugin = host.plugins.get(name, None).expect("active");
        let failed = transform(host, &plugin, json!(1)).await.expect_err("it breaks a limit");
        println!("{name}: {failed}");
        failed.failure
    };
    assert_eq!(failure(&hasty, "endless", "for (;;) {}").await, PluginFailure::Limit(Limit::WallMs, 300));
    assert_eq!(failure(&host, "huge", "return { body: 'x'.repeat(2000000) };").await, PluginFailure::Limit(Limit::OutputBytes, 1 << 20));
    assert_eq!(
        failure(&host, "greedy", "const a = []; for (;;) a.push('x'.repeat(1000) + a.length);").await,
        PluginFailure::Limit(Limit::MemoryBytes, 16 << 20)
    );
}

#[tokio::test]
async fn what_a_script_throws_is_its_own_mistake_unless_it_says_otherwise() {
    let host = TestHost::start().await;
    let failure = async |name: &str, body: &str| {
        script(&host, name, &format!("export function receive(call) {{ {body} }}")).await.expect("it starts");
        let plugin = host.plugins.get(name, None).expect("active");
        let input = InvocationInput { body: b"[1,".to_vec(), ..invocation(&json!(1)) };
        plugin.loaded.receive(context(&plugin, &host), input).await.expect_err("it fails").failure
    };
    for (name, body, says) in [
        ("type", "null.x;", "TypeError"),
        ("reference", "return nowhere;", "ReferenceError"),
        ("range", "new Array(-1);", "RangeError"),
        ("parses", "JSON.parse(call.body);", "SyntaxError"),
        ("text", "throw 'a text';", "a text"),
        ("number", "throw 7;", "7"),
        ("object", "throw { secret: 1 };", "secret"),
        ("odd", "throw { toString() { throw 1 }, toJSON() { throw 2 } };", "cannot be shown"),
        ("promise", "return Promise.reject(new Error('later'));", "Promise"),
        ("misspelt", "return { bodi: 1 };", "bodi"),
        ("pretends", "throw Object.assign(new Error('x'), { name: 'Rejected' });", "Rejected: x"),
    ] {
        let failed = failure(name, body).await;
        assert!(matches!(&failed, PluginFailure::Threw(text) if text.contains(says)), "{name}: {failed}");
    }
    assert_eq!(failure("means-it", "throw new Rejected('no such item');").await, PluginFailure::Rejected("no such item".into()));
    assert_eq!(failure("mended", "throw new (class Odd extends Rejected {})('odd');").await, PluginFailure::Rejected("odd".into()));
    assert_eq!(failure("waits", "throw new RetryLater('closed');").await, PluginFailure::RetryLater("closed".into()));
    // What the caller sent is the caller's.
    assert_eq!(failure("reads", "return call.json();").await, PluginFailure::Rejected("the body is not JSON".into()));
    let caught = "try { call.json() } catch (error) { throw error instanceof Rejected ? new Rejected('caught') : error }";
    assert_eq!(failure("catches", caught).await, PluginFailure::Rejected("caught".into()));
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

/// Ways to need more stack than there is: by calls, by what the engine does itself on values somebody sent, by what it compiles.
const DEEP: &str = r#"
const nested = (open, close, n) => open.repeat(n) + close.repeat(n);
const list = (n) => { let made = []; for (let i = 0; i < n; i++) made = [made]; return made; };
const chain = (n, link) => { let made = {}; for (let i = 0; i < n; i++) made = link(made); return made; };
const N = 100000;
const shapes = {
  parse: () => JSON.parse(nested("[", "]", N)),
  parse_unclosed: () => JSON.parse("[".repeat(N)),
  parse_objects: () => JSON.parse('{"a":'.repeat(N) + "1" + "}".repeat(N)),
  parse_reviver: () => JSON.parse(nested("[", "]", N), (k, v) => v),
  stringify: () => JSON.stringify(list(N)),
  stringify_indented: () => JSON.stringify(chain(2000, (a) => ({ a })), null, 2).length,
  to_json: () => { const o = { toJSON() { return JSON.stringify(o); } }; return JSON.stringify(o); },
  calls: () => { const f = () => f() + 1; return f(); },
  mutual: () => { const f = (n) => g(n + 1), g = (n) => f(n + 1) + 1; return f(0); },
  many_arguments: () => { function f(...all) { return f(...all, 1) + 1; } return f(); },
  many_locals: () => { const f = new Function("f", "let " + Array.from({ length: 500 }, (_, i) => "v" + i + "=" + i).join() + "; return f(f) + v1"); return f(f); },
  constructors: () => { class A { constructor() { this.a = new A(); } } return new A(); },
  derived: () => { class A { constructor() { new B(); } } class B extends A {} return new B(); },
  getter: () => ({ get a() { return this.a; } }).a,
  setter: () => { const o = { set a(v) { this.a = v; } }; o.a = 1; },
  proxy: () => new Proxy({}, { get(target, key, self) { return self[key]; } }).x,
  proxies: () => chain(N, (p) => new Proxy(p, {})).x,
  proxies_has: () => "x" in chain(N, (p) => new Proxy(p, {})),
  proxies_keys: () => Object.keys(chain(N, (p) => new Proxy(p, {}))),
  proxies_prototype: () => Object.getPrototypeOf(chain(N, (p) => new Proxy(p, {}))),
  proxies_array: () => Array.isArray(chain(N, (p) => new Proxy(p, {}))),
  prototypes: () => chain(N, (p) => Object.create(p)).x,
  prototype_proxies: () => chain(N, (p) => Object.create(new Proxy(p, {}))).x,
  bound: () => { let f = () => 1; for (let i = 0; i < N; i++) f = f.bind(null); return f(); },
  bound_arguments: () => { let f = () => 1; for (let i = 0; i < 40; i++) f = f.bind(null, ...Array(1000).fill(i)); return f.apply(null, Array(60000).fill(0)); },
  bound_instance: () => { let f = function () {}; for (let i = 0; i < N; i++) f = f.bind(null); return ({}) instanceof f; },
  bound_construct: () => { let f = function () {}; for (let i = 0; i < N; i++) f = f.bind(null); return new f(); },
  to_string: () => { const o = { toString() { return "" + this; } }; return String(o); },
  value_of: () => { const o = { valueOf() { return +this; } }; return +o; },
  to_primitive: () => { const o = { [Symbol.toPrimitive]() { return `${this}`; } }; return `${o}`; },
  join: () => String(list(N)),
  flat: () => list(N).flat(Infinity).length,
  sort: () => [2, 1].sort(function compare() { return [2, 1].sort(compare).length; }),
  map: () => [1].map(function again() { return [1].map(again); }),
  reduce: () => [1, 2].reduce(function again() { return [1, 2].reduce(again); }),
  replace: () => "a".replace(/a/, function again() { return "a".replace(/a/, again); }),
  apply: () => { function f() { return f.apply(this, arguments) + 1; } return f(1); },
  reflect: () => { function f() { return Reflect.apply(f, null, []) + 1; } return f(); },
  generators: () => { function* g() { yield* g(); } return [...g()]; },
  iterators: () => { const o = { [Symbol.iterator]() { return [...this]; } }; return [...o]; },
  spread: () => { const o = { get a() { return { ...this }; } }; return { ...o }; },
  async: () => { async function f() { return f(); } f(); },
  template: () => { const f = () => `${f()}`; return f(); },
  evals: () => { const f = () => eval("f()"); return f(); },
  eval_parentheses: () => (0, eval)(nested("(", ")", 20000).replace("()", "(1)")),
  eval_lists: () => (0, eval)(nested("[", "]", 20000)),
  eval_blocks: () => (0, eval)(nested("{", "}", 20000)),
  eval_arrows: () => (0, eval)("a=>".repeat(20000) + "a"),
  eval_not: () => (0, eval)("!".repeat(50000) + "1"),
  eval_assignments: () => (0, eval)("var x;" + "x=".repeat(50000) + "1"),
  eval_ternary: () => (0, eval)("1?".repeat(20000) + "1" + ":1".repeat(20000)),
  eval_power: () => (0, eval)("2**".repeat(50000) + "1"),
  eval_plus: () => (0, eval)("1+".repeat(50000) + "1"),
  eval_members: () => (0, eval)("Object" + "?.a".repeat(50000)),
  eval_if: () => (0, eval)("if(1)".repeat(50000) + ";"),
  eval_else: () => (0, eval)("if(0);else ".repeat(20000) + ";"),
  eval_labels: () => (0, eval)(Array.from({ length: 20000 }, (_, i) => "l" + i + ":").join("") + ";"),
  eval_templates: () => (0, eval)("`${".repeat(20000) + "1" + "}`".repeat(20000)),
  eval_functions: () => (0, eval)("function f(){".repeat(5000) + "}".repeat(5000)),
  eval_classes: () => (0, eval)("(class extends ".repeat(5000) + "Object" + "{})".repeat(5000)),
  eval_patterns: () => (0, eval)("var " + nested("[", "]", 20000) + "=[]"),
  eval_new: () => (0, eval)("new ".repeat(50000) + "Object"),
  eval_yield: () => (0, eval)("(function*(){" + "yield ".repeat(50000) + "1})"),
  eval_regexp: () => (0, eval)("/" + nested("(", ")", 20000) + "/"),
  regexp_groups: () => new RegExp(nested("(", ")", 20000)),
  regexp_uncaptured: () => new RegExp("(?:".repeat(20000) + ")".repeat(20000)),
  regexp_lookahead: () => new RegExp("(?=".repeat(20000) + ")".repeat(20000)),
  regexp_classes: () => new RegExp("[".repeat(20000) + "]".repeat(20000), "v"),
  regexp_backtracks: () => /^(?:a|b)*$/.test("ab".repeat(50000) + "c"),
  regexp_lazy: () => /^(.*?,){3}x/.test(",".repeat(100)),
  regexp_looks: () => new RegExp("(?=".repeat(200) + "a" + ")".repeat(200)).test("a"),
  ropes: () => { let s = ""; for (let i = 0; i < N; i++) s = s + "xy" + i; return s.length + s.charCodeAt(7); },
  ropes_in_front: () => { let s = ""; for (let i = 0; i < N; i++) s = i + "xy" + s; return s.length + s.charCodeAt(7); },
  dropped: () => { let made = list(N); made = null; return chain(N, (a) => ({ a })) ? 1 : 0; },
  cycles: () => { let made = list(N); let inner = made; while (inner.length) inner = inner[0]; inner.push(made); made = inner = null; return list(10).length; },
  errors: () => { let e = new Error("x"); for (let i = 0; i < N; i++) e = new Error("x", { cause: e }); return String(e); },
  finalities: () => { function f() { try { f(); } finally { f.last = 1; } } f(); },
  weak: () => { const map = new WeakMap(); let key = {}; for (let i = 0; i < N; i++) { const next = {}; map.set(key, next); key = next; } return 1; },
  encoded: () => new TextEncoder().encode({ toString() { return "" + this; } }),
  logged: () => console.log(list(N)),
  emitted: () => hookwright.state.set("a", list(N)),
};
"#;

/// Those a limit of the stack does not concern: they end well.
const SHALLOW: [&str; 15] = [
    "stringify_indented",
    "proxies_array",
    "prototypes",
    "async",
    "eval_plus",
    "eval_members",
    "regexp_backtracks",
    "regexp_lazy",
    "regexp_looks",
    "ropes",
    "ropes_in_front",
    "dropped",
    "cycles",
    "errors",
    "weak",
];

#[tokio::test]
async fn whatever_needs_more_stack_than_there_is_is_an_error_the_script_can_catch() {
    let plugin_defaults = PluginLimits { wall_ms: 20_000, cpu_ms: 20_000, memory_bytes: 128 << 20, ..quick_plugin() };
    let host = TestHost::with(Limits { plugin_maxima: plugin_defaults, ..with(plugin_defaults) }).await;
    let source = format!(
        "{DEEP}export function transform(delivery, [event]) {{\n  if (event.data === 'names') return {{ body: Object.keys(shapes) }};\n  \
         let caught = 'none';\n  try {{ shapes[event.data](); }} catch (error) {{ caught = error.name; }}\n  \
         return {{ body: {{ caught, after: [1, 2].map((n) => n + 1) }} }};\n}}"
    );
    script(&host, "deep", &source).await.expect("a good script");
    let deep = host.plugins.get("deep", None).expect("active");
    let names = body(&transform(&host, &deep, json!("names")).await.expect("their names"));
    let mut wrong = Vec::new();
    for name in names.as_array().expect("a list").iter().filter_map(Value::as_str) {
        let ended = match transform(&host, &deep, json!(name)).await {
            Ok(called) => body(&called),
            Err(failed) => json!(failed.to_string()),
        };
        // The parser's own name for it is a SyntaxError.
        let may_be: &[&str] = match name {
            _ if SHALLOW.contains(&name) => &["none"],
            _ if name.starts_with("bound") => &["RangeError", "InternalError"],
            _ if name.starts_with("eval") || name.starts_with("regexp") => &["RangeError", "SyntaxError", "InternalError"],
            _ => &["RangeError"],
        };
        println!("{name}: {ended}");
        if !may_be.contains(&ended["caught"].as_str().unwrap_or_default()) || ended["after"] != json!([2, 3]) {
            wrong.push(format!("{name}: {ended}"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[tokio::test]
async fn a_body_that_is_nested_too_deeply_is_rejected() {
    let host = TestHost::start().await;
    script(&host, "reads", "export function receive(call) { return typeof call.json(); }").await.expect("a good script");
    let reads = host.plugins.get("reads", None).expect("active");
    let nested = |depth: usize| InvocationInput { body: [vec![b'['; depth], vec![b']'; depth]].concat(), ..invocation(&json!(1)) };
    let called = reads.loaded.receive(context(&reads, &host), nested(500)).await.expect("read");
    assert_eq!(called.value.body, b"object");
    let failed = reads.loaded.receive(context(&reads, &host), nested(100_000)).await.expect_err("too deep");
    assert!(matches!(failed.failure, PluginFailure::Rejected(_)), "{failed}");
}
