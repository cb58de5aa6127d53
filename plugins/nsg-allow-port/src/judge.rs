//! Whether security groups block the tunnel.

use std::collections::{BTreeMap, BTreeSet};

use naosu_plugin::{
    ADMIN_RULE_REMEDY, Cluster, Evidence, Exit, Finding, FindingBuilder, Flow, Judgement, Need,
    PluginError, Reads, admin_rule_words, finding, listed, prefixes,
    security_groups::{Checkpoint, Outcome},
    way_out::tunnel_evidence,
};

use crate::{
    CAUSE,
    situation::{Situation, is_to_nodes},
    verify::Subject,
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
    /// Security admin rules that block, in words.
    pub admin_blocks: Vec<String>,
    /// What would have to be known to tell whether anything that was read blocks.
    pub unknown: BTreeSet<String>,
    /// What of that is about a group, by the index of the checkpoint.
    pub doubts: BTreeMap<usize, BTreeSet<String>>,
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
    let infeasible = infeasible(&situation, &judged);
    let mut builder = finding(CAUSE, judged.judgement, judged.summary)
        .evidence_of(judged.evidence)
        .infeasible(infeasible);
    for flow in required_flows(&situation, &judged.blocking) {
        builder = builder.required_flow(flow);
    }
    let subject = Subject::of(&situation, &judged.blocking, &judged.unknown);
    Ok(builder.subject(&serde_json::json!(subject)).build())
}

/// Judges the security admin rules and every group on the way.
pub fn judge(situation: &Situation) -> Result<Judged, PluginError> {
    if let Some(judged) = nothing_to_judge(situation) {
        return Ok(judged);
    }
    let mut judging = Judging {
        situation,
        evidence: vec![tunnel_evidence(&situation.tunnel)],
        allowing: Vec::new(),
        blocked: Vec::new(),
        blocking: Vec::new(),
        admin_blocks: Vec::new(),
        always_allowed: BTreeSet::new(),
        unknown: BTreeSet::new(),
        doubts: BTreeMap::new(),
    };
    let api_server = situation.tunnel.api_server_subnet();
    let api_server = api_server.map(|subnet| subnet.evidence.clone());
    judging.evidence.extend(api_server);
    match &situation.exit {
        Exit::Needed { server, .. } => judging.evidence.push(server.evidence.clone()),
        // Without an agent there is none whose way out could be closed.
        Exit::Unknown(reason) if !situation.tunnel.agents.is_empty() => {
            judging.unknown.insert(reason.clone());
        }
        Exit::Unknown(_) | Exit::NotNeeded(_) => {}
    }
    for node in &situation.network.nodes_without_interface {
        let reason = format!("node {node}: its network interface was not found");
        judging.unknown.insert(reason);
    }
    let addresses = situation.network.interfaces.iter().map(|at| at.address);
    let unsourced = addresses.filter_map(|to| situation.tunnel.why_no_source(to));
    judging.unknown.extend(unsourced);
    let virtual_nodes = situation.network.virtual_nodes.iter();
    judging.evidence.extend(virtual_nodes.map(|node| Evidence {
        resource: format!("node/{node}"),
        field: "metadata.labels[type]".to_owned(),
        value: "virtual-kubelet".to_owned(),
        observed_at: situation.tunnel.observed_at,
        meaning: "a virtual node has no network interface: its groups are not judged".to_owned(),
    }));
    judging.admin_rules()?;
    judging.groups()?;
    Ok(judging.conclude())
}

/// Collects what is in the way.
struct Judging<'a> {
    situation: &'a Situation,
    evidence: Vec<Evidence>,
    /// Shown where nothing blocks.
    allowing: Vec<Evidence>,
    /// What is blocked, each with the rules that do it.
    blocked: Vec<(String, Vec<String>)>,
    blocking: Vec<usize>,
    admin_blocks: Vec<String>,
    /// What passes whatever the groups say, and why.
    always_allowed: BTreeSet<String>,
    unknown: BTreeSet<String>,
    doubts: BTreeMap<usize, BTreeSet<String>>,
}

impl Judging<'_> {
    fn block(&mut self, need: &Need, rule: String) {
        let what = self.situation.words(need);
        match self.blocked.iter_mut().find(|(other, _)| *other == what) {
            Some((_, rules)) => rules.push(rule),
            None => self.blocked.push((what, vec![rule])),
        }
    }

    fn admin_rules(&mut self) -> Result<(), PluginError> {
        let situation = self.situation;
        if situation.admin_rules.is_empty() {
            return Ok(());
        }
        for (direction, need) in &situation.needs {
            let rules = &situation.admin_rules;
            let outcome = rules.judge(need, *direction, &situation.tags)?;
            for (rule, packets) in &outcome.blocks {
                let named = admin_rule_words(rule);
                self.block(need, named.clone());
                self.admin_blocks.push(named);
                let evidence = rules.evidence(rule, format!("blocks {packets}"));
                self.evidence.extend(evidence);
            }
            for rule in &outcome.always_allows {
                let (what, named) = (situation.words(need), admin_rule_words(rule));
                self.always_allowed
                    .insert(format!("{named} always allows {what}"));
                let meaning = format!("lets {what} pass before any group");
                self.allowing.extend(rules.evidence(rule, meaning));
            }
            self.unknown.extend(outcome.unknown);
        }
        Ok(())
    }

    fn groups(&mut self) -> Result<(), PluginError> {
        let situation = self.situation;
        let admin = situation.admin_rules.policy(&situation.tags)?;
        for (index, checkpoint) in situation.checkpoints.iter().enumerate() {
            let outcome = checkpoint.judge(&situation.tags, &admin)?;
            for block in &outcome.blocks {
                let rule = &block.rule;
                let named = format!(
                    "rule {} (priority {}, {}) of {}",
                    rule.name,
                    rule.priority,
                    rule.direction.arm(),
                    checkpoint.group.value.name,
                );
                self.block(&checkpoint.need, named);
                let meaning = format!("blocks {}", block.packets);
                self.evidence.push(checkpoint.evidence(rule, meaning));
            }
            if !outcome.blocks.is_empty() {
                self.blocking.push(index);
            }
            let allowing = allow_evidence(situation, checkpoint, &outcome);
            self.allowing.extend(allowing);
            if !outcome.unknown.is_empty() {
                self.unknown.extend(outcome.unknown.iter().cloned());
                self.doubts.insert(index, outcome.unknown);
            }
        }
        Ok(())
    }

    fn conclude(self) -> Judged {
        let unread = self.situation.admin_rules.unread();
        let unread = unread.filter(|_| !self.situation.needs.is_empty());
        let is_blocked = !self.blocked.is_empty();
        let mut evidence = self.evidence;
        if !is_blocked {
            evidence.extend(self.allowing);
        }
        let (judgement, summary) = match unread {
            _ if !self.admin_blocks.is_empty() => {
                (Judgement::Confirmed, blocked_summary(self.blocked))
            }
            Some(unread) if is_blocked => (
                Judgement::Suspected,
                format!(
                    "{}, unless a security admin rule always allows it: {unread}",
                    blocked_summary(self.blocked)
                ),
            ),
            None if is_blocked => (Judgement::Confirmed, blocked_summary(self.blocked)),
            unread => {
                let reasons: BTreeSet<String> =
                    self.unknown.iter().cloned().chain(unread).collect();
                if reasons.is_empty() {
                    let summary = ruled_out_summary(self.situation, &self.always_allowed);
                    (Judgement::RuledOut, summary)
                } else {
                    let reasons = listed(&reasons, "; ");
                    let summary = format!("Security rules may block it: {reasons}");
                    (Judgement::Unknown, summary)
                }
            }
        };
        Judged {
            judgement,
            summary,
            evidence,
            blocking: self.blocking,
            admin_blocks: self.admin_blocks,
            unknown: self.unknown,
            doubts: self.doubts,
        }
    }
}

fn blocked_summary(blocked: Vec<(String, Vec<String>)>) -> String {
    let sentences: Vec<String> = blocked
        .into_iter()
        .map(|(what, rules)| format!("{what} is blocked by {}", listed(rules, ", ")))
        .collect();
    sentences.join("; ")
}

fn ruled_out_summary(situation: &Situation, always_allowed: &BTreeSet<String>) -> String {
    if !always_allowed.is_empty() {
        let why = listed(always_allowed, "; ");
        return format!("No security rule stops the tunnel: {why}");
    }
    let checkpoints = situation.checkpoints.iter();
    let mut whats: Vec<String> = checkpoints.map(|one| situation.words(&one.need)).collect();
    whats.sort_unstable();
    whats.dedup();
    if whats.is_empty() {
        return "No security group is on the way of the tunnel".to_owned();
    }
    format!("Every security group lets {} pass", whats.join(" and "))
}

impl Judged {
    /// Whether nothing that was read blocks.
    pub fn nothing_blocks(&self) -> bool {
        self.blocking.is_empty() && self.admin_blocks.is_empty()
    }
}

/// Situations in which no rule needs a look.
fn nothing_to_judge(situation: &Situation) -> Option<Judged> {
    let unjudged = situation.tunnel.why_not_judged();
    let (judgement, summary) = if let Some(reason) = &unjudged {
        (Judgement::Unknown, reason.as_str())
    } else if situation.checkpoints.is_empty()
        && situation.kubelet_need().is_none()
        && situation.network.nodes_without_interface.is_empty()
        && (situation.needs.is_empty() || situation.admin_rules.is_none_in_force())
    {
        let summary = match situation.tunnel.api_server_subnet() {
            Some(_) => {
                "No node has a network interface, and so no security group is on the API \
                 server's way to one"
            }
            None => "Agents run on the only node, and no security group is on their way out",
        };
        (Judgement::RuledOut, summary)
    } else {
        return None;
    };
    Some(Judged {
        judgement,
        summary: summary.to_owned(),
        evidence: vec![tunnel_evidence(&situation.tunnel)],
        blocking: Vec::new(),
        admin_blocks: Vec::new(),
        unknown: unjudged.into_iter().collect(),
        doubts: BTreeMap::new(),
    })
}

fn allow_evidence(
    situation: &Situation,
    checkpoint: &Checkpoint,
    outcome: &Outcome,
) -> Vec<Evidence> {
    let what = situation.words(&checkpoint.need);
    let allows = outcome.allows.iter();
    allows
        .map(|rule| checkpoint.evidence(rule, format!("lets {what} pass")))
        .collect()
}

/// The packets to the kubelets; and, where the way out is blocked, those of every
/// node that an agent may come up on.
fn required_flows(situation: &Situation, blocking: &[usize]) -> Vec<Flow> {
    let mut flows = Vec::new();
    if let Some(need) = situation.kubelet_need() {
        flows.push(Flow {
            protocol: "Tcp".to_owned(),
            source_prefixes: prefixes::texts(&prefixes::exactly(need.sources())),
            destination_prefixes: need.destination_texts(),
            destination_ports: vec![naosu_plugin::KUBELET_PORT.to_string()],
        });
    }
    let out = blocking
        .iter()
        .filter_map(|index| situation.checkpoints.get(*index))
        .filter(|checkpoint| !is_to_nodes(&checkpoint.need));
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

/// Why no rule helps, or none can be written.
pub fn infeasible(situation: &Situation, judged: &Judged) -> Option<String> {
    if !judged.admin_blocks.is_empty() {
        let rules: BTreeSet<&String> = judged.admin_blocks.iter().collect();
        return Some(format!(
            "{} denies it: {ADMIN_RULE_REMEDY}",
            listed(rules, ", ")
        ));
    }
    let cluster = &situation.cluster.value;
    let (field, value) = cluster.lockdown()?;
    let blocking = judged.blocking.iter();
    let locked = blocking
        .filter_map(|index| situation.checkpoints.get(*index))
        .find(|checkpoint| checkpoint.is_in_group(&cluster.properties.node_resource_group))?;
    Some(format!(
        "{} lies in {}, which is locked ({field} is {value}); use a virtual network and security \
         groups of your own, or have AKS support repair it",
        locked.group.value.name, cluster.properties.node_resource_group
    ))
}
