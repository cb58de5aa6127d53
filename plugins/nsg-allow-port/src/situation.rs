//! Everything that decides: agents, nodes, the API server, and the security
//! groups between them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use naosu_plugin::{
    AdminRules, Cluster, Destinations, Exit, Need, NodeNetwork, Observed, Pairing, PluginError,
    Query, Reads, ResourceId, ServicePort, Tunnel,
    arm::ManagedCluster,
    flow::nsg::{Direction, TagContext},
    kubernetes::{Node, all_nodes},
    observe_tags, read_json,
    security_groups::{self, Checkpoint, Groups, groups_of},
    way_out,
};

use crate::integrated;

/// Packets of one agent to one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    pub source: IpAddr,
    /// Index of the interface they leave by; `None` when not known.
    pub source_interface: Option<usize>,
    pub destination: IpAddr,
    /// Index of the interface they arrive at.
    pub destination_interface: usize,
}

/// What was observed.
pub struct Situation {
    pub cluster: Observed<ManagedCluster>,
    pub tunnel: Tunnel,
    pub network: NodeNetwork,
    /// Every agent's packets to every other node; none where there are no agents.
    pub pairs: Vec<Pair>,
    /// What the agents need to get out; nothing where no agent can be judged.
    pub exit: Exit,
    /// Each security group that any of it passes, by direction: first those on
    /// the way to the nodes, then those on the way out.
    pub checkpoints: Vec<Checkpoint>,
    /// The security admin rules in force, which come before all groups.
    pub admin_rules: AdminRules,
    /// All that has to pass them.
    pub needs: Vec<(Direction, Need)>,
    pub tags: TagContext,
}

impl Situation {
    /// Reads it all; each resource once.
    pub fn observe(reads: &dyn Reads, cluster: &Cluster) -> Result<Self, PluginError> {
        let cluster: Observed<ManagedCluster> =
            read_json(reads, &Query::AzureGet(cluster.id.clone()))?;
        let tunnel = Tunnel::observe(reads, &cluster.value)?;
        let nodes: Observed<Vec<Node>> = read_json(reads, &all_nodes())?;
        let network = NodeNetwork::observe(reads, &cluster.value, &nodes.value)?;
        let mut situation = Self {
            pairs: pairs(&tunnel, &nodes.value, &network),
            exit: Exit::observe(reads, &cluster, &tunnel)?,
            checkpoints: Vec::new(),
            admin_rules: AdminRules::default(),
            needs: Vec::new(),
            tags: TagContext::new(),
            cluster,
            tunnel,
            network,
        };
        if situation.tunnel.why_not_judged().is_some() {
            return Ok(situation);
        }
        situation.admin_rules = AdminRules::observe(reads, &situation.network);
        situation.needs = situation.to_nodes();
        let mut groups = Groups::new(reads);
        situation.checkpoints = match situation.tunnel.api_server_subnet() {
            Some(from) => integrated::checkpoints(from, &situation.network, &mut groups)?,
            None => situation.on_the_way_to_nodes(&mut groups)?,
        };
        let mut of_server = None;
        if let Exit::Needed { port, server } = &situation.exit {
            let to = &server.destinations;
            let starts = way_out::starts(&situation.tunnel, &nodes.value, &situation.network, to)?;
            let network = &situation.network;
            let out = way_out::checkpoints(&mut groups, network, &starts, *port, to)?;
            situation.checkpoints.extend(out);
            let sources = way_out::placed_sources(&starts);
            if !sources.is_empty() {
                let destinations = to.clone();
                let need = Need {
                    port: *port,
                    pairings: vec![Pairing {
                        sources,
                        destinations,
                    }],
                };
                situation.needs.push((Direction::Outbound, need));
            }
            if let Destinations::Tag(tag) = to {
                of_server = Some(tag.clone());
            }
        }
        let named = security_groups::named_places(&situation.checkpoints);
        let named = named.chain(situation.admin_rules.named_places());
        let named = named.chain(of_server.as_deref());
        let tags = observe_tags(reads, &situation.cluster.value, &situation.network, named)?;
        situation.tags = security_groups::with_application_groups(
            tags,
            &situation.network,
            &situation.checkpoints,
        );
        Ok(situation)
    }

    /// What has to arrive at the kubelets; nothing where nobody dials any from outside.
    pub fn kubelet_need(&self) -> Option<&Need> {
        let mut needs = self.needs.iter();
        needs
            .find(|(direction, need)| *direction == Direction::Inbound && is_to_nodes(need))
            .map(|(_, need)| need)
    }

    /// What has to pass, in words.
    pub fn words(&self, need: &Need) -> String {
        let (port, who) = (need.port, self.tunnel.who_dials());
        if is_to_nodes(need) {
            format!("{port} from {who} to nodes")
        } else {
            format!("{port} from {who} to the API server")
        }
    }

    /// What has to leave the agents' nodes for others, where those are known, and to
    /// arrive there.
    fn to_nodes(&self) -> Vec<(Direction, Need)> {
        if let Some(from) = self.tunnel.api_server_subnet() {
            return integrated::needs(from, &self.network);
        }
        let leaving = self
            .pairs
            .iter()
            .filter(|pair| pair.source_interface.is_some());
        let sides = [
            (Direction::Outbound, leaving.copied().collect::<Vec<Pair>>()),
            (Direction::Inbound, self.pairs.clone()),
        ];
        let sides = sides.into_iter().filter(|(_, pairs)| !pairs.is_empty());
        sides
            .map(|(direction, pairs)| {
                let port = ServicePort::KUBELET;
                let pairings = pairings(pairs);
                (direction, Need { port, pairings })
            })
            .collect()
    }

    /// The groups on the way of the pairs, each direction of each group once.
    fn on_the_way_to_nodes(&self, groups: &mut Groups<'_>) -> Result<Vec<Checkpoint>, PluginError> {
        let mut ways: BTreeMap<(String, Direction), (ResourceId, Vec<Pair>)> = BTreeMap::new();
        for pair in &self.pairs {
            let sides = [
                (pair.source_interface, Direction::Outbound),
                (Some(pair.destination_interface), Direction::Inbound),
            ];
            for (interface, direction) in sides {
                let interface = interface.and_then(|at| self.network.interfaces.get(at));
                let groups = interface.map(|i| groups_of(&self.network, i));
                for group in groups.unwrap_or_default() {
                    let way = ways.entry((group.key(), direction));
                    let (_, pairs) = way.or_insert_with(|| (group, Vec::new()));
                    pairs.push(*pair);
                }
            }
        }
        let groups = groups.read(ways.values().map(|(id, _)| id))?;
        let checkpoints = ways
            .into_iter()
            .filter_map(|((key, direction), (_, pairs))| {
                Some(Checkpoint {
                    group: groups.get(&key)?.clone(),
                    direction,
                    need: Need {
                        port: ServicePort::KUBELET,
                        pairings: pairings(pairs),
                    },
                    other_sources: BTreeSet::new(),
                })
            });
        Ok(checkpoints.collect())
    }
}

/// Whether it is needed on the way to the nodes, and not on the way out.
pub fn is_to_nodes(need: &Need) -> bool {
    need.port == ServicePort::KUBELET
}

fn pairings(pairs: Vec<Pair>) -> Vec<Pairing> {
    let mut by_source: BTreeMap<IpAddr, BTreeSet<IpAddr>> = BTreeMap::new();
    for pair in pairs {
        let destinations = by_source.entry(pair.source).or_default();
        destinations.insert(pair.destination);
    }
    // Agents with the same destinations share a pairing.
    let mut shared: BTreeMap<BTreeSet<IpAddr>, BTreeSet<IpAddr>> = BTreeMap::new();
    for (source, destinations) in by_source {
        shared.entry(destinations).or_default().insert(source);
    }
    let pairing = |(to, sources)| Pairing {
        sources,
        destinations: Destinations::Hosts(to),
    };
    shared.into_iter().map(pairing).collect()
}

/// Every agent's packets to every node but its own, which they never leave.
fn pairs(tunnel: &Tunnel, nodes: &[Node], network: &NodeNetwork) -> Vec<Pair> {
    let at = |address: IpAddr, node: &str| {
        let interface = network.interface_of(address, node)?;
        network
            .interfaces
            .iter()
            .position(|other| other.id == interface.id)
    };
    let mut sources: Vec<(IpAddr, &str, Option<usize>)> = tunnel
        .sources(nodes)
        .into_iter()
        .map(|(source, node)| (source, node, at(source, node)))
        .collect();
    sources.sort_unstable();
    sources.dedup();
    let mut pairs = Vec::new();
    for (source, node, source_interface) in sources {
        for (index, interface) in network.interfaces.iter().enumerate() {
            if interface.node != node {
                pairs.push(Pair {
                    source,
                    source_interface,
                    destination: interface.address,
                    destination_interface: index,
                });
            }
        }
    }
    pairs
}
