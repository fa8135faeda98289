//! Requests, from what is written to what is built.

use serde_json::{Map, json};

use super::*;
use crate::model::parameter::Parameters;

fn spec(value: Value) -> RequestSpec {
    serde_json::from_value(value).unwrap()
}

fn problems(value: Value) -> Vec<String> {
    RequestTemplate::parse(&spec(value)).map_or_else(|found| found.into_iter().map(|problem| problem.pointer).collect(), |_| Vec::new())
}

fn parameters() -> Parameters {
    let value = json!({"fruit": "apple & <pear>", "size": 3, "tenant": "north", "list": [1, 2], "break": "a\r\nx-evil: 1", "up": ".."});
    Parameters::from(value.as_object().cloned().unwrap_or_else(Map::new))
}

#[track_caller]
fn build_with(request: Value, event: Option<&Value>, plugin: Option<PluginRequest>) -> Result<(BuiltRequest, Expansion), RequestProblem> {
    let session = parameters();
    let scope = Scope { event, ..Scope::of(&session) };
    RequestTemplate::parse(&spec(request)).unwrap().build(&scope, plugin)
}

#[track_caller]
fn build(request: Value) -> BuiltRequest {
    build_with(request, None, None).unwrap().0
}

fn body(request: &BuiltRequest) -> &str {
    std::str::from_utf8(&request.body).unwrap()
}

#[test]
fn the_request_of_the_contract_is_built() {
    let (request, expansion) = build_with(
        json!({"method": "post", "url": "https://svc.example/h?f=$session.params.fruit", "headers": {"X-Tenant": "$session.params.tenant"},
               "content_type": "application/json", "body": {"size": "$session.params.size", "no": "$session.params.no"}}),
        None,
        None,
    )
    .unwrap();
    assert_eq!((request.method.as_str(), request.url.as_str()), ("POST", "https://svc.example/h?f=apple%20%26%20%3Cpear%3E"));
    assert_eq!(request.headers, [("x-tenant".to_owned(), "north".to_owned()), ("content-type".to_owned(), "application/json".to_owned())]);
    assert_eq!(body(&request), r#"{"size":3,"no":null}"#);
    assert_eq!(expansion.names(), ["$session.params.no"]);
}

#[test]
fn everything_wrong_is_found_at_once_with_its_pointer() {
    let found = problems(json!({"method": "PSOT", "url": "h", "content_type": "json",
        "headers": {"host": "x", "a/b": "$sesion.params.x", "X-A": "1", "x-a": "2", "x-b": "a\nb"}, "body": {"a": ["$secret:k"]}}));
    let expected = ["/method", "/url", "/headers/a~1b", "/headers/host", "/headers/x-a", "/headers/x-b", "/content_type", "/body/a/0"];
    assert_eq!(found, expected);
}

#[test]
fn unknown_fields_are_refused() {
    assert!(serde_json::from_value::<RequestSpec>(json!({"url": "https://h/", "metod": "GET"})).is_err());
    assert!(serde_json::from_value::<RequestSpec>(json!({})).is_err());
}

#[test]
fn only_three_methods_take_a_body() {
    for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
        assert_eq!(problems(json!({"method": method, "url": "https://h/", "body": {}})), ["/body"], "{method}");
        let event = json!({"trigger": "t", "time": "x", "data": 1});
        let (request, _) = build_with(json!({"method": method, "url": "https://h/"}), Some(&event), None).unwrap();
        assert!(request.body.is_empty() && request.header("content-type").is_none());
    }
    for method in ["POST", "PUT", "PATCH"] {
        assert!(problems(json!({"method": method, "url": "https://h/", "body": {}})).is_empty());
    }
}

#[test]
fn an_object_becomes_a_form_when_its_type_says_so() {
    let request = build(json!({"url": "https://h/", "content_type": "application/x-www-form-urlencoded",
        "body": {"f": "$session.params.fruit", "n": "$session.params.size", "l": "$session.params.list", "no": "$session.params.no", "a b": true}}));
    assert_eq!(body(&request), "f=apple+%26+%3Cpear%3E&n=3&l=%5B1%2C2%5D&no=&a+b=true");
    assert_eq!(problems(json!({"url": "https://h/", "content_type": "application/x-www-form-urlencoded", "body": [1]})), ["/body"]);
}

#[test]
fn a_text_is_sent_as_it_is_and_its_values_stay_values() {
    let text = |content_type: Option<&str>, body: &str| build(json!({"url": "https://h/", "content_type": content_type, "body": body}));
    let plain = text(None, "f=$session.params.fruit");
    assert_eq!((body(&plain), plain.header("content-type")), ("f=apple & <pear>", Some("text/plain; charset=utf-8")));
    assert_eq!(body(&text(Some("application/x-www-form-urlencoded"), "f=$session.params.fruit&x=1")), "f=apple%20%26%20%3Cpear%3E&x=1");
    assert_eq!(body(&text(Some("application/soap+xml"), "<f>$session.params.fruit</f>")), "<f>apple &amp; &lt;pear&gt;</f>");
    // Dialogflow CX's requestBody is a text that holds JSON.
    assert_eq!(
        body(&text(Some("application/json"), r#"{"f": "$session.params.fruit", "n": "$session.params.size"}"#)),
        r#"{"f":"apple & <pear>","n":3}"#
    );
    assert_eq!(body(&text(Some("application/json"), "$session.params.list")), "[1,2]");
    assert_eq!(
        problems(json!({"url": "https://h/", "content_type": "application/json", "body": "{\"f\": $session.params.size}"})),
        ["/body"]
    );
    assert_eq!(problems(json!({"url": "https://h/", "content_type": "text/xml", "body": {"a": 1}})), ["/body"]);
}

#[test]
fn an_event_without_a_body_is_sent_in_the_envelope_and_an_invoke_is_not() {
    let event = json!({"id": "evt_1", "trigger": "user.created", "time": "2026-01-01T00:00:00Z", "data": {"a": 1}});
    let (request, _) = build_with(json!({"url": "https://h/"}), Some(&event), None).unwrap();
    assert_eq!(body(&request), r#"{"type":"user.created","timestamp":"2026-01-01T00:00:00Z","data":{"a":1}}"#);
    assert_eq!(request.header("content-type"), Some("application/json"));
    let invoked = build(json!({"url": "https://h/", "content_type": "application/json"}));
    assert!(invoked.body.is_empty() && invoked.headers.is_empty());
    let (invoked, _) = build_with(json!({"url": "https://h/$event.data.a"}), Some(&json!({"data": {"a": 1}})), None).unwrap();
    assert_eq!((invoked.url.as_str(), invoked.body.len()), ("https://h/1", 0));
}

#[test]
fn a_plugin_wins_over_the_template_and_is_literal() {
    let template = json!({"url": "https://h:8443/base?x=$session.params.size", "headers": {"x-a": "template", "x-b": "$session.params.tenant"}, "body": {"t": 1}});
    let plugin = PluginRequest {
        method: Some("PUT".to_owned()),
        path_and_query: Some("/other?y=$session.params.size".to_owned()),
        headers: vec![("X-A".to_owned(), "$session.params.tenant".to_owned()), ("x-a".to_owned(), "again".to_owned())],
        content_type: Some("text/plain".to_owned()),
        body: Some(b"$session.params.size".to_vec()),
        bindings: vec![("a".to_owned(), "$.a".to_owned())],
    };
    let (request, expansion) = build_with(template.clone(), None, Some(plugin.clone())).unwrap();
    assert_eq!((request.method.as_str(), request.url.as_str()), ("PUT", "https://h:8443/other?y=$session.params.size"));
    let headers: Vec<_> = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(headers, [("x-b", "north"), ("x-a", "$session.params.tenant"), ("x-a", "again"), ("content-type", "text/plain")]);
    assert_eq!((body(&request), &request.bindings), ("$session.params.size", &plugin.bindings));
    assert!(expansion.is_empty());
    let (request, _) = build_with(template, None, Some(PluginRequest::default())).unwrap();
    assert_eq!((request.url.as_str(), body(&request)), ("https://h:8443/base?x=3", r#"{"t":1}"#));
}

#[test]
fn a_plugin_cannot_aim_credentials_or_break_the_message() {
    let refused = |plugin: PluginRequest| build_with(json!({"url": "https://h/"}), None, Some(plugin)).unwrap_err().to_string();
    for path in ["//evil/", "evil", "@evil/", "/a/../b", "/%2e%2E/b", "/a\r\nb", "/a#b", ""] {
        refused(PluginRequest { path_and_query: Some(path.to_owned()), ..PluginRequest::default() });
    }
    for name in ["Host", "authorization", "content-length", "webhook-id", "Webhook-Signature", "secret", "content-type", "a b", ""] {
        refused(PluginRequest { headers: vec![(name.to_owned(), "x".to_owned())], ..PluginRequest::default() });
    }
    refused(PluginRequest { headers: vec![("x".to_owned(), "a\nb".to_owned())], ..PluginRequest::default() });
    refused(PluginRequest { headers: vec![("x".to_owned(), "a".to_owned()); HEADERS_MAX + 1], ..PluginRequest::default() });
    refused(PluginRequest { method: Some("CONNECT".to_owned()), ..PluginRequest::default() });
    refused(PluginRequest { method: Some("GET".to_owned()), body: Some(vec![1]), ..PluginRequest::default() });
    refused(PluginRequest { body: Some(vec![0; BODY_BYTES_MAX + 1]), ..PluginRequest::default() });
    refused(PluginRequest { body: Some(vec![1]), content_type: Some("x".to_owned()), ..PluginRequest::default() });
    refused(PluginRequest { bindings: vec![("a".to_owned(), "b".to_owned())], ..PluginRequest::default() });
}

#[test]
fn a_value_that_would_break_the_request_refuses_it() {
    let header = build_with(json!({"url": "https://h/", "headers": {"x": "$session.params.break"}}), None, None).unwrap_err();
    assert!(matches!(&header, RequestProblem::Header { name, .. } if name == "x"), "{header}");
    assert!(!header.to_string().contains("evil"));
    let url = build_with(json!({"url": "https://h/a/$session.params.up/b"}), None, None).unwrap_err();
    assert_eq!(url, RequestProblem::Url(UrlProblem::UnsafeSegment));
}

#[test]
fn a_built_request_is_stored_and_read_back_whatever_its_body() {
    for bytes in [b"".to_vec(), "{\"é\":1}".as_bytes().to_vec(), vec![0xff, 0, 1]] {
        let request =
            BuiltRequest { body: bytes, bindings: vec![("a".to_owned(), "$.a".to_owned())], ..build(json!({"url": "https://h/"})) };
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(serde_json::from_str::<BuiltRequest>(&text).unwrap(), request, "{text}");
    }
}

#[test]
fn the_references_of_a_request_can_be_listed() {
    let template = RequestTemplate::parse(&spec(
        json!({"url": "https://h/$session.params.a", "headers": {"x": "$event.id"}, "body": ["$call.caller"]}),
    ))
    .unwrap();
    let found: Vec<_> = template.references().into_iter().map(Reference::as_str).collect();
    assert_eq!(found, ["$session.params.a", "$event.id", "$call.caller"]);
}
