//! All of ArcGIS's trigger tables: which webhooks each trigger fires, and what its events may contain.

use std::collections::{BTreeMap, BTreeSet};

use hookwright::model::trigger::arcgis::{CHANGE_TYPES, FEATURE_EDITS, FEATURES_EDITED, Family, Holds, rows};
use hookwright_tests::{Client, Endpoint, Script, TestHost, run, shared, unique};
use serde_json::{Value, json};

/// The names of the webhooks an event fires.
async fn fired(client: &Client, event: &Value) -> BTreeSet<String> {
    let id = client.event(event.clone()).await["id"].as_str().expect("an id").to_owned();
    let shown = client.look(&format!("/v1/events/{id}")).await;
    shown["deliveries"].as_array().into_iter().flatten().map(|one| one["webhook"].as_str().expect("a name").to_owned()).collect()
}

/// Creates a webhook for each selector. Its name is the selector, as far as names allow.
async fn subscribe(client: &Client, endpoint: &Endpoint, selectors: &BTreeMap<String, Value>) {
    for (name, fields) in selectors {
        let mut document = json!({ "request": { "url": endpoint.url("/") } });
        document.as_object_mut().expect("an object").extend(fields.as_object().cloned().expect("an object"));
        client.webhook(name, document).await;
    }
}

/// The object of the organization's operations, and another object with no operations.
const OBJECT: &str = "6cd80cb32d4a4b4d858a020e57fba7b1";
const OTHER: &str = "7dd95fadaec84859ab8ed1059e675e0c";

#[test]
fn each_trigger_of_the_organization_fires_the_webhooks_that_should_and_no_other() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        endpoint.always(Script::status(200));
        // One webhook for every row of the tables, for this object and for the other one, and one for everything.
        let mut selectors = BTreeMap::from([("everything".to_owned(), json!({ "selectors": ["/"] }))]);
        for row in rows() {
            let words: Vec<_> = row.selector.trim_start_matches('/').split('/').collect();
            for object in [OBJECT, OTHER] {
                let filled: Vec<_> = words.iter().map(|word| if word.starts_with('<') { object } else { word }).collect();
                selectors.insert(filled.join("."), json!({ "selectors": [format!("/{}", filled.join("/"))] }));
            }
        }
        subscribe(client, &endpoint, &selectors).await;
        let (mut events, mut deliveries) = (0, 0);
        for family in Family::ALL {
            let name = family.as_str();
            for operation in family.operations() {
                let mut expected = BTreeSet::from(["everything".to_owned(), name.to_owned()]);
                expected.extend(operation.any.map(|_| format!("{name}.{}", operation.any_spelling())));
                expected.extend(operation.one.map(|_| format!("{name}.{OBJECT}.{}", operation.name)));
                // Every family except roles has rows for a single object.
                expected.extend((family != Family::Roles).then(|| format!("{name}.{OBJECT}")));
                let trigger = format!("/{name}/{OBJECT}/{}", operation.name);
                let found = fired(client, &json!({ "trigger": trigger })).await;
                assert_eq!(found, expected, "{trigger}");
                events += 1;
                deliveries += found.len();
            }
        }
        // 35 operations; 4 families, 33 rows for any object, 29 for one. Each event fires everything, the family and, except for roles,
        // the object.
        assert_eq!((selectors.len(), events), (1 + 4 + 33 + 2 * (3 + 29), 35));
        assert_eq!(deliveries, 35 * 2 + 33 + 29 + 32);
    });
}

#[test]
fn each_change_type_fires_the_webhooks_of_its_service_that_should_and_no_other() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        endpoint.always(Script::status(200));
        let (water, roads) = ("/services/Water.FeatureServer", "/services/Roads.FeatureServer");
        let mut selectors = BTreeMap::new();
        for (service, source) in [("water", water), ("roads", roads)] {
            selectors.insert(format!("{service}.any"), json!({ "selectors": ["*"], "sources": [source] }));
            for change in &CHANGE_TYPES {
                selectors.insert(format!("{service}.{}", change.name), json!({ "selectors": [change.name], "sources": [source] }));
            }
        }
        subscribe(client, &endpoint, &selectors).await;
        let mut deliveries = 0;
        for change in &CHANGE_TYPES {
            let mut expected = BTreeSet::from(["water.any".to_owned(), format!("water.{}", change.name)]);
            expected.extend(FEATURE_EDITS.contains(&change.name).then(|| format!("water.{FEATURES_EDITED}")));
            let found = fired(client, &json!({ "trigger": change.name, "source": water })).await;
            assert_eq!(found, expected, "{}", change.name);
            deliveries += found.len();
        }
        assert_eq!((selectors.len(), deliveries), (2 * 11, 10 * 2 + 3));
    });
}

#[test]
fn the_end_of_a_job_fires_the_webhooks_of_its_service() {
    run(async {
        let host = TestHost::start().await;
        let client = &host.client;
        let endpoint = Endpoint::start().await;
        endpoint.always(Script::status(200));
        let of = |selector: &str| json!({ "selectors": [selector] });
        let selectors = BTreeMap::from([
            ("route".to_owned(), of("/services/Tools/Route.GPServer")),
            ("failed".to_owned(), of("/services/Tools/Route.GPServer/jobs/j1/failed")),
            ("other".to_owned(), of("/services/Tools/Router.GPServer")),
            ("top".to_owned(), of("/services/Route.GPServer")),
            ("items".to_owned(), of("/items")),
        ]);
        subscribe(client, &endpoint, &selectors).await;
        for (end, expected) in [("succeeded", &["route"][..]), ("failed", &["failed", "route"]), ("cancelled", &["route"])] {
            let found = fired(client, &json!({ "trigger": format!("/services/Tools/Route.GPServer/jobs/j1/{end}") })).await;
            assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expected, "{end}");
        }
    });
}

#[test]
fn the_triggers_are_listed_in_two_languages_with_what_their_events_hold() {
    run(async {
        let client = &shared().await.client;
        let listed = client.look("/v1/triggers").await;
        let listed = listed["data"].as_array().expect("triggers");
        // The organization's rows and `/`, the change types and `*`, and the three ends of a job.
        assert_eq!(listed.len(), rows().len() + 1 + CHANGE_TYPES.len() + 1 + 3);
        for one in listed {
            let texts = [&one["description"]["en"], &one["description"]["fr"]];
            assert!(texts.iter().all(|text| text.as_str().is_some_and(|text| text.len() > 8)) && texts[0] != texts[1], "{one}");
        }
        let share = listed.iter().find(|one| one["selector"] == "/items/share").expect("a row");
        assert_eq!(share["trigger"], "/items/<itemID>/share");
        assert_eq!(share["property"], json!({ "key": "sharedToGroups", "holds": "names" }));
        let sign_in = listed.iter().find(|one| one["selector"] == "/users/signin").expect("a row");
        assert_eq!(sign_in["trigger"], "/users/<username>/signIn");
        let features = client.look("/v1/triggers?subject=feature_service").await;
        assert_eq!(features["data"].as_array().map(Vec::len), Some(11));
        let (status, problem) = client.get("/v1/triggers?subject=features").await;
        assert_eq!(status, 400, "{problem}");
    });
}

#[test]
fn the_families_are_closed_and_their_properties_typed() {
    run(async {
        let client = &shared().await.client;
        let refused = async |event: Value| {
            let (status, problem) = client.post("/v1/events", &event).await;
            assert_eq!(status, 400, "{event}: {problem}");
            let first = &problem["errors"][0];
            format!("{} {}", first["pointer"].as_str().expect("a pointer"), first["detail"].as_str().expect("a detail"))
        };
        for (trigger, says) in [
            ("/items/abc/shared", "/trigger `/items` knows no operation `shared`; did you mean `/items/abc/share`?"),
            ("/groups/g/adduser", "did you mean `/groups/g/addUsers`?"),
            ("/roles/r/update", "did you mean `/roles/r/updated`?"),
            ("/items/share", "an event in `/items` names the object and the operation"),
        ] {
            let said = refused(json!({ "trigger": trigger })).await;
            assert!(said.contains(says), "{said}");
        }
        for family in Family::ALL {
            for operation in family.operations() {
                let trigger = format!("/{}/{}/{}", family.as_str(), unique("x"), operation.name);
                let event = |properties: Value| json!({ "trigger": trigger, "data": { "username": "ann", "userId": "173d", "properties": properties } });
                let Some(property) = operation.property else {
                    assert!(refused(event(json!({ "name": ["x"] }))).await.starts_with("/data/properties/name"));
                    continue;
                };
                let right = match property.holds {
                    Holds::Names => json!(["a", "b"]),
                    Holds::Items => json!([{ "itemId": OBJECT, "itemType": "Map Package" }]),
                };
                let (status, accepted) = client.post("/v1/events", &event(json!({ property.key: right }))).await;
                assert_eq!(status, 202, "{trigger}: {accepted}");
                let said = refused(event(json!({ property.key: "[Organization]" }))).await;
                assert!(said.starts_with(&format!("/data/properties/{} a list of", property.key)), "{said}");
            }
        }
        // An error in a list of events names the event. The other spelling in the seed documents is a mistake. Other paths are allowed.
        let said = refused(
            json!([{ "trigger": "a.b" }, { "trigger": "/groups/g/removeUsers", "data": { "properties": { "removeUserNames": ["u"] } } }]),
        )
        .await;
        assert!(said.starts_with("/1/data/properties/removeUserNames") && said.contains("did you mean `removedUserNames`?"), "{said}");
        let (status, _) = client.post("/v1/events", &json!({ "trigger": "/orders/7/shared", "data": [1] })).await;
        assert_eq!(status, 202);
    });
}
