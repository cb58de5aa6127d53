//! The one engine that compiles and runs all plugins.

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
    WasmFeatures,
};

use super::{error::PluginError, limits::Limits};

/// Address space a linear memory may span without bounds checks. Reserved, not used.
const MEMORY_RESERVATION_BYTES: u64 = 4 << 30;
/// Memory that a slot keeps after a call, so that the next call faults less.
const KEEP_RESIDENT_BYTES: usize = 512 << 10;
const STACK_BYTES: usize = 1 << 20;
const WASM_STACK_BYTES: usize = 512 << 10;

pub(super) fn engine(limits: &Limits) -> Result<Engine, PluginError> {
    let instances = u32::try_from(limits.instances).unwrap_or(u32::MAX);
    let calls = limits.concurrent_calls.max(1);
    let all = calls.saturating_mul(instances);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(calls)
        .total_core_instances(all)
        .total_memories(calls.saturating_mul(2))
        .total_tables(all)
        .total_stacks(calls)
        .max_core_instances_per_component(instances)
        .max_memories_per_component(2)
        .max_tables_per_component(instances)
        .max_memories_per_module(1)
        .max_tables_per_module(4)
        .max_memory_size(limits.memory_bytes)
        .table_elements(limits.table_elements)
        .max_unused_warm_slots(calls)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        // Where the kernel can tell which pages a call wrote, only those are reset.
        .pagemap_scan(Enabled::Auto)
        .table_keep_resident(16 << 10)
        .async_stack_keep_resident(64 << 10);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .memory_reservation(MEMORY_RESERVATION_BYTES)
        .memory_init_cow(true)
        .epoch_interruption(true)
        .async_stack_size(STACK_BYTES)
        .max_wasm_stack(WASM_STACK_BYTES)
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_nan_canonicalization(true)
        .wasm_features(
            WasmFeatures::MEMORY64 | WasmFeatures::MULTI_MEMORY | WasmFeatures::RELAXED_SIMD,
            false,
        )
        .generate_address_map(false)
        .wasm_backtrace_max_frames(None);
    Engine::new(&config).map_err(|e| PluginError::Sandbox {
        reason: format!("{e:#}"),
    })
}
