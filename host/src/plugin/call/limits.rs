//! What bounds guests besides the limits an admin sets ([`crate::model::plugin::limits`]), and the accountant of their memory.

use wasmtime::ResourceLimiter;

use crate::model::plugin::limits::{Limit, PluginLimits};

/// Linear memories of one component.
pub const MEMORIES_PER_COMPONENT_MAX: u32 = 2;
/// Tables of one component; a module made a component with the WASI adapter has two.
pub const TABLES_PER_COMPONENT_MAX: u32 = 6;
/// Bytes of a key of a plugin's state.
pub const STATE_KEY_BYTES_MAX: usize = 256;
/// Bytes of a value of a plugin's state.
pub const STATE_VALUE_BYTES_MAX: usize = 64 * 1024;
/// What a guest may hand over in one call of the host besides what its memory holds: lengths, options, short strings.
pub const OUTPUT_SLACK_BYTES: usize = 64 * 1024;
/// Characters kept of an error a guest returns.
pub const ERROR_CHARS_MAX: usize = 4096;

/// A limit as a length in memory.
pub(in crate::plugin) fn as_size(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// Counts what a store's instances hold and remembers what they were denied, so that the trap that follows gets its right name.
#[derive(Debug)]
pub(in crate::plugin) struct Quota {
    memory_bytes_max: usize,
    table_elements_max: usize,
    core_instances_max: usize,
    /// Bytes of linear memory now, which is also the most there was: memories do not shrink.
    pub memory_bytes: usize,
    /// The limit that denied something last.
    pub denied: Option<Limit>,
}

impl Quota {
    /// Nothing used, nothing denied.
    pub fn new(limits: &PluginLimits) -> Self {
        Self {
            memory_bytes_max: as_size(limits.memory_bytes),
            table_elements_max: as_size(limits.table_elements),
            core_instances_max: as_size(limits.core_instances),
            memory_bytes: 0,
            denied: None,
        }
    }
}

impl ResourceLimiter for Quota {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let wanted = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        if wanted > self.memory_bytes_max {
            self.denied = Some(Limit::MemoryBytes);
            return Ok(false);
        }
        self.memory_bytes = wanted;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > self.table_elements_max {
            self.denied = Some(Limit::TableElements);
            return Ok(false);
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.core_instances_max
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
        let mut quota = Quota::new(&PluginLimits { memory_bytes: 100, ..PluginLimits::DEFAULT });
        assert!(quota.memory_growing(0, 60, None).is_ok_and(|granted| granted));
        assert!(quota.memory_growing(0, 40, None).is_ok_and(|granted| granted));
        assert_eq!(quota.denied, None);
        assert!(quota.memory_growing(60, 61, None).is_ok_and(|granted| !granted));
        assert_eq!((quota.memory_bytes, quota.denied), (100, Some(Limit::MemoryBytes)));
    }
}
