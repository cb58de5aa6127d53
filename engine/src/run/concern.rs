//! Which nodes a plan is about.

use std::collections::{BTreeSet, HashMap};

use ipnet::IpNet;
use naosu_flow::field::parse_prefix;

use crate::{
    model::{Diagnosis, Effect, Flow, Step, Symptom, TunnelAnswers, plan::PlanContent},
    tunnel::ClusterNode,
};

/// The kubelet's port, which the agents connect to.
const KUBELET_PORT: u16 = 10250;

/// What a run is to mend, as far as nodes are named in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Concern {
    /// Nodes that steps are about.
    of_steps: BTreeSet<String>,
    /// Where the packets go that the finding misses; empty unless all of them go to
    /// kubelets.
    destinations: Vec<IpNet>,
    /// Nodes that the symptom names.
    of_symptom: Vec<String>,
    /// Nodes that were silent in the diagnosis.
    silent: Vec<String>,
}

impl Concern {
    pub(super) fn of(content: &PlanContent, diagnosis: Option<&Diagnosis>) -> Self {
        let steps = content.steps.iter();
        let hint = diagnosis.and_then(|diagnosis| diagnosis.hint.as_ref());
        let silent = diagnosis.and_then(|diagnosis| diagnosis.tunnel.as_ref());
        let silent = silent.into_iter().flat_map(TunnelAnswers::unreached);
        Self {
            of_steps: steps.filter_map(node_of).map(str::to_owned).collect(),
            destinations: kubelets(&content.finding.required_flows),
            of_symptom: hint.map(|hint| hint.nodes.clone()).unwrap_or_default(),
            silent: silent.map(|node| node.node.clone()).collect(),
        }
    }

    /// The nodes that must answer once the cause is gone; `None` when it is the
    /// tunnel as a whole, and so any node.
    pub(super) fn nodes(&self, nodes: &[ClusterNode]) -> Option<BTreeSet<String>> {
        let is_destination = |node: &&ClusterNode| {
            let mut addresses = node.addresses.iter();
            addresses.any(|address| self.destinations.iter().any(|net| net.contains(address)))
        };
        let reached_by_flows = nodes.iter().filter(is_destination);
        let mut concerned: BTreeSet<String> = reached_by_flows.map(|n| n.name.clone()).collect();
        concerned.extend(self.of_steps.iter().cloned());
        (!concerned.is_empty()).then_some(concerned)
    }

    /// Whom to ask first. Of the nodes concerned those that were silent lead: they
    /// show the most.
    pub(super) fn first(&self, nodes: &[ClusterNode]) -> Vec<String> {
        let concerned = self.nodes(nodes).unwrap_or_default();
        let silent: HashMap<&str, ()> = self.silent.iter().map(|n| (n.as_str(), ())).collect();
        let (leading, rest): (Vec<String>, Vec<String>) = concerned
            .into_iter()
            .partition(|node| silent.contains_key(node.as_str()));
        let steps = self.of_steps.iter().cloned();
        steps
            .chain(self.of_symptom.iter().cloned())
            .chain(leading)
            .chain(rest)
            .chain(self.silent.iter().cloned())
            .collect()
    }
}

/// The node whose own firewall a step changes.
fn node_of(step: &Step) -> Option<&str> {
    match &step.effect {
        Effect::UfwRuleInsert(rule) | Effect::UfwRuleDelete(rule) => Some(&rule.node),
        Effect::UfwEnable { node } | Effect::UfwDisable { node } => Some(node),
        Effect::IptablesRuleInsert(rule) | Effect::IptablesRuleDelete(rule) => Some(&rule.node),
        _ => None,
    }
}

/// Where flows to kubelets go. Where others are missed as well, as the agents' own
/// way out, no single node is what the finding is about.
fn kubelets(flows: &[Flow]) -> Vec<IpNet> {
    if !flows.iter().all(is_to_kubelets) {
        return Vec::new();
    }
    let prefixes = flows.iter().flat_map(|flow| &flow.destination_prefixes);
    prefixes.filter_map(|text| net(text)).collect()
}

fn is_to_kubelets(flow: &Flow) -> bool {
    flow.destination_ports.iter().any(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        match (first.trim().parse::<u16>(), last.trim().parse::<u16>()) {
            (Ok(first), Ok(last)) => (first..=last).contains(&KUBELET_PORT),
            _ => false,
        }
    })
}

fn net(text: &str) -> Option<IpNet> {
    let host = || text.parse::<std::net::IpAddr>().ok().map(IpNet::from);
    parse_prefix(text).or_else(host)
}

/// The symptom as it was given, for plugins that judge anew.
pub(super) fn symptom_of(diagnosis: Option<&Diagnosis>) -> Symptom {
    diagnosis
        .map(|diagnosis| diagnosis.symptom.clone())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, address: &str) -> ClusterNode {
        ClusterNode {
            name: name.to_owned(),
            addresses: vec![address.parse().unwrap()],
            excuse: None,
        }
    }

    fn flow(to: &str, port: &str) -> Flow {
        Flow {
            protocol: "Tcp".into(),
            source_prefixes: vec!["10.224.0.4/32".into()],
            destination_prefixes: vec![to.into()],
            destination_ports: vec![port.into()],
        }
    }

    #[test]
    fn a_finding_about_kubelets_concerns_the_nodes_at_its_flows_ends_and_another_all() {
        let nodes = [node("a", "10.224.0.4"), node("b", "10.224.0.5")];
        for (flows, concerned) in [
            (vec![flow("10.224.0.5/32", "10250")], Some(vec!["b"])),
            (vec![flow("10.224.0.5", "10000-10300")], Some(vec!["b"])),
            (vec![flow("10.224.0.0/16", "10250")], Some(vec!["a", "b"])),
            (vec![flow("10.224.0.0/16", "443")], None),
            (
                vec![flow("10.224.0.5", "10250"), flow("1.2.3.4", "443")],
                None,
            ),
            (vec![flow("AzureCloud", "10250")], None),
            (vec![], None),
        ] {
            let concern = Concern {
                destinations: kubelets(&flows),
                ..Concern::default()
            };
            let found = concern.nodes(&nodes);
            let found: Option<Vec<&str>> = found
                .as_ref()
                .map(|set| set.iter().map(String::as_str).collect());
            assert_eq!(found, concerned, "{flows:?}");
        }
    }

    #[test]
    fn of_many_nodes_those_that_show_most_are_asked_first() {
        let nodes = ["a", "b", "c", "d"].map(|name| node(name, "10.224.0.5"));
        let concern = Concern {
            of_steps: BTreeSet::from(["d".to_owned()]),
            destinations: kubelets(&[flow("10.224.0.0/16", "10250")]),
            of_symptom: vec!["c".into()],
            silent: vec!["b".into(), "elsewhere".into()],
        };
        let mut first = concern.first(&nodes);
        let mut told = Vec::new();
        first.retain(|node| {
            !told.contains(node) && {
                told.push(node.clone());
                true
            }
        });
        assert_eq!(first, ["d", "c", "b", "a", "elsewhere"]);
    }
}
