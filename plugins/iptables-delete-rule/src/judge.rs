//! Whether a rule that a person put there blocks the tunnel.

use std::collections::{BTreeMap, BTreeSet};

use naosu_plugin::{
    Cluster, Evidence, Finding, FindingBuilder, Judgement, PluginError, Reads, Step, TunnelNodes,
    Verdict, finding,
    node_firewall::{JudgedNode, JudgedNodes, locked, nodes_of, not_judged},
};
use serde::{Deserialize, Serialize};

use crate::{CAUSE, blocks::own_blocks, weigh::Weighed};

/// The whole judgement.
pub struct Judged {
    pub judgement: Judgement,
    pub summary: String,
    pub evidence: Vec<Evidence>,
    /// Nodes and ways that were judged one by one.
    pub nodes: Vec<JudgedNode>,
    /// Why what blocks cannot be deleted.
    pub infeasible: Option<String>,
}

impl Judged {
    /// What was judged of each node: first what comes to it, then what leaves it.
    pub fn by_node(&self) -> BTreeMap<&str, Vec<&JudgedNode>> {
        let mut by_node: BTreeMap<&str, Vec<&JudgedNode>> = BTreeMap::new();
        for node in &self.nodes {
            by_node.entry(&node.node).or_default().push(node);
        }
        by_node
    }
}

/// What planning needs to know again.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Subject {
    /// The nodes that something blocks on.
    nodes: BTreeSet<String>,
}

impl Subject {
    fn of(finding: &Finding) -> Result<Self, PluginError> {
        serde_json::from_str(&finding.subject)
            .map_err(|e| PluginError::Malformed(format!("the finding's subject: {e}")))
    }
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
        if let Some(flow) = node.required_flow() {
            builder = builder.required_flow(flow);
        }
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
    judge(reads, cluster, Some(&Subject::of(finding)?.nodes))
}

/// Judges the nodes that the steps changed, or else those of the finding. What is
/// not known of others was not known before either; and what rules do not tell of
/// these is left to the tunnel, which answers it.
pub fn verify(
    reads: &dyn Reads,
    cluster: &Cluster,
    finding: &Finding,
    steps: &[Step],
) -> Result<Verdict, PluginError> {
    let mut names = nodes_of(steps);
    if names.is_empty() {
        names = Subject::of(finding).unwrap_or_default().nodes;
    }
    let judged = judge(reads, cluster, (!names.is_empty()).then_some(&names))?;
    let mut read = judged.nodes.iter().map(|node| node.firewall.is_ok());
    let mended = match judged.judgement {
        Judgement::RuledOut => true,
        Judgement::Unknown => !judged.nodes.is_empty() && read.all(|is_read| is_read),
        Judgement::Confirmed | Judgement::Suspected => false,
    };
    Ok(Verdict {
        mended,
        summary: judged.summary,
        evidence: judged.evidence,
    })
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
            summary: reason,
            evidence: Vec::new(),
            nodes: Vec::new(),
            infeasible: None,
        });
    }
    let (tunnel, nodes) = (&observed.tunnel, &observed.nodes);
    let JudgedNodes {
        judged: mut all,
        passing,
    } = match of {
        Some(names) => JudgedNode::observe_some(reads, tunnel, nodes, names)?,
        None => JudgedNode::observe_all(reads, tunnel, nodes)?,
    };
    all.extend(JudgedNode::observe_leaving(reads, tunnel, nodes, of, None)?);
    let weighed = Weighed::of(&all, &passing);
    let mut evidence = weighed.evidence;
    evidence.extend(not_judged(&observed));
    let locked = locked(&observed.cluster.value);
    Ok(Judged {
        judgement: weighed.judgement,
        summary: weighed.summary,
        evidence,
        infeasible: match weighed.judgement {
            Judgement::RuledOut => None,
            _ => locked.or(weighed.infeasible),
        },
        nodes: all,
    })
}
