//! Whether the agents are at fault.

use naosu_plugin::{
    Agent, Cluster, Evidence, Finding, FindingBuilder, Judgement, PluginError, Reads, Tunnel,
    TunnelNodes, TunnelType, Verdict, finding, listed,
};
use serde::{Deserialize, Serialize};

use crate::{
    CAUSE,
    absence::{self, Absence},
    agents::{is_beyond_help, not_ready, placed, pod_evidence, waits_for, what_helps},
    answers::{self, Answers},
    unplaced::Unplaced,
    ways::Ways,
};

/// What `plan` needs to know again, so that it asks the same.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Subject {
    /// Nodes to look at first.
    first: Vec<String>,
    /// How many agents there were that no step of this plugin helps.
    beyond_help: usize,
}

impl Subject {
    /// Of a finding of this plugin; any other text is as good as none.
    pub fn of(finding: &Finding) -> Self {
        serde_json::from_str(&finding.subject).unwrap_or_default()
    }
}

/// The whole judgement.
pub struct Judged {
    pub judgement: Judgement,
    pub summary: String,
    pub evidence: Vec<Evidence>,
    pub tunnel: Tunnel,
    /// Why no step of this plugin helps, and what does.
    pub infeasible: Option<String>,
}

impl Judged {
    /// Agents that have a node and say themselves that they are not ready.
    pub fn not_ready(&self) -> impl Iterator<Item = &Agent> {
        not_ready(&self.tunnel)
    }

    fn beyond_help(&self) -> usize {
        let agents = self.tunnel.agents.iter();
        agents.filter(|agent| is_beyond_help(agent)).count()
    }
}

pub fn diagnose(
    reads: &dyn Reads,
    cluster: &Cluster,
    first: &[String],
) -> Result<Finding, PluginError> {
    let mut subject = Subject {
        first: first.to_vec(),
        beyond_help: 0,
    };
    match judge(reads, cluster, &subject) {
        Ok(judged) => {
            subject.beyond_help = judged.beyond_help();
            Ok(finding(CAUSE, judged.judgement, judged.summary)
                .evidence_of(judged.evidence)
                .infeasible(judged.infeasible)
                .subject(&serde_json::to_value(&subject).unwrap_or_default())
                .build())
        }
        Err(error) => Ok(FindingBuilder::unreadable(CAUSE, "The tunnel agents", &error).build()),
    }
}

pub fn verify(
    reads: &dyn Reads,
    cluster: &Cluster,
    finding: &Finding,
) -> Result<Verdict, PluginError> {
    let subject = Subject::of(finding);
    let mut observed = TunnelNodes::observe(reads, cluster)?;
    forgive(&mut observed.tunnel, subject.beyond_help);
    let judged = judge_observed(reads, &observed, &subject)?;
    Ok(Verdict {
        mended: judged.judgement == Judgement::RuledOut,
        summary: judged.summary,
        evidence: judged.evidence,
    })
}

/// Leaves as many agents aside that no step helps as there were when it was planned:
/// they are no reason to take back what helped the others.
fn forgive(tunnel: &mut Tunnel, mut count: usize) {
    if tunnel.agents.iter().all(is_beyond_help) {
        return;
    }
    tunnel.agents.retain(|agent| {
        let is_left = count > 0 && is_beyond_help(agent);
        count -= usize::from(is_left);
        !is_left
    });
}

pub fn judge(
    reads: &dyn Reads,
    cluster: &Cluster,
    subject: &Subject,
) -> Result<Judged, PluginError> {
    judge_observed(reads, &TunnelNodes::observe(reads, cluster)?, subject)
}

fn judge_observed(
    reads: &dyn Reads,
    observed: &TunnelNodes,
    subject: &Subject,
) -> Result<Judged, PluginError> {
    let tunnel = &observed.tunnel;
    let judged = |judgement, summary: String, evidence| Judged {
        judgement,
        summary,
        evidence,
        tunnel: tunnel.clone(),
        infeasible: None,
    };
    if tunnel.tunnel_type == TunnelType::VnetIntegration {
        let summary = "The API server is in the virtual network and has no tunnel agents";
        return Ok(judged(Judgement::RuledOut, summary.to_owned(), Vec::new()));
    }
    if let Some(Absence {
        summary,
        evidence,
        infeasible,
    }) = absence::of_all(observed)
    {
        return Ok(Judged {
            infeasible,
            ..judged(Judgement::Confirmed, summary, evidence)
        });
    }
    let unplaced = Unplaced::of(observed);
    let mut judged = match of_unready(observed) {
        Some(judged) => judged,
        None => of_ready(reads, observed, subject)?,
    };
    if let Some(unplaced) = unplaced {
        judged.summary = format!("{}; {}", judged.summary, unplaced.words);
        judged.evidence.extend(unplaced.evidence);
        if judged.judgement == Judgement::RuledOut {
            judged.judgement = Judgement::Suspected;
            judged.infeasible = Some(unplaced.infeasible);
        }
    }
    Ok(judged)
}

/// Agents that have a node and are not ready, if there are any.
fn of_unready(observed: &TunnelNodes) -> Option<Judged> {
    let tunnel = &observed.tunnel;
    let unready: Vec<&Agent> = not_ready(tunnel).collect();
    if unready.is_empty() {
        return None;
    }
    let evidence = unready.iter().map(|agent| pod_evidence(tunnel, agent));
    let (count, all) = (unready.len(), tunnel.agents.len());
    let mut summary = format!("{count} of {all} tunnel agents are not ready");
    let mut reasons: Vec<&str> = unready
        .iter()
        .filter_map(|agent| waits_for(agent).map(|(reason, _)| reason))
        .collect();
    reasons.sort_unstable();
    reasons.dedup();
    if !reasons.is_empty() {
        summary = format!("{summary} ({})", listed(reasons, ", "));
    }
    // What keeps a running agent from being ready may lie outside of it, such as its
    // way to the API server; so may what one waits for that does not run yet.
    let is_explained = |agent: &&Agent| {
        let node = observed.nodes.iter();
        let mut node = node.filter(|node| node.metadata.name == agent.pod.spec.node_name);
        agent.pod.status.phase == "Running"
            || waits_for(agent).is_some()
            || node.any(|node| !node.is_ready())
    };
    let judgement = match unready.iter().all(is_explained) {
        true => Judgement::Suspected,
        false => Judgement::Confirmed,
    };
    let helps: Vec<String> = unready
        .iter()
        .filter_map(|agent| what_helps(agent))
        .collect();
    let infeasible = (helps.len() == count).then(|| {
        format!(
            "agents made anew would wait as well: {}",
            listed(&helps, "; ")
        )
    });
    Some(Judged {
        judgement,
        summary,
        evidence: evidence.collect(),
        tunnel: tunnel.clone(),
        infeasible,
    })
}

/// Agents that are all ready, as far as they have a node.
fn of_ready(
    reads: &dyn Reads,
    observed: &TunnelNodes,
    subject: &Subject,
) -> Result<Judged, PluginError> {
    let tunnel = &observed.tunnel;
    let judged = |judgement, summary: String, evidence| Judged {
        judgement,
        summary,
        evidence,
        tunnel: tunnel.clone(),
        infeasible: None,
    };
    let mut evidence: Vec<Evidence> = placed(tunnel)
        .take(10)
        .map(|agent| pod_evidence(tunnel, agent))
        .collect();
    let answers = answers::read(reads, &observed.nodes, &mut evidence)?;
    if answers.are_all_plain_http() {
        let summary = "On every node plain HTTP answers in place of the kubelet: what answers may \
                       be the tunnel itself, or a proxy in front of it"
            .to_owned();
        return Ok(judged(Judgement::Suspected, summary, evidence));
    }
    if answers.silent.is_empty() {
        let summary = format!(
            "Every agent is ready and every node is reached{}",
            answers.faults_in_words()
        );
        return Ok(judged(Judgement::RuledOut, summary, evidence));
    }
    let ways = Ways::try_all(reads, tunnel, &answers, &subject.first, &mut evidence)?;
    let (judgement, summary) = weigh(tunnel, &answers, &ways);
    Ok(judged(judgement, summary, evidence))
}

/// Agents that are ready, and nodes that do not answer through them.
fn weigh(tunnel: &Tunnel, answers: &Answers<'_>, ways: &Ways) -> (Judgement, String) {
    if ways.open.is_empty() {
        let summary = format!(
            "The agents are ready; the way from them to {} is closed, which recreating them \
             cannot mend",
            answers.silent_in_words()
        );
        return (Judgement::RuledOut, summary);
    }
    let open = ways.open.join(", ");
    let several = placed(tunnel).count() > 1;
    // Where packets pass and each agent says that it is connected, only an agent that
    // carries nothing leaves every node without an answer; and only one among others
    // leaves several nodes with an answer now and then. One node alone may have a
    // kubelet that hangs.
    let explains_itself = answers.silent.len() > 1
        && answers.silent.iter().all(|silent| silent.node.is_ready())
        && !answers.says_no_agent()
        && !tunnel.agents.iter().any(was_out_of_memory);
    if explains_itself && answers.is_every_node_silent() {
        let summary = format!(
            "{}, the way from there to {open} is open, and yet no node is reached through the \
             tunnel: {}",
            ready_in_words(tunnel),
            if several {
                "the agents are deaf"
            } else {
                "the agent is deaf"
            },
        );
        return (Judgement::Confirmed, summary);
    }
    if explains_itself && several && answers.is_any_reached_sometimes(&ways.open) {
        let summary = format!(
            "{}, the way from each to {open} is open, and yet the same node is reached through \
             the tunnel at one try and not at another: one of the agents is deaf",
            ready_in_words(tunnel)
        );
        return (Judgement::Confirmed, summary);
    }
    let summary = format!(
        "The way to {open} is open from the agent's node, yet the API server gets no answer \
         through the tunnel"
    );
    (Judgement::Suspected, summary)
}

/// An agent that is killed again and again loses what it carries as well.
fn was_out_of_memory(agent: &Agent) -> bool {
    let mut containers = agent.pod.status.container_statuses.iter();
    containers.any(|container| {
        let ended = container.last_state.terminated.as_ref();
        ended.is_some_and(|end| end.reason == "OOMKilled")
    })
}

fn ready_in_words(tunnel: &Tunnel) -> String {
    match placed(tunnel).count() {
        1 => "The agent is ready".to_owned(),
        count => format!("All {count} agents are ready"),
    }
}
