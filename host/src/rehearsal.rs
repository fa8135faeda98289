//! A plugin tried out on what happened, or on what is given: nothing is sent, nothing is committed, and time and randomness stand still,
//! so that two versions differ only where the plugins do.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{
    clock::millis,
    dispatcher::{self, Occasion, Prepared},
    lock::lock,
    model::{
        call::{BodyEncoding, Call, Verification},
        difference::{Difference, differences},
        event::Event,
        function::Ambient,
        id::{CallId, DeliveryId},
        merge_patch::merge,
        outcome::{Failure, FailureKind},
        parameter::{self, Parameters},
        plugin::{Export, GuestLog, PluginFailure, evidence::Rehearsed, party::Kept},
        request::{BuiltRequest, PluginRequest},
        webhook::Webhook,
    },
    plugin::{
        ActivePlugin, AnswerInput, CallContext, CallFailure, Called, DeliveryInput, Effects, InvocationInput, InvokeFn, InvokeRequest,
        Keys, NotInvoked, PluginReply,
    },
    services::Services,
    store::{Claimed, DeliveryFilter, Session, Store, StoreError},
};

/// Deliveries one comparison looks at, at most, and unless it says how many.
pub const LAST_MAX: usize = 500;
/// See [`LAST_MAX`].
pub const LAST_DEFAULT: usize = 100;
/// How long one comparison may take; it then says how far it came.
pub const COMPARE_TIME_MAX: Duration = Duration::from_secs(60);

/// What a plugin is tried on.
#[derive(Debug)]
pub enum Material {
    /// For its `transform`.
    Outbound(Outbound),
    /// For its `receive`.
    Inbound(Inbound),
}

/// What a transform is tried on.
#[derive(Debug)]
pub enum Outbound {
    /// Events.
    Events(Vec<Event>),
    /// The events of a past delivery.
    Delivery(DeliveryId),
}

/// What a receiver is tried on.
#[derive(Debug)]
pub enum Inbound {
    /// A call.
    Given(Box<InvocationInput>),
    /// A past call. Its credentials were never kept.
    Past(CallId),
}

/// How a plugin is tried.
#[derive(Debug, Default)]
pub struct Setting {
    /// Merged over the plugin's configuration and, for a past delivery or call, the webhook's or receiver's.
    pub config: Map<String, Value>,
    /// Merged over the parameters of the session.
    pub parameters: Map<String, Value>,
    /// What the caller of `invoke` would give besides.
    pub context: Map<String, Value>,
    /// The moment it happens at; `None`: now, or when a past call came in.
    pub now: Option<Timestamp>,
    /// What it signs with.
    pub keys: Keys,
}

/// Why nothing was tried.
#[derive(Debug, thiserror::Error)]
pub enum TryError {
    /// What it was to be tried on is not there.
    #[error("there is no {0}")]
    Missing(String),
    /// Its events were deleted.
    #[error("the events of delivery {0} were deleted")]
    Deleted(DeliveryId),
    /// The call was turned away, and its body was not kept.
    #[error("call {0} was turned away, and of such calls the body is not kept")]
    NotKept(CallId),
    /// The plugin cannot do that.
    #[error("this version of the plugin has no `{}`; it exports {exported}", match .wanted { Export::Receive => "receive", Export::Answers => "answers", Export::Transform => "transform" })]
    Unable {
        /// What was asked for.
        wanted: Export,
        /// What there is.
        exported: String,
    },
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What the plugin said.
#[derive(Debug)]
pub enum Said {
    /// A request, or that there is none to send.
    Request(Option<PluginRequest>),
    /// A reply.
    Reply(PluginReply),
}

/// What came of a try.
#[derive(Debug)]
pub struct Tried {
    /// What it said.
    pub outcome: Result<Said, PluginFailure>,
    /// What would have been committed.
    pub effects: Effects,
    /// The webhooks it wanted to invoke. It was told that nothing is sent in a try.
    pub invoked: Vec<InvokeRequest>,
    /// What it wrote.
    pub log: GuestLog,
    /// How long it ran.
    pub duration: Duration,
    /// Memory it held at its end.
    pub memory_bytes: u64,
    /// Instructions it ran, where they are counted.
    pub instructions: Option<u64>,
}

/// Tries a plugin out.
pub async fn try_out(services: &Services, plugin: &ActivePlugin, material: Material, setting: Setting) -> Result<Tried, TryError> {
    match material {
        Material::Outbound(outbound) => try_transform(services, plugin, outbound, setting).await,
        Material::Inbound(inbound) => try_receive(services, plugin, inbound, setting).await,
    }
}

fn able(plugin: &ActivePlugin, wanted: Export) -> Result<(), TryError> {
    let exports = plugin.loaded.exports();
    if exports.contains(&wanted) {
        return Ok(());
    }
    let exported: Vec<_> = exports.iter().map(|export| format!("`{}`", format!("{export:?}").to_lowercase())).collect();
    Err(TryError::Unable { wanted, exported: exported.join(", ") })
}

async fn try_transform(services: &Services, plugin: &ActivePlugin, outbound: Outbound, setting: Setting) -> Result<Tried, TryError> {
    let Setting { config, parameters: given, context, now, keys } = setting;
    able(plugin, Export::Transform)?;
    let now = now.unwrap_or_else(|| services.clock.now());
    let (events, mut input, webhook_config, mut parameters) = match outbound {
        Outbound::Delivery(id) => {
            let claimed = look_back(services, &id).await?;
            let session = session_of(services, claimed.delivery.session.as_deref()).await?;
            let input = dispatcher::delivery_input(services, &claimed.delivery);
            let config = webhook_of(services, &claimed).and_then(|webhook| webhook.transform.clone().map(|transform| transform.config));
            (dispatcher::events_of(&claimed), input, config.unwrap_or_default(), session.parameters)
        }
        Outbound::Events(events) => {
            let first = events.first();
            let session = session_of(services, first.and_then(|event| event.session.as_deref())).await?;
            let input = DeliveryInput {
                id: "dlv_try".to_owned(),
                webhook_id: "whk_try".to_owned(),
                webhook_name: "try".to_owned(),
                session: first.and_then(|event| event.session.clone()),
                environment: first.and_then(|event| event.environment.clone()),
                ..DeliveryInput::default()
            };
            (events, input, Map::new(), session.parameters)
        }
    };
    parameters.apply_all(parameter::changes(given));
    input.now_ms = millis(now);
    if !context.is_empty() {
        input.context = context;
    }
    let (invoke, invoked) = wishes();
    let call = CallContext {
        invoke: Some(invoke),
        ..rehearsed(services, plugin, [webhook_config, config], parameters, now).rehearsed(Ambient { now, seed: SEED }, keys)
    };
    let called = plugin.loaded.transform(call, input, events).await;
    Ok(tried(called, Said::Request, &invoked))
}

async fn try_receive(services: &Services, plugin: &ActivePlugin, inbound: Inbound, setting: Setting) -> Result<Tried, TryError> {
    let Setting { config, parameters: given, now: moment, keys, .. } = setting;
    able(plugin, Export::Receive)?;
    let now = moment.unwrap_or_else(|| services.clock.now());
    let (mut input, receiver_config) = match inbound {
        Inbound::Given(input) => (*input, Map::new()),
        Inbound::Past(id) => {
            let call = services.store.call(&id).await?.ok_or_else(|| TryError::Missing(format!("call {id}")))?;
            if call.request.body_not_kept.is_some() {
                return Err(TryError::NotKept(id));
            }
            let entry = services.catalog.snapshot().receivers.get(&call.receiver).cloned();
            (past_input(call), entry.map(|entry| entry.receiver.config()).unwrap_or_default())
        }
    };
    let mut parameters = session_of(services, input.session.as_deref()).await?.parameters;
    parameters.apply_all(parameter::changes(given));
    if input.now_ms == 0 || moment.is_some() {
        input.now_ms = millis(now);
    }
    let at = i64::try_from(input.now_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(now);
    let (invoke, invoked) = wishes();
    let call = CallContext {
        call_id: Some(CallId(input.call_id.clone())),
        session: input.session.clone(),
        environment: input.environment.clone(),
        invoke: Some(invoke),
        ..rehearsed(services, plugin, [receiver_config, config], parameters, at).rehearsed(Ambient { now: at, seed: SEED }, keys)
    };
    let called = plugin.loaded.receive(call, input).await;
    Ok(tried(called, Said::Reply, &invoked))
}

/// What a tried call is given: what any call is, `over` merged over its configuration, and the moment `now`.
fn rehearsed(
    services: &Services,
    plugin: &ActivePlugin,
    [own, over]: [Map<String, Value>; 2],
    parameters: Parameters,
    now: Timestamp,
) -> CallContext {
    let mut context = dispatcher::call_context(services, &own, plugin, Arc::new(parameters));
    merge(&mut context.config, &Value::Object(over));
    // A try says nothing of how a plugin behaves.
    CallContext { now_ms: millis(now), conduct: None, ..context }
}

/// The randomness of every try.
const SEED: [u8; 32] = *b"a try is never a matter of luck.";

fn tried<T>(called: Result<Called<T>, CallFailure>, said: impl FnOnce(T) -> Said, invoked: &Mutex<Vec<InvokeRequest>>) -> Tried {
    let invoked = std::mem::take(&mut *lock(&invoked));
    match called {
        Ok(Called { value, effects, log, duration, memory_bytes, instructions }) => {
            Tried { outcome: Ok(said(value)), effects, invoked, log, duration, memory_bytes, instructions }
        }
        Err(CallFailure { failure, log, duration, memory_bytes, instructions }) => {
            Tried { outcome: Err(failure), effects: Effects::default(), invoked, log, duration, memory_bytes, instructions }
        }
    }
}

/// An `invoke` that only writes down what was asked of it.
fn wishes() -> (InvokeFn, Arc<Mutex<Vec<InvokeRequest>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&asked);
    let invoke: InvokeFn = Arc::new(move |request: InvokeRequest| {
        lock(&kept).push(request);
        Box::pin(async { Err(NotInvoked::Told("this is a try: no webhook is invoked".to_owned())) })
    });
    (invoke, asked)
}

async fn session_of(services: &Services, session: Option<&str>) -> Result<Session, StoreError> {
    match session {
        Some(session) => services.store.peek_parameters(session).await,
        None => Ok(Session::default()),
    }
}

async fn look_back(services: &Services, id: &DeliveryId) -> Result<Claimed, TryError> {
    let claimed = services.store.look_back(id).await?.ok_or_else(|| TryError::Missing(format!("delivery {id}")))?;
    if is_empty(&claimed) {
        return Err(TryError::Deleted(id.clone()));
    }
    Ok(claimed)
}

fn is_empty(claimed: &Claimed) -> bool {
    claimed.events.is_empty() && claimed.delivery.invocation.is_none()
}

/// The webhook of a delivery, as it is there now, in the delivery's environment.
fn webhook_of(services: &Services, claimed: &Claimed) -> Option<Arc<Webhook>> {
    let snapshot = services.catalog.snapshot();
    let entry = snapshot.webhooks_by_id.get(&claimed.delivery.webhook_id)?;
    Some(Arc::clone(entry.webhook.in_environment(claimed.delivery.environment.as_deref())))
}

/// A past call as its receiver saw it, as far as it was kept.
fn past_input(call: Call) -> InvocationInput {
    let Call { id, receiver, caller, received_at, request, environment, session, verification, .. } = call;
    let body = match request.body_encoding {
        BodyEncoding::Text => request.body.into_bytes(),
        BodyEncoding::Base64 => BASE64_STANDARD.decode(&request.body).unwrap_or_default(),
    };
    InvocationInput {
        call_id: id.0,
        receiver_name: receiver,
        caller,
        session,
        environment,
        method: request.method,
        path: request.path,
        query: request.query,
        parameters: request.parameters,
        headers: request.headers.into_iter().collect(),
        body,
        verified: verification == Verification::Verified,
        remote_address: request.remote_address,
        now_ms: millis(received_at),
    }
}

/// One past delivery, built by both versions.
#[derive(Debug)]
pub struct Pair {
    /// Which.
    pub delivery: DeliveryId,
    /// Its webhook's name.
    pub webhook: String,
    /// What the active version makes of it.
    pub active: Built,
    /// What the candidate makes of it.
    pub candidate: Built,
    /// Where the requests differ. Empty where one of them is none: then the two above tell.
    pub differences: Vec<Difference>,
}

/// What one version makes of a delivery.
#[derive(Debug)]
pub struct Built {
    /// The request; `None`: nothing is sent. Or why there is none.
    pub request: Result<Option<BuiltRequest>, Failure>,
    /// How long the plugin took, in microseconds.
    pub transform_us: u64,
}

impl Built {
    /// In one word: `request`, `nothing`, or the failure's kind.
    pub fn word(&self) -> &'static str {
        match &self.request {
            Ok(Some(_)) => "request",
            Ok(None) => "nothing",
            Err(failure) => failure.kind.as_str(),
        }
    }
}

impl Pair {
    /// Whether both versions come to the same.
    pub fn is_same(&self) -> bool {
        self.differences.is_empty() && self.active.word() == self.candidate.word()
    }
}

/// What came of a comparison.
#[derive(Debug, Default)]
pub struct Compared {
    /// Deliveries looked at, the newest first.
    pub pairs: Vec<Pair>,
    /// Deliveries left out: their events or their webhook are gone.
    pub skipped: usize,
    /// Whether time was up before all were looked at.
    pub is_cut_short: bool,
}

/// Builds the requests of the last deliveries of the webhooks that use the plugin, by the active version and by the candidate.
pub async fn compare(
    services: &Services,
    (active, candidate): (&Arc<ActivePlugin>, &Arc<ActivePlugin>),
    webhook: Option<&str>,
    last: usize,
    keys: Keys,
) -> Result<Compared, TryError> {
    able(candidate, Export::Transform)?;
    let begun = Instant::now();
    let mut compared = Compared::default();
    for id in last_deliveries(services, &candidate.plugin_use.name, webhook, last).await? {
        if begun.elapsed() > COMPARE_TIME_MAX {
            compared.is_cut_short = true;
            break;
        }
        let claimed = services.store.look_back(&id).await?.filter(|claimed| !is_empty(claimed));
        let Some((claimed, webhook)) = claimed.and_then(|claimed| webhook_of(services, &claimed).map(|webhook| (claimed, webhook))) else {
            compared.skipped += 1;
            continue;
        };
        let session = session_of(services, claimed.delivery.session.as_deref()).await?;
        let ours = build(services, &claimed, &webhook, session.clone(), (active, keys)).await;
        let theirs = build(services, &claimed, &webhook, session, (candidate, keys)).await;
        let differences = match (&ours.request, &theirs.request) {
            (Ok(Some(ours)), Ok(Some(theirs))) => differences(ours, theirs),
            _ => Vec::new(),
        };
        compared.pairs.push(Pair { delivery: id, webhook: webhook.name.clone(), active: ours, candidate: theirs, differences });
    }
    Ok(compared)
}

async fn build(
    services: &Services,
    claimed: &Claimed,
    webhook: &Arc<Webhook>,
    session: Session,
    (plugin, keys): (&Arc<ActivePlugin>, Keys),
) -> Built {
    // When it was made: both versions see the same moment.
    let ambient = Ambient { now: claimed.delivery.created_at, seed: SEED };
    let occasion = Occasion { ambient, stand_in: Some(Arc::clone(plugin)), rehearsal: Some(keys) };
    match dispatcher::build_with(services, claimed, webhook, session, &occasion).await {
        Ok(Prepared { request, trace, .. }) => Built { request: Ok(request), transform_us: trace.stages.transform_us },
        Err(failed) => Built { request: Err(failed.failure), transform_us: failed.trace.stages.transform_us },
    }
}

/// How long an input is waited for that is only just being written down.
const KEPT_WAIT_MAX: Duration = Duration::from_secs(5);
/// How often it is looked for.
const KEPT_LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often the version before is tried while all its instances are busy.
const BUSY_TRIES_MAX: u32 = 10;
/// How long each of these waits for the next.
const BUSY_WAIT: Duration = Duration::from_millis(200);

/// What the version before makes of an input that a new one failed on. It signs with the secrets, for nobody sees what it makes.
pub async fn on_version_before(services: &Services, before: &Arc<ActivePlugin>, kept: &Kept) -> Rehearsed {
    for _ in 0..BUSY_TRIES_MAX {
        match handles(services, before, kept).await {
            Ok(None) => tokio::time::sleep(BUSY_WAIT).await,
            Ok(Some(true)) => return Rehearsed::Handled,
            Ok(Some(false)) => return Rehearsed::Failed,
            Err(error) => {
                tracing::warn!(?kept, %error, "the version before cannot be tried on what a new one failed on");
                return Rehearsed::Failed;
            }
        }
    }
    Rehearsed::Failed
}

/// Whether `plugin` handles an input; `None`: it is too busy to say.
async fn handles(services: &Services, plugin: &Arc<ActivePlugin>, kept: &Kept) -> Result<Option<bool>, TryError> {
    match kept {
        Kept::Call(id) => {
            let failed = |store: Store, id: CallId| async move { Ok(store.call(&id).await?.filter(|call| call.failure.is_some())) };
            let call = written_down(services, id, failed).await?.ok_or_else(|| TryError::Missing(format!("call {id}")))?;
            let setting = Setting { keys: Keys::Secrets, ..Setting::default() };
            let tried = try_receive(services, plugin, Inbound::Past(id.clone()), setting).await?;
            // In a try no webhook is invoked. One that wants to invoke where the new version never came to that has got further.
            let got_further = !tried.invoked.is_empty() && call.webhook_statuses.is_empty();
            Ok(judged(tried.outcome.as_ref().err().map(FailureKind::from), got_further))
        }
        Kept::Delivery(id) => {
            let claimed = look_back(services, id).await?;
            let webhook = webhook_of(services, &claimed).ok_or_else(|| TryError::Missing(format!("webhook of delivery {id}")))?;
            let session = session_of(services, claimed.delivery.session.as_deref()).await?;
            let built = build(services, &claimed, &webhook, session, (plugin, Keys::Secrets)).await;
            Ok(judged(built.request.as_ref().err().map(|failure| failure.kind), false))
        }
        Kept::Answer(id) => read_again(services, plugin, id).await,
    }
}

fn judged(failure: Option<FailureKind>, got_further: bool) -> Option<bool> {
    (failure != Some(FailureKind::PluginBusy)).then_some(failure.is_none() || got_further)
}

/// The last answer to a delivery, as far as it is kept, read by `plugin`.
async fn read_again(services: &Services, plugin: &Arc<ActivePlugin>, id: &DeliveryId) -> Result<Option<bool>, TryError> {
    if !plugin.loaded.exports_answers() {
        return Ok(Some(true));
    }
    let last =
        |store: Store, id: DeliveryId| async move { Ok(store.attempts(&id).await?.into_iter().rev().find_map(|attempt| attempt.answer)) };
    let answer = written_down(services, id, last).await?.filter(|answer| !answer.truncated);
    let answer = answer.ok_or_else(|| TryError::Missing(format!("whole answer to delivery {id}")))?;
    let claimed = look_back(services, id).await?;
    let session = session_of(services, claimed.delivery.session.as_deref()).await?;
    let config = webhook_of(services, &claimed).and_then(|webhook| webhook.transform.clone().map(|transform| transform.config));
    let own = [config.unwrap_or_default(), Map::new()];
    let now = claimed.delivery.created_at;
    let context = rehearsed(services, plugin, own, session.parameters, now).rehearsed(Ambient { now, seed: SEED }, Keys::Secrets);
    let input = AnswerInput { status: answer.status, headers: answer.headers.into_iter().collect(), body: answer.body.into_bytes() };
    let read = plugin.loaded.read_answer(context, dispatcher::delivery_input(services, &claimed.delivery), input).await;
    Ok(judged(read.as_ref().err().map(|failed| FailureKind::from(&failed.failure)), false))
}

/// What `look` finds, once it does: a call fails a moment before that is written down.
async fn written_down<I: Clone, T, F: Future<Output = Result<Option<T>, StoreError>>>(
    services: &Services,
    id: &I,
    look: impl Fn(Store, I) -> F,
) -> Result<Option<T>, StoreError> {
    let begun = Instant::now();
    loop {
        let found = look(services.store.clone(), id.clone()).await?;
        if found.is_some() || begun.elapsed() > KEPT_WAIT_MAX {
            return Ok(found);
        }
        tokio::time::sleep(KEPT_LOOK_EVERY).await;
    }
}

/// The newest deliveries of the webhooks that use a plugin, or of one of them.
async fn last_deliveries(services: &Services, plugin: &str, webhook: Option<&str>, last: usize) -> Result<Vec<DeliveryId>, TryError> {
    let snapshot = services.catalog.snapshot();
    let uses = |webhook: &Webhook| webhook.transform.as_ref().is_some_and(|transform| transform.plugin == plugin);
    let mut webhooks: Vec<_> = snapshot.webhooks.values().filter(|entry| uses(&entry.webhook)).collect();
    if let Some(name) = webhook {
        webhooks.retain(|entry| entry.spec.name == name);
        if webhooks.is_empty() {
            return Err(TryError::Missing(format!("webhook `{name}` that uses the plugin `{plugin}`")));
        }
    }
    let mut found = Vec::new();
    for entry in webhooks {
        let filter = DeliveryFilter { webhook: Some(entry.id.clone()), ..DeliveryFilter::default() };
        let (mut ids, mut after): (Vec<_>, _) = (Vec::new(), None);
        loop {
            let page = services.store.deliveries(filter.clone(), after, last - ids.len()).await?;
            ids.extend(page.data.into_iter().map(|delivery| delivery.id));
            after = page.next;
            if after.is_none() || ids.len() >= last {
                break;
            }
        }
        found.extend(ids);
    }
    // Identifiers sort by when they were made.
    found.sort_unstable_by(|a, b| b.cmp(a));
    found.truncate(last);
    Ok(found)
}
