//! Reads the input of commands: `name=value`, documents, text from files and standard input.

use std::{
    io::Read,
    path::{Path, PathBuf},
    process::ExitCode,
    str::FromStr,
};

use anyhow::Context;
use http::{Method, StatusCode};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use super::{
    at::{At, segment},
    client::Api,
    documents::{self, Format},
    output,
};

/// The file name that means standard input.
const STDIN: &str = "-";

/// `name=value`. A value that is JSON is taken as JSON, any other as text.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    name: String,
    value: Value,
}

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or("it must be name=value")?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        Ok(Self { name: name.to_owned(), value })
    }
}

/// An object made of pairs. If a name occurs twice, the last pair counts.
pub fn object(pairs: &[Pair]) -> Map<String, Value> {
    pairs.iter().map(|pair| (pair.name.clone(), pair.value.clone())).collect()
}

/// Like [`object`], with text values.
pub fn texts(pairs: &[Pair]) -> Map<String, Value> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    pairs.iter().map(|pair| (pair.name.clone(), Value::from(text(&pair.value)))).collect()
}

/// JSON given on the command line, in a file (`@FILE`) or on standard input (`-`).
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// The value, given on the command line.
    Here(Value),
    /// A file, or standard input.
    File(PathBuf),
}

impl FromStr for Data {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix('@') {
            Some(file) => Ok(Self::File(file.into())),
            None if text == STDIN => Ok(Self::File(STDIN.into())),
            None => serde_json::from_str(text).map(Self::Here).map_err(|error| format!("it must be JSON, @FILE or -: {error}")),
        }
    }
}

impl Data {
    pub fn read(&self) -> anyhow::Result<Value> {
        match self {
            Self::Here(value) => Ok(value.clone()),
            Self::File(file) => read_json(file),
        }
    }
}

/// Reads a file's bytes; `-` is standard input.
pub fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    if file.as_os_str() != STDIN {
        return std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()));
    }
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes).context("standard input cannot be read")?;
    Ok(bytes)
}

/// Reads JSON from a file; `-` is standard input.
pub fn read_json(file: &Path) -> anyhow::Result<Value> {
    serde_json::from_slice(&read(file)?).with_context(|| format!("{} is not JSON", shown(file)))
}

fn shown(file: &Path) -> String {
    if file.as_os_str() == STDIN { "standard input".to_owned() } else { file.display().to_string() }
}

/// Writes the documents of a file, each under its name, and prints the result of each. `Spec` is the type as which the host reads them. A
/// document that equals the host's is not written.
pub async fn apply<Spec: Serialize + DeserializeOwned>(at: &At, collection: &str, file: &Path) -> anyhow::Result<ExitCode> {
    let documents = match Format::of_file(file) {
        Some(_) => documents::read(file)?,
        // Standard input, or a name without an extension we know.
        None => Format::Json.read(&String::from_utf8_lossy(&read(file)?)).with_context(|| format!("{} cannot be taken", shown(file)))?,
    };
    let named = documents.into_iter().enumerate().map(|(index, document)| match document["name"].as_str() {
        Some(name) => Ok((name.to_owned(), written(document))),
        None => Err(anyhow::anyhow!("document {} of {} has no `name`", index + 1, shown(file))),
    });
    let named = named.collect::<anyhow::Result<Vec<_>>>()?;
    let api = at.open()?;
    let mut code = ExitCode::SUCCESS;
    let mut done = Vec::new();
    for (name, document) in named {
        match put_if_new::<Spec>(&api, collection, &name, &document).await {
            Ok(what) if at.json => done.push(json!({ "name": name, "result": what })),
            Ok(what) => output::print(&format!("{name}: {what}"))?,
            Err(error) => {
                code = ExitCode::FAILURE;
                eprintln!("hookwright: {name}: {error:#}");
                done.push(json!({ "name": name, "result": "failed", "error": format!("{error:#}") }));
            }
        }
    }
    if at.json {
        output::print(&output::pretty(&Value::from(done)))?;
    }
    Ok(code)
}

async fn put_if_new<Spec: Serialize + DeserializeOwned>(
    api: &Api,
    collection: &str,
    name: &str,
    document: &Value,
) -> anyhow::Result<&'static str> {
    let path = format!("/v1/{collection}/{}", segment(name));
    // Bring the document into the form in which the host shows it. If it cannot be read, let the host refuse it: its error is better.
    if let Ok(spec) = serde_json::from_value::<Spec>(document.clone()) {
        // A webhook's URL is shown with redacted query values unless we ask for them. A receiver has no URL.
        let reveal = if collection == "webhooks" { "?reveal=true" } else { "" };
        let current = api.send(Method::GET, &format!("{path}{reveal}"), "application/json", "").await?;
        if current.status == StatusCode::OK.as_u16() && written(current.body) == serde_json::to_value(spec)? {
            return Ok("unchanged");
        }
    }
    let put = api.send(Method::PUT, &path, "application/json", document.to_string()).await?;
    let status = put.status;
    put.success()?;
    Ok(if status == StatusCode::CREATED.as_u16() { "created" } else { "replaced" })
}

/// A document without the fields that only the host writes. So the output of `show` can be applied.
fn written(mut document: Value) -> Value {
    if let Some(fields) = document.as_object_mut() {
        fields.retain(|name, _| !matches!(name.as_str(), "id" | "created_at" | "updated_at"));
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_json_if_it_can_be() {
        let read = |text: &str| text.parse::<Pair>().map(|pair| (pair.name, pair.value));
        assert_eq!(read("size=3"), Ok(("size".into(), json!(3))));
        assert_eq!(read("fruit=apple"), Ok(("fruit".into(), json!("apple"))));
        assert_eq!(read("code=\"007\""), Ok(("code".into(), json!("007"))));
        assert_eq!(read("a={\"b\":[1]}"), Ok(("a".into(), json!({ "b": [1] }))));
        assert_eq!(read("equation=a=b"), Ok(("equation".into(), json!("a=b"))));
        assert_eq!(read("gone=null"), Ok(("gone".into(), Value::Null)));
        assert_eq!(read("empty="), Ok(("empty".into(), json!(""))));
        assert!(read("nothing").is_err() && read("=x").is_err());
    }

    #[test]
    fn data_is_here_in_a_file_or_on_standard_input() {
        assert_eq!("{\"a\":1}".parse(), Ok(Data::Here(json!({ "a": 1 }))));
        assert_eq!("@x.json".parse(), Ok(Data::File("x.json".into())));
        assert_eq!("-".parse(), Ok(Data::File("-".into())));
        assert!("{a:1}".parse::<Data>().is_err());
    }

    #[test]
    fn what_only_the_host_writes_is_left_out() {
        let shown = json!({ "id": "whk_1", "name": "a", "active": true, "created_at": "t", "updated_at": "t" });
        assert_eq!(written(shown), json!({ "active": true, "name": "a" }));
    }
}
