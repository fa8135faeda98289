//! One call: a fresh store and instance, one export, and everything dropped at its end. Dropping the future gives everything back too.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::timeout_at;
use wasmtime::{
    Store, UpdateDeadline,
    component::{Instance, InstancePre},
};
use wasmtime_wizer::ComponentContext;

use super::{
    context::{CallContext, CallFailure, Called, Effects},
    convert,
    directory::Watch,
    failure,
    guest::{Guest, GuestParts},
    lane::IsLong,
    limits::as_size,
    meter::{Due, Meter, Times},
    read_off,
    slots::SlotKind,
};
use crate::{
    model::plugin::{PluginFailure, limits::Limit},
    plugin::{
        bindings::{exports::hookwright as exports, hookwright::plugin::types},
        engine::{Sandbox, TICK},
    },
};

/// The exports of a component, found once.
#[derive(Clone, Default)]
pub(in crate::plugin) struct Exports {
    /// `transform`.
    pub transform: Option<exports::plugin::transform::GuestIndices>,
    /// `answers`.
    pub answers: Option<exports::plugin::answers::GuestIndices>,
    /// `receive`.
    pub receive: Option<exports::plugin::receive::GuestIndices>,
    /// The script engine's own.
    pub script: Option<exports::script::script::GuestIndices>,
}

/// What a guest is asked.
pub(in crate::plugin) enum Asked {
    /// To build a request.
    Transform(types::Delivery, Vec<types::Event>),
    /// To read an answer.
    Answers(types::Delivery, types::Answer),
    /// To answer a call.
    Receive(types::Invocation),
    /// To show that it starts and that its exports have the right types; a script is evaluated too.
    Trial,
    /// To evaluate its script; what it is then is read off it. Only the script engine's recorder can.
    Record(Arc<ComponentContext<'static>>),
}

/// What it said.
pub(in crate::plugin) enum Said {
    /// A request, or that there is none to send.
    Request(Option<types::Request>),
    /// What an answer means.
    Outcome(types::Outcome),
    /// A reply.
    Reply(types::Reply),
    /// Nothing, at a trial; or why a script cannot be evaluated.
    Ready(Result<(), String>),
    /// The component it is by now.
    Recorded(Vec<u8>),
}

/// Everything that makes a call besides the question.
pub(in crate::plugin) struct Call<'a> {
    /// Where.
    pub sandbox: &'a Sandbox,
    /// What is instantiated.
    pub pre: &'a InstancePre<Guest>,
    /// Its exports.
    pub exports: &'a Exports,
    /// What it is given.
    pub context: CallContext,
    /// The script, when it is one.
    pub script: Option<Arc<str>>,
    /// The host directory behind `/data`, when granted.
    pub directory: Option<PathBuf>,
}

/// A call on its way: the store, and what is asked of it when it is over.
struct Running {
    store: Store<Guest>,
    meter: Arc<Meter>,
    started: Instant,
    counts_instructions: bool,
}

impl Call<'_> {
    /// Makes the call, and reads what the guest said with `read`.
    pub async fn run<T: Send + 'static>(
        self,
        asked: Asked,
        read: impl FnOnce(Said) -> Result<T, PluginFailure> + Send + 'static,
    ) -> Result<Called<T>, CallFailure> {
        let kind = match &asked {
            Asked::Receive(_) => SlotKind::Receive,
            Asked::Trial | Asked::Record(_) => SlotKind::Trial,
            Asked::Transform(..) | Asked::Answers(..) => SlotKind::Build,
        };
        // A short call waits for nothing. Without this, a task that makes many in a row would never let another task run.
        tokio::task::consume_budget().await;
        let slot = self.sandbox.slot(kind, &self.context.plugin).await?;
        let (lane, pre, exports) = (&self.sandbox.lane, self.pre.clone(), self.exports.clone());
        let (is_long, conduct) = (IsLong::default(), self.context.conduct.clone());
        let is_rehearsal = self.context.rehearsal.is_some();
        let begins_long = conduct.as_ref().is_some_and(|conduct| conduct.is_long());
        let mut running =
            Running::new(self, is_long.clone()).map_err(|error| PluginFailure::Trapped(format!("it cannot be started: {error:#}")))?;
        let call = async move {
            // Given back when everything of the call is, wherever that happens.
            let _slot = slot;
            let result = running.until_its_end(&pre, &exports, asked).await;
            running.finish(result, read)
        };
        let called = lane.run(call, &is_long, begins_long).await;
        // A rehearsal says nothing of the calls to come, and is in no figure.
        if let Some(conduct) = conduct.filter(|_| !is_rehearsal) {
            conduct.set_long(is_long.get());
            conduct.had_memory(called.as_ref().map_or_else(|failed| failed.memory_bytes, |called| called.memory_bytes));
        }
        called
    }

    /// How long each of `turns` calls of `transform` takes in one and the same instance: what a fresh instance per call is measured
    /// against. Nothing is ever served like this.
    pub async fn repeat(self, delivery: types::Delivery, events: Vec<types::Event>, turns: usize) -> wasmtime::Result<Vec<Duration>> {
        let fuel = failure::hostcall_fuel(&self.context.limits);
        let (pre, exports) = (self.pre, self.exports);
        let mut running = Running::new(self, IsLong::default())?;
        let store = &mut running.store;
        let instance = pre.instantiate_async(&mut *store).await?;
        let transform = found(&exports.transform, "transform")?.load(&mut *store, &instance)?;
        let mut times = Vec::with_capacity(turns);
        for _ in 0..turns {
            store.set_hostcall_fuel(fuel);
            let begun = Instant::now();
            transform
                .call_apply(&mut *store, &delivery, &events)
                .await?
                .map_err(|_| wasmtime::Error::msg("the plugin rejected the event"))?;
            times.push(begun.elapsed());
        }
        Ok(times)
    }
}

impl Running {
    fn new(call: Call<'_>, is_long: IsLong) -> wasmtime::Result<Self> {
        let Call { sandbox, context, script, directory, .. } = call;
        let limits = context.limits;
        let started = Instant::now();
        let wall = context.time_max.unwrap_or(Duration::from_millis(limits.wall_ms));
        let times = Times { wall, invoke: Duration::from_millis(limits.invoke_ms), cpu: Duration::from_millis(limits.cpu_ms) };
        let meter = Arc::new(Meter::start(started, times));
        let mut watch = directory.clone().map(|directory| Watch::of(directory, limits));
        let event_bytes_max = sandbox.event_bytes_max;
        let guest = Guest::new(GuestParts { context, event_bytes_max, meter: Arc::clone(&meter), script, directory })?;
        let mut store = Store::try_new(&sandbox.engine, guest)?;
        store.limiter(|guest| &mut guest.quota);
        store.set_hostcall_fuel(failure::hostcall_fuel(&limits));
        store.set_max_component_handles(as_size(limits.handles));
        store.set_epoch_deadline(1);
        if sandbox.counts_instructions {
            // Never the limit: time is.
            store.set_fuel(u64::MAX)?;
        }
        store.epoch_deadline_callback(move |mut store| {
            let guest = store.data_mut();
            let used = guest.meter.cpu_used();
            let breached = match watch.as_mut().and_then(Watch::finds_overfull) {
                Some(full) => Some(full),
                None if guest.has_no_calls_left() => Some(Limit::HostCalls),
                None if used > guest.meter.cpu_max() => Some(Limit::CpuMs),
                None => None,
            };
            if let Some(limit) = breached {
                return guest.end(PluginFailure::Limit(limit, guest.limits().get(limit)));
            }
            if Instant::now() < guest.meter.due().at {
                // A short call that a tick happens to fall into goes on.
                if used < TICK {
                    return Ok(UpdateDeadline::Continue(1));
                }
                is_long.set();
                return Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())));
            }
            Ok(UpdateDeadline::Interrupt)
        });
        Ok(Self { store, meter, started, counts_instructions: sandbox.counts_instructions })
    }

    /// Runs until the guest has answered, has broken off, or has had its time: that is the outer error.
    async fn until_its_end(
        &mut self,
        pre: &InstancePre<Guest>,
        exports: &Exports,
        asked: Asked,
    ) -> Result<wasmtime::Result<Result<Said, types::Error>>, Due> {
        let meter = &self.meter;
        let call = std::pin::pin!(ask(&mut self.store, pre, exports, asked));
        let mut call = std::pin::pin!(meter.metered(call));
        loop {
            let due = meter.due();
            match timeout_at(due.at.into(), &mut call).await {
                // A guest that is interrupted by the epoch traps a moment after its deadline, or a tick before the timer.
                Ok(Err(error)) if error.downcast_ref::<wasmtime::Trap>() == Some(&wasmtime::Trap::Interrupt) => return Err(due),
                Ok(result) => return Ok(result),
                // An invocation moved the deadline meanwhile.
                Err(_) if meter.due().at > due.at => {}
                Err(_) => return Err(due),
            }
        }
    }

    fn finish<T>(
        mut self,
        result: Result<wasmtime::Result<Result<Said, types::Error>>, Due>,
        read: impl FnOnce(Said) -> Result<T, PluginFailure>,
    ) -> Result<Called<T>, CallFailure> {
        let duration = self.started.elapsed();
        // Not asked where none are counted: the error that says so is made with a backtrace.
        let instructions = if self.counts_instructions { self.store.get_fuel().ok().map(|left| u64::MAX - left) } else { None };
        let guest = self.store.data_mut();
        let log = guest.log.take();
        let memory_bytes = guest.quota.memory_bytes as u64;
        let value = match result {
            Ok(Ok(Ok(said))) => read(said),
            // A guest that got no memory and says so itself, as the script engine does, has broken the same limit.
            Ok(Ok(Err(_))) if guest.quota.denied == Some(Limit::MemoryBytes) => {
                Err(PluginFailure::Limit(Limit::MemoryBytes, guest.limits().memory_bytes))
            }
            Ok(Ok(Err(error))) => Err(guest.threw.take().map_or_else(|| convert::guest_error(error), convert::threw)),
            Ok(Err(error)) => Err(failure::name(&error, guest, &log)),
            Err(Due { limit, value, .. }) => Err(PluginFailure::Limit(limit, u64::try_from(value.as_millis()).unwrap_or(u64::MAX))),
        };
        match value {
            Ok(value) => Ok(Called { value, effects: self.effects(), log, duration, memory_bytes, instructions }),
            Err(failure) => Err(CallFailure { failure, log, duration, memory_bytes, instructions }),
        }
    }

    fn effects(&mut self) -> Effects {
        std::mem::take(&mut self.store.data_mut().buffered).into_effects()
    }
}

async fn ask(
    store: &mut Store<Guest>,
    pre: &InstancePre<Guest>,
    exports: &Exports,
    asked: Asked,
) -> wasmtime::Result<Result<Said, types::Error>> {
    let instance = pre.instantiate_async(&mut *store).await?;
    Ok(match asked {
        Asked::Transform(delivery, events) => {
            let transform = found(&exports.transform, "transform")?.load(&mut *store, &instance)?;
            transform.call_apply(store, &delivery, &events).await?.map(Said::Request)
        }
        Asked::Answers(delivery, answer) => {
            let answers = found(&exports.answers, "answers")?.load(&mut *store, &instance)?;
            answers.call_read(store, &delivery, &answer).await?.map(Said::Outcome)
        }
        Asked::Receive(invocation) => {
            let receive = found(&exports.receive, "receive")?.load(&mut *store, &instance)?;
            receive.call_receive(store, &invocation).await?.map(Said::Reply)
        }
        Asked::Trial => Ok(Said::Ready(trial(store, &instance, exports).await?)),
        Asked::Record(context) => {
            let script = found(&exports.script, "script")?.load(&mut *store, &instance)?;
            script.call_load(&mut *store).await?.map_err(wasmtime::Error::msg)?;
            Ok(Said::Recorded(read_off::read_off(store, &instance, &context).await?))
        }
    })
}

/// Every export is loaded, which checks its type.
async fn trial(store: &mut Store<Guest>, instance: &Instance, exports: &Exports) -> wasmtime::Result<Result<(), String>> {
    if let Some(transform) = &exports.transform {
        transform.load(&mut *store, instance)?;
    }
    if let Some(answers) = &exports.answers {
        answers.load(&mut *store, instance)?;
    }
    if let Some(receive) = &exports.receive {
        receive.load(&mut *store, instance)?;
    }
    match &exports.script {
        Some(script) if store.data().script.is_some() => script.load(&mut *store, instance)?.call_load(store).await,
        _ => Ok(Ok(())),
    }
}

fn found<'a, T>(export: &'a Option<T>, name: &str) -> wasmtime::Result<&'a T> {
    export.as_ref().ok_or_else(|| wasmtime::Error::msg(format!("it does not export `{name}`")))
}
