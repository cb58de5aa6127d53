//! The data planes: real packets, and their simulation where no namespaces are allowed.

mod namespaced;
mod node;
mod probe;
mod simulated;
mod workload;

use std::time::Duration;

pub use namespaced::NamespacedDataPlane;
pub use probe::{Probe, ProbeResult};
pub use simulated::SimulatedDataPlane;
pub use workload::OutboundUsage;

/// How a data plane behaves where reality has no one answer.
#[derive(Debug, Clone)]
pub struct DataPlaneOptions {
    /// How long a tunnel agent dials a node before it says `i/o timeout`; AKS's takes 30 s, which
    /// no test wants to wait for.
    pub dial_limit: Duration,
    /// How long a script on a node may run.
    pub script_limit: Duration,
    /// Marks the processes of this lab.
    pub lab_id: String,
}

impl Default for DataPlaneOptions {
    fn default() -> Self {
        Self {
            dial_limit: Duration::from_secs(1),
            script_limit: Duration::from_secs(120),
            lab_id: uuid::Uuid::new_v4().simple().to_string(),
        }
    }
}
