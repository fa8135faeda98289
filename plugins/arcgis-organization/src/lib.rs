//! Transform: one or more events of an ArcGIS organization as the payload its webhooks send.
//!
//! Events of the families items, groups, users and roles, named `/<family>/<id>/<operation>`; others are left out, and when
//! none is left nothing is sent. Configuration: `{"portalURL":"https://gis.example/portal/"}`, and `webhookName` where the payload is
//! to say another name than the webhook's own (a portal's names may hold what ours may not).

use hookwright_guest::{Delivery, Error, Event, Request, Transform, config, log};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

struct ArcgisOrganization;
hookwright_guest::export!(ArcgisOrganization: transform);

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Config {
    #[serde(rename = "portalURL")]
    portal_url: String,
    webhook_name: Option<String>,
}

/// The operations as the vendor's tables spell them; a trigger may spell them in any case.
const OPERATIONS: [&str; 26] = [
    "add",
    "addComment",
    "addUsers",
    "delete",
    "deleteComment",
    "disable",
    "enable",
    "invite",
    "itemShare",
    "itemUnshare",
    "move",
    "protect",
    "publish",
    "reassign",
    "removeUsers",
    "share",
    "signIn",
    "signOut",
    "unprotect",
    "unshare",
    "update",
    "updateComment",
    "updateUserLicenseType",
    "updateUserRole",
    "updateUsers",
    "updated",
];
const FAMILIES: [&str; 4] = ["items", "groups", "users", "roles"];

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Data {
    username: String,
    user_id: String,
    properties: Option<Map<String, Value>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PayloadEvent {
    username: String,
    user_id: String,
    when: u64,
    operation: String,
    source: String,
    id: String,
    properties: Map<String, Value>,
}

/// `/items/abc/share` as family, id and operation.
fn parts(trigger: &str) -> Option<(&str, &str, &str)> {
    let mut segments = trigger.strip_prefix('/')?.split('/');
    let (family, id, operation) = (segments.next()?, segments.next()?, segments.next()?);
    let known = FAMILIES.contains(&family) && !id.is_empty() && !operation.is_empty() && segments.next().is_none();
    let spelled = OPERATIONS.into_iter().find(|known| known.eq_ignore_ascii_case(operation));
    known.then_some((family, id, spelled.unwrap_or(operation)))
}

fn payload_event(event: &Event) -> Result<Option<PayloadEvent>, Error> {
    let Some((family, id, operation)) = parts(&event.trigger) else {
        log::info(format_args!("{} is no event of an organization", event.trigger));
        return Ok(None);
    };
    // Who did it, and what else there is to say, may be known to nobody.
    let data: Data = event.data::<Option<Data>>()?.unwrap_or_default();
    Ok(Some(PayloadEvent {
        username: data.username,
        user_id: data.user_id,
        when: event.time_ms,
        operation: operation.into(),
        source: family.into(),
        id: id.into(),
        properties: data.properties.unwrap_or_default(),
    }))
}

impl Transform for ArcgisOrganization {
    fn apply(delivery: Delivery, events: Vec<Event>) -> Result<Option<Request>, Error> {
        let config: Config = config()?;
        let events: Vec<PayloadEvent> = events.iter().filter_map(|event| payload_event(event).transpose()).collect::<Result<_, _>>()?;
        if events.is_empty() {
            return Ok(None);
        }
        let info = json!({
            "webhookName": config.webhook_name.unwrap_or(delivery.webhook_name),
            "webhookId": delivery.webhook_id,
            "portalURL": config.portal_url,
            "when": delivery.now_ms,
        });
        Request::post().json(&json!({ "info": info, "events": events })).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use hookwright_guest::testing;

    use super::*;

    fn share() -> Event {
        let data = json!({ "username": "admin", "userId": "173d", "properties": { "sharedToGroups": ["Everyone"] } });
        Event { time_ms: 5, ..Event::new("/items/abc/SHARE", &data).expect("an event") }
    }

    #[test]
    fn a_batch_is_one_payload_and_strangers_are_left_out() {
        testing::config(&json!({ "portalURL": "https://gis.example/portal/" })).expect("a configuration");
        let delivery = Delivery { webhook_name: "demo".into(), webhook_id: "72fe".into(), now_ms: 9, ..Delivery::default() };
        let signed_in = Event::new("/users/ann/signin", &Value::Null).expect("an event");
        let stranger = Event::new("/services/a.GPServer/jobs/1/succeeded", &json!({})).expect("an event");
        let request = ArcgisOrganization::apply(delivery, vec![share(), signed_in, stranger]).expect("a payload").expect("a request");
        let payload: Value = serde_json::from_slice(&request.body.expect("a body")).expect("JSON");
        assert_eq!(
            payload,
            json!({
                "info": { "webhookName": "demo", "webhookId": "72fe", "portalURL": "https://gis.example/portal/", "when": 9 },
                "events": [
                    { "username": "admin", "userId": "173d", "when": 5, "operation": "share", "source": "items", "id": "abc",
                      "properties": { "sharedToGroups": ["Everyone"] } },
                    { "username": "", "userId": "", "when": 0, "operation": "signIn", "source": "users", "id": "ann", "properties": {} },
                ]
            })
        );
    }

    #[test]
    fn the_configuration_may_name_the_webhook() {
        testing::config(&json!({ "webhookName": "Shared items, public" })).expect("a configuration");
        let request = ArcgisOrganization::apply(Delivery::default(), vec![share()]).expect("a payload").expect("a request");
        let payload: Value = serde_json::from_slice(&request.body.expect("a body")).expect("JSON");
        assert_eq!(payload["info"]["webhookName"], "Shared items, public");
    }

    #[test]
    fn nothing_is_sent_when_nothing_is_left() {
        let word = Event::new("FeaturesCreated", &json!({})).expect("an event");
        assert_eq!(ArcgisOrganization::apply(Delivery::default(), vec![word]), Ok(None));
    }

    #[test]
    fn operations_are_spelled_as_in_the_tables() {
        assert_eq!(parts("/users/ann/signOUT"), Some(("users", "ann", "signOut")));
        assert_eq!(parts("/roles/r1/updated"), Some(("roles", "r1", "updated")));
        assert_eq!(parts("/items/abc/addcomment"), Some(("items", "abc", "addComment")));
        assert_eq!(parts("/items/abc"), None);
    }
}
