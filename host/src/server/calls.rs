//! `/v1/calls`: inbound calls and their outcomes.

use super::{
    request::Asked,
    respond::{Answer, ApiError, List, ProblemDetails, ok},
};
use crate::{
    model::{
        call::{Call, CallState},
        id::CallId,
        signature::{esri_form, without_signature},
    },
    services::Services,
    store::CallFilter,
};

pub mod rerun;

/// List the calls, newest first, including rejected ones.
#[utoipa::path(get, path = "/v1/calls", tag = "calls",
    params(("receiver" = Option<String>, Query, description = "only calls of this receiver"), ("state" = Option<CallState>, Query, description = "only calls in this state"),
        ("limit" = Option<usize>, Query, description = "1 to 500, 50 by default"), ("after" = Option<String>, Query, description = "`next` of the previous page")),
    responses((status = 200, description = "a page", body = List<Call>)))]
pub async fn list(services: Services, asked: Asked) -> Answer {
    asked.only(&["receiver", "state", "limit", "after"])?;
    let (limit, after) = asked.page()?;
    let filter = CallFilter {
        receiver: asked.query("receiver").map(str::to_owned),
        state: asked.query_as::<CallState>("state", "pending, done, rejected or failed")?,
    };
    let page = services.store.calls(filter, after, limit).await?;
    ok(&List { data: page.data.into_iter().map(shown).collect(), next: page.next })
}

/// Get a call: the request, the verdict of the verification, the reply, the emissions, the log.
#[utoipa::path(get, path = "/v1/calls/{id}", tag = "calls", params(("id" = String, Path, description = "`cal_...`")),
    responses((status = 200, description = "the call", body = Call), (status = 404, body = ProblemDetails, description = "there is no call with this identifier", content_type = "application/problem+json")))]
pub async fn get(services: Services, asked: Asked) -> Answer {
    let id = CallId(asked.path(0).to_owned());
    ok(&shown(services.store.call(&id).await?.ok_or_else(|| ApiError::NotFound(format!("call `{id}`")))?))
}

/// A call as it is shown: a signature in the body is hidden, like one in a header.
fn shown(mut call: Call) -> Call {
    if esri_form(call.request.body.as_bytes()) != Ok(None) {
        call.request.body = without_signature(call.request.body.as_bytes());
    }
    call
}
