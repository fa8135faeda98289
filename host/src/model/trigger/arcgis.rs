//! The trigger tables of ArcGIS Enterprise, "Webhook event triggers", as data.
//!
//! Organization webhooks name operations by path, feature service webhooks by change type; geoprocessing webhooks have none to choose.

mod family;
mod properties;
mod table;

pub use family::{ChangeType, FEATURES_EDITED, Family, Holds, Operation, Property, Text};
pub use properties::check_data;
pub use table::CHANGE_TYPES;
use table::{GROUPS, ITEMS, ROLES, USERS, text};

/// One row of the tables: what a subscription may say, and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Such as `/items/<itemID>/share`.
    pub selector: String,
    /// The operation, of which there may be a word more to say; absent where all of them are meant.
    pub operation: Option<&'static Operation>,
    /// What it means.
    pub description: Text,
}

/// The three. That subscribing to `FeaturesEdited` is answered by each of them is our reading of "inserts, updates or deletes".
pub const FEATURE_EDITS: [&str; 3] = ["FeaturesCreated", "FeaturesUpdated", "FeaturesDeleted"];

impl Family {
    /// Its operations, in the order of the page.
    pub fn operations(self) -> &'static [Operation] {
        match self {
            Self::Items => &ITEMS,
            Self::Groups => &GROUPS,
            Self::Users => &USERS,
            Self::Roles => &ROLES,
        }
    }

    /// The operation of that name, compared without case.
    pub fn operation(self, name: &str) -> Option<&'static Operation> {
        self.operations().iter().find(|operation| operation.name.eq_ignore_ascii_case(name))
    }

    fn descriptions(self) -> (Text, Option<Text>) {
        match self {
            Self::Items => (
                text("All events of all items", "Tous les événements de tous les éléments"),
                Some(text("All events of a specific item", "Tous les événements d'un élément donné")),
            ),
            Self::Groups => (
                text("All events of all groups", "Tous les événements de tous les groupes"),
                Some(text("All events of a specific group", "Tous les événements d'un groupe donné")),
            ),
            Self::Users => (
                text("All events of all users", "Tous les événements de tous les utilisateurs"),
                Some(text("All events of a specific user", "Tous les événements d'un utilisateur donné")),
            ),
            Self::Roles => (text("All events of all roles", "Tous les événements de tous les rôles"), None),
        }
    }
}

/// What subscribes to everything in the organization, as a webhook made with `allChanges` reads back.
pub const EVERYTHING: Text = text("All events of the organization", "Tous les événements de l'organisation");

/// What subscribes to every change of a feature service.
pub const ANY_CHANGE: Text = text("Any of the changes below", "N'importe lequel des changements ci-dessous");

/// How a job of a geoprocessing service ends: the last segment of the event's trigger, and what it means. That trigger's form is ours.
pub static JOB_ENDS: [(&str, Text); 3] = [
    ("succeeded", text("A job of the geoprocessing service succeeded", "Une tâche du service de géotraitement a réussi")),
    ("failed", text("A job of the geoprocessing service failed", "Une tâche du service de géotraitement a échoué")),
    ("cancelled", text("A job of the geoprocessing service was cancelled", "Une tâche du service de géotraitement a été annulée")),
];

/// Every row of the organization tables.
pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for family in Family::ALL {
        let (name, id) = (family.as_str(), family.placeholder());
        let (all, one) = family.descriptions();
        let row = |selector: String, description, operation| Row { selector, operation, description };
        rows.push(row(format!("/{name}"), all, None));
        rows.extend(family.operations().iter().filter_map(|operation| {
            operation.any.map(|description| row(format!("/{name}/{}", operation.any_spelling()), description, Some(operation)))
        }));
        rows.extend(one.map(|description| row(format!("/{name}/<{id}>"), description, None)));
        rows.extend(family.operations().iter().filter_map(|operation| {
            operation.one.map(|description| row(format!("/{name}/<{id}>/{}", operation.name), description, Some(operation)))
        }));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_are_those_of_the_page_and_the_comments() {
        let rows = rows();
        let has = |selector: &str| rows.iter().any(|row| row.selector == selector);
        for family in Family::ALL {
            assert!(has(&format!("/{}", family.as_str())));
        }
        assert_eq!(rows.iter().filter(|row| row.selector.starts_with("/items")).count(), 17 + 6);
        assert_eq!(rows.iter().filter(|row| row.selector.starts_with("/groups")).count(), 11 + 12);
        assert_eq!(rows.iter().filter(|row| row.selector.starts_with("/users")).count(), 10 + 9);
        assert_eq!(rows.iter().filter(|row| row.selector.starts_with("/roles")).count(), 4);
        assert!(has("/users/signin") && has("/users/<username>/signIn"));
        assert!(has("/groups/<groupID>/itemShare") && !has("/groups/itemShare"));
        assert!(has("/items/add") && !has("/items/<itemID>/add"));
    }

    #[test]
    fn operations_that_add_properties_say_which() {
        let property = |family: Family, name| family.operation(name).and_then(|operation| operation.property).map(|property| property.key);
        assert_eq!(property(Family::Items, "share"), Some("sharedToGroups"));
        assert_eq!(property(Family::Groups, "removeUsers"), Some("removedUserNames"));
        assert_eq!(property(Family::Users, "updateuserrole"), Some("userRoleUpdatedTo"));
        assert_eq!(property(Family::Roles, "add"), Some("name"));
        assert_eq!(property(Family::Groups, "reassign"), Some("reassignedTo"), "the page says so of items and groups");
        assert_eq!(property(Family::Items, "delete"), None);
    }
}
