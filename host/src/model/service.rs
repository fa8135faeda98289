//! The services webhooks may be about: what they are called, what they can do, whose they are.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::Problem;

/// The longest name of a folder or a service, in characters.
const NAME_CHARS_MAX: usize = 120;
/// Owners of one service.
pub const OWNERS_MAX: usize = 100;

/// What a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
pub enum ServiceKind {
    /// Features that can be looked up and edited.
    FeatureServer,
    /// Jobs.
    #[serde(rename = "GPServer")]
    GpServer,
}

impl ServiceKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::FeatureServer, Self::GpServer];

    /// As paths spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FeatureServer => "FeatureServer",
            Self::GpServer => "GPServer",
        }
    }
}

/// What a feature service can do, as ArcGIS spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
pub enum Capability {
    /// Features can be looked up.
    Query,
    /// Features can be added.
    Create,
    /// Features can be changed.
    Update,
    /// Features can be deleted.
    Delete,
    /// All three.
    Editing,
    /// Copies can be taken along and brought back.
    Sync,
    /// What changed can be asked for.
    ChangeTracking,
    /// Data can be extracted.
    Extract,
    /// Files can be uploaded.
    Uploads,
}

/// What a service must be like for a webhook to be told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceRule {
    /// Of which kind.
    pub kind: ServiceKind,
    /// What it can do.
    #[serde(default)]
    pub with: Vec<Capability>,
    /// What it must not do.
    #[serde(default)]
    pub without: Vec<Capability>,
    /// Whether it works asynchronously.
    #[serde(default)]
    pub asynchronous: bool,
}

impl Capability {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Query => "Query",
            Self::Create => "Create",
            Self::Update => "Update",
            Self::Delete => "Delete",
            Self::Editing => "Editing",
            Self::Sync => "Sync",
            Self::ChangeTracking => "ChangeTracking",
            Self::Extract => "Extract",
            Self::Uploads => "Uploads",
        }
    }
}

/// How a geoprocessing service answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Execution {
    /// At once, or not at all.
    #[default]
    Synchronous,
    /// A job that is asked about later.
    Asynchronous,
}

/// A service's name: `Utilities/Water.FeatureServer`, or `Water.FeatureServer` in no folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName {
    /// Empty at the top.
    pub folder: String,
    /// Without its kind.
    pub service: String,
    /// What it is.
    pub kind: ServiceKind,
}

impl ServiceName {
    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        let (folder, rest) = text.split_once('/').unwrap_or(("", text));
        let (service, kind) = rest.rsplit_once('.')?;
        let kind = ServiceKind::ALL.into_iter().find(|known| known.as_str() == kind)?;
        let is_name =
            |text: &str| text.len() <= NAME_CHARS_MAX && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        let fits = is_name(folder) && is_name(service) && !service.is_empty() && folder.is_empty() != text.contains('/');
        fits.then(|| Self { folder: folder.to_owned(), service: service.to_owned(), kind })
    }

    /// The name in a source or a trigger, whatever follows it: `/services/Utilities/Water.FeatureServer/...`.
    pub fn of_path(path: &str) -> Option<Self> {
        let path = path.strip_prefix("/services/")?;
        let end = ServiceKind::ALL.into_iter().find_map(|kind| {
            let mark = format!(".{}", kind.as_str());
            let end = path.find(&mark)? + mark.len();
            path[end..].chars().next().is_none_or(|next| next == '/').then_some(end)
        });
        Self::parse(&path[..end?])
    }

    /// As events name it: the source of a feature service's, what the trigger of a job's begins with.
    pub fn path(&self) -> String {
        format!("/services/{self}")
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { folder, service, kind } = self;
        let slash = if folder.is_empty() { "" } else { "/" };
        write!(f, "{folder}{slash}{service}.{}", kind.as_str())
    }
}

/// A service as an admin writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceSpec {
    /// `[folder/]service.FeatureServer` or `.GPServer`; what the address ends with.
    #[serde(default)]
    #[schema(example = "Utilities/Water.FeatureServer")]
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What a feature service can do.
    #[serde(default)]
    #[schema(example = json!(["Query", "Update", "ChangeTracking"]))]
    pub capabilities: Vec<Capability>,
    /// How a geoprocessing service answers.
    #[serde(default)]
    pub execution: Execution,
    /// Names of the tokens whose it is. Only they and admins manage its webhooks; empty: everybody who may manage webhooks of its kind.
    #[serde(default)]
    #[schema(example = json!(["ann"]))]
    pub owners: Vec<String>,
}

/// A service as kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceEntry {
    /// As written.
    pub spec: ServiceSpec,
    /// When it was first written.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
}

impl ServiceSpec {
    /// What is wrong with it, by itself.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        match ServiceName::parse(&self.name) {
            None => problems.push(Problem::new(
                "/name",
                "`[folder/]service.FeatureServer` or `[folder/]service.GPServer`; folder and service of up to 120 letters, digits, `_` or `-`",
            )),
            Some(ServiceName { kind: ServiceKind::FeatureServer, .. }) if self.execution == Execution::Asynchronous => {
                problems.push(Problem::new("/execution", "a geoprocessing service has an execution, a feature service has `capabilities`"));
            }
            Some(ServiceName { kind: ServiceKind::GpServer, .. }) if !self.capabilities.is_empty() => {
                problems.push(Problem::new("/capabilities", "a feature service has capabilities, a geoprocessing service has an `execution`"));
            }
            Some(_) => {}
        }
        if self.owners.len() > OWNERS_MAX {
            problems.push(Problem::new("/owners", format!("at most {OWNERS_MAX} owners")));
        }
        problems
    }

    /// Why webhooks under `rule` cannot be about this service.
    pub fn breaks(&self, rule: &ServiceRule) -> Option<String> {
        let name = &self.name;
        let kind = ServiceName::parse(name)?.kind;
        let words = |wanted: &[Capability]| wanted.iter().map(|one| format!("`{}`", one.as_str())).collect::<Vec<_>>().join(", ");
        // Who may do everything with features may change them.
        let has = |one: &Capability| {
            self.capabilities.contains(one) || (*one == Capability::Update && self.capabilities.contains(&Capability::Editing))
        };
        let missing: Vec<_> = rule.with.iter().filter(|one| !has(one)).copied().collect();
        let excess: Vec<_> = rule.without.iter().filter(|one| has(one)).copied().collect();
        if kind != rule.kind {
            Some(format!("`{name}` is a {}; webhooks of this profile are about a {}", kind.as_str(), rule.kind.as_str()))
        } else if !missing.is_empty() {
            Some(format!("`{name}` lacks the capability {}: its webhooks need {}", words(&missing), words(&rule.with)))
        } else if !excess.is_empty() {
            Some(format!(
                "`{name}` has the capability {}, with which there are no webhooks: changes are tracked without it",
                words(&excess)
            ))
        } else if rule.asynchronous && self.execution == Execution::Synchronous {
            Some(format!("`{name}` is synchronous; only an asynchronous service has jobs whose end can be told"))
        } else {
            None
        }
    }

    /// Whether `who` manages it, as far as ownership goes.
    pub fn is_owned_by(&self, who: &str) -> bool {
        self.owners.is_empty() || self.owners.iter().any(|owner| owner == who)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::profile::built_in;

    #[test]
    fn names_are_read_alone_and_in_paths() {
        let name =
            |text: &str| ServiceName::parse(text).map(|name| (name.folder.clone(), name.service.clone(), name.kind, name.to_string()));
        let utilities =
            ("Utilities".to_owned(), "Water".to_owned(), ServiceKind::FeatureServer, "Utilities/Water.FeatureServer".to_owned());
        assert_eq!(name("Utilities/Water.FeatureServer"), Some(utilities));
        assert_eq!(name("Route.GPServer").map(|(folder, ..)| folder), Some(String::new()));
        for wrong in [
            "",
            "Water",
            "Water.MapServer",
            ".GPServer",
            "/Water.GPServer",
            "a/b/c.GPServer",
            "a/.GPServer",
            "a b.GPServer",
            "Ünter.GPServer",
        ] {
            assert_eq!(name(wrong), None, "{wrong}");
        }
        let of = |path: &str| ServiceName::of_path(path).map(|name| name.to_string());
        assert_eq!(of("/services/T/Route.GPServer/jobs/j1/succeeded").as_deref(), Some("T/Route.GPServer"));
        assert_eq!(of("/services/Water.FeatureServer").as_deref(), Some("Water.FeatureServer"));
        assert_eq!(of("/services/Water.FeatureServers"), None);
        assert_eq!(of("/items/Water.FeatureServer"), None);
    }

    #[test]
    fn the_conditions_of_the_documentation_are_each_told_apart() {
        let feature = built_in()["arcgis-feature"].service.clone().expect("a rule");
        let jobs = built_in()["arcgis-geoprocessing"].service.clone().expect("a rule");
        let with = |name: &str, capabilities: &[Capability], execution| {
            let (name, capabilities) = (name.to_owned(), capabilities.to_vec());
            ServiceSpec { name, capabilities, execution, description: String::new(), owners: Vec::new() }
        };
        let water = |capabilities: &[Capability]| with("Water.FeatureServer", capabilities, Execution::Synchronous);
        use Capability::{ChangeTracking, Editing, Query, Sync, Update};
        assert_eq!(water(&[Query, Update, ChangeTracking]).breaks(&feature), None);
        assert_eq!(water(&[Editing, ChangeTracking]).breaks(&feature), None);
        let says = |spec: ServiceSpec, rule: &ServiceRule, word: &str| {
            assert!(spec.breaks(rule).is_some_and(|reason| reason.contains(word)), "{word}: {:?}", spec.breaks(rule));
        };
        says(water(&[Query, ChangeTracking]), &feature, "lacks the capability `Update`");
        says(water(&[Update]), &feature, "lacks the capability `ChangeTracking`");
        says(water(&[Update, ChangeTracking, Sync]), &feature, "has the capability `Sync`");
        says(with("Route.GPServer", &[], Execution::Synchronous), &jobs, "is synchronous");
        says(water(&[]), &jobs, "is a FeatureServer");
        assert_eq!(with("Route.GPServer", &[], Execution::Asynchronous).breaks(&jobs), None);
    }
}
