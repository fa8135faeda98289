//! `/sharing/rest`: what clients ask about the portal and the user before they come to webhooks.

use serde_json::{Value, json};

use super::{
    access,
    asked::{Asked, Format},
    page::Shown,
};
use crate::{model::token::TokenRecord, server::respond::ApiError};

/// The identifier of the only organization. ArcGIS Enterprise uses the same.
pub(super) const PORTAL_ID: &str = "0123456789ABCDEF";

/// The version of ArcGIS whose API this is: the first with signed service webhooks and paged lists of organization webhooks.
const VERSION: &str = "11.2";

/// `/sharing/rest`
pub(super) fn root(asked: &Asked<'_>) -> Result<Shown, ApiError> {
    let value = json!({ "currentVersion": VERSION, "fullVersion": VERSION, "enterpriseVersion": VERSION });
    Ok(Shown::new("Portal Directory", value)
        .link("Portal Self", asked.link("sharing/rest/portals/self"))
        .link("Self", asked.link("sharing/rest/community/self"))
        .link("Services", asked.link("admin/services")))
}

/// `/sharing/rest/info`
pub(super) fn info(asked: &Asked<'_>) -> Result<Shown, ApiError> {
    let base = asked.base();
    let value = json!({
        "owningSystemUrl": base,
        "authInfo": { "tokenServicesUrl": format!("{base}/sharing/rest/generateToken"), "isTokenBasedSecurity": true },
    });
    Ok(Shown::new("Info", value))
}

fn user_value(who: &TokenRecord) -> Value {
    let (role, privileges) = access::role(who);
    json!({
        "username": who.name, "id": &who.hash[..32.min(who.hash.len())], "fullName": who.name, "role": role, "privileges": privileges,
        "orgId": PORTAL_ID, "created": who.created_at.as_millisecond(),
    })
}

/// `/sharing/rest/community/self`, or the path with the caller's own name. Other users cannot be seen.
pub(super) fn user(asked: &Asked<'_>, name: Option<&str>) -> Result<Shown, ApiError> {
    let who = access::anybody(asked)?;
    if name.is_some_and(|name| !name.eq_ignore_ascii_case(&who.name)) {
        return Err(ApiError::NotFound(format!("user `{}`", name.unwrap_or_default())));
    }
    Ok(Shown::new(format!("User: {}", who.name), user_value(who)).link("Org ID", asked.link(&format!("sharing/rest/portals/{PORTAL_ID}"))))
}

/// Refuses every identifier except that of the only portal.
pub(super) fn check_id(id: &str) -> Result<(), ApiError> {
    let is_known = id == "self" || id.eq_ignore_ascii_case(PORTAL_ID);
    if is_known {
        Ok(())
    } else {
        Err(ApiError::NotFound(format!("portal `{id}`; there are `self` and `{PORTAL_ID}`, which are the same")))
    }
}

/// `/sharing/rest/portals/self`. Without a token it shows what a client needs to get one.
pub(super) fn portal(asked: &Asked<'_>, id: &str) -> Result<Shown, ApiError> {
    check_id(id)?;
    let base = asked.base();
    let host = base.split_once("://").map_or(base.as_str(), |(_, rest)| rest);
    let mut value = json!({
        "id": PORTAL_ID, "name": "Hookwright", "isPortal": true, "currentVersion": VERSION, "enterpriseVersion": VERSION,
        "portalHostname": host, "portalMode": "singletenant", "portalName": "Hookwright", "allSSL": base.starts_with("https:"),
        "supportsHostedServices": false, "supportsOAuth": false, "helperServices": {}, "urlKey": null, "customBaseUrl": null,
    });
    let mut shown = match &asked.who {
        None if asked.has_token || asked.signed_in_as().is_some() => return Err(ApiError::Unauthorized),
        None if asked.format == Format::Html => return Err(ApiError::Unauthorized),
        None => Shown::new("Portal Self", Value::Null),
        Some(who) => {
            value["user"] = user_value(who);
            Shown::new("Portal Self", Value::Null)
        }
    };
    shown.value = value;
    let webhooks = asked.link(&format!("sharing/rest/portals/{id}/webhooks"));
    Ok(shown.link("Webhooks", webhooks.clone()).link("Create Webhook", format!("{webhooks}/createWebhook")))
}
