//! What the nodes' firewalls come to together.

use naosu_plugin::{
    Evidence, Judgement, KUBELET_PORT, Observed,
    flow::iptables::{DecidedBy, Hook},
    listed,
    node_firewall::{JudgedNode, NodeBlock},
};

use crate::blocks::{is_deletable, is_persons_rule, own_blocks, program};

/// The judgement, and what decides it.
pub struct Weighed {
    pub judgement: Judgement,
    pub summary: String,
    pub evidence: Vec<Evidence>,
    /// Why what blocks cannot be deleted.
    pub infeasible: Option<String>,
}

/// Collects what nodes do.
#[derive(Default)]
struct Found<'a> {
    evidence: Vec<Evidence>,
    /// Nodes that packets do not come into.
    keeping_out: Vec<&'a str>,
    /// Nodes of agents that packets do not leave.
    keeping_in: Vec<&'a str>,
    unknown: Vec<String>,
    /// Blocks that belong to something else.
    kept: Vec<String>,
    /// Rules that only a person can delete, with the command.
    by_hand: Vec<String>,
}

impl Weighed {
    /// Of nodes that were judged one by one, and of what was read of those that
    /// certainly let everything pass.
    pub fn of(nodes: &[JudgedNode], passing: &[Observed<()>]) -> Self {
        let mut found = Found::default();
        for node in nodes {
            found.node(node, nodes);
        }
        found.keeping_out.dedup();
        found.keeping_in.dedup();
        found.conclude(nodes, passing)
    }
}

impl<'a> Found<'a> {
    fn node(&mut self, node: &'a JudgedNode, all: &[JudgedNode]) {
        let name = &node.node;
        for block in own_blocks(node) {
            if let Ok(firewall) = &node.firewall {
                let (field, value) = place(&block.by);
                let packets = &block.packets;
                let meaning = match node.hook {
                    Hook::Input => format!("blocks {packets}"),
                    Hook::Forward | Hook::Output => {
                        format!("keeps in what the agents here send: {packets}")
                    }
                };
                self.evidence.push(firewall.evidence(field, value, meaning));
            }
            match node.hook {
                Hook::Input => self.keeping_out.push(name),
                Hook::Forward | Hook::Output => self.keeping_in.push(name),
            }
            if !is_deletable(node.hook, block) && !goes_anyway(name, block, all) {
                self.cannot_go(name, block);
            }
        }
        for what in &node.unknown {
            let text = format!("node {name}: {what}");
            // A node that cannot be read is one doubt, whichever way is asked about.
            if node.hook == Hook::Input || !self.unknown.contains(&text) {
                self.unknown.push(text);
            }
        }
    }

    fn cannot_go(&mut self, node: &str, block: &NodeBlock) {
        match &block.by {
            DecidedBy::Rule(place) if is_persons_rule(&block.by) => self.by_hand.push(format!(
                "`{} -t {} -D {} {}` on {node}",
                program(place),
                place.table.as_str(),
                place.chain,
                place.specification
            )),
            by => self.kept.push(format!("node {node}: {by}")),
        }
    }

    fn conclude(mut self, nodes: &[JudgedNode], passing: &[Observed<()>]) -> Weighed {
        let (judgement, summary) = if !self.keeping_out.is_empty() || !self.keeping_in.is_empty() {
            (Judgement::Confirmed, self.blocked_words())
        } else if !self.unknown.is_empty() {
            let unknown = listed(&self.unknown, "; ");
            (
                Judgement::Unknown,
                format!("iptables may block it: {unknown}"),
            )
        } else {
            let (value, field) = ("no rule that blocks", "iptables-save");
            let meaning = format!("no rule keeps the control plane's TCP {KUBELET_PORT} out");
            let alone = nodes.iter().filter(|node| node.hook == Hook::Input);
            let alone = alone.filter_map(|node| node.firewall.as_ref().ok());
            let alone = alone.map(|firewall| firewall.evidence(field, value, &meaning));
            let alike = passing
                .iter()
                .map(|read| read.evidence(field, value, &meaning));
            self.evidence.extend(alone.chain(alike).take(10));
            let summary =
                format!("No rule that a person added blocks TCP {KUBELET_PORT} on a node");
            (Judgement::RuledOut, summary)
        };
        Weighed {
            judgement,
            summary,
            infeasible: self.infeasible(),
            evidence: self.evidence,
        }
    }

    fn blocked_words(&self) -> String {
        let mut words = Vec::new();
        if !self.keeping_out.is_empty() {
            let nodes = listed(&self.keeping_out, ", ");
            words.push(format!("iptables blocks TCP {KUBELET_PORT} on {nodes}"));
        }
        if !self.keeping_in.is_empty() {
            let nodes = listed(&self.keeping_in, ", ");
            words.push(format!(
                "iptables keeps TCP {KUBELET_PORT} of the agents from leaving {nodes}"
            ));
        }
        words.join("; ")
    }

    fn infeasible(&self) -> Option<String> {
        let mut reasons = Vec::new();
        if !self.kept.is_empty() {
            reasons.push(format!(
                "These belong to the cluster or are a chain's policy, and are not deleted: {}",
                listed(&self.kept, "; ")
            ));
        }
        if !self.by_hand.is_empty() {
            reasons.push(format!(
                "What a node passes on for its pods is in no flow delta, so that nobody could \
                 approve it; delete by hand: {}",
                listed(&self.by_hand, "; ")
            ));
        }
        (!reasons.is_empty()).then(|| reasons.join(". "))
    }
}

/// Whether the rule goes because it blocks on another way of the same node.
fn goes_anyway(node: &str, block: &NodeBlock, all: &[JudgedNode]) -> bool {
    let others = all.iter().filter(|other| other.node == node);
    others.into_iter().any(|other| {
        own_blocks(other).any(|own| own.by == block.by && is_deletable(other.hook, own))
    })
}

fn place(by: &DecidedBy) -> (String, String) {
    match by {
        DecidedBy::Rule(rule) => (
            format!(
                "{} {} rule {}",
                rule.table.as_str(),
                rule.chain,
                rule.number
            ),
            format!("-A {} {}", rule.chain, rule.specification),
        ),
        other => ("policy".to_owned(), other.to_string()),
    }
}
