//! What a reference stands for.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{Reference, Root, Scope, intent_parts};

/// A value, and the end of the reference that belonged to the surrounding text after all: `.json` of `$session.params.name.json`
/// where `name` is a text.
pub(in crate::model) struct Found<'a, 'r> {
    pub value: Cow<'a, Value>,
    pub rest: &'r str,
}

impl<'a, 'r> Found<'a, 'r> {
    fn owned(value: Value, rest: &'r str) -> Self {
        Self { value: Cow::Owned(value), rest }
    }
}

impl<'a> Scope<'a> {
    /// The value of `reference`; `None` when it is unset. A `null` is unset too (Dialogflow CX, "Parameters").
    pub fn resolve(&self, reference: &Reference) -> Option<Value> {
        self.find(reference).filter(|found| found.rest.is_empty()).map(|found| found.value.into_owned())
    }

    /// The same, where the reference may be longer than what it refers to.
    ///
    /// Names may hold `.` and `-`, so where a name ends depends on which exist: the longest one that does is taken (our decision). What
    /// then follows with `-`, or with `.` behind a text, number or boolean, is text. Members and indexes that are not there are unset.
    pub(in crate::model) fn find<'r>(&self, reference: &'r Reference) -> Option<Found<'a, 'r>> {
        let tail = reference.tail();
        let found = match reference.root {
            Root::Session => {
                let (value, rest) = longest(tail, |name| self.session.get(name))?;
                walk(value, rest)
            }
            Root::Event => self.event.and_then(|event| member(event.as_object()?, tail)),
            Root::Intent => self.intent(tail),
            Root::Page => self.page(tail),
            Root::Request => self.request(tail),
            Root::Call => self.call(tail),
        };
        found.filter(|found| !found.value.is_null())
    }

    fn context_object(&self, names: [&str; 2]) -> Option<&'a Map<String, Value>> {
        let context = self.context?;
        names.iter().find_map(|name| context.get(*name)?.as_object())
    }

    fn intent<'r>(&self, tail: &'r str) -> Option<Found<'a, 'r>> {
        let (name, [short, long], rest) = intent_parts(tail)?;
        let parameters = self.context_object(["intent", "intentInfo"])?.get("parameters")?.as_object()?;
        let parameter = get_any_case(parameters, name)?;
        walk(parameter.get(long).or_else(|| parameter.get(short))?, rest)
    }

    /// The form of the current page. Dialogflow documents `$page.params.status = "FINAL"` and `$page.params.NAME.status = "UPDATED"` and
    /// no other word; we say FINAL when the page says so or every required parameter is filled, UPDATED for what was just collected.
    fn page<'r>(&self, tail: &'r str) -> Option<Found<'a, 'r>> {
        let page = self.context_object(["page", "pageInfo"])?;
        let form = page.get("formInfo").and_then(|form| form.get("parameterInfo")).and_then(Value::as_array);
        let parameters = form.map(Vec::as_slice).unwrap_or_default();
        let named =
            |name: &str| parameters.iter().find(|one| one["displayName"].as_str().is_some_and(|known| known.eq_ignore_ascii_case(name)));
        if let Some((parameter, rest)) = longest(tail, named) {
            return match rest.strip_prefix(".status") {
                Some(rest) if rest.is_empty() || !rest.starts_with(super::is_name_char) => {
                    (parameter["justCollected"] == true).then(|| Found::owned("UPDATED".into(), rest))
                }
                _ => walk(&parameter["value"], rest),
            };
        }
        let rest = tail.strip_prefix("status").filter(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))?;
        if let Some(status) = page.get("status") {
            return walk(status, rest);
        }
        let is_filled = |one: &&Value| one["state"] == "FILLED";
        let is_final = !parameters.is_empty() && parameters.iter().filter(|one| one["required"] == true).all(|one| is_filled(&one));
        is_final.then(|| Found::owned("FINAL".into(), rest))
    }

    fn request<'r>(&self, tail: &'r str) -> Option<Found<'a, 'r>> {
        if let Some(found) = self.context.and_then(|context| member(context.get("request")?.as_object()?, tail)) {
            return Some(found);
        }
        // Dialogflow's two names that stand elsewhere: the query's `text`, and the status of the webhook called last.
        let text = self.context.and_then(|context| context.get("text"));
        let status = self.webhook_status_code.map(Value::from);
        match longest(tail, |name| if name == "user-utterance" { text } else { None }) {
            Some((text, rest)) => walk(text, rest),
            None => Some(Found::owned(status?, tail.strip_prefix("webhook_status_code")?)),
        }
    }

    fn call<'r>(&self, tail: &'r str) -> Option<Found<'a, 'r>> {
        let call = self.call?.as_object()?;
        match (tail.strip_prefix("query."), tail.strip_prefix("headers.")) {
            (Some(name), _) if call.get("query").is_some_and(Value::is_array) => query(call.get("query")?.as_array()?, name),
            (_, Some(name)) => {
                let headers = call.get("headers")?.as_object()?;
                let (value, rest) = longest(name, |name| get_any_case(headers, name))?;
                walk(value, rest)
            }
            _ => member(call, tail),
        }
    }
}

/// A query kept as pairs: one occurrence is the text, several are a list.
fn query<'a, 'r>(pairs: &'a [Value], tail: &'r str) -> Option<Found<'a, 'r>> {
    let named = |name: &str| pairs.iter().find(|pair| pair[0] == name);
    let (first, rest) = longest(tail, named)?;
    let values: Vec<&Value> = pairs.iter().filter(|pair| pair[0] == first[0]).map(|pair| &pair[1]).collect();
    match values.as_slice() {
        [one] => walk(one, rest),
        several => {
            let list: Value = several.iter().map(|value| (*value).clone()).collect();
            let found = walk(&list, rest)?;
            Some(Found { value: Cow::Owned(found.value.into_owned()), rest: found.rest })
        }
    }
}

fn get_any_case<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    map.get(name).or_else(|| map.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

/// The longest beginning of `text` that names something, and the rest. Names end at the end or before a `.`, `-` or `[`.
fn longest<'a, 'r>(text: &'r str, get: impl Fn(&str) -> Option<&'a Value>) -> Option<(&'a Value, &'r str)> {
    let inner = text.char_indices().rev().filter(|(at, c)| *at > 0 && matches!(c, '.' | '-' | '[')).map(|(at, _)| at);
    std::iter::once(text.len()).chain(inner).find_map(|end| get(&text[..end]).map(|value| (value, &text[end..])))
}

fn member<'a, 'r>(map: &'a Map<String, Value>, text: &'r str) -> Option<Found<'a, 'r>> {
    let (value, rest) = longest(text, |name| map.get(name))?;
    walk(value, rest)
}

/// Follows `.name` and `[0]` from `value` as far as they lead.
fn walk<'a, 'r>(mut value: &'a Value, mut rest: &'r str) -> Option<Found<'a, 'r>> {
    loop {
        let step = if let Some(index) = rest.strip_prefix('[') {
            let (digits, behind) = index.split_once(']')?;
            Some((value.as_array()?.get(digits.parse::<usize>().ok()?)?, behind))
        } else if let (Some(names), Value::Object(map)) = (rest.strip_prefix('.'), value) {
            Some(longest(names, |name| map.get(name))?)
        } else if rest.starts_with('.') && value.is_array() {
            return None;
        } else {
            None
        };
        match step {
            Some((next, behind)) => (value, rest) = (next, behind),
            None => return Some(Found { value: Cow::Borrowed(value), rest }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::parameter::Parameters;

    #[track_caller]
    fn look(scope: &Scope<'_>, text: &str) -> Option<(Value, String)> {
        let reference = Reference::parse(text).unwrap().unwrap();
        scope.find(&reference).map(|found| (found.value.into_owned(), found.rest.to_owned()))
    }

    fn found(value: Value, rest: &str) -> Option<(Value, String)> {
        Some((value, rest.to_owned()))
    }

    fn session(value: Value) -> Parameters {
        serde_json::from_value(value).unwrap()
    }

    fn scope(session: &Parameters) -> Scope<'_> {
        Scope::of(session)
    }

    #[test]
    fn the_longest_existing_name_wins_and_case_does_not_matter() {
        let session =
            session(json!({"a": {"b": [{"c": 1}], "x": 2}, "a.b-c": "dotted", "Size": 3, "from": "x", "name": "report", "n": null}));
        let scope = scope(&session);
        assert_eq!(look(&scope, "$session.params.a.b[0].c"), found(json!(1), ""));
        assert_eq!(look(&scope, "$session.params.a.b-c"), found(json!("dotted"), ""));
        assert_eq!(look(&scope, "$session.params.SIZE"), found(json!(3), ""));
        assert_eq!(look(&scope, "$session.params.from-"), found(json!("x"), "-"));
        assert_eq!(look(&scope, "$session.params.name.json"), found(json!("report"), ".json"));
        assert_eq!(look(&scope, "$session.params.a.x-y"), found(json!(2), "-y"));
        for unset in [
            "$session.params.no",
            "$session.params.a.no",
            "$session.params.a.b[1]",
            "$session.params.a.b.c",
            "$session.params.name[0]",
            "$session.params.n",
        ] {
            assert_eq!(look(&scope, unset), None, "{unset}");
        }
        let partly = Reference::parse("$session.params.name.json").unwrap().unwrap();
        assert_eq!(scope.resolve(&partly), None);
    }

    #[test]
    fn the_event_is_read_by_field() {
        let session = Parameters::default();
        let event = json!({"id": "evt_1", "trigger": "t", "data": {"x": [5], "a.b": {"c": true}}, "attributes": {"k-1": "v"}});
        let scope = Scope { event: Some(&event), ..scope(&session) };
        assert_eq!(look(&scope, "$event.trigger"), found(json!("t"), ""));
        assert_eq!(look(&scope, "$event.data.x[0]"), found(json!(5), ""));
        assert_eq!(look(&scope, "$event.data.a.b.c"), found(json!(true), ""));
        assert_eq!(look(&scope, "$event.attributes.k-1"), found(json!("v"), ""));
        assert_eq!(look(&scope, "$event.session"), None);
    }

    #[test]
    fn intent_page_and_request_are_read_from_the_context() {
        let session = Parameters::default();
        let context = json!({
            "text": "two apples", "intentInfo": {"parameters": {"fruit.kind": {"originalValue": "apples", "resolvedValue": {"id": 7}}}},
            "pageInfo": {"formInfo": {"parameterInfo": [
                {"displayName": "size", "required": true, "state": "FILLED", "value": 3, "justCollected": true},
                {"displayName": "note", "state": "EMPTY"}]}},
            "request": {"end-user-metadata": {"tier": "gold"}}});
        let scope = Scope { context: context.as_object(), webhook_status_code: Some(503), ..scope(&session) };
        assert_eq!(look(&scope, "$intent.params.fruit.kind.original"), found(json!("apples"), ""));
        assert_eq!(look(&scope, "$intent.params.Fruit.Kind.resolved.id"), found(json!(7), ""));
        assert_eq!(look(&scope, "$page.params.status"), found(json!("FINAL"), ""));
        assert_eq!(look(&scope, "$page.params.size.status"), found(json!("UPDATED"), ""));
        assert_eq!(look(&scope, "$page.params.note.status"), None);
        assert_eq!(look(&scope, "$page.params.size"), found(json!(3), ""));
        assert_eq!(look(&scope, "$request.user-utterance"), found(json!("two apples"), ""));
        assert_eq!(look(&scope, "$request.end-user-metadata.tier"), found(json!("gold"), ""));
        assert_eq!(look(&scope, "$request.webhook_status_code"), found(json!(503), ""));
        assert_eq!(look(&scope, "$request.other"), None);
        let plain = json!({"intent": {"parameters": {"x": {"original": "o"}}}, "page": {"status": "OPEN"}});
        let scope = Scope { context: plain.as_object(), ..scope };
        assert_eq!(look(&scope, "$intent.params.x.original"), found(json!("o"), ""));
        assert_eq!(look(&scope, "$page.params.status"), found(json!("OPEN"), ""));
    }

    #[test]
    fn the_call_is_read_whether_its_query_is_pairs_or_an_object() {
        let session = Parameters::default();
        let call = json!({"caller": "crm", "method": "POST", "parameters": {"dos": 5}, "headers": {"x-request-id": "r1"}, "body": {"a": [1, 2]},
                          "query": [["dos", "5"], ["tag", "x"], ["tag", "y"]]});
        let with = Scope { call: Some(&call), ..scope(&session) };
        assert_eq!(look(&with, "$call.caller"), found(json!("crm"), ""));
        assert_eq!(look(&with, "$call.parameters.dos"), found(json!(5), ""));
        assert_eq!(look(&with, "$call.query.dos"), found(json!("5"), ""));
        assert_eq!(look(&with, "$call.query.tag[1]"), found(json!("y"), ""));
        assert_eq!(look(&with, "$call.headers.X-Request-Id"), found(json!("r1"), ""));
        assert_eq!(look(&with, "$call.body.a"), found(json!([1, 2]), ""));
        let call = json!({"query": {"dos": "6"}});
        assert_eq!(look(&Scope { call: Some(&call), ..with }, "$call.query.dos"), found(json!("6"), ""));
    }
}
