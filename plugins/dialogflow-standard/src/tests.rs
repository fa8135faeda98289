use hookwright_guest::testing;

use super::*;

fn read(response: &Value) -> Result<Outcome, Error> {
    DialogflowStandard::read(Delivery::default(), Answer { status: 200, headers: Vec::new(), body: response.to_string().into() })
}

#[test]
fn the_request_carries_context_session_and_parameters() {
    testing::parameter("size", &3).expect("a parameter");
    let context = json!({ "tag": "check", "text": "How many?", "languageCode": "fr", "intentInfo": { "displayName": "stock" }, "own": 1 });
    let delivery = Delivery {
        id: "dlv_1".into(),
        session: Some("projects/p/locations/l/agents/a/sessions/s".into()),
        environment: Some("staging".into()),
        context_json: context.to_string(),
        ..Delivery::default()
    };
    let request = DialogflowStandard::apply(delivery, Vec::new()).expect("a request").expect("one to send");
    assert_eq!(request.method.as_deref(), Some("POST"));
    assert_eq!(
        serde_json::from_slice::<Value>(&request.body.expect("a body")).expect("JSON"),
        json!({
            "detectIntentResponseId": "dlv_1", "text": "How many?", "languageCode": "fr", "intentInfo": { "displayName": "stock" },
            "fulfillmentInfo": { "tag": "check" }, "pageInfo": { "currentPage": "", "displayName": "" },
            "sessionInfo": { "session": "projects/p/locations/l/agents/a/environments/staging/sessions/s", "parameters": { "size": 3 } },
        })
    );
}

#[test]
fn the_response_sets_and_removes_parameters_and_the_rest_is_output() {
    let outcome = read(&json!({
        "fulfillmentResponse": { "messages": [{ "text": { "text": ["Bonjour"] } }] },
        "pageInfo": { "currentPage": "ignored", "formInfo": { "parameterInfo": [
            { "displayName": "size", "state": "INVALID", "value": null, "justCollected": true }, { "displayName": "fruit", "state": "FILLED" } ] } },
        "sessionInfo": { "parameters": { "total": 12, "draft": null } },
        "payload": { "any": 1 }, "targetPage": "projects/p/pages/2", "unknown": true,
    }))
    .expect("an outcome");
    assert_eq!(outcome.parameters, [("total".to_owned(), Some("12".to_owned())), ("draft".to_owned(), None)]);
    let output: Value = serde_json::from_str(&outcome.output.expect("an output")).expect("JSON");
    assert_eq!(
        output,
        json!({
            "fulfillmentResponse": { "messages": [{ "text": { "text": ["Bonjour"] } }], "mergeBehavior": "APPEND" },
            "pageInfo": { "formInfo": { "parameterInfo": [{ "displayName": "size", "state": "INVALID", "value": null }] } },
            "payload": { "any": 1 }, "targetPage": "projects/p/pages/2",
        })
    );
}

#[test]
fn what_is_no_response_is_rejected() {
    assert!(matches!(read(&json!({ "targetPage": "a", "targetFlow": "b" })), Err(Error::Rejected(_))));
    assert!(matches!(read(&json!({ "fulfillmentResponse": { "mergeBehavior": "MAYBE" } })), Err(Error::Rejected(_))));
    assert!(matches!(read(&json!("hello")), Err(Error::Rejected(_))));
    let empty = DialogflowStandard::read(Delivery::default(), Answer { status: 204, ..Answer::default() });
    assert_eq!(empty, Ok(Outcome::new()));
}
