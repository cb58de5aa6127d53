//! Whether ufw is what blocks the tunnel on a node.

use serde::Deserialize;

use crate::{
    Cluster, Evidence, Flow, Judgement, KUBELET_PORT, NodeObservation, NodeQuery, Observed,
    PluginError, Query, Reads, TunnelNodes,
    node_firewall::{JudgedNode, NodeBlock, is_ufws},
    prefixes, read_json_many,
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

/// A node on which ufw blocks.
#[derive(Clone, Debug)]
pub struct UfwNode {
    /// The node and what its firewall does.
    pub node: JudgedNode,
    /// What ufw says, as far as it could be read.
    pub report: Result<Observed<UfwReport>, PluginError>,
}

impl UfwNode {
    /// What of ufw's blocks.
    pub fn blocks(&self) -> impl Iterator<Item = &NodeBlock> {
        ufws_blocks(&self.node)
    }

    /// Whether ufw drops what the node passes on, so that pods suffer too.
    pub fn drops_forwarded(&self) -> bool {
        let report = self.report.as_ref().ok();
        report.is_some_and(|report| {
            let mut lines = report.value.verbose.lines();
            lines
                .find_map(|line| line.strip_prefix("Default:"))
                .is_some_and(|defaults| {
                    let mut defaults = defaults.split(',');
                    defaults.any(|word| {
                        word.contains("(routed)")
                            && (word.contains("deny") || word.contains("reject"))
                    })
                })
        })
    }

    /// The packets that must pass here.
    pub fn required_flow(&self) -> Flow {
        let sources = prefixes::exactly(self.node.sources().iter().copied());
        Flow {
            protocol: "Tcp".to_owned(),
            source_prefixes: prefixes::texts(&sources),
            destination_prefixes: vec![self.node.address.to_string()],
            destination_ports: vec![KUBELET_PORT.to_string()],
        }
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
        let observed = TunnelNodes::observe(reads, cluster)?;
        let judged = |judgement, summary, evidence, blocking, observed| Self {
            judgement,
            summary,
            evidence,
            blocking,
            observed,
        };
        if let Some(reason) = observed.tunnel.why_not_judged() {
            let summary = reason.to_owned();
            return Ok(judged(
                Judgement::Unknown,
                summary,
                Vec::new(),
                Vec::new(),
                observed,
            ));
        }
        let nodes = JudgedNode::observe_all(reads, &observed.tunnel, &observed.nodes)?;
        let (blocked, others): (Vec<JudgedNode>, Vec<JudgedNode>) = nodes
            .into_iter()
            .partition(|node| ufws_blocks(node).next().is_some());
        if !blocked.is_empty() {
            let blocking = with_reports(reads, blocked);
            let names: Vec<&str> = blocking
                .iter()
                .map(|node| node.node.node.as_str())
                .collect();
            let summary = format!("ufw blocks TCP {KUBELET_PORT} on {}", names.join(", "));
            let evidence = blocking.iter().flat_map(evidence).collect();
            return Ok(judged(
                Judgement::Confirmed,
                summary,
                evidence,
                blocking,
                observed,
            ));
        }
        let unknown: Vec<String> = others
            .iter()
            .flat_map(|node| {
                let what = node.unknown.iter();
                what.map(|what| format!("node {}: {what}", node.node))
            })
            .collect();
        if !unknown.is_empty() {
            let summary = format!("ufw may block it: {}", unknown.join("; "));
            return Ok(judged(
                Judgement::Unknown,
                summary,
                Vec::new(),
                Vec::new(),
                observed,
            ));
        }
        let evidence = others
            .iter()
            .filter_map(|node| node.firewall.as_ref().ok())
            .take(10)
            .map(|firewall| {
                let meaning =
                    "no chain of ufw stops the tunnel: it is absent, inactive, or allows it";
                firewall.evidence("iptables-save", "no block by ufw", meaning)
            })
            .collect();
        let summary = format!("ufw blocks TCP {KUBELET_PORT} on no node");
        Ok(judged(
            Judgement::RuledOut,
            summary,
            evidence,
            Vec::new(),
            observed,
        ))
    }
}

fn with_reports(reads: &dyn Reads, nodes: Vec<JudgedNode>) -> Vec<UfwNode> {
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
        .map(|(node, report)| UfwNode { node, report })
        .collect()
}

fn evidence(node: &UfwNode) -> Vec<Evidence> {
    let mut evidence = Vec::new();
    if let Ok(firewall) = &node.node.firewall {
        for block in node.blocks() {
            let meaning = format!("blocks {}", block.packets);
            evidence.push(firewall.evidence("iptables-save", block.by.to_string(), meaning));
        }
    }
    if let Ok(report) = &node.report {
        let first = report.value.verbose.lines().next().unwrap_or_default();
        evidence.push(report.evidence("ufw status", first, "what ufw says of itself"));
    }
    evidence
}
