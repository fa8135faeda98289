//! `hookwright plugin history`: who changed what in a plugin, and when.

use http::Method;
use serde_json::Value;

use std::process::ExitCode;

use crate::cli::{
    at::{At, segment},
    output::{cell, time},
};

pub async fn show(name: &str, at: &At) -> anyhow::Result<ExitCode> {
    let list = at.open()?.call(Method::GET, &format!("/v1/plugins/{}/history", segment(name)), None).await?;
    at.show_list(&list, &["WHEN", "WHO", "WHAT"], |entry| vec![time(entry, "/at"), cell(entry, "/by"), sentence(entry)])
}

/// An entry as a sentence.
fn sentence(entry: &Value) -> String {
    let version = |at: &str| match &entry[at] {
        Value::Object(named) => named.get("version").map_or_else(|| "?".to_owned(), |number| format!("version {number}")),
        Value::Number(number) => format!("version {number}"),
        Value::String(word) if word == "none" => "none".to_owned(),
        _ => "the one in the binary".to_owned(),
    };
    let reason = entry["reason"].as_str().map(|reason| format!(": {reason}")).unwrap_or_default();
    match entry["what"].as_str().unwrap_or_default() {
        "uploaded" => format!("uploaded {} ({})", version("version"), cell(entry, "/digest").chars().take(19).collect::<String>()),
        "activated" => format!("activated {} in place of {}", version("version"), version("before")),
        "rolled_back" => format!("rolled back from {} to {}{reason}", version("before"), version("version")),
        "set_aside" => format!("set {} aside{reason}", version("version")),
        "resumed" => "let it be called again".to_owned(),
        "granted" => "changed its grants".to_owned(),
        "limited" => "changed its limits".to_owned(),
        "guarded" => "changed when it is rolled back".to_owned(),
        "configured" => "changed its configuration".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::plugin::{
        ActiveVersion, Digest,
        history::{Actor, Deed, History},
    };

    #[test]
    fn every_deed_is_a_sentence() {
        let mut history = History::default();
        let deeds = [
            (Deed::Uploaded { version: 2, digest: Digest::of(b"") }, "uploaded version 2 (sha256:e3b0c44298fc)"),
            (
                Deed::Activated { version: ActiveVersion::Version(2), before: ActiveVersion::Builtin },
                "activated version 2 in place of the one in the binary",
            ),
            (
                Deed::RolledBack { version: ActiveVersion::Version(1), before: ActiveVersion::Version(2), reason: Some("it fails".into()) },
                "rolled back from version 2 to version 1: it fails",
            ),
            (Deed::SetAside { version: Some(2), reason: "it traps".into() }, "set version 2 aside: it traps"),
            (Deed::Resumed, "let it be called again"),
        ];
        for (deed, says) in deeds {
            history.add(jiff::Timestamp::UNIX_EPOCH, Actor::host(), deed);
            let entry = json!(history.entries().last());
            assert_eq!(sentence(&entry), says);
        }
    }
}
