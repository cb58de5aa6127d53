//! Plugins in the sandbox: single calls beside the same logic compiled natively,
//! and whole diagnoses with all of them. One binary, because each takes minutes
//! to link.

#[path = "../../flow/benches/support/aks_ruleset.rs"]
mod aks_ruleset;
mod call;
mod diagnosis;
mod large_estate;
#[path = "../../flow/benches/support/processor_time.rs"]
mod processor_time;
mod replay;

use criterion::{Criterion, criterion_group, criterion_main};
use processor_time::ProcessorTime;

criterion_group! {
    name = calls;
    config = Criterion::default().with_measurement(ProcessorTime);
    targets = call::diagnose, call::plan
}
// By the clock: plugins compute on all processors, and someone waits for them.
criterion_group!(diagnoses, diagnosis::all_plugins);
criterion_main!(calls, diagnoses);
