//! `{base}/api/v1/webhook/{code}`: inbound calls. The word `webhook` is matched in any case, because Divalto's documentation writes it
//! both ways.

use bytes::Bytes;
use http::{Response, request::Parts, uri::PathAndQuery};

use super::{
    Body,
    body::RequestBody,
    caller::Sent,
    request::{fields, origin},
    respond::{ApiError, receivers_reply},
};
use crate::{
    inbound::{self, PROBE_BYTES_MAX, Received, Reply, Target},
    model::secret::Secret,
    services::Services,
};

/// The route's name in metrics and traces. It leaves out the code, which is a credential.
const ROUTE: &str = "{base}/api/v1/webhook/{code}";

/// An address that names a code.
#[derive(Debug, PartialEq, Eq)]
pub struct CodePath {
    /// The path before `/api/v1/webhook`.
    pub base: String,
    pub code: String,
    /// The path after the code, with its leading slash; may be empty.
    pub rest: String,
}

impl CodePath {
    /// Reads `path`; `None`: the path names no code.
    pub fn find(path: &str) -> Option<Self> {
        const MARK: &str = "/api/v1/webhook/";
        // Lower-casing ASCII does not move any byte.
        let at = path.to_ascii_lowercase().find(MARK)?;
        // Only the word `webhook` may be written in any case.
        if !path[at..].starts_with("/api/v1/") {
            return None;
        }
        let tail = &path[at + MARK.len()..];
        let (code, rest) = tail.find('/').map_or((tail, ""), |slash| tail.split_at(slash));
        (!code.is_empty()).then(|| Self { base: path[..at].to_owned(), code: code.to_owned(), rest: rest.to_owned() })
    }
}

/// Answers a call. The code and the head are checked before any of the body is read.
pub async fn answer(services: Services, path: CodePath, parts: Parts, body: &mut RequestBody, sent: Sent) -> Response<Body> {
    let reply = reply(&services, path, parts, body, sent).await;
    receivers_reply(reply.status, reply.headers, reply.body, !sent.is_apart)
}

async fn reply(services: &Services, path: CodePath, parts: Parts, body: &mut RequestBody, sent: Sent) -> Reply {
    let remote = sent.remote.ip().to_string();
    let target = match inbound::find(services, &path.base, &path.code, &remote) {
        Ok(target) => target,
        Err(refused) => return refused,
    };
    if let Err(error) = services.store.has_room() {
        return Reply::unavailable(&error);
    }
    let fields_max = services.limits.http.fields_max;
    let Ok(query) = fields(parts.uri.query().unwrap_or_default().as_bytes(), fields_max) else {
        return Reply::message(400, &format!("the query has more than {fields_max} fields"));
    };
    let mut span = services.traces.server(&parts.headers, &parts.method, ROUTE);
    let trace = span.context().cloned();
    let url = url_called(services, &parts);
    let (method, headers) = (parts.method, parts.headers);
    let mut inbound = Received {
        method,
        url,
        path: path.rest,
        query,
        headers,
        body: Bytes::new(),
        remote,
        trace,
        is_proven: false,
        shares_origin: !sent.is_apart,
    };
    let reply = match head_and_body(services, &target, &mut inbound, body).await {
        Ok(()) => inbound::answer(services, target, inbound).await,
        Err(answer) => answer,
    };
    span.answered(reply.status);
    reply
}

/// The URL a caller used, as far as it can be known: the path and query as they came, behind the configured origin or that of the request.
fn url_called(services: &Services, parts: &Parts) -> Secret {
    let target = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    Secret::new(match &services.bases.public_url {
        Some(origin) => format!("{origin}{target}"),
        None => format!("{}{target}", origin(&parts.headers)),
    })
}

/// Has the head of a call looked at, and then its body read. An error is the answer to it.
async fn head_and_body(services: &Services, target: &Target, inbound: &mut Received, body: &mut RequestBody) -> Result<(), Reply> {
    let announced = match body.announced() {
        // If the length is unknown, read only as much as distinguishes a probe from a call.
        None if target.may_be_probe(&inbound.method) => {
            let is_whole = body.begin(PROBE_BYTES_MAX, None).await.map_err(unread)?;
            is_whole.then(|| body.so_far().len())
        }
        announced => announced,
    };
    inbound.is_proven = inbound::by_head(services, target, inbound, announced).await?;
    inbound.body = body.read(target.body_bytes_max(), None).await.map_err(unread)?;
    Ok(())
}

/// The reply to a call whose body cannot be read.
fn unread(error: ApiError) -> Reply {
    match error {
        ApiError::TooLarge(max) => Reply::message(413, &format!("the body is longer than {max} bytes")),
        ApiError::Unavailable(_) => Reply::later(),
        _ => Reply::message(400, "the body did not arrive whole"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_published_spellings_name_the_code() {
        let local = CodePath::find("/DhsDivaltoServiceDivaApiRest/api/v1/Webhook/MONWEBHOOKACADEMY123456789012363F53");
        let cloud = CodePath::find("/123456/TEST1/api/v1/WebHook/MONWEBHOOKACADEMY123456789012363F53");
        for (found, base) in [(local, "/DhsDivaltoServiceDivaApiRest"), (cloud, "/123456/TEST1")] {
            let found = found.expect("a code path");
            assert_eq!((found.base.as_str(), found.code.as_str(), found.rest.as_str()), (base, "MONWEBHOOKACADEMY123456789012363F53", ""));
        }
    }

    #[test]
    fn other_addresses_do_not() {
        assert_eq!(CodePath::find("/v1/webhooks/x"), None);
        assert_eq!(CodePath::find("/api/v1/webhook/"), None);
        assert_eq!(CodePath::find("/API/v1/webhook/x"), None);
        assert_eq!(CodePath::find("/api/v1/webhook/x/more").map(|found| found.rest), Some("/more".to_owned()));
    }
}
