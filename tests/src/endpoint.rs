//! An endpoint for deliveries: a real HTTP server that records requests, checks their signatures and answers as a test tells it.

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    lock, signature,
    tls::{self, Authority, Identity},
    wait::within,
};

/// A request, as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// The method.
    pub method: Method,
    /// Path and query, as sent.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Received {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("a body that is no JSON ({error}): {}", self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's value; empty if it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Checks that the request was signed with this secret.
    pub fn verify(&self, secret: &str) -> Result<(), String> {
        signature::verify(secret, &self.headers, &self.body)
    }
}

/// How to answer one request.
#[derive(Clone, Debug)]
pub struct Script {
    status: u16,
    headers: Vec<(String, String)>,
    body: Bytes,
    gate: Option<Gate>,
}

impl Script {
    /// An answer with this status and an empty object.
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::from_static(b"{}"), gate: None }
    }

    /// An answer 200 with JSON.
    pub fn json(document: Value) -> Self {
        Self::status(200).body(document.to_string()).header("content-type", "application/json")
    }

    /// Sets the body.
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..self }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends the answer only after the gate was opened.
    pub fn behind(self, gate: &Gate) -> Self {
        Self { gate: Some(gate.clone()), ..self }
    }
}

/// Holds answers back until it is opened.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Semaphore>);

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Opens the gate for good.
    pub fn open(&self) {
        self.0.close();
    }

    async fn pass(&self) {
        // Closing the semaphore opens the gate: no permit is ever given out.
        drop(self.0.acquire().await);
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

/// The endpoint. It listens until it is dropped.
pub struct Endpoint {
    /// The address it listens on.
    pub address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    arrivals: tokio::sync::Mutex<mpsc::UnboundedReceiver<Received>>,
    server: JoinHandle<()>,
}

struct Shared {
    state: Mutex<State>,
    arrived: mpsc::UnboundedSender<Received>,
}

struct State {
    next: VecDeque<Script>,
    otherwise: Script,
    trusted: Option<String>,
    decides: Option<Decide>,
    seen: Vec<Received>,
}

/// Chooses the answer to a request.
type Decide = Box<dyn FnMut(&Received) -> Script + Send>;

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Endpoint {
    /// Starts an endpoint that answers 200 and `{}`.
    pub async fn start() -> Self {
        Self::serving(None).await
    }

    async fn serving(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (arrived, arrivals) = mpsc::unbounded_channel();
        let state = State { next: VecDeque::new(), otherwise: Script::status(200), trusted: None, decides: None, seen: Vec::new() };
        let shared = Arc::new(Shared { state: Mutex::new(state), arrived });
        let is_encrypted = tls.is_some();
        let server = tokio::spawn(serve(listener, tls, Arc::clone(&shared)));
        Self { address, scheme: if is_encrypted { "https" } else { "http" }, shared, arrivals: tokio::sync::Mutex::new(arrivals), server }
    }

    /// Starts an endpoint with TLS as this identity. With `clients`, clients must show a certificate of that authority.
    pub async fn start_tls(identity: &Identity, clients: Option<&Authority>) -> Self {
        let acceptor = tls::acceptor(identity, clients);
        Self::serving(Some(acceptor)).await
    }

    /// The URL of a path: `http://127.0.0.1:...` and the path.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    /// Sets the answer of the next request that has none yet.
    pub fn next(&self, script: Script) {
        self.shared.state().next.push_back(script);
    }

    /// Sets the answer of all requests without an answer of their own.
    pub fn always(&self, script: Script) {
        self.shared.state().otherwise = script;
    }

    /// From now on, requests that this secret did not sign are answered 401.
    pub fn trusts(&self, secret: &str) {
        self.shared.state().trusted = Some(secret.to_owned());
    }

    /// From now on, `decide` chooses the answer to every request.
    pub fn decides(&self, decide: impl FnMut(&Received) -> Script + Send + 'static) {
        self.shared.state().decides = Some(Box::new(decide));
    }

    /// Waits for the next request.
    pub async fn next_request(&self) -> Received {
        let mut arrivals = self.arrivals.lock().await;
        within("a request at the endpoint", arrivals.recv()).await.expect("the endpoint runs")
    }

    /// Forgets all requests that have arrived.
    pub async fn forget(&self) {
        let mut arrivals = self.arrivals.lock().await;
        while arrivals.try_recv().is_ok() {}
        self.shared.state().seen.clear();
    }

    /// All requests that have arrived so far.
    pub fn seen(&self) -> Vec<Received> {
        self.shared.state().seen.clone()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let (shared, tls) = (Arc::clone(&shared), tls.clone());
        let service = service_fn(move |request| answer(Arc::clone(&shared), request));
        // The task ends when the endpoint is dropped. It is no error if a client disconnects.
        connections.spawn(async move {
            let http = hyper::server::conn::http1::Builder::new();
            match tls {
                None => drop(http.serve_connection(TokioIo::new(stream), service).await),
                Some(tls) => {
                    if let Some(stream) = tls::accept(&tls, stream).await {
                        drop(http.serve_connection(TokioIo::new(stream), service).await);
                    }
                }
            }
        });
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Ok(Response::new(Full::default())) };
    let path = parts.uri.path_and_query().map_or_else(String::new, ToString::to_string);
    let received = Received { method: parts.method, path, headers: parts.headers, body: body.to_bytes() };
    let script = {
        let mut state = shared.state();
        state.seen.push(received.clone());
        let refused = state.trusted.as_ref().and_then(|secret| received.verify(secret).err());
        match refused {
            Some(why) => Script::status(401).body(json!({ "refused": why }).to_string()),
            None => match &mut state.decides {
                Some(decide) => decide(&received),
                None => state.next.pop_front().unwrap_or_else(|| state.otherwise.clone()),
            },
        }
    };
    drop(shared.arrived.send(received));
    if let Some(gate) = &script.gate {
        gate.pass().await;
    }
    let mut response = Response::new(Full::new(script.body));
    *response.status_mut() = StatusCode::from_u16(script.status).expect("a status");
    for (name, value) in &script.headers {
        let name: http::HeaderName = name.parse().expect("a header's name");
        response.headers_mut().append(name, value.parse().expect("a header's value"));
    }
    Ok(response)
}
