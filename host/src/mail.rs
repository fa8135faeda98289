//! The way out for mail: one message to the operator's server (RFC 5321), or the one word that says why it was not taken.
//!
//! Which server that is says the operator's configuration and nobody else, so no address policy stands before it. Where a mail goes is
//! written by an admin.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use lettre::{
    Message,
    message::{
        Attachment, Mailbox, MultiPart, SinglePart,
        header::{ContentType, HeaderName, HeaderValue},
    },
    transport::smtp::{
        self,
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{AsyncSmtpConnection, Certificate, Tls, TlsParameters},
        commands::{self, Auth, Data, Rcpt},
        extension::{ClientId, Extension, MailBodyParameter, MailParameter},
        response::Response,
    },
};

use crate::{
    config::{Smtp, SmtpTls},
    model::{
        outcome::{Failure, FailureKind},
        secret::{Secret, SecretRef},
    },
};

/// Why no mail can be sent as configured.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// Who mails are from.
    #[error("`from` is no mailbox, such as `Hookwright <webhooks@example.com>`")]
    From(#[source] lettre::address::AddressError),
    /// A user without a password, or the other way round.
    #[error("`user` and `password` go together; the password is named as `$secret:name`")]
    Credentials,
    /// A password over a connection anybody reads.
    #[error("a password is not sent unprotected: `tls` is `implicit` or `starttls`")]
    Unprotected,
    /// Trust.
    #[error("the certificates of `ca_file`, or TLS itself, cannot be used")]
    Tls(#[source] smtp::Error),
}

/// Sends mail. Clones are the same.
#[derive(Clone)]
pub struct Mailer {
    shared: Arc<Shared>,
}

struct Shared {
    smtp: Smtp,
    from: Mailbox,
    tls: Tls,
    time_max: Duration,
}

/// A mail to send.
#[derive(Clone, Debug, Default)]
pub struct Mail {
    /// Addresses.
    pub to: Vec<String>,
    /// Addresses everybody sees.
    pub cc: Vec<String>,
    /// Addresses nobody else sees.
    pub bcc: Vec<String>,
    /// One line.
    pub subject: String,
    /// The media type of `body`.
    pub media_type: String,
    /// What it says.
    pub body: Vec<u8>,
    /// Files with it.
    pub attachments: Vec<File>,
    /// Its `Message-ID`, before the `@`: the same for every try at the same mail.
    pub id: String,
}

/// A file that goes with a mail.
#[derive(Clone, Debug)]
pub struct File {
    /// Its name.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Mailer {
    /// Sends through `smtp`, each mail within `time_max`. Nothing is connected yet.
    pub fn new(smtp: Smtp, time_max: Duration) -> Result<Self, MailError> {
        let from: Mailbox = smtp.from.parse().map_err(MailError::From)?;
        if smtp.user.is_some() != smtp.password.is_some() {
            return Err(MailError::Credentials);
        }
        if smtp.user.is_some() && smtp.tls == SmtpTls::None && !is_loopback(&smtp.host) {
            return Err(MailError::Unprotected);
        }
        let parameters = || {
            let mut parameters = TlsParameters::builder(smtp.host.clone());
            if let Some(pem) = &smtp.ca_certificates {
                parameters = parameters.add_root_certificate(Certificate::from_pem(pem.as_bytes()).map_err(MailError::Tls)?);
            }
            parameters.build().map_err(MailError::Tls)
        };
        let tls = match smtp.tls {
            SmtpTls::Implicit => Tls::Wrapper(parameters()?),
            SmtpTls::Starttls => Tls::Required(parameters()?),
            SmtpTls::None => Tls::None,
        };
        Ok(Self { shared: Arc::new(Shared { smtp, from, tls, time_max }) })
    }

    /// The secret with the password, if there is one.
    pub fn password(&self) -> Option<&SecretRef> {
        self.shared.smtp.password.as_ref()
    }

    /// Sends `mail`, dated `now`. What the server said when it took it, and its code.
    pub async fn send(&self, mail: &Mail, password: Option<&Secret>, now: Timestamp) -> Result<(u16, String), Failure> {
        let Shared { smtp, from, time_max, .. } = &*self.shared;
        let message = message(mail, from, now)?;
        let credentials = match (&smtp.user, password) {
            (Some(user), Some(password)) => {
                let password = password.expose_str().ok_or_else(|| refused("the password is no text"))?;
                Some(Credentials::new(user.clone(), password.to_owned()))
            }
            _ => None,
        };
        match tokio::time::timeout(*time_max, self.hand_in(&message, credentials)).await {
            Ok(Ok(taken)) => Ok((taken.code().into(), taken.message().collect::<Vec<_>>().join("\n"))),
            Ok(Err(failure)) => Err(failure),
            Err(_) => {
                Err(Failure::new(FailureKind::Timeout, format!("the mail server was not done within {} seconds", time_max.as_secs())))
            }
        }
    }
}

impl Mailer {
    /// Hands a message in. Once the server has taken or refused it, nobody waits for how the connection ends.
    async fn hand_in(&self, message: &Message, credentials: Option<Credentials>) -> Result<Response, Failure> {
        let Shared { smtp, tls, time_max, .. } = &*self.shared;
        let hello = ClientId::default();
        let wrapped = match tls {
            Tls::Wrapper(parameters) => Some(parameters.clone()),
            _ => None,
        };
        let server = (smtp.host.as_str(), smtp.port);
        let connected = AsyncSmtpConnection::connect_tokio1(server, Some(*time_max), &hello, wrapped, None).await;
        let mut connection = connected.map_err(|error| failure(&error))?;
        if let Tls::Required(parameters) = tls {
            connection.starttls(parameters.clone(), &hello).await.map_err(|error| failure(&error))?;
        }
        let answered = converse(&mut connection, message, credentials).await;
        tokio::spawn(tokio::time::timeout(GOODBYE_TIME_MAX, async move { connection.abort().await }));
        answered
    }
}

/// Logs in and hands the message in, command by command. `AsyncSmtpConnection::send` and `auth` tell of a refusal only once the server has
/// answered `QUIT`.
async fn converse(connection: &mut AsyncSmtpConnection, message: &Message, credentials: Option<Credentials>) -> Result<Response, Failure> {
    let told = |error: smtp::Error| failure(&error);
    if let Some(credentials) = credentials {
        let mechanism = connection.server_info().get_auth_mechanism(DEFAULT_MECHANISMS);
        let mechanism = mechanism.ok_or_else(|| refused("the mail server offers no way to log in that is known"))?;
        let mut answer = connection.command(Auth::new(mechanism, credentials.clone(), None).map_err(told)?).await.map_err(told)?;
        for _ in 0..CHALLENGES_MAX {
            if !answer.has_code(CHALLENGE) {
                break;
            }
            let response = Auth::new_from_response(mechanism, credentials.clone(), &answer).map_err(told)?;
            answer = connection.command(response).await.map_err(told)?;
        }
        if answer.has_code(CHALLENGE) {
            return Err(refused("the mail server asks on and on who logs in"));
        }
    }
    let (envelope, text) = (message.envelope(), message.formatted());
    let is_ascii = envelope.to().iter().chain(envelope.from()).all(|address| AsRef::<str>::as_ref(address).is_ascii());
    let wanted = [
        (is_ascii, Extension::SmtpUtfEight, MailParameter::SmtpUtfEight),
        (text.is_ascii(), Extension::EightBitMime, MailParameter::Body(MailBodyParameter::EightBitMime)),
    ];
    let mut parameters = Vec::new();
    for (_, extension, parameter) in wanted.into_iter().filter(|(is_ascii, ..)| !is_ascii) {
        if !connection.server_info().supports_feature(extension) {
            return Err(refused(format!("the mail is not ASCII, and the mail server takes no other (`{extension}`)")));
        }
        parameters.push(parameter);
    }
    connection.command(commands::Mail::new(envelope.from().cloned(), parameters)).await.map_err(told)?;
    for to in envelope.to() {
        connection.command(Rcpt::new(to.clone(), Vec::new())).await.map_err(told)?;
    }
    connection.command(Data).await.map_err(told)?;
    connection.message(&text).await.map_err(told)
}

/// The code of a server that asks for more before it lets somebody in (RFC 4954).
const CHALLENGE: u16 = 334;
/// How often it may ask.
const CHALLENGES_MAX: usize = 10;
/// How long a mail server may take to say goodbye.
const GOODBYE_TIME_MAX: Duration = Duration::from_secs(5);

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn refused(detail: impl Into<String>) -> Failure {
    Failure::new(FailureKind::MailRefused, detail)
}

fn message(mail: &Mail, from: &Mailbox, now: Timestamp) -> Result<Message, Failure> {
    let invalid = |error: String| Failure::new(FailureKind::RequestInvalid, format!("this is no mail: {error}"));
    let mailbox =
        |address: &String| address.parse().map(|address| Mailbox::new(None, address)).map_err(|_| invalid(format!("`{address}`")));
    let mut builder = Message::builder()
        .from(from.clone())
        .subject(mail.subject.clone())
        .date(now.into())
        .message_id(Some(format!("<{}@{}>", mail.id, from.email.domain())))
        // RFC 3834: nobody's holiday notice answers it.
        .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()));
    for address in &mail.to {
        builder = builder.to(mailbox(address)?);
    }
    for address in &mail.cc {
        builder = builder.cc(mailbox(address)?);
    }
    for address in &mail.bcc {
        builder = builder.bcc(mailbox(address)?);
    }
    let media = |text: &str| ContentType::parse(text).map_err(|error| invalid(format!("the media type `{text}`: {error}")));
    let text = String::from_utf8(mail.body.clone()).map_err(|_| invalid("its text is not UTF-8".to_owned()))?;
    let said = SinglePart::builder().header(media(&mail.media_type)?).body(text);
    let message = if mail.attachments.is_empty() {
        builder.singlepart(said)
    } else {
        let mut parts = MultiPart::mixed().singlepart(said);
        for File { name, media_type, bytes } in &mail.attachments {
            parts = parts.singlepart(Attachment::new(name.clone()).body(bytes.clone(), media(media_type)?));
        }
        builder.multipart(parts)
    };
    message.map_err(|error| invalid(error.to_string()))
}

/// The one word for what went wrong. A server's answers never hold what was sent to log in.
fn failure(error: &smtp::Error) -> Failure {
    let cause = std::error::Error::source(error).map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
    if let Some(code) = error.status() {
        return refused(format!("the mail server answered {code}: {cause}"));
    }
    let kind = if error.is_timeout() {
        FailureKind::Timeout
    } else if error.is_tls() {
        FailureKind::TlsFailed
    } else if error.is_client() || error.is_response() {
        FailureKind::MailRefused
    } else {
        FailureKind::ConnectFailed
    };
    Failure::new(kind, format!("the mail server: {cause}"))
}
