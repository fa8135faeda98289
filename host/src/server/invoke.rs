//! `/v1/webhooks/{name}/invoke`, `preview`, `test` and `check`: runs a webhook's pipeline on demand.

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

/// The input of an invocation.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvokeBody {
    /// The session whose parameters are read and bound.
    #[serde(default)]
    pub session: Option<String>,
    /// Merged into the session before the request is built; null removes a parameter.
    #[serde(default)]
    #[schema(value_type = Object, example = json!({"fruit": "apple", "size": 3}))]
    pub parameters: Map<String, Value>,
    /// The value of `$event.data`.
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

/// The outcome of an invocation.
#[derive(Debug, Serialize, ToSchema)]
pub struct InvokeAnswer {
    /// The identifier of the delivery that records the attempts.
    pub delivery: DeliveryId,
    /// `delivered`, `failed` or `refused`.
    pub state: DeliveryState,
    /// Status of the endpoint's answer; null: it did not answer.
    pub http_status: Option<u16>,
    /// `webhook.error...` if the invocation failed, or if the endpoint accepted but its answer could not be read.
    pub error_event: Option<String>,
    /// Why the invocation failed. If it is `delivered`: why the answer could not be read, for bindings or by the plugin's `answers`. Only
    /// tokens with the scope `read` see the sentence.
    pub failure: Option<Failure>,
    /// Session parameters that were set (null: removed).
    #[schema(value_type = Object)]
    pub parameters: Map<String, Value>,
    /// What the plugin's `answers` returned.
    pub output: Option<Value>,
    /// Bindings whose path matched nothing. If the answer could not be read, these are all bindings.
    pub unmatched: Vec<String>,
    /// References to parameters that were not set.
    pub unset: Vec<String>,
    /// Number of attempts.
    pub attempts: u32,
    /// Duration of the last attempt.
    pub duration_ms: u64,
}

/// The request that would be sent.
#[derive(Debug, Serialize, ToSchema)]
pub struct PreviewAnswer {
    /// The request; null: nothing would be sent.
    pub request: Option<RecordedRequest>,
    /// Why nothing would be sent.
    pub failure: Option<Failure>,
    /// The plugin that built the request; null: no plugin did.
    pub plugin: Option<PluginUse>,
    /// What the plugin wrote to its log.
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
    params(("name" = String, Path, description = "the webhook's name"),
        ("traceparent" = Option<String>, Header, description = "the trace the request belongs to (W3C Trace Context); an invalid one is ignored"),
        ("tracestate" = Option<String>, Header, description = "what tracing systems added to the trace")),
    responses((status = 200, description = "the outcome, successful or not", body = InvokeAnswer),
        (status = 404, body = ProblemDetails, description = "there is no webhook with this name", content_type = "application/problem+json"),
        (status = 409, body = ProblemDetails, description = "the webhook is inactive", content_type = "application/problem+json")))]
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

/// Show the exact request that `invoke` would send. Nothing is sent, stored, bound or counted.
///
/// Values of references are shown, credentials never. Unless the token has the scope `admin`, the answer shows `(redacted)` for
/// signatures and for values that the webhook's document contains literally in headers and in the query; a plugin then signs with a
/// stand-in key.
#[utoipa::path(post, path = "/v1/webhooks/{name}/preview", tag = "webhooks", request_body = InvokeBody,
    params(("name" = String, Path, description = "the webhook's name"), ("reveal" = Option<bool>, Query, description = "show the query values that the document contains literally (scope `admin`)")),
    responses((status = 200, description = "the request", body = PreviewAnswer), (status = 404, body = ProblemDetails, description = "there is no webhook with this name", content_type = "application/problem+json")))]
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

/// Send a test: an invocation with the data `{"test":true}`.
#[utoipa::path(post, path = "/v1/webhooks/{name}/test", tag = "webhooks", params(("name" = String, Path, description = "the webhook's name")),
    responses((status = 200, description = "the outcome, successful or not", body = InvokeAnswer), (status = 404, body = ProblemDetails, description = "there is no webhook with this name", content_type = "application/problem+json"),
        (status = 409, body = ProblemDetails, description = "the webhook is inactive", content_type = "application/problem+json"),
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
    /// Whether every step succeeded. The status of the endpoint's answer does not matter.
    pub reachable: bool,
    /// Status of the answer to a `HEAD` request without credentials.
    pub http_status: Option<u16>,
    /// The steps: credentials, name, address, connection, TLS, answer. The list ends with the first step that fails.
    pub steps: Vec<Step>,
}

/// Check whether a webhook's endpoint can be reached: its bearer token, its name, the address policy, the connection, TLS, an answer.
/// References in the URL are replaced by nothing.
#[utoipa::path(post, path = "/v1/webhooks/{name}/check", tag = "webhooks", request_body = CheckBody, params(("name" = String, Path, description = "the webhook's name")),
    responses((status = 200, description = "the steps, successful or not", body = CheckAnswer), (status = 404, body = ProblemDetails, description = "there is no webhook with this name", content_type = "application/problem+json")))]
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
