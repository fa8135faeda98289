//! `{base}/api/v1/webhook/{code}`: where the world calls. The word `webhook` is matched in any case (Divalto's documentation writes both).

use std::net::SocketAddr;

use http::{Response, request::Parts};
use hyper::body::Incoming;

use super::{
    Body,
    request::read_body,
    respond::{ApiError, reply},
};
use crate::{
    reception::{self, Inbound, Reply},
    services::Services,
};

/// What all these addresses are to whoever counts or traces them: a code is a credential.
const ROUTE: &str = "{base}/api/v1/webhook/{code}";

/// An address that names a code.
#[derive(Debug, PartialEq, Eq)]
pub struct CodePath {
    /// What stands before `/api/v1/webhook`.
    pub base: String,
    /// The code.
    pub code: String,
    /// What stands behind it, with its slash; or nothing.
    pub rest: String,
}

impl CodePath {
    /// Reads `path`; `None`: it names no code.
    pub fn find(path: &str) -> Option<Self> {
        const MARK: &str = "/api/v1/webhook/";
        // ASCII lower case keeps every byte where it is.
        let at = path.to_ascii_lowercase().find(MARK)?;
        // Only the last word may be written in any case.
        if !path[at..].starts_with("/api/v1/") {
            return None;
        }
        let tail = &path[at + MARK.len()..];
        let (code, rest) = tail.find('/').map_or((tail, ""), |slash| tail.split_at(slash));
        (!code.is_empty()).then(|| Self { base: path[..at].to_owned(), code: code.to_owned(), rest: rest.to_owned() })
    }
}

/// Answers a call.
pub async fn answer(services: Services, path: CodePath, parts: Parts, body: &mut Incoming, remote: SocketAddr) -> Response<Body> {
    let remote = remote.ip().to_string();
    let target = match reception::find(&services, &path.base, &path.code, &remote) {
        Ok(target) => target,
        Err(refused) => return written(refused),
    };
    if let Err(error) = services.store.has_room() {
        return written(Reply::unavailable(&error));
    }
    let body = match read_body(body, target.body_bytes_max(), services.limits.http.body_time_max).await {
        Ok(body) => body,
        Err(ApiError::TooLarge(max)) => return written(Reply::message(413, &format!("the body is longer than {max} bytes"))),
        Err(_) => return written(Reply::message(400, "the body did not arrive whole")),
    };
    let query = url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let mut span = services.traces.server(&parts.headers, &parts.method, ROUTE);
    let trace = span.context().cloned();
    let inbound = Inbound { method: parts.method, path: path.rest, query, headers: parts.headers, body, remote, trace };
    let reply = reception::answer(&services, target, inbound).await;
    span.answered(reply.status);
    written(reply)
}

fn written(answer: Reply) -> Response<Body> {
    reply(answer.status, answer.headers, answer.body)
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
