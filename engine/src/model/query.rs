//! What can be read. The closed list that plugins choose from and drivers answer.

use std::fmt;

/// Body of [`NodeObservation::FirewallRuleset`].
pub use naosu_flow::iptables::FirewallRuleset;
/// Body of [`NodeObservation::UfwRules`].
pub use naosu_flow::ufw::UfwRules;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::plugin::Capability;

/// One read. Mirrors `query` of the plugin contract, but for what only the host asks.
#[derive(
    Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Query {
    /// One Azure resource.
    AzureGet {
        /// ARM id.
        resource: String,
    },
    /// A collection, all pages, answered as one JSON array.
    AzureList {
        /// ARM path of the collection.
        path: String,
    },
    /// A metric of one resource, answered as JSON: the dimensions of each series and
    /// its values, one a minute.
    AzureMetric {
        /// ARM id.
        resource: String,
        /// "SnatConnectionCount".
        metric: String,
        /// "Total", "Average".
        aggregation: String,
        /// OData filter; empty for none.
        filter: String,
        /// How far back, in minutes.
        window_minutes: u32,
    },
    /// One Kubernetes object.
    KubernetesGet {
        /// Which.
        object: ObjectRef,
    },
    /// Objects of one kind, answered as one JSON array.
    KubernetesList {
        /// "v1", "apps/v1".
        api_version: String,
        /// "Pod".
        object_kind: String,
        /// Empty for all.
        namespace: String,
        /// Empty for all.
        label_selector: String,
    },
    /// What a node says of itself.
    Node {
        /// Kubernetes node name.
        node: String,
        /// Which observation.
        what: NodeObservation,
    },
    /// A TCP connection tried from a node; answered by [`ProbeResult`] as JSON.
    TcpProbe {
        /// Kubernetes node name.
        from_node: String,
        /// Address or name.
        to_host: String,
        /// TCP port.
        port: u16,
    },
    /// The kubelet of a node asked through the API server; answered by
    /// [`ProbeResult`] as JSON.
    TunnelProbe {
        /// Kubernetes node name.
        node: String,
    },
    /// The log of a pod that runs on a node, read through the API server; answered by
    /// [`ProbeResult`] as JSON, or by `NotFound` where none runs. Only the host asks so.
    LogProbe {
        /// Kubernetes node name.
        node: String,
    },
    /// TCP connections tried from a node in one command, answered by a list of
    /// [`ProbeResult`] as JSON, one a host. Only the host asks so.
    TcpProbes {
        /// Kubernetes node name.
        from_node: String,
        /// Addresses or names.
        to_hosts: Vec<String>,
        /// TCP port.
        port: u16,
    },
}

impl Query {
    /// The capability that a plugin needs for this read.
    pub fn capability(&self) -> Capability {
        match self {
            Self::AzureGet { .. } | Self::AzureList { .. } => Capability::AzureRead,
            Self::AzureMetric { .. } => Capability::AzureMetrics,
            Self::KubernetesGet { .. } | Self::KubernetesList { .. } => Capability::KubernetesRead,
            Self::Node { .. } => Capability::NodeRead,
            Self::TcpProbe { .. }
            | Self::TunnelProbe { .. }
            | Self::LogProbe { .. }
            | Self::TcpProbes { .. } => Capability::Probe,
        }
    }
}

impl Query {
    /// Whether the answer would hold credentials of the cluster: nobody's evidence,
    /// and nothing that a plan, a store or an assistant may show.
    pub fn holds_credentials(&self) -> bool {
        let kind = match self {
            Self::KubernetesGet { object } => &object.kind,
            Self::KubernetesList { object_kind, .. } => object_kind,
            _ => return false,
        };
        kind.eq_ignore_ascii_case("Secret") || kind.eq_ignore_ascii_case("Secrets")
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AzureGet { resource } => write!(f, "{resource}"),
            Self::AzureList { path } => write!(f, "{path}"),
            Self::AzureMetric {
                resource, metric, ..
            } => write!(f, "{resource} metric {metric}"),
            Self::KubernetesGet { object } => write!(f, "{object}"),
            Self::KubernetesList {
                object_kind,
                namespace,
                label_selector,
                ..
            } => {
                write!(f, "every {object_kind}")?;
                if !namespace.is_empty() {
                    write!(f, " in {namespace}")?;
                }
                if !label_selector.is_empty() {
                    write!(f, " where {label_selector}")?;
                }
                Ok(())
            }
            Self::Node { node, what } => write!(f, "node/{node} {}", what.name()),
            Self::TcpProbe {
                from_node,
                to_host,
                port,
            } => {
                write!(f, "TCP probe node/{from_node} to {to_host}:{port}")
            }
            Self::TunnelProbe { node } => write!(f, "tunnel probe of node/{node}"),
            Self::LogProbe { node } => write!(f, "log of a pod on node/{node}"),
            Self::TcpProbes {
                from_node,
                to_hosts,
                port,
            } => {
                let hosts = to_hosts.join(", ");
                write!(f, "TCP probes node/{from_node} to {hosts} port {port}")
            }
        }
    }
}

/// A Kubernetes object's name.
#[derive(
    Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub struct ObjectRef {
    /// "v1", "apps/v1".
    pub api_version: String,
    /// "Pod".
    #[serde(rename = "object_kind")]
    pub kind: String,
    /// Empty for cluster-scoped kinds.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{}/{}", self.kind.to_lowercase(), self.name)
        } else {
            write!(
                f,
                "{}/{}/{}",
                self.kind.to_lowercase(),
                self.namespace,
                self.name
            )
        }
    }
}

/// The closed list of node observations; the script of each is the node driver's.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum NodeObservation {
    /// JSON [`UfwStatus`].
    UfwStatus,
    /// JSON [`UfwRules`].
    UfwRules,
    /// JSON [`FirewallRuleset`].
    FirewallRuleset,
    /// Text of `ss -H -lntu`.
    ListeningSockets,
    /// Text: count, process, destination, one line each.
    OutboundConnections,
}

impl NodeObservation {
    /// The name in words of the contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::UfwStatus => "ufw-status",
            Self::UfwRules => "ufw-rules",
            Self::FirewallRuleset => "firewall-ruleset",
            Self::ListeningSockets => "listening-sockets",
            Self::OutboundConnections => "outbound-connections",
        }
    }
}

/// Body of [`NodeObservation::UfwStatus`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UfwStatus {
    /// Whether the program is there at all (current AKS images have none).
    pub installed: bool,
    /// `ufw status verbose` under `LC_ALL=C`; empty when not installed.
    pub verbose: String,
    /// `ufw status numbered` under `LC_ALL=C`; empty when not installed.
    pub numbered: String,
    /// `/etc/default/ufw`; empty when it cannot be read.
    #[serde(default)]
    pub settings: String,
    /// Digest of all that ufw sets in force when it is enabled; its status shows none
    /// of that while it is disabled. Empty when it was not read.
    #[serde(default)]
    pub files: String,
}

/// Body of a probe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProbeResult {
    /// Whether the peer was reached, at every try.
    pub reached: bool,
    /// The error as the tool or the API server said it. Empty when reached,
    /// unless what was reached is at fault itself.
    pub error: String,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
    /// How often it was tried: with several tunnel agents each try may take
    /// another one.
    #[serde(default)]
    pub tries: u32,
    /// How many of the tries reached the peer.
    #[serde(default)]
    pub answered: u32,
}

impl ProbeResult {
    /// Of a single try.
    pub fn of_one_try(error: Option<String>, elapsed_ms: u64) -> Self {
        let reached = error.is_none();
        Self {
            reached,
            error: error.unwrap_or_default(),
            elapsed_ms,
            tries: 1,
            answered: u32::from(reached),
        }
    }
}
