//! From the agents, or from an API server in the network, to the kubelets, and
//! the answers back: both directions have to take the same way, because what
//! filters on it sees connections, and drops answers to what it never saw.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use naosu_plugin::{
    AdminRules, Destinations, KUBELET_PORT, Need, NodeInterface, NodeNetwork, Observed, Pairing,
    PluginError, Reads, ResourceId, ServicePort, TunnelNodes, TunnelType, admin_rule_words,
    arm::Subnet,
    flow::{firewall::NextHop, nsg::Direction, set::AddressSet},
    observe_tags, prefixes,
    routes::{Hop, Routes, next_hop_words},
    security_groups::{self, Checkpoint, Groups},
    way_out::{Probed, probe_tcp, probe_tunnel},
};

use crate::judge::{Passage, State, stops};

/// Nodes that are tried of those that share their routes. Where one answers,
/// the routes are not in the way.
const TRIED_NODES: usize = 3;

/// One side of the passages: agents of a subnet, or the API server's subnet.
struct Side {
    subnet: ResourceId,
    /// Node of an agent, to try from; the API server tries by itself.
    node: Option<String>,
    interface: Option<usize>,
    addresses: AddressSet,
    sources: BTreeSet<IpAddr>,
    words: &'static str,
}

/// Passages to the nodes, and what keeps others from being looked at.
pub struct ToNodes {
    pub passages: Vec<Passage>,
    pub unknown: BTreeSet<String>,
}

pub fn passages(
    reads: &dyn Reads,
    observed: &TunnelNodes,
    network: &NodeNetwork,
) -> Result<ToNodes, PluginError> {
    let mut unknown = BTreeSet::new();
    let sides: Vec<Side> = if observed.tunnel.tunnel_type == TunnelType::VnetIntegration {
        api_server(observed, network, &mut unknown)?
            .into_iter()
            .collect()
    } else {
        agents(observed, network)
    };
    let mut subnets: Vec<Observed<Subnet>> = network.subnets.values().cloned().collect();
    for side in &sides {
        subnets.extend(network.any_subnet(&side.subnet));
    }
    let routes = Routes::observe(reads, network, subnets.iter(), |named| {
        let named = named.iter().map(String::as_str);
        observe_tags(reads, &observed.cluster.value, network, named)
    })?;
    let judging = Judging {
        reads,
        observed,
        network,
        routes,
    };
    let mut passages = Vec::new();
    for side in &sides {
        let mut by_subnet: BTreeMap<String, Vec<&NodeInterface>> = BTreeMap::new();
        for interface in &network.interfaces {
            // Packets of an agent to its own node pass no route.
            let is_own = side.node.as_ref() == Some(&interface.node);
            if !is_own && observed.tunnel.why_no_source(interface.address).is_none() {
                let of_subnet = by_subnet.entry(interface.subnet.key());
                of_subnet.or_default().push(interface);
            }
        }
        for nodes in by_subnet.into_values() {
            passages.extend(judging.between(side, &nodes)?);
        }
    }
    Ok(ToNodes { passages, unknown })
}

/// The agents, those of one subnet together.
fn agents(observed: &TunnelNodes, network: &NodeNetwork) -> Vec<Side> {
    let mut sides: BTreeMap<String, Side> = BTreeMap::new();
    for (address, node) in observed.tunnel.sources(&observed.nodes) {
        let Some(interface) = network.interface_of(address, node) else {
            continue;
        };
        let side = sides.entry(interface.subnet.key()).or_insert_with(|| Side {
            subnet: interface.subnet.clone(),
            node: Some(node.to_owned()),
            interface: network.interfaces.iter().position(|i| i.id == interface.id),
            addresses: AddressSet::empty(),
            sources: BTreeSet::new(),
            words: "the agents",
        });
        side.addresses = side.addresses.union(&AddressSet::host(address));
        side.sources.insert(address);
    }
    sides.into_values().collect()
}

/// The API server's own subnet, where it tells one. Its routes are only known in the
/// networks of the nodes.
fn api_server(
    observed: &TunnelNodes,
    network: &NodeNetwork,
    unknown: &mut BTreeSet<String>,
) -> Result<Option<Side>, PluginError> {
    let access = &observed.cluster.value.properties.api_server_access_profile;
    let Some(id) = access.as_ref().and_then(|access| access.subnet_id.clone()) else {
        return Ok(None);
    };
    let Some(subnet) = network.any_subnet(&id) else {
        unknown.insert(format!(
            "{id} of the API server is in no network of the nodes"
        ));
        return Ok(None);
    };
    let addresses = network.interfaces.iter().map(|node| node.address);
    unknown.extend(addresses.filter_map(|to| observed.tunnel.why_no_source(to)));
    let mut sets = Vec::new();
    for text in subnet.value.properties.prefixes() {
        let prefix = text.parse().map_err(|_| {
            PluginError::Malformed(format!("{}: {text:?} is no prefix", subnet.resource))
        })?;
        sets.push(AddressSet::prefix(prefix));
    }
    Ok(Some(Side {
        subnet: subnet.value.id.clone(),
        node: None,
        interface: None,
        addresses: AddressSet::union_all(&sets),
        sources: BTreeSet::new(),
        words: "the API server",
    }))
}

struct Judging<'a> {
    reads: &'a dyn Reads,
    observed: &'a TunnelNodes,
    network: &'a NodeNetwork,
    routes: Routes,
}

impl Judging<'_> {
    /// The passages between one side and the nodes of one subnet.
    fn between(&self, side: &Side, nodes: &[&NodeInterface]) -> Result<Vec<Passage>, PluginError> {
        let Some(subnet) = nodes.first().map(|node| node.subnet.clone()) else {
            return Ok(Vec::new());
        };
        let to = prefixes::exactly(nodes.iter().map(|node| node.address));
        let there = self.routes.hops(&side.subnet, &AddressSet::prefixes(&to));
        let back = self.routes.hops(&subnet, &side.addresses);
        let (there, back) = match (there, back) {
            (Ok(there), Ok(back)) => (there, back),
            (Err(reason), _) | (_, Err(reason)) => {
                return Ok(vec![Passage {
                    words: reason,
                    state: State::NotKnown(self.try_nodes(side, nodes)),
                    evidence: Vec::new(),
                    advice: String::new(),
                }]);
            }
        };
        let mut passages = Vec::new();
        for forth in &there {
            let reached: Vec<&NodeInterface> = nodes
                .iter()
                .copied()
                .filter(|node| forth.destinations.contains(node.address))
                .collect();
            for back in &back {
                passages.extend(self.passage(side, &reached, forth, back)?);
            }
        }
        Ok(passages)
    }

    fn passage(
        &self,
        side: &Side,
        nodes: &[&NodeInterface],
        forth: &Hop,
        back: &Hop,
    ) -> Result<Option<Passage>, PluginError> {
        let is_straight = |hop: &Hop| hop.next == NextHop::VirtualNetwork;
        let evidence = vec![forth.evidence.clone(), back.evidence.clone()];
        if is_straight(forth) && is_straight(back) {
            // Azure's own routes need no words, a route table's does.
            return Ok(
                (!forth.is_system_route || !back.is_system_route).then_some(Passage {
                    words: String::new(),
                    state: State::Straight,
                    evidence,
                    advice: String::new(),
                }),
            );
        }
        let is_lost = |hop: &Hop| matches!(hop.next, NextHop::None | NextHop::Internet);
        let state = if is_lost(forth) || is_lost(back) {
            State::Lost
        } else {
            State::Diverted {
                tried: self.try_nodes(side, nodes),
                else_stopped: self.else_stopped(side, nodes)?,
            }
        };
        let from = side.subnet.name();
        let to = nodes.first().map(|node| node.subnet.name());
        let to = to.unwrap_or_default();
        Ok(Some(Passage {
            words: format!(
                "TCP {KUBELET_PORT} from {} in {from} to nodes in {to} goes to {}, and the answers \
                 go to {}",
                side.words,
                next_hop_words(forth.next),
                next_hop_words(back.next),
            ),
            state,
            evidence,
            advice: format!(
                "let the routes of {from} to {to} and those of {to} to {from} both lead to \
                 VnetLocal, or both through the same appliance"
            ),
        }))
    }

    /// Tries some of the nodes; one that answers stands for all.
    fn try_nodes(&self, side: &Side, nodes: &[&NodeInterface]) -> Probed {
        let mut last = Probed::Impossible("no node is there to try".to_owned());
        for node in nodes.iter().take(TRIED_NODES) {
            last = match &side.node {
                Some(from) => {
                    let host = node.address.to_string();
                    probe_tcp(self.reads, from, &host, KUBELET_PORT)
                }
                None => probe_tunnel(self.reads, &node.node),
            };
            if matches!(last, Probed::Reached(_)) {
                break;
            }
        }
        last
    }

    /// What stops it whatever the routes are, or may: a security admin rule, one of a
    /// security group, or rules that are not known.
    fn else_stopped(
        &self,
        side: &Side,
        nodes: &[&NodeInterface],
    ) -> Result<Option<String>, PluginError> {
        let Some(node) = nodes.first().filter(|_| !side.sources.is_empty()) else {
            return Ok(None);
        };
        let need = Need {
            port: ServicePort::KUBELET,
            pairings: vec![Pairing {
                sources: side.sources.clone(),
                destinations: Destinations::Hosts(BTreeSet::from([node.address])),
            }],
        };
        let from = side
            .interface
            .and_then(|at| self.network.interfaces.get(at));
        let ends = [
            (from, Direction::Outbound),
            (Some(*node), Direction::Inbound),
        ];
        let mut checkpoints = Vec::new();
        let mut groups = Groups::new(self.reads);
        for (interface, direction) in ends {
            let Some(interface) = interface else { continue };
            let ids = security_groups::groups_of(self.network, interface);
            for group in groups.read(&ids)?.into_values() {
                checkpoints.push(Checkpoint {
                    group,
                    direction,
                    need: need.clone(),
                    other_sources: BTreeSet::new(),
                });
            }
        }
        let admin = AdminRules::observe(self.reads, self.network);
        let named = security_groups::named_places(&checkpoints).chain(admin.named_places());
        let cluster = &self.observed.cluster.value;
        let tags = observe_tags(self.reads, cluster, self.network, named)?;
        let tags = security_groups::with_application_groups(tags, self.network, &checkpoints);
        for direction in ends
            .iter()
            .filter_map(|(at, direction)| at.map(|_| *direction))
        {
            if let Some((rule, _)) = admin.judge(&need, direction, &tags)?.blocks.first() {
                return Ok(Some(stops(&admin_rule_words(rule))));
            }
        }
        let policy = admin.policy(&tags)?;
        for checkpoint in &checkpoints {
            let outcome = checkpoint.judge(&tags, &policy)?;
            if let Some(block) = outcome.blocks.first() {
                let group = &checkpoint.group.value.name;
                let rule = format!("rule {} of {group}", block.rule.name);
                return Ok(Some(stops(&rule)));
            }
        }
        Ok(admin.unread())
    }
}
