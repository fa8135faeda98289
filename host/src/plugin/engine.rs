//! The one wasmtime engine of this process: its settings, its clock, its linkers, and who may have an instance.
//!
//! Settings are what measuring left standing, under load rather than one call at a time: pooled instances, memories initialised
//! copy-on-write, tables and memories kept resident, no component-model concurrency. The figures are in `docs/measurements.md`.
//! Interruption is by epochs, see `Ticker`; 1, 2 and 5 ms cost the same.

use std::{
    hash::{Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, Thread},
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use wasmtime::{Config, Engine, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails, component::Linker};

use super::call::{
    guest::Guest,
    imports,
    lane::Lane,
    limits::{MEMORIES_PER_COMPONENT_MAX, TABLES_PER_COMPONENT_MAX, as_size},
    slots::{Permit, SlotKind, Slots, TRIALS_MAX},
};
use crate::{config::Limits, metrics::PoolState, model::plugin::PluginFailure};

/// How often running guests yield to others and look at their deadline.
pub(super) const TICK: Duration = Duration::from_millis(1);
/// How often the ticker, when nothing runs, looks whether the engine is still there.
const LOOK_FOR_ENGINE: Duration = Duration::from_secs(1);
/// Bytes of a used table that are cleared rather than given back: a guest's few hundred function pointers. Worth 5 of 30 us a call.
const TABLE_KEEP_RESIDENT_BYTES: usize = 16 * 1024;
/// Bytes of a used linear memory that are written again rather than given back to the kernel: all that a plugin usually has (1 MiB of stack,
/// its data, a little heap), and what a script works in. Giving back means that the next call faults each page in again, and an
/// interrupt to every other processor; with several calls at once that costs more than writing it all. Kept for each instance there
/// ever was at once, so at most `plugin_instances_max` times as much.
const MEMORY_KEEP_RESIDENT_BYTES: usize = 1536 * 1024;
/// The stack of a guest, apart from the one in its memory. The script engine throws a `RangeError` before it has used all of its own
/// (`JS_STACK_BYTES` of `plugins/script-engine`), and whatever it does until then has to fit in here; a test does all of it.
const GUEST_STACK_BYTES: usize = 4 * 1024 * 1024;
/// The stack of the fiber a guest runs on: its own, and what the host needs below it. Memory is taken for what is used of it.
const FIBER_STACK_BYTES: usize = GUEST_STACK_BYTES + 1024 * 1024;

/// Where guests run.
pub(super) struct Sandbox {
    /// Compiles nothing: artifacts come from the child process.
    pub engine: Engine,
    /// What uploaded plugins may import.
    pub linker: Linker<Guest>,
    /// What the script engine may import.
    pub script_linker: Linker<Guest>,
    /// Bytes of one emitted event's data.
    pub event_bytes_max: usize,
    /// Whether instructions are counted, which costs guests a part of their speed.
    pub counts_instructions: bool,
    /// Where long calls go on.
    pub lane: Lane,
    slots: Slots,
    ticker: Ticker,
}

impl Sandbox {
    /// How much of it is in use.
    pub fn pool(&self) -> PoolState {
        self.slots.pool()
    }

    /// Makes the engine and starts its clock.
    pub fn new(limits: &Limits, counts_instructions: bool) -> wasmtime::Result<Self> {
        let engine = pooled_engine(limits, counts_instructions)?;
        let ticker = Ticker::start(engine.weak())?;
        let mut linker = Linker::new(&engine);
        imports::link(&mut linker)?;
        let mut script_linker = linker.clone();
        imports::link_script(&mut script_linker)?;
        Ok(Self {
            engine,
            linker,
            script_linker,
            event_bytes_max: limits.event_bytes_max,
            counts_instructions,
            lane: Lane::start()?,
            slots: Slots::new(limits),
            ticker,
        })
    }

    /// Waits for an instance; refuses when too many wait already.
    pub async fn slot(&self, kind: SlotKind, plugin: &str) -> Result<Slot, PluginFailure> {
        let permit = self.slots.take(kind, plugin).await?;
        Ok(Slot { _permit: permit, _ticking: self.ticker.tick() })
    }
}

/// Everything that decides what compiled code looks like: the same in the parent and in the child that compiles.
pub(super) fn engine_config(counts_instructions: bool) -> Config {
    let mut config = Config::new();
    config.consume_fuel(counts_instructions);
    config.epoch_interruption(true);
    config.concurrency_support(false);
    config.memory_init_cow(true);
    config.max_wasm_stack(GUEST_STACK_BYTES);
    config.async_stack_size(FIBER_STACK_BYTES);
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config
}

/// What is done to a component before it is compiled, to be counted up when that changes.
const PREPARATION: &str = "data segments joined";

/// The settings and the version of the compiler, and what comes before it, as one word: part of an artifact's name.
pub(super) fn compatibility(engine: &Engine) -> String {
    struct Sha(Sha256);
    impl Hasher for Sha {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0 // Not asked for: the whole digest is used.
        }
    }
    let mut hasher = Sha(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    PREPARATION.hash(&mut hasher);
    hex::encode(&hasher.0.finalize()[..8])
}

fn pooled_engine(limits: &Limits, counts_instructions: bool) -> wasmtime::Result<Engine> {
    let instances = limits.plugin_instances_max.saturating_add(TRIALS_MAX);
    let most = &limits.plugin_maxima;
    let core_instances = u32::try_from(most.core_instances).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(core_instances))
        .total_memories(instances.saturating_mul(MEMORIES_PER_COMPONENT_MAX))
        .total_tables(instances.saturating_mul(TABLES_PER_COMPONENT_MAX))
        .total_stacks(instances)
        .max_core_instances_per_component(core_instances)
        .max_memories_per_component(MEMORIES_PER_COMPONENT_MAX)
        .max_tables_per_component(TABLES_PER_COMPONENT_MAX)
        .table_elements(as_size(most.table_elements))
        .max_memory_size(as_size(most.memory_bytes))
        .table_keep_resident(TABLE_KEEP_RESIDENT_BYTES)
        .linear_memory_keep_resident(MEMORY_KEEP_RESIDENT_BYTES)
        .max_unused_warm_slots(instances);
    let mut config = engine_config(counts_instructions);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config).or_else(|error| {
        // A pool reserves about 8 GiB of address space for each instance; some containers and `ulimit -v` do not give that.
        tracing::warn!(
            error = format!("{error:#}"),
            instances,
            "no address space for the pool of plugin instances; each call allocates its own and is slower. \
             Fewer `plugin_instances_max` or a larger address space limit helps"
        );
        Engine::new(&engine_config(counts_instructions))
    })
}

/// Advances the engine's epoch while a guest runs; sleeps when none does. The thread ends with the engine.
struct Ticker {
    thread: Thread,
    running: Arc<AtomicUsize>,
}

impl Ticker {
    fn start(engine: EngineWeak) -> wasmtime::Result<Self> {
        let running = Arc::new(AtomicUsize::new(0));
        let guests = Arc::clone(&running);
        let ticking = thread::Builder::new().name("plugin-ticker".to_owned()).spawn(move || {
            while let Some(engine) = engine.upgrade() {
                if guests.load(Ordering::SeqCst) > 0 {
                    engine.increment_epoch();
                    drop(engine);
                    thread::sleep(TICK);
                } else {
                    drop(engine);
                    // The start of a guest wakes us, also in the moment before we sleep.
                    thread::park_timeout(LOOK_FOR_ENGINE);
                }
            }
        })?;
        Ok(Self { thread: ticking.thread().clone(), running })
    }

    /// Ticks for as long as what is returned lives.
    fn tick(&self) -> Ticking {
        if self.running.fetch_add(1, Ordering::SeqCst) == 0 {
            self.thread.unpark();
        }
        Ticking(Arc::clone(&self.running))
    }
}

struct Ticking(Arc<AtomicUsize>);

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The right to one instance, for as long as it lives.
pub(super) struct Slot {
    _permit: Permit,
    _ticking: Ticking,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_does_not_change_compiled_code() {
        let pooled = pooled_engine(&Limits { plugin_instances_max: 2, ..Limits::default() }, false).expect("an engine");
        let child = Engine::new(&engine_config(false)).expect("an engine");
        assert_eq!(compatibility(&pooled), compatibility(&child));
    }
}
