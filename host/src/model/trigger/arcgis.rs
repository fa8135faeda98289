//! The trigger tables of ArcGIS Enterprise, "Webhook event triggers", as data.
//!
//! Organization webhooks name operations by path, feature service webhooks by change type; geoprocessing webhooks have none to choose.

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

/// One operation of a family.
#[derive(Debug, PartialEq, Eq)]
pub struct Operation {
    /// As an event's path and payload spell it.
    pub name: &'static str,
    /// What `/family/operation` subscribes to; absent when the table has no such row.
    pub any: Option<&'static str>,
    /// What `/family/<id>/operation` subscribes to; absent when the table has no such row.
    pub one: Option<&'static str>,
    /// The key the event's `properties` have for it. Its value is a list.
    pub property: Option<&'static str>,
}

/// A change type of a feature service webhook.
#[derive(Debug, PartialEq, Eq)]
pub struct ChangeType {
    /// As it is written.
    pub name: &'static str,
    /// When it fires.
    pub description: &'static str,
}

/// One row of the tables: what a subscription may say, and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Such as `/items/<itemID>/share`.
    pub selector: String,
    /// In English.
    pub description: &'static str,
}

const fn op(name: &'static str, any: Option<&'static str>, one: Option<&'static str>, property: Option<&'static str>) -> Operation {
    Operation { name, any, one, property }
}

/// `addComment`, `deleteComment` and `updateComment` are of later releases than the rest.
static ITEMS: [Operation; 11] = [
    op("add", Some("An item is added to the portal"), None, None),
    op("delete", Some("Any item is deleted"), Some("A specific item is deleted"), None),
    op("update", Some("Any item is updated"), Some("The properties of a specific item are updated"), None),
    op("move", Some("Any item is moved or changes hands"), Some("A specific item is moved or changes hands"), None),
    op("publish", Some("Any item is published"), Some("A specific item is published"), None),
    op("share", Some("Any item is shared"), Some("A specific item is shared"), Some("sharedToGroups")),
    op("unshare", Some("Any item is unshared"), Some("A specific item is unshared"), Some("unsharedFromGroups")),
    op("reassign", Some("Any item gets a new owner"), Some("A specific item gets a new owner"), Some("reassignedTo")),
    op("addComment", Some("A comment is added to any item"), Some("A comment is added to a specific item"), None),
    op("deleteComment", Some("A comment on any item is deleted"), Some("A comment on a specific item is deleted"), None),
    op("updateComment", Some("A comment on any item is updated"), Some("A comment on a specific item is updated"), None),
];

/// The page's text says `removeUserNames` and `updateUserNames`, its examples `removedUserNames` and `updatedUserNames`; the examples win.
static GROUPS: [Operation; 12] = [
    op("add", Some("A group is added"), None, None),
    op("update", Some("Any group is updated"), Some("A specific group is updated"), None),
    op("delete", Some("Any group is deleted"), Some("A specific group is deleted"), None),
    op("protect", Some("Delete protection is enabled for any group"), Some("Delete protection is enabled for a specific group"), None),
    op("unprotect", Some("Delete protection is disabled for any group"), Some("Delete protection is disabled for a specific group"), None),
    op("invite", Some("A user is invited to any group"), Some("A user is invited to a specific group"), Some("invitedUserNames")),
    op("addUsers", Some("A user is added to any group"), Some("A user is added to a specific group"), Some("addedUserNames")),
    op("removeUsers", Some("A user is removed from any group"), Some("A user is removed from a specific group"), Some("removedUserNames")),
    op(
        "updateUsers",
        Some("A user's role in any group is updated"),
        Some("A user's role in a specific group is updated"),
        Some("updatedUserNames"),
    ),
    op("reassign", Some("Any group gets a new owner"), Some("A specific group gets a new owner"), None),
    op("itemShare", None, Some("An item is shared with a specific group"), Some("sharedItems")),
    op("itemUnshare", None, Some("An item is unshared from a specific group"), Some("unsharedItems")),
];

static USERS: [Operation; 9] = [
    op("add", Some("A user is added to the organization"), None, None),
    op("signIn", Some("Any user signs in to the portal"), Some("A specific user signs in to the portal"), None),
    op("signOut", Some("Any user signs out of the portal"), Some("A specific user signs out of the portal"), None),
    op("delete", Some("Any user is deleted"), Some("A specific user is deleted"), None),
    op("update", Some("Any user's profile is updated"), Some("A specific user's profile is updated"), None),
    op("disable", Some("Any user's account is disabled"), Some("A specific user's account is disabled"), None),
    op("enable", Some("Any user's account is enabled"), Some("A specific user's account is enabled"), None),
    op(
        "updateUserRole",
        Some("Any user is assigned a new role"),
        Some("A specific user is assigned a new role"),
        Some("userRoleUpdatedTo"),
    ),
    op(
        "updateUserLicenseType",
        Some("Any user is assigned a new user type"),
        Some("A specific user is assigned a new user type"),
        Some("userLicenseTypeUpdatedTo"),
    ),
];

static ROLES: [Operation; 3] = [
    op("add", Some("A role is created"), None, Some("name")),
    op("updated", Some("A role is updated"), None, None),
    op("delete", Some("A role is deleted"), None, None),
];

const fn change(name: &'static str, description: &'static str) -> ChangeType {
    ChangeType { name, description }
}

/// What a feature service webhook may subscribe to, besides `*` (any of them).
pub static CHANGE_TYPES: [ChangeType; 10] = [
    change("FeaturesCreated", "A feature is created"),
    change("FeaturesUpdated", "A feature is updated"),
    change("FeaturesDeleted", "A feature is deleted"),
    change(FEATURES_EDITED, "A feature is created, updated or deleted"),
    change("AttachmentsCreated", "An attachment is added"),
    change("AttachmentsUpdated", "An attachment is updated"),
    change("AttachmentsDeleted", "An attachment is deleted"),
    change("LayerSchemaChanged", "The schema of a layer is changed"),
    change("LayerDefinitionChanged", "The definition of a layer is changed"),
    change("FeatureServiceDefinitionChanged", "The definition of the feature service is changed"),
];

/// The change type that also stands for three others.
pub const FEATURES_EDITED: &str = "FeaturesEdited";

/// The three. That subscribing to `FeaturesEdited` is answered by each of them is our reading of "inserts, updates or deletes".
pub const FEATURE_EDITS: [&str; 3] = ["FeaturesCreated", "FeaturesUpdated", "FeaturesDeleted"];

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

    fn descriptions(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Items => ("All events of all items", Some("All events of a specific item")),
            Self::Groups => ("All events of all groups", Some("All events of a specific group")),
            Self::Users => ("All events of all users", Some("All events of a specific user")),
            Self::Roles => ("All events of all roles", None),
        }
    }
}

/// Every row of the organization tables.
pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for family in Family::ALL {
        let (name, id) = (family.as_str(), family.placeholder());
        let (all, one) = family.descriptions();
        rows.push(Row { selector: format!("/{name}"), description: all });
        rows.extend(family.operations().iter().filter_map(|operation| {
            operation.any.map(|description| Row { selector: format!("/{name}/{}", operation.any_spelling()), description })
        }));
        rows.extend(one.map(|description| Row { selector: format!("/{name}/<{id}>"), description }));
        rows.extend(family.operations().iter().filter_map(|operation| {
            operation.one.map(|description| Row { selector: format!("/{name}/<{id}>/{}", operation.name), description })
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
        let property = |family: Family, name| family.operation(name).and_then(|operation| operation.property);
        assert_eq!(property(Family::Items, "share"), Some("sharedToGroups"));
        assert_eq!(property(Family::Groups, "removeUsers"), Some("removedUserNames"));
        assert_eq!(property(Family::Users, "updateuserrole"), Some("userRoleUpdatedTo"));
        assert_eq!(property(Family::Roles, "add"), Some("name"));
        assert_eq!(property(Family::Items, "delete"), None);
    }
}
