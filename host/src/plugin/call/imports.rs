//! The host side of each interface a guest may import. A guest is told `Err` where the contract has room for it; where it has none,
//! wherever it breaches a limit, and where a grant or what was granted is missing, the call ends with a named failure. Nothing here panics, and nothing happens to the world before the call has ended well.

use std::time::Instant;

use wasmtime::component::{HasSelf, Linker};

use super::{
    context::{InvokeRequest, Invoked, NotInvoked},
    convert,
    guest::Guest,
    limits::{STATE_KEY_BYTES_MAX, STATE_VALUE_BYTES_MAX, as_size},
};
use crate::{
    model::{
        event::{TEXT_RULE, attribute_bytes, is_text},
        function::Ambient,
        id::EventId,
        plugin::{
            Emission, LogLevel, PluginFailure,
            limits::{Limit, PluginLimits},
        },
        selector::Selector,
        trigger::Trigger,
    },
    plugin::bindings::hookwright::{
        plugin::{config, events, log, parameter_writes, parameters, secrets, state, types, webhooks},
        script,
    },
};

/// Every interface there is: of WASI and of ours. What stands behind each is decided call by call.
pub(in crate::plugin) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    log::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    config::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    parameters::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    parameter_writes::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    secrets::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    events::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    webhooks::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    state::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)
}

/// What the script engine imports besides.
pub(in crate::plugin) fn link_script(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    script::host::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)
}

/// What the recorder of scripts imports: the script. Everything else is a trap there, randomness too.
pub(in crate::plugin) fn link_recorder(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    link_script(linker)?;
    linker.allow_shadowing(true);
    linker
        .instance("hookwright:script/host@0.1.0")?
        .func_new("seed", |_, _, _, _| Err(wasmtime::Error::msg("it asks for random numbers")))?;
    Ok(())
}

/// Names the interfaces of `hookwright:plugin` the host offers; `types` has no functions.
pub(in crate::plugin) const OFFERED: [&str; 9] =
    ["types", "log", "config", "parameters", "parameter-writes", "secrets", "events", "webhooks", "state"];

impl Guest {
    /// Ends the call for a reason of the host's.
    pub fn end<T>(&mut self, failure: PluginFailure) -> wasmtime::Result<T> {
        let text = failure.to_string();
        self.ended = Some(failure);
        Err(wasmtime::Error::msg(text))
    }

    /// Counts a call of the host, and ends the guest that makes too many.
    fn count(&mut self) -> wasmtime::Result<()> {
        self.host_calls += 1;
        if self.has_no_calls_left() { self.breach(Limit::HostCalls) } else { Ok(()) }
    }

    /// Ends the call for a limit.
    fn breach<T>(&mut self, limit: Limit) -> wasmtime::Result<T> {
        let value = self.limits().get(limit);
        self.end(PluginFailure::Limit(limit, value))
    }

    fn reserve(&mut self, bytes: usize) -> Result<(), Refused> {
        let bytes_max = self.limits().output_bytes;
        self.buffered.reserve(bytes, bytes_max).map_err(Refused::Ended)
    }

    /// What a guest is told: a refusal the contract has room for; a breach of a limit ends the call.
    fn tell<T>(&mut self, said: Result<T, Refused>) -> wasmtime::Result<Result<T, String>> {
        match said {
            Ok(value) => Ok(Ok(value)),
            Err(Refused::Told(reason)) => Ok(Err(reason)),
            Err(Refused::Ended(failure)) => self.end(failure),
        }
    }

    fn may_write(&self, session: &str) -> bool {
        let granted = |pattern: &String| match pattern.strip_suffix('*') {
            Some(prefix) => session.starts_with(prefix),
            None => session == pattern,
        };
        self.context.session.as_deref() == Some(session) || self.context.grants.sessions.iter().any(granted)
    }

    fn set_parameter(&mut self, session: String, name: String, value: Option<String>) -> Result<(), Refused> {
        if self.context.call_id.is_none() {
            return Err("parameters can be set only while a call is answered".to_owned().into());
        }
        if !self.may_write(&session) {
            return Err(Refused::not_granted("sessions", &session));
        }
        if !is_text(&session) {
            return Err(format!("a session's name has {TEXT_RULE}").into());
        }
        self.reserve(session.len() + name.len() + value.as_ref().map_or(0, String::len))?;
        let change = convert::change(name, value)?;
        self.buffered.effects.parameters.push((session, change));
        Ok(())
    }

    fn emit_event(&mut self, event: events::Emission) -> Result<String, Refused> {
        let trigger = Trigger::parse(&event.trigger).map_err(|error| format!("trigger `{}`: {error}", event.trigger))?;
        let matches = |selector: &String| Selector::parse(selector).is_ok_and(|selector| selector.matches(&trigger));
        if !self.context.grants.triggers.iter().any(matches) {
            return Err(Refused::not_granted("triggers", &event.trigger));
        }
        let Some(call) = &self.context.call_id else {
            return Err("events can be emitted only while a call is answered".to_owned().into());
        };
        let index = u32::try_from(self.buffered.effects.emissions.len()).unwrap_or(u32::MAX);
        if u64::from(index) >= self.limits().emissions {
            return Err(Refused::limit(self.limits(), Limit::Emissions));
        }
        let attributes = attribute_bytes(event.attributes.iter().map(|(name, value)| (name, value)));
        if event.data.len().saturating_add(attributes) > self.event_bytes_max {
            return Err(format!("an event's data and attributes may have at most {} bytes", self.event_bytes_max).into());
        }
        for (what, text) in [("source", &event.source), ("session", &event.session), ("environment", &event.environment)] {
            if text.as_deref().is_some_and(|text| !text.is_empty() && !is_text(text)) {
                return Err(format!("an event's {what} has {TEXT_RULE}").into());
            }
        }
        let id = EventId::emitted(call, index, self.context.now_ms);
        self.reserve(event.trigger.len() + event.data.len() + attributes)?;
        let data = convert::json("the event's data", &event.data)?;
        let events::Emission { trigger, source, time_ms, session, environment, attributes, .. } = event;
        let attributes = attributes.into_iter().collect();
        let emission = Emission { trigger, source, time_ms, data, session, environment, attributes };
        self.buffered.effects.emissions.push(emission);
        Ok(id.0)
    }

    /// Checks that the invocation may be made, and counts it.
    fn admit_invocation(
        &mut self,
        webhook: String,
        parameters: Vec<(String, String)>,
        data: &str,
        context: &str,
    ) -> Result<InvokeRequest, Refused> {
        if !self.context.grants.webhooks.contains(&webhook) {
            return Err(Refused::not_granted("webhooks", &webhook));
        }
        if self.buffered.invokes >= self.limits().invocations {
            return Err(Refused::limit(self.limits(), Limit::Invocations));
        }
        let named = parameters.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        if named + data.len() + context.len() > as_size(self.limits().output_bytes) {
            return Err(Refused::limit(self.limits(), Limit::OutputBytes));
        }
        let parsed = |(name, text): (String, String)| convert::json(&format!("parameter `{name}`"), &text).map(|value| (name, value));
        let parameters = parameters.into_iter().map(parsed).collect::<Result<_, String>>()?;
        let (data, context) = (convert::json("the data", data)?, convert::object("the context", context)?);
        self.buffered.invokes += 1;
        Ok(InvokeRequest { webhook, parameters, data, context })
    }

    fn set_state(&mut self, key: String, value: Option<Vec<u8>>) -> Result<(), Refused> {
        if !self.context.grants.state {
            return Err(Refused::Ended(PluginFailure::NotGranted("state".to_owned())));
        }
        if key.is_empty() || key.len() > STATE_KEY_BYTES_MAX {
            return Err(format!("a key has 1 to {STATE_KEY_BYTES_MAX} bytes").into());
        }
        let len = value.as_ref().map_or(0, Vec::len);
        if len > STATE_VALUE_BYTES_MAX {
            return Err(format!("a value has at most {STATE_VALUE_BYTES_MAX} bytes").into());
        }
        self.reserve(key.len() + len)?;
        self.buffered.state.insert(key, value);
        Ok(())
    }
}

/// Why something a guest asked for is not done.
enum Refused {
    /// It is told so, and goes on.
    Told(String),
    /// Its call ends.
    Ended(PluginFailure),
}

impl Refused {
    /// The call ends: every missing grant ends it the same way, so that it is done again once an admin gave the grant.
    fn not_granted(grant: &str, what: &str) -> Self {
        Self::Ended(PluginFailure::NotGranted(format!("{grant}: {what}")))
    }

    fn limit(limits: &PluginLimits, limit: Limit) -> Self {
        Self::Ended(PluginFailure::Limit(limit, limits.get(limit)))
    }
}

impl From<String> for Refused {
    fn from(reason: String) -> Self {
        Self::Told(reason)
    }
}

impl types::Host for Guest {}

impl log::Host for Guest {
    fn write(&mut self, level: log::Level, text: String) -> wasmtime::Result<()> {
        self.count()?;
        let level = match level {
            log::Level::Debug => LogLevel::Debug,
            log::Level::Info => LogLevel::Info,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Error => LogLevel::Error,
        };
        self.log.write(level, &text);
        Ok(())
    }
}

impl config::Host for Guest {
    fn get(&mut self) -> wasmtime::Result<String> {
        self.count()?;
        Ok(if self.context.config.is_object() { self.context.config.to_string() } else { "{}".to_owned() })
    }
}

impl parameters::Host for Guest {
    fn get(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        self.count()?;
        Ok(self.context.parameters.get(&name).map(ToString::to_string))
    }

    fn all(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        self.count()?;
        Ok(self.context.parameters.iter().map(|(name, value)| (name.clone(), value.to_string())).collect())
    }
}

impl parameter_writes::Host for Guest {
    fn set(&mut self, session: String, name: String, value: Option<String>) -> wasmtime::Result<Result<(), String>> {
        self.count()?;
        let said = self.set_parameter(session, name, value);
        self.tell(said)
    }
}

impl secrets::Host for Guest {
    async fn hmac_sha256(&mut self, name: String, data: Vec<u8>) -> wasmtime::Result<Result<Vec<u8>, String>> {
        self.count()?;
        if !self.context.grants.secrets.contains(&name) {
            return self.end(PluginFailure::NotGranted(format!("secrets: {name}")));
        }
        let Some(hmac) = self.context.services.secrets.clone() else { return Ok(Err("secrets cannot be used here".to_owned())) };
        match hmac(name.clone(), data).await {
            Ok(Some(code)) => Ok(Ok(code.into())),
            Ok(None) => self.end(PluginFailure::SecretMissing(name)),
            Err(error) => self.end(PluginFailure::RetryLater(format!("the secret `{name}` cannot be read: {error}"))),
        }
    }
}

impl events::Host for Guest {
    fn emit(&mut self, event: events::Emission) -> wasmtime::Result<Result<String, String>> {
        self.count()?;
        let said = self.emit_event(event);
        self.tell(said)
    }
}

impl webhooks::Host for Guest {
    async fn invoke(
        &mut self,
        webhook: String,
        parameters: Vec<(String, String)>,
        data: String,
        context: String,
    ) -> wasmtime::Result<Result<webhooks::Invoked, String>> {
        self.count()?;
        let Some(invoke) = self.context.invoke.clone() else {
            return Ok(Err("webhooks can be invoked only while a call is answered".to_owned()));
        };
        let admitted = self.admit_invocation(webhook, parameters, &data, &context);
        let request = match self.tell(admitted)? {
            Ok(request) => request,
            Err(reason) => return Ok(Err(reason)),
        };
        self.meter.pause(Instant::now());
        let invoked = invoke(request).await;
        self.meter.resume(Instant::now());
        let invoked = match invoked {
            Ok(invoked) => Ok(invoked),
            Err(NotInvoked::Told(reason)) => Err(reason),
            Err(NotInvoked::Waits(reason)) => return self.end(PluginFailure::RetryLater(reason)),
        };
        Ok(invoked.map(|Invoked { delivered, http_status, error_event, parameters, output }| webhooks::Invoked {
            delivered,
            http_status,
            error_event,
            parameters: convert::to_texts(&parameters),
            output: output.map(|value| value.to_string()),
        }))
    }
}

impl state::Host for Guest {
    async fn get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        self.count()?;
        if !self.context.grants.state {
            return self.end(PluginFailure::NotGranted("state".to_owned()));
        }
        if let Some(value) = self.buffered.state.get(&key) {
            return Ok(value.clone());
        }
        let Some(read) = &self.context.services.state else { return Ok(None) };
        match read(self.context.plugin.clone(), key).await {
            Ok(value) => Ok(value),
            Err(error) => self.end(PluginFailure::RetryLater(format!("its state cannot be read: {error}"))),
        }
    }

    fn set(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), String>> {
        self.count()?;
        let said = self.set_state(key, Some(value));
        self.tell(said)
    }

    fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), String>> {
        self.count()?;
        let said = self.set_state(key, None);
        self.tell(said)
    }
}

impl script::host::Host for Guest {
    fn source(&mut self) -> wasmtime::Result<String> {
        self.count()?;
        Ok(self.script.as_deref().unwrap_or_default().to_owned())
    }

    fn seed(&mut self) -> wasmtime::Result<(u32, u32, u32, u32)> {
        self.count()?;
        let Some(Ambient { seed, .. }) = self.context.rehearsal else { return Ok(rand::random()) };
        let word = |at: usize| seed.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes);
        Ok((word(0), word(4), word(8), word(12)))
    }

    fn threw(&mut self, text: String) -> wasmtime::Result<()> {
        self.count()?;
        self.threw = Some(text);
        Ok(())
    }
}
