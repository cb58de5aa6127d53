//! gRPC: `naosu.v1` served over the façade, and the façade over `naosu.v1`.

pub mod client;
mod diagnosis_service;
pub mod limits;
mod plan_service;
mod plugin_service;
mod run_service;
pub mod serve;
pub mod status;
mod stream;
pub mod wire;

/// The largest answer that is sent or read: a diagnosis of a thousand nodes
/// carries all its observations.
pub const MAX_ANSWER_BYTES: usize = 256 * 1024 * 1024;

/// The largest request that is read: the longest of them carries a symptom.
pub const MAX_REQUEST_BYTES: usize = 4 * 1024 * 1024;

/// Metadata by which a caller asks for a lower role than it has: "assistant" from
/// whoever speaks for one. It never gives more.
pub const ROLE_METADATA: &str = "naosu-role";
