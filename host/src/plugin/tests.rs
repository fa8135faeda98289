//! Behaviour of the plugin host, with the real guests of `tests/guests` (built by `tests/guests/build`).

mod calls;
mod measure;
mod registry;
mod scripts;
mod uploads;

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::{
    ActivePlugin, CallContext, CallFailure, Called, DeliveryInput, InvocationInput, PluginOptions, Plugins, UploadError, Uploaded,
    upload::compile,
};
use crate::{
    clock::SystemClock,
    config::Limits,
    metrics::Metrics,
    model::{
        event::Event,
        id::CallId,
        parameter::{Parameters, SessionBounds},
        plugin::{
            Grants, GuestLog, PluginKind,
            history::Actor,
            limits::{Limit, PluginLimits},
        },
        request::PluginRequest,
    },
    store::{StorageKey, Store, StoreOptions},
};

/// A plugin host on a directory of its own, with limits that pass quickly.
struct TestHost {
    plugins: Plugins,
    store: Store,
    data: TempDir,
    stop: CancellationToken,
}

/// Small limits, and no short times: no test ends by a clock because the machine is busy.
fn quick_plugin() -> PluginLimits {
    let (cpu_ms, wall_ms) = (60_000, 60_000);
    PluginLimits { cpu_ms, wall_ms, memory_bytes: 16 << 20, output_bytes: 1 << 20, log_bytes: 4096, ..PluginLimits::DEFAULT }
}

/// [`quick_plugin`], for calls that have no end of their own: the clock on the wall ends them soon.
fn hasty_plugin() -> PluginLimits {
    PluginLimits { wall_ms: 300, ..quick_plugin() }
}

/// [`quick`] with these for plugins.
fn with(plugin_defaults: PluginLimits) -> Limits {
    Limits { plugin_defaults, ..quick() }
}

fn quick() -> Limits {
    Limits { plugin_defaults: quick_plugin(), plugin_instances_max: 8, plugin_queue_max: 64, ..Limits::default() }
}

impl TestHost {
    async fn start() -> Self {
        Self::with(quick()).await
    }

    async fn with(limits: Limits) -> Self {
        let data = tempfile::tempdir().expect("a directory");
        let store = open_store(&data);
        let stop = CancellationToken::new();
        let plugins = open(&data, &store, limits, &stop).await;
        Self { plugins, store, data, stop }
    }

    /// The same data directory, as after a restart.
    async fn again(self) -> Self {
        let Self { plugins, store, data, stop } = self;
        drop(plugins);
        let plugins = open(&data, &store, quick(), &stop).await;
        Self { plugins, store, data, stop }
    }

    async fn upload(&self, name: &str, bytes: impl Into<Bytes>) -> Result<Uploaded, UploadError> {
        self.plugins.upload(name, bytes.into(), PluginKind::Wasm, true, Actor::host()).await
    }

    /// Uploads the guest under its own name, with everything granted.
    async fn guest(&self, guest: &str) -> Arc<ActivePlugin> {
        let name = guest.replace('_', "-");
        self.plugins.set_grants(&name, everything(), Actor::host()).await.expect("granted");
        self.upload(&name, guest_bytes(guest)).await.expect("a good guest");
        self.plugins.get(&name, None).expect("active")
    }
}

fn open_store(data: &TempDir) -> Store {
    let options = StoreOptions {
        clock: Arc::new(SystemClock),
        key: StorageKey::new([7; 32]),
        session_life: Duration::from_secs(60),
        session_bounds: SessionBounds { bytes_max: 1 << 20, parameters_max: 1000 },
        dedup_life: Duration::from_secs(60),
        order_wait_max: Duration::from_secs(60),
        backlog_max: 1000,
        disk_free_min: 0,
        metrics: Metrics::default(),
    };
    Store::open(data.path(), options).expect("a store")
}

async fn open(data: &TempDir, store: &Store, limits: Limits, stop: &CancellationToken) -> Plugins {
    let options = PluginOptions {
        data: data.path().to_owned(),
        limits: Arc::new(limits),
        compiler: Some(compiler(data)),
        counts_instructions: false,
        metrics: Metrics::default(),
        stop: stop.clone(),
    };
    Plugins::open(options, store.clone(), Arc::new(SystemClock)).await.expect("a plugin host")
}

/// A program that compiles: this very test binary, told to run nothing but [`compile_child`].
fn compiler(data: &TempDir) -> PathBuf {
    let path = data.path().join("compiler");
    let binary = std::env::current_exe().expect("a test binary");
    let test = concat!(module_path!(), "::compile_child").split_once("::").map(|(_, test)| test).expect("a path");
    let script = format!("#!/bin/sh\nHOOKWRIGHT_TEST_COMPILE=\"$*\" exec {} --exact {test} --ignored --nocapture\n", binary.display());
    fs::write(&path, script).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("made executable");
    path
}

#[test]
#[ignore = "the child side of other tests"]
fn compile_child() {
    #[derive(clap::Parser)]
    enum Cli {
        Compile(compile::CompileArgs),
    }
    let Ok(line) = std::env::var("HOOKWRIGHT_TEST_COMPILE") else { return };
    let Cli::Compile(args) = <Cli as clap::Parser>::parse_from(["hookwright"].into_iter().chain(line.split(' ')));
    std::process::exit(compile::run_child(&args).into());
}

fn guest_bytes(guest: &str) -> Vec<u8> {
    let path = format!("{}/../target/guests/out/{guest}.wasm", env!("CARGO_MANIFEST_DIR"));
    fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}; `tests/guests/build` builds it"))
}

/// `echo`, as version `number`.
fn echo(number: u32) -> Vec<u8> {
    let mut bytes = guest_bytes("echo");
    let marker = b"HOOKWRIGHT-VER:";
    let at = bytes.windows(marker.len()).position(|window| window == marker).expect("a marker") + marker.len();
    bytes[at..at + 4].copy_from_slice(format!("{number:04}").as_bytes());
    bytes
}

fn everything() -> Grants {
    Grants {
        secrets: vec!["guest-key".into()],
        webhooks: vec!["next".into()],
        triggers: vec!["guest.received".into()],
        directory: false,
        state: true,
        sessions: vec!["shared-*".into()],
    }
}

/// A context such as the dispatcher makes.
fn context(plugin: &ActivePlugin, host: &TestHost) -> CallContext {
    CallContext {
        plugin: plugin.plugin_use.name.clone(),
        config: plugin.config.clone(),
        grants: Arc::clone(&plugin.grants),
        limits: plugin.limits,
        parameters: Arc::new(json_parameters(json!({ "fruit": "Apple" }))),
        session: Some("s1".into()),
        call_id: Some(CallId("cal_1".into())),
        now_ms: 1000,
        services: host.plugins.host_side(),
        ..CallContext::default()
    }
}

fn json_parameters(value: Value) -> Parameters {
    serde_json::from_value(value).expect("an object")
}

fn delivery() -> DeliveryInput {
    DeliveryInput { id: "dlv_1".into(), webhook_name: "stock".into(), session: Some("s1".into()), ..DeliveryInput::default() }
}

fn event(data: Value) -> Event {
    let time = "2026-01-02T03:04:05Z";
    let document =
        json!({ "id": "evt_1", "seq": 1, "trigger": "user.created", "source": "crm", "time": time, "accepted_at": time, "data": data });
    serde_json::from_value(document).expect("an event")
}

fn invocation(body: &Value) -> InvocationInput {
    InvocationInput {
        call_id: "cal_1".into(),
        caller: "crm".into(),
        session: Some("s1".into()),
        method: "POST".into(),
        body: body.to_string().into_bytes(),
        ..InvocationInput::default()
    }
}

async fn transform(host: &TestHost, plugin: &ActivePlugin, data: Value) -> Result<Called<Option<PluginRequest>>, CallFailure> {
    plugin.loaded.transform(context(plugin, host), delivery(), vec![event(data)]).await
}

fn body(called: &Called<Option<PluginRequest>>) -> Value {
    let body = called.value.as_ref().and_then(|request| request.body.clone()).expect("a body");
    serde_json::from_slice(&body).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&body).into_owned()))
}

fn written(log: &GuestLog) -> String {
    log.lines.iter().map(|line| format!("{}\n", line.text)).collect()
}
