//! Everything that decides: agents, nodes, and the security groups between them.

use std::{collections::BTreeMap, net::IpAddr};

use naosu_plugin::{
    Cluster, NodeInterface, NodeNetwork, Observed, PluginError, Query, Reads, ResourceId, Tunnel,
    TunnelType,
    arm::ManagedCluster,
    flow::nsg::{Direction, Nsg, Resolved, Side, TagContext},
    flow_error,
    kubernetes::{Node, all_nodes},
    read_json, read_json_many,
};

use crate::checkpoint::{Checkpoint, Pair};

/// What was observed.
pub struct Situation {
    pub cluster: Observed<ManagedCluster>,
    pub tunnel: Tunnel,
    pub network: NodeNetwork,
    /// Every agent's packets to every other node.
    pub pairs: Vec<Pair>,
    /// Each security group they pass, by direction.
    pub checkpoints: Vec<Checkpoint>,
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
            checkpoints: Vec::new(),
            tags: TagContext::new(),
            cluster,
            tunnel,
            network,
        };
        if situation.tunnel.tunnel_type != TunnelType::VnetIntegration {
            situation.checkpoints = situation.observe_groups(reads)?;
            situation.tags = situation.observe_tags(reads)?;
        }
        Ok(situation)
    }

    /// The groups on the way of the pairs, each direction of each group once.
    fn observe_groups(&self, reads: &dyn Reads) -> Result<Vec<Checkpoint>, PluginError> {
        let mut ways: BTreeMap<(String, Direction), (ResourceId, Vec<Pair>)> = BTreeMap::new();
        for pair in &self.pairs {
            let sides = [
                (pair.source_interface, Direction::Outbound),
                (Some(pair.destination_interface), Direction::Inbound),
            ];
            for (interface, direction) in sides {
                let interface = interface.and_then(|at| self.network.interfaces.get(at));
                for group in interface.map(|i| self.groups_of(i)).unwrap_or_default() {
                    let way = ways.entry((group.key(), direction));
                    let (_, pairs) = way.or_insert_with(|| (group, Vec::new()));
                    pairs.push(*pair);
                }
            }
        }
        let mut ids: Vec<&ResourceId> = ways.values().map(|(id, _)| id).collect();
        ids.dedup();
        let queries: Vec<Query> = ids.iter().map(|id| Query::AzureGet(id.0.clone())).collect();
        let mut groups: BTreeMap<String, Observed<Nsg>> = BTreeMap::new();
        for (id, answer) in ids.iter().zip(read_json_many(reads, &queries)) {
            let read: Observed<serde_json::Value> = answer?;
            let value = Nsg::from_arm(&read.value).map_err(flow_error)?;
            let group = Observed {
                value,
                resource: read.resource,
                observed_at: read.observed_at,
            };
            groups.insert(id.key(), group);
        }
        let checkpoints = ways
            .into_iter()
            .filter_map(|((key, direction), (_, pairs))| {
                let group = groups.get(&key)?.clone();
                Some(Checkpoint::new(group, direction, pairs))
            });
        Ok(checkpoints.collect())
    }

    /// The group on the subnet and the one on the interface.
    fn groups_of(&self, interface: &NodeInterface) -> Vec<ResourceId> {
        let subnet = self.network.subnet_of(interface);
        let of_subnet = subnet.and_then(|s| s.value.properties.network_security_group.as_ref());
        let of_subnet = of_subnet.map(|group| group.id.clone());
        of_subnet
            .into_iter()
            .chain(interface.security_group.clone())
            .collect()
    }

    /// What tags and application groups stand for. The regional list is large
    /// and only read when a rule names a tag beyond the three that are known.
    fn observe_tags(&self, reads: &dyn Reads) -> Result<TagContext, PluginError> {
        let space = self.network.address_space()?;
        let mut tags = TagContext::new();
        if !space.is_empty() {
            tags = tags.with_virtual_network(&space);
        }
        let has_unknown_tag = self.checkpoints.iter().any(|checkpoint| {
            let rules = checkpoint.group.value.evaluated(checkpoint.direction);
            rules
                .flat_map(|rule| {
                    rule.source_prefixes
                        .iter()
                        .chain(&rule.destination_prefixes)
                })
                .filter(|prefix| is_tag(prefix))
                .any(|tag| matches!(tags.tag(tag, Side::Source), Resolved::Unknown(_)))
        });
        if has_unknown_tag {
            let cluster = &self.cluster.value;
            let subscription = cluster.id.after("subscriptions").unwrap_or_default();
            let location = &cluster.location;
            let path = format!(
                "/subscriptions/{subscription}/providers/Microsoft.Network/locations/{location}/serviceTags"
            );
            // A list that cannot be read leaves the tags unknown, which says so itself.
            if let Ok(list) = read_json::<serde_json::Value>(reads, &Query::AzureGet(path)) {
                tags = tags
                    .with_service_tags(&list.value)
                    .map_err(|e| PluginError::Malformed(e.to_string()))?;
            }
        }
        Ok(self.with_application_groups(tags))
    }

    /// Members among the nodes. Others do not matter: the packets in question
    /// are between nodes.
    fn with_application_groups(&self, mut tags: TagContext) -> TagContext {
        let named = self.checkpoints.iter().flat_map(|checkpoint| {
            let rules = checkpoint.group.value.evaluated(checkpoint.direction);
            rules.flat_map(|rule| rule.source_groups.iter().chain(&rule.destination_groups))
        });
        let named: std::collections::BTreeSet<&String> = named.collect();
        for id in named {
            let wanted = ResourceId(id.clone());
            let members = self.network.interfaces.iter();
            let members = members
                .filter(|interface| interface.application_groups.contains(&wanted))
                .map(|interface| interface.address);
            tags = tags.with_group(id, members);
        }
        tags
    }
}

fn is_tag(prefix: &str) -> bool {
    prefix.starts_with(|c: char| c.is_ascii_alphabetic()) && !prefix.contains(':')
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
