//! Whether ufw is what blocks the tunnel on a node.

use std::collections::BTreeSet;

use naosu_flow::iptables::{Hook, Knowledge};
use serde::Deserialize;

use crate::{
    Cluster, Evidence, Judgement, KUBELET_PORT, NodeObservation, NodeQuery, Observed, PluginError,
    Query, Reads, TunnelNodes, listed,
    node_firewall::{JudgedNode, NodeBlock, is_ufws, locked, not_judged},
    read_json_many,
};

/// What ufw says of itself on a node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct UfwReport {
    /// Whether the program is there.
    pub installed: bool,
    /// `ufw status verbose`.
    pub verbose: String,
    /// `ufw status numbered`.
    pub numbered: String,
}

/// A node on which ufw stops packets on one way.
#[derive(Clone, Debug)]
pub struct UfwNode {
    /// The node and what its firewall does.
    pub node: JudgedNode,
    /// Whether ufw drops what the node passes on, so that pods suffer too.
    pub drops_forwarded: bool,
    /// What ufw says, as far as it could be read.
    pub report: Result<Observed<UfwReport>, PluginError>,
}

impl UfwNode {
    /// The node's name.
    pub fn name(&self) -> &str {
        &self.node.node
    }

    /// What of ufw's blocks.
    pub fn blocks(&self) -> impl Iterator<Item = &NodeBlock> {
        ufws_blocks(&self.node)
    }

    /// What is known of the node besides its rules.
    pub fn knowledge(&self) -> Knowledge {
        let firewall = self.node.firewall.as_ref();
        firewall.map_or_else(|_| Knowledge::default(), |f| f.value.knowledge.clone())
    }
}

fn ufws_blocks(node: &JudgedNode) -> impl Iterator<Item = &NodeBlock> {
    let firewall = node.firewall.as_ref().ok();
    node.blocks
        .iter()
        .filter(move |block| firewall.is_some_and(|firewall| is_ufws(&block.by, &firewall.value)))
}

/// The judgement on ufw for all nodes.
#[derive(Clone, Debug)]
pub struct UfwJudgement {
    /// How sure.
    pub judgement: Judgement,
    /// One sentence.
    pub summary: String,
    /// What decides.
    pub evidence: Vec<Evidence>,
    /// The nodes on which ufw blocks.
    pub blocking: Vec<UfwNode>,
    /// Nodes of agents on which ufw keeps in what those send.
    pub keeping_in: Vec<UfwNode>,
    /// Other nodes on which ufw drops what they pass on for their pods.
    pub dropping: Vec<UfwNode>,
    /// Whether every node that was judged was read; false where none was judged.
    pub is_read: bool,
    /// Why ufw cannot be changed here, and what can be done instead.
    pub infeasible: Option<String>,
    /// Cluster, tunnel and nodes.
    pub observed: TunnelNodes,
}

impl UfwJudgement {
    /// Judges by the rules in the kernel; ufw's own words are evidence only, and
    /// only asked for where it blocks.
    ///
    /// # Errors
    /// When the nodes cannot be read or the analysis is too complex.
    pub fn observe(reads: &dyn Reads, cluster: &Cluster) -> Result<Self, PluginError> {
        Self::of(reads, cluster, &BTreeSet::new())
    }

    /// [`Self::observe`] of these nodes alone; of all where none is named.
    ///
    /// # Errors
    /// As [`Self::observe`].
    pub fn of(
        reads: &dyn Reads,
        cluster: &Cluster,
        names: &BTreeSet<String>,
    ) -> Result<Self, PluginError> {
        let observed = TunnelNodes::observe(reads, cluster)?;
        let mut judged = Self {
            judgement: Judgement::Unknown,
            summary: String::new(),
            evidence: Vec::new(),
            blocking: Vec::new(),
            keeping_in: Vec::new(),
            dropping: Vec::new(),
            is_read: false,
            infeasible: None,
            observed,
        };
        if let Some(reason) = judged.observed.tunnel.why_not_judged() {
            judged.summary = reason;
            return Ok(judged);
        }
        let (tunnel, nodes) = (&judged.observed.tunnel, &judged.observed.nodes);
        let of = (!names.is_empty()).then_some(names);
        let mut leaving = JudgedNode::observe_leaving(reads, tunnel, nodes, of, Some("ufw"))?;
        leaving.retain(|node| ufws_blocks(node).next().is_some());
        let nodes = match of {
            None => JudgedNode::observe_mentioning(reads, tunnel, nodes, "ufw")?,
            Some(names) => JudgedNode::observe_some(reads, tunnel, nodes, names)?,
        };
        judged.is_read = nodes.judged.iter().all(|node| node.firewall.is_ok());
        let (blocked, others): (Vec<JudgedNode>, Vec<JudgedNode>) = nodes
            .judged
            .into_iter()
            .partition(|node| ufws_blocks(node).next().is_some());
        let mut dropping = Vec::new();
        for node in &others {
            let is_kept_in = leaving.iter().any(|kept| kept.node == node.node);
            if !is_kept_in && node.ufw_drops_forwarded()? {
                dropping.push(node.clone());
            }
        }
        judged.blocking = with_reports(reads, blocked)?;
        judged.keeping_in = with_reports(reads, leaving)?;
        judged.dropping = with_reports(reads, dropping)?;
        let named = |nodes: &[UfwNode]| {
            let names: Vec<&str> = nodes.iter().map(|node| node.node.node.as_str()).collect();
            listed(names, ", ")
        };
        let unknown: Vec<String> = others
            .iter()
            .flat_map(|node| {
                let what = node.unknown.iter();
                what.map(|what| format!("node {}: {what}", node.node))
            })
            .collect();
        if judged.stopping().next().is_some() {
            judged.judgement = Judgement::Confirmed;
            let mut words = Vec::new();
            if !judged.blocking.is_empty() {
                let names = named(&judged.blocking);
                words.push(format!("ufw blocks TCP {KUBELET_PORT} on {names}"));
            }
            if !judged.keeping_in.is_empty() {
                let names = named(&judged.keeping_in);
                words.push(format!(
                    "ufw keeps TCP {KUBELET_PORT} of the agents from leaving {names}"
                ));
            }
            judged.summary = words.join("; ");
            judged.evidence = judged.stopping().flat_map(evidence).collect();
        } else if !unknown.is_empty() {
            judged.summary = format!("ufw may block it: {}", listed(&unknown, "; "));
        } else if !judged.dropping.is_empty() {
            judged.judgement = Judgement::Suspected;
            judged.summary = format!(
                "ufw lets TCP {KUBELET_PORT} pass but drops what is forwarded on {}, so pods \
                 there are cut off",
                named(&judged.dropping)
            );
            judged.evidence = judged.dropping.iter().flat_map(evidence).collect();
        } else {
            judged.judgement = Judgement::RuledOut;
            judged.summary = format!("ufw blocks TCP {KUBELET_PORT} on no node");
            let passing = others.iter().filter_map(|node| {
                let firewall = node.firewall.as_ref().ok()?;
                let meaning = "no chain of ufw stops the tunnel: it is inactive, or allows it";
                Some(firewall.evidence("iptables-save", "no block by ufw", meaning))
            });
            let without = nodes.passing.iter().map(|firewall| {
                firewall.evidence(
                    "iptables-save",
                    "no chain of ufw",
                    "ufw is absent or inactive",
                )
            });
            judged.evidence = passing.chain(without).take(10).collect();
        }
        judged.evidence.extend(not_judged(&judged.observed));
        if judged.judgement != Judgement::RuledOut {
            judged.infeasible = locked(&judged.observed.cluster.value);
        }
        Ok(judged)
    }

    /// Nodes on which ufw stops the tunnel, on the way in or out.
    pub fn stopping(&self) -> impl Iterator<Item = &UfwNode> {
        self.blocking.iter().chain(&self.keeping_in)
    }

    /// Whether no rule of ufw's that was read keeps an agent out of a node, whatever
    /// else it does. What rules cannot tell is left to the tunnel, which answers it.
    pub fn lets_tunnel_pass(&self) -> bool {
        self.is_read && self.blocking.is_empty()
    }
}

fn with_reports(reads: &dyn Reads, nodes: Vec<JudgedNode>) -> Result<Vec<UfwNode>, PluginError> {
    let queries: Vec<Query> = nodes
        .iter()
        .map(|node| {
            Query::Node(NodeQuery {
                node: node.node.clone(),
                what: NodeObservation::UfwStatus,
            })
        })
        .collect();
    let reports = read_json_many(reads, &queries);
    let nodes = nodes.into_iter().zip(reports);
    nodes
        .map(|(node, report)| {
            Ok(UfwNode {
                drops_forwarded: node.ufw_drops_forwarded()?,
                node,
                report,
            })
        })
        .collect()
}

fn evidence(node: &UfwNode) -> Vec<Evidence> {
    let mut evidence = Vec::new();
    if let Ok(firewall) = &node.node.firewall {
        for block in node.blocks() {
            let verb = match node.node.hook {
                Hook::Input => "blocks",
                Hook::Forward | Hook::Output => "keeps in what the agents here send:",
            };
            let meaning = format!("{verb} {}", block.packets);
            evidence.push(firewall.evidence("iptables-save", block.by.to_string(), meaning));
        }
        if node.drops_forwarded {
            evidence.push(firewall.evidence(
                "iptables-save",
                "FORWARD",
                "ufw drops what the node passes on for its pods",
            ));
        }
    }
    if let Ok(report) = &node.report {
        let first = report.value.verbose.lines().next().unwrap_or_default();
        evidence.push(report.evidence("ufw status", first, "what ufw says of itself"));
    }
    evidence
}
