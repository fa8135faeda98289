//! What the tables are made of: families of objects, their operations, what these add to an event.

use serde::Serialize;
use utoipa::ToSchema;

/// A family of objects of an ArcGIS organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Maps, apps, layers, packages, files.
    Items,
    /// Groups of members.
    Groups,
    /// Members.
    Users,
    /// Roles of members.
    Roles,
}

/// A sentence in two languages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Text {
    /// English.
    pub en: &'static str,
    /// French.
    pub fr: &'static str,
}

/// One operation of a family.
#[derive(Debug, PartialEq, Eq)]
pub struct Operation {
    /// As an event's path and payload spell it.
    pub name: &'static str,
    /// What `/family/operation` subscribes to; absent when the table has no such row.
    pub any: Option<Text>,
    /// What `/family/<id>/operation` subscribes to; absent when the table has no such row.
    pub one: Option<Text>,
    /// What the event's `properties` have for it.
    pub property: Option<Property>,
}

/// A change type of a feature service webhook.
#[derive(Debug, PartialEq, Eq)]
pub struct ChangeType {
    /// As it is written.
    pub name: &'static str,
    /// When it fires.
    pub description: Text,
}

impl Operation {
    /// As `/family/operation` spells it: the table writes `/users/signin` there and `/users/<username>/signIn` below.
    pub fn any_spelling(&self) -> &'static str {
        match self.name {
            "signIn" => "signin",
            "signOut" => "signout",
            name => name,
        }
    }
}

impl Family {
    /// All four, in the order of the page.
    pub const ALL: [Self; 4] = [Self::Items, Self::Groups, Self::Users, Self::Roles];

    /// As paths spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Items => "items",
            Self::Groups => "groups",
            Self::Users => "users",
            Self::Roles => "roles",
        }
    }

    /// The family of that name, compared without case.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.as_str().eq_ignore_ascii_case(name))
    }

    /// What the tables call its identifiers. There is none for roles; the word is ours.
    pub fn placeholder(self) -> &'static str {
        match self {
            Self::Items => "itemID",
            Self::Groups => "groupID",
            Self::Users => "username",
            Self::Roles => "roleID",
        }
    }
}

/// What an operation adds to the `properties` of its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Property {
    /// The key.
    pub key: &'static str,
    /// What its list holds.
    pub holds: Holds,
}

/// What the list of a property holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Holds {
    /// Texts: identifiers of groups, names of users, `Organization`, `Everyone`.
    Names,
    /// Objects `{"itemId","itemType"}`, both texts.
    Items,
}

/// The change type that also stands for three others.
pub const FEATURES_EDITED: &str = "FeaturesEdited";
