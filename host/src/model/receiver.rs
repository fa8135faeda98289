//! What answers inbound calls: what an admin writes ([`ReceiverSpec`]) and what the engine works with ([`Receiver`]).

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Map, Value, json};

use super::{
    binding::{Binding, Bindings, split_first},
    filter::json_path::{JsonPath, OverBudget, Steps},
    json::json_bytes,
    problem::{Problem, segment},
    profile::Profile,
    template::Template,
    trigger::Trigger,
    webhook::{NAME_RULE, is_name, unknown},
};

pub mod reply;
pub mod spec;
mod verifying;

pub use spec::{ActionSpec, EventSpec, Mode, ParameterSpec, ParameterType, Probe, ReceiverSpec, RouteSpec, RoutesSpec, VerifySpec};

/// The most a receiver may allow, in bytes.
pub const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The most a receiver may allow itself, in milliseconds.
pub const TIMEOUT_MS_MAX: u64 = 30_000;

/// Routes of one receiver.
pub const ROUTES_MAX: usize = 200;

/// Bytes of what makes a call one call.
pub const ONCE_BYTES_MAX: usize = 1024;

/// Declared events of one receiver.
pub const EVENTS_MAX: usize = 20;

/// The longest message of a narrowed reply, in characters.
pub const MESSAGE_CHARS_MAX: usize = 1024;

/// A compiled receiver.
#[derive(Debug)]
pub struct Receiver {
    /// Its name.
    pub name: String,
    /// What answers, unless a route does.
    pub action: Action,
    /// What answers calls that carry a value: where it stands, and the actions by it.
    pub routes: Option<(JsonPath, BTreeMap<String, Action>)>,
    /// Events each call becomes.
    pub events: Vec<(Trigger, Value)>,
    /// Methods it takes.
    pub methods: Vec<http::Method>,
    /// When the caller gets its answer.
    pub mode: Mode,
    /// Whether the plugin chooses status, headers and body.
    pub full_reply: bool,
    /// How a call proves where it comes from.
    pub verify: VerifySpec,
    /// How a vendor's check is answered.
    pub probe: Probe,
    /// Query parameters it knows.
    pub parameters: BTreeMap<String, ParameterSpec>,
    /// Where the session's name stands.
    pub session: Option<JsonPath>,
    /// Where what makes it one call stands.
    pub once: Option<JsonPath>,
    /// Refuse what it does not know.
    pub strict: bool,
    /// One run.
    pub timeout: Duration,
    /// Bytes of a call's body.
    pub body_bytes_max: usize,
    /// `0` for success.
    pub legacy_zero: bool,
}

/// What answers.
#[derive(Debug)]
pub enum Action {
    /// A plugin or script, with the receiver's configuration.
    Plugin(String, Map<String, Value>),
    /// A declared answer.
    Reply(u16, Template),
}

impl Receiver {
    /// Compiles `spec`. All that is wrong is found at once.
    pub fn compile(spec: &ReceiverSpec, profiles: &BTreeMap<String, Profile>) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        if !is_name(&spec.name) {
            problems.push(Problem::new("/name", NAME_RULE));
        }
        if let Some(profile) = &spec.profile
            && !profiles.contains_key(profile)
        {
            problems.push(Problem::new("/profile", unknown("profile", profile, profiles.keys().map(String::as_str))));
        }
        let action = compile_action(spec, &mut problems);
        let routes = spec.routes.as_ref().and_then(|routes| compile_routes(routes, &mut problems));
        let events = compile_events(&spec.events, &mut problems);
        let methods = compile_methods(&spec.methods, &mut problems);
        problems.extend(verifying::problems(&spec.verify));
        let session = spec
            .session
            .as_deref()
            .and_then(|path| JsonPath::parse(path).map_err(|error| problems.push(Problem::new("/session", error.to_string()))).ok());
        let once = spec
            .once
            .as_deref()
            .and_then(|path| JsonPath::parse(path).map_err(|error| problems.push(Problem::new("/once", error.to_string()))).ok());
        if !(1..=TIMEOUT_MS_MAX).contains(&spec.timeout_ms) {
            problems.push(Problem::new("/timeout_ms", format!("{} is out of range: 1 to {TIMEOUT_MS_MAX} milliseconds", spec.timeout_ms)));
        }
        if spec.body_bytes_max > BODY_BYTES_MAX {
            problems.push(Problem::new("/body_bytes_max", format!("{} is out of range: 0 to {BODY_BYTES_MAX} bytes", spec.body_bytes_max)));
        }
        match action {
            Some(action) if problems.is_empty() => Ok(Self {
                name: spec.name.clone(),
                action,
                routes,
                events,
                methods,
                mode: spec.mode,
                full_reply: spec.full_reply,
                verify: spec.verify.clone(),
                probe: spec.probe,
                parameters: spec.parameters.clone(),
                session,
                once,
                strict: spec.strict,
                timeout: Duration::from_millis(spec.timeout_ms),
                body_bytes_max: spec.body_bytes_max,
                legacy_zero: spec.legacy_zero,
            }),
            _ => Err(problems),
        }
    }

    /// The configuration of what answers, unless a route does: its action's with its own over it.
    pub fn config(&self) -> Map<String, Value> {
        match &self.action {
            Action::Plugin(_, config) => config.clone(),
            Action::Reply(..) => Map::new(),
        }
    }

    /// The session the call document names: text as it is, numbers as text, anything else none.
    pub fn session_of(&self, call: &Value) -> Result<Option<String>, String> {
        self.session.as_ref().map_or(Ok(None), |session| named(session, call)).map_err(|error| format!("the path `session`: {error}"))
    }

    /// What makes the call of this document one call. `None`: the receiver does not ask. An error: it has none.
    pub fn once_of(&self, call: &Value) -> Option<Result<String, String>> {
        let once = self.once.as_ref()?;
        let named = match named(once, call) {
            Ok(named) => named,
            Err(error) => return Some(Err(format!("the path `once`: {error}"))),
        };
        Some(match named {
            None => Err("the call has nothing at the path `once`, which is to tell it from others".to_owned()),
            Some(id) if id.len() > ONCE_BYTES_MAX => {
                Err(format!("what the call has at the path `once` has {} bytes; it may have {ONCE_BYTES_MAX}", id.len()))
            }
            Some(id) => Ok(id),
        })
    }

    /// What answers the call of this document, which is only made where there are routes.
    ///
    /// An error: the path that chooses among them does not come to its end within the budget.
    pub fn action_for(&self, call: impl FnOnce() -> Value) -> Result<&Action, String> {
        let Some((by, to)) = &self.routes else { return Ok(&self.action) };
        let call = call();
        let route = match found(by, &call).map_err(|error| format!("the path `routes.by`: {error}"))? {
            Some(Value::String(value)) => to.get(value),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => to.get(&value.to_string()),
            _ => None,
        };
        Ok(route.unwrap_or(&self.action))
    }

    /// The declared parameters of a query, typed.
    pub fn typed_parameters(&self, query: &[(String, String)]) -> Result<Map<String, Value>, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut typed = Map::new();
        let mut seen: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, value) in query {
            seen.entry(name).or_default().push(value);
        }
        for (name, values) in &seen {
            let declared = self.parameters.get(*name);
            if declared.is_none() && self.strict {
                problems.push(Problem::new(segment(name), format!("there is no parameter `{name}`")));
            }
            if values.len() > 1 && declared.is_none_or(|spec| spec.kind != ParameterType::List) {
                problems.push(Problem::new(segment(name), format!("`{name}` is given {} times and is no list", values.len())));
            }
        }
        for (name, spec) in &self.parameters {
            match seen.get(name.as_str()) {
                None if spec.required => problems.push(Problem::new(segment(name), format!("the parameter `{name}` is missing"))),
                None => {}
                Some(values) => match spec.kind.read(values) {
                    Some(value) => drop(typed.insert(name.clone(), value)),
                    None => problems.push(Problem::new(segment(name), format!("`{name}` must be {}", spec.kind.wants()))),
                },
            }
        }
        if problems.is_empty() { Ok(typed) } else { Err(problems) }
    }
}

impl ParameterType {
    fn read(self, values: &[&str]) -> Option<Value> {
        let text = values.first()?;
        match self {
            Self::String => Some(json!(text)),
            Self::Integer => text.parse::<i64>().ok().map(|number| json!(number)),
            Self::Number => serde_json::from_str::<serde_json::Number>(text).ok().map(Value::Number),
            Self::Boolean => text.parse::<bool>().ok().map(Value::Bool),
            Self::List => Some(json!(values)),
        }
    }

    fn wants(self) -> &'static str {
        match self {
            Self::String => "text",
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::Boolean => "`true` or `false`",
            Self::List => "a list",
        }
    }
}

/// Why `data` cannot be made of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataProblem {
    /// More bytes than may be put in.
    TooLarge,
    /// This path does not come to its end within the budget.
    OverBudget(String, OverBudget),
}

/// What is left for the data of all events of one call.
#[derive(Debug)]
pub struct DataBudget {
    bytes: usize,
    steps: Steps,
}

impl DataBudget {
    /// The bytes of the values, and the steps of one path.
    pub fn new(bytes: usize) -> Self {
        Self { bytes, steps: Steps::default() }
    }
}

/// Whether a text of `data` is replaced by what it finds in the call.
fn is_path(text: &str) -> bool {
    let (_, path) = split_first(text);
    path.starts_with("$.") || path.starts_with("$[")
}

/// `data` with each `$.` path replaced by what it finds in `call`: a path of names and indices alone by its value or `null`, any other by
/// the list of what it found, with the word `first` by the first of them or `null`.
pub fn resolve_data(data: &Value, call: &Value, left: &mut DataBudget) -> Result<Value, DataProblem> {
    Ok(match data {
        Value::String(text) if is_path(text) => {
            // The path was valid when the receiver was written. A path that is no longer valid finds nothing.
            let Ok(binding) = Bindings::parse([("value", text.as_str())]) else { return Ok(Value::Null) };
            let bound = binding.apply_within(call, &mut left.steps);
            if let Some((_, error)) = bound.over_budget.into_iter().next() {
                return Err(DataProblem::OverBudget(text.clone(), error));
            }
            if !bound.oversized.is_empty() {
                return Err(DataProblem::TooLarge);
            }
            let value = bound.changes.into_iter().next().map_or(Value::Null, |(_, value)| value);
            left.bytes = left.bytes.checked_sub(json_bytes(&value)).ok_or(DataProblem::TooLarge)?;
            value
        }
        Value::Array(items) => items.iter().map(|item| resolve_data(item, call, left)).collect::<Result<_, _>>()?,
        Value::Object(fields) => {
            let resolved = |(key, value): (&String, &Value)| Ok((key.clone(), resolve_data(value, call, left)?));
            Value::Object(fields.iter().map(resolved).collect::<Result<_, _>>()?)
        }
        other => other.clone(),
    })
}

/// Adds the paths of `data` that give a list because of how they are written.
pub fn list_paths<'d>(data: &'d Value, found: &mut Vec<&'d str>) {
    match data {
        Value::String(text) if is_path(text) => {
            let binding = Bindings::parse([("value", text)]);
            if binding.is_ok_and(|bindings| bindings.iter().any(Binding::binds_list)) {
                found.push(text);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| list_paths(item, found)),
        Value::Object(fields) => fields.values().for_each(|value| list_paths(value, found)),
        _ => {}
    }
}

/// A name that is found in a call: text as it is, a number as text.
fn named(at: &JsonPath, call: &Value) -> Result<Option<String>, OverBudget> {
    Ok(match found(at, call)? {
        Some(Value::String(name)) if !name.is_empty() => Some(name.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    })
}

/// The one value a path finds in a call; `None`: it finds none, or several.
fn found<'v>(path: &'v JsonPath, call: &'v Value) -> Result<Option<&'v Value>, OverBudget> {
    Ok(match path.find(call)?.as_slice() {
        [one] => Some(*one),
        _ => None,
    })
}

fn compile_routes(spec: &RoutesSpec, problems: &mut Vec<Problem>) -> Option<(JsonPath, BTreeMap<String, Action>)> {
    if spec.to.is_empty() || spec.to.len() > ROUTES_MAX {
        problems.push(Problem::new("/routes/to", format!("1 to {ROUTES_MAX} routes")));
    }
    let by = JsonPath::parse(&spec.by).map_err(|error| problems.push(Problem::new("/routes/by", error.to_string()))).ok()?;
    let actions =
        spec.to.iter().map(|(value, RouteSpec { plugin, config })| (value.clone(), Action::Plugin(plugin.clone(), config.clone())));
    Some((by, actions.collect()))
}

fn compile_action(spec: &ReceiverSpec, problems: &mut Vec<Problem>) -> Option<Action> {
    match (&spec.plugin, &spec.reply) {
        (Some(plugin), None) => Some(Action::Plugin(plugin.clone(), spec.config.clone())),
        (None, Some(reply)) => {
            let allowed = if spec.full_reply { (200..=599).contains(&reply.status) } else { matches!(reply.status, 200 | 400) };
            if !allowed {
                problems.push(Problem::new("/reply/status", "200 or 400; with `full_reply` 200 to 599"));
            }
            match Template::parse(&reply.message) {
                Ok(template) => Some(Action::Reply(reply.status, template)),
                Err(error) => {
                    problems.push(Problem::new("/reply/message", error.to_string()));
                    None
                }
            }
        }
        (Some(_), Some(_)) => {
            problems.push(Problem::new("/reply", "a receiver has either a `plugin` or a `reply`"));
            None
        }
        (None, None) => {
            problems.push(Problem::new("/plugin", "name a `plugin` or an `action`, or declare a `reply`"));
            None
        }
    }
}

fn compile_events(specs: &[EventSpec], problems: &mut Vec<Problem>) -> Vec<(Trigger, Value)> {
    if specs.len() > EVENTS_MAX {
        problems.push(Problem::new("/events", format!("at most {EVENTS_MAX} events")));
    }
    let mut events = Vec::new();
    for (index, spec) in specs.iter().enumerate() {
        check_paths(&spec.data, &format!("/events/{index}/data"), problems);
        match Trigger::parse(&spec.trigger) {
            Ok(trigger) => events.push((trigger, spec.data.clone())),
            Err(error) => problems.push(Problem::new(format!("/events/{index}/trigger"), error.to_string())),
        }
    }
    events
}

fn check_paths(data: &Value, pointer: &str, problems: &mut Vec<Problem>) {
    match data {
        Value::String(text) if is_path(text) => {
            if let Err((_, detail)) = Bindings::parse([("value", text.as_str())]) {
                problems.push(Problem::new(pointer, detail));
            }
        }
        Value::Array(items) => items.iter().enumerate().for_each(|(i, item)| check_paths(item, &format!("{pointer}/{i}"), problems)),
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| check_paths(value, &format!("{pointer}{}", segment(key)), problems));
        }
        _ => {}
    }
}

fn compile_methods(names: &[String], problems: &mut Vec<Problem>) -> Vec<http::Method> {
    let known = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"];
    if names.is_empty() {
        problems.push(Problem::new("/methods", "name at least one method"));
    }
    let mut methods = Vec::new();
    for (index, name) in names.iter().enumerate() {
        match known.iter().find(|known| **known == name.as_str()).and_then(|name| name.parse().ok()) {
            Some(method) => methods.push(method),
            None => problems.push(Problem::new(format!("/methods/{index}"), unknown("method", name, known.iter().copied()))),
        }
    }
    methods
}
