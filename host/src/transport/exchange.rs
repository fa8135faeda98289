//! One request until it has an answer: over a connection that is kept, and again at once where that is safe.
//!
//! A connection that is kept or shared may be given up by the endpoint while the request is on its way, with a 408 or without a word. An
//! endpoint may say over HTTP/2 that it did not process a request, or that it wants it by HTTP/1.1. In these cases, and in no others, the
//! same request goes out again on a connection of its own. A request is at least once anyway, and its `webhook-id` stays the same.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version, uri::Authority};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::capture_connection;
use tokio::time::timeout;

use super::{
    client::{Clients, Route, Versions},
    failure::{self, Again, Lost},
    progress::Progress,
};
use crate::model::outcome::{Failure, FailureKind};

/// How long an answer that nobody waits for is waited for all the same.
const UNANSWERED_TIME_MAX: Duration = Duration::from_secs(30);
/// How often a request that the endpoint says it did not process is sent at once, the first time included.
const UNPROCESSED_TRIES_MAX: u32 = 4;

/// What one request is sent by.
pub(super) struct Exchange {
    pub clients: Clients,
    pub route: Route,
    /// Host and port, for what is said of it.
    pub name: String,
}

impl Exchange {
    /// Sends `request` until it has an answer's head, or may not be sent again at once.
    pub(super) async fn run(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failure> {
        // Cheap to clone, where a text is not.
        let uri = request.uri().clone();
        let origin = uri.authority().map_or("", Authority::as_str);
        let (mut pool, mut versions) = self.clients.kept(&self.route, origin);
        let (mut unprocessed, mut is_kept) = (0, true);
        loop {
            let Lost { failure, again } = match pool.request(request.clone()).await {
                Ok(response) => {
                    let progress = response.extensions().get::<Progress>();
                    let was_kept = is_kept && progress.is_some_and(Progress::has_answered);
                    if let Some(progress) = progress {
                        progress.note_answer();
                    }
                    if !(was_kept && is_idle_timeout(&response)) {
                        return Ok(response);
                    }
                    Lost::idle_timeout(&self.name)
                }
                Err(error) => failure::of_request(&self.name, &error),
            };
            match again {
                Again::KeptConnection if is_kept => {}
                Again::NotProcessed if unprocessed + 1 < UNPROCESSED_TRIES_MAX => unprocessed += 1,
                Again::ByHttp1 if versions == Versions::Any => {
                    self.clients.remember_http1(&self.route, origin);
                    versions = Versions::Http1;
                }
                Again::No | Again::KeptConnection | Again::NotProcessed | Again::ByHttp1 => return Err(failure),
            }
            tracing::debug!(endpoint = self.name, why = failure.detail, "sent again at once, on a connection of its own");
            is_kept = false;
            pool = self.clients.fresh(&self.route, versions);
        }
    }

    /// Sends a request without waiting for its answer, which is thrown away behind the caller's back: a connection that is dropped right
    /// after the request was written may take it back.
    pub(super) async fn hand_over(self, mut request: Request<Full<Bytes>>) -> Failure {
        let mut connection = capture_connection(&mut request);
        let name = self.name.clone();
        let answer = tokio::spawn(timeout(UNANSWERED_TIME_MAX, async move { self.run(request).await.map(drop) }));
        let handed_over = connection.wait_for_connection_metadata().await.is_some();
        if !handed_over && let Ok(Ok(Err(failure))) = answer.await {
            return failure;
        }
        Failure::new(FailureKind::Timeout, format!("sent to `{name}`; no answer is waited for"))
    }
}

/// Whether an answer is what some servers say before they close a connection that was idle for too long: they say it to nobody, and it
/// meets the next request on its way (RFC 9110, section 15.5.9).
fn is_idle_timeout(response: &Response<Incoming>) -> bool {
    response.status() == StatusCode::REQUEST_TIMEOUT && response.version() <= Version::HTTP_11
}
