//! Guests that misbehave: each ends in its own kind of failure, within its limit, and the next call of a good plugin works.
//!
//! Every guest of `tests/guests` is used in a test; `tidy` checks that.

use hookwright_tests::{
    Client, Endpoint, Options, TestHost,
    guests::{echo, guest},
    run, unique,
};
use serde_json::{Value, json};

/// A host with small limits, a good plugin and an endpoint.
struct Bench {
    host: TestHost,
    endpoint: Endpoint,
}

impl Bench {
    async fn start() -> Self {
        let mut options = Options::default();
        // Only the wall clock ends calls here, however busy the machine is.
        options.limits.plugin_defaults.cpu_ms = 60_000;
        options.limits.plugin_defaults.memory_bytes = 16 * 1024 * 1024;
        options.limits.plugin_defaults.output_bytes = 256 * 1024;
        options.limits.plugin_defaults.log_bytes = 8 * 1024;
        options.limits.plugin_bytes_max = 4 * 1024 * 1024;
        let host = TestHost::with(options).await;
        let endpoint = Endpoint::start().await;
        host.client.plugin("good", echo(1)).await;
        host.client.webhook("good", json!({ "transform": "good", "request": { "url": endpoint.url("/good") } })).await;
        let bench = Self { host, endpoint };
        bench.is_well().await;
        bench
    }

    fn client(&self) -> &Client {
        &self.host.client
    }

    /// Checks that the next call of a good plugin works.
    async fn is_well(&self) {
        let invoked = self.client().invoke("good", json!({ "data": 1 })).await;
        assert_eq!(invoked["state"], "delivered", "{invoked}");
        assert_eq!(self.endpoint.next_request().await.path, "/good");
    }

    /// Uploads a guest and invokes a webhook with it.
    async fn invoked(&self, name: &str, config: Value, data: Value) -> Value {
        let plugin = unique("ill");
        self.client().plugin(&plugin, guest(name)).await;
        self.client()
            .webhook(
                &plugin,
                json!({ "transform": { "plugin": plugin, "config": config }, "request": { "url": self.endpoint.url("/ill") } }),
            )
            .await;
        self.client().invoke(&plugin, json!({ "data": data })).await
    }

    /// Checks that a call of this guest fails with this kind, sends nothing, and harms no other plugin.
    async fn fails(&self, name: &str, config: Value, data: Value, kind: &str, says: &str) {
        let invoked = self.invoked(name, config, data).await;
        assert_eq!(invoked["failure"]["kind"], kind, "{name}: {invoked}");
        let detail = invoked["failure"]["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(says), "{name}: {detail}");
        let attempt = self.client().delivery(invoked["delivery"].as_str().expect("an id")).await["attempt_log"][0].clone();
        assert_eq!((&attempt["failure"]["kind"], attempt.get("request")), (&json!(kind), None), "{name}: the attempt says so too");
        assert!(attempt["plugin"]["digest"].is_string(), "{attempt}");
        self.is_well().await;
    }

    /// Checks that an upload of these bytes is refused with a reason, and that the active version stays.
    async fn is_refused(&self, bytes: impl Into<bytes::Bytes>, says: &str) {
        let (status, problem) = self.client().try_upload("good", "application/wasm", bytes).await;
        assert!(matches!(status, 413 | 422), "{problem}");
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(says), "{detail}");
        assert_eq!(self.client().look("/v1/plugins/good").await["active"], 1);
        self.is_well().await;
    }
}

#[test]
fn an_endless_loop_ends_at_its_deadline() {
    run(async {
        let bench = Bench::start().await;
        bench.fails("endless_loop", json!({}), json!(null), "plugin_deadline", "2000 ms").await;
        // The same with a receiver: the caller gets 504, and the receiver's own limit applies.
        let client = bench.client();
        client.plugin("loops", guest("endless_loop")).await;
        let code = client.receiver("loops", json!({ "plugin": "loops", "timeout_ms": 100 })).await;
        assert_eq!(client.call(&code, "", "").await.status, 504);
        let call = client.last_call("loops").await;
        assert_eq!((&call["failure"]["kind"], &call["state"]), (&json!("plugin_deadline"), &json!("failed")), "{call}");
        assert!(call["failure"]["detail"].as_str().is_some_and(|detail| detail.contains("`timeout_ms`")), "{call}");
        bench.is_well().await;
    });
}

#[test]
fn good_plugins_answer_while_others_loop() {
    run(async {
        let bench = Bench::start().await;
        let client = bench.client();
        client.plugin("loops", guest("endless_loop")).await;
        client.webhook("loops", json!({ "transform": "loops", "request": { "url": bench.endpoint.url("/ill") } })).await;
        // More loops than processors: they give way, so that other calls get their turn.
        let loops = futures::future::join_all((0..6).map(|_| client.invoke("loops", json!({}))));
        let others = async {
            for _ in 0..20 {
                bench.is_well().await;
            }
        };
        let (looped, ()) = futures::future::join(loops, others).await;
        assert!(looped.iter().all(|invoked| invoked["failure"]["kind"] == "plugin_deadline"), "{looped:?}");
    });
}

#[test]
fn a_guest_that_waits_ends_at_its_deadline() {
    run(async {
        let bench = Bench::start().await;
        bench.fails("sleeper", json!({}), json!(null), "plugin_deadline", "2000 ms").await;
        let short = bench.invoked("sleeper", json!({ "seconds": 0.01 }), json!(null)).await;
        assert_eq!(short["state"], "delivered", "{short}");
    });
}

#[test]
fn a_memory_hoarder_ends_at_its_limit() {
    run(async {
        let bench = Bench::start().await;
        bench.fails("memory_hoarder", json!({}), json!(null), "plugin_memory", "16777216 bytes").await;
    });
}

#[test]
fn a_trap_is_named_with_its_message_and_place() {
    run(async {
        let bench = Bench::start().await;
        bench.fails("trap", json!({}), json!({}), "plugin_trapped", "the guest panics as it was told").await;
        bench.fails("trap", json!({}), json!({ "how": "unreachable" }), "plugin_trapped", "unreachable").await;
        bench.fails("trap", json!({}), json!({ "how": "divide" }), "plugin_trapped", "zero").await;
    });
}

#[test]
fn endless_recursion_uses_up_the_guests_stack_and_nobody_elses() {
    run(async {
        let bench = Bench::start().await;
        bench.fails("deep_recursion", json!({}), json!(null), "plugin_trapped", "stack").await;
    });
}

#[test]
fn a_huge_output_is_cut_off() {
    run(async {
        let bench = Bench::start().await;
        // A larger output would need more memory than the plugin has, so the memory limit would come first.
        bench.fails("huge_output", json!({ "bytes": 300 * 1024 }), json!(null), "plugin_output_too_large", "262144 bytes").await;
        bench.fails("huge_output", json!({ "bytes": 8 * 1024 * 1024 }), json!(null), "plugin_output_too_large", "262144 bytes").await;
        let within = bench.invoked("huge_output", json!({ "bytes": 200 * 1024 }), json!(null)).await;
        assert_eq!(within["state"], "delivered", "{within}");
    });
}

#[test]
fn a_flood_of_log_lines_is_counted_and_the_work_goes_on() {
    run(async {
        let bench = Bench::start().await;
        let invoked = bench.invoked("log_flood", json!({}), json!(null)).await;
        assert_eq!(invoked["state"], "delivered", "{invoked}");
        assert_eq!(bench.endpoint.next_request().await.text(), "flooded");
        let log = bench.client().delivery(invoked["delivery"].as_str().expect("an id")).await["attempt_log"][0]["log"].clone();
        let lines = log["lines"].as_array().expect("lines").len() as u64;
        let dropped = log["dropped"].as_u64().expect("a count");
        assert_eq!(lines + dropped, 102_000, "every line is kept or counted");
        assert!(log.to_string().len() < 3 * 8 * 1024, "{}", log.to_string().len());
        bench.is_well().await;
    });
}

#[test]
fn what_is_no_plugin_is_refused_with_the_reason() {
    run(async {
        let bench = Bench::start().await;
        bench.is_refused(guest("wrong_world"), "exports none of").await;
        bench.is_refused(guest("command"), "program").await;
        bench.is_refused("not wasm at all", "not WebAssembly").await;
        bench.is_refused(&b"\0asm\x01\0\0\0"[..], "component-type").await;
        bench.is_refused("", "not WebAssembly").await;
        let mut broken = guest("echo").to_vec();
        broken.truncate(broken.len() / 2);
        bench.is_refused(broken, "").await;
        bench.is_refused(vec![0; 4 * 1024 * 1024 + 1], "").await;
        // Machine code made by the host's own compiler is refused as well: an ELF file, as wasmtime writes it.
        bench.is_refused([&b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0"[..], &[0; 64]].concat(), "").await;
    });
}

#[test]
fn what_does_not_start_is_refused() {
    run(async {
        let bench = Bench::start().await;
        bench.is_refused(guest("start_trap"), "trapped in start-up").await;
        bench.is_refused(guest("start_loop"), "start-up ran longer than").await;
    });
}

#[test]
fn a_receiver_that_traps_answers_500_and_says_no_more() {
    run(async {
        let bench = Bench::start().await;
        let client = bench.client();
        client.grant("traps", json!({ "triggers": ["*"], "state": true })).await;
        client.plugin("traps", guest("receiver_traps_after_emit")).await;
        let code = client.receiver("traps", json!({ "plugin": "traps", "full_reply": true })).await;
        let answered = client.call(&code, "", "{}").await;
        assert_eq!((answered.status, answered.json()["message"].as_str()), (500, Some("the call failed")));
        assert!(client.last_call("traps").await["failure"]["detail"].as_str().is_some_and(|detail| detail.contains("after it emitted")));
        bench.is_well().await;
    });
}

#[test]
fn a_plugin_that_asks_for_later_is_tried_again_and_one_that_rejects_is_not() {
    run(async {
        let bench = Bench::start().await;
        let client = bench.client();
        for (name, state) in [("retry_later", "waiting"), ("rejects", "refused"), ("trap", "waiting")] {
            let plugin = unique("tried");
            client.grant(&plugin, json!({ "triggers": ["*"] })).await;
            client.plugin(&plugin, guest(name)).await;
            client.webhook(&plugin, json!({ "selectors": ["tried.word"], "sources": [plugin], "transform": plugin, "request": { "url": bench.endpoint.url("/ill") } })).await;
            let accepted = client.event(json!({ "trigger": "tried.word", "source": plugin })).await;
            assert_eq!(accepted["deliveries"][0]["state"], state, "{name}: {accepted}");
            // A waiting delivery is built by the plugin that is active then, so repairing the plugin is enough.
            if state == "waiting" {
                client.plugin(&plugin, echo(3)).await;
                bench.host.advance(std::time::Duration::from_secs(10));
                assert_eq!(bench.endpoint.next_request().await.json()["version"], "0003");
            }
        }
        bench.is_well().await;
    });
}
