//! The layers: what is said by the defaults, then by the file, then by the environment, then by flags. The last that says anything of a
//! setting is heard; everything that is wrong is told at once.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use serde_json::{Map, Value};

use super::{
    Config,
    setting::{Draft, Setting, VARIABLE_PREFIX, find, settings, unknown},
};
use crate::model::secret::Secret;

/// Variables that are not settings of the host, and who reads them: this binary's commands, and its tests.
const OTHER_VARIABLES: [&str; 9] =
    ["ADMIN_TOKEN", "CA_FILE", "CONFIG", "GUEST_TOOLCHAIN", "PROFILE", "SINK_SECRET", "TOKEN", "TOKEN_FILE", "URL"];
/// What others begin with: Kubernetes and Docker set `HOOKWRIGHT_SERVICE_HOST` and `HOOKWRIGHT_PORT...` for a service of that name.
const OTHER_PREFIXES: [&str; 3] = ["SERVICE_", "PORT", "TEST_"];

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// The file.
    File(PathBuf),
    /// A variable of the environment.
    Variable(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// A flag: its name, the key it sets, and the text. `--set KEY=VALUE` is one too. The text may be a secret.
#[derive(Debug)]
pub struct Flag {
    /// As it is written on the command line.
    pub name: String,
    /// The key.
    pub key: String,
    /// What was given.
    pub text: Secret,
}

/// What there is to read.
#[derive(Debug, Default)]
pub struct Written {
    /// The file, and what it says.
    pub file: Option<(PathBuf, Secret)>,
    /// All variables of the environment that begin with `HOOKWRIGHT_`, in any order.
    pub variables: Vec<(String, Secret)>,
    /// Flags.
    pub flags: Vec<Flag>,
}

/// Everything wrong with it.
#[derive(Debug, thiserror::Error)]
#[error("the configuration is not valid:\n  {}", .0.join("\n  "))]
pub struct BadConfig(pub Vec<String>);

/// One setting as it holds.
#[derive(Clone, Debug)]
pub struct Effective {
    /// Its key.
    pub key: String,
    /// Its variable.
    pub variable: String,
    /// What it is; no secret.
    pub value: Value,
    /// What it would be if nobody said anything.
    pub default: Value,
    /// What it counts.
    pub unit: &'static str,
    /// What it may be, in words.
    pub range: String,
    /// What it is for.
    pub about: String,
    /// Who said so.
    pub origin: Origin,
}

/// What was read.
#[derive(Debug)]
pub struct Loaded {
    /// What it means.
    pub config: Config,
    /// Every setting there is.
    pub settings: Vec<Effective>,
}

impl Written {
    /// Reads it.
    pub fn load(self) -> Result<Loaded, BadConfig> {
        let settings = settings();
        let mut reading = Reading { settings: &settings, draft: Draft::default(), origins: BTreeMap::new(), problems: Vec::new() };
        if let Some((path, text)) = &self.file {
            reading.file(path, text);
        }
        reading.environment(&self.variables);
        for flag in &self.flags {
            reading.flag(flag);
        }
        reading.finish()
    }
}

struct Reading<'a> {
    settings: &'a [Setting],
    draft: Draft,
    origins: BTreeMap<&'a str, Origin>,
    problems: Vec<String>,
}

impl<'a> Reading<'a> {
    fn file(&mut self, path: &std::path::Path, text: &Secret) {
        let text = text.expose_str().unwrap_or_default();
        let table: Map<String, Value> = match toml::from_str(text) {
            Ok(table) => table,
            // No part of the file is shown: there may be a password on the line.
            Err(error) => {
                let line = error.span().map(|span| text[..span.start.min(text.len())].lines().count().max(1));
                let line = line.map(|line| format!(", line {line}")).unwrap_or_default();
                self.problems.push(format!("{}{line}: {}", path.display(), error.message()));
                return;
            }
        };
        for (key, value) in flat(self.settings, table) {
            match find(self.settings, &key) {
                Ok(setting) => {
                    let written = setting.write(&mut self.draft, &value);
                    self.note(setting, written, Origin::File(path.to_owned()), |key| format!("{}: `{key}`", path.display()));
                }
                Err(why) => self.problems.push(format!("{}: `{key}` {why}", path.display())),
            }
        }
    }

    fn environment(&mut self, variables: &[(String, Secret)]) {
        let known: Vec<_> = self.settings.iter().map(|setting| (setting.variable(), setting)).collect();
        for (name, text) in variables {
            let Some(rest) = name.strip_prefix(VARIABLE_PREFIX) else { continue };
            let text = text.expose_str().unwrap_or_default();
            if let Some((_, setting)) = known.iter().find(|(known, _)| known == name) {
                // As a shell or a unit file has it that sets nothing.
                if !text.is_empty() {
                    let written = setting.write_text(&mut self.draft, text);
                    self.note(setting, written, Origin::Variable(name.clone()), |key| format!("{name} (`{key}`)"));
                }
            } else if !OTHER_VARIABLES.contains(&rest) && !OTHER_PREFIXES.iter().any(|prefix| rest.starts_with(prefix)) {
                let others = OTHER_VARIABLES.map(|other| format!("{VARIABLE_PREFIX}{other}"));
                let names = known.iter().map(|(known, _)| known.as_str()).chain(others.iter().map(String::as_str));
                self.problems.push(format!("the variable {name} {}", unknown(name, names)));
            }
        }
    }

    fn flag(&mut self, flag: &Flag) {
        match find(self.settings, &flag.key) {
            Ok(setting) => {
                let written = setting.write_text(&mut self.draft, flag.text.expose_str().unwrap_or_default());
                self.note(setting, written, Origin::Flag(flag.name.clone()), |key| format!("{} (`{key}`)", flag.name));
            }
            Err(why) => self.problems.push(format!("{}: `{}` {why}", flag.name, flag.key)),
        }
    }

    fn note(&mut self, setting: &'a Setting, written: Result<(), String>, origin: Origin, place: impl Fn(&str) -> String) {
        match written {
            Ok(()) => drop(self.origins.insert(&setting.key, origin)),
            Err(why) => self.problems.push(format!("{} {why}", place(&setting.key))),
        }
    }

    fn finish(mut self) -> Result<Loaded, BadConfig> {
        let defaults = Draft::default();
        let effective = |setting: &Setting| Effective {
            key: setting.key.clone(),
            variable: setting.variable(),
            value: setting.read(&self.draft),
            default: setting.read(&defaults),
            unit: setting.unit,
            range: setting.range(),
            about: setting.about.clone(),
            origin: self.origins.get(setting.key.as_str()).cloned().unwrap_or(Origin::Default),
        };
        let shown = self.settings.iter().map(effective).collect();
        match self.draft.finish() {
            Ok(config) if self.problems.is_empty() => Ok(Loaded { config, settings: shown }),
            Ok(_) => Err(BadConfig(self.problems)),
            Err(more) => {
                self.problems.extend(more.into_iter().map(|(key, why)| format!("`{key}` {why}")));
                Err(BadConfig(self.problems))
            }
        }
    }
}

/// A file's table as keys and values: what is a table and no setting itself is taken apart.
fn flat(settings: &[Setting], table: Map<String, Value>) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (name, value) in table {
        let is_table = settings.iter().any(|setting| setting.key.split_once('.').is_some_and(|(table, _)| table == name));
        match value {
            Value::Object(fields) if is_table => found.extend(fields.into_iter().map(|(field, value)| (format!("{name}.{field}"), value))),
            value => found.push((name, value)),
        }
    }
    found
}

/// The list of all settings but those of plugins, as the first page has it: Markdown.
pub fn page() -> String {
    let defaults = Draft::default();
    let rows =
        settings().into_iter().filter(|setting| !setting.key.starts_with("plugin_defaults") && !setting.key.starts_with("plugin_maxima"));
    let row = |it: Setting| {
        let default = match it.read(&defaults) {
            Value::String(text) => format!("`{text}`"),
            Value::Number(number) => number.to_string(),
            Value::Bool(yes) => yes.to_string(),
            _ => String::new(),
        };
        let range = it.range();
        let bounds = if range.is_empty() { String::new() } else { format!("{range} {}", it.unit) };
        format!("| `{}` | {default} | {bounds} | {} |", it.key, it.about.trim_end_matches('.'))
    };
    format!("| setting | default | from and to | what it is |\n|---|---|---|---|\n{}\n", rows.map(row).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text)
    }

    fn load(file: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Loaded, BadConfig> {
        Written {
            file: Some(("h.toml".into(), secret(file))),
            variables: variables.iter().map(|(name, text)| ((*name).to_owned(), secret(text))).collect(),
            flags: flags.iter().map(|(key, text)| Flag { name: "--set".to_owned(), key: (*key).to_owned(), text: secret(text) }).collect(),
        }
        .load()
    }

    #[test]
    fn the_last_layer_that_says_anything_is_heard() {
        let file = "listen = \"127.0.0.1:1\"\n[limits]\nbacklog_max = 10\nlease_seconds = 60\ndrain_seconds_max = 5";
        let environment = [("HOOKWRIGHT_LIMITS_BACKLOG_MAX", "20"), ("HOOKWRIGHT_LIMITS_LEASE_SECONDS", "70"), ("HOOKWRIGHT_DATA", "")];
        let loaded = load(file, &environment, &[("limits.backlog_max", "30")]).expect("a configuration");
        let limits = &loaded.config.limits;
        assert_eq!((limits.backlog_max, limits.lease.as_secs(), limits.drain_time_max.as_secs()), (30, 70, 5));
        let origin = |key: &str| loaded.settings.iter().find(|setting| setting.key == key).expect("a setting").origin.to_string();
        assert_eq!(
            ["limits.backlog_max", "limits.lease_seconds", "limits.drain_seconds_max", "data"].map(origin),
            ["--set", "HOOKWRIGHT_LIMITS_LEASE_SECONDS", "h.toml", "default"]
        );
    }

    #[test]
    fn everything_wrong_is_told_at_once_with_the_nearest_name_and_the_bounds() {
        let file = "lisen = \"x\"\n[limits]\nlease_secnds = 1\nbacklog_max = 0\n[limit]\nx = 1\n[smtp]\nport = 25\n[plugin_defaults]\ncpu_ms = 70000";
        let environment = [("HOOKWRIGHT_LISTN", "x"), ("HOOKWRIGHT_RETENTION_EVENTS_DAYS", "ten"), ("HOOKWRIGHT_PORT", "tcp://10.0.0.1:1")];
        let BadConfig(problems) = load(file, &environment, &[("bases", "/a?b=c")]).expect_err("refused");
        for says in [
            "h.toml: `lisen` is no setting; did you mean `listen`?",
            "h.toml: `limits.lease_secnds` is no setting; did you mean `limits.lease_seconds`?",
            "h.toml: `limits.backlog_max` is 0; it must be a whole number of deliveries, 1 to 1000000000",
            "h.toml: `limit` is no setting",
            "the variable HOOKWRIGHT_LISTN is no setting; did you mean `HOOKWRIGHT_LISTEN`?",
            "HOOKWRIGHT_RETENTION_EVENTS_DAYS (`retention.events_days`) is `ten`; it must be a whole number of days, 0 to 36500",
            "--set (`bases`) `/a?b` is no base",
            "`plugin_defaults.cpu_ms` 70000 is out of range: 1 to 60000 milliseconds",
            "`smtp.host` must be set",
        ] {
            assert!(problems.iter().any(|problem| problem.starts_with(says)), "{says} is not in {problems:#?}");
        }
        assert_eq!(problems.len(), 9, "{problems:#?}");
    }

    #[test]
    fn a_file_that_cannot_be_read_shows_its_line_and_no_password() {
        let BadConfig(problems) = load("data = \"d\"\n[[proxy]]\nurl = \"http://ann:canary@p\n", &[], &[]).expect_err("refused");
        assert!(problems[0].starts_with("h.toml, line 3: ") && !problems[0].contains("canary"), "{problems:?}");
        let loaded = load("[[proxy]]\nurl = \"http://ann:canary@p:1\"\nhosts = [\"h\"]", &[], &[]).expect("a configuration");
        let proxy = loaded.settings.iter().find(|setting| setting.key == "proxy").expect("the setting").value.to_string();
        assert_eq!(proxy, r#"[{"hosts":["h"],"url":"http://(redacted)@p:1"}]"#);
    }
}
