//! `/v1/calls/{id}/rerun` and `/v1/calls/rerun`: runs calls again that were answered 200 and whose `async` receiver failed for good, once
//! the receiver is repaired.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    inbound,
    model::{
        call::{Call, CallState},
        id::CallId,
    },
    server::{
        receivers,
        request::Asked,
        respond::{Answer, ApiError, ProblemDetails, ok},
    },
    services::Services,
    store::CallFilter,
};

/// Most calls that one request looks at. The answer's `next` continues.
const CALLS_PER_REQUEST_MAX: usize = 1000;
/// Most pages of calls that one request reads. Most calls on a page may not match.
const PAGES_PER_REQUEST_MAX: usize = 50;
/// Calls that are read and scheduled at a time.
const CALLS_AT_ONCE: usize = 50;
/// The states that a rerun accepts.
const STATES: &str = "failed or rejected";

/// How to run a call again.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RerunInput {
    /// The version of the receiver's plugin that runs it; absent: the active one.
    #[serde(default)]
    pub version: Option<u32>,
}

/// Which calls to run again, and how.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RerunManyInput {
    /// Only calls of this receiver.
    pub receiver: String,
    /// The state of the calls: `failed`, the default, or `rejected`, which means rejected by the receiver's plugin.
    #[serde(default)]
    pub state: Option<CallState>,
    /// Only calls that came in at or after this time.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// Only calls that came in before this time.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// The version of the receiver's plugin that runs them; absent: the active one.
    #[serde(default)]
    pub version: Option<u32>,
    /// `next` of the previous answer, to continue.
    #[serde(default)]
    pub after: Option<String>,
}

/// How many calls are run again.
#[derive(Debug, Serialize, ToSchema)]
pub struct RerunView {
    /// Calls that are scheduled to run again; for a GET, calls that would be.
    pub calls: u64,
    /// Calls that match but cannot be run again.
    pub skipped: u64,
    /// Why the first of the skipped calls cannot be run again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// To continue, give this as `after`; null: there are no more calls.
    pub next: Option<String>,
}

/// Run a call again that was answered 200 and failed for good.
///
/// The call keeps its identifier, its time and its idempotency key (`once`), so its effects never happen twice. The receiver must be
/// `async`.
#[utoipa::path(post, path = "/v1/calls/{id}/rerun", tag = "calls", request_body = RerunInput, params(("id" = String, Path, description = "`cal_...`")),
    responses((status = 200, description = "the call is scheduled to run", body = Call), (status = 404, body = ProblemDetails, description = "there is no call with this identifier", content_type = "application/problem+json"),
        (status = 409, body = ProblemDetails, description = "the call cannot be run again", content_type = "application/problem+json")))]
pub async fn one(services: Services, asked: Asked) -> Answer {
    let input = if asked.body.is_empty() { RerunInput::default() } else { asked.json()? };
    let id = CallId(asked.path(0).to_owned());
    let missing = || ApiError::NotFound(format!("call `{id}`"));
    let call = services.store.call(&id).await?.ok_or_else(missing)?;
    if let Some(refusal) = inbound::rerun_refusal(&services, &call, input.version) {
        return Err(ApiError::Conflict(format!("the call is not run again: {refusal}")));
    }
    if inbound::rerun(&services, &[call], input.version, who(&asked)).await? == 0 {
        return Err(ApiError::Conflict("the call is not run again: it is being run, or was just done".to_owned()));
    }
    ok(&services.store.call(&id).await?.ok_or_else(missing)?)
}

/// Count the calls that would be run again.
///
/// The choice is the same as that of the POST. Nothing is changed.
#[utoipa::path(get, path = "/v1/calls/rerun", tag = "calls",
    params(("receiver" = String, Query, description = "only calls of this receiver"), ("state" = Option<CallState>, Query, description = "`failed`, the default, or `rejected`, which means rejected by the receiver's plugin"),
        ("since" = Option<String>, Query, description = "only calls that came in at or after this time, RFC 3339"), ("until" = Option<String>, Query, description = "only calls that came in before this time, RFC 3339"),
        ("version" = Option<u32>, Query, description = "the version of the receiver's plugin that would run them"), ("after" = Option<String>, Query, description = "`next` of the previous answer")),
    responses((status = 200, description = "the number of calls so far", body = RerunView), (status = 404, body = ProblemDetails, description = "there is no receiver with this name", content_type = "application/problem+json")))]
pub async fn outlook(services: Services, asked: Asked) -> Answer {
    asked.only(&["receiver", "state", "since", "until", "version", "after"])?;
    let input = RerunManyInput {
        receiver: asked
            .query("receiver")
            .map(str::to_owned)
            .ok_or_else(|| ApiError::invalid("", "`receiver` is required: whose calls?"))?,
        state: asked.query_as::<CallState>("state", STATES)?,
        since: asked.query_as::<Timestamp>("since", "an RFC 3339 time")?,
        until: asked.query_as::<Timestamp>("until", "an RFC 3339 time")?,
        version: asked.query_as::<u32>("version", "a version's number")?,
        after: asked.query("after").map(str::to_owned),
    };
    through(&services, input, None).await
}

/// Run all calls again that were answered 200 and failed for good.
///
/// Many calls are answered in parts: continue with `after` until `next` is null. The request can be repeated after an interruption: calls
/// that a rerun has completed are no longer failed, so they are left out.
#[utoipa::path(post, path = "/v1/calls/rerun", tag = "calls", request_body = RerunManyInput,
    responses((status = 200, description = "the calls scheduled so far", body = RerunView), (status = 400, body = ProblemDetails, description = "not valid", content_type = "application/problem+json"),
        (status = 404, body = ProblemDetails, description = "there is no receiver with this name", content_type = "application/problem+json")))]
pub async fn many(services: Services, asked: Asked) -> Answer {
    let input: RerunManyInput = asked.json()?;
    through(&services, input, Some(who(&asked))).await
}

fn who(asked: &Asked) -> String {
    asked.token.as_ref().map_or_else(|| "hookwright".to_owned(), |token| token.name.clone())
}

/// Goes through the calls of a receiver, newest first. `by`: the name of the token that runs them again; absent: the calls are only
/// counted.
async fn through(services: &Services, input: RerunManyInput, by: Option<String>) -> Answer {
    let state = input.state.unwrap_or(CallState::Failed);
    if !matches!(state, CallState::Failed | CallState::Rejected) {
        return Err(ApiError::invalid("/state", format!("{STATES}: what was done is not run again, and what is pending will be")));
    }
    receivers::find(services, &input.receiver)?;
    let mut view = RerunView { calls: 0, skipped: 0, reason: None, next: input.after.clone() };
    let mut looked_at = 0;
    for _ in 0..PAGES_PER_REQUEST_MAX {
        let filter = CallFilter { receiver: Some(input.receiver.clone()), state: Some(state) };
        let page = services.store.calls(filter, view.next.take(), CALLS_AT_ONCE).await?;
        // The calls are sorted by time, because their identifiers begin with it.
        let is_past = page.data.last().is_some_and(|call| input.since.is_some_and(|since| call.received_at < since));
        view.next = page.next.filter(|_| !is_past);
        looked_at += page.data.len();
        let is_meant = |call: &Call| {
            input.since.is_none_or(|since| call.received_at >= since) && input.until.is_none_or(|until| call.received_at < until)
        };
        let mut wanted = Vec::new();
        for call in page.data.into_iter().filter(is_meant) {
            match inbound::rerun_refusal(services, &call, input.version) {
                None => wanted.push(call),
                Some(refusal) => {
                    view.skipped += 1;
                    view.reason.get_or_insert(refusal);
                }
            }
        }
        view.calls += match &by {
            Some(by) if !wanted.is_empty() => inbound::rerun(services, &wanted, input.version, by.clone()).await?,
            _ => wanted.len() as u64,
        };
        if view.next.is_none() || looked_at >= CALLS_PER_REQUEST_MAX {
            break;
        }
    }
    ok(&view)
}
