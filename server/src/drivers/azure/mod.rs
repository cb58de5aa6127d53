//! Azure Resource Manager and Azure Monitor over their REST API.
//!
//! Resources are kept as the JSON that Azure gave: what is not understood here is
//! written back as it came.

pub mod api_version;
pub mod authority;
pub mod client;
pub mod credential;
pub mod effects;
pub mod error;
pub mod managed_cluster;
mod metric;
pub mod operation;
mod read;
pub mod resource_id;
pub mod response;
pub mod retry;

pub use authority::is_loopback;
pub use client::ArmClient;
pub use error::AzureError;
pub use managed_cluster::{ManagedCluster, ManagedClusters};
pub use metric::MetricQuery;
pub use resource_id::ResourceId;

/// Makes ring the TLS implementation of this process, unless one was chosen.
pub fn install_tls_provider() {
    // An error says that another part of the process was first, with the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
