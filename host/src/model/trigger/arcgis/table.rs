//! The rows themselves. The sentences are ours, in English and in French; the names are the page's.

use super::family::{ChangeType, FEATURES_EDITED, Holds, Operation, Property, Text};

pub(super) const fn text(en: &'static str, fr: &'static str) -> Text {
    Text { en, fr }
}

const fn op(name: &'static str, any: Option<Text>, one: Option<Text>, property: Option<Property>) -> Operation {
    Operation { name, any, one, property }
}

const fn names(key: &'static str) -> Property {
    Property { key, holds: Holds::Names }
}

const fn shared_items(key: &'static str) -> Property {
    Property { key, holds: Holds::Items }
}

/// `addComment`, `deleteComment` and `updateComment` are of later releases than the rest.
pub(super) static ITEMS: [Operation; 11] = [
    op("add", Some(text("An item is added to the portal", "Un élément est ajouté au portail")), None, None),
    op(
        "delete",
        Some(text("Any item is deleted", "Un élément, quel qu'il soit, est supprimé")),
        Some(text("A specific item is deleted", "Un élément donné est supprimé")),
        None,
    ),
    op(
        "update",
        Some(text("Any item is updated", "Un élément, quel qu'il soit, est mis à jour")),
        Some(text("The properties of a specific item are updated", "Les propriétés d'un élément donné sont mises à jour")),
        None,
    ),
    op(
        "move",
        Some(text("Any item is moved or changes hands", "Un élément, quel qu'il soit, est déplacé ou change de mains")),
        Some(text("A specific item is moved or changes hands", "Un élément donné est déplacé ou change de mains")),
        None,
    ),
    op(
        "publish",
        Some(text("Any item is published", "Un élément, quel qu'il soit, est publié")),
        Some(text("A specific item is published", "Un élément donné est publié")),
        None,
    ),
    op(
        "share",
        Some(text("Any item is shared", "Un élément, quel qu'il soit, est partagé")),
        Some(text("A specific item is shared", "Un élément donné est partagé")),
        Some(names("sharedToGroups")),
    ),
    op(
        "unshare",
        Some(text("Any item is unshared", "Un élément, quel qu'il soit, n'est plus partagé")),
        Some(text("A specific item is unshared", "Un élément donné n'est plus partagé")),
        Some(names("unsharedFromGroups")),
    ),
    op(
        "reassign",
        Some(text("Any item gets a new owner", "Un élément, quel qu'il soit, change de propriétaire")),
        Some(text("A specific item gets a new owner", "Un élément donné change de propriétaire")),
        Some(names("reassignedTo")),
    ),
    op(
        "addComment",
        Some(text("A comment is added to any item", "Un commentaire est ajouté à un élément, quel qu'il soit")),
        Some(text("A comment is added to a specific item", "Un commentaire est ajouté à un élément donné")),
        None,
    ),
    op(
        "deleteComment",
        Some(text("A comment on any item is deleted", "Un commentaire sur un élément, quel qu'il soit, est supprimé")),
        Some(text("A comment on a specific item is deleted", "Un commentaire sur un élément donné est supprimé")),
        None,
    ),
    op(
        "updateComment",
        Some(text("A comment on any item is updated", "Un commentaire sur un élément, quel qu'il soit, est modifié")),
        Some(text("A comment on a specific item is updated", "Un commentaire sur un élément donné est modifié")),
        None,
    ),
];

/// The page's text says `removeUserNames` and `updateUserNames`, its examples `removedUserNames` and `updatedUserNames`; the examples win.
pub(super) static GROUPS: [Operation; 12] = [
    op("add", Some(text("A group is added", "Un groupe est créé")), None, None),
    op(
        "update",
        Some(text("Any group is updated", "Un groupe, quel qu'il soit, est mis à jour")),
        Some(text("A specific group is updated", "Un groupe donné est mis à jour")),
        None,
    ),
    op(
        "delete",
        Some(text("Any group is deleted", "Un groupe, quel qu'il soit, est supprimé")),
        Some(text("A specific group is deleted", "Un groupe donné est supprimé")),
        None,
    ),
    op(
        "protect",
        Some(text("Delete protection is enabled for any group", "Un groupe, quel qu'il soit, est protégé contre la suppression")),
        Some(text("Delete protection is enabled for a specific group", "Un groupe donné est protégé contre la suppression")),
        None,
    ),
    op(
        "unprotect",
        Some(text("Delete protection is disabled for any group", "Un groupe, quel qu'il soit, n'est plus protégé contre la suppression")),
        Some(text("Delete protection is disabled for a specific group", "Un groupe donné n'est plus protégé contre la suppression")),
        None,
    ),
    op(
        "invite",
        Some(text("A user is invited to any group", "Un utilisateur est invité à rejoindre un groupe, quel qu'il soit")),
        Some(text("A user is invited to a specific group", "Un utilisateur est invité à rejoindre un groupe donné")),
        Some(names("invitedUserNames")),
    ),
    op(
        "addUsers",
        Some(text("A user is added to any group", "Un utilisateur rejoint un groupe, quel qu'il soit")),
        Some(text("A user is added to a specific group", "Un utilisateur rejoint un groupe donné")),
        Some(names("addedUserNames")),
    ),
    op(
        "removeUsers",
        Some(text("A user is removed from any group", "Un utilisateur est retiré d'un groupe, quel qu'il soit")),
        Some(text("A user is removed from a specific group", "Un utilisateur est retiré d'un groupe donné")),
        Some(names("removedUserNames")),
    ),
    op(
        "updateUsers",
        Some(text("A user's role in any group is updated", "Le rôle d'un utilisateur change dans un groupe, quel qu'il soit")),
        Some(text("A user's role in a specific group is updated", "Le rôle d'un utilisateur change dans un groupe donné")),
        Some(names("updatedUserNames")),
    ),
    op(
        "reassign",
        Some(text("Any group gets a new owner", "Un groupe, quel qu'il soit, change de propriétaire")),
        Some(text("A specific group gets a new owner", "Un groupe donné change de propriétaire")),
        Some(names("reassignedTo")),
    ),
    op(
        "itemShare",
        None,
        Some(text("An item is shared with a specific group", "Un élément est partagé avec un groupe donné")),
        Some(shared_items("sharedItems")),
    ),
    op(
        "itemUnshare",
        None,
        Some(text("An item is unshared from a specific group", "Un élément n'est plus partagé avec un groupe donné")),
        Some(shared_items("unsharedItems")),
    ),
];

pub(super) static USERS: [Operation; 9] = [
    op("add", Some(text("A user is added to the organization", "Un utilisateur rejoint l'organisation")), None, None),
    op(
        "signIn",
        Some(text("Any user signs in to the portal", "Un utilisateur, quel qu'il soit, se connecte au portail")),
        Some(text("A specific user signs in to the portal", "Un utilisateur donné se connecte au portail")),
        None,
    ),
    op(
        "signOut",
        Some(text("Any user signs out of the portal", "Un utilisateur, quel qu'il soit, se déconnecte du portail")),
        Some(text("A specific user signs out of the portal", "Un utilisateur donné se déconnecte du portail")),
        None,
    ),
    op(
        "delete",
        Some(text("Any user is deleted", "Un utilisateur, quel qu'il soit, est supprimé")),
        Some(text("A specific user is deleted", "Un utilisateur donné est supprimé")),
        None,
    ),
    op(
        "update",
        Some(text("Any user's profile is updated", "Le profil d'un utilisateur, quel qu'il soit, est mis à jour")),
        Some(text("A specific user's profile is updated", "Le profil d'un utilisateur donné est mis à jour")),
        None,
    ),
    op(
        "disable",
        Some(text("Any user's account is disabled", "Le compte d'un utilisateur, quel qu'il soit, est désactivé")),
        Some(text("A specific user's account is disabled", "Le compte d'un utilisateur donné est désactivé")),
        None,
    ),
    op(
        "enable",
        Some(text("Any user's account is enabled", "Le compte d'un utilisateur, quel qu'il soit, est activé")),
        Some(text("A specific user's account is enabled", "Le compte d'un utilisateur donné est activé")),
        None,
    ),
    op(
        "updateUserRole",
        Some(text("Any user is assigned a new role", "Un utilisateur, quel qu'il soit, reçoit un nouveau rôle")),
        Some(text("A specific user is assigned a new role", "Un utilisateur donné reçoit un nouveau rôle")),
        Some(names("userRoleUpdatedTo")),
    ),
    op(
        "updateUserLicenseType",
        Some(text("Any user is assigned a new user type", "Un utilisateur, quel qu'il soit, reçoit un nouveau type d'utilisateur")),
        Some(text("A specific user is assigned a new user type", "Un utilisateur donné reçoit un nouveau type d'utilisateur")),
        Some(names("userLicenseTypeUpdatedTo")),
    ),
];

pub(super) static ROLES: [Operation; 3] = [
    op("add", Some(text("A role is created", "Un rôle est créé")), None, Some(names("name"))),
    op("updated", Some(text("A role is updated", "Un rôle est mis à jour")), None, None),
    op("delete", Some(text("A role is deleted", "Un rôle est supprimé")), None, None),
];

const fn change(name: &'static str, description: Text) -> ChangeType {
    ChangeType { name, description }
}

/// What a feature service webhook may subscribe to, besides `*` (any of them).
pub static CHANGE_TYPES: [ChangeType; 10] = [
    change("FeaturesCreated", text("A feature is created", "Une entité est créée")),
    change("FeaturesUpdated", text("A feature is updated", "Une entité est mise à jour")),
    change("FeaturesDeleted", text("A feature is deleted", "Une entité est supprimée")),
    change(FEATURES_EDITED, text("A feature is created, updated or deleted", "Une entité est créée, mise à jour ou supprimée")),
    change("AttachmentsCreated", text("An attachment is added", "Une pièce jointe est ajoutée")),
    change("AttachmentsUpdated", text("An attachment is updated", "Une pièce jointe est mise à jour")),
    change("AttachmentsDeleted", text("An attachment is deleted", "Une pièce jointe est supprimée")),
    change("LayerSchemaChanged", text("The schema of a layer is changed", "La structure d'une couche est modifiée")),
    change("LayerDefinitionChanged", text("The definition of a layer is changed", "La définition d'une couche est modifiée")),
    change(
        "FeatureServiceDefinitionChanged",
        text("The definition of the feature service is changed", "La définition du service d'entités est modifiée"),
    ),
];
