//! The host's side of one call: what a store holds. `imports.rs` works on it, the limits are kept in it.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView, clocks::HostWallClock, random::Deterministic};

use super::{
    context::{CallContext, Effects},
    guest_log::{LogBuffer, Stream},
    limits::{CallLimits, Quota, RESOURCES_MAX},
    meter::Meter,
};
use crate::model::{function::Ambient, plugin::PluginFailure};

/// Where a guest sees the directory it is granted.
const GUEST_DIRECTORY: &str = "/data";

/// Everything the host knows during one call.
pub(super) struct Guest {
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
    /// What bounds it.
    pub limits: CallLimits,
    /// What it did.
    pub buffered: Buffered,
    /// The script to run, when the component is the script engine.
    pub script: Option<Arc<str>>,
    /// Why the host ended the call, when it was the host that did.
    pub ended: Option<PluginFailure>,
}

/// Effects held back until the call ends well, and how many there were.
#[derive(Debug, Default)]
pub(super) struct Buffered {
    /// In the order they were asked for, but for state.
    pub effects: Effects,
    /// The last word on each key of the state.
    pub state: BTreeMap<String, Option<Vec<u8>>>,
    /// Webhooks invoked so far.
    pub invokes: u32,
    bytes: usize,
}

impl Buffered {
    /// Takes `bytes` of the call's allowance.
    pub fn reserve(&mut self, bytes: usize, bytes_max: usize) -> Result<(), String> {
        let wanted = self.bytes.saturating_add(bytes);
        if wanted > bytes_max {
            return Err(format!("one call may change at most {bytes_max} bytes of events, parameters and state"));
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
pub(super) struct GuestParts {
    /// What the call is given.
    pub context: CallContext,
    /// What bounds it.
    pub limits: CallLimits,
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
        let GuestParts { context, limits, meter, script, directory } = parts;
        let log = LogBuffer::new(limits.log_bytes);
        let mut wasi = WasiCtxBuilder::new();
        wasi.stdout(log.stream(Stream::Out)).stderr(log.stream(Stream::Err));
        wasi.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false).max_random_size(limits.output_bytes as u64);
        if let Some(Ambient { now, seed }) = context.rehearsal {
            let random = || Deterministic::new(seed.to_vec());
            let since_epoch = Duration::try_from(now.as_duration()).unwrap_or_default();
            wasi.wall_clock(Standing(since_epoch)).secure_random(random()).insecure_random(random()).insecure_random_seed(0);
        }
        if let Some(directory) = directory {
            wasi.preopened_dir(directory, GUEST_DIRECTORY, FsPerms::ReadWrite)?;
        }
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(RESOURCES_MAX);
        Ok(Self {
            wasi: wasi.build(),
            resources,
            quota: Quota::new(limits.memory_bytes),
            log,
            meter,
            context,
            limits,
            buffered: Buffered::default(),
            script,
            ended: None,
        })
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
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.resources }
    }
}
