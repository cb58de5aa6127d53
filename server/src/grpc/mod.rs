//! gRPC: `naosu.v1` served over the façade, and the façade over `naosu.v1`.

pub mod client;
mod diagnosis_service;
mod plan_service;
mod plugin_service;
mod run_service;
pub mod serve;
pub mod status;
mod stream;
pub mod wire;

/// The largest message that either side accepts: a diagnosis of a thousand
/// nodes carries all its observations.
pub const MAX_MESSAGE_BYTES: usize = 256 * 1024 * 1024;
