//! The host's side of one call: what a store holds. `imports.rs` works on it, the limits are kept in it.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView, clocks::HostWallClock, random::Deterministic};

use super::{
    context::{CallContext, Effects},
    guest_log::{LogBuffer, Stream},
    limits::{Quota, as_size},
    meter::Meter,
};
use crate::model::{
    function::Ambient,
    plugin::{
        PluginFailure,
        limits::{Limit, PluginLimits},
    },
};

/// Where a guest sees the directory it is granted.
const GUEST_DIRECTORY: &str = "/data";

/// Everything the host knows during one call.
pub(in crate::plugin) struct Guest {
    wasi: WasiCtx,
    resources: ResourceTable,
    /// Memory.
    pub quota: Quota,
    /// What the guest writes.
    pub log: LogBuffer,
    /// Its deadline.
    pub meter: Arc<Meter>,
    /// What it was given.
    pub context: CallContext,
    /// Bytes of one emitted event's data.
    pub event_bytes_max: usize,
    /// What it did.
    pub buffered: Buffered,
    /// Calls of the host so far.
    pub host_calls: u64,
    /// The script to run, when the component is the script engine.
    pub script: Option<Arc<str>>,
    /// Why the host ended the call, when it was the host that did.
    pub ended: Option<PluginFailure>,
    /// What a script threw that its author did not mean to, as the engine says before it returns an error.
    pub threw: Option<String>,
}

/// Effects held back until the call ends well, and how many there were.
#[derive(Debug, Default)]
pub(in crate::plugin) struct Buffered {
    /// In the order they were asked for, but for state.
    pub effects: Effects,
    /// The last word on each key of the state.
    pub state: BTreeMap<String, Option<Vec<u8>>>,
    /// Webhooks invoked so far.
    pub invokes: u64,
    bytes: u64,
}

impl Buffered {
    /// Takes `bytes` of the call's allowance.
    pub fn reserve(&mut self, bytes: usize, bytes_max: u64) -> Result<(), PluginFailure> {
        let wanted = self.bytes.saturating_add(bytes as u64);
        if wanted > bytes_max {
            return Err(PluginFailure::Limit(Limit::OutputBytes, bytes_max));
        }
        self.bytes = wanted;
        Ok(())
    }

    /// What is to be committed.
    pub fn into_effects(self) -> Effects {
        Effects { state: self.state.into_iter().collect(), ..self.effects }
    }
}

/// What a guest is made of.
pub(in crate::plugin) struct GuestParts {
    /// What the call is given.
    pub context: CallContext,
    /// Bytes of one emitted event's data.
    pub event_bytes_max: usize,
    /// Its deadline.
    pub meter: Arc<Meter>,
    /// The script, if it is one.
    pub script: Option<Arc<str>>,
    /// The host directory behind `/data`; there only if granted.
    pub directory: Option<PathBuf>,
}

impl Guest {
    /// A guest that was granted nothing but what `parts` says: no environment, arguments, files or sockets. Clocks and
    /// randomness are real, but where it is only tried out.
    pub fn new(parts: GuestParts) -> wasmtime::Result<Self> {
        let GuestParts { context, event_bytes_max, meter, script, directory } = parts;
        let limits = context.limits;
        let log = LogBuffer::new(as_size(limits.log_bytes));
        let mut wasi = WasiCtxBuilder::new();
        wasi.stdout(log.stream(Stream::Out)).stderr(log.stream(Stream::Err));
        wasi.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false).max_random_size(limits.output_bytes);
        if let Some(Ambient { now, seed }) = context.rehearsal {
            let random = || Deterministic::new(seed.to_vec());
            let since_epoch = Duration::try_from(now.as_duration()).unwrap_or_default();
            wasi.wall_clock(Standing(since_epoch)).secure_random(random()).insecure_random(random()).insecure_random_seed(0);
        }
        if let Some(directory) = directory {
            wasi.preopened_dir(directory, GUEST_DIRECTORY, FsPerms::ReadWrite)?;
        }
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(as_size(limits.handles));
        Ok(Self {
            wasi: wasi.build(),
            resources,
            quota: Quota::new(&limits),
            log,
            meter,
            context,
            event_bytes_max,
            buffered: Buffered::default(),
            host_calls: 0,
            script,
            ended: None,
            threw: None,
        })
    }

    /// What bounds it.
    pub fn limits(&self) -> &PluginLimits {
        &self.context.limits
    }

    /// Whether it has called the host too often.
    pub fn has_no_calls_left(&self) -> bool {
        self.host_calls > self.limits().host_calls
    }
}

/// A clock that stands still.
struct Standing(Duration);

impl HostWallClock for Standing {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        self.0
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        // Every function of WASI asks for this. It cannot refuse: the next tick does, when there were too many.
        self.host_calls += 1;
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.resources }
    }
}
