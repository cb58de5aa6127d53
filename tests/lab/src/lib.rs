//! An AKS estate on one machine, with real packets: for tests, and for `make demo`.
//!
//! A [`Scenario`] states what exists and what is wrong. [`data_plane`] moves its packets; the
//! emulated Azure and Kubernetes APIs sit on top.

pub mod arm;
pub mod data_plane;
pub mod estate;
pub mod fabric;
pub mod kube;
pub mod kubelet;
pub mod lifecycle;
pub mod machine;
pub mod planes;
pub mod scenario;
pub mod tunnel;
pub mod wire;

pub use data_plane::{DataPlane, NodeName};
pub use lifecycle::{Lab, LabOptions};
pub use scenario::{Scenario, builtin_scenario, builtin_scenario_names};
