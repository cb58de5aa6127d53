//! No agent runs anywhere: why, and what brings one back.

use naosu_plugin::{
    Evidence, TunnelNodes,
    kubernetes::{Condition, Node, Toleration},
    listed,
};

use crate::agents::pod_evidence;

/// Most nodes and pods that evidence is given of.
const SHOWN: usize = 20;

/// Why no agent runs.
pub struct Absence {
    pub summary: String,
    pub evidence: Vec<Evidence>,
    /// Why no step of this plugin helps, and what does.
    pub infeasible: Option<String>,
}

/// Says why; `None` when an agent has a node.
pub fn of_all(observed: &TunnelNodes) -> Option<Absence> {
    let tunnel = &observed.tunnel;
    let placed = |agent: &naosu_plugin::Agent| !agent.pod.spec.node_name.is_empty();
    if tunnel.agents.iter().any(placed) {
        return None;
    }
    let deployment = tunnel.deployment.as_ref();
    let tolerations: &[Toleration] = match (tunnel.agents.first(), deployment) {
        (Some(agent), _) => &agent.pod.spec.tolerations,
        (None, Some(deployment)) => &deployment.spec.template.spec.tolerations,
        (None, None) => &[],
    };
    let mut evidence: Vec<Evidence> = tunnel
        .agents
        .iter()
        .take(SHOWN)
        .map(|agent| pod_evidence(tunnel, agent))
        .collect();
    if evidence.is_empty() {
        evidence.push(Evidence {
            resource: "pod/kube-system".to_owned(),
            field: "items".to_owned(),
            value: "none".to_owned(),
            observed_at: tunnel.observed_at,
            meaning: "no pod is a tunnel agent".to_owned(),
        });
    }
    if let Some(deployment) = deployment {
        evidence.push(Evidence {
            resource: format!("deployment/kube-system/{}", deployment.metadata.name),
            field: "spec.replicas".to_owned(),
            value: deployment.replicas().to_string(),
            observed_at: tunnel.observed_at,
            meaning: "so many agents are asked for".to_owned(),
        });
    }
    evidence.extend(taints(observed, tolerations));
    // Without anything to tell tolerations from, taints explain nothing for sure.
    let is_known = !tunnel.agents.is_empty() || deployment.is_some_and(|d| d.replicas() > 0);
    let is_kept_away = |node: &Node| node.taints_against(tolerations).next().is_some();
    if is_known && !observed.nodes.is_empty() && observed.nodes.iter().all(is_kept_away) {
        return Some(kept_away(observed, tolerations, evidence));
    }
    if !tunnel.agents.is_empty() {
        let reason = unschedulable(observed);
        return Some(Absence {
            summary: format!("No tunnel agent has a node: {reason}"),
            evidence,
            infeasible: Some(format!(
                "a pod that no node takes is not helped by making it anew; make room for it: \
                 {reason}"
            )),
        });
    }
    let (summary, infeasible) = match deployment {
        Some(deployment) if deployment.replicas() == 0 => (
            format!(
                "No tunnel agent runs: deployment {} asks for none",
                deployment.metadata.name
            ),
            None,
        ),
        Some(deployment) => (
            format!(
                "No tunnel agent runs, though deployment {} asks for {}",
                deployment.metadata.name,
                deployment.replicas()
            ),
            None,
        ),
        None => (
            "No tunnel agent runs, and no deployment of one is seen".to_owned(),
            Some(
                "there is no deployment to make agents from; AKS makes its own again when the \
                 cluster is reconciled: `az aks update` without any option"
                    .to_owned(),
            ),
        ),
    };
    Some(Absence {
        summary,
        evidence,
        infeasible,
    })
}

/// Every node has a taint that the agents do not tolerate.
fn kept_away(
    observed: &TunnelNodes,
    tolerations: &[Toleration],
    evidence: Vec<Evidence>,
) -> Absence {
    let mut taints: Vec<String> = observed
        .nodes
        .iter()
        .flat_map(|node| node.taints_against(tolerations))
        .map(ToString::to_string)
        .collect();
    taints.sort_unstable();
    taints.dedup();
    let named = taints.join(", ");
    let removals: Vec<String> = taints
        .iter()
        .map(|taint| format!("`kubectl taint nodes <node> {taint}-`"))
        .collect();
    Absence {
        summary: format!(
            "No tunnel agent runs: every node has a taint that the agents do not tolerate ({named})"
        ),
        evidence,
        infeasible: Some(format!(
            "new agents would be kept away as well; take the taint off a node of a system pool: {}",
            removals.join(" or ")
        )),
    }
}

/// In the scheduler's words.
pub fn unschedulable(observed: &TunnelNodes) -> String {
    let conditions = observed
        .tunnel
        .agents
        .iter()
        .flat_map(|agent| &agent.pod.status.conditions);
    let said = |condition: &&Condition| {
        condition.condition_type == "PodScheduled" && !condition.message.is_empty()
    };
    let found = conditions.into_iter().find(said);
    found.map_or_else(
        || "the scheduler does not say why".to_owned(),
        |condition| listed([&condition.message], ""),
    )
}

/// Taints that the agents do not tolerate.
pub fn taints(observed: &TunnelNodes, tolerations: &[Toleration]) -> Vec<Evidence> {
    let of_node = |node: &Node| -> Vec<Evidence> {
        node.taints_against(tolerations)
            .map(|taint| Evidence {
                resource: format!("node/{}", node.metadata.name),
                field: "spec.taints".to_owned(),
                value: taint.to_string(),
                observed_at: observed.observed_at,
                meaning: match taint.effect.as_str() {
                    "NoExecute" => "evicts pods that do not tolerate it",
                    _ => "keeps new pods away that do not tolerate it",
                }
                .to_owned(),
            })
            .collect()
    };
    let nodes = observed.nodes.iter();
    nodes.flat_map(of_node).take(SHOWN).collect()
}
