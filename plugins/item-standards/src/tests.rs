use hookwright_guest::{testing, webhooks::Invoked};

use super::*;

fn share(with: &Value) -> Value {
    json!({ "username": "ann", "userId": "1", "when": 5, "operation": "share", "source": "items", "id": "abc",
            "properties": { "sharedToGroups": with } })
}

fn receive(item: &Value, with: &Value) -> Reply {
    testing::reset();
    let directory = std::env::temp_dir().join("hookwright-item-standards");
    fs::create_dir_all(&directory).expect("a directory");
    testing::config(&json!({ "metadata_webhook": "item-metadata", "directory": directory })).expect("a configuration");
    let parameters = json!({ "item": item }).as_object().cloned().expect("an object");
    testing::webhook("item-metadata", Invoked { delivered: true, parameters, ..Invoked::default() });
    let body = json!({ "info": { "portalURL": "https://gis.example/portal/", "when": 9 }, "events": [share(with)] });
    let call_id = format!("cal_{:?}", std::thread::current().id());
    let call = Invocation { call_id: call_id.clone(), ..Invocation::post(&body).expect("a call") };
    let written = call.body.clone();
    let reply = ItemStandards::receive(call).expect("a reply");
    let file = directory.join(format!("{call_id}.txt"));
    assert_eq!(fs::read(&file).expect("the payload"), written);
    fs::remove_file(file).expect("removed");
    reply
}

fn poor() -> Value {
    json!({ "title": "Roads", "snippet": " ", "description": null, "tags": ["road"], "thumbnail": "t.png" })
}

#[test]
fn a_poor_item_shared_with_everyone_is_told() {
    let reply = receive(&poor(), &json!(["Everyone", "Editors"]));
    assert_eq!(reply.status, 200);
    let emitted = testing::emitted();
    assert_eq!((emitted[0].trigger.as_str(), emitted[0].time_ms), ("standards.failed", Some(5)));
    let data: Value = serde_json::from_str(&emitted[0].data_json).expect("JSON");
    let missing = ["snippet", "description", "tags", "licenseInfo", "accessInformation"];
    assert_eq!(
        data,
        json!({ "itemId": "abc", "title": "Roads", "score": 30, "missing": missing, "sharedBy": "ann", "sharedToGroups": ["Everyone", "Editors"] })
    );
    assert_eq!(testing::invoked(), [("item-metadata".to_owned(), r#"{"itemId":"abc"}"#.to_owned())]);
}

#[test]
fn sharing_inside_the_organization_is_of_no_interest() {
    receive(&poor(), &json!(["Organization"]));
    receive(&poor(), &json!("[Organization]"));
    assert!(testing::emitted().is_empty() && testing::invoked().is_empty());
}

#[test]
fn an_item_that_cannot_be_read_is_asked_for_again() {
    testing::webhook("m", Invoked { delivered: true, output: Some(json!({ "error": { "code": 403 } })), ..Invoked::default() });
    let config: Config = serde_json::from_value(json!({ "metadata_webhook": "m" })).expect("a configuration");
    assert!(matches!(metadata(&config, "abc"), Err(Error::RetryLater(_))));
    testing::webhook("m", Invoked { error_event: Some("webhook.error.timeout".into()), ..Invoked::default() });
    assert!(matches!(metadata(&config, "abc"), Err(Error::RetryLater(_))));
}

#[test]
fn a_good_item_passes_and_weights_are_the_admins() {
    let good = json!({ "title": "Roads", "snippet": "s", "description": "d", "tags": ["a", "b", "c"], "thumbnail": "t",
                       "licenseInfo": "l", "accessInformation": "a" });
    receive(&good, &json!(["Everyone"]));
    assert!(testing::emitted().is_empty());
    let weights = STANDARDS.map(|(name, _)| (name.to_owned(), if name == "tags" { 1 } else { 0 })).into();
    let config = Config { metadata_webhook: String::new(), minimum_score: 80, tags_min: 2, weights, directory: String::new() };
    let item = poor().as_object().cloned().expect("an object");
    assert_eq!(score(&item, &config), (0, vec!["tags"]));
    assert_eq!(score(&item, &Config { tags_min: 1, ..config }), (100, Vec::new()));
}
