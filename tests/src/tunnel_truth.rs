//! Who can be reached, as the API server finds it: ground truth that does not
//! ask Naosu.

use std::{collections::BTreeSet, net::IpAddr};

use naosu_lab::{Lab, NodeName};

/// With several agents a dial takes whichever the server picks.
const DIALS: usize = 12;

/// Nodes whose kubelet some dial through the tunnel cannot reach.
pub async fn unreachable_nodes(lab: &Lab) -> BTreeSet<NodeName> {
    let agents = lab
        .scenario()
        .estate
        .nodes()
        .iter()
        .filter(|node| node.agent)
        .count();
    let mut unreachable = BTreeSet::new();
    for node in lab.scenario().estate.nodes() {
        let dials = if agents > 1 { DIALS } else { 1 };
        for _ in 0..dials {
            let plane = lab.data_plane();
            if plane
                .dial_through_tunnel(IpAddr::V4(node.address), 10250)
                .await
                .is_err()
            {
                unreachable.insert(node.name.clone());
                break;
            }
        }
    }
    unreachable
}
