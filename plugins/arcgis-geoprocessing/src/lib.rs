//! Transform: the end of a geoprocessing job as the payload ArcGIS Enterprise sends for it.
//!
//! The event's trigger is `/services/<folder>/<service>.GPServer/jobs/<id>/<succeeded|failed|cancelled>`; its data may hold
//! `taskName` and `statusURL`. Configuration, all optional: `taskName`; `serverUrl` (`https://gis.example/server`) to derive
//! `statusURL` from; `payloadFormat` `json` or `pjson`; `webhookName` where the payload is to say another name than the
//! webhook's own; `unsignedForm` for a form without a signature. Events that are no end of a job are left out.

use hookwright_guest::{Delivery, Error, Event, Request, Transform, config, log};
use serde::Deserialize;
use serde_json::{Value, json};

struct ArcgisGeoprocessing;
hookwright_guest::export!(ArcgisGeoprocessing: transform);

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Config {
    task_name: Option<String>,
    server_url: Option<String>,
    payload_format: Option<String>,
    webhook_name: Option<String>,
    unsigned_form: bool,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Data {
    task_name: Option<String>,
    #[serde(rename = "statusURL")]
    status_url: Option<String>,
}

struct Job<'a> {
    folder: &'a str,
    service: &'a str,
    id: &'a str,
    event_type: &'static str,
}

fn job(trigger: &str) -> Option<Job<'_>> {
    let (path, rest) = trigger.strip_prefix("/services/")?.split_once(".GPServer/jobs/")?;
    let (folder, service) = path.rsplit_once('/').unwrap_or(("", path));
    let (id, end) = rest.split_once('/')?;
    let event_type = match end {
        "succeeded" => "jobSucceeded",
        "failed" => "jobFailed",
        "cancelled" => "jobCancelled",
        _ => return None,
    };
    Some(Job { folder, service, id, event_type })
}

fn status_url(config: &Config, job: &Job<'_>, task: &str) -> String {
    let Some(server) = &config.server_url else { return String::new() };
    let path = [job.folder, job.service, "GPServer", task, "jobs", job.id];
    let path: Vec<&str> = path.into_iter().filter(|part| !part.is_empty()).collect();
    format!("{}/rest/services/{}", server.trim_end_matches('/'), path.join("/"))
}

fn payload(config: &Config, delivery: &Delivery, events: &[Event]) -> Result<Option<Value>, Error> {
    let ends: Vec<(&Event, Job<'_>)> = events.iter().filter_map(|event| Some((event, job(&event.trigger)?))).collect();
    let Some((first, job)) = ends.first() else {
        log::info("no end of a job");
        return Ok(None);
    };
    if ends.iter().any(|(_, other)| (other.id, other.service, other.folder) != (job.id, job.service, job.folder)) {
        return Err(Error::rejected("a payload tells of one job, and these events are of several: batch them apart"));
    }
    let data: Data = first.data::<Option<Data>>()?.unwrap_or_default();
    let task = data.task_name.or_else(|| config.task_name.clone()).unwrap_or_default();
    let listed: Vec<Value> = ends.iter().map(|(event, job)| json!({ "eventType": job.event_type, "when": event.time_ms })).collect();
    Ok(Some(json!({
        "serviceType": "GPServer",
        "jobId": job.id,
        "statusURL": data.status_url.unwrap_or_else(|| status_url(config, job, &task)),
        "name": config.webhook_name.as_ref().unwrap_or(&delivery.webhook_name),
        "taskName": task,
        "folderName": job.folder,
        "serviceName": job.service,
        "events": listed,
    })))
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

impl Transform for ArcgisGeoprocessing {
    fn apply(delivery: Delivery, events: Vec<Event>) -> Result<Option<Request>, Error> {
        let config: Config = config()?;
        let Some(payload) = payload(&config, &delivery, &events)? else { return Ok(None) };
        Ok(Some(Request::post().body(body(&config, &payload)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(trigger: &str, data: &Value) -> Event {
        Event { time_ms: 7, ..Event::new(trigger, data).expect("an event") }
    }

    #[test]
    fn the_payload_names_the_job_and_its_status() {
        let config = Config { server_url: Some("https://gis.example/server".into()), ..Config::default() };
        let delivery = Delivery { webhook_name: "demo".into(), ..Delivery::default() };
        let event = end("/services/Tools/Route.GPServer/jobs/j1/failed", &json!({ "taskName": "Solve" }));
        assert_eq!(
            payload(&config, &delivery, &[event]),
            Ok(Some(json!({
                "serviceType": "GPServer", "jobId": "j1",
                "statusURL": "https://gis.example/server/rest/services/Tools/Route/GPServer/Solve/jobs/j1",
                "name": "demo", "taskName": "Solve", "folderName": "Tools", "serviceName": "Route",
                "events": [{ "eventType": "jobFailed", "when": 7 }],
            })))
        );
    }

    #[test]
    fn a_payload_is_of_one_job_and_nothing_is_sent_of_others() {
        let of = |trigger| end(trigger, &Value::Null);
        let two = [of("/services/A.GPServer/jobs/1/succeeded"), of("/services/A.GPServer/jobs/2/succeeded")];
        assert!(matches!(payload(&Config::default(), &Delivery::default(), &two), Err(Error::Rejected(_))));
        assert_eq!(payload(&Config::default(), &Delivery::default(), &[of("/items/abc/share")]), Ok(None));
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
