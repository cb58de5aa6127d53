//! The way of an API server that is in the virtual network itself: out of its own subnet,
//! into every node.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use naosu_plugin::{
    ApiServerSubnet, Destinations, Need, NodeNetwork, Pairing, PluginError, ResourceId,
    ServicePort,
    flow::nsg::Direction,
    security_groups::{Checkpoint, Groups, groups_of},
};

/// What has to leave its subnet and to arrive at the nodes.
pub fn needs(from: &ApiServerSubnet, network: &NodeNetwork) -> Vec<(Direction, Need)> {
    let to: BTreeSet<IpAddr> = network.interfaces.iter().map(|at| at.address).collect();
    if to.is_empty() {
        return Vec::new();
    }
    [Direction::Outbound, Direction::Inbound]
        .map(|direction| (direction, need(from, to.clone())))
        .into()
}

/// The group on its subnet, and those on the nodes, each once with the nodes that it guards.
pub fn checkpoints(
    from: &ApiServerSubnet,
    network: &NodeNetwork,
    groups: &mut Groups<'_>,
) -> Result<Vec<Checkpoint>, PluginError> {
    let mut ways: BTreeMap<(String, Direction), (ResourceId, BTreeSet<IpAddr>)> = BTreeMap::new();
    for interface in &network.interfaces {
        let out = from.security_group.iter().cloned();
        let out = out.map(|group| (group, Direction::Outbound));
        let arriving = groups_of(network, interface).into_iter();
        let arriving = arriving.map(|group| (group, Direction::Inbound));
        for (group, direction) in out.chain(arriving) {
            let way = ways.entry((group.key(), direction));
            let (_, nodes) = way.or_insert_with(|| (group, BTreeSet::new()));
            nodes.insert(interface.address);
        }
    }
    let groups = groups.read(ways.values().map(|(id, _)| id))?;
    let checkpoints = ways
        .into_iter()
        .filter_map(|((key, direction), (_, nodes))| {
            Some(Checkpoint {
                group: groups.get(&key)?.clone(),
                direction,
                need: need(from, nodes),
                other_sources: BTreeSet::new(),
            })
        });
    Ok(checkpoints.collect())
}

fn need(from: &ApiServerSubnet, to: BTreeSet<IpAddr>) -> Need {
    Need {
        port: ServicePort::KUBELET,
        pairings: vec![Pairing {
            sources: from.addresses.clone(),
            destinations: Destinations::Hosts(to),
        }],
    }
}
