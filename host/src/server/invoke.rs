//! `/v1/webhooks/{name}/invoke`, `preview`, `test`: the pipeline on demand.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{
    request::Asked,
    respond::{Answer, ProblemDetails, ok},
    webhooks::eyes,
};
use crate::{
    invocation, loop_depth,
    model::{
        audit::Deed,
        delivery::{DeliveryState, RecordedRequest},
        id::DeliveryId,
        outcome::Failure,
        plugin::{GuestLog, PluginUse},
        token::Scope,
    },
    outbound::deliverer::{Eyes, Invoked},
    services::Services,
    transport::{Probe, Step},
};

/// What to invoke with.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvokeBody {
    /// The session whose parameters are read and bound.
    #[serde(default)]
    pub session: Option<String>,
    /// Merged into the session first; null removes.
    #[serde(default)]
    #[schema(value_type = Object, example = json!({"fruit": "apple", "size": 3}))]
    pub parameters: Map<String, Value>,
    /// `$event.data`.
    #[serde(default)]
    pub data: Value,
    /// For Dialogflow: tag, text, language, intent, page, messages, payload.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub context: Map<String, Value>,
    /// The environment whose overrides apply.
    #[serde(default)]
    pub environment: Option<String>,
}

/// How it ended.
#[derive(Debug, Serialize, ToSchema)]
pub struct InvokeAnswer {
    /// The delivery, with its attempts.
    pub delivery: DeliveryId,
    /// `delivered`, `failed` or `refused`.
    pub state: DeliveryState,
    /// The endpoint's status, if it answered.
    pub http_status: Option<u16>,
    /// `webhook.error...` when it failed, or when the answer of an endpoint that accepted could not be read.
    pub error_event: Option<String>,
    /// Why it failed; of one that is `delivered`, why its answer could not be read for bindings or by the plugin's `answers`.
    /// The sentence is shown to tokens with the scope `read`.
    pub failure: Option<Failure>,
    /// Session parameters that were set (null: removed).
    #[schema(value_type = Object)]
    pub parameters: Map<String, Value>,
    /// What the `answers` plugin returned.
    pub output: Option<Value>,
    /// Bindings whose path matched nothing; all of them where the answer could not be read.
    pub unmatched: Vec<String>,
    /// References to parameters that were not set.
    pub unset: Vec<String>,
    /// Attempts made.
    pub attempts: u32,
    /// How long the last attempt took.
    pub duration_ms: u64,
}

/// The request that would be sent.
#[derive(Debug, Serialize, ToSchema)]
pub struct PreviewAnswer {
    /// The request; null: nothing would be sent.
    pub request: Option<RecordedRequest>,
    /// Why it would not be sent.
    pub failure: Option<Failure>,
    /// The plugin that built it.
    pub plugin: Option<PluginUse>,
    /// What it wrote.
    pub log: GuestLog,
    /// References to parameters that are not set.
    pub unset: Vec<String>,
}

fn request_of(services: &Services, asked: &Asked, body: InvokeBody) -> invocation::Request {
    let InvokeBody { session, parameters, data, context, environment } = body;
    let depth = loop_depth::read_depth(services, &asked.headers);
    invocation::Request { session, parameters, data, context, environment, depth, caller: None, trace: asked.trace.clone() }
}

/// Run the whole pipeline of a webhook now: build, sign, send, bind.
#[utoipa::path(post, path = "/v1/webhooks/{name}/invoke", tag = "webhooks", request_body = InvokeBody,
    params(("name" = String, Path, description = "its name"),
        ("traceparent" = Option<String>, Header, description = "the trace it belongs to (W3C Trace Context); one that is not valid is none"),
        ("tracestate" = Option<String>, Header, description = "what tracing systems added to it")),
    responses((status = 200, description = "how it ended, well or badly", body = InvokeAnswer),
        (status = 404, body = ProblemDetails, description = "none such", content_type = "application/problem+json"),
        (status = 409, body = ProblemDetails, description = "inactive", content_type = "application/problem+json")))]
pub async fn invoke(services: Services, asked: Asked) -> Answer {
    let body: InvokeBody = asked.json()?;
    let request = request_of(&services, &asked, body);
    services.store.has_room()?;
    let mut answer = shown(invocation::invoke(&services, asked.path(0), request).await?);
    if !asked.allows(Scope::Read) {
        answer.failure = answer.failure.map(|failure| failure.without_detail());
    }
    ok(&answer)
}

/// Show the exact request `invoke` would send. Nothing is sent, stored or bound, a plugin is only tried out, and nothing is counted.
///
/// Values that come from references are shown, credentials never. To tokens that are no admin's, signatures and what the webhook's document
/// spells out in headers and in the query are `(redacted)`, and a plugin's own signatures are made with a key that is nobody's.
#[utoipa::path(post, path = "/v1/webhooks/{name}/preview", tag = "webhooks", request_body = InvokeBody,
    params(("name" = String, Path, description = "its name"), ("reveal" = Option<bool>, Query, description = "show the query values the document spells out (scope `admin`)")),
    responses((status = 200, description = "the request", body = PreviewAnswer), (status = 404, body = ProblemDetails, description = "none such", content_type = "application/problem+json")))]
pub async fn preview(services: Services, asked: Asked) -> Answer {
    asked.only(&["reveal"])?;
    let eyes = if asked.reveals()? { Eyes::Revealed } else { eyes(&asked) };
    let body: InvokeBody = asked.json()?;
    let request = request_of(&services, &asked, body);
    let (attempt, outcome) = invocation::preview(&services, asked.path(0), request, eyes).await?;
    if eyes == Eyes::Revealed {
        services.store.note(Deed::plain("shown", "webhook", asked.path(0))).await?;
    }
    ok(&PreviewAnswer { request: attempt.request, failure: outcome.err(), plugin: attempt.plugin, log: attempt.log, unset: attempt.unset })
}

/// Send a test: an invoke with `{"test":true}` as data.
#[utoipa::path(post, path = "/v1/webhooks/{name}/test", tag = "webhooks", params(("name" = String, Path, description = "its name")),
    responses((status = 200, description = "how it ended", body = InvokeAnswer), (status = 404, body = ProblemDetails, description = "none such", content_type = "application/problem+json"),
        (status = 409, body = ProblemDetails, description = "it is inactive", content_type = "application/problem+json"),
        (status = 503, body = ProblemDetails, description = "the disk is nearly full", content_type = "application/problem+json")))]
pub async fn test(services: Services, asked: Asked) -> Answer {
    let trace = asked.trace.clone();
    let request = invocation::Request { data: json!({ "test": true }), trace, ..invocation::Request::default() };
    services.store.has_room()?;
    ok(&shown(invocation::invoke(&services, asked.path(0), request).await?))
}

/// What to check.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckBody {
    /// The environment whose overrides apply.
    #[serde(default)]
    pub environment: Option<String>,
}

/// Whether the endpoint can be reached.
#[derive(Debug, Serialize, ToSchema)]
pub struct CheckAnswer {
    /// Whether every step went well. What the endpoint answers does not matter: it is there.
    pub reachable: bool,
    /// What it answered to a `HEAD` without credentials.
    pub http_status: Option<u16>,
    /// Credentials, name, address, connection, TLS, answer; it ends with the first step that fails.
    pub steps: Vec<Step>,
}

/// Check whether a webhook's endpoint can be reached: its token, its name, the address policy, the connection, TLS, an answer. References
/// in the URL stand for nothing.
#[utoipa::path(post, path = "/v1/webhooks/{name}/check", tag = "webhooks", request_body = CheckBody, params(("name" = String, Path, description = "its name")),
    responses((status = 200, description = "what was found, well or badly", body = CheckAnswer), (status = 404, body = ProblemDetails, description = "none such", content_type = "application/problem+json")))]
pub async fn check(services: Services, asked: Asked) -> Answer {
    let body: CheckBody = if asked.body.is_empty() { CheckBody::default() } else { asked.json()? };
    let Probe { steps, status } = invocation::check(&services, asked.path(0), body.environment.as_deref()).await?;
    ok(&CheckAnswer { reachable: steps.iter().all(|step| step.failure.is_none()), http_status: status, steps })
}

fn shown(invoked: Invoked) -> InvokeAnswer {
    let Invoked { delivery, attempt, error_event } = invoked;
    let failure = attempt.shortcoming().cloned();
    InvokeAnswer {
        delivery: delivery.id,
        state: delivery.state,
        http_status: attempt.answer.as_ref().map(|answer| answer.status),
        error_event: error_event.map(str::to_owned),
        failure,
        parameters: attempt.parameters,
        output: attempt.output,
        unmatched: attempt.unmatched,
        unset: attempt.unset,
        attempts: delivery.attempts,
        duration_ms: attempt.stages.total_ms(),
    }
}
