//! A mail server on loopback (RFC 5321): it accepts and keeps mails, over TLS if it has an identity.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use hookwright::config::{Smtp, SmtpTls};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpListener,
    sync::mpsc,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    lock,
    tls::{Identity, acceptor},
    wait::within,
};

/// A mail that the server accepted.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    /// The address in `MAIL FROM`.
    pub from: String,
    /// The addresses in `RCPT TO`.
    pub to: Vec<String>,
    /// The message, with CRLF and without dot-stuffing.
    pub message: String,
    /// The login: user and password.
    pub login: Option<(String, String)>,
    /// Whether the connection was encrypted.
    pub encrypted: bool,
}

/// The server. It stops when this value is dropped.
pub struct MailServer {
    /// The port on 127.0.0.1.
    pub port: u16,
    taken: tokio::sync::Mutex<mpsc::UnboundedReceiver<Taken>>,
    refusal: Arc<Mutex<Option<String>>>,
    lingers: Arc<AtomicBool>,
    serving: JoinHandle<()>,
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl MailServer {
    /// Starts a server without TLS.
    pub async fn start() -> Self {
        Self::with(None).await
    }

    /// Starts a server that offers `STARTTLS` as `identity` and accepts no mail before it.
    pub async fn starttls(identity: &Identity) -> Self {
        Self::with(Some(acceptor(identity, None))).await
    }

    async fn with(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (sender, taken) = mpsc::unbounded_channel();
        let refusal = Arc::new(Mutex::new(None));
        let refuses = Arc::clone(&refusal);
        let lingers = Arc::new(AtomicBool::new(false));
        let never_ends = Arc::clone(&lingers);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let session = Session { sender: sender.clone(), refuses: Arc::clone(&refuses), lingers: Arc::clone(&never_ends) };
                let tls = tls.clone();
                tokio::spawn(async move {
                    // A client that disconnects is no error.
                    drop(session.begin(stream, tls).await);
                });
            }
        });
        Self { port, taken: tokio::sync::Mutex::new(taken), refusal, lingers, serving }
    }

    /// The settings of a host that sends through this server: without TLS and login, from `webhooks@example.org`.
    pub fn settings(&self) -> Smtp {
        Smtp {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            tls: SmtpTls::None,
            ca_certificates: None,
            from: "Hookwright <webhooks@example.org>".to_owned(),
            user: None,
            password: None,
        }
    }

    /// Waits for the next mail.
    pub async fn next(&self) -> Taken {
        within("a mail", async { self.taken.lock().await.recv().await }).await.expect("a server")
    }

    /// From now on the server does not answer `QUIT` and leaves the connection open.
    pub fn linger(&self) {
        self.lingers.store(true, Ordering::Relaxed);
    }

    /// From now on every recipient is refused with this answer; `None`: recipients are accepted again.
    pub fn refuse(&self, answer: Option<&str>) {
        *lock(&self.refusal) = answer.map(str::to_owned);
    }
}

struct Session {
    sender: mpsc::UnboundedSender<Taken>,
    refuses: Arc<Mutex<Option<String>>>,
    lingers: Arc<AtomicBool>,
}

impl Session {
    async fn begin(self, mut stream: tokio::net::TcpStream, tls: Option<TlsAcceptor>) -> std::io::Result<()> {
        stream.write_all(b"220 mail.test ESMTP\r\n").await?;
        let (asked, stream) = self.talk(stream, tls.is_some(), false).await?;
        if let (true, Some(tls), Some(stream)) = (asked, tls, stream) {
            self.talk(tls.accept(stream).await?, false, true).await?;
        }
        Ok(())
    }

    /// Talks to a client until it leaves or asks for TLS.
    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        offers_tls: bool,
        encrypted: bool,
    ) -> std::io::Result<(bool, Option<S>)> {
        let mut stream = BufReader::new(stream);
        let mut taken = Taken { encrypted, ..Taken::default() };
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok((false, None));
            }
            let line = line.trim_end();
            let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
            let answer = match verb.to_ascii_uppercase().as_str() {
                "EHLO" if offers_tls => "250-mail.test\r\n250-8BITMIME\r\n250 STARTTLS".to_owned(),
                "EHLO" => "250-mail.test\r\n250-8BITMIME\r\n250 AUTH PLAIN".to_owned(),
                "STARTTLS" if offers_tls => {
                    stream.write_all(b"220 go ahead\r\n").await?;
                    return Ok((true, Some(stream.into_inner())));
                }
                _ if offers_tls => "530 STARTTLS first".to_owned(),
                "AUTH" => {
                    taken.login = rest.split(' ').nth(1).and_then(login);
                    if taken.login.is_some() { "235 welcome" } else { "535 who are you" }.to_owned()
                }
                "MAIL" => {
                    taken.from = address(rest);
                    "250 ok".to_owned()
                }
                "RCPT" => match lock(&self.refuses).clone() {
                    Some(refusal) => refusal,
                    None => {
                        taken.to.push(address(rest));
                        "250 ok".to_owned()
                    }
                },
                "DATA" => {
                    stream.write_all(b"354 go on\r\n").await?;
                    taken.message = message(&mut stream).await?;
                    let next = Taken { login: taken.login.clone(), encrypted, ..Taken::default() };
                    drop(self.sender.send(std::mem::replace(&mut taken, next)));
                    "250 2.0.0 queued".to_owned()
                }
                "QUIT" if self.lingers.load(Ordering::Relaxed) => continue,
                "QUIT" => {
                    stream.write_all(b"221 bye\r\n").await?;
                    return Ok((false, None));
                }
                _ => "250 ok".to_owned(),
            };
            stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
        }
    }
}

async fn message<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> std::io::Result<String> {
    let mut message = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 || line == ".\r\n" {
            return Ok(message);
        }
        message.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}

/// `FROM:<a@b>` or `TO:<a@b> ...`.
fn address(rest: &str) -> String {
    rest.split(['<', '>']).nth(1).unwrap_or_default().to_owned()
}

/// The user and the password of `AUTH PLAIN` (RFC 4616).
fn login(text: &str) -> Option<(String, String)> {
    let decoded = String::from_utf8(BASE64_STANDARD.decode(text).ok()?).ok()?;
    let mut parts = decoded.split('\0').skip(1);
    Some((parts.next()?.to_owned(), parts.next()?.to_owned()))
}
