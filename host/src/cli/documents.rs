//! Reads and writes files of documents. The file name's extension chooses JSON, TOML or YAML.

use std::{fs, path::Path};

use anyhow::{Context, bail};
use serde_json::Value;

use super::output;

/// The format of a file of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON (RFC 8259): one document, or several in an array.
    Json,
    /// TOML: one document.
    Toml,
    /// YAML 1.2: one document, several in an array, or several separated by `---`.
    Yaml,
}

impl Format {
    /// The format of a file, by its extension; `None`: files with this name hold no documents.
    pub fn of_file(file: &Path) -> Option<Self> {
        match file.extension()?.to_str()? {
            "json" => Some(Self::Json),
            "toml" => Some(Self::Toml),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }

    /// Parses the documents in a text.
    pub fn read(self, text: &str) -> anyhow::Result<Vec<Value>> {
        let documents: Vec<Value> = match self {
            Self::Json => vec![serde_json::from_str(text).context("it is not JSON")?],
            Self::Toml => vec![toml::from_str(text).context("it is not TOML")?],
            Self::Yaml => {
                // Strict booleans: `no` is a string (YAML 1.2, 10.2.1.2). No snippet: an error must not quote a line that may hold a
                // credential.
                let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
                serde_saphyr::from_multiple_with_options(text, options).context("it is not YAML")?
            }
        };
        let several = |document| match document {
            Value::Array(several) => several,
            one => vec![one],
        };
        Ok(documents.into_iter().flat_map(several).collect())
    }
}

/// The format in which documents are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Written {
    Json,
    Yaml,
}

impl Written {
    /// The extension of files in this format.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Yaml => "yaml",
        }
    }

    pub fn text(self, document: &Value) -> anyhow::Result<String> {
        match self {
            Self::Json => Ok(format!("{}\n", output::pretty(document))),
            Self::Yaml => Ok(serde_saphyr::to_string(document)?),
        }
    }
}

pub fn read(file: &Path) -> anyhow::Result<Vec<Value>> {
    let Some(format) = Format::of_file(file) else { bail!("{} is neither .json nor .toml nor .yaml", file.display()) };
    let text = fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    format.read(&text).with_context(|| format!("{} cannot be taken", file.display()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_the_same() {
        let document = json!({
            "name": "no", "on": true, "off": "off", "version": "1.20", "octal": "0755", "size": 3, "rate": 0.25, "large": u64::MAX, "none": null,
            "url": "https://h/in?sig=a%3Db#x", "jsonpath": "$[?@.a=='b: c']", "text": "two\nlines\n", "empty": "", "dash": "- a", "list": [], "map": {},
            "nested": [{ "a": [1, [2]] }], "date": "2026-01-31", "tilde": "~", "hash": "# no comment", "key: odd": 1,
        });
        for (format, written) in [(Format::Json, Written::Json), (Format::Yaml, Written::Yaml)] {
            let text = written.text(&document).expect("written");
            assert_eq!(format.read(&text).expect("read"), vec![document.clone()], "{text}");
        }
    }

    #[test]
    fn yaml_is_that_of_1_2_and_may_hold_several() {
        let read = |text: &str| Format::Yaml.read(text);
        assert_eq!(read("country: no\nwhen: 12:30\n").expect("read"), [json!({ "country": "no", "when": "12:30" })]);
        assert_eq!(read("a: 1\n---\n- b: 2\n- c: 3\n").expect("read"), [json!({ "a": 1 }), json!({ "b": 2 }), json!({ "c": 3 })]);
        assert_eq!(read("base: &b {x: 1}\nother: *b\n").expect("read"), [json!({ "base": { "x": 1 }, "other": { "x": 1 } })]);
        for wrong in ["a: [1", "a: 1\na: 2\n"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let refused = format!("{:#}", read("token: canary\n  bad: [").expect_err("refused"));
        assert!(!refused.contains("canary") && refused.contains("line"), "{refused}");
        // Nested anchors do not make the document grow without bound.
        let bomb = (0..30).fold("a0: &a0 [x, x]\n".to_owned(), |text, n| format!("{text}a{0}: &a{0} [*a{n}, *a{n}]\n", n + 1));
        assert!(read(&bomb).is_err());
    }
}
