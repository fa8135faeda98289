//! Uploads that cost the host far more than their size: a process does the work, and the host can and does kill it.

use std::{cell::Cell, time::Instant};

use hookwright_tests::{Process, data_directory, run, wait::eventually};
use tokio::{io::AsyncWriteExt, net::TcpStream};

/// Memory in bytes by which a host may grow during an upload of a megabyte: some copies of the upload, and the compilation.
const MEMORY_ALLOWANCE_BYTES: u64 = 160 << 20;
/// The beginning of every script here.
const GOOD: &str = "export function transform() { return { body: 1 } }\n";

/// Type arguments that may also be comparisons: the parser tries both for each of them.
fn slow(times: usize) -> String {
    format!("{GOOD}let x={}1", "a<".repeat(times))
}

/// Identifiers of the running child processes of a host.
fn children(host: &Process) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", host.id())).expect("a running process");
    let children = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let ids: Vec<u32> = children.flat_map(|ids| ids.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect();
    ids.into_iter().filter(|id| is_running(*id)).collect()
}

fn is_running(id: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// A host that has compiled its built-in plugins.
async fn ready(data: &std::path::Path, environment: &[(&str, &str)]) -> Process {
    let host = Process::serve_under(data, &[], environment).await;
    host.client.script("good", GOOD).await;
    eventually("the end of what is compiled at the start", async || children(&host).is_empty().then_some(())).await;
    host
}

/// Sends an upload and leaves the connection open, without reading an answer.
async fn sent(host: &Process, name: &str, source: &str) -> TcpStream {
    let mut stream = TcpStream::connect(host.address).await.expect("a connection");
    let token = host.client.token().expect("a token");
    let head = format!(
        "PUT /v1/plugins/{name} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: text/typescript\r\ncontent-length: {}\r\n\r\n",
        source.len()
    );
    stream.write_all(head.as_bytes()).await.expect("written");
    stream.write_all(source.as_bytes()).await.expect("written");
    stream
}

#[test]
fn scripts_that_are_bombs_are_refused_and_the_hosts_memory_stays_what_it_was() {
    run(async {
        let directory = data_directory();
        let host = ready(&directory.path().join("data"), &[]).await;
        let before = host.resident_bytes();
        let fill = |unit: &str, end: &str| format!("{GOOD}{}{end}", unit.repeat(1_040_000 / unit.len()));
        let bombs = [
            ("text/javascript", fill("a=>", "a")),
            ("text/javascript", fill("!", "1")),
            ("text/javascript", fill("if(a);else ", ";")),
            ("text/javascript", fill("new ", "Object")),
            ("text/javascript", fill("a:", ";")),
            ("text/typescript", format!("{GOOD}type T={}string", "keyof ".repeat(170_000))),
            ("text/typescript", format!("{GOOD}type T={}", "A<".repeat(500_000))),
            ("text/typescript", format!("{GOOD}let x={}1", "<a>".repeat(300_000))),
            ("text/typescript", slow(40_000)),
        ];
        let most = Cell::new(before);
        for (kind, source) in bombs {
            let upload = host.client.try_upload("bomb", kind, source.clone());
            let look = async || -> Option<()> {
                most.set(most.get().max(host.resident_bytes()));
                None
            };
            let (status, said) = tokio::select! {
                answered = upload => answered,
                () = eventually("the answer", look) => unreachable!("it looks until there is an answer"),
            };
            let shown: String = source[GOOD.len()..].chars().take(40).collect();
            println!("{shown}: {status} {}", said["detail"]);
            assert!(status == 422 || status == 201 || status == 200, "{shown}: {said}");
        }
        let most = most.get();
        assert!(most - before < MEMORY_ALLOWANCE_BYTES, "{before} bytes, and at most {most}");
        let (status, said) = host.client.try_upload("bomb", "text/javascript", " ".repeat((1 << 20) + 1)).await;
        assert_eq!(status, 422, "{said}");
        assert!(said["detail"].as_str().is_some_and(|detail| detail.contains("`script_bytes_max`")), "{said}");
        assert!(host.terminate().await.success());
    });
}

#[test]
fn a_client_that_leaves_ends_the_work_on_its_upload() {
    run(async {
        let directory = data_directory();
        // No time limit ends this work: it ends because the client has left.
        let host = ready(&directory.path().join("data"), &[("HOOKWRIGHT_LIMITS_SCRIPT_PARSE_SECONDS_MAX", "60")]).await;
        let streams = [sent(&host, "left-1", &slow(200_000)).await, sent(&host, "left-2", &slow(200_000)).await];
        let working = eventually("both at work", async || Some(children(&host)).filter(|children| children.len() == 2)).await;
        drop(streams);
        eventually("the end of the work", async || (!working.iter().any(|id| is_running(*id))).then_some(())).await;
        host.client.script("good", &format!("{GOOD}// again")).await;
        assert!(host.terminate().await.success());
    });
}

#[test]
fn a_stop_does_not_wait_for_an_upload() {
    run(async {
        let directory = data_directory();
        let host = ready(&directory.path().join("data"), &[("HOOKWRIGHT_LIMITS_SCRIPT_PARSE_SECONDS_MAX", "60")]).await;
        let _streams = [sent(&host, "stays-1", &slow(200_000)).await, sent(&host, "stays-2", &slow(200_000)).await];
        let _waits = sent(&host, "stays-3", &slow(200_000)).await;
        let working = eventually("two at work", async || Some(children(&host)).filter(|children| children.len() == 2)).await;
        let begun = Instant::now();
        assert!(host.terminate().await.success());
        println!("stopped after {:?}", begun.elapsed());
        eventually("the end of the work", async || (!working.iter().any(|id| is_running(*id))).then_some(())).await;
    });
}

#[test]
fn a_host_that_is_killed_takes_its_children_with_it() {
    run(async {
        let directory = data_directory();
        let host = ready(&directory.path().join("data"), &[("HOOKWRIGHT_LIMITS_SCRIPT_PARSE_SECONDS_MAX", "60")]).await;
        let _stream = sent(&host, "orphan", &slow(200_000)).await;
        let working = eventually("one at work", async || Some(children(&host)).filter(|children| children.len() == 1)).await;
        host.kill().await;
        eventually("the end of the work", async || (!working.iter().any(|id| is_running(*id))).then_some(())).await;
    });
}
