//! Nodes.

use std::net::IpAddr;

use serde::Deserialize;

use super::Toleration;
use crate::ResourceId;

/// A node. There can be thousands, with dozens of labels each: only what is
/// asked about is kept.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // the fields are Kubernetes's own
pub struct Node {
    pub metadata: NodeMetadata,
    pub spec: NodeSpec,
    pub status: NodeStatus,
}

/// Its name, and what it is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct NodeMetadata {
    pub name: String,
    pub labels: NodeLabels,
}

/// Labels that tell what kind of node it is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeLabels {
    /// `linux` or `windows`.
    #[serde(rename = "kubernetes.io/os")]
    pub os: String,
    /// `virtual-kubelet` where no machine is behind the node.
    #[serde(rename = "type")]
    pub node_type: String,
}

/// What is wanted of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct NodeSpec {
    #[serde(rename = "providerID")]
    pub provider_id: String,
    pub taints: Vec<Taint>,
    pub unschedulable: bool,
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

impl std::fmt::Display for Taint {
    /// As kubectl writes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.key)?;
        if !self.value.is_empty() {
            write!(f, "={}", self.value)?;
        }
        write!(f, ":{}", self.effect)
    }
}

/// What it is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct NodeStatus {
    pub addresses: Vec<NodeAddress>,
    pub conditions: Vec<NodeCondition>,
}

/// Whether something is the case with it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct NodeCondition {
    #[serde(rename = "type")]
    pub condition_type: String,
    pub status: String,
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

    /// Whether no machine is behind it: what answers for it is a pod.
    pub fn is_virtual(&self) -> bool {
        self.metadata.labels.node_type == "virtual-kubelet"
    }

    /// Whether its machine stands by itself, in no scale set.
    pub fn is_standalone(&self) -> bool {
        let machine = ResourceId(self.spec.provider_id.clone());
        machine.after("virtualMachines").is_some()
            && machine.after("virtualMachineScaleSets").is_none()
    }

    /// Why nothing can be read on it, as on a Linux machine; `None` where it can.
    pub fn why_not_read(&self) -> Option<&'static str> {
        if self.is_virtual() {
            Some("a virtual node has no machine of its own")
        } else if self.metadata.labels.os.eq_ignore_ascii_case("windows") {
            Some("a Windows node has no iptables and no ufw")
        } else {
            None
        }
    }

    /// Taints that keep a pod with these tolerations away, or evict it.
    pub fn taints_against<'a>(
        &'a self,
        tolerations: &'a [Toleration],
    ) -> impl Iterator<Item = &'a Taint> {
        self.spec.taints.iter().filter(|taint| {
            matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute")
                && !tolerations
                    .iter()
                    .any(|toleration| toleration.covers(taint))
        })
    }

    /// Whether it says it is ready.
    pub fn is_ready(&self) -> bool {
        let mut conditions = self.status.conditions.iter();
        conditions.any(|known| known.condition_type == "Ready" && known.status == "True")
    }
}
