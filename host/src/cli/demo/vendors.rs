//! The answers of the vendors' endpoints. The senders were verified before.

use http::{Method, header::AUTHORIZATION};
use serde_json::{Value, json};

use super::facts::Facts;
use crate::cli::endpoint::{Arrived, Said};

/// The identifier of an item without a description.
pub const ROADS: &str = "7c2f9e0b51d84a36a1f04c8be27d6931";
/// The identifier of an item that only the organization sees.
pub const PLANS: &str = "e15b0d7a4c9346f2b8d2a6f1093c7e54";

/// The path below which the portal has its items.
pub const ITEMS: &str = "/portal/sharing/rest/content/items/";

/// A URL as Divalto has them: a code names the service.
pub const ERP_PATH: &str = "/DhsDivaltoServiceDivaApiRest/api/v1/Webhook/STOCK";

/// The ERP answers how many pieces of an article a depot has.
pub fn erp(arrived: &Arrived, _: &Facts) -> Said {
    let query = arrived.target.split_once('?').map_or("", |(_, query)| query);
    let asked =
        |name: &str| url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let (Some(article), Some(depot)) = (asked("article"), asked("depot")) else {
        return Said::json(400, &json!({ "status": 400, "message": "which article, in which depot?" }));
    };
    // Any number will do if it is stable, so it is computed from the article's letters.
    let available = article.bytes().map(u64::from).sum::<u64>() % 50;
    Said::json(200, &json!({ "status": 200, "article": article, "stock": [{ "depot": depot, "available": available }] }))
}

/// The portal answers an item's metadata, and with whom it is shared.
pub fn portal(arrived: &Arrived, facts: &Facts) -> Said {
    let token = arrived.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    if token != Some(&format!("Bearer {}", facts.portal_token)) {
        return Said::json(200, &json!({ "error": { "code": 498, "message": "Invalid token." } }));
    }
    let rest = arrived.path().strip_prefix(ITEMS).unwrap_or_default();
    match (&arrived.method, rest.split_once('/')) {
        (&Method::GET, None) => Said::json(200, &item(rest)),
        (&Method::POST, Some((id, "share"))) => Said::json(200, &json!({ "notSharedWith": [], "itemId": id })),
        _ => Said::json(200, &json!({ "error": { "code": 400, "message": "Item does not exist or is inaccessible." } })),
    }
}

fn item(id: &str) -> Value {
    match id {
        ROADS => json!({ "id": id, "owner": "ann", "title": "Roads", "snippet": "", "description": null, "tags": ["roads"],
                         "type": "Web Map", "access": "public", "thumbnail": "thumbnail/roads.png", "licenseInfo": null }),
        _ => json!({ "error": { "code": 400, "message": "Item does not exist or is inaccessible." } }),
    }
}

/// The chat accepts messages that have a text.
pub fn slack(arrived: &Arrived, _: &Facts) -> Said {
    let message: Option<Value> = serde_json::from_slice(&arrived.body).ok();
    match message.is_some_and(|message| message["text"].is_string()) {
        true => Said::text(200, "ok"),
        false => Said::text(400, "invalid_payload"),
    }
}
