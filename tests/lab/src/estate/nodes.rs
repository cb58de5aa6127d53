//! Node pools, nodes and pods.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::NAME_DIGITS;
use crate::data_plane::NodeName;

/// A node pool, which is a scale set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pool {
    /// Name.
    pub name: String,
    /// How many nodes.
    pub count: u32,
    /// Name of the subnet of its nodes.
    pub subnet: String,
    /// Address of the first node; the others follow one by one.
    pub first_address: Ipv4Addr,
    /// Name of the NSG on the network interfaces.
    pub network_security_group: Option<String>,
    /// `System` or `User`.
    pub mode: String,
    /// Largest node count of the autoscaler, when it is on.
    pub autoscaler_maximum: Option<u32>,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            name: "nodepool1".into(),
            count: 3,
            subnet: "aks-subnet".into(),
            first_address: Ipv4Addr::new(10, 224, 0, 4),
            network_security_group: None,
            mode: "System".into(),
            autoscaler_maximum: None,
        }
    }
}

impl Pool {
    /// Name of the pool's scale set.
    pub fn scale_set(&self) -> String {
        format!("aks-{}-{NAME_DIGITS}-vmss", self.name)
    }
}

/// What differs on one node from the rest of its pool.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeSettings {
    /// Name of the node.
    pub name: String,
    /// Whether a tunnel agent runs on it; without this setting on any node, the first has one.
    pub agent: Option<bool>,
    /// The arguments of `ufw` calls, such as `deny 10250/tcp`, run in order at start.
    pub ufw: Vec<String>,
    /// Text for `iptables-restore --noflush`.
    pub iptables_restore: Option<String>,
    /// Text for `iptables-legacy-restore --noflush`.
    pub iptables_legacy_restore: Option<String>,
    /// Text for `ip6tables-restore --noflush`.
    pub ip6tables_restore: Option<String>,
    /// Shell commands run as root at start, after the rules.
    pub commands: Vec<String>,
    /// Taints in kubectl's words, such as `CriticalAddonsOnly=true:NoExecute`.
    pub taints: Vec<String>,
    /// Whether the kubelet stand-in runs; a node without is reported not ready.
    pub kubelet_stopped: bool,
    /// Whether the VM's agent answers nothing, so that no run command ends well.
    pub vm_agent_stopped: bool,
    /// What is wrong with the kubelet's port beyond any firewall.
    pub kubelet_fault: Option<KubeletFault>,
    /// Whether the first agent on the node goes stale: connected, and deaf. Its successor is not.
    pub agent_stale: bool,
    /// Whether the first agent on the node hangs: it runs, and never connects. Its successor does.
    pub agent_hung: bool,
    /// How often the first agent on the node was killed for lack of memory so far. Its successor
    /// was not.
    pub agent_memory_kills: u32,
}

/// What can be wrong with a kubelet's port that no firewall is to blame for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KubeletFault {
    /// It speaks HTTP where HTTPS is expected.
    PlainHttp,
    /// It has no serving certificate, and ends every handshake with an internal error.
    NoCertificate,
}

/// A pod besides those every cluster has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pod {
    /// Namespace.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Node it runs on.
    pub node: NodeName,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// How often it was killed for lack of memory so far.
    #[serde(default)]
    pub memory_kills: u32,
}

fn default_namespace() -> String {
    "default".into()
}

/// Something on a node that holds connections to the API server and never closes one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Name.
    pub name: String,
    /// Node it runs on.
    pub node: NodeName,
    /// How many connections it keeps open, or keeps trying to open.
    pub connections: u32,
}

/// A node with everything known about it, resolved from pool and settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Kubernetes and host name.
    pub name: NodeName,
    /// Name of its pool.
    pub pool: String,
    /// Name of its scale set.
    pub scale_set: String,
    /// Instance id in the scale set.
    pub instance: u32,
    /// Its address.
    pub address: Ipv4Addr,
    /// Name of its subnet.
    pub subnet: String,
    /// Whether a tunnel agent is meant to run on it at start.
    pub agent: bool,
    /// What differs on it.
    pub settings: NodeSettings,
}

/// Six digits as AKS numbers instances in node names.
pub(super) fn base36(instance: u32) -> String {
    let mut digits = [b'0'; 6];
    let mut rest = instance;
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdefghijklmnopqrstuvwxyz"[(rest % 36) as usize];
        rest /= 36;
    }
    String::from_utf8_lossy(&digits).into_owned()
}
