use hookwright_guest::testing;

use super::*;

fn named(emissions: &[Emission]) -> Vec<(&str, Option<&str>, Option<u64>)> {
    emissions.iter().map(|event| (event.trigger.as_str(), event.source.as_deref(), event.time_ms)).collect()
}

#[test]
fn an_organization_payload_is_one_event_per_entry() {
    let body = json!({
        "info": { "webhookName": "demo", "webhookId": "72fe", "portalURL": "https://gis.example/portal/", "when": 9 },
        "events": [
            { "username": "admin", "userId": "1", "when": 5, "operation": "share", "source": "item", "id": "abc", "properties": { "sharedToGroups": ["Everyone"] } },
            { "username": "ann", "userId": "2", "when": 6, "operation": "signIn", "source": "users", "id": "ann" },
        ]
    });
    let reply = ArcgisEvents::receive(Invocation::post(&body).expect("a call")).expect("a reply");
    assert_eq!(reply.body, br#"{"success":"true"}"#);
    let emitted = testing::emitted();
    let portal = Some("https://gis.example/portal/");
    assert_eq!(named(&emitted), [("/items/abc/share", portal, Some(5)), ("/users/ann/signIn", portal, Some(6))]);
    assert_eq!(emitted[0].data_json, r#"{"username":"admin","userId":"1","properties":{"sharedToGroups":["Everyone"]}}"#);
    assert_eq!(emitted[1].data_json, r#"{"username":"ann","userId":"2","properties":{}}"#);
}

#[test]
fn an_id_with_a_slash_is_rejected() {
    let event = json!({ "when": 5, "operation": "share", "source": "item", "id": "a/b" });
    assert!(matches!(emissions(&json!({ "info": { "portalURL": "p" }, "events": [event] })), Err(Error::Rejected(_))));
}

#[test]
fn feature_services_of_enterprise_and_online_are_words_of_a_service() {
    let enterprise = json!({
        "serviceType": "FeatureServer", "name": "demo", "id": "c4a7", "folderName": "Utilities", "serviceName": "Water",
        "changesUrl": "https://gis.example/x?serverGens=%5B1,2%5D", "events": [{ "eventType": "FeaturesCreated", "when": 7 }]
    });
    let made = emissions(&enterprise).expect("events");
    assert_eq!(named(&made), [("FeaturesCreated", Some("/services/Utilities/Water.FeatureServer"), Some(7))]);
    assert!(made[0].data_json.contains("https://gis.example/x?serverGens=%5B1,2%5D"));

    let online = json!([
        { "name": "demo", "layerId": 0, "serviceName": "Parcels", "lastUpdatedTime": 8, "changesUrl": "https%3A%2F%2Fgis.example%2Fx%3Fasync%3Dtrue",
          "events": ["FeaturesCreated", "FeaturesEdited"] },
        { "name": "demo", "serviceName": "Parcels", "changeType": "FeaturesDeleted" },
    ]);
    let made = emissions(&online).expect("events");
    let parcels = Some("/services/Parcels.FeatureServer");
    assert_eq!(
        named(&made),
        [("FeaturesCreated", parcels, Some(8)), ("FeaturesEdited", parcels, Some(8)), ("FeaturesDeleted", parcels, None)]
    );
    assert!(made[0].data_json.contains(r#""changesUrl":"https://gis.example/x?async=true""#));
}

#[test]
fn the_end_of_a_job_is_a_path() {
    let job = json!({ "jobId": "j1", "serviceName": "Route", "folderName": "", "events": [{ "eventType": "jobSucceeded", "when": 3 }] });
    assert_eq!(named(&emissions(&job).expect("events"))[0].0, "/services/Route.GPServer/jobs/j1/succeeded");
}

#[test]
fn a_form_carries_the_payload_encoded_or_not_and_a_check_is_no_event() {
    for text in ["payload={\"a\":1}&x-esriHook-Signature=sha256%3Dxyz", "payload=%7B%22a%22%3A1%7D"] {
        for kind in ["application/x-www-form-urlencoded", "Application/X-WWW-Form-Urlencoded; charset=utf-8"] {
            let headers = vec![("content-type".into(), kind.into())];
            for text in [
                text.to_owned(),
                text.to_lowercase(),
                text.replace("payload=", "payload=%EF%BB%BF").replace("%BF{\"a\":1}", "%BF%7B%22a%22%3A1%7D"),
            ] {
                assert_eq!(
                    body(&Invocation { headers: headers.clone(), body: text.into(), ..Invocation::default() }),
                    Ok(json!({ "a": 1 }))
                );
            }
        }
    }
    let marked = Invocation { body: "\u{feff}{\"a\":1}".into(), ..Invocation::default() };
    assert_eq!(body(&marked), Ok(json!({ "a": 1 })));
    assert_eq!(emissions(&json!({})), Ok(Vec::new()));
}
