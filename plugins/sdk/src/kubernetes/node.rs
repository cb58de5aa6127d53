//! Nodes.

use std::net::IpAddr;

use serde::Deserialize;

use super::{Condition, Metadata};

/// A node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // the fields are Kubernetes's own
pub struct Node {
    pub metadata: Metadata,
    pub spec: NodeSpec,
    pub status: NodeStatus,
}

/// What is wanted of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct NodeSpec {
    #[serde(rename = "providerID")]
    pub provider_id: String,
    pub taints: Vec<Taint>,
}

/// A taint.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Taint {
    pub key: String,
    pub value: String,
    pub effect: String,
}

/// What it is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct NodeStatus {
    pub addresses: Vec<NodeAddress>,
    pub conditions: Vec<Condition>,
}

/// An address of a node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct NodeAddress {
    #[serde(rename = "type")]
    pub address_type: String,
    pub address: String,
}

impl Node {
    /// Addresses the kubelet is reached at.
    pub fn internal_addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.status
            .addresses
            .iter()
            .filter(|address| address.address_type == "InternalIP")
            .filter_map(|address| address.address.parse().ok())
    }

    /// Whether it says it is ready.
    pub fn is_ready(&self) -> bool {
        Condition::is_true(&self.status.conditions, "Ready")
    }
}
