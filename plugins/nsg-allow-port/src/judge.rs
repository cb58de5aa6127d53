//! Whether security groups block the tunnel.

use std::collections::BTreeSet;

use naosu_plugin::{
    Cluster, Evidence, Exit, Finding, FindingBuilder, Flow, Judgement, PluginError, Reads, Verdict,
    finding, listed, prefixes,
    security_groups::{Checkpoint, Outcome},
    way_out::tunnel_evidence,
};

use crate::{
    CAUSE,
    situation::{Situation, is_to_nodes},
};

/// Prefixes that a flow may list.
const LISTED_PREFIXES: usize = 1_000;

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
    for flow in required_flows(&situation, &judged.blocking) {
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
                "port": checkpoint.need.port.to_string(),
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

/// What has to pass a checkpoint, in words.
pub fn words(checkpoint: &Checkpoint) -> String {
    let port = checkpoint.need.port;
    if is_to_nodes(checkpoint) {
        format!("{port} from the agents to nodes")
    } else {
        format!("{port} from the agents to the API server")
    }
}

/// Judges every group on the way.
pub fn judge(situation: &Situation) -> Result<Judged, PluginError> {
    if let Some(judged) = nothing_to_judge(situation) {
        return Ok(judged);
    }
    let mut evidence = vec![tunnel_evidence(&situation.tunnel)];
    let mut unknown = BTreeSet::new();
    match &situation.exit {
        Exit::Needed { server, .. } => evidence.push(server.evidence.clone()),
        // Without an agent there is none whose way out could be closed.
        Exit::Unknown(reason) if !situation.tunnel.agents.is_empty() => {
            unknown.insert(reason.clone());
        }
        Exit::Unknown(_) | Exit::NotNeeded(_) => {}
    }
    let (mut blocking, mut allowing) = (Vec::new(), Vec::new());
    let mut blocked: Vec<(String, Vec<String>)> = Vec::new();
    for (index, checkpoint) in situation.checkpoints.iter().enumerate() {
        let outcome = checkpoint.judge(&situation.tags)?;
        for block in &outcome.blocks {
            let rule = &block.rule;
            let named = format!(
                "rule {} (priority {}, {}) of {}",
                rule.name,
                rule.priority,
                rule.direction.arm(),
                checkpoint.group.value.name,
            );
            let what = words(checkpoint);
            match blocked.iter_mut().find(|(other, _)| *other == what) {
                Some((_, rules)) => rules.push(named),
                None => blocked.push((what, vec![named])),
            }
            evidence.push(checkpoint.evidence(rule, format!("blocks {}", block.packets)));
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
        return Ok(Judged {
            judgement: Judgement::Confirmed,
            summary: confirmed_summary(blocked),
            evidence,
            blocking,
        });
    }
    evidence.extend(allowing);
    let (judgement, summary) = if unknown.is_empty() {
        (Judgement::RuledOut, ruled_out_summary(situation))
    } else {
        let reasons = listed(&unknown, "; ");
        let summary = format!("Security groups may block it: {reasons}");
        (Judgement::Unknown, summary)
    };
    Ok(Judged {
        judgement,
        summary,
        evidence,
        blocking,
    })
}

fn confirmed_summary(blocked: Vec<(String, Vec<String>)>) -> String {
    let sentences: Vec<String> = blocked
        .into_iter()
        .map(|(what, rules)| format!("{what} is blocked by {}", listed(rules, ", ")))
        .collect();
    sentences.join("; ")
}

fn ruled_out_summary(situation: &Situation) -> String {
    let mut whats: Vec<String> = situation.checkpoints.iter().map(words).collect();
    whats.sort_unstable();
    whats.dedup();
    if whats.is_empty() {
        return "No security group is on the way of the tunnel".to_owned();
    }
    format!("Every security group lets {} pass", whats.join(" and "))
}

/// Situations in which no group needs a look.
fn nothing_to_judge(situation: &Situation) -> Option<Judged> {
    let (judgement, summary) = if let Some(reason) = situation.tunnel.why_not_judged() {
        (Judgement::Unknown, reason)
    } else if situation.checkpoints.is_empty()
        && situation.pairs.is_empty()
        && situation.network.nodes_without_interface.is_empty()
    {
        (
            Judgement::RuledOut,
            "Agents run on the only node, and no security group is on their way out",
        )
    } else {
        return None;
    };
    Some(Judged {
        judgement,
        summary: summary.to_owned(),
        evidence: vec![tunnel_evidence(&situation.tunnel)],
        blocking: Vec::new(),
    })
}

fn allow_evidence(checkpoint: &Checkpoint, outcome: &Outcome) -> Vec<Evidence> {
    let allows = outcome.allows.iter();
    allows
        .map(|rule| checkpoint.evidence(rule, format!("lets {} pass", words(checkpoint))))
        .collect()
}

/// The packets of the pairs; and, where the way out is blocked, those of every
/// node that an agent may come up on.
fn required_flows(situation: &Situation, blocking: &[usize]) -> Vec<Flow> {
    let mut flows = Vec::new();
    if !situation.pairs.is_empty() {
        let sources = prefixes::exactly(situation.pairs.iter().map(|pair| pair.source));
        let destinations = prefixes::exactly(situation.pairs.iter().map(|pair| pair.destination));
        flows.push(Flow {
            protocol: "Tcp".to_owned(),
            source_prefixes: prefixes::texts(&sources),
            destination_prefixes: prefixes::texts(&destinations),
            destination_ports: vec![naosu_plugin::KUBELET_PORT.to_string()],
        });
    }
    let out = blocking
        .iter()
        .filter_map(|index| situation.checkpoints.get(*index))
        .filter(|checkpoint| !is_to_nodes(checkpoint));
    for checkpoint in out {
        let to = checkpoint.need.pairings.first();
        let to = to.and_then(|pairing| pairing.destinations.known(&situation.tags));
        let to = to.map(|to| to.to_prefixes()).unwrap_or_default();
        if to.is_empty() || to.len() > LISTED_PREFIXES {
            continue;
        }
        let mut sources = checkpoint.need.sources();
        sources.extend(&checkpoint.other_sources);
        flows.push(Flow {
            protocol: checkpoint.need.port.protocol_of_nsg().to_owned(),
            source_prefixes: prefixes::texts(&prefixes::exactly(sources)),
            destination_prefixes: prefixes::texts(&to),
            destination_ports: vec![checkpoint.need.port.number.to_string()],
        });
    }
    flows
}

/// Why no rule can be written, when a blocking group lies where only AKS writes.
pub fn infeasible(situation: &Situation, blocking: &[usize]) -> Option<String> {
    let cluster = &situation.cluster.value;
    let (field, value) = cluster.lockdown()?;
    let locked = blocking
        .iter()
        .filter_map(|index| situation.checkpoints.get(*index))
        .find(|checkpoint| checkpoint.is_in_group(&cluster.properties.node_resource_group))?;
    Some(format!(
        "{} lies in {}, which is locked ({field} is {value}); use a virtual network and security \
         groups of your own, or have AKS support repair it",
        locked.group.value.name, cluster.properties.node_resource_group
    ))
}
