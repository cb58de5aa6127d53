//! Whether security groups block the tunnel.

use std::collections::BTreeSet;

use naosu_plugin::{
    Cluster, Evidence, Finding, FindingBuilder, Flow, Judgement, KUBELET_PORT, PluginError, Reads,
    Verdict, finding, prefixes,
};

use crate::{
    CAUSE,
    checkpoint::{Checkpoint, Outcome},
    situation::Situation,
};

/// The whole judgement of a situation.
pub struct Judged {
    pub judgement: Judgement,
    pub summary: String,
    pub evidence: Vec<Evidence>,
    /// Indexes of the checkpoints that block.
    pub blocking: Vec<usize>,
}

pub fn diagnose(reads: &dyn Reads, cluster: &Cluster) -> Result<Finding, PluginError> {
    let situation = match Situation::observe(reads, cluster) {
        Ok(situation) => situation,
        Err(error @ PluginError::AnalysisTooComplex(_)) => return Err(error),
        Err(error) => {
            let unknown = FindingBuilder::unreadable(CAUSE, "The security groups", &error);
            return Ok(unknown.build());
        }
    };
    let judged = judge(&situation)?;
    let mut builder = finding(CAUSE, judged.judgement, judged.summary)
        .evidence_of(judged.evidence)
        .infeasible(infeasible(&situation, &judged.blocking));
    for flow in required_flows(&situation) {
        builder = builder.required_flow(flow);
    }
    let groups: Vec<serde_json::Value> = judged
        .blocking
        .iter()
        .filter_map(|index| situation.checkpoints.get(*index))
        .map(|checkpoint| {
            serde_json::json!({
                "nsg": checkpoint.group.resource,
                "direction": checkpoint.direction.arm(),
            })
        })
        .collect();
    let subject = serde_json::json!({
        "tunnel": situation.tunnel.tunnel_type.name(),
        "blocking": groups,
    });
    Ok(builder.subject(&subject).build())
}

pub fn verify(reads: &dyn Reads, cluster: &Cluster) -> Result<Verdict, PluginError> {
    let judged = judge(&Situation::observe(reads, cluster)?)?;
    Ok(Verdict {
        mended: judged.judgement == Judgement::RuledOut,
        summary: judged.summary,
        evidence: judged.evidence,
    })
}

/// Judges every group on the way.
pub fn judge(situation: &Situation) -> Result<Judged, PluginError> {
    if let Some(judged) = nothing_to_judge(situation) {
        return Ok(judged);
    }
    let mut evidence = vec![tunnel_evidence(situation)];
    let (mut blocking, mut unknown, mut allowing) = (Vec::new(), BTreeSet::new(), Vec::new());
    let mut summaries = Vec::new();
    for (index, checkpoint) in situation.checkpoints.iter().enumerate() {
        let outcome = checkpoint.judge(&situation.tags)?;
        for (rule, packets) in &outcome.blocks {
            summaries.push(format!(
                "rule {} (priority {}, {}) of {}",
                rule.name,
                rule.priority,
                rule.direction.arm(),
                checkpoint.group.value.name,
            ));
            evidence.push(checkpoint.evidence(rule, format!("blocks {packets}")));
        }
        if !outcome.blocks.is_empty() {
            blocking.push(index);
        }
        allowing.extend(allow_evidence(checkpoint, &outcome));
        unknown.extend(outcome.unknown);
    }
    for node in &situation.network.nodes_without_interface {
        unknown.insert(format!("node {node}: its network interface was not found"));
    }
    if !blocking.is_empty() {
        let summary = format!(
            "TCP {KUBELET_PORT} to nodes is blocked by {}",
            summaries.join(", ")
        );
        return Ok(Judged {
            judgement: Judgement::Confirmed,
            summary,
            evidence,
            blocking,
        });
    }
    evidence.extend(allowing);
    if unknown.is_empty() {
        let summary = if situation.checkpoints.is_empty() {
            "No security group is between the tunnel agents and the nodes".to_owned()
        } else {
            format!("Every security group lets TCP {KUBELET_PORT} from the agents to nodes pass")
        };
        return Ok(Judged {
            judgement: Judgement::RuledOut,
            summary,
            evidence,
            blocking,
        });
    }
    let reasons: Vec<String> = unknown.into_iter().collect();
    Ok(Judged {
        judgement: Judgement::Unknown,
        summary: format!("Security groups may block it: {}", reasons.join("; ")),
        evidence,
        blocking,
    })
}

/// Situations in which no group needs a look.
fn nothing_to_judge(situation: &Situation) -> Option<Judged> {
    let (judgement, summary) = if let Some(reason) = situation.tunnel.why_not_judged() {
        (Judgement::Unknown, reason)
    } else if situation.pairs.is_empty() && situation.network.nodes_without_interface.is_empty() {
        (
            Judgement::RuledOut,
            "Agents run on the only node, so their packets pass no security group",
        )
    } else {
        return None;
    };
    Some(Judged {
        judgement,
        summary: summary.to_owned(),
        evidence: vec![tunnel_evidence(situation)],
        blocking: Vec::new(),
    })
}

fn tunnel_evidence(situation: &Situation) -> Evidence {
    let tunnel = &situation.tunnel;
    let agents: Vec<String> = tunnel
        .agents
        .iter()
        .map(|agent| {
            let node = &agent.pod.spec.node_name;
            format!("{} on {node}", agent.pod.metadata.name)
        })
        .take(10)
        .collect();
    Evidence {
        resource: "pod/kube-system".to_owned(),
        field: "metadata.labels".to_owned(),
        value: agents.join(", "),
        observed_at: tunnel.observed_at,
        meaning: format!("the tunnel is {}", tunnel.tunnel_type.name()),
    }
}

fn allow_evidence(checkpoint: &Checkpoint, outcome: &Outcome) -> Vec<Evidence> {
    let allows = outcome.allows.iter();
    allows
        .map(|rule| {
            let meaning = format!("lets TCP {KUBELET_PORT} from the agents to nodes pass");
            checkpoint.evidence(rule, meaning)
        })
        .collect()
}

fn required_flows(situation: &Situation) -> Vec<Flow> {
    if situation.pairs.is_empty() {
        return Vec::new();
    }
    let sources = prefixes::exactly(situation.pairs.iter().map(|pair| pair.source));
    let destinations = prefixes::exactly(situation.pairs.iter().map(|pair| pair.destination));
    vec![Flow {
        protocol: "Tcp".to_owned(),
        source_prefixes: prefixes::texts(&sources),
        destination_prefixes: prefixes::texts(&destinations),
        destination_ports: vec![KUBELET_PORT.to_string()],
    }]
}

/// Why no rule can be written, when a blocking group lies where only AKS writes.
pub fn infeasible(situation: &Situation, blocking: &[usize]) -> Option<String> {
    let cluster = &situation.cluster.value;
    let (field, value) = cluster.lockdown()?;
    let locked = blocking
        .iter()
        .filter_map(|index| situation.checkpoints.get(*index))
        .find(|checkpoint| {
            let id = naosu_plugin::ResourceId(checkpoint.group.resource.clone());
            id.is_in_group(&cluster.properties.node_resource_group)
        })?;
    Some(format!(
        "{} lies in {}, which is locked ({field} is {value}); use a virtual network and security \
         groups of your own, or have AKS support repair it",
        locked.group.value.name, cluster.properties.node_resource_group
    ))
}
