//! Receiver: every payload that is sent to it becomes a text file, and an event that carries it.
//!
//! The file is `/data/<call>.txt`, byte for byte as it came in; the directory must be granted. The event's trigger is
//! `payload.received`, its data `{"file","contentType","payload"}`: the payload as JSON where it is JSON, else as text. A form's
//! `payload=` field counts as the payload. The answer is `{"success":"true"}`, as portals expect it, which needs the receiver's
//! `full_reply`. An empty object, as sent to check an address, is answered so and leaves nothing behind.
//!
//! Configuration, all optional: `{"trigger":"payload.received","directory":"/data","files_max":1000,"bytes_max":33554432}`.
//! Beyond either the oldest files are removed: calls are named in the order they came in.

use std::{fs, path::Path};

use hookwright_guest::events::{Emission, emit};
use hookwright_guest::{Error, Invocation, OrError, Receive, Reply, config};
use serde::Deserialize;
use serde_json::{Value, json};

struct PayloadFiles;
hookwright_guest::export!(PayloadFiles: receive);

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    trigger: String,
    directory: String,
    files_max: usize,
    bytes_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { trigger: "payload.received".into(), directory: "/data".into(), files_max: 1000, bytes_max: 32 * 1024 * 1024 }
    }
}

fn payload(call: &Invocation) -> Result<Value, Error> {
    let text = call.text()?;
    let field = |text: &str| text.split('&').find_map(|pair| pair.strip_prefix("payload=")).map(decoded);
    let is_form = |kind: &str| kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/x-www-form-urlencoded");
    let is_form = call.header("content-type").is_some_and(is_form);
    let text = if is_form { field(text).unwrap_or_else(|| text.to_owned()) } else { text.to_owned() };
    Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// The value of a form's field. What is not encoded stays as it is: some senders do not.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut ahead = rest.clone();
        let mut hex = || (ahead.next()? as char).to_digit(16);
        match (byte, hex().zip(hex())) {
            (b'%', Some((high, low))) => {
                bytes.push((high * 16 + low) as u8);
                rest = ahead;
            }
            (b'+', _) => bytes.push(b' '),
            (other, _) => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Removes the oldest files, so that one more of `bytes` fits.
fn make_room(directory: &Path, bytes: u64, config: &Config) -> Result<(), Error> {
    let entries = fs::read_dir(directory).or_retry_later(format_args!("reading {}", directory.display()))?;
    let is_ours = |path: &Path| path.extension().is_some_and(|ending| ending == "txt");
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(|path| is_ours(path)).collect();
    files.sort();
    let size = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
    let mut left = files.iter().map(|path| size(path)).sum::<u64>() + bytes;
    let mut count = files.len() + 1;
    for file in &files {
        if count <= config.files_max.max(1) && left <= config.bytes_max {
            break;
        }
        (count, left) = (count - 1, left - size(file));
        fs::remove_file(file).or_retry_later(format_args!("removing {}", file.display()))?;
    }
    Ok(())
}

impl Receive for PayloadFiles {
    fn receive(call: Invocation) -> Result<Reply, Error> {
        let config: Config = config()?;
        let payload = payload(&call)?;
        if payload != json!({}) {
            let directory = Path::new(&config.directory);
            make_room(directory, call.body.len() as u64, &config)?;
            let file = directory.join(format!("{}.txt", call.call_id));
            fs::write(&file, &call.body).or_retry_later(format_args!("writing {}", file.display()))?;
            let name = file.display().to_string();
            let kind = call.header("content-type").unwrap_or_default();
            emit(Emission::new(&config.trigger, &json!({ "file": name, "contentType": kind, "payload": payload }))?)?;
        }
        Reply::json(&json!({ "success": "true" }))
    }
}

#[cfg(test)]
mod tests {
    use hookwright_guest::testing;

    use super::*;

    #[test]
    fn a_payload_becomes_a_file_and_an_event_and_old_files_go() {
        testing::reset();
        let directory = std::env::temp_dir().join("hookwright-payload-files");
        drop(fs::remove_dir_all(&directory));
        fs::create_dir_all(&directory).expect("a directory");
        testing::config(&json!({ "directory": directory, "files_max": 2 })).expect("a configuration");
        for number in 1..=3 {
            let call = Invocation { call_id: format!("cal_{number}"), ..Invocation::post(&json!({ "n": number })).expect("a call") };
            assert_eq!(PayloadFiles::receive(call).expect("a reply").status, 200);
        }
        let mut names: Vec<_> = fs::read_dir(&directory).expect("there").flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        assert_eq!(names, ["cal_2.txt", "cal_3.txt"]);
        assert_eq!(fs::read_to_string(directory.join("cal_3.txt")).expect("a file"), r#"{"n":3}"#);
        let emitted = testing::emitted();
        let data: Value = serde_json::from_str(&emitted[2].data_json).expect("JSON");
        assert_eq!((emitted[2].trigger.as_str(), &data["payload"]), ("payload.received", &json!({ "n": 3 })));
        // The check of an address.
        PayloadFiles::receive(Invocation::post(&json!({})).expect("a call")).expect("a reply");
        assert_eq!(testing::emitted().len(), 3);
    }

    #[test]
    fn fields_of_forms_are_read_encoded_or_not() {
        assert_eq!(decoded("%7B%22a%22%3A1%7D"), r#"{"a":1}"#);
        assert_eq!(decoded(r#"{"a":"5%"}"#), r#"{"a":"5%"}"#);
        assert_eq!(decoded("caf%C3%A9+noir%"), "café noir%");
    }
}
