//! `/v1/receivers/{name}/codes`: the codes that make a receiver callable; `/v1/refusals`: calls that were refused because of their code.

use std::{fmt::Write, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    request::{self, Asked},
    respond::{Answer, ApiError, List, ProblemDetails, created, no_content, ok},
};
use crate::{
    clock::random,
    mail::{File, Mail},
    model::{
        audit::Deed,
        code::{
            CODE_CHARS_MAX, CODE_CHARS_MIN, CodeRecord, CodeSpec, CodeState, CodeUse, OVERLAP_SECONDS_MAX, PER_MINUTE_MAX,
            PREFIX_CHARS_MAX, is_code, is_prefix, make_code, sealed_as,
        },
        mail::{ADDRESSES_MAX, SUBJECT_CHARS_MAX, is_address},
        problem::Problem,
    },
    outbound::deliverer,
    services::Services,
    volatile::refusals::Refusal,
};

/// Longest text that a mail of codes may begin with, in characters.
const MAIL_TEXT_CHARS_MAX: usize = 4000;

/// A code, as an admin sees it.
#[derive(Debug, Serialize, ToSchema)]
pub struct CodeView {
    /// The identifier, with which the code is revoked.
    pub id: String,
    /// The code itself. It is the credential of a call.
    pub code: String,
    /// The address to call: the first of `urls`.
    pub url: String,
    /// All addresses to call: one for each configured base. If no base is configured, the path before `/api` can be anything.
    pub urls: Vec<String>,
    /// `url` followed by the receiver's parameters, as a URI template (RFC 6570): each `{...}` is replaced by a value.
    pub url_template: String,
    /// To whom the code was issued.
    pub caller: String,
    /// Whether the code can be called now.
    pub state: CodeState,
    /// When the code was created.
    pub created_at: Timestamp,
    /// When the code expires; null: it never expires.
    pub expires_at: Option<Timestamp>,
    /// When the code was revoked; null: it was not.
    pub revoked_at: Option<Timestamp>,
    /// Calls it allows in a minute; null: there is no rate limit.
    pub per_minute: Option<u32>,
    /// Number of calls made with this code.
    pub calls: u64,
    /// When the code was last called; null: never.
    pub last_called_at: Option<Timestamp>,
    /// Calls refused since the host started: the code was expired or revoked, the rate limit was reached, or the base was wrong.
    pub refused: u64,
    /// When a call was last refused; null: none since the host started.
    pub last_refused_at: Option<Timestamp>,
}

fn view(services: &Services, asked: &Asked, record: &CodeRecord, used: CodeUse) -> Result<CodeView, ApiError> {
    let opened = services.store.storage_key().unseal(&record.sealed_as(), &record.sealed)?;
    let code = opened.expose_str().unwrap_or_default().to_owned();
    let urls = services.bases.urls(&request::origin(&asked.headers), &code);
    let url = urls.first().cloned().unwrap_or_default();
    let (refused, last_refused_at) = services.refusals.refused(&record.id);
    Ok(CodeView {
        id: record.id.clone(),
        url_template: format!("{url}{}", parameters_of(services, &record.receiver)),
        url,
        urls,
        code,
        caller: record.caller.clone(),
        state: record.state(services.clock.now()),
        created_at: record.created_at,
        expires_at: record.expires_at,
        revoked_at: record.revoked_at,
        per_minute: record.per_minute,
        calls: used.calls,
        last_called_at: used.last_called_at,
        refused,
        last_refused_at,
    })
}

/// The receiver's parameters as a query, such as `?dos={dos}&refreshCustomer={refreshCustomer}`; empty without parameters.
fn parameters_of(services: &Services, receiver: &str) -> String {
    let snapshot = services.catalog.snapshot();
    let parameters = snapshot.receivers.get(receiver).into_iter().flat_map(|entry| entry.receiver.parameters.keys());
    let pairs: Vec<_> = parameters.map(|name| format!("{name}={{{name}}}")).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

fn records(services: &Services, receiver: &str) -> Result<Vec<CodeRecord>, ApiError> {
    let snapshot = services.catalog.snapshot();
    if !snapshot.receivers.contains_key(receiver) {
        return Err(ApiError::NotFound(format!("receiver `{receiver}`")));
    }
    let mut records: Vec<_> = snapshot.codes.values().filter(|code| code.receiver == receiver).map(|code| (**code).clone()).collect();
    records.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    Ok(records)
}

async fn views(services: &Services, asked: &Asked, records: &[CodeRecord]) -> Result<Vec<CodeView>, ApiError> {
    let uses = services.store.code_uses(records.iter().map(|record| record.id.clone()).collect()).await?;
    records.iter().zip(uses).map(|(record, used)| view(services, asked, record, used)).collect()
}

/// Issue a code to a caller.
#[utoipa::path(post, path = "/v1/receivers/{name}/codes", tag = "receivers", request_body = CodeSpec, params(("name" = String, Path, description = "the receiver")),
    responses((status = 201, description = "the code", body = CodeView), (status = 400, body = ProblemDetails, description = "not valid", content_type = "application/problem+json"),
        (status = 404, body = ProblemDetails, description = "there is no receiver with this name", content_type = "application/problem+json"),
        (status = 409, body = ProblemDetails, description = "the code exists already", content_type = "application/problem+json")))]
pub async fn post(services: Services, asked: Asked) -> Answer {
    let spec: CodeSpec = asked.json()?;
    let receiver = asked.path(0).to_owned();
    let problems = problems(&spec);
    if !problems.is_empty() {
        return Err(ApiError::problems(problems));
    }
    let code = match spec.code {
        Some(code) => code,
        // A code has 24 letters. 64 random bytes are more than twice what they need, although a few bytes are dropped.
        None => make_code(spec.prefix.as_deref().unwrap_or_default(), random::<64>()),
    };
    let now = services.clock.now();
    let id = format!("cod_{}", hex::encode(random::<10>()));
    let record = CodeRecord {
        receiver,
        caller: spec.caller,
        hash: hex::encode(services.store.storage_key().keyed_hash("code", code.as_bytes())),
        sealed: services.store.storage_key().seal(&sealed_as(&id), code.as_bytes())?,
        created_at: now,
        expires_at: spec.expires,
        revoked_at: None,
        per_minute: spec.per_minute,
        id,
    };
    let mut written = Vec::new();
    if let Some(seconds) = spec.overlap_seconds {
        let end = now + Duration::from_secs(u64::from(seconds));
        let live = records(&services, &record.receiver)?.into_iter();
        let live = live.filter(|code| code.caller == record.caller && code.state(now) == CodeState::Active);
        let ending = live.map(|code| CodeRecord { expires_at: Some(code.expires_at.map_or(end, |earlier| earlier.min(end))), ..code });
        written.extend(ending);
    }
    written.push(record.clone());
    services.catalog.put_codes(written).await?;
    tracing::info!(receiver = record.receiver, code = record.id, caller = record.caller, "code issued");
    created(true, &view(&services, &asked, &record, CodeUse::default())?)
}

fn problems(spec: &CodeSpec) -> Vec<Problem> {
    let wrong = [
        ("/caller", spec.caller.is_empty() || spec.caller.len() > 128, "1 to 128 characters: to whom the code is issued".to_owned()),
        (
            "/prefix",
            spec.prefix.as_deref().is_some_and(|prefix| !is_prefix(prefix)),
            format!("up to {PREFIX_CHARS_MAX} letters and digits"),
        ),
        ("/prefix", spec.prefix.is_some() && spec.code.is_some(), "an existing `code` has no other beginning: leave it out".to_owned()),
        (
            "/code",
            spec.code.as_deref().is_some_and(|code| !is_code(code)),
            format!("an existing code has {CODE_CHARS_MIN} to {CODE_CHARS_MAX} letters, digits, `-` or `_`"),
        ),
        (
            "/per_minute",
            spec.per_minute.is_some_and(|calls| !(1..=PER_MINUTE_MAX).contains(&calls)),
            format!("1 to {PER_MINUTE_MAX} calls"),
        ),
        (
            "/overlap_seconds",
            spec.overlap_seconds.is_some_and(|seconds| seconds > OVERLAP_SECONDS_MAX),
            format!("0 to {OVERLAP_SECONDS_MAX} seconds"),
        ),
    ];
    wrong.into_iter().filter(|(_, is_wrong, _)| *is_wrong).map(|(pointer, _, detail)| Problem::new(pointer, detail)).collect()
}

/// List the codes of a receiver, in clear text. The audit log records that they were shown.
#[utoipa::path(get, path = "/v1/receivers/{name}/codes", tag = "receivers", params(("name" = String, Path, description = "the receiver")),
    responses((status = 200, description = "its codes", body = List<CodeView>), (status = 404, body = ProblemDetails, description = "there is no receiver with this name", content_type = "application/problem+json")))]
pub async fn list(services: Services, asked: Asked) -> Answer {
    let receiver = asked.path(0);
    let data = views(&services, &asked, &records(&services, receiver)?).await?;
    let who = asked.token.as_ref().map_or("", |token| token.name.as_str());
    tracing::info!(receiver, who, "codes shown");
    services.store.note(Deed::plain("shown", "codes", receiver)).await?;
    ok(&List { data, next: None })
}

/// Revoke a code. From now on it is refused like a code that never existed.
#[utoipa::path(delete, path = "/v1/receivers/{name}/codes/{id}", tag = "receivers",
    params(("name" = String, Path, description = "the receiver"), ("id" = String, Path, description = "`cod_...`")),
    responses((status = 204, description = "revoked"), (status = 404, body = ProblemDetails, description = "there is no code with this identifier", content_type = "application/problem+json")))]
pub async fn delete(services: Services, asked: Asked) -> Answer {
    let snapshot = services.catalog.snapshot();
    let found = snapshot.codes.values().find(|code| code.receiver == asked.path(0) && code.id == asked.path(1));
    let mut record = found.map(|code| (**code).clone()).ok_or_else(|| ApiError::NotFound(format!("code `{}`", asked.path(1))))?;
    record.revoked_at.get_or_insert_with(|| services.clock.now());
    services.catalog.put_codes(vec![record]).await?;
    no_content()
}

/// Where to mail codes, and which.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CodeMailInput {
    /// 1 to 50 addresses. Each of them gets all codes of the mail.
    #[schema(example = json!(["integrations@example.com"]))]
    pub to: Vec<String>,
    /// Identifiers of the codes to mail; absent: every code that can be called now.
    #[serde(default)]
    pub codes: Option<Vec<String>>,
    /// The subject of the mail; absent: the receiver's name.
    #[serde(default)]
    pub subject: Option<String>,
    /// Text before the codes.
    #[serde(default)]
    pub text: Option<String>,
}

/// A mail that the mail server accepted.
#[derive(Debug, Serialize, ToSchema)]
pub struct CodeMailed {
    /// The addresses it was sent to.
    pub to: Vec<String>,
    /// Identifiers of the codes in the mail.
    pub codes: Vec<String>,
    /// The mail server's answer.
    pub answer: String,
}

/// Mail codes of a receiver. It is one mail, with the codes in its text and in a CSV file. The audit log records it without the codes.
#[utoipa::path(post, path = "/v1/receivers/{name}/codes/mail", tag = "receivers", request_body = CodeMailInput, params(("name" = String, Path, description = "the receiver")),
    responses((status = 200, description = "the mail server accepted it", body = CodeMailed), (status = 400, body = ProblemDetails, description = "not valid", content_type = "application/problem+json"),
        (status = 404, body = ProblemDetails, description = "there is no such receiver or code", content_type = "application/problem+json"),
        (status = 422, body = ProblemDetails, description = "the mail server did not accept it, or no mail server is configured", content_type = "application/problem+json")))]
pub async fn mail(services: Services, asked: Asked) -> Answer {
    let input: CodeMailInput = asked.json()?;
    let receiver = asked.path(0);
    let mut views = views(&services, &asked, &records(&services, receiver)?).await?;
    match &input.codes {
        None => views.retain(|code| code.state == CodeState::Active),
        Some(ids) => {
            if let Some(missing) = ids.iter().find(|id| !views.iter().any(|code| code.id == **id)) {
                return Err(ApiError::NotFound(format!("code `{missing}` of receiver `{receiver}`")));
            }
            views.retain(|code| ids.contains(&code.id));
        }
    }
    let mut problems = Vec::new();
    if input.to.is_empty() || input.to.len() > ADDRESSES_MAX {
        problems.push(Problem::new("/to", format!("1 to {ADDRESSES_MAX} addresses")));
    }
    let wrong = input.to.iter().enumerate().filter(|(_, address)| !is_address(address));
    problems.extend(wrong.map(|(index, address)| Problem::new(format!("/to/{index}"), format!("`{address}` is no mail address"))));
    let subject = input.subject.unwrap_or_else(|| format!("Webhook codes: {receiver}"));
    if subject.chars().count() > SUBJECT_CHARS_MAX || subject.chars().any(char::is_control) {
        problems.push(Problem::new("/subject", format!("one line of up to {SUBJECT_CHARS_MAX} characters")));
    }
    if input.text.as_ref().is_some_and(|text| text.chars().count() > MAIL_TEXT_CHARS_MAX) {
        problems.push(Problem::new("/text", format!("up to {MAIL_TEXT_CHARS_MAX} characters")));
    }
    if views.is_empty() {
        problems.push(Problem::new("/codes", "there is no code to send"));
    }
    if !problems.is_empty() {
        return Err(ApiError::problems(problems));
    }
    let file =
        File { name: format!("{receiver}-codes.csv"), media_type: "text/csv; charset=utf-8".to_owned(), bytes: csv(&views).into_bytes() };
    let mail = Mail {
        to: input.to.clone(),
        subject,
        media_type: "text/plain; charset=utf-8".to_owned(),
        body: text(receiver, input.text.as_deref(), &views).into_bytes(),
        attachments: vec![file],
        id: format!("codes.{}", hex::encode(random::<12>())),
        ..Mail::default()
    };
    let (code, said) = deliverer::mail::deliver(&services, &mail).await?;
    let who = asked.token.as_ref().map_or("", |token| token.name.as_str());
    tracing::info!(receiver, who, to = ?input.to, codes = views.len(), "codes mailed");
    ok(&CodeMailed { to: input.to, codes: views.into_iter().map(|code| code.id).collect(), answer: format!("{code} {said}") })
}

fn text(receiver: &str, before: Option<&str>, codes: &[CodeView]) -> String {
    let mut text = before.map_or_else(String::new, |before| format!("{}\n\n", before.trim_end()));
    // Writing to a `String` cannot fail.
    let _ = writeln!(text, "Receiver: {receiver}");
    for code in codes {
        let _ = writeln!(text, "\nCode WebHook: {}\nURL: {}\nCaller: {}", code.code, code.url_template, code.caller);
        if let Some(end) = code.expires_at {
            let _ = writeln!(text, "Until: {end}");
        }
    }
    text.push_str("\nWhoever has a code may call: keep this mail to yourself.\n");
    text
}

/// The codes as CSV (RFC 4180). No cell begins with `=`, `+`, `-` or `@`, because a spreadsheet would read it as a formula.
fn csv(codes: &[CodeView]) -> String {
    let cell = |text: &str| {
        let safe = if text.starts_with(['=', '+', '-', '@', '\t']) { format!("'{text}") } else { text.to_owned() };
        if safe.contains([',', '"', '\n', '\r']) { format!("\"{}\"", safe.replace('"', "\"\"")) } else { safe }
    };
    let end = |code: &CodeView| code.expires_at.map_or_else(String::new, |end| end.to_string());
    let row = |code: &CodeView| format!("{},{},{},{}\r\n", cell(&code.code), cell(&code.url_template), cell(&code.caller), end(code));
    std::iter::once("Code WebHook,URL,Caller,Until\r\n".to_owned()).chain(codes.iter().map(row)).collect()
}

/// List the calls that were refused before they reached a receiver, newest first, since the host started. Their callers were not told the
/// reason.
#[utoipa::path(get, path = "/v1/refusals", tag = "receivers", params(("limit" = Option<usize>, Query, description = "1 to 500, 50 by default")),
    responses((status = 200, description = "the newest; the host keeps 1000", body = List<Refusal>)))]
pub async fn refusals(services: Services, asked: Asked) -> Answer {
    asked.only(&["limit"])?;
    let (limit, _) = asked.page()?;
    ok(&List { data: services.refusals.newest(limit), next: None })
}
