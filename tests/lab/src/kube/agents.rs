//! Tunnel agents: a process for each agent pod, readiness from the tunnel, and
//! the autoscaler's ladder.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::controller::{NAMESPACE, Types, pods_owned_by};
use super::pods::{self, is_ready};
use super::selector::Selector;
use super::state::{State, meta};
use crate::data_plane::NodeName;
use crate::estate::Estate;

const AUTOSCALER: &str = "konnectivity-agent-autoscaler";

/// What is remembered of the agents between two rounds.
#[derive(Default)]
pub(super) struct AgentMemory {
    /// Uid of the agent pod each node's agent was started for.
    started: BTreeMap<String, String>,
    ladder: Option<String>,
}

/// An agent runs where an agent pod is; a new pod is a new process.
pub(super) async fn keep(state: &State, types: &Types, memory: &mut AgentMemory) {
    let Some(name) = state.agents else { return };
    let prefix = format!("{name}-");
    let pods = pods_owned_by(state, types, NAMESPACE, |owner| {
        owner["name"]
            .as_str()
            .is_some_and(|owner| owner.starts_with(&prefix))
    });
    let wanted: BTreeMap<String, String> = pods
        .iter()
        .filter_map(|pod| {
            let node = pod["spec"]["nodeName"].as_str()?;
            Some((node.to_owned(), meta(pod, "uid").to_owned()))
        })
        .collect();
    let mut done = Vec::new();
    for node in memory
        .started
        .keys()
        .filter(|node| !wanted.contains_key(*node))
    {
        done.push((
            node.clone(),
            None,
            state.data_plane.stop_agent(&NodeName(node.clone())).await,
        ));
    }
    for (node, uid) in &wanted {
        let name = NodeName(node.clone());
        let outcome = match memory.started.get(node) {
            Some(there) if there == uid => continue,
            Some(_) => state.data_plane.restart_agent(&name).await,
            None => state.data_plane.start_agent(&name).await,
        };
        done.push((node.clone(), Some(uid.clone()), outcome));
    }
    for (node, uid, outcome) in done {
        if let Err(error) = outcome {
            tracing::warn!(%error, node, "tunnel agent");
        }
        match uid {
            Some(uid) => memory.started.insert(node, uid),
            None => memory.started.remove(&node),
        };
    }
    let agents = state.data_plane.agents().await;
    for pod in &pods {
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        let connected = agents
            .iter()
            .any(|agent| agent.node.as_str() == node && agent.connected);
        if is_ready(pod) != connected && !node.is_empty() {
            state
                .objects
                .modify(types.pods, NAMESPACE, meta(pod, "name"), |pod| {
                    pods::set_ready(&mut pod["status"], connected);
                });
        }
    }
}

/// Gives the pods that are there now the past that the estate says they have.
pub(super) fn remember_memory_kills(state: &State, types: &Types, estate: &Estate) {
    let prefix = state.agents.map(|name| format!("{name}-"));
    let (all, _) = state.objects.list(types.pods, None, &Selector::default());
    for pod in &all {
        let (namespace, name) = (meta(pod, "namespace"), meta(pod, "name"));
        let is_agent = namespace == NAMESPACE
            && prefix
                .as_ref()
                .is_some_and(|prefix| name.starts_with(prefix));
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        let kills = if is_agent {
            let nodes = estate.nodes.iter().find(|settings| settings.name == node);
            nodes.map_or(0, |settings| settings.agent_memory_kills)
        } else {
            let mut pods = estate.pods.iter();
            pods.find(|known| known.namespace == namespace && known.name == name)
                .map_or(0, |known| known.memory_kills)
        };
        if kills > 0 {
            state.objects.modify(types.pods, namespace, name, |pod| {
                pods::set_memory_kills(&mut pod["status"], kills);
            });
        }
    }
}

/// The autoscaler follows its ladder when somebody changes it; what the
/// scenario begins with is left alone.
pub(super) fn scale_by_ladder(state: &State, types: &Types, memory: &mut AgentMemory) {
    let map = state.objects.get(types.config_maps, NAMESPACE, AUTOSCALER);
    let (Some(map), Some(agents)) = (map, state.agents) else {
        return;
    };
    let ladder = map["data"]["ladder"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let before = memory.ladder.replace(ladder.clone());
    if before.is_none_or(|before| before == ladder) {
        return;
    }
    let Ok(steps) = serde_json::from_str::<Value>(&ladder) else {
        tracing::warn!(ladder, "the autoscaler cannot read its ladder");
        return;
    };
    let (nodes, _) = state.objects.list(types.nodes, None, &Selector::default());
    // As the real one: the first step also counts below itself.
    let all: Vec<(u64, u64)> = steps["nodesToReplicas"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|step| Some((step[0].as_u64()?, step[1].as_u64()?)))
        .collect();
    let reached = all
        .iter()
        .take_while(|(from, _)| *from <= nodes.len() as u64);
    let replicas = reached
        .last()
        .or(all.first())
        .map(|(_, replicas)| *replicas);
    if let Some(replicas) = replicas {
        state
            .objects
            .modify(types.deployments, NAMESPACE, agents, |deployment| {
                deployment["spec"]["replicas"] = json!(replicas);
            });
    }
}
