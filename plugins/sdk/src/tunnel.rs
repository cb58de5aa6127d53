//! How the control plane of a cluster reaches its nodes.

use std::{collections::BTreeSet, net::IpAddr};

use crate::{
    ApiServerSubnet, Cluster, Observed, PluginError, Query, Reads,
    arm::ManagedCluster,
    kubernetes::{Deployment, Node, Pod, all_nodes, system_deployments, system_pods},
    read_json, read_json_many,
};

/// TCP port of the kubelet, where the agents connect to.
pub const KUBELET_PORT: u16 = 10250;

/// Nodes that stand for all on which an agent may come up.
const CANDIDATES: usize = 10;

/// The kind of tunnel. Decided from the agents' own labels and names, since
/// `component=tunnel` is also on konnectivity agents (AKS changelog of
/// 2021-12-02). Where no agent is there, the cluster's profile and then the
/// deployments that should have made some decide.
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
    /// Neither agents nor a deployment of some are there.
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
    /// Their deployment; read only where no agent is alive.
    pub deployment: Option<Deployment>,
    /// Where an API server in the virtual network dials nodes from, or why that is not
    /// known; `None` where agents dial.
    pub api_server: Option<Result<ApiServerSubnet, String>>,
    /// When the pods were read.
    pub observed_at: u64,
}

impl TunnelType {
    /// Name of the agents' deployment in `kube-system`.
    pub fn deployment(self) -> Option<&'static str> {
        match self {
            Self::Konnectivity => Some("konnectivity-agent"),
            Self::Tunnelfront => Some("tunnelfront"),
            Self::AksLink => Some("aks-link"),
            Self::VnetIntegration | Self::NotFound => None,
        }
    }
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
        let api_server = (tunnel_type == TunnelType::VnetIntegration)
            .then(|| ApiServerSubnet::observe(reads, cluster));
        let mut deployment = None;
        if tunnel_type == TunnelType::NotFound
            && let Some((found, of)) = deployment_of_agents(reads)
        {
            tunnel_type = found;
            deployment = Some(of);
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
            deployment,
            api_server,
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

/// The deployment that should have made agents. What cannot be read is as good
/// as not there: it only says more of a fault that is clear without it.
fn deployment_of_agents(reads: &dyn Reads) -> Option<(TunnelType, Deployment)> {
    let listed = read_json::<Vec<Deployment>>(reads, &system_deployments()).ok()?;
    SELECTORS.iter().find_map(|(_, tunnel_type)| {
        let name = tunnel_type.deployment()?;
        let mut all = listed.value.iter();
        let found = all.find(|deployment| deployment.metadata.name == name)?;
        Some((*tunnel_type, found.clone()))
    })
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

/// That nodes are listed: where there is none, nothing can be concluded of any.
pub(crate) fn at_least_one(nodes: &[Node]) -> Result<(), PluginError> {
    if nodes.is_empty() {
        return Err(PluginError::Malformed("no node is listed".to_owned()));
    }
    Ok(())
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
        at_least_one(&nodes.value)?;
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
    /// where none is alive or has a place yet, nodes that one may come up on. None where
    /// the API server dials by itself.
    pub fn sources<'a>(&'a self, nodes: &'a [Node]) -> Vec<(IpAddr, &'a str)> {
        if self.api_server.is_some() {
            return Vec::new();
        }
        if self.addresses().is_empty() {
            // Agents come up on Linux machines alone.
            let candidates = nodes.iter().filter(|node| node.why_not_read().is_none());
            let candidates = candidates.take(CANDIDATES);
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
        if let Some(subnet) = self.api_server_subnet() {
            return subnet.addresses.clone();
        }
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

    /// The subnet that an API server in the virtual network dials nodes from.
    pub fn api_server_subnet(&self) -> Option<&ApiServerSubnet> {
        self.api_server.as_ref()?.as_ref().ok()
    }

    /// Why it is not known where an API server in the virtual network dials this address
    /// from, if it is not.
    pub fn why_no_source(&self, to: IpAddr) -> Option<String> {
        let subnet = self.api_server_subnet()?;
        let mut sources = subnet.addresses.iter();
        let has_one = sources.any(|from| from.is_ipv4() == to.is_ipv4());
        (!has_one).then(|| format!("which addresses of {} dial {to} is not known", subnet.id))
    }

    /// Who dials the nodes, in words.
    pub fn who_dials(&self) -> &'static str {
        match self.tunnel_type {
            TunnelType::VnetIntegration => "the API server",
            _ => "the agents",
        }
    }

    /// Why the way of the packets to the nodes cannot be judged, if it cannot.
    pub fn why_not_judged(&self) -> Option<String> {
        let reason = self.api_server.as_ref()?.as_ref().err()?;
        Some(format!(
            "The API server is in the virtual network and needs no tunnel agents; where it dials \
             nodes from is not known: {reason}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{Estate, Recorded};

    fn pod(name: &str, labels: Value, phase: &str) -> Value {
        json!({ "metadata": { "name": name, "namespace": "kube-system", "labels": labels },
            "spec": { "nodeName": Estate::node_name(0) },
            "status": { "phase": phase, "hostIP": Estate::node_address(0) } })
    }

    /// The estate with these pods, selected as the API server selects.
    fn with_pods(pods: &[Value]) -> Recorded {
        let mut recorded = Estate::default().record();
        for (selector, _) in SELECTORS {
            let (key, value) = selector.split_once('=').unwrap();
            let found: Vec<&Value> = pods
                .iter()
                .filter(|pod| pod["metadata"]["labels"][key] == value)
                .collect();
            recorded.put(system_pods(selector), json!(found));
        }
        recorded
    }

    fn observe(recorded: &Recorded) -> Tunnel {
        TunnelNodes::observe(recorded, &Estate::cluster())
            .unwrap()
            .tunnel
    }

    #[test]
    fn the_type_is_told_by_what_each_agent_is_and_component_tunnel_alone_tells_nothing() {
        let konnectivity = json!({ "app": "konnectivity-agent", "component": "tunnel" });
        let front = json!({ "component": "tunnel" });
        for (pods, expected) in [
            (
                vec![pod("konnectivity-agent-1", konnectivity.clone(), "Running")],
                TunnelType::Konnectivity,
            ),
            (
                vec![pod("tunnelfront-1", front.clone(), "Running")],
                TunnelType::Tunnelfront,
            ),
            (
                vec![pod("aks-link-1", json!({ "app": "aks-link" }), "Running")],
                TunnelType::AksLink,
            ),
            (
                vec![pod("somebody-elses-1", front.clone(), "Running")],
                TunnelType::NotFound,
            ),
            (
                vec![pod(
                    "tunnelfront-1",
                    json!({ "app": "other", "component": "tunnel" }),
                    "Running",
                )],
                TunnelType::NotFound,
            ),
            // A rest of the old tunnel beside the new one.
            (
                vec![
                    pod("tunnelfront-1", front.clone(), "Running"),
                    pod("konnectivity-agent-1", konnectivity.clone(), "Running"),
                ],
                TunnelType::Konnectivity,
            ),
            // An evicted pod that is still listed is no agent.
            (
                vec![
                    pod("konnectivity-agent-1", konnectivity, "Failed"),
                    pod("tunnelfront-1", front, "Running"),
                ],
                TunnelType::Tunnelfront,
            ),
            (vec![], TunnelType::NotFound),
        ] {
            assert_eq!(observe(&with_pods(&pods)).tunnel_type, expected, "{pods:?}");
        }
    }

    #[test]
    fn an_agent_that_is_being_deleted_is_none_beside_its_successor() {
        let labels = json!({ "app": "konnectivity-agent" });
        let mut going = pod("konnectivity-agent-1", labels.clone(), "Running");
        going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        let successor = pod("konnectivity-agent-2", labels, "Pending");
        let tunnel = observe(&with_pods(&[going.clone(), successor]));
        let names: Vec<&str> = tunnel
            .agents
            .iter()
            .map(|agent| agent.pod.metadata.name.as_str())
            .collect();
        assert_eq!(names, ["konnectivity-agent-2"]);
        assert_eq!(
            observe(&with_pods(&[going])).tunnel_type,
            TunnelType::NotFound
        );
    }

    #[test]
    fn without_agents_their_deployment_tells_the_type_and_nodes_stand_in_as_sources() {
        let mut recorded = with_pods(&[]);
        recorded.put(
            system_deployments(),
            json!([{ "metadata": { "name": "coredns" } },
                { "metadata": { "name": "aks-link" }, "spec": { "replicas": 0 } }]),
        );
        let observed = TunnelNodes::observe(&recorded, &Estate::cluster()).unwrap();
        assert_eq!(observed.tunnel.tunnel_type, TunnelType::AksLink);
        assert_eq!(observed.tunnel.deployment.as_ref().unwrap().replicas(), 0);
        assert_eq!(observed.tunnel.sources(&observed.nodes).len(), 3);
    }

    #[test]
    fn agents_without_a_place_leave_the_nodes_to_stand_in_too() {
        let mut waiting = pod(
            "konnectivity-agent-1",
            json!({ "app": "konnectivity-agent" }),
            "Pending",
        );
        waiting["spec"] = json!({});
        waiting["status"] = json!({ "phase": "Pending" });
        let observed = TunnelNodes::observe(&with_pods(&[waiting]), &Estate::cluster()).unwrap();
        assert_eq!(observed.tunnel.agents.len(), 1);
        assert_eq!(observed.tunnel.sources(&observed.nodes).len(), 3);
        assert_eq!(observed.tunnel.why_not_judged(), None);
    }

    #[test]
    fn only_machines_that_agents_can_come_up_on_stand_in() {
        let mut recorded = with_pods(&[]);
        recorded.edit(&all_nodes(), |nodes| {
            nodes[0]["metadata"]["labels"]["kubernetes.io/os"] = json!("windows");
            nodes[1]["metadata"]["labels"]["type"] = json!("virtual-kubelet");
        });
        let observed = TunnelNodes::observe(&recorded, &Estate::cluster()).unwrap();
        let sources = observed.tunnel.sources(&observed.nodes);
        let names: Vec<&str> = sources.into_iter().map(|(_, node)| node).collect();
        assert_eq!(names, [Estate::node_name(2)]);
    }

    #[test]
    fn vnet_integration_is_told_by_the_profile_where_no_agents_are() {
        let integrated = Estate {
            cluster: json!({ "properties": { "apiServerAccessProfile": { "enableVnetIntegration": true } } }),
            ..Estate::default()
        };
        let mut recorded = integrated.record();
        assert_eq!(observe(&recorded).tunnel_type, TunnelType::Konnectivity);
        for (selector, _) in SELECTORS {
            recorded.put(system_pods(selector), json!([]));
        }
        let tunnel = observe(&recorded);
        assert_eq!(tunnel.tunnel_type, TunnelType::VnetIntegration);
        let reason = tunnel.why_not_judged().unwrap();
        assert!(reason.contains("subnetId is not there"), "{reason}");
        assert_eq!(tunnel.tunnel_type.egress(), None);
    }

    #[test]
    fn tolerations_cover_taints_as_kubernetes_says() {
        use crate::kubernetes::{Taint, Toleration};
        let taint = Taint {
            key: "k".into(),
            value: "v".into(),
            effect: "NoExecute".into(),
        };
        let toleration = |key: &str, operator: &str, value: &str, effect: &str| Toleration {
            key: key.into(),
            operator: operator.into(),
            value: value.into(),
            effect: effect.into(),
        };
        for good in [
            toleration("", "Exists", "", ""),
            toleration("k", "Exists", "", "NoExecute"),
            toleration("k", "Equal", "v", ""),
            toleration("k", "", "v", "NoExecute"),
        ] {
            assert!(good.covers(&taint), "{good:?}");
        }
        for bad in [
            toleration("other", "Exists", "", ""),
            toleration("k", "Exists", "", "NoSchedule"),
            toleration("k", "Equal", "w", ""),
            toleration("", "", "", ""),
        ] {
            assert!(!bad.covers(&taint), "{bad:?}");
        }
        assert_eq!(taint.to_string(), "k=v:NoExecute");
    }
}
