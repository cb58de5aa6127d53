//! Which nodes are judged by their firewalls, and whether they can be mended.

use std::collections::BTreeSet;

use crate::{Effect, Evidence, Step, TunnelNodes, arm::ManagedCluster, kubernetes::Node};

/// Most nodes that evidence is given of.
const SHOWN: usize = 10;

/// Evidence of the nodes whose firewalls are not judged, since there are none that
/// could be read.
pub fn not_judged(observed: &TunnelNodes) -> Vec<Evidence> {
    let of_node = |node: &Node| {
        let why = node.why_not_read()?;
        let labels = &node.metadata.labels;
        let (label, value) = match node.is_virtual() {
            true => ("type", &labels.node_type),
            false => ("kubernetes.io/os", &labels.os),
        };
        Some(Evidence {
            resource: format!("node/{}", node.metadata.name),
            field: format!("metadata.labels[{label}]"),
            value: value.clone(),
            observed_at: observed.observed_at,
            meaning: format!("its firewall is not judged: {why}"),
        })
    };
    let nodes = observed.nodes.iter();
    nodes.filter_map(of_node).take(SHOWN).collect()
}

/// Why no node of a cluster can be mended, and what can be done instead; `None`
/// where its nodes' resource group is not locked.
pub fn locked(cluster: &ManagedCluster) -> Option<String> {
    let (field, value) = cluster.lockdown()?;
    Some(format!(
        "the nodes lie in {}, which is locked ({field} is {value}), so no command runs on them: \
         look with `kubectl debug node/<name>`, replace what a node has by upgrading its image \
         (`az aks nodepool upgrade --node-image-only`), or have AKS support repair it",
        cluster.properties.node_resource_group
    ))
}

/// The nodes that steps change the firewall of.
pub fn nodes_of(steps: &[Step]) -> BTreeSet<String> {
    let node = |step: &Step| match &step.effect {
        Effect::UfwRuleInsert(effect) | Effect::UfwRuleDelete(effect) => Some(effect.node.clone()),
        Effect::UfwEnable(node) | Effect::UfwDisable(node) => Some(node.clone()),
        Effect::IptablesRuleInsert(effect) | Effect::IptablesRuleDelete(effect) => {
            Some(effect.node.clone())
        }
        _ => None,
    };
    steps.iter().filter_map(node).collect()
}
