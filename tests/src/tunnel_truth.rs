//! Who can be reached, as the API server finds it: ground truth that does not
//! ask Naosu.

use std::{collections::BTreeSet, net::IpAddr};

use futures::future::join_all;
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
    let dials = if agents > 1 { DIALS } else { 1 };
    let nodes = lab.scenario().estate.nodes();
    let dialling = nodes.into_iter().map(|node| async move {
        for _ in 0..dials {
            let dialled = lab
                .data_plane()
                .dial_through_tunnel(IpAddr::V4(node.address), 10250);
            if dialled.await.is_err() {
                return Some(node.name);
            }
        }
        None
    });
    join_all(dialling).await.into_iter().flatten().collect()
}
