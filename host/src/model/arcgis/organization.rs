//! Organization webhooks (ArcGIS REST API, "Create Webhook", "Update", "Webhook"), and their settings.

use serde_json::{Map, Value, json};

use super::{
    Form, Kept, OWNER_LABEL, Writer, checked_name, display_name, epoch, label, only, rights::is_as_shown, set_config, set_name, set_secret,
    shown_secret, whole,
};
use crate::model::{
    problem::{Problem, nearest},
    profile::{Deactivation, FailuresWithin, Profile},
    retry::{AttemptsRetry, Retry},
    selector::Selector,
    trigger::arcgis::Family,
    webhook::WebhookSpec,
};

/// The profile.
pub const PROFILE: &str = "arcgis-organization";

/// What everything in the organization is to us: `/` alone would be every path, also the services' own.
fn everything() -> Vec<String> {
    Family::ALL.map(|family| format!("/{}", family.as_str())).to_vec()
}

/// Our document of what is written.
pub fn to_document(form: &Form, writer: Writer<'_>) -> Result<Value, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut document = writer.document(PROFILE);
    let is_update = writer.existing.is_some();
    match checked_name(form, is_update) {
        Ok(Some(name)) => set_name(&mut document, name),
        Ok(None) => {}
        Err(problem) => problems.push(problem),
    }
    match form.text("url") {
        Some(url) if is_as_shown(writer.existing, url) => {}
        Some(url) => document["request"]["url"] = json!(url),
        None if is_update => {}
        None => problems.push(Problem::new("/url", "the payload URL: where the payloads go")),
    }
    set_secret(&mut document, form.get("secret"));
    match read_config(form) {
        Ok(Some(Deactivation::Failures(FailuresWithin { failures, days }))) => {
            document["deactivation"] = json!({ "failures": failures, "days": days });
        }
        Ok(_) => {}
        Err(problem) => problems.push(problem),
    }
    match read_events(form, is_update) {
        Ok(Some(selectors)) => document["selectors"] = json!(selectors),
        Ok(None) => {}
        Err(found) => problems.extend(found),
    }
    set_config(&mut document, "portalURL", json!(format!("{}/", writer.base)));
    if problems.is_empty() { Ok(document) } else { Err(problems) }
}

/// `config`: the deactivation policy. Absent: the profile's.
fn read_config(form: &Form) -> Result<Option<Deactivation>, Problem> {
    let Some(config) = form.object("config")? else { return Ok(None) };
    only(&config, "/config", &["deactivationPolicy", "properties"])?;
    if let Some(Value::Object(properties)) = config.get("properties")
        && !properties.is_empty()
    {
        let detail = "nothing but `url` is a target here: a notebook (`federatedServer`) cannot be one";
        return Err(Problem::new("/config/properties", detail));
    }
    let policy = match config.get("deactivationPolicy") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(policy)) => policy,
        Some(_) => return Err(Problem::new("/config/deactivationPolicy", "an object `{\"numberOfFailures\",\"daysInPast\"}`")),
    };
    only(policy, "/config/deactivationPolicy", &["numberOfFailures", "daysInPast"])?;
    let number = |name: &str| -> Result<u32, Problem> {
        let Some(value) = policy.get(name) else { return Ok(POLICY_DEFAULT) };
        let number = whole(value).and_then(|number| u32::try_from(number).ok()).filter(|number| *number > 0);
        number.ok_or_else(|| Problem::new(format!("/config/deactivationPolicy/{name}"), "an integer from 1 on"))
    };
    let rule = Deactivation::Failures(FailuresWithin { failures: number("numberOfFailures")?, days: number("daysInPast")? });
    match rule.problems().into_iter().next() {
        None => Ok(Some(rule)),
        Some(problem) => Err(Problem::new("/config/deactivationPolicy", problem.detail)),
    }
}

/// Five failures in five days.
const POLICY_DEFAULT: u32 = 5;

/// `changes` and `events`. An update that says neither leaves them.
fn read_events(form: &Form, is_update: bool) -> Result<Option<Vec<String>>, Vec<Problem>> {
    let changes = form.choice("changes", &["allChanges", "manualChanges"]).map_err(|problem| vec![problem])?;
    let events = form.list("events");
    if changes == Some("allChanges") {
        return Ok(Some(everything()));
    }
    match events {
        None if is_update && changes.is_none() => Ok(None),
        None => Err(vec![Problem::new("/events", "which events: trigger URIs with commas between, or `changes=allChanges`")]),
        // What a webhook made with `allChanges` reads back as; Esri's own client writes it.
        Some(events) if events.iter().any(|event| event == "/") => Ok(Some(everything())),
        Some(events) => {
            let problem = |event: &String| event_problem(event).map(|detail| Problem::new("/events", detail));
            let problems: Vec<_> = events.iter().filter_map(problem).collect();
            if problems.is_empty() { Ok(Some(events)) } else { Err(problems) }
        }
    }
}

/// What is wrong with a trigger URI.
fn event_problem(event: &str) -> Option<String> {
    let selector = match Selector::parse(event) {
        Ok(selector) => selector,
        Err(error) => return Some(error.to_string()),
    };
    let mut parts = event.strip_prefix('/').unwrap_or_default().split('/');
    let Some(family) = parts.next().and_then(Family::named) else {
        let first = event.trim_start_matches('/').split('/').next().unwrap_or_default();
        let near = nearest(first, Family::ALL.map(Family::as_str)).map_or_else(String::new, |near| format!("; did you mean `/{near}`?"));
        return Some(format!(
            "`{event}` is no trigger of the organization: those begin with `/items`, `/groups`, `/users` or `/roles`{near}"
        ));
    };
    match (family, parts.next()) {
        // There are no triggers of a single role.
        (Family::Roles, Some(word)) if family.operation(word).is_none() => {
            let names = family.operations().iter().map(|operation| operation.name);
            let near = nearest(word, names.clone()).map_or_else(String::new, |near| format!("; did you mean `/roles/{near}`?"));
            Some(format!("`/roles` knows no operation `{word}`{near}; the operations are {}", names.collect::<Vec<_>>().join(", ")))
        }
        // A user may be called almost like an operation; identifiers of items and groups never are.
        (Family::Items | Family::Groups, Some(_)) => selector.hint(),
        _ => None,
    }
}

/// The webhook as it is read back.
pub fn view(kept: Kept<'_>, account: &str, profile: Option<&Profile>) -> Value {
    let Kept { id, spec, created_at, updated_at } = kept;
    json!({
        "id": id,
        "accountId": account,
        "payloadUrl": spec.request.url,
        "secret": shown_secret(spec),
        "isActive": spec.active,
        "name": display_name(spec),
        "config": { "deactivationPolicy": policy(spec.deactivation.or(profile.and_then(|profile| profile.deactivation))) },
        "ownerId": label(&spec.labels, OWNER_LABEL).unwrap_or_default(),
        "created": epoch(created_at),
        "modified": epoch(updated_at),
        "events": events(spec),
    })
}

fn policy(rule: Option<Deactivation>) -> Value {
    match rule {
        Some(Deactivation::Failures(FailuresWithin { failures, days })) => json!({ "numberOfFailures": failures, "daysInPast": days }),
        // The other rule is not ArcGIS's, and has no place in its view.
        _ => json!({ "numberOfFailures": POLICY_DEFAULT, "daysInPast": POLICY_DEFAULT }),
    }
}

fn events(spec: &WebhookSpec) -> Vec<String> {
    let is_all = everything().iter().all(|family| spec.selectors.contains(family)) || spec.selectors.iter().any(|one| one == "/");
    if is_all { vec!["/".to_owned()] } else { spec.selectors.clone() }
}

/// The settings of all webhooks of a profile, in ArcGIS's names: seconds, attempts in all.
pub fn settings(profile: &Profile) -> Map<String, Value> {
    let gap = match &profile.retry {
        Retry::Attempts(AttemptsRetry { gap_seconds, .. }) => *gap_seconds,
        Retry::Schedule(schedule) => schedule.schedule_seconds.first().copied().unwrap_or_default(),
    };
    let fields = [
        ("notificationAttempts", u64::from(profile.retry.attempts())),
        ("notificationTimeOutInSeconds", profile.timeout_ms.default / 1000),
        ("notificationElapsedTimeInSeconds", gap),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect()
}

/// The seconds between two attempts that may be set (ArcGIS REST API, "Update Webhook Settings").
const ELAPSED_SECONDS: (u64, u64) = (1, 100);

/// A profile with the settings that are written; those left out stay.
pub fn with_settings(mut profile: Profile, form: &Form) -> Result<Profile, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut number =
        |name: &str, (min, max): (u64, u64)| form.number(name, min, max).map_err(|problem| problems.push(problem)).ok().flatten();
    let attempts = number("notificationAttempts", profile.attempts.map_or((0, 5), |bounds| (bounds.min, bounds.max)));
    let timeout = number("notificationTimeOutInSeconds", (profile.timeout_ms.min / 1000, profile.timeout_ms.max / 1000));
    let gap = number("notificationElapsedTimeInSeconds", ELAPSED_SECONDS);
    let current = settings(&profile);
    let of = |name: &str| current.get(name).and_then(Value::as_u64).unwrap_or_default();
    profile.retry = Retry::Attempts(AttemptsRetry {
        attempts: u32::try_from(attempts.unwrap_or(of("notificationAttempts"))).unwrap_or(u32::MAX),
        gap_seconds: gap.unwrap_or(of("notificationElapsedTimeInSeconds")),
    });
    if let Some(timeout) = timeout {
        profile.timeout_ms.default = timeout * 1000;
    }
    if problems.is_empty() { Ok(profile) } else { Err(problems) }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::model::{id::WebhookId, profile::built_in};

    fn form(fields: &[(&str, &str)]) -> Form {
        Form(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    fn written(fields: &[(&str, &str)], existing: Option<&WebhookSpec>) -> Result<WebhookSpec, Vec<Problem>> {
        let writer = Writer { name: "arcgis-1", owner: "ann", base: "https://gis.example/portal", existing };
        let mut document = to_document(&form(fields), writer)?;
        // The host keeps inline secrets and leaves a reference.
        if document["signing"]["secrets"][0].is_object() {
            document["signing"]["secrets"][0] = json!("$secret:kept");
        }
        Ok(serde_json::from_value(document).expect("our document"))
    }

    #[test]
    fn what_is_written_reads_back() {
        let made = written(
            &[
                ("name", "All, shared"),
                ("url", "https://h.example/x?sig=1"),
                ("secret", "s"),
                ("changes", "manualChanges"),
                ("events", "/items/share, /users/signin"),
                ("config", r#"{"deactivationPolicy":{"numberOfFailures":3,"daysInPast":"2"}}"#),
            ],
            None,
        )
        .expect("written");
        let id = WebhookId::new(1, [0; 10]);
        let shown = |spec: &WebhookSpec| {
            view(Kept { id: &id, spec, created_at: Timestamp::UNIX_EPOCH, updated_at: Timestamp::UNIX_EPOCH }, "0123", None)
        };
        assert_eq!(
            shown(&made),
            json!({
                "id": id, "accountId": "0123", "payloadUrl": "https://h.example/x?sig=1", "secret": "(redacted)", "isActive": true, "name": "All, shared",
                "config": { "deactivationPolicy": { "numberOfFailures": 3, "daysInPast": 2 } }, "ownerId": "ann", "created": 0, "modified": 0,
                "events": ["/items/share", "/users/signin"],
            })
        );
        // As Esri's own client updates: everything as it was read, `events` without `changes`.
        let updated = written(&[("name", "All"), ("secret", "(redacted)"), ("events", "/")], Some(&made)).expect("written");
        assert_eq!((&shown(&updated)["events"], &shown(&updated)["secret"]), (&json!(["/"]), &json!("(redacted)")));
        assert_eq!(updated.selectors, ["/items", "/groups", "/users", "/roles"]);
        assert_eq!(shown(&written(&[("secret", "")], Some(&made)).expect("written"))["secret"], "");
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        let refused = |fields: &[(&str, &str)]| {
            let mut all = vec![("name", "a"), ("url", "https://h.example/"), ("changes", "manualChanges"), ("events", "/items")];
            all.extend_from_slice(fields);
            let problems = written(&all, None).expect_err("refused");
            format!("{}: {}", problems[0].pointer, problems[0].detail)
        };
        for (fields, says) in [
            (vec![("name", "")], "/name: a webhook has a name"),
            (vec![("url", "")], "/url: the payload URL"),
            (vec![("events", "/items/shar")], "the operation on any object is `/items/share`"),
            (vec![("events", "/items/abc/shar")], "did you mean `/items/abc/share`?"),
            (vec![("events", "/item/share")], "did you mean `/items`?"),
            (vec![("events", "FeaturesCreated")], "is no trigger of the organization"),
            (vec![("events", "/roles/update")], "did you mean `/roles/updated`?"),
            (vec![("events", "")], "/events: which events"),
            (vec![("changes", "some")], "/changes: one of allChanges, manualChanges"),
            (vec![("config", "{")], "/config: a JSON object"),
            (vec![("config", r#"{"deactivationpolicy":{}}"#)], "did you mean `deactivationPolicy`?"),
            (
                vec![("config", r#"{"deactivationPolicy":{"numberOfFailures":0}}"#)],
                "/config/deactivationPolicy/numberOfFailures: an integer",
            ),
            (vec![("config", r#"{"properties":{"federatedServer":{"itemId":"x"}}}"#)], "a notebook"),
        ] {
            let said = refused(&fields);
            assert!(said.contains(says), "{fields:?}: {said}");
        }
    }

    #[test]
    fn settings_keep_to_their_ranges() {
        let profile = built_in()[PROFILE].clone();
        assert_eq!(
            Value::Object(settings(&profile)),
            json!({ "notificationAttempts": 3, "notificationTimeOutInSeconds": 10, "notificationElapsedTimeInSeconds": 5 })
        );
        let set = |name: &str, value: &str| with_settings(profile.clone(), &form(&[(name, value)]));
        for (name, right, wrong) in [
            ("notificationAttempts", ["0", "5"], ["6", "-1"]),
            ("notificationTimeOutInSeconds", ["0", "60"], ["61", "1.5"]),
            ("notificationElapsedTimeInSeconds", ["1", "100"], ["0", "101"]),
        ] {
            for value in right {
                assert_eq!(settings(&set(name, value).expect("in range"))[name].to_string(), value);
            }
            for value in wrong {
                assert_eq!(set(name, value).expect_err("out of range")[0].pointer, format!("/{name}"), "{value}");
            }
        }
        // Service webhooks are tried at least once, and waited for.
        let service = &built_in()["arcgis-feature"];
        for name in ["notificationAttempts", "notificationTimeOutInSeconds"] {
            assert!(with_settings(service.clone(), &form(&[(name, "0")])).is_err(), "{name}");
        }
    }
}
