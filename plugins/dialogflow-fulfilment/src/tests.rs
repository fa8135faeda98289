use hookwright_guest::{testing, webhooks::Invoked};

use super::*;

fn ask(tag: &str) -> (u16, Value) {
    let routes =
        json!({ "tags": { "check-stock": { "webhook": "stock", "message": "There are {left} $sku left, $session.params.name." } } });
    testing::config(&routes).expect("a configuration");
    let request = json!({
        "fulfillmentInfo": { "tag": tag }, "text": "How many?", "languageCode": "en",
        "sessionInfo": { "session": "projects/p/sessions/s", "parameters": { "sku": "A-12", "name": "Ann" } },
    });
    let reply = DialogflowFulfilment::receive(Invocation::post(&request).expect("a call")).expect("a reply");
    (reply.status, serde_json::from_slice(&reply.body).expect("JSON"))
}

#[test]
fn a_tag_invokes_its_webhook_and_answers_in_the_agents_format() {
    let parameters = json!({ "left": 4 }).as_object().cloned().expect("an object");
    testing::webhook("stock", Invoked { delivered: true, parameters, ..Invoked::default() });
    let (status, response) = ask("check-stock");
    assert_eq!(status, 200);
    assert_eq!(
        response,
        json!({
            "sessionInfo": { "parameters": { "left": 4 } },
            "fulfillmentResponse": { "messages": [{ "text": { "text": ["There are 4 A-12 left, Ann."] } }] },
        })
    );
    assert_eq!(testing::invoked(), [("stock".to_owned(), r#"{"sku":"A-12","name":"Ann"}"#.to_owned())]);
}

#[test]
fn failures_have_the_statuses_the_agent_knows() {
    assert_eq!(ask("unknown").0, 404);
    assert_eq!(ask("check-stock").0, 500, "a webhook that may not be called");
    for (http_status, event, status) in [
        (Some(401), "webhook.error.rejected", 401),
        (Some(404), "webhook.error", 404),
        (Some(502), "webhook.error", 500),
        (None, "webhook.error.timeout", 503),
        (None, "webhook.error.not-found", 503),
    ] {
        testing::webhook("stock", Invoked { http_status, error_event: Some(event.into()), ..Invoked::default() });
        assert_eq!(ask("check-stock").0, status, "{event}");
    }
    let no_request = DialogflowFulfilment::receive(Invocation::post(&json!({ "hello": 1 })).expect("a call")).expect("a reply");
    assert_eq!(no_request.status, 400);
}

#[test]
fn placeholders_take_the_longest_name_and_leave_the_rest() {
    let parameters = json!({ "a": 1, "a.b": [2], "text": "x" }).as_object().cloned().expect("an object");
    let filled = |message: &str| filled(message, &parameters);
    assert_eq!(filled("$a.b. {A} {none}|"), "[2]. 1 |");
    assert_eq!(filled("costs $5, {not a name}, $session.params.none."), "costs $5, {not a name}, .");
    assert_eq!(filled("$session.params.text."), "x.");
    assert_eq!(filled("é{text}$"), "éx$");
}
