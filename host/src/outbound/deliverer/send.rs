//! Signs a request and sends it.

use std::time::Instant;

use http::HeaderValue;

use super::{
    super::material::Material,
    credentials::Purpose,
    mail,
    record::{Eyes, recorded},
    sign::sign,
};
use crate::{
    clock::micros,
    model::{
        delivery::Attempt,
        outcome::Failure,
        request::BuiltRequest,
        trace::{TRACEPARENT, TRACESTATE},
    },
    services::Services,
    store::Claimed,
    traces::Span,
    transport::{Answer, Outgoing},
};

/// The status of what wants other credentials (RFC 9110, section 15.5.2).
const UNAUTHORIZED: u16 = 401;

/// Sign and send. A token may be withdrawn before it ends: where one is refused, another is got, once.
pub(super) async fn send(material: &Material<'_>, request: &BuiltRequest, attempt: &mut Attempt, span: &Span) -> Result<Answer, Failure> {
    let Material { services, claimed, webhook, .. } = material;
    let mut signed = sign(material, request, Purpose::Send).await?;
    let is_mail = webhook.request.url().is_mail();
    let sending = (!is_mail).then(|| begin_sending(services, claimed, &mut signed.outgoing, span));
    attempt.request = Some(recorded(&signed, Eyes::Reader));
    attempt.unset.extend(signed.shown.unset);
    let started = Instant::now();
    let Some(sending) = sending else {
        let mut span = services.traces.inner("mail", span.context());
        let answered = mail::send(services, claimed.delivery.id.as_str(), &signed.outgoing).await;
        attempt.stages.send_us = micros(started);
        if let Err(failure) = &answered {
            span.fail(failure.kind.as_str());
        }
        return answered;
    };
    let mut answered = services.transport.send(signed.outgoing).await;
    end_sending(sending, &answered);
    if let (Ok(answer), Some(token)) = (&answered, &signed.shown.token)
        && answer.status == UNAUTHORIZED
    {
        services.tokens.forget(token).await;
        let mut again = sign(material, request, Purpose::Send).await?;
        let sending = begin_sending(services, claimed, &mut again.outgoing, span);
        attempt.request = Some(recorded(&again, Eyes::Reader));
        answered = services.transport.send(again.outgoing).await;
        end_sending(sending, &answered);
    }
    attempt.stages.send_us = micros(started);
    answered
}

/// The span of one request, of which the endpoint is told. It is no part of what is signed, and a header an admin wrote stays.
fn begin_sending(services: &Services, claimed: &Claimed, outgoing: &mut Outgoing, attempt: &Span) -> Span {
    let mut span = services.traces.client(&outgoing.method, &outgoing.url, attempt);
    if claimed.delivery.attempts > 0 {
        span.set("http.request.resend_count", i64::from(claimed.delivery.attempts));
    }
    if let Some(trace) = services.traces.passed_on(&span)
        && !outgoing.headers.contains_key(TRACEPARENT)
    {
        for (name, text) in [(TRACEPARENT, trace.traceparent()), (TRACESTATE, trace.tracestate())] {
            if let Some(value) = HeaderValue::from_str(text).ok().filter(|value| !value.is_empty()) {
                outgoing.headers.insert(name, value);
            }
        }
    }
    span
}

fn end_sending(mut span: Span, answered: &Result<Answer, Failure>) {
    match answered {
        Ok(answer) => span.answered(answer.status),
        Err(failure) => span.fail(failure.kind.as_str()),
    }
}
