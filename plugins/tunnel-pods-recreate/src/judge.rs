//! Whether the agents are at fault.

use naosu_plugin::{
    Agent, Cluster, Evidence, Finding, FindingBuilder, Judgement, KUBELET_PORT, Observed,
    PluginError, Query, Reads, TcpProbe, Tunnel, TunnelNodes, TunnelType, Verdict, finding,
    kubernetes::Node, read_json, read_json_many,
};
use serde::Deserialize;

use crate::CAUSE;

/// Nodes without an answer whose way is tried. A probe takes a node command, so
/// a few have to tell.
const TRIED_WAYS: usize = 3;

/// What a probe found.
#[derive(Deserialize)]
struct Probe {
    reached: bool,
    #[serde(default)]
    error: String,
}

/// The whole judgement.
pub struct Judged {
    pub judgement: Judgement,
    pub summary: String,
    pub evidence: Vec<Evidence>,
    pub tunnel: Tunnel,
}

impl Judged {
    /// Agents that say themselves that they are not ready.
    pub fn not_ready(&self) -> impl Iterator<Item = &Agent> {
        self.tunnel
            .agents
            .iter()
            .filter(|agent| !agent.pod.is_ready())
    }
}

pub fn diagnose(reads: &dyn Reads, cluster: &Cluster) -> Result<Finding, PluginError> {
    match judge(reads, cluster) {
        Ok(judged) => Ok(finding(CAUSE, judged.judgement, judged.summary)
            .evidence_of(judged.evidence)
            .build()),
        Err(error) => Ok(FindingBuilder::unreadable(CAUSE, "The tunnel agents", &error).build()),
    }
}

pub fn verify(reads: &dyn Reads, cluster: &Cluster) -> Result<Verdict, PluginError> {
    let judged = judge(reads, cluster)?;
    Ok(Verdict {
        mended: judged.judgement == Judgement::RuledOut,
        summary: judged.summary,
        evidence: judged.evidence,
    })
}

pub fn judge(reads: &dyn Reads, cluster: &Cluster) -> Result<Judged, PluginError> {
    let observed = TunnelNodes::observe(reads, cluster)?;
    let tunnel = observed.tunnel.clone();
    let judged = |judgement, summary: String, evidence| Judged {
        judgement,
        summary,
        evidence,
        tunnel: tunnel.clone(),
    };
    if tunnel.tunnel_type == TunnelType::VnetIntegration {
        let summary = "The API server is in the virtual network and has no tunnel agents";
        return Ok(judged(Judgement::RuledOut, summary.to_owned(), Vec::new()));
    }
    if tunnel.agents.is_empty() {
        let summary = "No tunnel agent runs".to_owned();
        return Ok(judged(Judgement::Confirmed, summary, taints(&observed)));
    }
    let not_ready: Vec<&Agent> = tunnel.agents.iter().filter(|a| !a.pod.is_ready()).collect();
    if !not_ready.is_empty() {
        let evidence = not_ready
            .iter()
            .map(|agent| pod_evidence(&tunnel, agent))
            .collect();
        let count = not_ready.len();
        let summary = format!(
            "{count} of {} tunnel agents are not ready",
            tunnel.agents.len()
        );
        // What keeps a running agent from being ready may lie outside of it, such as
        // its way to the API server.
        let runs = |agent: &&Agent| agent.pod.status.phase == "Running";
        let judgement = if not_ready.iter().all(runs) {
            Judgement::Suspected
        } else {
            Judgement::Confirmed
        };
        return Ok(judged(judgement, summary, evidence));
    }
    let mut evidence: Vec<Evidence> = tunnel
        .agents
        .iter()
        .take(10)
        .map(|agent| pod_evidence(&tunnel, agent))
        .collect();
    let silent = silent_nodes(reads, &observed.nodes, &mut evidence)?;
    if silent.is_empty() {
        let summary = "Every agent is ready and every node answers".to_owned();
        return Ok(judged(Judgement::RuledOut, summary, evidence));
    }
    let open = open_ways(reads, &tunnel, &silent, &mut evidence)?;
    if open.is_empty() {
        let summary = format!(
            "The agents are ready; the way from them to {} is closed, which recreating them cannot mend",
            names(&silent)
        );
        return Ok(judged(Judgement::RuledOut, summary, evidence));
    }
    let summary = format!(
        "The way to {} is open from the agent's node, yet the API server gets no answer through the tunnel",
        open.join(", ")
    );
    Ok(judged(Judgement::Suspected, summary, evidence))
}

fn names(nodes: &[&Node]) -> String {
    let names: Vec<&str> = nodes
        .iter()
        .take(5)
        .map(|n| n.metadata.name.as_str())
        .collect();
    let more = nodes.len().saturating_sub(names.len());
    if more == 0 {
        names.join(", ")
    } else {
        format!("{} and {more} more", names.join(", "))
    }
}

fn pod_evidence(tunnel: &Tunnel, agent: &Agent) -> Evidence {
    let pod = &agent.pod;
    let containers = pod.status.container_statuses.iter();
    let restarts: u32 = containers
        .clone()
        .map(|container| container.restart_count)
        .sum();
    let ended = containers
        .filter_map(|container| container.last_state.terminated.as_ref())
        .map(|end| format!(", last ended {}", end.reason))
        .next()
        .unwrap_or_default();
    let readiness = if pod.is_ready() { "ready" } else { "not ready" };
    Evidence {
        resource: format!("pod/{}/{}", pod.metadata.namespace, pod.metadata.name),
        field: "status".to_owned(),
        value: format!(
            "{} {readiness}, {restarts} restarts{ended}",
            pod.status.phase
        ),
        observed_at: tunnel.observed_at,
        meaning: format!(
            "a {} agent on {}",
            tunnel.tunnel_type.name(),
            pod.spec.node_name
        ),
    }
}

/// Taints that keep agents away.
fn taints(observed: &TunnelNodes) -> Vec<Evidence> {
    let mut evidence = vec![Evidence {
        resource: "pod/kube-system".to_owned(),
        field: "items".to_owned(),
        value: "none".to_owned(),
        observed_at: observed.tunnel.observed_at,
        meaning: "no pod is a tunnel agent".to_owned(),
    }];
    for node in observed.nodes.iter().take(20) {
        for taint in node
            .spec
            .taints
            .iter()
            .filter(|taint| taint.effect == "NoExecute")
        {
            evidence.push(Evidence {
                resource: format!("node/{}", node.metadata.name),
                field: "spec.taints".to_owned(),
                value: format!("{}={}:{}", taint.key, taint.value, taint.effect),
                observed_at: observed.observed_at,
                meaning: "evicts pods that do not tolerate it".to_owned(),
            });
        }
    }
    evidence
}

/// Nodes whose kubelet the API server does not reach.
fn silent_nodes<'a>(
    reads: &dyn Reads,
    nodes: &'a [Node],
    evidence: &mut Vec<Evidence>,
) -> Result<Vec<&'a Node>, PluginError> {
    let queries: Vec<Query> = nodes
        .iter()
        .map(|node| Query::TunnelProbe(node.metadata.name.clone()))
        .collect();
    let mut silent = Vec::new();
    for (node, probe) in nodes.iter().zip(read_json_many::<Probe>(reads, &queries)) {
        let probe = probe?;
        if !probe.value.reached {
            let error = probe.value.error.clone();
            let meaning = "the API server does not reach its kubelet";
            evidence.push(probe.evidence("tunnel probe", error, meaning));
            silent.push(node);
        }
    }
    Ok(silent)
}

/// Names of silent nodes that an agent's node reaches directly.
fn open_ways(
    reads: &dyn Reads,
    tunnel: &Tunnel,
    silent: &[&Node],
    evidence: &mut Vec<Evidence>,
) -> Result<Vec<String>, PluginError> {
    let agents = tunnel.agent_nodes();
    let mut open = Vec::new();
    for node in silent.iter().take(TRIED_WAYS) {
        let name = node.metadata.name.as_str();
        let other = agents.iter().find(|agent| **agent != name);
        let from = other.or(agents.first());
        let (Some(from), Some(address)) = (from, node.internal_addresses().next()) else {
            continue;
        };
        let query = Query::TcpProbe(TcpProbe {
            from_node: (*from).to_owned(),
            to_host: address.to_string(),
            port: KUBELET_PORT,
        });
        let probe: Observed<Probe> = read_json(reads, &query)?;
        let value = if probe.value.reached {
            open.push(name.to_owned());
            "connected".to_owned()
        } else {
            probe.value.error.clone()
        };
        let field = format!("TCP probe to {address}:{KUBELET_PORT}");
        evidence.push(probe.evidence(
            field,
            value,
            format!("the way an agent there has to {name}"),
        ));
    }
    Ok(open)
}
