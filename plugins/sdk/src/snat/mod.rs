//! SNAT ports of the load balancer: whether nodes run out of them, and how many
//! AKS allows.

mod addresses;
mod metrics;
mod sizing;

use std::net::IpAddr;

pub use addresses::OutboundAddresses;
pub(crate) use metrics::queries;
pub use metrics::{LATELY_MINUTES, NodePorts, PortMetrics, WINDOW_MINUTES};
pub use sizing::{Sizing, Supply};

use crate::{
    Agent, Cluster, Evidence, Finding, FindingBuilder, Judgement, Observed, PluginError, Query,
    Reads, Tunnel,
    arm::ManagedCluster,
    finding,
    kubernetes::{Node, all_nodes},
    read_json,
};

/// Stable id of the cause.
pub const CAUSE: &str = "snat-exhausted";

/// Share of the allocated ports in use that counts as nearly all.
const NEARLY_ALL: f64 = 0.9;
/// Nodes named in a sentence, and shown as evidence.
const NAMED: usize = 5;
const SHOWN: usize = 20;

/// A node that is short of ports.
#[derive(Clone, Debug)]
pub struct ShortNode {
    /// Its name; its address where no node has it.
    pub name: String,
    /// Its address.
    pub address: Option<IpAddr>,
    /// What was measured of it.
    pub ports: NodePorts,
    /// Name of a tunnel agent on it that is not ready.
    pub waiting_agent: Option<String>,
    /// Whether any tunnel agent is on it.
    pub has_agent: bool,
}

/// Whether nodes run out of ports.
pub struct SnatJudgement {
    /// The judgement.
    pub judgement: Judgement,
    /// One sentence.
    pub summary: String,
    /// What decides.
    pub evidence: Vec<Evidence>,
    /// The cluster.
    pub cluster: Observed<ManagedCluster>,
    /// Nodes that are short of ports, the worst first.
    pub short: Vec<ShortNode>,
    /// The most ports that a node has allocated, where that was measured.
    pub allocated: Option<u64>,
    /// Ports that all nodes together would have had enough with.
    pub demand: f64,
    /// The same of the node that would have needed the most.
    pub demand_of_a_node: f64,
}

/// ARM id of the load balancer that AKS makes for outbound connections.
pub fn load_balancer(cluster: &ManagedCluster) -> String {
    format!(
        "{}/providers/Microsoft.Network/loadBalancers/kubernetes",
        cluster.node_resource_group_id()
    )
}

/// Why the tunnel uses no SNAT port of the load balancer: field, value, meaning.
fn not_concerned(cluster: &ManagedCluster) -> Option<(&'static str, String, &'static str)> {
    let outbound = &cluster.properties.network_profile.outbound_type;
    let access = cluster.properties.api_server_access_profile.as_ref();
    if cluster.is_private() {
        return Some((
            "properties.apiServerAccessProfile.enablePrivateCluster",
            "true".to_owned(),
            "the tunnel of a private cluster uses no SNAT port",
        ));
    }
    if access.is_some_and(|access| access.enable_vnet_integration) {
        return Some((
            "properties.apiServerAccessProfile.enableVnetIntegration",
            "true".to_owned(),
            "the API server is in the virtual network and reached without a SNAT port",
        ));
    }
    (!outbound.is_empty() && outbound != "loadBalancer").then(|| {
        (
            "properties.networkProfile.outboundType",
            outbound.clone(),
            "outbound connections do not use the load balancer",
        )
    })
}

impl SnatJudgement {
    /// Reads what is needed and judges. Exhaustion is confirmed as the fault of
    /// the tunnel where connections fail lately on a node whose tunnel agent is
    /// not ready; elsewhere it is real, and why logs are lost only perhaps.
    ///
    /// # Errors
    /// When something that decides cannot be read.
    pub fn observe(reads: &dyn Reads, cluster: &Cluster) -> Result<Self, PluginError> {
        let cluster: Observed<ManagedCluster> =
            read_json(reads, &Query::AzureGet(cluster.id.clone()))?;
        if let Some((field, value, meaning)) = not_concerned(&cluster.value) {
            return Ok(Self {
                judgement: Judgement::RuledOut,
                summary: format!("SNAT ports do not matter here: {meaning}"),
                evidence: vec![cluster.evidence(field, value, meaning)],
                cluster,
                short: Vec::new(),
                allocated: None,
                demand: 0.0,
                demand_of_a_node: 0.0,
            });
        }
        if cluster
            .value
            .properties
            .network_profile
            .outbound_type
            .is_empty()
        {
            return Err(PluginError::Malformed(format!(
                "{}: it tells no properties.networkProfile.outboundType",
                cluster.resource
            )));
        }
        let metrics = PortMetrics::observe(reads, &load_balancer(&cluster.value))?;
        let nodes = metrics.by_node();
        let demands = || nodes.values().map(NodePorts::demand);
        let mut short: Vec<ShortNode> = nodes
            .iter()
            .filter(|(_, ports)| ports.failed > 0.0 || ports.share() >= NEARLY_ALL)
            .map(|(address, ports)| ShortNode {
                name: address.clone(),
                address: address.parse().ok(),
                ports: *ports,
                waiting_agent: None,
                has_agent: false,
            })
            .collect();
        if !short.is_empty() {
            let tunnel = Tunnel::observe(reads, &cluster.value)?;
            let all: Observed<Vec<Node>> = read_json(reads, &all_nodes())?;
            for node in &mut short {
                node.look_up(&all.value, &tunnel.agents);
            }
        }
        let rank = |node: &ShortNode| {
            (
                node.ports.failed_lately,
                node.ports.failed,
                node.ports.share(),
            )
        };
        short.sort_by(|a, b| {
            let ranks = rank(b).partial_cmp(&rank(a));
            let worse = ranks.unwrap_or(std::cmp::Ordering::Equal);
            a.waiting_agent
                .is_none()
                .cmp(&b.waiting_agent.is_none())
                .then(worse)
        });
        let is_measured = nodes.values().any(|ports| ports.allocated > 0.0);
        let (judgement, summary) = if short.is_empty() && !is_measured {
            not_measured()
        } else {
            sentence(&short)
        };
        Ok(Self {
            judgement,
            summary,
            evidence: evidence(&metrics, &nodes, &short),
            cluster,
            short,
            allocated: metrics.allocated(),
            demand: demands().sum(),
            demand_of_a_node: demands().fold(0.0, f64::max),
        })
    }

    /// That there is something to mend.
    ///
    /// # Errors
    /// [`PluginError::NothingToDo`] where the cause is ruled out, or not known.
    pub fn to_mend(&self) -> Result<(), PluginError> {
        match self.judgement {
            Judgement::Confirmed | Judgement::Suspected => Ok(()),
            Judgement::RuledOut | Judgement::Unknown => {
                Err(PluginError::NothingToDo(self.summary.clone()))
            }
        }
    }

    /// The finding of a plugin for this cause, not built yet.
    pub fn finding(&self) -> FindingBuilder {
        finding(CAUSE, self.judgement, self.summary.clone()).evidence_of(self.evidence.clone())
    }

    /// The finding where ports could not be judged.
    pub fn unreadable(error: &PluginError) -> Finding {
        FindingBuilder::unreadable(CAUSE, "SNAT ports", error).build()
    }
}

impl ShortNode {
    fn look_up(&mut self, nodes: &[Node], agents: &[Agent]) {
        let has_address = |node: &&Node| {
            let address = self.address;
            address.is_some_and(|address| node.internal_addresses().any(|own| own == address))
        };
        let Some(node) = nodes.iter().find(has_address) else {
            return;
        };
        self.name.clone_from(&node.metadata.name);
        for agent in agents {
            if agent.pod.spec.node_name == self.name {
                self.has_agent = true;
                if !agent.pod.is_ready() {
                    self.waiting_agent = Some(agent.pod.metadata.name.clone());
                }
            }
        }
    }

    /// Whether connections fail now, and a tunnel agent waits for one.
    pub fn cuts_the_tunnel(&self) -> bool {
        self.ports.failed_lately > 0.0 && self.waiting_agent.is_some()
    }
}

fn names<'a>(nodes: impl Iterator<Item = &'a ShortNode>) -> String {
    let all: Vec<&str> = nodes.map(|node| node.name.as_str()).collect();
    let named: Vec<&str> = all.iter().take(NAMED).copied().collect();
    match all.len().saturating_sub(named.len()) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// Where Azure Monitor tells no ports of any node, that none failed says nothing.
fn not_measured() -> (Judgement, String) {
    let summary = format!(
        "Azure Monitor tells no allocated SNAT ports of any node in the last {WINDOW_MINUTES} \
         minutes, so that nobody knows whether they run out"
    );
    (Judgement::Unknown, summary)
}

fn sentence(short: &[ShortNode]) -> (Judgement, String) {
    let failed = |nodes: &[&ShortNode]| -> f64 { nodes.iter().map(|n| n.ports.failed).sum() };
    let cut: Vec<&ShortNode> = short.iter().filter(|n| n.cuts_the_tunnel()).collect();
    if !cut.is_empty() {
        let count = failed(&cut);
        let summary = format!(
            "{count:.0} outbound connections failed for want of a SNAT port on {}, where a tunnel \
             agent gets no connection",
            names(cut.into_iter())
        );
        return (Judgement::Confirmed, summary);
    }
    let failing: Vec<&ShortNode> = short.iter().filter(|n| n.ports.failed > 0.0).collect();
    if !failing.is_empty() {
        let count = failed(&failing);
        let agents = if failing.iter().any(|node| node.has_agent) {
            "the tunnel agent there is connected, and would not be again once it lost that"
        } else {
            "no tunnel agent runs there"
        };
        let summary = format!(
            "{count:.0} outbound connections failed for want of a SNAT port on {}; {agents}",
            names(failing.into_iter())
        );
        return (Judgement::Suspected, summary);
    }
    match short.first() {
        Some(node) => (
            Judgement::Suspected,
            format!(
                "{} uses {:.0} of {:.0} SNAT ports",
                node.name, node.ports.used, node.ports.allocated
            ),
        ),
        None => (
            Judgement::RuledOut,
            "No connection failed for want of a SNAT port".to_owned(),
        ),
    }
}

fn evidence(
    metrics: &PortMetrics,
    nodes: &std::collections::BTreeMap<String, NodePorts>,
    short: &[ShortNode],
) -> Vec<Evidence> {
    if short.is_empty() {
        let mut busiest = NodePorts::default();
        for ports in nodes.values() {
            if ports.share() >= busiest.share() {
                busiest = *ports;
            }
        }
        if busiest.allocated == 0.0 {
            return vec![metrics.ports().evidence(
                "UsedSnatPorts / AllocatedSnatPorts",
                format!("no value in {WINDOW_MINUTES} minutes"),
                "without ports of any node, that no failure is told means nothing",
            )];
        }
        return vec![
            metrics.failures().evidence(
                "SnatConnectionCount (ConnectionState Failed)",
                format!("0 in {WINDOW_MINUTES} minutes"),
                "connections that got no port",
            ),
            metrics.ports().evidence(
                "UsedSnatPorts / AllocatedSnatPorts",
                format!("{:.0} of {:.0}", busiest.used, busiest.allocated),
                "ports of the busiest node",
            ),
        ];
    }
    short
        .iter()
        .take(SHOWN)
        .flat_map(|node| {
            let agent = match (&node.waiting_agent, node.has_agent) {
                (Some(agent), _) => format!("; tunnel agent {agent} there is not ready"),
                (None, true) => "; the tunnel agent there is ready".to_owned(),
                (None, false) => "; no tunnel agent is there".to_owned(),
            };
            [
                metrics.failures().evidence(
                    format!(
                        "SnatConnectionCount (ConnectionState Failed) of {}",
                        node.name
                    ),
                    format!(
                        "{:.0} in {WINDOW_MINUTES} minutes, {:.0} in the last {LATELY_MINUTES}",
                        node.ports.failed, node.ports.failed_lately
                    ),
                    format!("connections that got no port{agent}"),
                ),
                metrics.ports().evidence(
                    format!("UsedSnatPorts / AllocatedSnatPorts of {}", node.name),
                    format!("{:.0} of {:.0}", node.ports.used, node.ports.allocated),
                    "ports in use at last",
                ),
            ]
        })
        .collect()
}
