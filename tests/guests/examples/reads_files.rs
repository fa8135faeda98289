//! Tries what a sandbox forbids and reports what it got as its request body or reply: for each of `files`,
//! `directories`, `environment`, `arguments`, `socket` and `write` what was found, or `error: ...`.

use std::{env, fmt::Display, fs, io::Write, net::TcpStream};

use hookwright_guest::{Delivery, Error, Event, Invocation, Receive, Reply, Request, Transform};
use serde_json::{Map, Value, json};

struct ReadsFiles;
hookwright_guest::export!(ReadsFiles: transform, receive);

fn got(result: Result<String, impl Display>) -> Value {
    result.map_or_else(|error| json!(format!("error: {error}")), Value::from)
}

fn listing(directory: &str) -> Result<String, std::io::Error> {
    let names: Result<Vec<_>, _> = fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect();
    names.map(|names: Vec<String>| names.join(" "))
}

fn report() -> Value {
    let files = ["/etc/passwd", "/proc/self/environ", "../../etc/passwd", "/data/../etc/passwd"];
    let files: Map<String, Value> = files.iter().map(|path| ((*path).into(), got(fs::read_to_string(path)))).collect();
    let directories: Map<String, Value> = ["/", ".", "/data"].iter().map(|path| ((*path).into(), got(listing(path)))).collect();
    let environment: Map<String, Value> = env::vars().map(|(name, value)| (name, value.into())).collect();
    let socket = TcpStream::connect("127.0.0.1:80").map(|_| "connected".into());
    let write = fs::File::create("/tmp/hookwright-guest-was-here").and_then(|mut file| file.write_all(b"x")).map(|()| "written".into());
    json!({
        "files": files,
        "directories": directories,
        "environment": environment,
        "arguments": env::args().collect::<Vec<_>>(),
        "socket": got(socket),
        "write": got(write),
    })
}

impl Transform for ReadsFiles {
    fn apply(_: Delivery, _: Vec<Event>) -> Result<Option<Request>, Error> {
        Request::post().json(&report()).map(Some)
    }
}

impl Receive for ReadsFiles {
    fn receive(_: Invocation) -> Result<Reply, Error> {
        Reply::json(&report())
    }
}
