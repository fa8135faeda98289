//! Receiver: what ArcGIS sends to a webhook becomes events.
//!
//! * An organization's payload: one event per entry, `/<family>/<id>/<operation>`, data `{username,userId,properties}`,
//!   source the portal's URL.
//! * A feature service's (Enterprise: an object, Online: an array): one event per change type, a word such as
//!   `FeaturesCreated`, source the service's path `/services/<folder>/<service>.FeatureServer`.
//! * A geoprocessing service's: `/services/<folder>/<service>.GPServer/jobs/<id>/<succeeded|failed|cancelled>`.
//!
//! The answer is `{"success":"true"}`, which needs the receiver's `full_reply`. An empty object, as sent to check an address,
//! is answered so and is no event. No configuration.

use hookwright_guest::events::{Emission, emit};
use hookwright_guest::{Error, Invocation, OrError, Receive, Reply};
use serde::Deserialize;
use serde_json::{Value, json};

struct ArcgisEvents;
hookwright_guest::export!(ArcgisEvents: receive);

#[derive(Deserialize)]
struct OrganizationPayload {
    info: Info,
    events: Vec<OrganizationEvent>,
}

#[derive(Deserialize)]
struct Info {
    #[serde(rename = "portalURL")]
    portal_url: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OrganizationEvent {
    #[serde(default)]
    username: String,
    #[serde(default)]
    user_id: String,
    when: u64,
    operation: String,
    source: String,
    id: String,
    #[serde(default)]
    properties: Value,
}

fn family(source: &str) -> Result<&'static str, Error> {
    match source {
        "item" | "items" => Ok("items"),
        "group" | "groups" => Ok("groups"),
        "user" | "users" => Ok("users"),
        "role" | "roles" => Ok("roles"),
        other => Err(Error::rejected(format_args!("no family of events is called {other:?}"))),
    }
}

/// A path segment: an id that is empty or holds a slash would name another object.
fn segment<'a>(text: &'a str, what: &str) -> Result<&'a str, Error> {
    (!text.is_empty() && !text.contains('/')).then_some(text).ok_or_else(|| Error::rejected(format_args!("{what} is {text:?}")))
}

fn organization(payload: OrganizationPayload) -> Result<Vec<Emission>, Error> {
    let emission = |event: OrganizationEvent| {
        let (id, operation) = (segment(&event.id, "an event's id")?, segment(&event.operation, "an event's operation")?);
        let trigger = format!("/{}/{id}/{operation}", family(&event.source)?);
        let properties = if event.properties.is_null() { json!({}) } else { event.properties };
        let data = json!({ "username": event.username, "userId": event.user_id, "properties": properties });
        Ok(Emission::new(trigger, &data)?.source(&payload.info.portal_url).time_ms(event.when))
    };
    payload.events.into_iter().map(emission).collect()
}

fn service_path(payload: &Value, kind: &str) -> Result<String, Error> {
    let service = payload["serviceName"].as_str().or_reject("serviceName")?;
    let folder = payload["folderName"].as_str().filter(|folder| !folder.is_empty() && *folder != "/");
    Ok(folder.map_or_else(|| format!("/services/{service}.{kind}"), |folder| format!("/services/{folder}/{service}.{kind}")))
}

/// An event is a word alone (Online), or `{eventType,when}` (Enterprise).
fn service_events(payload: &Value) -> Vec<(&str, Option<u64>)> {
    let entry = |event: &'_ Value| event.as_str().is_none().then(|| event["when"].as_u64()).flatten();
    let listed = payload["events"].as_array().map(Vec::as_slice).unwrap_or_default();
    let older = payload["changeType"].as_str().map(|word| (word, None));
    listed.iter().filter_map(|event| Some((event.as_str().or(event["eventType"].as_str())?, entry(event)))).chain(older).collect()
}

fn service(payload: &Value) -> Result<Vec<Emission>, Error> {
    let job = payload["jobId"].as_str();
    let source = service_path(payload, if job.is_some() { "GPServer" } else { "FeatureServer" })?;
    let mut data = payload.clone();
    if let (Some(object), Some(url)) = (data.as_object_mut(), payload["changesUrl"].as_str()) {
        object.remove("events");
        // ArcGIS Online encodes the whole address, Enterprise only its query.
        let url = if url.contains("://") { url.to_owned() } else { decoded(url)? };
        object.insert("changesUrl".into(), url.into());
    }
    let emission = |(word, when): (&str, Option<u64>)| {
        let trigger = match job {
            Some(job) => format!("{source}/jobs/{}/{}", segment(job, "jobId")?, job_end(word)?),
            None => word.to_owned(),
        };
        let emission = Emission::new(trigger, &data)?.source(&source);
        let when = when.or(payload["lastUpdatedTime"].as_u64());
        Ok(when.map_or(emission.clone(), |when| emission.time_ms(when)))
    };
    service_events(payload).into_iter().map(emission).collect()
}

fn job_end(event_type: &str) -> Result<&'static str, Error> {
    let ends = ["succeeded", "failed", "cancelled"];
    let found = ends.into_iter().find(|end| event_type.to_ascii_lowercase().ends_with(end));
    found.or_reject(format_args!("the end of a job in {event_type:?}"))
}

fn decoded(text: &str) -> Result<String, Error> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let hex = |digit: Option<u8>| digit.and_then(|digit| (digit as char).to_digit(16));
        match byte {
            b'%' => bytes.push((hex(rest.next()).or_reject("a hex digit")? * 16 + hex(rest.next()).or_reject("a hex digit")?) as u8),
            b'+' => bytes.push(b' '),
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).or_reject("the percent-encoding")
}

/// What stands before the signature in a form, in lower case: the host verifies it in any case.
const SIGNATURE: &str = "&x-esrihook-signature=";

/// The JSON of a call. A form carries it as `payload=`; some senders leave it unencoded there.
fn body(call: &Invocation) -> Result<Value, Error> {
    let is_form = |kind: &str| kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/x-www-form-urlencoded");
    let text = without_mark(call.text()?);
    if !call.header("content-type").is_some_and(is_form) {
        return serde_json::from_str(text).or_reject("the body");
    }
    let plain = text.split("payload=").nth(1).or_reject("the form's payload")?;
    // ASCII lower case keeps every byte where it is.
    let plain = plain.to_ascii_lowercase().find(SIGNATURE).map_or(plain, |end| &plain[..end]);
    let plain = without_mark(plain);
    if plain.starts_with(['{', '[']) { Ok(serde_json::from_str(plain)?) } else { Ok(serde_json::from_str(without_mark(&decoded(plain)?))?) }
}

/// A text without its byte order mark.
fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

fn emissions(body: &Value) -> Result<Vec<Emission>, Error> {
    match body {
        Value::Object(object) if object.is_empty() => Ok(Vec::new()),
        Value::Object(object) if object.contains_key("info") => organization(serde_json::from_value(body.clone())?),
        Value::Object(_) => service(body),
        Value::Array(services) => Ok(services.iter().map(service).collect::<Result<Vec<_>, _>>()?.concat()),
        _ => Err(Error::rejected("a payload is an object or an array")),
    }
}

impl Receive for ArcgisEvents {
    fn receive(call: Invocation) -> Result<Reply, Error> {
        for emission in emissions(&body(&call)?)? {
            emit(emission)?;
        }
        Reply::json(&json!({ "success": "true" }))
    }
}

#[cfg(test)]
mod tests;
