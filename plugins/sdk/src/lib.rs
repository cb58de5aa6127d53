//! What the author of a plugin writes against.
//!
//! A plugin judges one cause and proposes its fix. It implements [`Plugin`] as
//! plain functions over [`Reads`], so the same logic runs in the sandbox, in
//! tests and in benchmarks; [`export!`] makes a component of it.
//!
//! ```
//! use naosu_plugin::{
//!     Capability, Cluster, Description, Finding, Judgement, Observed, Plugin, PluginError,
//!     Proposal, Query, Reads, Step, Symptom, Verdict, arm::ManagedCluster, finding,
//! };
//!
//! struct ClusterStopped;
//!
//! impl Plugin for ClusterStopped {
//!     fn describe() -> Description {
//!         Description {
//!             id: "cluster-stopped".into(),
//!             version: env!("CARGO_PKG_VERSION").into(),
//!             cause: "cluster-stopped".into(),
//!             summary: "The cluster is stopped".into(),
//!             fix: String::new(),
//!             parameters: Vec::new(),
//!             capabilities: vec![Capability::AzureRead],
//!             effects: Vec::new(),
//!         }
//!     }
//!
//!     fn diagnose(reads: &dyn Reads, cluster: &Cluster, _: &Symptom) -> Result<Finding, PluginError> {
//!         let observed: Observed<ManagedCluster> =
//!             naosu_plugin::read_json(reads, &Query::AzureGet(cluster.id.clone()))?;
//!         let state = &observed.value.properties.power_state.code;
//!         let judgement = match state.as_str() {
//!             "Stopped" => Judgement::Confirmed,
//!             _ => Judgement::RuledOut,
//!         };
//!         Ok(finding("cluster-stopped", judgement, format!("The cluster is {state}"))
//!             .evidence(observed.evidence("properties.powerState.code", state, "a stopped cluster has no tunnel"))
//!             .build())
//!     }
//!
//!     fn plan(_: &dyn Reads, _: &Cluster, _: &Finding, _: &str) -> Result<Proposal, PluginError> {
//!         Err(PluginError::NothingToDo("start the cluster with az aks start".into()))
//!     }
//!
//!     fn verify(_: &dyn Reads, _: &Cluster, _: &Finding, _: &[Step]) -> Result<Verdict, PluginError> {
//!         Err(PluginError::NothingToDo("there are no steps to judge".into()))
//!     }
//! }
//!
//! naosu_plugin::export!(ClusterStopped);
//! ```

mod admin_rules;
#[cfg(any(target_arch = "wasm32", test))]
mod allocator;
mod api_server;
pub mod arm;
pub mod azure_firewall;
#[cfg(any(target_arch = "wasm32", test))]
mod compare;
pub mod contract;
mod error;
mod evidence;
mod integrated;
pub mod kubernetes;
mod listed;
mod need;
mod network;
pub mod node_firewall;
mod observed;
mod parameters;
mod plugin;
mod port;
pub mod prefixes;
mod resource_id;
pub mod routes;
pub mod security_groups;
pub mod snat;
mod steps;
mod tags;
pub mod testing;
mod tunnel;
pub mod ufw;
pub mod way_out;

pub use admin_rules::{ADMIN_RULE_REMEDY, AdminOutcome, AdminRules, admin_rule_words};
pub use api_server::{ApiServer, Exit, kubernetes_endpoints};
pub use contract::naosu::plugin::types::*;
pub use error::{firewall_error, flow_error, in_words, placement_error, too_complex};
pub use evidence::{FindingBuilder, finding};
pub use integrated::ApiServerSubnet;
pub use listed::listed;
pub use naosu_flow as flow;
pub use need::{Decided, Destinations, Need, Pairing, decide, stopping};
pub use network::{NodeInterface, NodeNetwork};
pub use observed::{Observed, read_json, read_json_many};
pub use parameters::{azure_name, choice, number_within, parameter, parameters};
pub use plugin::{Plugin, Reads};
pub use port::{ServicePort, Transport};
pub use resource_id::ResourceId;
pub use steps::step;
pub use tags::{is_tag, observe_tags};
pub use tunnel::{Agent, KUBELET_PORT, Tunnel, TunnelNodes, TunnelType};

#[doc(hidden)]
pub use plugin::HostReads;

#[cfg(target_arch = "wasm32")]
#[global_allocator]
static MEMORY: allocator::Pools<std::alloc::System> = allocator::Pools::new();
