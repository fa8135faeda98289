//! An outbound subscription: what an admin writes ([`WebhookSpec`]) and what the engine works with ([`Webhook`]).
//!
//! A written document is parsed and checked once. The compiled form cannot fail to parse at delivery time.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{
    binding::Bindings,
    event::{CONCERNS, NewEvent},
    filter::Filter,
    id::{EndpointId, WebhookId},
    json::json_bytes,
    merge_patch::merge,
    ordering::{BatchRule, BatchSpec, Ordering},
    problem::{self, Problem, segment},
    profile::{Deactivation, Profile, RetryOn},
    request::RequestTemplate,
    retry::Retry,
    secret::SecretRef,
    selector::Selector,
    signature::SigningScheme,
    success::SuccessRule,
};

pub mod auth;
pub mod mismatch;
mod resolve;
pub mod spec;

pub use auth::{Auth, AuthSpec};
pub use mismatch::{Mismatch, MismatchReason};
pub use spec::{Build, IN_FLIGHT_DEFAULT, TlsSpec, TransformFull, TransformSpec, WebhookSpec, WhenSetAside};

/// The longest name, in characters.
pub const NAME_CHARS_MAX: usize = 128;

/// Selectors of one webhook.
pub const SELECTORS_MAX: usize = 100;

/// Bindings of one webhook.
pub const BINDINGS_MAX: usize = 100;

/// Bytes of a webhook's document times its environments: each is compiled as a whole webhook.
pub const COMPILED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A compiled webhook.
#[derive(Debug)]
pub struct Webhook {
    /// For as long as it exists.
    pub id: WebhookId,
    /// Its name.
    pub name: String,
    /// Whether it matches and can be invoked.
    pub active: bool,
    /// Which events fire it.
    pub selectors: Vec<Selector>,
    /// Only events of these sources.
    pub sources: Vec<String>,
    /// What lets an event through.
    pub filter: Option<Filter>,
    /// The plugin.
    pub transform: Option<TransformFull>,
    /// The request.
    pub request: RequestTemplate,
    /// The bindings an admin wrote.
    pub bindings: Bindings,
    /// What makes a 2xx answer a success.
    pub success: Option<SuccessRule>,
    /// How it signs.
    pub signing: (SigningScheme, Vec<SecretRef>),
    /// Its credentials.
    pub auth: Auth,
    /// Trust and client certificate.
    pub tls: TlsSpec,
    /// Where names lead to, in place of what the name service says. Names in lower case.
    pub resolve: BTreeMap<String, SocketAddr>,
    /// The version of all that is put on a request at an attempt: a digest of `signing`, `auth`, `tls` and `resolve` as they are written.
    /// It says nothing of the values of secrets.
    pub credentials_version: String,
    /// One attempt, from connecting to the last byte. Zero: no answer is waited for.
    pub timeout: Duration,
    /// Bytes of an answer.
    pub response_bytes_max: usize,
    /// When the built request is kept.
    pub build: Build,
    /// When a failed delivery is tried again.
    pub retry: Retry,
    /// Which failures are.
    pub retry_on: RetryOn,
    /// What becomes of its deliveries while its plugin is set aside.
    pub when_set_aside: WhenSetAside,
    /// When it is switched off.
    pub deactivation: Option<Deactivation>,
    /// Whether a 410 switches it off at once.
    pub ends_when_gone: bool,
    /// Which events go together.
    pub batch: Option<BatchRule>,
    /// Which deliveries wait for one another.
    pub ordering: Ordering,
    /// Deliveries being sent at once.
    pub in_flight: u32,
    /// Deliveries begun in a second on average.
    pub per_second: Option<f64>,
    /// The same webhook as the environments override it.
    pub environments: BTreeMap<String, Arc<Webhook>>,
}

impl Webhook {
    /// Compiles `spec`. All that is wrong is found at once.
    pub fn compile(spec: &WebhookSpec, id: &WebhookId, profiles: &BTreeMap<String, Profile>) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut webhook = Self::compile_base(spec, id, profiles, &mut problems);
        // Each environment is a whole webhook: many of a large document would be many times its size in memory.
        if let Some(problem) = too_large_together(spec) {
            return Err(vec![problem]);
        }
        for (name, patch) in &spec.environments {
            let pointer = format!("/environments{}", segment(name));
            match overridden(spec, patch) {
                Ok(merged) => {
                    let mut inner = Vec::new();
                    if let Some(compiled) = Self::compile_base(&merged, id, profiles, &mut inner)
                        && let Some(webhook) = &mut webhook
                    {
                        webhook.environments.insert(name.clone(), Arc::new(compiled));
                    }
                    problems.extend(inner.into_iter().filter(|p| patch_touches(patch, &p.pointer)).map(|p| p.under(&pointer)));
                }
                Err(problem) => problems.push(problem.under(&pointer)),
            }
        }
        match webhook {
            Some(webhook) if problems.is_empty() => Ok(webhook),
            _ => Err(problems),
        }
    }

    fn compile_base(spec: &WebhookSpec, id: &WebhookId, profiles: &BTreeMap<String, Profile>, problems: &mut Vec<Problem>) -> Option<Self> {
        check_name(&spec.name, problems);
        let Some(profile) = profiles.get(&spec.profile) else {
            problems.push(Problem::new("/profile", unknown("profile", &spec.profile, profiles.keys().map(String::as_str))));
            return None;
        };
        let selectors = compile_selectors(&spec.selectors, problems);
        let filter = spec.filter.as_deref().and_then(|text| match Filter::parse(text) {
            Ok(filter) => Some(filter),
            Err(error) => {
                problems.push(Problem::new("/filter", error.to_string()));
                None
            }
        });
        let request = RequestTemplate::parse(&spec.request)
            .map_err(|found| problems.extend(found.into_iter().map(|problem| problem.under("/request"))))
            .ok();
        if spec.bindings.len() > BINDINGS_MAX {
            problems.push(Problem::new("/bindings", format!("at most {BINDINGS_MAX} bindings")));
        }
        let bindings = Bindings::parse(spec.bindings.iter().map(|(name, path)| (name.as_str(), path.as_str())))
            .map_err(|(name, detail)| problems.push(Problem::new(format!("/bindings{}", segment(&name)), detail)))
            .ok();
        let is_mail = request.as_ref().is_some_and(|request| request.url().is_mail());
        if is_mail {
            check_mail(spec, problems);
        }
        let signing = compile_signing(spec, profile, problems);
        let auth = Auth::compile(spec.auth.as_ref(), problems);
        let credentials_version = credentials_version(spec, signing.0);
        let timeout_ms = in_range(spec.timeout_ms, profile.timeout_ms, "/timeout_ms", "milliseconds", problems);
        let response_bytes = in_range(spec.response_bytes_max, profile.response_bytes_max, "/response_bytes_max", "bytes", problems);
        // A mail has no answer to look into.
        let success = if is_mail { None } else { compile_success(spec, profile, timeout_ms, problems) };
        let retry = spec.retry.clone().unwrap_or_else(|| profile.retry.clone());
        problems.extend(profile.retry_problems(&retry).into_iter().map(|problem| problem.under("/retry")));
        let deactivation = spec.deactivation.or(profile.deactivation);
        problems.extend(deactivation.iter().flat_map(Deactivation::problems).map(|problem| problem.under("/deactivation")));
        let batch = spec.batch.or(profile.batch_seconds.map(|range| BatchSpec::of(range.default)));
        let batch = batch.map(|batch| batch.compile(profile.batch_seconds)).transpose();
        let batch = batch.map_err(|problem| problems.push(problem.under("/batch"))).ok().flatten().flatten();
        let ordering = Ordering::parse(spec.ordering.as_ref()).map_err(|problem| problems.push(problem.under("/ordering"))).ok();
        let (in_flight, per_second) = compile_limits(spec, problems);
        let transform = match &spec.transform {
            Some(TransformSpec::Name(plugin)) => Some(TransformFull { plugin: plugin.clone(), version: None, config: Map::new() }),
            Some(TransformSpec::Full(full)) => Some(full.clone()),
            None => profile.transform.clone().map(|plugin| TransformFull { plugin, version: None, config: Map::new() }),
        };
        Some(Self {
            id: id.clone(),
            name: spec.name.clone(),
            active: spec.active,
            selectors,
            sources: spec.sources.clone(),
            filter,
            transform,
            request: request?,
            bindings: bindings?,
            success,
            signing,
            auth,
            tls: spec.tls.clone().unwrap_or_default(),
            resolve: resolve::compile(&spec.resolve, problems),
            credentials_version,
            timeout: Duration::from_millis(timeout_ms),
            response_bytes_max: usize::try_from(response_bytes).unwrap_or(usize::MAX),
            build: spec.build,
            retry,
            retry_on: profile.retry_on,
            when_set_aside: spec.when_set_aside,
            deactivation,
            ends_when_gone: profile.ends_when_gone,
            batch,
            ordering: ordering.unwrap_or_default(),
            in_flight,
            per_second,
            environments: BTreeMap::new(),
        })
    }

    /// The webhook as it is in `environment`; one without overrides is the webhook itself.
    pub fn in_environment<'a>(self: &'a Arc<Self>, environment: Option<&str>) -> &'a Arc<Self> {
        environment.and_then(|name| self.environments.get(name)).unwrap_or(self)
    }

    /// Where it sends in `environment`.
    pub fn endpoint(&self, environment: Option<&str>) -> EndpointId {
        EndpointId::new(&self.id, environment.filter(|name| self.environments.contains_key(*name)))
    }

    /// Whether a request that was signed for this webhook may still be sent where `now` is the webhook of today: nobody pointed it elsewhere
    /// or gave it other credentials meanwhile.
    pub fn sends_like(&self, now: &Self) -> bool {
        self.credentials_version == now.credentials_version && self.request.url().destination() == now.request.url().destination()
    }

    /// Whether an event fires it: for a look at one webhook. Of many, the index finds those whose selectors match.
    pub fn selects(&self, event: &NewEvent) -> bool {
        self.selectors.iter().any(|selector| selector.matches(&event.trigger)) && self.refuses(event, &mut None).is_none()
    }

    /// Whether an event its selectors match fires it: it is of a source it takes, passes its filter, and does not concern the webhook
    /// itself (decision: operational-events). `document` is the event's, made at the first filter that looks into it.
    pub fn fired_by(&self, event: &NewEvent, document: &mut Option<Value>) -> Fired {
        let concerns_it = event.trigger.is_operational() && event.attributes.get(CONCERNS).is_some_and(|id| *id == self.id.0);
        if concerns_it {
            return Fired::No(MismatchReason::Concerned);
        }
        if !self.takes_source(&event.source) {
            return Fired::No(MismatchReason::Source);
        }
        let Some(filter) = &self.filter else { return Fired::Yes };
        match filter.matches(document.get_or_insert_with(|| event.clone().accepted(0, event.time).document())) {
            Ok(true) => Fired::Yes,
            Ok(false) => Fired::No(MismatchReason::Filter),
            Err(_) => Fired::Untold,
        }
    }

    /// Why an event its selectors match does not fire it.
    pub fn refuses(&self, event: &NewEvent, document: &mut Option<Value>) -> Option<MismatchReason> {
        match self.fired_by(event, document) {
            Fired::Yes | Fired::Untold => None,
            Fired::No(reason) => Some(reason),
        }
    }

    /// Whether acceptance looks into an event's document for it: for its filter, or for the key of its order.
    pub fn looks_into_events(&self) -> bool {
        self.filter.is_some() || matches!(self.ordering, Ordering::Key(_))
    }

    /// What of it does not come to its end on this event's document within the budget of a path, if anything.
    pub fn over_budget(&self, document: &Value) -> Option<String> {
        let filter = self.filter.as_ref().and_then(|filter| filter.matches(document).err()).map(|error| ("filter", error));
        let key = || match &self.ordering {
            Ordering::Key(path) => path.find(document).err().map(|error| ("order's key", error)),
            _ => None,
        };
        filter.or_else(key).map(|(what, error)| format!("the webhook's {what} cannot be evaluated on this event: {error}"))
    }

    /// Whether an event of `source` passes `sources`.
    pub fn takes_source(&self, source: &str) -> bool {
        self.sources.is_empty() || self.sources.iter().any(|taken| taken == source)
    }

    /// Every secret the webhook refers to.
    pub fn secrets(&self) -> Vec<&SecretRef> {
        let mut found: Vec<_> = self.signing.1.iter().collect();
        found.extend(self.auth.secrets());
        found.extend(self.tls.client_certificate.as_ref().map(|certificate| &certificate.key));
        found.extend(self.environments.values().flat_map(|webhook| webhook.secrets()));
        found
    }
}

/// Whether an event fires a webhook whose selectors match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fired {
    /// It does.
    Yes,
    /// The filter does not come to its end within the budget of a path. The event is owed all the same, so that it is not lost silently:
    /// its delivery is refused, and says why.
    Untold,
    /// It does not.
    No(MismatchReason),
}

/// Whether `name` can be part of an address as it is.
pub fn is_name(name: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// The sentence for a name that cannot be one.
pub const NAME_RULE: &str = "a name is 1 to 128 letters, digits, `-`, `_` or `.`, and does not begin with `.`";

fn check_name(name: &str, problems: &mut Vec<Problem>) {
    if !is_name(name) {
        problems.push(Problem::new("/name", NAME_RULE));
    }
}

/// «no such X», with the nearest known one.
pub fn unknown<'a>(what: &str, name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match problem::nearest(name, known.clone()) {
        Some(near) => format!("there is no {what} `{name}`; did you mean `{near}`?"),
        None => format!("there is no {what} `{name}`; there are: {}", known.into_iter().collect::<Vec<_>>().join(", ")),
    }
}

fn compile_selectors(texts: &[String], problems: &mut Vec<Problem>) -> Vec<Selector> {
    if texts.len() > SELECTORS_MAX {
        problems.push(Problem::new("/selectors", format!("at most {SELECTORS_MAX} selectors")));
    }
    let mut selectors = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        match Selector::parse(text) {
            Ok(selector) => selectors.push(selector),
            Err(error) => problems.push(Problem::new(format!("/selectors/{index}"), error.to_string())),
        }
    }
    selectors
}

/// A mail is the operator's server's business: nothing of HTTP goes with it.
fn check_mail(spec: &WebhookSpec, problems: &mut Vec<Problem>) {
    let given = [
        ("/request/method", spec.request.method.as_deref().is_some_and(|method| !method.eq_ignore_ascii_case("POST"))),
        ("/request/headers", !spec.request.headers.is_empty()),
        ("/signing", spec.signing.is_some()),
        ("/auth", spec.auth.as_ref().is_some_and(|auth| *auth != AuthSpec::None {})),
        ("/tls", spec.tls.is_some()),
        ("/resolve", !spec.resolve.is_empty()),
        ("/bindings", !spec.bindings.is_empty()),
        ("/success", spec.success.is_some()),
    ];
    let wrong = given.into_iter().filter(|(_, is_given)| *is_given);
    problems.extend(wrong.map(|(pointer, _)| Problem::new(pointer, "a mail takes none: leave it out")));
}

/// The webhook's rule, or the profile's.
fn compile_success(spec: &WebhookSpec, profile: &Profile, timeout_ms: u64, problems: &mut Vec<Problem>) -> Option<SuccessRule> {
    if spec.success.is_some() && timeout_ms == 0 {
        problems.push(Problem::new("/success", "with a `timeout_ms` of 0 no answer is waited for: leave out one of the two"));
    }
    let text = spec.success.as_ref().or(profile.success.as_ref())?;
    SuccessRule::parse(text).map_err(|error| problems.push(Problem::new("/success", error.to_string()))).ok()
}

fn compile_signing(spec: &WebhookSpec, profile: &Profile, problems: &mut Vec<Problem>) -> (SigningScheme, Vec<SecretRef>) {
    let Some(signing) = &spec.signing else { return (SigningScheme::None, Vec::new()) };
    let scheme = signing.scheme.unwrap_or(if signing.secrets.is_empty() { SigningScheme::None } else { profile.signing });
    match (scheme == SigningScheme::None, signing.secrets.is_empty()) {
        (true, false) => problems.push(Problem::new("/signing/scheme", "`none` takes no secrets")),
        (false, true) => problems.push(Problem::new("/signing/secrets", "name at least one secret to sign with, as `$secret:name`")),
        _ => {}
    }
    (scheme, signing.secrets.clone())
}

/// Bytes of a version of credentials: enough that no two are alike by chance.
const CREDENTIALS_VERSION_BYTES: usize = 16;

/// [`Webhook::credentials_version`].
fn credentials_version(spec: &WebhookSpec, scheme: SigningScheme) -> String {
    let written = serde_json::json!([scheme, spec.signing, spec.auth, spec.tls, spec.resolve]);
    hex::encode(&Sha256::digest(written.to_string())[..CREDENTIALS_VERSION_BYTES])
}

/// The least and the most deliveries in a second that may be written.
const PER_SECOND: std::ops::RangeInclusive<f64> = 0.001..=10_000.0;

fn compile_limits(spec: &WebhookSpec, problems: &mut Vec<Problem>) -> (u32, Option<f64>) {
    let Some(limits) = spec.limits else { return (IN_FLIGHT_DEFAULT, None) };
    if !(1..=1000).contains(&limits.in_flight) {
        problems.push(Problem::new("/limits/in_flight", format!("{} is out of range: 1 to 1000 deliveries", limits.in_flight)));
    }
    if let Some(rate) = limits.per_second.filter(|rate| !PER_SECOND.contains(rate)) {
        problems.push(Problem::new("/limits/per_second", format!("{rate} is out of range: 0.001 to 10 000 deliveries, or null")));
    }
    (limits.in_flight.max(1), limits.per_second)
}

fn in_range(written: Option<u64>, range: super::profile::Range, pointer: &str, unit: &str, problems: &mut Vec<Problem>) -> u64 {
    match written {
        Some(value) if !range.contains(value) => {
            problems.push(Problem::new(pointer, format!("{value} is out of this profile's range: {} to {} {unit}", range.min, range.max)));
            range.default
        }
        Some(value) => value,
        None => range.default,
    }
}

/// What is wrong with a document that its environments make too large.
fn too_large_together(spec: &WebhookSpec) -> Option<Problem> {
    let number = spec.environments.len();
    if number == 0 {
        return None;
    }
    let overrides = json_bytes(&spec.environments);
    let bytes = json_bytes(spec).saturating_sub(overrides);
    let is_too_large = bytes.saturating_mul(number).saturating_add(overrides) > COMPILED_BYTES_MAX;
    let detail = || format!("{number} environments of a document of {bytes} bytes: {COMPILED_BYTES_MAX} bytes together at most");
    is_too_large.then(|| Problem::new("/environments", detail()))
}

/// What an environment may override.
const OVERRIDABLE: [&str; 4] = ["request", "auth", "tls", "resolve"];

/// `spec` with an environment's `patch` merged in (RFC 7396).
pub fn overridden(spec: &WebhookSpec, patch: &Value) -> Result<WebhookSpec, Problem> {
    let Value::Object(fields) = patch else { return Err(Problem::new("", "an object with `request`, `auth`, `tls` or `resolve`")) };
    if let Some(other) = fields.keys().find(|key| !OVERRIDABLE.contains(&key.as_str())) {
        return Err(Problem::new(segment(other), "an environment overrides `request`, `auth`, `tls` and `resolve` only"));
    }
    let mut document = serde_json::to_value(WebhookSpec { environments: BTreeMap::new(), ..spec.clone() })
        .map_err(|error| Problem::new("", error.to_string()))?;
    if let (Some(Value::Object(auth)), Some(Value::Object(_))) = (fields.get("auth"), document.get("auth"))
        && auth.contains_key("kind")
    {
        // Another kind has other fields: it replaces, it does not merge.
        document["auth"] = Value::Null;
    }
    merge(&mut document, patch);
    problem::read(document)
}

fn patch_touches(patch: &Value, pointer: &str) -> bool {
    pointer.split('/').nth(1).is_some_and(|field| patch.get(field).is_some())
}
