//! What keeps packets out or in, and whether it may be deleted.

use naosu_plugin::{
    flow::iptables::{DecidedBy, Family, Hook, RulePlace},
    node_firewall::{JudgedNode, NodeBlock, is_managed, is_ufws},
};

/// What blocks on a node and is not ufw's, which has plugins of its own.
pub fn own_blocks(node: &JudgedNode) -> impl Iterator<Item = &NodeBlock> {
    let firewall = node.firewall.as_ref().ok();
    node.blocks
        .iter()
        .filter(move |block| firewall.is_some_and(|firewall| !is_ufws(&block.by, &firewall.value)))
}

/// Whether a block is a rule that may be deleted, on the way of these packets: of
/// what a node passes on no flow delta is computed, so it is nothing to approve.
pub fn is_deletable(hook: Hook, block: &NodeBlock) -> bool {
    hook != Hook::Forward && is_persons_rule(&block.by)
}

/// Whether it is a rule that neither the cluster nor a policy makes.
pub fn is_persons_rule(by: &DecidedBy) -> bool {
    matches!(by, DecidedBy::Rule(_)) && !is_managed(by)
}

/// The program that shows and changes rules of a family.
pub fn program(place: &RulePlace) -> &'static str {
    match place.family {
        Family::Ipv4 => "iptables",
        Family::Ipv6 => "ip6tables",
    }
}
