//! Answers: JSON, and errors as RFC 9457 problem details. No other file knows status codes.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    catalog::CatalogError,
    inbound::RETRY_AFTER_S,
    invocation::InvokeError,
    model::{
        json::json_bytes,
        outcome::Failure,
        problem::{Problem, segment},
    },
    outbound::acceptance::AcceptError,
    plugin::{CompileError, UploadError},
    store::{PAGE_BYTES_MAX, StoreError},
    try_out::TryError,
    volatile::pace::Paced,
};

/// The body of a response, which is complete when it is sent.
pub type Body = Full<Bytes>;

/// The result of a handler.
pub type Answer = Result<Response<Body>, ApiError>;

pub fn status_of(answer: &Answer) -> u16 {
    answer.as_ref().map_or_else(ApiError::status, Response::status).as_u16()
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The token is missing or unknown.
    #[error("a token is needed: `Authorization: Bearer <token>`")]
    Unauthorized,
    /// The token lacks this scope.
    #[error("the token lacks the scope `{0}`")]
    Forbidden(String),
    /// The thing with this name does not exist.
    #[error("there is no {0}")]
    NotFound(String),
    /// The path exists, but not with this method. Holds the methods it has.
    #[error("this address takes {0}")]
    MethodNotAllowed(String),
    /// The request or its document is not valid.
    #[error("{detail}")]
    Invalid {
        /// What is wrong as a whole.
        detail: String,
        /// What is wrong in which field.
        problems: Vec<Problem>,
    },
    /// The present state does not allow it.
    #[error("{0}")]
    Conflict(String),
    /// The document is well formed but cannot be accepted.
    #[error("{0}")]
    Unprocessable(String),
    /// The token's rate limit is reached.
    #[error(transparent)]
    TooMany(#[from] Paced),
    /// The body has more bytes than this.
    #[error("the body is longer than {0} bytes")]
    TooLarge(usize),
    /// The form is longer than the part that is read before its sender is known.
    #[error(
        "there is no valid token in the header, the query, a cookie or the first {0} bytes of the form, and no more of a form is read without one"
    )]
    WhoseForm(usize),
    /// A browser sent the request from a page of another site, with our cookie.
    #[error("{0}")]
    Foreign(String),
    /// The host cannot read bodies of this media type.
    #[error("{0}")]
    UnsupportedMedia(String),
    /// The host cannot do it now.
    #[error("{0}")]
    Unavailable(String),
    /// An error of the host itself.
    #[error("something went wrong inside; the log has the details")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ApiError {
    /// An error about one field.
    pub fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::problems(vec![Problem::new(pointer, detail)])
    }

    /// An error about several fields.
    pub fn problems(problems: Vec<Problem>) -> Self {
        Self::Invalid { detail: "the document is not valid; `errors` says where".to_owned(), problems }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) | Self::Foreign(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Invalid { .. } => StatusCode::BAD_REQUEST,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Unprocessable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooLarge(_) | Self::WhoseForm(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::UnsupportedMedia(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The error in the format of Google's APIs (`google.rpc.Status` in JSON).
    pub fn into_google(self) -> Response<Body> {
        let status = self.status();
        self.report();
        let name = match &self {
            Self::Unauthorized => "UNAUTHENTICATED",
            Self::Forbidden(_) | Self::Foreign(_) => "PERMISSION_DENIED",
            Self::NotFound(_) => "NOT_FOUND",
            Self::MethodNotAllowed(_) => "UNIMPLEMENTED",
            Self::Conflict(_) => "ALREADY_EXISTS",
            Self::TooMany(_) => "RESOURCE_EXHAUSTED",
            Self::Unavailable(_) => "UNAVAILABLE",
            Self::Internal(_) => "INTERNAL",
            Self::Invalid { .. } | Self::Unprocessable(_) | Self::TooLarge(_) | Self::WhoseForm(_) | Self::UnsupportedMedia(_) => {
                "INVALID_ARGUMENT"
            }
        };
        let allowed = match &self {
            Self::MethodNotAllowed(allowed) => HeaderValue::from_str(allowed).ok(),
            _ => None,
        };
        let mut message = self.to_string();
        let mut details = Vec::new();
        if let Self::Invalid { problems, .. } = self {
            let field = |pointer: &str| pointer.trim_start_matches('/').replace('/', ".").replace("~1", "/").replace("~0", "~");
            let of = |problem: &Problem| serde_json::json!({ "field": field(&problem.pointer), "description": problem.detail });
            message =
                problems.iter().map(|problem| format!("{}: {}", field(&problem.pointer), problem.detail)).collect::<Vec<_>>().join("; ");
            let violations: Vec<_> = problems.iter().map(of).collect();
            details.push(serde_json::json!({ "@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations }));
        }
        let error = serde_json::json!({ "error": { "code": status.as_u16(), "message": message, "status": name, "details": details } });
        let mut response = write(status, "application/json", &error);
        if let Some(allowed) = allowed {
            response.headers_mut().insert(header::ALLOW, allowed);
        }
        response
    }

    /// The status and the error in the format of ArcGIS's APIs. `has_token`: whether the caller sent a token, valid or not.
    pub fn into_arcgis(self, has_token: bool) -> (u16, serde_json::Value) {
        self.report();
        let status = self.status().as_u16();
        // The codes 498 and 499 are ArcGIS's own.
        let (code, message) = match &self {
            Self::Unauthorized if has_token => (498, "Invalid token.".to_owned()),
            Self::Unauthorized => (499, "Token Required.".to_owned()),
            Self::Forbidden(scope) => {
                (403, format!("You do not have permissions to access this resource or perform this operation; it takes `{scope}`."))
            }
            Self::Invalid { problems, .. } => match problems.as_slice() {
                [one] => (400, named(one)),
                several => (400, format!("{} parameters are not valid.", several.len())),
            },
            other => (status, other.to_string()),
        };
        let details: Vec<_> = match &self {
            Self::Invalid { problems, .. } => problems.iter().map(named).collect(),
            _ => Vec::new(),
        };
        (status, serde_json::json!({ "error": { "code": code, "message": message, "details": details } }))
    }

    fn report(&self) {
        if let Self::Internal(cause) = self {
            tracing::error!(error = %cause, "a request failed inside");
        }
    }

    pub fn into_response(self) -> Response<Body> {
        let status = self.status();
        self.report();
        let detail = self.to_string();
        let title = status.canonical_reason().unwrap_or("Error").to_owned();
        let mut problem = ProblemDetails { kind: "about:blank".to_owned(), title, status: status.as_u16(), detail, errors: Vec::new() };
        let mut extra = None;
        match self {
            Self::Invalid { problems, .. } => problem.errors = problems,
            Self::MethodNotAllowed(allowed) => extra = HeaderValue::from_str(&allowed).ok().map(|value| (header::ALLOW, value)),
            Self::Unauthorized => extra = Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            Self::TooMany(Paced { retry_after_s, .. }) => extra = Some((header::RETRY_AFTER, HeaderValue::from(retry_after_s))),
            Self::Unavailable(_) => extra = Some((header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S))),
            _ => {}
        }
        let mut response = write(status, "application/problem+json", &problem);
        if let Some((name, value)) = extra {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// A problem, with the name that its parameter has in the form.
fn named(problem: &Problem) -> String {
    match problem.pointer.trim_start_matches('/') {
        "" => problem.detail.clone(),
        name => format!("{}: {}", name.replace('/', "."), problem.detail),
    }
}

/// Problem details (RFC 9457).
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ProblemDetails {
    /// Always `about:blank`: the title is the text of the status.
    #[serde(rename = "type")]
    pub kind: String,
    /// The text of the status.
    pub title: String,
    /// The status code.
    pub status: u16,
    /// What happened, and what would be right.
    pub detail: String,
    /// What is wrong in which field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Problem>,
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct List<T> {
    /// The entries of this page.
    pub data: Vec<T>,
    /// For the next page, give this as `after`; null: this is the last page.
    pub next: Option<String>,
}

/// A page of the documents after the name `after`: at most `limit`, and at most [`PAGE_BYTES_MAX`] bytes, but at least one document.
pub fn page_of<'a, E: 'a, T: Serialize>(
    documents: impl IntoIterator<Item = (&'a String, &'a E)>,
    (limit, after): (usize, Option<String>),
    view: impl Fn(&E) -> T,
) -> List<T> {
    let mut list = List { data: Vec::new(), next: None };
    let (mut bytes, mut last) = (0, None);
    for (name, document) in documents.into_iter().filter(|(name, _)| after.as_ref().is_none_or(|after| *name > after)) {
        let shown = view(document);
        bytes += json_bytes(&shown);
        if list.data.len() >= limit || bytes > PAGE_BYTES_MAX && !list.data.is_empty() {
            list.next = last;
            break;
        }
        list.data.push(shown);
        last = Some(name.clone());
    }
    list
}

/// 200 with a text of this media type.
pub fn text(media: &'static str, text: String) -> Answer {
    Ok(reply(200, vec![(header::CONTENT_TYPE.to_string(), media.to_owned())], text.into()))
}

/// 200 with bytes of this media type.
pub fn bytes(media: &'static str, bytes: Bytes) -> Answer {
    Ok(reply(200, vec![(header::CONTENT_TYPE.to_string(), media.to_owned())], bytes))
}

/// 200 with a document.
pub fn ok<T: Serialize>(document: &T) -> Answer {
    Ok(write(StatusCode::OK, "application/json", document))
}

/// 201 or 200.
pub fn created<T: Serialize>(is_new: bool, document: &T) -> Answer {
    Ok(write(if is_new { StatusCode::CREATED } else { StatusCode::OK }, "application/json", document))
}

/// 202 with a document.
pub fn accepted<T: Serialize>(document: &T) -> Answer {
    Ok(write(StatusCode::ACCEPTED, "application/json", document))
}

/// 204.
pub fn no_content() -> Answer {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// 200 with JSON.
pub fn json<T: Serialize>(document: &T) -> Response<Body> {
    write(StatusCode::OK, "application/json", document)
}

/// 200 with indented JSON, for people.
pub fn pretty(document: &serde_json::Value) -> Response<Body> {
    with(StatusCode::OK, "application/json", format!("{document:#}\n").into())
}

/// 200 with an HTML page.
pub fn page(html: String) -> Response<Body> {
    page_with(StatusCode::OK.as_u16(), html)
}

/// An HTML page with this status. It loads nothing, runs no script, sends its forms only to us, and cannot be framed.
pub fn page_with(status: u16, html: String) -> Response<Body> {
    let mut response =
        with(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), "text/html; charset=utf-8", html.into());
    let policy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// 303: the client should get `to`.
pub fn see_other(to: &str) -> Response<Body> {
    let mut response = with(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", Bytes::new());
    if let Ok(to) = HeaderValue::from_str(to) {
        response.headers_mut().insert(header::LOCATION, to);
    }
    response
}

pub fn set_cookie(response: &mut Response<Body>, cookie: &str) {
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

fn with(status: StatusCode, media: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    response
}

/// The policy for receivers' answers at an origin where admins have pages. Such an answer may do everything, but it gets no origin.
const RECEIVERS_POLICY: &str = "sandbox allow-scripts allow-forms allow-popups allow-modals allow-downloads";

/// A receiver's reply. `shares_origin`: admins have pages at the same origin, so the reply gets `RECEIVERS_POLICY`. A policy that the
/// receiver sets itself stays too: browsers enforce all policies of a response.
pub fn receivers_reply(status: u16, headers: Vec<(String, String)>, body: Bytes, shares_origin: bool) -> Response<Body> {
    let mut response = reply(status, headers, body);
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if shares_origin {
        headers.append(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(RECEIVERS_POLICY));
    }
    response
}

/// A reply of any status.
pub fn reply(status: u16, headers: Vec<(String, String)>, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers {
        // A header map has room for about 32 000 headers. We drop the rest.
        if let (Ok(name), Ok(value)) = (header::HeaderName::try_from(name), HeaderValue::try_from(value)) {
            let _ = response.headers_mut().try_append(name, value);
        }
    }
    response
}

fn write<T: Serialize>(status: StatusCode, media: &'static str, document: &T) -> Response<Body> {
    match serde_json::to_vec(document) {
        Ok(mut bytes) => {
            bytes.push(b'\n');
            let mut response = Response::new(Full::new(Bytes::from(bytes)));
            *response.status_mut() = status;
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
            response
        }
        Err(error) => {
            tracing::error!(%error, "an answer cannot be written");
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict { .. } | StoreError::WrongState { .. } => Self::Conflict(error.to_string()),
            StoreError::NotFound { what } => Self::NotFound(what),
            StoreError::KeyReused { index } => Self::Unprocessable(format!(
                "event {index}: its id or Idempotency-Key was used before with another body; a repeat must be the same, a new event needs a new id"
            )),
            StoreError::BacklogFull { .. } => Self::Unavailable(error.to_string()),
            StoreError::SessionFull { overflow, .. } => Self::invalid(segment(&overflow.parameter), overflow.to_string()),
            StoreError::Unavailable { .. } | StoreError::Closed => {
                tracing::error!(%error, "the store is not available");
                Self::Unavailable("the store is not available; try again".to_owned())
            }
            StoreError::DiskLow { .. } | StoreError::NoRoom { .. } => Self::Unavailable(error.to_string()),
            StoreError::Busy { .. } | StoreError::NotEmpty { .. } | StoreError::Misplaced { .. } => Self::Conflict(error.to_string()),
            StoreError::Backup { .. } => Self::Unprocessable(error.with_causes()),
            other => Self::Internal(Box::new(other)),
        }
    }
}

impl From<CatalogError> for ApiError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::Invalid(problems) => Self::problems(problems),
            CatalogError::Missing(what) => Self::NotFound(format!("{what} of that name")),
            CatalogError::Exists(_) | CatalogError::Referred(_) => Self::Conflict(error.to_string()),
            CatalogError::Store(error) => error.into(),
        }
    }
}

impl From<Failure> for ApiError {
    /// The caller wanted something sent at once, and that failed.
    fn from(failure: Failure) -> Self {
        Self::Unprocessable(format!("not sent: {} ({})", failure.detail, failure.kind.as_str()))
    }
}

impl From<AcceptError> for ApiError {
    fn from(error: AcceptError) -> Self {
        match error {
            AcceptError::Loop => Self::Unprocessable(error.to_string()),
            AcceptError::Store(error) => error.into(),
        }
    }
}

impl From<InvokeError> for ApiError {
    fn from(error: InvokeError) -> Self {
        match error {
            InvokeError::Missing(name) => Self::NotFound(format!("webhook `{name}`")),
            InvokeError::Inactive(_) => Self::Conflict(error.to_string()),
            InvokeError::TooDeep(_) => Self::Unprocessable(error.to_string()),
            InvokeError::Invalid(problem) => Self::problems(vec![problem]),
            InvokeError::Store(error) => error.into(),
        }
    }
}

impl From<TryError> for ApiError {
    fn from(error: TryError) -> Self {
        match error {
            TryError::Missing(what) => Self::NotFound(what),
            TryError::Deleted(_) | TryError::NotKept(_) => Self::Conflict(error.to_string()),
            TryError::Unable { .. } => Self::Unprocessable(error.to_string()),
            TryError::Store(error) => error.into(),
        }
    }
}

impl From<UploadError> for ApiError {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::Missing(what) => Self::NotFound(what),
            UploadError::Name(_) => Self::invalid("/name", error.to_string()),
            UploadError::Limits(problems) => Self::problems(problems),
            UploadError::NothingBefore { .. } => Self::Conflict(error.to_string()),
            UploadError::Store(error) => error.into(),
            UploadError::Compile(CompileError::Stopping) => Self::Unavailable(error.to_string()),
            other => Self::Unprocessable(other.to_string()),
        }
    }
}
