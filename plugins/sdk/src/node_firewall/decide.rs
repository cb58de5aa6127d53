//! What rules do to the tunnel's packets, on their way into a node or out of it.

use std::{collections::BTreeSet, net::IpAddr};

use naosu_flow::{
    iptables::{Hook, NodeFirewall},
    set::{AddressSet, AnalysisTooComplex, ConnectionState, FlowBox, PacketSet, PortSet, Space},
};

use super::{NodeBlock, is_managed, is_ufws};
use crate::{KUBELET_PORT, prefixes};

/// New connections from `sources` to the kubelet at these addresses, as they pass
/// a hook.
pub(super) fn packets(
    space: &mut Space,
    hook: Hook,
    sources: &BTreeSet<IpAddr>,
    to: impl Iterator<Item = IpAddr>,
) -> Result<PacketSet, AnalysisTooComplex> {
    let sources = prefixes::exactly(sources.iter().copied());
    let flow = FlowBox::new_tcp(
        AddressSet::prefixes(&sources),
        AddressSet::prefixes(&prefixes::exactly(to)),
        PortSet::single(KUBELET_PORT),
    );
    space.flow(
        &flow
            .with_direction(hook.direction())
            .with_state(ConnectionState::New),
    )
}

/// What blocks of the packets that are asked about, and what is not known.
pub(super) fn decide(
    space: &mut Space,
    hook: Hook,
    asked: PacketSet,
    firewall: &NodeFirewall,
) -> Result<(Vec<NodeBlock>, Vec<String>), AnalysisTooComplex> {
    let decided = firewall.analyse(space, hook, asked)?;
    let parts = decided.decisions.partition(space)?;
    let mut blocks = Vec::new();
    let mut doubted = PacketSet::EMPTY;
    for block in decided.decisions.blocks(space)? {
        let Some(decision) = decided.made_by(block.index) else {
            continue;
        };
        let part = space.intersection(block.part, parts.denied)?;
        if !part.is_empty() {
            let boxes = space.boxes(part)?;
            let words: Vec<String> = boxes.iter().take(3).map(|(b, _)| b.to_string()).collect();
            blocks.push(NodeBlock {
                by: decision.by.clone(),
                packets: words.join("; "),
            });
        }
        if !is_managed(&decision.by) && !is_ufws(&decision.by, firewall) {
            doubted = space.union(doubted, block.part)?;
        }
    }
    let unsure = match hook {
        Hook::Input => parts.passing,
        // What the cluster itself keeps from leaving goes by marks that sockets may
        // carry, which no dump tells: only what others put there is a doubt.
        Hook::Forward | Hook::Output => space.intersection(doubted, parts.unknown)?,
    };
    let mut unknown = Vec::new();
    if !parts.unknown.is_empty() && !unsure.is_empty() {
        for atom in space.atoms_of(unsure) {
            if let Some(atom) = space.atom_of(atom) {
                unknown.push(format!("{}: {}", atom.name, atom.reason));
            }
        }
    }
    Ok((blocks, unknown))
}
