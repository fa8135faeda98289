//! What an admin configures before the story begins: secrets, grants, receivers with their codes, webhooks. It is all done over the API.

use std::net::SocketAddr;

use anyhow::Context;
use http::Method;
use serde_json::{Value, json};

use super::{
    vendors::{ERP_PATH, ITEMS},
    world::World,
};
use crate::cli::{client::Api, endpoint::standard_webhooks::Key};

/// The URLs that the outside world calls.
pub struct Places {
    /// The URL with the agent's code.
    pub agent: String,
    /// The URL with the portal's code.
    pub portal: String,
    /// The URL with the code behind the button.
    pub unshare: String,
}

pub async fn configure(api: &Api, world: &World) -> anyhow::Result<Places> {
    secrets(api, world).await?;
    grants(api).await?;
    let places = receivers(api).await?;
    let own = code(api, "item-standards", "the host itself", "STANDARDS").await?;
    webhooks(api, world, &own, &places.unshare).await?;
    Ok(places)
}

/// A description of the configuration, for people.
pub fn told(host: SocketAddr, world: &World) -> String {
    let mut lines =
        vec![format!("{:<8} http://{host}   configured over its API: 6 secrets, 3 grants, 4 receivers with codes, 5 webhooks", "host")];
    for vendor in [&world.erp, &world.portal, &world.slack] {
        lines.push(format!("{:<8} {}   {}", vendor.name, vendor.url(), vendor.does));
    }
    lines.join("\n")
}

async fn put(api: &Api, path: &str, document: Value) -> anyhow::Result<Value> {
    api.call(Method::PUT, path, Some(&document)).await.with_context(|| format!("PUT {path}"))
}

async fn secrets(api: &Api, world: &World) -> anyhow::Result<()> {
    let secrets = [
        ("erp-key", world.erp.key.text()),
        ("portal-key", world.portal.key.text()),
        ("slack-key", world.slack.key.text()),
        ("own-key", Key::generate().text()),
        ("portal-token", world.facts.portal_token.clone()),
        ("portal-secret", world.facts.portal_secret.clone()),
    ];
    for (name, value) in secrets {
        put(api, &format!("/v1/secrets/{name}"), json!({ "value": value })).await?;
    }
    Ok(())
}

async fn grants(api: &Api) -> anyhow::Result<()> {
    let grants = [
        ("dialogflow-fulfilment", json!({ "webhooks": ["stock"] })),
        ("arcgis-events", json!({ "triggers": ["/items", "/groups", "/users", "/roles"] })),
        ("item-standards", json!({ "webhooks": ["item-metadata"], "triggers": ["standards.*"], "directory": true })),
    ];
    for (plugin, document) in grants {
        put(api, &format!("/v1/plugins/{plugin}/grants"), document).await?;
    }
    Ok(())
}

async fn receivers(api: &Api) -> anyhow::Result<Places> {
    let message = "Yes: {stock} pieces of $session.params.article in $session.params.depot.";
    let agent = json!({
        "plugin": "dialogflow-fulfilment", "full_reply": true, "methods": ["POST"], "session": "$.body.sessionInfo.session",
        "config": { "tags": { "check-stock": { "webhook": "stock", "message": message } } },
    });
    let portal = json!({
        "plugin": "arcgis-events", "full_reply": true, "methods": ["POST"],
        "verify": { "scheme": "esri-organization", "secret": "$secret:portal-secret" },
    });
    let standards = json!({
        "plugin": "item-standards", "full_reply": true, "methods": ["POST"],
        "verify": { "scheme": "standard-webhooks", "secret": "$secret:own-key" },
        "config": { "metadata_webhook": "item-metadata", "minimum_score": 80 },
    });
    // This receiver needs no plugin: it declares its reply and its event.
    let unshare = json!({
        "reply": { "message": "Thank you: item $call.parameters.itemId is taken back." }, "methods": ["GET"],
        "parameters": { "itemId": { "type": "string", "required": true } }, "strict": true,
        "events": [{ "trigger": "unshare.requested", "data": { "itemId": "$.parameters.itemId" } }],
    });
    for (name, document) in [("agent", agent), ("portal", portal), ("item-standards", standards), ("unshare", unshare)] {
        put(api, &format!("/v1/receivers/{name}"), document).await?;
    }
    Ok(Places {
        agent: code(api, "agent", "dialogflow", "AGENT").await?,
        portal: code(api, "portal", "portal", "PORTAL").await?,
        unshare: code(api, "unshare", "administrators", "UNSHARE").await?,
    })
}

/// Issues a code and returns its URL.
async fn code(api: &Api, receiver: &str, caller: &str, prefix: &str) -> anyhow::Result<String> {
    let path = format!("/v1/receivers/{receiver}/codes");
    let issued = api.call(Method::POST, &path, Some(&json!({ "caller": caller, "prefix": prefix }))).await;
    let issued = issued.with_context(|| format!("POST {path}"))?;
    Ok(issued["url"].as_str().context("a code comes with its URL")?.to_owned())
}

async fn webhooks(api: &Api, world: &World, own: &str, unshare: &str) -> anyhow::Result<()> {
    let (erp, portal, slack) = (world.erp.url(), world.portal.url(), world.slack.url());
    let signed = |key: &str| json!({ "scheme": "standard-webhooks", "secrets": [format!("$secret:{key}")] });
    let portal_auth = json!({ "kind": "bearer", "token": "$secret:portal-token" });
    // This webhook is only invoked. The URL, the body and the binding are the whole integration.
    let stock = json!({
        "profile": "dialogflow-flexible", "signing": signed("erp-key"), "bindings": { "stock": "$.stock[0].available" },
        "request": {
            "url": format!("{erp}{ERP_PATH}?article=$session.params.article&depot=$session.params.depot"),
            "body": { "article": "$session.params.article", "wanted": "$session.params.quantity", "note": "for $session.params.customer" },
        },
    });
    let metadata = json!({
        "signing": signed("portal-key"), "auth": portal_auth, "bindings": { "item": "$" },
        "request": { "method": "GET", "url": format!("{portal}{ITEMS}$session.params.itemId?f=json") },
    });
    // This webhook calls one of our own codes, so the scorer gets the payload as if the portal had called it.
    let public_shares = json!({
        "selectors": ["/items/share"], "filter": "$[?@.properties.sharedToGroups[?@=='Everyone']]",
        "transform": { "plugin": "arcgis-organization", "config": { "portalURL": format!("{portal}/portal/") } },
        "request": { "url": own }, "signing": signed("own-key"),
    });
    let actions = json!([{ "label": "Take it back", "url": unshare }]);
    let slack = json!({
        "selectors": ["standards.*"], "transform": { "plugin": "slack", "config": { "channel": "#gis", "actions": actions } },
        "request": { "url": format!("{slack}/services/T0DEMO/B0DEMO/incoming") }, "signing": signed("slack-key"),
    });
    let take_back = json!({
        "selectors": ["unshare.requested"], "signing": signed("portal-key"), "auth": portal_auth,
        "request": {
            "url": format!("{portal}{ITEMS}$event.data.itemId/share"), "content_type": "application/x-www-form-urlencoded",
            "body": { "everyone": "false", "org": "true", "f": "json" },
        },
    });
    let documents =
        [("stock", stock), ("item-metadata", metadata), ("public-shares", public_shares), ("slack", slack), ("take-back", take_back)];
    for (name, document) in documents {
        put(api, &format!("/v1/webhooks/{name}"), document).await?;
    }
    Ok(())
}
