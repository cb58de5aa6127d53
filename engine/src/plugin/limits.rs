//! What one call of a plugin may use.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasmtime::ResourceLimiter;

/// Limits of the sandbox. Every field counts for one call, but for
/// `component_bytes`, `compile_ms` and `concurrent_calls`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest component file.
    pub component_bytes: usize,
    /// Milliseconds that compiling a component may take.
    pub compile_ms: u64,
    /// Linear memory.
    pub memory_bytes: usize,
    /// Elements of a table of functions.
    pub table_elements: usize,
    /// Instances of core modules in a component.
    pub instances: usize,
    /// What a guest may hand over in one call, to or from the host.
    pub transfer_bytes: usize,
    /// What all answers to its reads may have together; each is copied for it.
    pub answer_bytes: usize,
    /// What it may write to stdout and stderr together; more is dropped.
    pub log_bytes: usize,
    /// Milliseconds that guest code may run; waiting for reads does not count.
    pub running_ms: u64,
    /// Milliseconds from start to end, reads included. Each read is bounded by
    /// itself; this has to leave a thousand nodes the time for theirs.
    pub elapsed_ms: u64,
    /// Reads of one call.
    pub reads: usize,
    /// Calls at the same time; more wait.
    pub concurrent_calls: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            component_bytes: 16 << 20,
            compile_ms: 120_000,
            memory_bytes: 256 << 20,
            table_elements: 20_000,
            instances: 16,
            transfer_bytes: 16 << 20,
            answer_bytes: 256 << 20,
            log_bytes: 16 << 10,
            running_ms: 10_000,
            elapsed_ms: 3_600_000,
            reads: 20_000,
            concurrent_calls: 16,
        }
    }
}

impl Limits {
    pub(super) fn elapsed(&self) -> Duration {
        Duration::from_millis(self.elapsed_ms)
    }

    pub(super) fn compiling(&self) -> Duration {
        Duration::from_millis(self.compile_ms)
    }
}

/// Refuses growth past the limits and remembers that it did, so that the abort
/// that follows in the guest is reported as what it is.
pub(super) struct Meter {
    memory_bytes: usize,
    table_elements: usize,
    instances: usize,
    /// The limit that growth was refused for.
    pub refused: Option<String>,
    /// Epochs that guest code has run through.
    pub ticks: u64,
}

impl Meter {
    pub fn new(limits: &Limits) -> Self {
        Self {
            memory_bytes: limits.memory_bytes,
            table_elements: limits.table_elements,
            instances: limits.instances,
            refused: None,
            ticks: 0,
        }
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let fits = desired <= self.memory_bytes;
        if !fits {
            self.refused = Some(format!("more than {} bytes of memory", self.memory_bytes));
        }
        Ok(fits)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let fits = desired <= self.table_elements;
        if !fits {
            self.refused = Some(format!("more than {} table elements", self.table_elements));
        }
        Ok(fits)
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn memories(&self) -> usize {
        self.instances
    }

    fn tables(&self) -> usize {
        self.instances
    }
}
