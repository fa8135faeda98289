//! What a call can do, and what it cannot.

use std::time::Duration;

use futures::FutureExt;
use serde_json::json;

use super::*;
use crate::{
    model::{id::EventId, plugin::PluginFailure},
    plugin::{InvokeRequest, Invoked},
};

#[tokio::test]
async fn a_transform_sees_its_delivery_parameters_and_configuration() {
    let host = TestHost::start().await;
    host.plugins.set_config("echo", json!({ "label": "red" }), Actor::host()).await.expect("configured");
    let echo = host.guest("echo").await;
    let called = transform(&host, &echo, json!({ "n": 1 })).await.expect("echoed");
    assert_eq!(
        body(&called),
        json!({ "version": "0000", "label": "red", "delivery": "dlv_1", "webhook": "stock", "session": "s1", "parameters": {"fruit": "Apple"},
            "events": [{ "id": "evt_1", "trigger": "user.created", "source": "crm", "data": {"n": 1} }] })
    );
    assert!(called.memory_bytes > 0 && called.duration > Duration::ZERO);
}

#[tokio::test]
async fn nothing_to_send_rejected_and_retry_later_are_told_apart() {
    let host = TestHost::start().await;
    let nothing = host.guest("sends_nothing").await;
    assert_eq!(transform(&host, &nothing, json!(1)).await.expect("called").value, None);
    let rejects = host.guest("rejects").await;
    let failed = transform(&host, &rejects, json!(1)).await.expect_err("rejected");
    assert_eq!(failed.failure, PluginFailure::Rejected("the guest rejects it".into()));
    let later = host.guest("retry_later").await;
    let failed = transform(&host, &later, json!(1)).await.expect_err("refused");
    assert_eq!(failed.failure, PluginFailure::RetryLater("the guest is not ready".into()));
    let failed = later.loaded.read_answer(context(&later, &host), delivery(), Default::default()).await.expect_err("not exported");
    assert_eq!(failed.failure, PluginFailure::Missing("retry-later".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_loop_ends_at_the_deadline_and_others_run_meanwhile() {
    let host = TestHost::start().await;
    let (endless, echo) = (host.guest("endless_loop").await, host.guest("echo").await);
    // These loop for a minute; the good one is answered before any of them ends.
    let loops = futures::future::join_all((0..4).map(|_| transform(&host, &endless, json!(1))));
    tokio::select! {
        biased;
        looped = loops => panic!("they ended first: {looped:?}"),
        echoed = transform(&host, &echo, json!(1)) => drop(echoed.expect("echoed")),
    }
    let hasty = CallContext { limits: hasty_plugin(), ..context(&endless, &host) };
    let looped = endless.loaded.transform(hasty, delivery(), Vec::new()).await;
    assert_eq!(looped.expect_err("stopped").failure, PluginFailure::Limit(Limit::WallMs, 300));
}

#[tokio::test]
async fn a_sandboxed_sleep_is_cut() {
    let host = TestHost::start().await;
    let sleeper = host.guest("sleeper").await;
    let hasty = CallContext { limits: hasty_plugin(), ..context(&sleeper, &host) };
    let failed = sleeper.loaded.transform(hasty, delivery(), Vec::new()).await.expect_err("cut");
    assert_eq!(failed.failure, PluginFailure::Limit(Limit::WallMs, 300));
    let context = CallContext { time_max: Some(Duration::from_millis(50)), ..context(&sleeper, &host) };
    let failed = sleeper.loaded.transform(context, delivery(), Vec::new()).await.expect_err("cut");
    assert_eq!(failed.failure, PluginFailure::Limit(Limit::WallMs, 50));
}

#[tokio::test]
async fn breaches_have_names() {
    let host = TestHost::start().await;
    let hoarder = host.guest("memory_hoarder").await;
    let failed = transform(&host, &hoarder, json!(1)).await.expect_err("denied");
    assert_eq!(failed.failure, PluginFailure::Limit(Limit::MemoryBytes, 16 << 20));
    assert!(failed.memory_bytes <= 16 << 20);

    let huge = host.guest("huge_output").await;
    for bytes in [2_000_000, (1 << 20) + 1] {
        let context = CallContext { config: json!({ "bytes": bytes }), ..context(&huge, &host) };
        let failed = huge.loaded.transform(context, delivery(), Vec::new()).await.expect_err("too large");
        assert_eq!(failed.failure, PluginFailure::Limit(Limit::OutputBytes, 1 << 20), "{bytes}");
    }
    let context = CallContext { config: json!({ "bytes": 1_000_000 }), ..context(&huge, &host) };
    assert!(huge.loaded.transform(context, delivery(), Vec::new()).await.is_ok());

    let deep = host.guest("deep_recursion").await;
    let failed = transform(&host, &deep, json!(1)).await.expect_err("overflown");
    assert!(matches!(&failed.failure, PluginFailure::Trapped(why) if why.contains("call stack exhausted")), "{failed}");
}

#[tokio::test]
async fn a_trap_says_what_and_where() {
    let host = TestHost::start().await;
    let trap = host.guest("trap").await;
    for (how, what) in [("panic", "the guest panics as it was told"), ("unreachable", "unreachable"), ("divide", "divide by zero")] {
        let failed = transform(&host, &trap, json!({ "how": how })).await.expect_err("trapped");
        assert!(matches!(&failed.failure, PluginFailure::Trapped(why) if why.contains(what)), "{how}: {failed}");
        println!("{failed}");
    }
}

#[tokio::test]
async fn a_flood_of_log_lines_is_counted_not_kept() {
    let host = TestHost::start().await;
    let flood = host.guest("log_flood").await;
    let called = transform(&host, &flood, json!(1)).await.expect("done");
    let kept: usize = called.log.lines.iter().map(|line| line.text.len()).sum();
    assert!(kept <= 4096 + 16, "{kept}");
    assert_eq!(called.log.lines.len() as u64 + called.log.dropped, 102_000);
}

#[tokio::test]
async fn a_guest_finds_nothing_outside_but_the_directory_it_was_granted() {
    let host = TestHost::start().await;
    let reader = host.guest("reads_files").await;
    let found = body(&transform(&host, &reader, json!(1)).await.expect("reported"));
    for (path, got) in found["files"].as_object().expect("an object").iter().chain(found["directories"].as_object().expect("an object")) {
        assert!(got.as_str().is_some_and(|got| got.starts_with("error: ")), "{path}: {got}");
    }
    assert_eq!((&found["environment"], &found["arguments"]), (&json!({}), &json!([])));
    assert!(found["socket"].as_str().is_some_and(|got| got.starts_with("error: ")));
    assert!(found["write"].as_str().is_some_and(|got| got.starts_with("error: ")));

    let directory = host.data.path().join("plugin-data/reads-files");
    assert!(!directory.exists());
    host.plugins.set_grants("reads-files", Grants { directory: true, ..everything() }, Actor::host()).await.expect("granted");
    let reader = host.plugins.get("reads-files", None).expect("active");
    transform(&host, &reader, json!(1)).await.expect("reported");
    fs::write(directory.join("hello.txt"), "x").expect("the directory is there");
    assert_eq!(fs::metadata(&directory).expect("there").permissions().mode() & 0o777, 0o700);
    let found = body(&transform(&host, &reader, json!(1)).await.expect("reported"));
    assert_eq!(found["directories"]["/data"], "hello.txt");
    assert!(found["files"]["/data/../etc/passwd"].as_str().is_some_and(|got| got.starts_with("error: ")));
}

#[tokio::test]
async fn effects_are_held_back_and_dropped_on_a_trap_or_error() {
    let host = TestHost::start().await;
    let good = host.guest("good_receiver").await;
    let called = good.loaded.receive(context(&good, &host), invocation(&json!({ "n": 1 }))).await.expect("received");
    assert_eq!(called.value.status, 200);
    assert!(String::from_utf8_lossy(&called.value.body).contains("received"));
    let emitted = &called.effects.emissions[0];
    assert_eq!((emitted.trigger.as_str(), &emitted.data), ("guest.received", &json!({ "n": 1 })));
    assert_eq!(called.effects.parameters, [("s1".to_owned(), ("received".to_owned(), Some(json!(true))))]);
    let id = EventId::emitted(&CallId("cal_1".into()), 0, 1000);
    assert!(written(&called.log).contains(id.as_str()), "the guest was told the identifier the event gets");

    let traps = host.guest("receiver_traps_after_emit").await;
    let failed = traps.loaded.receive(context(&traps, &host), invocation(&json!(1))).await.expect_err("trapped");
    assert!(matches!(&failed.failure, PluginFailure::Trapped(why) if why.contains("after it emitted")), "{failed}");
    let rejects = host.guest("rejects").await;
    assert!(rejects.loaded.receive(context(&rejects, &host), invocation(&json!(1))).await.is_err());
}

#[tokio::test]
async fn what_is_not_granted_is_refused() {
    let host = TestHost::start().await;
    let good = host.guest("good_receiver").await;
    let grants = Arc::new(Grants { triggers: vec!["other.*".into()], ..everything() });
    let ungranted = CallContext { grants, ..context(&good, &host) };
    let failed = good.loaded.receive(ungranted, invocation(&json!(1))).await.expect_err("not granted");
    assert_eq!(failed.failure, PluginFailure::NotGranted("triggers: guest.received".into()));

    let counter = host.guest("counter").await;
    let called = counter.loaded.receive(context(&counter, &host), invocation(&json!(1))).await.expect("counted");
    assert_eq!(called.effects.state, [("count".to_owned(), Some(b"1".to_vec()))]);
    let ungranted = CallContext { grants: Arc::default(), ..context(&counter, &host) };
    let failed = counter.loaded.receive(ungranted, invocation(&json!(1))).await.expect_err("refused");
    assert_eq!(failed.failure, PluginFailure::NotGranted("state".into()));
}

#[tokio::test]
async fn invocations_need_a_grant_are_counted_and_have_their_own_time() {
    let host = TestHost::with(with(PluginLimits { invocations: 2, wall_ms: 700, ..quick_plugin() })).await;
    let invoker = host.guest("invoker").await;
    // Longer than the plugin itself may take.
    let invoke = |request: InvokeRequest| {
        async move {
            tokio::time::sleep(Duration::from_millis(800)).await;
            Ok(Invoked { delivered: true, http_status: Some(200), output: Some(request.data), ..Invoked::default() })
        }
        .boxed()
    };
    let invoking = CallContext { invoke: Some(Arc::new(invoke)), ..context(&invoker, &host) };
    let ask = json!({ "webhook": "next", "data": {"n": 1}, "times": 3 });
    let failed = invoker.loaded.receive(invoking.clone(), invocation(&ask)).await.expect_err("three");
    assert_eq!(failed.failure, PluginFailure::Limit(Limit::Invocations, 2));
    let ask = json!({ "webhook": "next", "data": {"n": 1}, "times": 2 });
    let called = invoker.loaded.receive(invoking.clone(), invocation(&ask)).await.expect("invoked");
    let reply: Value = serde_json::from_slice(&called.value.body).expect("JSON");
    assert_eq!(reply["invoked"][0]["output"], json!({ "n": 1 }));
    assert_eq!(reply["invoked"][1]["delivered"], true);
    let failed = invoker.loaded.receive(invoking, invocation(&json!({ "webhook": "other" }))).await.expect_err("not granted");
    assert_eq!(failed.failure, PluginFailure::NotGranted("webhooks: other".into()));
}

#[tokio::test]
async fn secrets_never_enter_the_guest() {
    let host = TestHost::start().await;
    host.store.put_secret("guest-key", b"key").await.expect("kept");
    let signer = host.guest("signer").await;
    let called = transform(&host, &signer, json!("x")).await.expect("signed");
    let headers = called.value.expect("a request").headers;
    // HMAC-SHA256 of `"x"` under `key`, by Python's hmac.
    let expected = "7a2c53faaad4ecc87cc29f593f9af73c78064007ceb5f575a5d78cbbeb498231";
    assert!(headers.contains(&("x-guest-hmac".to_owned(), expected.to_owned())), "{headers:?}");
    let ungranted = CallContext { grants: Arc::default(), ..context(&signer, &host) };
    let failed = signer.loaded.transform(ungranted, delivery(), vec![event(json!("x"))]).await.expect_err("not granted");
    assert_eq!(failed.failure, PluginFailure::NotGranted("secrets: guest-key".into()));
    // Granted, and not there: that is the admin's, too.
    host.store.delete_secret("guest-key").await.expect("deleted");
    let failed = signer.loaded.transform(context(&signer, &host), delivery(), vec![event(json!("x"))]).await.expect_err("no secret");
    assert_eq!(failed.failure, PluginFailure::SecretMissing("guest-key".into()));
}

#[tokio::test]
async fn a_dropped_call_gives_its_instance_back() {
    let host = TestHost::with(Limits { plugin_instances_max: 2, plugin_queue_max: 0, ..quick() }).await;
    let (sleeper, echo) = (host.guest("sleeper").await, host.guest("echo").await);
    for _ in 0..50 {
        let mut calls: Vec<_> = (0..2).map(|_| Box::pin(transform(&host, &sleeper, json!(1)))).collect();
        // Until both have their instance, however long that takes.
        let busy = loop {
            for call in &mut calls {
                assert!(tokio::time::timeout(Duration::from_millis(3), call).await.is_err());
            }
            if let Err(busy) = transform(&host, &echo, json!(1)).await {
                break busy;
            }
        };
        assert_eq!(busy.failure, PluginFailure::Busy(0));
    }
    transform(&host, &echo, json!(1)).await.expect("an instance is free");
}
