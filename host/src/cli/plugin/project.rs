//! Finds out what is in a plugin's folder: a crate or a script, and the plugin's name.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::Value;

use super::{name, toolchain::Toolchain};
use crate::model::plugin::PluginKind;

/// The sources of a plugin.
#[derive(Clone, Debug, PartialEq)]
pub enum Project {
    /// A crate: there is a `Cargo.toml`.
    Rust,
    /// A script: the path of its file.
    Script(PathBuf),
}

impl Project {
    /// Finds the sources in `dir`.
    pub fn find(dir: &Path) -> anyhow::Result<Self> {
        if dir.join("Cargo.toml").is_file() {
            return Ok(Self::Rust);
        }
        let entries = std::fs::read_dir(dir).with_context(|| format!("{} cannot be read", dir.display()))?;
        let mut scripts: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| is_script(path)).collect();
        scripts.sort();
        match scripts.as_slice() {
            [script] => Ok(Self::Script(script.clone())),
            [] => bail!("{} is no plugin's folder: it holds neither a Cargo.toml nor a .js or .ts file", dir.display()),
            several => {
                // `plugin new` gives the script the name of its folder. Other scripts in the folder may be the author's own.
                let own = several.iter().find(|script| script.file_stem() == dir.file_name());
                match own {
                    Some(own) => Ok(Self::Script(own.clone())),
                    None => bail!("{} holds several scripts; a plugin is one", dir.display()),
                }
            }
        }
    }
}

/// The kind of a plugin's file, by its extension.
pub fn kind_of(path: &Path) -> Option<PluginKind> {
    PluginKind::of_file(path.file_name()?.to_str()?)
}

fn is_script(path: &Path) -> bool {
    kind_of(path).is_some_and(PluginKind::is_script)
}

/// The plugin's name, taken from a file name.
pub fn name_of(file: &Path) -> anyhow::Result<String> {
    let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    name::parse(&stem.replace('_', "-")).map_err(|rule| anyhow::anyhow!("{rule}; give the name apart from {}", file.display()))
}

/// A crate that becomes a plugin, as cargo describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Package {
    /// The plugin's name.
    pub plugin: String,
    /// cargo's identifier of the package.
    pub id: String,
    /// Whether the crate's workspace sets how a release is built.
    pub has_release_profile: bool,
}

impl Package {
    /// Reads the crate in the folder `dir`.
    pub fn read(toolchain: &Toolchain, dir: &Path) -> anyhow::Result<Self> {
        let output =
            toolchain.cargo(dir).args(["metadata", "--no-deps", "--format-version=1"]).output().context("cargo cannot be started")?;
        if !output.status.success() {
            bail!("cargo does not understand the project:\n{}", String::from_utf8_lossy(&output.stderr).trim_end());
        }
        let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo's description of the project")?;
        let mut package = Self::in_metadata(&metadata, &dir.join("Cargo.toml"))?;
        let root = Path::new(metadata["workspace_root"].as_str().unwrap_or_default()).join("Cargo.toml");
        let manifest: toml::Table = std::fs::read_to_string(&root).ok().and_then(|text| text.parse().ok()).unwrap_or_default();
        package.has_release_profile = manifest.get("profile").and_then(|profile| profile.get("release")).is_some();
        Ok(package)
    }

    fn in_metadata(metadata: &Value, manifest: &Path) -> anyhow::Result<Self> {
        let packages = metadata["packages"].as_array().into_iter().flatten();
        let own = packages.into_iter().find(|package| package["manifest_path"].as_str().is_some_and(|path| Path::new(path) == manifest));
        let Some(package) = own else { bail!("{} is no package of its own; name the plugin's folder with --dir", manifest.display()) };
        let is_plugin = |target: &Value| target["crate_types"].as_array().is_some_and(|types| types.iter().any(|kind| kind == "cdylib"));
        if !package["targets"].as_array().is_some_and(|targets| targets.iter().any(is_plugin)) {
            bail!("{} makes no plugin; it needs\n\n[lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n", manifest.display());
        }
        let called = package.pointer("/metadata/hookwright/name").or(package.get("name")).and_then(Value::as_str).unwrap_or_default();
        let id = package["id"].as_str().unwrap_or_default().to_owned();
        Ok(Self { plugin: name_of(Path::new(called))?, id, has_release_profile: false })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_folder_is_a_crate_or_a_script() {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |name: &str| std::fs::write(dir.path().join(name), "").expect("written");
        assert!(Project::find(dir.path()).is_err());
        write("a.js");
        write("hookwright.d.ts");
        assert_eq!(Project::find(dir.path()).ok(), Some(Project::Script(dir.path().join("a.js"))));
        write("b.js");
        assert!(Project::find(dir.path()).is_err());
        let own = format!("{}.js", dir.path().file_name().and_then(|name| name.to_str()).expect("a name"));
        write(&own);
        assert_eq!(Project::find(dir.path()).ok(), Some(Project::Script(dir.path().join(own))));
        write("Cargo.toml");
        assert_eq!(Project::find(dir.path()).ok(), Some(Project::Rust));
    }

    #[test]
    fn a_crate_is_called_like_its_package_unless_it_says_otherwise() {
        let metadata = |crate_type: &str, extra: Value| {
            json!({ "packages": [{ "name": "my_plugin", "id": "path+x", "manifest_path": "/p/Cargo.toml", "metadata": extra,
                                   "targets": [{ "crate_types": [crate_type] }] }] })
        };
        let read = |metadata: &Value| Package::in_metadata(metadata, Path::new("/p/Cargo.toml")).map(|package| package.plugin);
        assert_eq!(read(&metadata("cdylib", Value::Null)).ok().as_deref(), Some("my-plugin"));
        assert_eq!(read(&metadata("cdylib", json!({ "hookwright": { "name": "7zip" } }))).ok().as_deref(), Some("7zip"));
        assert!(read(&metadata("lib", Value::Null)).is_err_and(|error| error.to_string().contains("crate-type")));
        assert_eq!(name_of(Path::new("/x/a_b.wasm")).ok().as_deref(), Some("a-b"));
        assert!(name_of(Path::new("/x/A.wasm")).is_err());
    }
}
