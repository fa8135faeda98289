//! A request to a `mailto:` address: sent by the operator's mail server instead of over HTTP.

use http::{HeaderMap, header::CONTENT_TYPE};

use super::secrets::secret;
use crate::{
    mail::{File, Mail},
    model::{
        mail::MailTo,
        outcome::{Failure, FailureKind},
    },
    services::Services,
    transport::{Answer, Outgoing, Step},
};

/// What a mail says that is no text itself.
const ATTACHED: &str = "What happened is attached.\n";

/// Sends the request as a mail. Taken by the server is delivered.
pub async fn send(services: &Services, delivery: &str, outgoing: &Outgoing) -> Result<Answer, Failure> {
    let MailTo { to, cc, bcc, subject } =
        MailTo::parse(&outgoing.exact_url).map_err(|error| Failure::new(FailureKind::RequestInvalid, error))?;
    let media_type = outgoing.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("text/plain; charset=utf-8");
    let body = outgoing.body.to_vec();
    let is_text = media_type.get(..5).is_some_and(|kind| kind.eq_ignore_ascii_case("text/"));
    let (said, media_type, attachments) = if is_text {
        (body, media_type.to_owned(), Vec::new())
    } else {
        let name = if media_type.starts_with("application/json") { "event.json" } else { "event" };
        let file = File { name: name.to_owned(), media_type: media_type.to_owned(), bytes: body };
        (ATTACHED.as_bytes().to_vec(), "text/plain; charset=utf-8".to_owned(), vec![file])
    };
    let mail = Mail { to, cc, bcc, subject, media_type, body: said, attachments, id: delivery.to_owned() };
    let (status, said) = deliver(services, &mail).await?;
    Ok(Answer { status, headers: HeaderMap::new(), body: said.into(), body_failure: None, decoded: false })
}

/// Sends a mail: the server's code and words.
pub async fn deliver(services: &Services, mail: &Mail) -> Result<(u16, String), Failure> {
    let Some(mailer) = &services.mailer else {
        return Err(unconfigured());
    };
    let password = match mailer.password() {
        Some(reference) => Some(secret(services, reference).await?),
        None => None,
    };
    mailer.send(mail, password.as_ref(), services.clock.now()).await
}

/// Whether there is a mail server to send by, and its password. No mail is sent.
pub async fn check(services: &Services) -> Step {
    let Some(mailer) = &services.mailer else { return Step::failed("mail", unconfigured()) };
    match mailer.password() {
        Some(reference) => match secret(services, reference).await {
            Ok(_) => Step::done("mail", "a mail server is configured, and its password is there"),
            Err(failure) => Step::failed("mail", failure),
        },
        None => Step::done("mail", "a mail server is configured"),
    }
}

fn unconfigured() -> Failure {
    Failure::new(FailureKind::MailRefused, "no mail server is configured: the operator's `[smtp]` says which")
}
