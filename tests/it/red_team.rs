//! Guests that try to do harm (`tests/guests/red-team`, and some of `tests/guests/examples`): each is contained, each fails with its own
//! kind of failure, and the host is unchanged afterwards.

use std::time::{Duration, Instant};

use hookwright_tests::{
    Client, Endpoint, Options, Process, TestHost,
    guests::{echo, guest},
    random::Random,
    run, unique,
};
use serde_json::{Value, json};

/// Memory in bytes by which a host may have grown in the end: buffers and caches that stay, and a script's compiled code.
const MEMORY_ALLOWANCE_BYTES: u64 = 96 * 1024 * 1024;

/// The expected result of a call of a guest: one of these failures, or (`done`) a reply with this text.
const ATTACKS: [(&str, &[&str], &str); 33] = [
    ("red_bulk_copy", &["plugin_cpu", "plugin_deadline"], "cpu_ms"),
    ("red_bulk_fill", &["plugin_cpu", "plugin_deadline"], "cpu_ms"),
    ("endless_loop", &["plugin_cpu", "plugin_deadline"], "cpu_ms"),
    ("sleeper", &["plugin_deadline"], "wall_ms"),
    ("memory_hoarder", &["plugin_memory"], "memory_bytes"),
    ("red_memory_pages", &["plugin_memory"], "memory_bytes"),
    ("deep_recursion", &["plugin_trapped"], "stack"),
    ("trap", &["plugin_trapped"], ""),
    ("red_exits", &["plugin_trapped"], "exited with code 0"),
    ("huge_output", &["plugin_output_too_large"], "output_bytes"),
    ("red_headers_flood", &["plugin_output_too_large"], "output_bytes"),
    ("red_header_splitter", &["plugin_bad_output"], "header"),
    ("log_flood", &["done", "plugin_cpu"], ""),
    ("red_stdout_line", &["done", "plugin_cpu"], ""),
    ("red_log_storm", &["plugin_host_calls"], "host_calls"),
    ("red_config_storm", &["plugin_host_calls", "plugin_cpu"], ""),
    ("red_parameters_storm", &["plugin_host_calls", "plugin_cpu"], ""),
    ("red_state_storm", &["plugin_host_calls", "plugin_cpu", "plugin_deadline"], ""),
    ("red_secret_storm", &["plugin_host_calls", "plugin_cpu", "plugin_deadline"], ""),
    ("red_clock_storm", &["plugin_host_calls", "plugin_cpu"], ""),
    ("red_poll_storm", &["plugin_host_calls", "plugin_cpu", "plugin_deadline"], ""),
    ("red_random_storm", &["plugin_host_calls", "plugin_cpu", "plugin_deadline"], ""),
    ("red_emit_storm", &["plugin_emissions"], "emissions"),
    ("invoker", &["plugin_invocations"], "invocations"),
    ("red_open_files", &["plugin_handles"], "handles"),
    ("red_path_escape", &["done"], "worked: []"),
    ("red_many_files", &["plugin_directory_full"], "directory_files"),
    ("red_sparse_file", &["plugin_directory_full"], "directory_bytes"),
    ("disk_hoarder", &["plugin_directory_full"], "directory_bytes"),
    ("red_state_hoarder", &["plugin_output_too_large"], "output_bytes"),
    ("red_state_keys", &["plugin_state_full"], "state_keys"),
    ("red_session_thief", &["plugin_not_granted"], "sessions: somebody-elses"),
    ("receiver_traps_after_emit", &["plugin_trapped"], ""),
];

struct Lab {
    client: Client,
    endpoint: Endpoint,
    host: Host,
}

/// A host in this process with limits of the test's own, or the real binary, which shares its memory with nothing else.
enum Host {
    Here(Box<TestHost>),
    Apart { process: Box<Process>, _directory: tempfile::TempDir },
}

impl Lab {
    async fn start() -> Self {
        let mut options = Options::default();
        let limits = &mut options.limits.plugin_defaults;
        (limits.cpu_ms, limits.memory_bytes, limits.directory_files) = (400, 16 << 20, 200);
        (limits.directory_bytes, limits.state_keys, limits.handles, limits.log_bytes) = (8 << 20, 10, 128, 8 * 1024);
        options.limits.plugin_bytes_max = 4 << 20;
        let host = TestHost::with(options).await;
        Self::with(host.client.clone(), Host::Here(Box::new(host))).await
    }

    async fn apart() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let host = Process::serve(&directory.path().join("data")).await;
        Self::with(host.client.clone(), Host::Apart { process: Box::new(host), _directory: directory }).await
    }

    async fn with(client: Client, host: Host) -> Self {
        let endpoint = Endpoint::start().await;
        client.secret("red-key", "red").await;
        client.plugin("good", echo(1)).await;
        client.webhook("good", json!({ "transform": "good", "request": { "url": endpoint.url("/good") } })).await;
        let lab = Self { client, endpoint, host };
        lab.is_well().await;
        lab
    }

    fn client(&self) -> &Client {
        &self.client
    }

    /// The host's resident memory.
    fn resident_bytes(&self) -> u64 {
        let Host::Apart { process, .. } = &self.host else { panic!("a host in this process shares its memory with every test") };
        process.resident_bytes()
    }

    /// The time of a delivery with a good plugin, which must succeed.
    async fn is_well(&self) -> Duration {
        let begun = Instant::now();
        let invoked = self.client().invoke("good", json!({ "data": 1 })).await;
        assert_eq!(invoked["state"], "delivered", "{invoked}");
        self.endpoint.next_request().await;
        begun.elapsed()
    }

    /// A receiver or a transform with this guest.
    async fn armed(&self, attack: &str) -> Armed {
        let name = unique("red");
        let client = self.client();
        let grants =
            json!({ "triggers": ["red.*", "guest.*"], "secrets": ["red-key"], "webhooks": ["good"], "state": true, "directory": true });
        client.grant(&name, grants).await;
        let uploaded = client.plugin(&name, guest(attack)).await;
        if uploaded["exports"].as_array().is_some_and(|exports| exports.contains(&json!("receive"))) {
            let code = client.receiver(&name, json!({ "plugin": name, "full_reply": true, "timeout_ms": 3000 })).await;
            return Armed::Receiver { name, code };
        }
        let config = if attack == "huge_output" { json!({ "bytes": 2_000_000 }) } else { json!({}) };
        let document = json!({ "transform": { "plugin": name, "config": config }, "request": { "url": self.endpoint.url("/red") } });
        client.webhook(&name, document).await;
        Armed::Transform(name)
    }

    /// The kind of the failure, and its sentence.
    async fn fired(&self, armed: &Armed) -> (String, String) {
        let client = self.client();
        let word = |failure: &Value| failure["kind"].as_str().unwrap_or("done").to_owned();
        match armed {
            Armed::Receiver { name, code } => {
                let answered = client.call(code, "", r#"{"webhook":"good","times":50}"#).await;
                let call = client.last_call(name).await;
                let said = call["failure"]["detail"].as_str().map_or_else(|| answered.text(), str::to_owned);
                // The size of its log is bounded, and nothing of a failed call is kept.
                if !call["failure"].is_null() {
                    assert_eq!(call["events"], json!([]), "{call}");
                }
                (word(&call["failure"]), said)
            }
            Armed::Transform(name) => {
                let invoked = client.invoke(name, json!({ "data": {} })).await;
                if invoked["state"] == "delivered" {
                    self.endpoint.next_request().await;
                }
                (word(&invoked["failure"]), invoked["failure"]["detail"].as_str().unwrap_or_default().to_owned())
            }
        }
    }
}

enum Armed {
    Receiver { name: String, code: String },
    Transform(String),
}

#[test]
fn every_attack_is_contained_under_its_own_name() {
    run(async {
        let lab = Lab::start().await;
        for (attack, kinds, says) in ATTACKS {
            let armed = lab.armed(attack).await;
            let (kind, said) = lab.fired(&armed).await;
            println!("{attack}: {kind}: {}", said.chars().take(150).collect::<String>());
            assert!(kinds.contains(&kind.as_str()), "{attack}: {kind}: {said}");
            assert!(kind == "plugin_deadline" || said.contains(says), "{attack}: {said}");
            lab.is_well().await;
        }
        // Nothing outside of its directory was changed.
        let Host::Here(host) = &lab.host else { unreachable!("as it was started") };
        let data = host.data();
        let outside = ["outside", "plugin-data/outside", "y"].map(|name| data.join(name).exists());
        assert_eq!(outside, [false; 3]);
    });
}

#[test]
fn what_attacks_at_its_start_never_becomes_a_version() {
    run(async {
        let lab = Lab::start().await;
        for (attack, says) in [
            ("start_loop", "start-up"),
            ("start_trap", "start-up"),
            ("red_start_recursion", "start-up"),
            ("red_start_memory", "memory_bytes"),
        ] {
            let (status, problem) = lab.client().try_upload("red", "application/wasm", guest(attack)).await;
            let detail = problem["detail"].as_str().unwrap_or_default();
            assert!(status == 422 && detail.contains(says), "{attack}: {problem}");
            assert_eq!(lab.client().get("/v1/plugins/red").await.0, 404);
            lab.is_well().await;
        }
    });
}

#[test]
fn the_hosts_memory_is_back_at_its_level_after_the_attacks() {
    run(async {
        let lab = Lab::apart().await;
        let attacks: Vec<_> = futures::future::join_all(
            ["memory_hoarder", "red_memory_pages", "huge_output", "red_headers_flood", "log_flood", "red_stdout_line", "red_open_files"]
                .map(|attack| lab.armed(attack)),
        )
        .await;
        let volley = async || {
            for armed in &attacks {
                let (kind, said) = lab.fired(armed).await;
                assert_ne!(kind, "plugin_set_aside", "{said}");
            }
        };
        // Reach the highest use of memory once before it is measured.
        volley().await;
        let before = lab.resident_bytes();
        for _ in 0..5 {
            volley().await;
        }
        let after = lab.resident_bytes();
        println!("resident before {} MiB, after {} MiB", before >> 20, after >> 20);
        assert!(after <= before + MEMORY_ALLOWANCE_BYTES, "{before} bytes before, {after} after");
    });
}

/// Number of plugins that attack together, each with code of its own.
const SWARM: usize = 16;

/// The guest with one more byte without meaning, so that the host takes it for other code.
fn variant(name: &str, number: usize) -> Vec<u8> {
    let byte = u8::try_from(number).expect("few");
    [&guest(name)[..], &forge::section(0, &[1, b'x', byte])].concat()
}

#[test]
fn many_small_plugins_that_hold_every_instance_together_do_not_keep_another_from_one() {
    run(async {
        let mut options = Options::default();
        (options.limits.plugin_instances_max, options.limits.plugin_queue_max) = (8, SWARM);
        options.limits.plugin_defaults.wall_ms = 500;
        let host = TestHost::with(options).await;
        let lab = Lab::with(host.client.clone(), Host::Here(Box::new(host))).await;
        let client = lab.client();
        let mut swarm = Vec::new();
        for number in 0..SWARM {
            let name = unique("swarm");
            client.plugin(&name, variant("sleeper", number)).await;
            client.webhook(&name, json!({ "transform": name, "request": { "url": lab.endpoint.url("/never") } })).await;
            swarm.push(name);
        }
        // Each plugin stays within its own limits. Together they want six times the instances that exist, which is more than the queue
        // holds, and each call lasts until its deadline.
        let attacks = futures::future::join_all(swarm.iter().flat_map(|name| [name, name, name]).map(async |name| {
            let invoked = client.invoke(name, json!({ "data": {} })).await;
            invoked["failure"]["kind"].as_str().unwrap_or("done").to_owned()
        }));
        let good = async {
            for _ in 0..5 {
                lab.is_well().await;
            }
        };
        let (kinds, ()) = futures::future::join(attacks, good).await;
        assert!(kinds.iter().all(|kind| ["plugin_deadline", "plugin_busy", "plugin_set_aside"].contains(&kind.as_str())), "{kinds:?}");
        assert!(kinds.iter().any(|kind| kind == "plugin_deadline"), "{kinds:?}");
    });
}

#[test]
fn what_many_small_plugins_held_is_given_back_when_they_are_deleted() {
    run(async {
        let lab = Lab::apart().await;
        let client = lab.client();
        let swarm = async || {
            for number in 0..SWARM {
                let name = format!("small-{number}");
                client.plugin(&name, variant("echo", number)).await;
                client.webhook(&name, json!({ "transform": name, "request": { "url": lab.endpoint.url("/small") } })).await;
                assert_eq!(client.invoke(&name, json!({ "data": 1 })).await["state"], "delivered");
                lab.endpoint.next_request().await;
            }
            for number in 0..SWARM {
                for path in [format!("/v1/webhooks/small-{number}"), format!("/v1/plugins/small-{number}")] {
                    assert_eq!(client.delete(&path).await.0, 204, "{path}");
                }
            }
        };
        swarm().await;
        let before = lab.resident_bytes();
        for _ in 0..3 {
            swarm().await;
        }
        let after = lab.resident_bytes();
        println!("resident before {} MiB, after {} MiB", before >> 20, after >> 20);
        assert!(after <= before + MEMORY_ALLOWANCE_BYTES / 2, "{before} bytes before, {after} after");
        lab.is_well().await;
    });
}

#[test]
fn an_event_that_makes_its_own_cause_ends() {
    run(async {
        let lab = Lab::start().await;
        let client = lab.client();
        client.grant("cascade", json!({ "triggers": ["guest.*"] })).await;
        client.plugin("cascade", guest("good_receiver")).await;
        let code = client.receiver("cascade", json!({ "plugin": "cascade" })).await;
        let url = client.url(&format!("/api/v1/webhook/{code}"));
        client.webhook("cascade", json!({ "selectors": ["guest.received"], "request": { "url": url, "body": { "again": true } } })).await;
        client.call(&code, "", r#"{"n":1}"#).await;
        let calls = hookwright_tests::wait::eventually("the last call of a cascade", || async {
            let calls = client.look("/v1/calls?receiver=cascade&limit=200").await["data"].as_array().cloned().unwrap_or_default();
            calls.iter().any(|call| call["state"] == "failed").then_some(calls)
        })
        .await;
        assert!(calls.len() < 20, "{}", calls.len());
        lab.is_well().await;
    });
}

/// Modules whose bytes were changed section by section, which no compiler would make.
mod forge {
    use wasmparser::{Parser, Payload};

    fn leb(mut number: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let byte = (number & 0x7f) as u8;
            number >>= 7;
            if number == 0 {
                bytes.push(byte);
                return bytes;
            }
            bytes.push(byte | 0x80);
        }
    }

    fn read_leb(bytes: &[u8]) -> (u32, usize) {
        let (mut number, mut at) = (0, 0);
        loop {
            number |= u32::from(bytes[at] & 0x7f) << (7 * at);
            at += 1;
            if bytes[at - 1] < 0x80 {
                return (number, at);
            }
        }
    }

    pub fn section(id: u8, content: &[u8]) -> Vec<u8> {
        [&[id][..], &leb(u32::try_from(content.len()).expect("short")), content].concat()
    }

    /// A vector with one more entry.
    fn pushed(content: &[u8], entry: &[u8]) -> (u32, Vec<u8>) {
        let (count, length) = read_leb(content);
        (count, [&leb(count + 1), &content[length..], entry].concat())
    }

    /// The guest with one more function with this body, which is called at its start, and with a table without a maximum.
    pub fn with_start(module: &[u8], body: Vec<u8>) -> Vec<u8> {
        let mut imported = 0;
        for payload in Parser::new(0).parse_all(module).flatten() {
            if let Payload::ImportSection(imports) = payload {
                imported = imports.into_imports().flatten().filter(|import| matches!(import.ty, wasmparser::TypeRef::Func(_))).count();
            }
        }
        let (mut out, mut at) = (module[..8].to_vec(), 8);
        let (mut ty, mut function) = (0, 0);
        let mut body = Some(body);
        while at < module.len() {
            let id = module[at];
            let (length, width) = read_leb(&module[at + 1..]);
            let content = &module[at + 1 + width..at + 1 + width + length as usize];
            match id {
                1 => {
                    let (count, types) = pushed(content, &[0x60, 0, 0]);
                    ty = count;
                    out.extend(section(1, &types));
                }
                3 => {
                    let (count, functions) = pushed(content, &leb(ty));
                    function = u32::try_from(imported).expect("few") + count;
                    out.extend(section(3, &functions));
                }
                4 => {
                    // Its only table, `1 funcref (min, max)`, without the maximum.
                    let (min, width) = read_leb(&content[3..]);
                    assert_eq!(&content[..3], [1, 0x70, 1], "one table that has a maximum");
                    assert!(content.len() > 3 + width);
                    out.extend(section(4, &[&[1, 0x70, 0][..], &leb(min)].concat()));
                }
                9 => {
                    out.extend(section(8, &leb(function)));
                    out.extend(section(9, content));
                }
                10 => {
                    let code = body.take().expect("one code section");
                    let (_, bodies) = pushed(content, &[leb(u32::try_from(code.len()).expect("short")), code].concat());
                    out.extend(section(10, &bodies));
                }
                _ => out.extend(section(id, content)),
            }
            at += 1 + width + length as usize;
        }
        out
    }

    /// `loop { if table.grow(ref.null, 1000) == -1 { unreachable } }`
    pub fn grow_table() -> Vec<u8> {
        let grow = [0xd0, 0x70, 0x41, 0xe8, 0x07, 0xfc, 15, 0];
        [&[0, 0x03, 0x40][..], &grow, &[0x41, 0x7f, 0x46, 0x04, 0x40, 0x00, 0x0b, 0x0c, 0, 0x0b, 0x0b]].concat()
    }

    /// This many blocks inside each other.
    pub fn nested(depth: usize) -> Vec<u8> {
        [vec![0], [0x02, 0x40].repeat(depth), vec![0x0b; depth], vec![0x0b]].concat()
    }

    /// This many locals.
    pub fn locals(count: u32) -> Vec<u8> {
        [vec![1], leb(count), vec![0x7e, 0x0b]].concat()
    }

    /// Components nested inside each other.
    pub fn components(depth: usize) -> Vec<u8> {
        const HEADER: [u8; 8] = [0, b'a', b's', b'm', 13, 0, 1, 0];
        (0..depth).fold(HEADER.to_vec(), |inner, _| [&HEADER[..], &section(4, &inner)].concat())
    }

    /// A module with only this many types.
    pub fn types(count: u32) -> Vec<u8> {
        let entries = [0x60, 0, 0].repeat(count as usize);
        [&b"\0asm\x01\0\0\0"[..], &section(1, &[leb(count), entries].concat())].concat()
    }
}

/// Changes one byte or one run of bytes, or replaces the length of a part.
fn mutated(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(5) {
            0 => bytes[at] = u8::try_from(random.below(256)).expect("a byte"),
            1 => bytes.truncate(at.max(9)),
            2 => bytes.insert(at, 0xff),
            3 => drop(bytes.remove(at)),
            _ => {
                let end = (at + 16).min(bytes.len());
                bytes[at..end].fill(0x80);
            }
        }
        if bytes.is_empty() {
            return bytes;
        }
    }
    bytes
}

#[test]
fn upload_bombs_are_refused_with_a_reason_and_displace_nothing() {
    run(async {
        let lab = Lab::start().await;
        let good = guest("sends_nothing");
        let zip = [b"PK\x03\x04".to_vec(), vec![0; 100_000]].concat();
        for (what, bytes) in [
            ("a table without bounds", forge::with_start(&good, forge::grow_table())),
            ("blocks nested 300 000 deep", forge::with_start(&good, forge::nested(300_000))),
            ("a function of four billion locals", forge::with_start(&good, forge::locals(u32::MAX))),
            ("a function of 49 999 locals", forge::with_start(&good, forge::locals(49_999))),
            ("components nested 20 000 deep", forge::components(20_000)),
            ("a million types", forge::types(1_000_000)),
            ("longer than may be", [&good[..], &forge::section(0, &[&[1, b'x'][..], &vec![0; 5 << 20]].concat())].concat()),
            ("a section longer than the file", [&good[..good.len() / 2], &[0, 0xff, 0xff, 0xff, 0x7f]].concat()),
            ("half of a module", good[..good.len() / 2].to_vec()),
            ("a zip archive", zip),
            ("machine code", b"\x7fELF\x02\x01\x01".to_vec()),
            ("nothing", Vec::new()),
        ] {
            let begun = Instant::now();
            let (status, problem) = lab.client().try_upload("good", "application/wasm", bytes).await;
            println!("{what}: {status} after {} ms: {}", begun.elapsed().as_millis(), problem["detail"]);
            // Modules that are unusual but within every limit may be accepted; all others are refused with a reason.
            let is_odd = ["a function of 49 999 locals", "blocks nested 300 000 deep"].contains(&what);
            let is_taken = is_odd && status == 201;
            assert!(is_taken || matches!(status, 413 | 422), "{what}: {problem}");
            assert!(is_taken || problem["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{what}: {problem}");
            if is_taken {
                lab.client().post("/v1/plugins/good/activate", &json!({ "version": 1 })).await;
            }
            lab.is_well().await;
        }
    });
}

/// Minutes of `tests/run fuzz-uploads`; without it, a few rounds are run.
fn fuzz_time() -> Option<Duration> {
    std::env::var("HOOKWRIGHT_TEST_FUZZ_MINUTES").ok()?.parse().ok().map(|minutes: u64| Duration::from_secs(60 * minutes))
}

#[test]
fn good_files_with_some_bytes_changed_are_taken_or_refused_and_nothing_breaks() {
    run(async {
        let lab = Lab::start().await;
        let client = lab.client();
        let script = "export function transform(delivery, events) {\n  const { a, b } = events[0].data ?? {};\n  return { body: { a: a + 1, b: `${b}` }, headers: { x: 'y' } };\n}\n";
        let typed = "type A = { a?: number };\nexport function transform(d: Delivery, e: { data: A }[]): object | null {\n  return e.map((x) => x.data as A)[0]!;\n}\n";
        let files: [(&str, Vec<u8>); 5] = [
            ("application/wasm", guest("good_receiver").to_vec()),
            ("application/wasm", guest("rejects").to_vec()),
            ("application/wasm", hookwright_tests::guests::component(&guest("echo"))),
            ("text/javascript", script.into()),
            ("text/typescript", typed.into()),
        ];
        let mut random = Random::from_environment();
        let (begun, mut rounds, mut taken) = (Instant::now(), 0_u32, 0_u32);
        while fuzz_time().map_or(rounds < 25, |time| begun.elapsed() < time) {
            let (media, file) = &files[rounds as usize % files.len()];
            let bytes = mutated(file, &mut random);
            let (status, problem) = client.try_upload("fuzzed", media, bytes).await;
            assert!(matches!(status, 200 | 201 | 413 | 422), "round {rounds}: {status} {problem}");
            if matches!(status, 200 | 201) {
                taken += 1;
                // The plugin may return anything; the invocation must only end.
                let document = json!({ "transform": "fuzzed", "request": { "url": lab.endpoint.url("/fuzzed") } });
                let (status, problem) = client.put("/v1/webhooks/fuzzed", &document).await;
                if matches!(status, 200 | 201) {
                    let invoked = client.invoke("fuzzed", json!({ "data": { "a": 1, "b": "x" } })).await;
                    assert!(invoked["state"].is_string(), "round {rounds}: {invoked}");
                } else {
                    assert!(matches!(status, 400 | 422), "round {rounds}: {problem}");
                }
            }
            lab.endpoint.forget().await;
            rounds += 1;
            if rounds.is_multiple_of(25) {
                lab.is_well().await;
            }
        }
        println!("{rounds} changed files, {taken} of them taken");
    });
}

/// Turns of the measurement, each without and with hogs, so that other load on the machine affects both.
const TURNS: usize = 5;
/// Deliveries in each turn.
const CALLS: usize = 400;

/// Times of deliveries: of the whole delivery, and of the good plugin's part, from its call to its result.
#[derive(Default)]
struct Times {
    whole: Vec<Duration>,
    plugin: Vec<Duration>,
}

impl Times {
    async fn measure(&mut self, lab: &Lab) {
        for _ in 0..CALLS {
            let begun = Instant::now();
            let invoked = lab.client().invoke("good", json!({ "data": 1 })).await;
            assert_eq!(invoked["state"], "delivered", "{invoked}");
            self.whole.push(begun.elapsed());
            lab.endpoint.next_request().await;
            let delivery = lab.client().delivery(invoked["delivery"].as_str().expect("an id")).await;
            let stages = &delivery["attempt_log"][0]["stages"];
            self.plugin.push(Duration::from_micros(stages["transform_us"].as_u64().unwrap_or_else(|| panic!("{delivery}"))));
        }
    }

    /// p50 and p99 of the plugin's part, then of the whole delivery.
    fn shown(&mut self) -> String {
        let of = |times: &mut Vec<Duration>| {
            times.sort();
            (times[times.len() / 2], times[times.len() * 99 / 100])
        };
        let (plugin, whole) = (of(&mut self.plugin), of(&mut self.whole));
        format!("plugin p50 {:?} p99 {:?}, whole delivery p50 {:?} p99 {:?}", plugin.0, plugin.1, whole.0, whole.1)
    }
}

/// `tests/run red-team`: how hogs change the latency of others. It asserts nothing, because machines are noisy.
#[test]
#[ignore = "measures; `tests/run red-team` asks for it"]
fn others_are_served_while_plugins_hog() {
    run(async {
        // The real binary, because it has threads of its own, as in production.
        let lab = Lab::apart().await;
        let mut hogs = Vec::new();
        for attack in
            ["red_bulk_copy", "red_bulk_fill", "endless_loop", "red_config_storm", "red_clock_storm", "red_random_storm", "memory_hoarder"]
        {
            let armed = lab.armed(attack).await;
            let name = match &armed {
                Armed::Receiver { name, .. } | Armed::Transform(name) => name.clone(),
            };
            // Limited as an admin would do it, but high enough that they keep running.
            let limits = json!({ "concurrency": 1, "cpu_ms": 2000, "host_calls": 10_000_000 });
            assert_eq!(lab.client().put(&format!("/v1/plugins/{name}/limits"), &limits).await.0, 200);
            hogs.push((name, armed));
        }
        Times::default().measure(&lab).await;
        let (mut alone, mut beside) = (Times::default(), Times::default());
        for _ in 0..TURNS {
            alone.measure(&lab).await;
            let is_over = std::sync::atomic::AtomicBool::new(false);
            let hog = async |(name, armed): &(String, Armed)| {
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    lab.fired(armed).await;
                    lab.client().post(&format!("/v1/plugins/{name}/resume"), &json!({})).await;
                }
            };
            let measured = async {
                beside.measure(&lab).await;
                is_over.store(true, std::sync::atomic::Ordering::Relaxed);
            };
            futures::future::join(measured, futures::future::join_all(hogs.iter().map(hog))).await;
        }
        println!("{TURNS} times {CALLS} deliveries of a good plugin");
        println!("alone: {}", alone.shown());
        println!("beside {} hogs: {}", hogs.len(), beside.shown());
    });
}
