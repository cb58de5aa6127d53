//! How the control plane of a cluster reaches its nodes.

use std::{collections::BTreeSet, net::IpAddr};

use crate::{
    Cluster, Observed, PluginError, Query, Reads,
    arm::ManagedCluster,
    kubernetes::{Node, Pod, all_nodes, system_pods},
    read_json, read_json_many,
};

/// TCP port of the kubelet, where the agents connect to.
pub const KUBELET_PORT: u16 = 10250;

/// Nodes that stand for all on which an agent may come up.
const CANDIDATES: usize = 10;

/// The kind of tunnel. Decided from the agents' own labels and names, since
/// `component=tunnel` is also on konnectivity agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunnelType {
    /// `konnectivity-agent`, which dials out on TCP 443.
    Konnectivity,
    /// `tunnelfront`, which dials out on TCP 9000.
    Tunnelfront,
    /// `aks-link`, which dials out on UDP 1194.
    AksLink,
    /// No tunnel: the API server has addresses in the virtual network.
    VnetIntegration,
    /// No agent is there and nothing says why.
    NotFound,
}

impl TunnelType {
    /// Its name as people know it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Konnectivity => "konnectivity",
            Self::Tunnelfront => "tunnelfront",
            Self::AksLink => "aks-link",
            Self::VnetIntegration => "API server VNet integration",
            Self::NotFound => "no tunnel agent",
        }
    }

    /// Protocol and port that its agents dial out on.
    pub fn egress(self) -> Option<(&'static str, u16)> {
        match self {
            Self::Konnectivity => Some(("Tcp", 443)),
            Self::Tunnelfront => Some(("Tcp", 9000)),
            Self::AksLink => Some(("Udp", 1194)),
            Self::VnetIntegration | Self::NotFound => None,
        }
    }
}

/// A tunnel agent.
#[derive(Clone, Debug)]
pub struct Agent {
    /// Its pod.
    pub pod: Pod,
    /// The address its packets come from, when it has one.
    pub address: Option<IpAddr>,
}

/// The tunnel of a cluster.
#[derive(Clone, Debug)]
pub struct Tunnel {
    /// What kind.
    pub tunnel_type: TunnelType,
    /// Its agents that are alive.
    pub agents: Vec<Agent>,
    /// When the pods were read.
    pub observed_at: u64,
}

/// The selectors, in the order in which they decide.
const SELECTORS: [(&str, TunnelType); 3] = [
    ("app=konnectivity-agent", TunnelType::Konnectivity),
    ("app=aks-link", TunnelType::AksLink),
    ("component=tunnel", TunnelType::Tunnelfront),
];

impl Tunnel {
    /// Reads the agents and tells the type.
    ///
    /// # Errors
    /// When pods cannot be listed.
    pub fn observe(reads: &dyn Reads, cluster: &ManagedCluster) -> Result<Self, PluginError> {
        let queries = SELECTORS.map(|(selector, _)| system_pods(selector));
        let mut observed_at = 0;
        let mut found = (TunnelType::NotFound, Vec::new());
        let answers = read_json_many::<Vec<Pod>>(reads, &queries);
        for ((_, tunnel_type), answer) in SELECTORS.into_iter().zip(answers) {
            let Observed {
                value: pods,
                observed_at: at,
                ..
            } = answer?;
            observed_at = observed_at.max(at);
            let pods: Vec<Pod> = pods
                .into_iter()
                .filter(|pod| pod.is_alive() && is_agent_of(pod, tunnel_type))
                .collect();
            if found.1.is_empty() && !pods.is_empty() {
                found = (tunnel_type, pods);
            }
        }
        let (mut tunnel_type, pods) = found;
        let access = cluster.properties.api_server_access_profile.as_ref();
        if tunnel_type == TunnelType::NotFound
            && access.is_some_and(|access| access.enable_vnet_integration)
        {
            tunnel_type = TunnelType::VnetIntegration;
        }
        let agents = pods
            .into_iter()
            .map(|pod| Agent {
                address: source_address(&pod, cluster),
                pod,
            })
            .collect();
        Ok(Self {
            tunnel_type,
            agents,
            observed_at,
        })
    }

    /// Where the agents' packets come from, each once.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let mut addresses: Vec<IpAddr> = self.agents.iter().filter_map(|a| a.address).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    /// Names of the nodes that agents run on, each once.
    pub fn agent_nodes(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .agents
            .iter()
            .map(|agent| agent.pod.spec.node_name.as_str())
            .filter(|name| !name.is_empty())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

fn is_agent_of(pod: &Pod, tunnel_type: TunnelType) -> bool {
    let app = pod.metadata.labels.get("app").map(String::as_str);
    match tunnel_type {
        TunnelType::Tunnelfront => {
            app.is_none_or(|app| app == "tunnelfront")
                && pod.metadata.name.starts_with("tunnelfront")
        }
        _ => true,
    }
}

/// Pods with addresses of their own in the virtual network are not translated
/// on the way to other nodes; all others leave with the address of their node.
fn source_address(pod: &Pod, cluster: &ManagedCluster) -> Option<IpAddr> {
    let network = &cluster.properties.network_profile;
    let is_flat = network.network_plugin.eq_ignore_ascii_case("azure")
        && !network.network_plugin_mode.eq_ignore_ascii_case("overlay");
    let text = if is_flat && !pod.status.pod_ip.is_empty() {
        &pod.status.pod_ip
    } else {
        &pod.status.host_ip
    };
    text.parse().ok()
}

/// The cluster, its tunnel and its nodes: where most diagnoses begin.
#[derive(Clone, Debug)]
pub struct TunnelNodes {
    /// The managed cluster.
    pub cluster: Observed<ManagedCluster>,
    /// Its tunnel.
    pub tunnel: Tunnel,
    /// Its nodes.
    pub nodes: Vec<Node>,
    /// When the nodes were read.
    pub observed_at: u64,
}

impl TunnelNodes {
    /// Reads them.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn observe(reads: &dyn Reads, cluster: &Cluster) -> Result<Self, PluginError> {
        let cluster: Observed<ManagedCluster> =
            read_json(reads, &Query::AzureGet(cluster.id.clone()))?;
        let tunnel = Tunnel::observe(reads, &cluster.value)?;
        let nodes: Observed<Vec<Node>> = read_json(reads, &all_nodes())?;
        Ok(Self {
            cluster,
            tunnel,
            nodes: nodes.value,
            observed_at: nodes.observed_at,
        })
    }
}

impl Tunnel {
    /// Where packets to kubelets come from, each with its node: the agents, or,
    /// where no agent is alive, nodes that one may come up on.
    pub fn sources<'a>(&'a self, nodes: &'a [Node]) -> Vec<(IpAddr, &'a str)> {
        if self.agents.is_empty() {
            let candidates = nodes.iter().take(CANDIDATES);
            return candidates
                .filter_map(|node| {
                    let address = node.internal_addresses().next()?;
                    Some((address, node.metadata.name.as_str()))
                })
                .collect();
        }
        self.agents
            .iter()
            .filter_map(|agent| Some((agent.address?, agent.pod.spec.node_name.as_str())))
            .collect()
    }

    /// Where packets to the kubelet of one node come from. An agent on that very
    /// node is not translated on the way.
    pub fn sources_towards(&self, node: &str, nodes: &[Node]) -> BTreeSet<IpAddr> {
        let elsewhere = self.sources(nodes).into_iter();
        let elsewhere = elsewhere
            .filter(|(_, from)| *from != node)
            .map(|(address, _)| address);
        let here = self
            .agents
            .iter()
            .filter(|agent| agent.pod.spec.node_name == node)
            .filter_map(|agent| agent.pod.status.pod_ip.parse().ok());
        elsewhere.chain(here).collect()
    }

    /// Why the way of the agents' packets cannot be judged, if it cannot.
    pub fn why_not_judged(&self) -> Option<&'static str> {
        match self.tunnel_type {
            TunnelType::VnetIntegration => Some(
                "The API server is in the virtual network and needs no tunnel agents; \
                 its own way to the nodes is not judged",
            ),
            TunnelType::NotFound => None,
            _ if self.addresses().is_empty() => Some("No tunnel agent has an address yet"),
            _ => None,
        }
    }
}
