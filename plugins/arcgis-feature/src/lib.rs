//! Transform: changes of one feature service as the payload ArcGIS Enterprise sends for them.
//!
//! An event's trigger is the change type (`FeaturesCreated`), its source the service's path
//! (`/services/<folder>/<service>.FeatureServer`). Its data may hold `serverGens` (two numbers) or a whole `changesUrl`.
//! Configuration, all optional: `serviceName` and `folderName` instead of what the source says; `changesUrl`, the address of
//! `extractChanges` without its query, or `serverUrl` (`https://gis.example/server`) to derive it from; `payloadFormat`
//! `json` or `pjson`; `webhookName` where the payload is to say another name than the webhook's own; `unsignedForm` for a form without
//! a signature.

use hookwright_guest::{Delivery, Error, Event, OrError, Request, Transform, config};
use serde::Deserialize;
use serde_json::{Value, json};

struct ArcgisFeature;
hookwright_guest::export!(ArcgisFeature: transform);

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Config {
    service_name: Option<String>,
    folder_name: Option<String>,
    changes_url: Option<String>,
    server_url: Option<String>,
    payload_format: Option<String>,
    webhook_name: Option<String>,
    unsigned_form: bool,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Data {
    server_gens: Option<[u64; 2]>,
    changes_url: Option<String>,
}

/// Folder and service of `/services/Utilities/Water.FeatureServer`; the folder is empty at the top.
fn service(path: &str) -> Option<(String, String)> {
    let (_, path) = path.split_once("services/")?;
    let end = path.find(".FeatureServer").or_else(|| path.find("/FeatureServer"))?;
    let (folder, service) = path[..end].rsplit_once('/').unwrap_or(("", &path[..end]));
    (!service.is_empty()).then(|| (folder.to_owned(), service.to_owned()))
}

/// Where a receiver asks what changed, between the oldest and the newest of these events.
fn changes_url(config: &Config, folder: &str, service: &str, events: &[(u64, Data)]) -> String {
    if let Some(url) = events.iter().rev().find_map(|(_, data)| data.changes_url.clone()) {
        return url;
    }
    let at = |pick: usize| events.iter().map(move |(time, data)| data.server_gens.map_or(*time, |gens| gens[pick]));
    let (from, to) = (at(0).min().unwrap_or(0), at(1).max().unwrap_or(0));
    let slash = if folder.is_empty() { "" } else { "/" };
    let base = match (&config.changes_url, &config.server_url) {
        (Some(base), _) => base.clone(),
        (None, Some(server)) => {
            let server = server.trim_end_matches('/');
            format!("{server}/rest/services/{folder}{slash}{service}/FeatureServer/extractChanges")
        }
        (None, None) => return String::new(),
    };
    format!("{base}?serverGens=%5B{from},{to}%5D")
}

fn payload(config: &Config, delivery: &Delivery, events: &[Event]) -> Result<Value, Error> {
    let source = events.first().map(|event| event.source.as_str()).or_reject("an event")?;
    if events.iter().any(|event| event.source != source) {
        return Err(Error::rejected("a payload tells of one service, and these events are of several: batch them apart"));
    }
    let (folder, name) = match (&config.service_name, service(source)) {
        (Some(name), of_source) => (of_source.map(|(folder, _)| folder).unwrap_or_default(), name.clone()),
        (None, of_source) => of_source.or_reject(format_args!("the configuration's serviceName (the source is {source:?})"))?,
    };
    let folder = config.folder_name.clone().unwrap_or(folder);
    let read = |event: &Event| Ok((event.time_ms, event.data::<Option<Data>>()?.unwrap_or_default()));
    let data: Vec<_> = events.iter().map(read).collect::<Result<_, Error>>()?;
    let changes: Vec<_> = events.iter().map(|event| json!({ "eventType": event.trigger, "when": event.time_ms })).collect();
    Ok(json!({
        "serviceType": "FeatureServer",
        "name": config.webhook_name.as_ref().unwrap_or(&delivery.webhook_name),
        "id": delivery.webhook_id,
        "folderName": folder,
        "serviceName": name,
        "changesUrl": changes_url(config, &folder, &name, &data),
        "events": changes,
    }))
}

/// The body. Its media type is the webhook's to say; a form that nobody signs has its one field put on here, without the characters a
/// form gives a meaning to, so that receivers that decode it and those that do not read the same.
fn body(config: &Config, payload: &Value) -> Result<String, Error> {
    let text = if config.payload_format.as_deref() == Some("pjson") {
        serde_json::to_string_pretty(payload)
    } else {
        serde_json::to_string(payload)
    }?;
    if !config.unsigned_form {
        return Ok(text);
    }
    Ok(format!("payload={}", text.replace('&', r"\u0026").replace('%', r"\u0025").replace('+', r"\u002b")))
}

impl Transform for ArcgisFeature {
    fn apply(delivery: Delivery, events: Vec<Event>) -> Result<Option<Request>, Error> {
        let config: Config = config()?;
        let payload = payload(&config, &delivery, &events)?;
        Ok(Some(Request::post().body(body(&config, &payload)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(trigger: &str, source: &str, data: &Value) -> Event {
        Event { source: source.into(), time_ms: 1_730_385_704_000, ..Event::new(trigger, data).expect("an event") }
    }

    #[test]
    fn the_payload_names_the_service_and_where_to_ask() {
        let config = Config { server_url: Some("https://gis.example/server/".into()), ..Config::default() };
        let delivery = Delivery { webhook_name: "demo".into(), webhook_id: "c4a7".into(), ..Delivery::default() };
        let source = "/services/Utilities/Water.FeatureServer";
        let events = [
            change("FeaturesCreated", source, &json!({ "serverGens": [7, 8] })),
            change("FeaturesEdited", source, &json!({ "serverGens": [8, 11] })),
        ];
        assert_eq!(
            payload(&config, &delivery, &events),
            Ok(json!({
                "serviceType": "FeatureServer", "name": "demo", "id": "c4a7", "folderName": "Utilities", "serviceName": "Water",
                "changesUrl": "https://gis.example/server/rest/services/Utilities/Water/FeatureServer/extractChanges?serverGens=%5B7,11%5D",
                "events": [
                    { "eventType": "FeaturesCreated", "when": 1_730_385_704_000_u64 },
                    { "eventType": "FeaturesEdited", "when": 1_730_385_704_000_u64 },
                ]
            }))
        );
    }

    #[test]
    fn a_payload_is_of_one_service() {
        let events = [
            change("FeaturesCreated", "/services/A.FeatureServer", &json!({})),
            change("FeaturesCreated", "/services/B.FeatureServer", &json!({})),
        ];
        assert!(matches!(payload(&Config::default(), &Delivery::default(), &events), Err(Error::Rejected(_))));
    }

    #[test]
    fn the_configuration_names_the_service_when_the_source_does_not() {
        assert_eq!(service("/services/Parcels.FeatureServer"), Some((String::new(), "Parcels".into())));
        assert_eq!(service("sensors"), None);
        let config = Config { service_name: Some("Parcels".into()), ..Config::default() };
        let made = payload(&config, &Delivery::default(), &[change("AttachmentsCreated", "sensors", &Value::Null)]).expect("a payload");
        assert_eq!((&made["serviceName"], &made["changesUrl"]), (&json!("Parcels"), &json!("")));
    }

    #[test]
    fn a_form_that_nobody_signs_has_one_field_that_reads_the_same_decoded_or_not() {
        let payload = json!({ "name": "a & b + 5 %" });
        assert_eq!(body(&Config::default(), &payload), Ok(r#"{"name":"a & b + 5 %"}"#.to_owned()));
        let form = body(&Config { unsigned_form: true, ..Config::default() }, &payload).expect("a form");
        let text = form.strip_prefix("payload=").expect("the field");
        assert!(!text.contains(['&', '%', '+']));
        assert_eq!(serde_json::from_str::<Value>(text).ok(), Some(payload));
    }
}
