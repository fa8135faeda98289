//! `hookwright config`: shows settings and where they come from, and checks a file. Also defines the flags of every command that starts a
//! host.

use std::{ffi::OsString, os::unix::ffi::OsStrExt, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::output::{self, table};
use crate::{
    config::load::{Effective, Flag, Loaded, Written},
    config::setting::VARIABLE_PREFIX,
    mail::Mailer,
    model::secret::Secret,
};

/// Show or check the configuration.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  hookwright config show --config /etc/hookwright.toml
  hookwright config check /etc/hookwright.toml")]
pub enum ConfigCommand {
    /// Show every setting: its value, unit, bounds and default, and where the value comes from. Secrets are not shown.
    #[command(after_help = "Examples:
  hookwright config show
  HOOKWRIGHT_LIMITS_BACKLOG_MAX=1000 hookwright config show --json | jq '.data[] | select(.origin != \"default\")'")]
    Show(Box<Show>),
    /// Read a file as the host would at start, without the environment, and report everything that is wrong.
    #[command(
        after_help = "Exit code: 0 it is right, 1 it is not; what is wrong is on standard error.\n\nExample:\n  hookwright config check /etc/hookwright.toml"
    )]
    Check(Check),
}

#[derive(Debug, Args)]
pub struct Show {
    #[command(flatten)]
    configured: Configured,
    /// Only settings that are set somewhere.
    #[arg(long)]
    set_only: bool,
    /// Print JSON, with the variable and the description of each setting.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct Check {
    /// The file (TOML).
    file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Where the configuration comes from: a file (TOML), the environment (`HOOKWRIGHT_` and the key in capitals), and flags. Later ones
/// override earlier ones.
#[derive(Debug, Args)]
pub struct Configured {
    /// Configuration file (TOML); the environment and flags override it.
    #[arg(long, env = "HOOKWRIGHT_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Any setting, named as in `hookwright config show`; repeat for more.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    set: Vec<(String, Secret)>,
    /// Data directory (HOOKWRIGHT_DATA) [default: ./data].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address to listen on (HOOKWRIGHT_LISTEN) [default: 127.0.0.1:8400].
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// A network that the host may call in addition to public addresses, also over plain http (HOOKWRIGHT_ALLOW_NETWORKS); repeat, or
    /// separate by commas.
    #[arg(long = "allow-network", value_name = "NETWORK")]
    allow_networks: Vec<String>,
    /// The proxy for all hosts, http://[USER:PASSWORD@]HOST:PORT, instead of the file's `[[proxy]]` (HOOKWRIGHT_PROXY). The proxy gets
    /// addresses that the host has checked. HTTP_PROXY and similar variables are not read.
    #[arg(long, value_name = "URL", value_parser = secret)]
    proxy: Option<Secret>,
    /// File with the storage key, 64 hexadecimal digits (HOOKWRIGHT_KEY_FILE) [default: DATA/key, created at the first start].
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// The address under which callers reach the host: scheme, host and port (HOOKWRIGHT_PUBLIC_URL) [default: as in the admin's own
    /// request].
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// A path before /api/v1/webhook/CODE, and the environment it selects: /123456/TEST1=test (HOOKWRIGHT_BASES). If any is set, codes
    /// are accepted only at these paths; repeat, or separate by commas.
    #[arg(long = "base", value_name = "PATH[=ENVIRONMENT]")]
    bases: Vec<String>,
    /// Format of the log on standard error: auto, text or json (HOOKWRIGHT_LOG_FORMAT) [default: auto, which is text on a terminal].
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

fn pair(text: &str) -> Result<(String, Secret), String> {
    let (key, value) = text.split_once('=').ok_or("it must be KEY=VALUE")?;
    Ok((key.trim().to_owned(), Secret::new(value)))
}

#[expect(clippy::unnecessary_wraps, reason = "clap's parsers are fallible")]
fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text))
}

impl Configured {
    pub fn load(self) -> anyhow::Result<Loaded> {
        let file = self.config.clone().map(read).transpose()?;
        Ok(Written { file, variables: variables(), flags: self.flags() }.load()?)
    }

    fn flags(self) -> Vec<Flag> {
        let path = |path: PathBuf| Secret::new(path.into_os_string().as_bytes());
        let list = |list: Vec<String>| Some(list.join(",")).filter(|list| !list.is_empty()).map(Secret::new);
        let named = [
            ("--data", "data", self.data.map(path)),
            ("--listen", "listen", self.listen.map(Secret::new)),
            ("--allow-network", "allow_networks", list(self.allow_networks)),
            ("--proxy", "proxy", self.proxy),
            ("--key-file", "key_file", self.key_file.map(path)),
            ("--public-url", "public_url", self.public_url.map(Secret::new)),
            ("--base", "bases", list(self.bases)),
            ("--log-format", "log_format", self.log_format.map(Secret::new)),
        ];
        let named = named.into_iter().filter_map(|(name, key, text)| Some((name, key.to_owned(), text?)));
        let set = self.set.into_iter().map(|(key, text)| ("--set", key, text));
        set.chain(named).map(|(name, key, text)| Flag { name: name.to_owned(), key, text }).collect()
    }
}

fn read(path: PathBuf) -> anyhow::Result<(PathBuf, Secret)> {
    let text = std::fs::read_to_string(&path).with_context(|| format!("the configuration {} cannot be read", path.display()))?;
    Ok((path, Secret::new(text)))
}

fn variables() -> Vec<(String, Secret)> {
    let own = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, Secret::new(value.as_bytes())));
    std::env::vars_os().filter_map(own).filter(|(name, _)| name.starts_with(VARIABLE_PREFIX)).collect()
}

impl ConfigCommand {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Show(show) => show.run(),
            Self::Check(check) => check.run(),
        }
    }
}

impl Show {
    fn run(self) -> anyhow::Result<ExitCode> {
        let loaded = self.configured.load()?;
        let is_set = |setting: &&Effective| !self.set_only || setting.origin != crate::config::load::Origin::Default;
        let settings = loaded.settings.iter().filter(is_set);
        let shown = if self.json {
            output::pretty(&json!({ "data": settings.map(document).collect::<Vec<_>>() }))
        } else {
            let row = |setting: &Effective| {
                let [value, default] = [&setting.value, &setting.default].map(text);
                vec![setting.key.clone(), value, setting.unit.to_owned(), default, setting.range.clone(), setting.origin.to_string()]
            };
            table(&["SETTING", "VALUE", "UNIT", "DEFAULT", "FROM AND TO", "SAID BY"], settings.map(row))
        };
        output::print(&shown)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn document(setting: &Effective) -> Value {
    let Effective { key, variable, value, default, unit, range, about, origin } = setting;
    let unit = Some(*unit).filter(|unit| !unit.is_empty());
    json!({ "key": key, "value": value, "unit": unit, "default": default, "range": range, "origin": origin.to_string(), "variable": variable,
        "about": about })
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) if list.is_empty() => "-".to_owned(),
        Value::Object(table) if table.is_empty() => "-".to_owned(),
        Value::Array(list) if list.iter().all(Value::is_string) => list.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

impl Check {
    fn run(self) -> anyhow::Result<ExitCode> {
        let file = read(self.file.clone())?;
        let loaded = Written { file: Some(file), ..Written::default() }.load()?;
        let Loaded { config, settings } = loaded;
        if let Some(smtp) = config.smtp {
            Mailer::new(smtp, config.limits.mail_time_max).context("`smtp` cannot be used")?;
        }
        let set = settings.iter().filter(|setting| setting.origin != crate::config::load::Origin::Default).count();
        let shown = if self.json {
            output::pretty(&json!({ "file": self.file, "valid": true, "set": set, "settings": settings.len() }))
        } else {
            format!("{}: valid; it sets {set} of {} settings", self.file.display(), settings.len())
        };
        output::print(&shown)?;
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::SmtpTls;

    #[test]
    fn the_configuration_files_in_the_documents_are_read() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/docs");
        let pages = std::fs::read_dir(folder).expect(folder).flatten().map(|page| std::fs::read_to_string(page.path()).expect("a page"));
        let blocks = |page: &str| {
            page.split("```toml\n").skip(1).filter_map(|rest| Some(rest.split("\n```").next()?.to_owned())).collect::<Vec<_>>()
        };
        let load = |text: &str| Written { file: Some(("a page".into(), Secret::new(text))), ..Written::default() }.load();
        let files = pages.flat_map(|page| blocks(&page));
        let files: Vec<_> = files.map(|block| load(&block).unwrap_or_else(|error| panic!("{error}: {block}")).config).collect();
        let config = files.into_iter().find(|config| config.smtp.is_some()).expect("one with a mail server");
        assert_eq!(config.bases.environment("/123456/TEST1"), Some(Some("test1".to_owned())));
        let smtp = config.smtp.expect("a mail server");
        assert_eq!((smtp.port, smtp.tls, smtp.user.as_deref()), (465, SmtpTls::Implicit, Some("webhooks")));
        assert!(Mailer::new(smtp, Duration::from_secs(1)).is_ok());
        let unprotected =
            load("[smtp]\nhost = \"mail.example.com\"\ntls = \"none\"\nfrom = \"a@b.example\"\nuser = \"a\"\npassword = \"$secret:p\"");
        let smtp = unprotected.expect("read").config.smtp.expect("a mail server");
        assert!(Mailer::new(smtp, Duration::from_secs(1)).is_err(), "a password in clear");
    }
}
