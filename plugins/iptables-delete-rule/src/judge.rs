//! Whether a rule that a person put there blocks the tunnel.

use std::collections::BTreeSet;

use naosu_plugin::{
    Cluster, Evidence, Finding, FindingBuilder, Flow, Judgement, KUBELET_PORT, PluginError, Reads,
    TunnelNodes, Verdict, finding,
    flow::iptables::DecidedBy,
    listed,
    node_firewall::{JudgedNode, JudgedNodes, NodeBlock, is_managed, is_ufws},
    prefixes,
};
use serde::{Deserialize, Serialize};

use crate::CAUSE;

/// The whole judgement.
pub struct Judged {
    pub judgement: Judgement,
    pub summary: String,
    pub evidence: Vec<Evidence>,
    pub nodes: Vec<JudgedNode>,
    /// Why what blocks cannot be deleted.
    pub infeasible: Option<String>,
}

/// What planning needs to know again.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Subject {
    /// The nodes that something blocks on.
    nodes: BTreeSet<String>,
}

pub fn diagnose(reads: &dyn Reads, cluster: &Cluster) -> Result<Finding, PluginError> {
    let judged = match judge(reads, cluster, None) {
        Ok(judged) => judged,
        Err(error @ PluginError::AnalysisTooComplex(_)) => return Err(error),
        Err(error) => {
            return Ok(FindingBuilder::unreadable(CAUSE, "The nodes' iptables", &error).build());
        }
    };
    let mut builder = finding(CAUSE, judged.judgement, judged.summary)
        .evidence_of(judged.evidence)
        .infeasible(judged.infeasible);
    let mut subject = Subject::default();
    for node in judged
        .nodes
        .iter()
        .filter(|node| own_blocks(node).next().is_some())
    {
        builder = builder.required_flow(required_flow(node));
        subject.nodes.insert(node.node.clone());
    }
    Ok(builder.subject(&serde_json::json!(subject)).build())
}

/// The nodes of a finding, judged again; the others are not its to mend.
pub fn judge_found(
    reads: &dyn Reads,
    cluster: &Cluster,
    finding: &Finding,
) -> Result<Judged, PluginError> {
    let subject: Subject = serde_json::from_str(&finding.subject)
        .map_err(|e| PluginError::Malformed(format!("the finding's subject: {e}")))?;
    judge(reads, cluster, Some(&subject.nodes))
}

pub fn verify(reads: &dyn Reads, cluster: &Cluster) -> Result<Verdict, PluginError> {
    let judged = judge(reads, cluster, None)?;
    Ok(Verdict {
        mended: judged.judgement == Judgement::RuledOut,
        summary: judged.summary,
        evidence: judged.evidence,
    })
}

fn required_flow(node: &JudgedNode) -> Flow {
    let sources = prefixes::exactly(node.sources().iter().copied());
    Flow {
        protocol: "Tcp".to_owned(),
        source_prefixes: prefixes::texts(&sources),
        destination_prefixes: vec![node.address.to_string()],
        destination_ports: vec![KUBELET_PORT.to_string()],
    }
}

/// What blocks on a node and is not ufw's, which has plugins of its own.
pub fn own_blocks(node: &JudgedNode) -> impl Iterator<Item = &NodeBlock> {
    let firewall = node.firewall.as_ref().ok();
    node.blocks
        .iter()
        .filter(move |block| firewall.is_some_and(|firewall| !is_ufws(&block.by, &firewall.value)))
}

/// Whether a block is a rule that may be deleted.
pub fn is_deletable(block: &NodeBlock) -> bool {
    matches!(block.by, DecidedBy::Rule(_)) && !is_managed(&block.by)
}

fn judge(
    reads: &dyn Reads,
    cluster: &Cluster,
    of: Option<&BTreeSet<String>>,
) -> Result<Judged, PluginError> {
    let observed = TunnelNodes::observe(reads, cluster)?;
    if let Some(reason) = observed.tunnel.why_not_judged() {
        return Ok(Judged {
            judgement: Judgement::Unknown,
            summary: reason.to_owned(),
            evidence: Vec::new(),
            nodes: Vec::new(),
            infeasible: None,
        });
    }
    let (tunnel, nodes) = (&observed.tunnel, &observed.nodes);
    let JudgedNodes {
        judged: nodes,
        passing,
    } = match of {
        Some(names) => JudgedNode::observe_some(reads, tunnel, nodes, names)?,
        None => JudgedNode::observe_all(reads, tunnel, nodes)?,
    };
    let (mut evidence, mut unknown, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    let mut blocked = Vec::new();
    for node in &nodes {
        for block in own_blocks(node) {
            if let Ok(firewall) = &node.firewall {
                let (field, value) = place(&block.by);
                evidence.push(firewall.evidence(field, value, format!("blocks {}", block.packets)));
            }
            blocked.push(node.node.as_str());
            if !is_deletable(block) {
                kept.push(format!("node {}: {}", node.node, block.by));
            }
        }
        unknown.extend(
            node.unknown
                .iter()
                .map(|what| format!("node {}: {what}", node.node)),
        );
    }
    blocked.dedup();
    let (judgement, summary) = if !blocked.is_empty() {
        let nodes = listed(&blocked, ", ");
        (
            Judgement::Confirmed,
            format!("iptables blocks TCP {KUBELET_PORT} on {nodes}"),
        )
    } else if !unknown.is_empty() {
        (
            Judgement::Unknown,
            format!("iptables may block it: {}", listed(&unknown, "; ")),
        )
    } else {
        let (value, field) = ("no rule that blocks", "iptables-save");
        let meaning = format!("no rule keeps TCP {KUBELET_PORT} from the agents out");
        let alone = nodes.iter().filter_map(|node| node.firewall.as_ref().ok());
        let alone = alone.map(|firewall| firewall.evidence(field, value, &meaning));
        let alike = passing
            .iter()
            .map(|read| read.evidence(field, value, &meaning));
        evidence.extend(alone.chain(alike).take(10));
        let summary = format!("No rule that a person added blocks TCP {KUBELET_PORT} on a node");
        (Judgement::RuledOut, summary)
    };
    let infeasible = (!kept.is_empty()).then(|| {
        format!(
            "These belong to the cluster or are a chain's policy, and are not deleted: {}",
            listed(&kept, "; ")
        )
    });
    Ok(Judged {
        judgement,
        summary,
        evidence,
        nodes,
        infeasible,
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
