//! What the pods of agents say of themselves.

use naosu_plugin::{Agent, Evidence, Tunnel, listed};

/// Why a container waits where the same pod made anew would wait as well.
const NOT_HELPED: [&str; 7] = [
    "ImagePullBackOff",
    "ErrImagePull",
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImageInspectError",
    "RegistryUnavailable",
    "CreateContainerConfigError",
];

/// Agents that have a node.
pub fn placed(tunnel: &Tunnel) -> impl Iterator<Item = &Agent> {
    let agents = tunnel.agents.iter();
    agents.filter(|agent| is_placed(agent))
}

/// Agents that no node takes.
pub fn unplaced(tunnel: &Tunnel) -> impl Iterator<Item = &Agent> {
    let agents = tunnel.agents.iter();
    agents.filter(|agent| !is_placed(agent))
}

fn is_placed(agent: &Agent) -> bool {
    !agent.pod.spec.node_name.is_empty()
}

/// Agents that have a node and say themselves that they are not ready.
pub fn not_ready(tunnel: &Tunnel) -> impl Iterator<Item = &Agent> {
    placed(tunnel).filter(|agent| !agent.pod.is_ready())
}

/// What a container of it waits for: reason, and the kubelet's words.
pub fn waits_for(agent: &Agent) -> Option<(&str, &str)> {
    let mut containers = agent.pod.status.container_statuses.iter();
    containers.find_map(|container| {
        let waiting = container.state.waiting.as_ref()?;
        let reason = waiting.reason.as_str();
        (!reason.is_empty()).then_some((reason, waiting.message.as_str()))
    })
}

/// Whether a new pod in its place would be no better off.
pub fn is_beyond_help(agent: &Agent) -> bool {
    !is_placed(agent) || waits_for(agent).is_some_and(|(reason, _)| NOT_HELPED.contains(&reason))
}

/// The same of one that has a node, in words: what would help it.
pub fn what_helps(agent: &Agent) -> Option<String> {
    let (reason, message) = waits_for(agent).filter(|_| is_beyond_help(agent))?;
    let name = &agent.pod.metadata.name;
    let node = &agent.pod.spec.node_name;
    let said = match message {
        "" => String::new(),
        message => format!(" ({})", listed([message], "")),
    };
    let help = match reason {
        "CreateContainerConfigError" => {
            "put back the ConfigMap or Secret that it names: `az aks update` without any option \
             has AKS make its own again"
        }
        _ => "open the way from the node to the registry, mcr.microsoft.com on TCP 443",
    };
    Some(format!("{name} on {node} waits: {reason}{said}; {help}"))
}

pub fn pod_evidence(tunnel: &Tunnel, agent: &Agent) -> Evidence {
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
    let waits = waits_for(agent).map(|(reason, _)| format!(", waits: {reason}"));
    let waits = waits.unwrap_or_default();
    let readiness = if pod.is_ready() { "ready" } else { "not ready" };
    let place = match pod.spec.node_name.as_str() {
        "" => "that waits for a node".to_owned(),
        node => format!("on {node}"),
    };
    Evidence {
        resource: format!("pod/{}/{}", pod.metadata.namespace, pod.metadata.name),
        field: "status".to_owned(),
        value: format!(
            "{} {readiness}, {restarts} restarts{ended}{waits}",
            pod.status.phase
        ),
        observed_at: tunnel.observed_at,
        meaning: format!("a {} agent {place}", tunnel.tunnel_type.name()),
    }
}
