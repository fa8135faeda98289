//! What is only looked at: the request that would be sent, the endpoint, the credentials.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, Method, header::USER_AGENT};

use super::{
    super::{
        building::{BuildFailure, BuildReport, Prepared, Trial, build_from},
        material::Material,
    },
    credentials::{self, Purpose},
    mail,
    record::{Eyes, begun, recorded},
    sign::sign,
    trust::{authorities, pinned, tls},
};
use crate::{
    model::{
        delivery::Attempt,
        outcome::{Failure, FailureKind},
        parameter::Parameters,
        reference::{Expansion, Scope},
        webhook::Webhook,
    },
    plugin::Keys,
    services::Services,
    store::{Claimed, Session},
    transport::{AGENT, Answer, Outgoing, Probe, Step},
};

/// The request of this delivery as `preview` shows it to `eyes`: signed and redacted, nothing sent. A trial: it counts for nothing.
pub async fn preview(
    services: &Services,
    claimed: &Claimed,
    webhook: &Arc<Webhook>,
    session: Session,
    eyes: Eyes,
) -> (Attempt, Result<(), Failure>) {
    let material = Material::new(services, claimed, webhook).seeing(session);
    let mut attempt = begun(services, claimed);
    let keys = if eyes == Eyes::Reader { Keys::StandIn } else { Keys::Secrets };
    let outcome = match build_from(&material, Some(&Trial { stand_in: None, keys })).await {
        Ok(Prepared { request, report: BuildReport { stages, plugin, log, unset }, .. }) => {
            (attempt.stages, attempt.plugin, attempt.log, attempt.unset) = (stages, plugin, log, unset);
            match request {
                None => Ok(()),
                Some(request) => sign(&material, &request, Purpose::Show).await.map(|signed| {
                    attempt.request = Some(recorded(&signed, eyes));
                    attempt.unset.extend(signed.shown.unset);
                }),
            }
        }
        Err(BuildFailure { failure, report, .. }) => {
            (attempt.plugin, attempt.log) = (report.plugin, report.log);
            Err(failure)
        }
    };
    (attempt, outcome)
}

/// Whether the endpoint can be reached, and its token got. Nothing of the webhook's request is sent but its URL, without values.
pub async fn check(services: &Services, webhook: &Webhook, environment: Option<&str>) -> Probe {
    if webhook.request.url().is_mail() {
        return Probe { steps: vec![mail::check(services).await], status: None };
    }
    let mut expansion = Expansion::default();
    let url = webhook.request.url().expand(&Scope::of(&Parameters::default()), &mut expansion);
    let found = async {
        let invalid = |error: String| Failure::new(FailureKind::RequestInvalid, error);
        let exact_url = url.map_err(|error| invalid(error.to_string()))?;
        let url = exact_url.parse().map_err(|error| invalid(format!("the URL cannot be parsed: {error}")))?;
        let got = credentials::check(services, webhook, environment, &exact_url).await?;
        let tls = tls(services, webhook).await?;
        let mut probe = services.transport.probe(&url, &exact_url, tls, pinned(webhook, &url)).await;
        probe.steps.splice(0..0, got.map(|detail| Step::done("credentials", detail)));
        Ok(probe)
    };
    found.await.unwrap_or_else(|failure| Probe { steps: vec![Step::failed("credentials", failure)], status: None })
}

/// How long the creation check waits where the webhook's own timeout is zero.
const KNOCK_TIME_MAX: Duration = Duration::from_secs(10);

/// The first status that says a server cannot answer (RFC 9110, section 15.6).
const SERVER_ERROR: u16 = 500;

/// The body of a creation check: no payload.
const KNOCK: &[u8] = b"{}";

/// The creation check: a POST of `{}` to the URL, without values, credentials or signature. That a status below 500 proves a receiver,
/// and what is sent, is our decision where the vendor only says that the URL is called.
pub async fn knock(services: &Services, webhook: &Webhook) -> Result<(), Failure> {
    let mut expansion = Expansion::default();
    let invalid = |error: String| Failure::new(FailureKind::RequestInvalid, error);
    let exact_url = webhook.request.url().expand(&Scope::of(&Parameters::default()), &mut expansion);
    let exact_url = exact_url.map_err(|error| invalid(error.to_string()))?;
    let url: url::Url = exact_url.parse().map_err(|error| invalid(format!("the URL cannot be parsed: {error}")))?;
    let headers = HeaderMap::from_iter([
        (USER_AGENT, HeaderValue::from_static(AGENT)),
        (http::header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
    ]);
    let answered = services.transport.send(Outgoing {
        method: Method::POST,
        pinned: pinned(webhook, &url),
        url,
        exact_url,
        headers,
        body: KNOCK.into(),
        total_time_max: if webhook.timeout.is_zero() { KNOCK_TIME_MAX } else { webhook.timeout },
        response_bytes_max: webhook.response_bytes_max,
        tls: authorities(webhook)?,
    });
    match answered.await {
        Ok(Answer { status, .. }) if status >= SERVER_ERROR => {
            Err(Failure::new(FailureKind::HttpStatus, format!("the endpoint answered {status}")))
        }
        Ok(_) => Ok(()),
        // A head longer than deliveries may have is an answer.
        Err(failure) if failure.kind == FailureKind::ResponseTooLarge => Ok(()),
        // The certificate it wants to see may be none we hold yet; that it asks for one shows that it is there.
        Err(failure) if failure.kind == FailureKind::TlsFailed && webhook.tls.client_certificate.is_some() => Ok(()),
        Err(failure) => Err(failure),
    }
}
