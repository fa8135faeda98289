//! What bounds one call of a guest, and the accountant of its memory.

use std::time::Duration;

use wasmtime::ResourceLimiter;

use crate::config::Limits;

/// Elements of one table: function pointers. A Rust guest has some hundreds, the script engine some thousands.
pub const TABLE_ELEMENTS_MAX: usize = 20_000;
/// Linear memories of one component.
pub const MEMORIES_PER_COMPONENT_MAX: u32 = 2;
/// Tables of one component; a module made a component with the WASI adapter has two.
pub const TABLES_PER_COMPONENT_MAX: u32 = 6;
/// Core instances of one component; a module made a component with the WASI adapter has about four.
pub const CORE_INSTANCES_PER_COMPONENT_MAX: u32 = 16;
/// Host resources (streams, pollables, open files) one call may hold.
pub const RESOURCES_MAX: usize = 1024;
/// Wall time one call may spend waiting for the webhooks it invokes. It does not count against `plugin_time_max`.
pub const INVOKE_TIME_MAX: Duration = Duration::from_secs(60);
/// Bytes of a key of a plugin's state.
pub const STATE_KEY_BYTES_MAX: usize = 256;
/// Bytes of a value of a plugin's state.
pub const STATE_VALUE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of files in the directory a plugin is granted: looked at before each call and every 20 ms during it.
pub const DIRECTORY_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Files and directories in it.
pub const DIRECTORY_FILES_MAX: u64 = 10_000;
/// What a guest may hand over in one call of the host above `output_bytes`: lengths, options, short strings.
pub const OUTPUT_SLACK_BYTES: usize = 64 * 1024;
/// Characters kept of an error a guest returns.
pub const ERROR_CHARS_MAX: usize = 4096;

/// What bounds one call: the part of the configuration that concerns guests.
#[derive(Clone, Debug)]
pub struct CallLimits {
    /// Wall time, without the time spent in `webhooks.invoke`.
    pub time: Duration,
    /// Linear memory, all memories together, in bytes.
    pub memory_bytes: usize,
    /// Bytes returned, and separately bytes of buffered effects.
    pub output_bytes: usize,
    /// Bytes of log kept.
    pub log_bytes: usize,
    /// Bytes of one emitted event's data.
    pub event_bytes: usize,
    /// Events emitted.
    pub emissions: u32,
    /// Webhooks invoked.
    pub invokes: u32,
    /// Wall time in all invocations together.
    pub invoke_time: Duration,
}

impl CallLimits {
    /// The part of `limits` that concerns one call.
    pub fn of(limits: &Limits) -> Self {
        Self {
            time: limits.plugin_time_max,
            memory_bytes: limits.plugin_memory_bytes_max,
            output_bytes: limits.plugin_output_bytes_max,
            log_bytes: limits.plugin_log_bytes_max,
            event_bytes: limits.event_bytes_max,
            emissions: limits.emissions_per_call_max,
            invokes: limits.invokes_per_call_max,
            invoke_time: INVOKE_TIME_MAX,
        }
    }
}

/// Counts what a store's instances hold and remembers what they were denied, so that the trap that follows gets its right name.
#[derive(Debug)]
pub(super) struct Quota {
    memory_bytes_max: usize,
    /// Bytes of linear memory now, which is also the most there was: memories do not shrink.
    pub memory_bytes: usize,
    /// Whether memory was denied.
    pub memory_denied: bool,
    /// Whether a table was denied to grow.
    pub table_denied: bool,
}

impl Quota {
    /// Nothing used, nothing denied.
    pub fn new(memory_bytes_max: usize) -> Self {
        Self { memory_bytes_max, memory_bytes: 0, memory_denied: false, table_denied: false }
    }
}

impl ResourceLimiter for Quota {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let wanted = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        if wanted > self.memory_bytes_max {
            self.memory_denied = true;
            return Ok(false);
        }
        self.memory_bytes = wanted;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.table_denied |= desired > TABLE_ELEMENTS_MAX;
        Ok(desired <= TABLE_ELEMENTS_MAX)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_PER_COMPONENT_MAX as usize
    }

    fn tables(&self) -> usize {
        TABLES_PER_COMPONENT_MAX as usize
    }

    fn memories(&self) -> usize {
        MEMORIES_PER_COMPONENT_MAX as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_memories_together_stay_within_the_limit_and_a_denial_is_remembered() {
        let mut quota = Quota::new(100);
        assert!(quota.memory_growing(0, 60, None).is_ok_and(|granted| granted));
        assert!(quota.memory_growing(0, 40, None).is_ok_and(|granted| granted));
        assert!(!quota.memory_denied);
        assert!(quota.memory_growing(60, 61, None).is_ok_and(|granted| !granted));
        assert_eq!((quota.memory_bytes, quota.memory_denied), (100, true));
    }
}
