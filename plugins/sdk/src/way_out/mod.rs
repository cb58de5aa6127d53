//! The tunnel's own way out: from each agent through security groups, routes
//! and firewalls to the API server.

mod leg;
mod probe;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use naosu_flow::nsg::{Direction, Resolved, Side, TagContext};

pub use leg::{Leg, Next};
pub use probe::{Probed, probe_tcp, probe_tunnel};

use crate::{
    AdminOutcome, AdminRules, ApiServer, Cluster, Destinations, Evidence, Exit, Need, NodeNetwork,
    Observed, Pairing, PluginError, Reads, ResourceId, ServicePort, Transport, Tunnel, TunnelNodes,
    TunnelType,
    arm::ManagedCluster,
    azure_firewall::AzureFirewall,
    kubernetes::Node,
    observe_tags,
    routes::Routes,
    security_groups::{self, Checkpoint, Groups, Outcome},
};

/// Where an agent's packets begin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Start {
    /// Their source address outside of the node.
    pub address: IpAddr,
    /// The agent's node.
    pub node: String,
    /// Index of the interface they leave by; `None` when not known.
    pub interface: Option<usize>,
}

/// Everything between the agents and the API server.
#[derive(Clone, Debug)]
pub struct WayOut {
    /// The managed cluster.
    pub cluster: Observed<ManagedCluster>,
    /// Its tunnel.
    pub tunnel: Tunnel,
    /// Where its nodes are.
    pub network: NodeNetwork,
    /// What agents dial.
    pub port: ServicePort,
    /// Where they dial to.
    pub server: ApiServer,
    /// Where they dial from.
    pub starts: Vec<Start>,
    /// Outbound security groups on the way.
    pub checkpoints: Vec<Checkpoint>,
    /// Where routes lead, one a subnet and next hop.
    pub legs: Vec<Leg>,
    /// The Azure Firewalls that legs lead to.
    pub firewalls: Vec<AzureFirewall>,
    /// What tags stand for.
    pub tags: TagContext,
    /// The security admin rules in force.
    pub admin_rules: AdminRules,
}

/// What there is to judge.
#[derive(Clone, Debug)]
pub enum Way {
    /// A way out.
    Out(Box<WayOut>),
    /// None is needed; says why.
    NotNeeded(String, Evidence),
    /// What is needed cannot be told; says why.
    Unknown(String, Evidence),
}

impl Way {
    /// Reads it all; each resource once.
    ///
    /// # Errors
    /// When something that cannot be done without cannot be read, or makes no
    /// sense.
    pub fn observe(reads: &dyn Reads, cluster: &Cluster) -> Result<Self, PluginError> {
        let observed = TunnelNodes::observe(reads, cluster)?;
        Self::with(reads, &observed, |observed| {
            NodeNetwork::observe(reads, &observed.cluster.value, &observed.nodes)
        })
    }

    /// The way out of what was observed already.
    ///
    /// # Errors
    /// As [`Self::observe`].
    pub fn of(
        reads: &dyn Reads,
        observed: &TunnelNodes,
        network: &NodeNetwork,
    ) -> Result<Self, PluginError> {
        Self::with(reads, observed, |_| Ok(network.clone()))
    }

    fn with(
        reads: &dyn Reads,
        observed: &TunnelNodes,
        network: impl FnOnce(&TunnelNodes) -> Result<NodeNetwork, PluginError>,
    ) -> Result<Self, PluginError> {
        let (cluster, tunnel) = (&observed.cluster, &observed.tunnel);
        let (port, server) = match Exit::observe(reads, cluster, tunnel)? {
            Exit::Needed { port, server } => (port, server),
            Exit::NotNeeded(why) => {
                return Ok(Self::NotNeeded(why, kind_evidence(cluster, tunnel)));
            }
            Exit::Unknown(why) => {
                return Ok(Self::Unknown(why, kind_evidence(cluster, tunnel)));
            }
        };
        let network = network(observed)?;
        let starts = starts(tunnel, &observed.nodes, &network, &server.destinations)?;
        let groups = &mut Groups::new(reads);
        let checkpoints = checkpoints(groups, &network, &starts, port, &server.destinations)?;
        let mut way = WayOut {
            tags: TagContext::new(),
            admin_rules: AdminRules::observe(reads, &network),
            legs: Vec::new(),
            firewalls: Vec::new(),
            cluster: cluster.clone(),
            tunnel: tunnel.clone(),
            network,
            port,
            server,
            starts,
            checkpoints,
        };
        way.tags = way.observe_tags(reads)?;
        way.follow_routes(reads)?;
        // Rules of firewalls may name tags that nothing named before.
        let is_unknown =
            |tag: &str| matches!(way.tags.tag(tag, Side::Destination), Resolved::Unknown(_));
        let names_unknown = way
            .firewalls
            .iter()
            .flat_map(AzureFirewall::named_places)
            .any(|place| crate::is_tag(place) && is_unknown(place));
        if names_unknown {
            way.tags = way.observe_tags(reads)?;
        }
        Ok(Self::Out(Box::new(way)))
    }
}

impl WayOut {
    fn observe_tags(&self, reads: &dyn Reads) -> Result<TagContext, PluginError> {
        let of_server = match &self.server.destinations {
            Destinations::Tag(tag) => Some(tag.as_str()),
            Destinations::Hosts(_) => None,
        };
        let named = security_groups::named_places(&self.checkpoints)
            .chain(self.firewalls.iter().flat_map(AzureFirewall::named_places))
            .chain(self.admin_rules.named_places())
            .chain(of_server);
        let tags = observe_tags(reads, &self.cluster.value, &self.network, named)?;
        Ok(security_groups::with_application_groups(
            tags,
            &self.network,
            &self.checkpoints,
        ))
    }

    fn follow_routes(&mut self, reads: &dyn Reads) -> Result<(), PluginError> {
        let network = &self.network;
        let routes = Routes::observe(reads, network, network.subnets.values(), |named| {
            let named = named.iter().map(String::as_str);
            observe_tags(reads, &self.cluster.value, network, named)
        })?;
        let (legs, firewalls) = leg::follow(reads, self, &routes)?;
        self.legs = legs;
        self.firewalls = firewalls;
        Ok(())
    }

    /// "TCP 443 from the tunnel agents to the API server (203.0.113.10)".
    pub fn words(&self) -> String {
        format!(
            "{} from the tunnel agents to the API server ({})",
            self.port,
            self.server.destinations.texts().join(", ")
        )
    }

    /// What tells the kind of tunnel, and so the port.
    pub fn evidence(&self) -> Vec<Evidence> {
        vec![tunnel_evidence(&self.tunnel), self.server.evidence.clone()]
    }

    /// What would be needed if agents ran on these nodes as well.
    pub fn need_of(&self, sources: BTreeSet<IpAddr>) -> Need {
        Need {
            port: self.port,
            pairings: vec![Pairing {
                sources,
                destinations: self.server.destinations.clone(),
            }],
        }
    }

    /// What security admin rules do with the packets of the agents.
    ///
    /// # Errors
    /// When a rule makes no sense, or the exact answer costs too much.
    pub fn judge_admin_rules(&self) -> Result<AdminOutcome, PluginError> {
        let need = self.need_of(placed_sources(&self.starts));
        self.admin_rules
            .judge(&need, Direction::Outbound, &self.tags)
    }

    /// What each security group on the way does with what is left to it.
    ///
    /// # Errors
    /// As [`Self::judge_admin_rules`].
    pub fn judge_groups(&self) -> Result<Vec<(&Checkpoint, Outcome)>, PluginError> {
        let admin = self.admin_rules.policy(&self.tags)?;
        let checkpoints = self.checkpoints.iter();
        checkpoints
            .map(|checkpoint| Ok((checkpoint, checkpoint.judge(&self.tags, &admin)?)))
            .collect()
    }

    /// Tries the way of a leg, or asks whether the tunnel works.
    pub fn probe(&self, reads: &dyn Reads, leg: &Leg) -> Probed {
        let Some(start) = leg.starts.first() else {
            return Probed::Impossible("no agent is there to try from".to_owned());
        };
        // With one way for all agents, a tunnel that answers on an agent's own
        // node proves it, and costs no command on a node.
        let is_only_way = self.legs.len() == 1 && !self.tunnel.agents.is_empty();
        let tunnel = is_only_way.then(|| probe_tunnel(reads, &start.node));
        match (tunnel, self.port.transport) {
            (Some(reached @ Probed::Reached(_)), _) => reached,
            (_, Transport::Tcp) => match self.host() {
                Some(host) => probe_tcp(reads, &start.node, &host, self.port.number),
                None => Probed::Impossible("no name of the API server is known".to_owned()),
            },
            (Some(other), Transport::Udp) => other,
            (None, Transport::Udp) => {
                Probed::Impossible("UDP cannot be tried from a node".to_owned())
            }
        }
    }

    /// What to dial: an address, or the name of the API server.
    fn host(&self) -> Option<String> {
        match &self.server.destinations {
            Destinations::Hosts(hosts) => hosts.first().map(ToString::to_string),
            Destinations::Tag(_) => {
                let properties = &self.cluster.value.properties;
                let name = properties.private_fqdn.as_ref();
                name.or(properties.fqdn.as_ref()).cloned()
            }
        }
    }
}

/// The sources of which it is known in which network they are.
pub fn placed_sources(starts: &[Start]) -> BTreeSet<IpAddr> {
    let placed = starts.iter().filter(|start| start.interface.is_some());
    placed.map(|start| start.address).collect()
}

/// The groups on the way out of these starts.
///
/// # Errors
/// When one of them cannot be read.
pub fn checkpoints(
    groups: &mut Groups<'_>,
    network: &NodeNetwork,
    starts: &[Start],
    port: ServicePort,
    destinations: &Destinations,
) -> Result<Vec<Checkpoint>, PluginError> {
    let mut ways: BTreeMap<String, (ResourceId, BTreeSet<IpAddr>)> = BTreeMap::new();
    for start in starts {
        let interface = start.interface.and_then(|at| network.interfaces.get(at));
        for group in interface
            .map(|interface| security_groups::groups_of(network, interface))
            .unwrap_or_default()
        {
            let way = ways.entry(group.key());
            let (_, sources) = way.or_insert_with(|| (group, BTreeSet::new()));
            sources.insert(start.address);
        }
    }
    let mut groups = groups.read(ways.values().map(|(id, _)| id))?;
    let mut checkpoints = Vec::new();
    for (key, (id, sources)) in ways {
        let Some(group) = groups.remove(&key) else {
            continue;
        };
        // An agent may come up on any of the nodes behind the group.
        let behind = network
            .interfaces
            .iter()
            .filter(|interface| security_groups::groups_of(network, interface).contains(&id));
        checkpoints.push(Checkpoint {
            other_sources: behind.map(|interface| interface.address).collect(),
            group,
            direction: Direction::Outbound,
            need: Need {
                port,
                pairings: vec![Pairing {
                    sources,
                    destinations: destinations.clone(),
                }],
            },
        });
    }
    Ok(checkpoints)
}

/// Where agents dial out from. Packets that leave the network have the address
/// of the node; inside of it, that of the agent.
///
/// # Errors
/// When an address of the network makes no sense.
pub fn starts(
    tunnel: &Tunnel,
    nodes: &[Node],
    network: &NodeNetwork,
    destinations: &Destinations,
) -> Result<Vec<Start>, PluginError> {
    let space = network.address_space()?;
    let is_inside = match destinations {
        Destinations::Hosts(hosts) => hosts
            .iter()
            .all(|host| space.iter().any(|prefix| prefix.contains(host))),
        Destinations::Tag(_) => false,
    };
    let mut starts = BTreeSet::new();
    for (address, node) in tunnel.sources(nodes) {
        let of_node = nodes.iter().find(|other| other.metadata.name == node);
        let of_node = of_node.and_then(|node| node.internal_addresses().next());
        let address = match of_node {
            Some(of_node) if !is_inside => of_node,
            _ => address,
        };
        let interface = network.interface_of(address, node);
        let mut all = network.interfaces.iter();
        starts.insert(Start {
            interface: interface.and_then(|one| all.position(|other| other.id == one.id)),
            address,
            node: node.to_owned(),
        });
    }
    Ok(starts.into_iter().collect())
}

/// Most agents that evidence names.
const SHOWN_AGENTS: usize = 10;

/// What tells the kind of tunnel.
pub fn tunnel_evidence(tunnel: &Tunnel) -> Evidence {
    let agents: Vec<String> = tunnel
        .agents
        .iter()
        .map(|agent| {
            let node = &agent.pod.spec.node_name;
            format!("{} on {node}", agent.pod.metadata.name)
        })
        .take(SHOWN_AGENTS)
        .collect();
    Evidence {
        resource: "pod/kube-system".to_owned(),
        field: "metadata.labels".to_owned(),
        value: agents.join(", "),
        observed_at: tunnel.observed_at,
        meaning: format!("the tunnel is {}", tunnel.tunnel_type.name()),
    }
}

fn kind_evidence(cluster: &Observed<ManagedCluster>, tunnel: &Tunnel) -> Evidence {
    let has_agents = !matches!(
        tunnel.tunnel_type,
        TunnelType::VnetIntegration | TunnelType::NotFound
    );
    if cluster.value.is_private() && has_agents {
        let field = "properties.apiServerAccessProfile.enablePrivateCluster";
        return cluster.evidence(field, "true", "the API server has a private address only");
    }
    tunnel_evidence(tunnel)
}
