//! Webhooks of geoprocessing and feature services (ArcGIS Server administrator API, "Webhooks").

use serde_json::{Map, Value, json};

use super::{
    Form, Kept, PAUSED_LABEL, SCHEDULE_LABEL, Writer, checked_name, config, display_name, label,
    organization::{settings as common_settings, with_settings as with_common_settings},
    rights::is_as_shown,
    schedule::{ScheduleInfo, State},
    set_config, set_name, set_secret, shown_secret,
};
use crate::model::{
    problem::{Problem, nearest},
    profile::{Deactivation, FailuresWithin, Profile},
    service::{ServiceKind, ServiceName},
    trigger::arcgis::CHANGE_TYPES,
    webhook::WebhookSpec,
};

/// The media types a payload may have; the first is the default.
pub const CONTENT_TYPES: [&str; 2] = ["application/json", "application/x-www-form-urlencoded"];
/// The formats a payload may have; the first is the default.
pub const PAYLOAD_FORMATS: [&str; 2] = ["json", "pjson"];
/// What subscribes to every change.
const ANY: &str = "*";

impl ServiceKind {
    /// The profile of its webhooks.
    pub fn profile(self) -> &'static str {
        match self {
            Self::FeatureServer => "arcgis-feature",
            Self::GpServer => "arcgis-geoprocessing",
        }
    }
}

/// Our document of what is written for a service.
pub fn to_document(form: &Form, service: &ServiceName, writer: Writer<'_>) -> Result<Value, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut document = writer.document(service.kind.profile());
    let is_update = writer.existing.is_some();
    match checked_name(form, is_update) {
        Ok(Some(name)) if !name.chars().all(char::is_alphanumeric) => {
            problems.push(Problem::new("/name", format!("letters and digits alone: `{name}` holds something else")));
        }
        Ok(Some(name)) => set_name(&mut document, name),
        Ok(None) => {}
        Err(problem) => problems.push(problem),
    }
    match form.text("hookUrl") {
        Some(url) if is_as_shown(writer.existing, url) => {}
        Some(url) => document["request"]["url"] = json!(url),
        None if is_update => {}
        None => problems.push(Problem::new("/hookUrl", "the payload URL: where the payloads go")),
    }
    set_secret(&mut document, form.get("signatureKey"));
    match form.choice("contentType", &CONTENT_TYPES) {
        Ok(Some(media)) => document["request"]["content_type"] = json!(media),
        Ok(None) if is_update => {}
        Ok(None) => document["request"]["content_type"] = json!(CONTENT_TYPES[0]),
        Err(problem) => problems.push(problem),
    }
    match form.choice("payloadFormat", &PAYLOAD_FORMATS) {
        Ok(Some(format)) => set_config(&mut document, "payloadFormat", json!(format)),
        Ok(None) => {}
        Err(problem) => problems.push(problem),
    }
    let is_form = document["request"]["content_type"] == CONTENT_TYPES[1];
    let is_signed = document["signing"].is_object();
    set_config(&mut document, "unsignedForm", json!(is_form && !is_signed));
    set_config(&mut document, "serverUrl", json!(writer.base));
    match service.kind {
        ServiceKind::FeatureServer => {
            document["sources"] = json!([service.path()]);
            match read_changes(form, is_update) {
                Ok(Some(changes)) => document["selectors"] = json!(changes),
                Ok(None) => {}
                Err(problem) => problems.push(problem),
            }
        }
        ServiceKind::GpServer => {
            document["selectors"] = json!([service.path()]);
            for name in ["changeTypes", "scheduleInfo"] {
                if form.text(name).is_some() {
                    problems.push(Problem::new(
                        format!("/{name}"),
                        "webhooks of a geoprocessing service are told of the end of each job, at once",
                    ));
                }
            }
        }
    }
    let active = form.flag("active").map_err(|problem| problems.push(problem)).ok().flatten();
    if let Err(problem) = set_schedule(&mut document, form, active, writer.existing) {
        problems.push(problem);
    }
    if problems.is_empty() { Ok(document) } else { Err(problems) }
}

/// The change types, in the table's spelling; `*` is all of them.
fn read_changes(form: &Form, is_update: bool) -> Result<Option<Vec<&'static str>>, Problem> {
    let Some(written) = form.list("changeTypes") else {
        let wanted = "which changes: `FeaturesCreated` and the like with commas between, or `*`";
        return if is_update { Ok(None) } else { Err(Problem::new("/changeTypes", wanted)) };
    };
    let names = CHANGE_TYPES.iter().map(|change| change.name);
    if written.iter().any(|change| change == ANY) {
        return Ok(Some(names.collect()));
    }
    let known = |change: &String| {
        names.clone().find(|name| name.eq_ignore_ascii_case(change)).ok_or_else(|| {
            let near = nearest(change, names.clone()).map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            let all = names.clone().collect::<Vec<_>>().join(", ");
            Problem::new("/changeTypes", format!("there is no change type `{change}`{near}; there are `*`, {all}"))
        })
    };
    written.iter().map(known).collect::<Result<_, _>>().map(Some)
}

/// The schedule and the active flag. A schedule that is disabled sends nothing, whatever the flag says; the flag is remembered.
fn set_schedule(document: &mut Value, form: &Form, active: Option<bool>, existing: Option<&WebhookSpec>) -> Result<(), Problem> {
    let is_feature = document["sources"].is_array() && document["profile"] == ServiceKind::FeatureServer.profile();
    let written = form.text("scheduleInfo").filter(|_| is_feature).map(ScheduleInfo::parse).transpose()?;
    if let Some(schedule) = &written {
        document["batch"] = json!(schedule.batch());
        document["labels"][SCHEDULE_LABEL] = json!(serde_json::to_string(schedule).unwrap_or_default());
    }
    let runs = written.or_else(|| existing.and_then(kept_schedule)).is_none_or(|schedule| schedule.state == State::Enabled);
    let active = active.or(existing.map(is_active)).unwrap_or(true);
    document["active"] = json!(active && runs);
    let labels = document["labels"].as_object_mut();
    if let Some(labels) = labels {
        labels.remove(PAUSED_LABEL);
        if active && !runs {
            labels.insert(PAUSED_LABEL.to_owned(), json!("true"));
        }
    }
    Ok(())
}

fn kept_schedule(spec: &WebhookSpec) -> Option<ScheduleInfo> {
    label(&spec.labels, SCHEDULE_LABEL).and_then(|text| ScheduleInfo::parse(text).ok())
}

/// Whether it is active, as its flag says.
fn is_active(spec: &WebhookSpec) -> bool {
    spec.active || spec.labels.contains_key(PAUSED_LABEL)
}

/// Whether a webhook is about a service.
pub fn is_about(spec: &WebhookSpec, service: &ServiceName) -> bool {
    let path = service.path();
    let names = match service.kind {
        ServiceKind::FeatureServer => &spec.sources,
        ServiceKind::GpServer => &spec.selectors,
    };
    spec.profile == service.kind.profile() && names.iter().any(|name| ServiceName::of_path(name).is_some_and(|name| name.path() == path))
}

/// The webhook as it is read back.
pub fn view(kept: Kept<'_>, service: &ServiceName, profile: Option<&Profile>) -> Value {
    let Kept { id, spec, .. } = kept;
    let mut view = json!({
        "id": id,
        "folderName": service.folder,
        "serviceName": service.service,
        "serviceType": service.kind.as_str(),
        "name": display_name(spec),
        "signatureKey": shown_secret(spec),
        "hookUrl": spec.request.url,
        "active": is_active(spec),
        "contentType": spec.request.content_type.as_deref().unwrap_or(CONTENT_TYPES[0]),
        "payloadFormat": config(spec, "payloadFormat").and_then(Value::as_str).unwrap_or(PAYLOAD_FORMATS[0]),
    });
    if service.kind == ServiceKind::FeatureServer {
        let is_any = CHANGE_TYPES.iter().all(|change| spec.selectors.iter().any(|selector| selector == change.name));
        view["changeTypes"] = if is_any { json!([ANY]) } else { json!(spec.selectors) };
        let seconds = profile.and_then(|profile| profile.batch_seconds).map(|range| range.default);
        let batch = spec.batch.or(seconds.map(crate::model::ordering::BatchSpec::of));
        view["scheduleInfo"] = json!(kept_schedule(spec).or(batch.map(ScheduleInfo::of)));
    }
    view
}

/// The settings of all webhooks of services.
pub fn settings(profile: &Profile) -> Map<String, Value> {
    let mut settings = common_settings(profile);
    if let Some(Deactivation::Failures(FailuresWithin { failures, days })) = profile.deactivation {
        settings.insert("numberOfFailures".to_owned(), json!(failures));
        settings.insert("daysInPast".to_owned(), json!(days));
    }
    settings
}

/// A profile with the settings that are written; those left out stay.
pub fn with_settings(profile: Profile, form: &Form) -> Result<Profile, Vec<Problem>> {
    let current = settings(&profile);
    let mut profile = with_common_settings(profile, form)?;
    let number = |name: &str| {
        let written = form.number(name, 1, u64::from(u32::MAX))?.or(current.get(name).and_then(Value::as_u64));
        Ok(written.and_then(|number| u32::try_from(number).ok()).unwrap_or(5))
    };
    let failures = number("numberOfFailures").map_err(|problem: Problem| vec![problem])?;
    let days = number("daysInPast").map_err(|problem: Problem| vec![problem])?;
    let rule = Deactivation::Failures(FailuresWithin { failures, days });
    let named = |problem: Problem| {
        let name = if problem.pointer == "/failures" { "/numberOfFailures" } else { "/daysInPast" };
        Problem::new(name, problem.detail)
    };
    let problems: Vec<_> = rule.problems().into_iter().map(named).collect();
    profile.deactivation = Some(rule);
    if problems.is_empty() { Ok(profile) } else { Err(problems) }
}
