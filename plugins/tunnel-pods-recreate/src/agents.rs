//! What the pods of agents say of themselves.

use naosu_plugin::{Agent, Evidence, Tunnel};

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
    let readiness = if pod.is_ready() { "ready" } else { "not ready" };
    let place = match pod.spec.node_name.as_str() {
        "" => "that waits for a node".to_owned(),
        node => format!("on {node}"),
    };
    Evidence {
        resource: format!("pod/{}/{}", pod.metadata.namespace, pod.metadata.name),
        field: "status".to_owned(),
        value: format!(
            "{} {readiness}, {restarts} restarts{ended}",
            pod.status.phase
        ),
        observed_at: tunnel.observed_at,
        meaning: format!("a {} agent {place}", tunnel.tunnel_type.name()),
    }
}
