//! What the controllers of a cluster do: keep as many pods as deployments and
//! daemon sets want, roll them out one by one, tell kubelets, and keep every
//! status true.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::agents::{self, AgentMemory};
use super::budget;
use super::endings::{self, Endings, is_going};
use super::events::{self, Happened};
use super::pods::{self, is_ready};
use super::resource::ResourceType;
use super::selector::Selector;
use super::state::{State, meta};
use super::taints;
use crate::data_plane::{KubeletPod, NodeName};

/// Agents connect on their own time, which only asking them tells.
const AGENT_INTERVAL: Duration = Duration::from_millis(50);
pub(super) const NAMESPACE: &str = "kube-system";

/// What the controller remembers between two rounds.
#[derive(Default)]
pub(super) struct Memory {
    /// Nodes each workload's pods were on, where new ones go first.
    homes: BTreeMap<String, Vec<String>>,
    agents: AgentMemory,
    told: BTreeMap<String, Vec<KubeletPod>>,
    endings: Endings,
}

impl Memory {
    /// A memory in which the agents' pods belong on these nodes.
    pub fn at_home(agents: Option<&str>, nodes: Vec<String>) -> Self {
        let homes = agents.map(|agents| (format!("{NAMESPACE}/{agents}"), nodes));
        Self {
            homes: homes.into_iter().collect(),
            ..Self::default()
        }
    }
}

/// The types the controller works with.
pub(super) struct Types {
    pub nodes: &'static ResourceType,
    pub pods: &'static ResourceType,
    pub deployments: &'static ResourceType,
    pub replica_sets: &'static ResourceType,
    pub daemon_sets: &'static ResourceType,
    pub config_maps: &'static ResourceType,
}

impl Types {
    pub fn find() -> Option<Self> {
        Some(Self {
            nodes: ResourceType::find("", "nodes")?,
            pods: ResourceType::find("", "pods")?,
            deployments: ResourceType::find("apps", "deployments")?,
            replica_sets: ResourceType::find("apps", "replicasets")?,
            daemon_sets: ResourceType::find("apps", "daemonsets")?,
            config_maps: ResourceType::find("", "configmaps")?,
        })
    }
}

/// Runs until the emulator stops.
pub(super) async fn run(state: Arc<State>, mut memory: Memory) {
    let mut changed = state.objects.subscribe();
    loop {
        changed.borrow_and_update();
        reconcile(&state, &mut memory).await;
        tokio::select! {
            () = state.stop.cancelled() => return,
            _ = changed.changed() => {}
            () = tokio::time::sleep(AGENT_INTERVAL) => {}
        }
    }
}

/// One round.
pub(super) async fn reconcile(state: &State, memory: &mut Memory) {
    let Some(types) = Types::find() else { return };
    let all = Selector::default();
    endings::finish(&state.objects, types.pods, &mut memory.endings);
    agents::scale_by_ladder(state, &types, &mut memory.agents);
    let (nodes, _) = state.objects.list(types.nodes, None, &all);
    taints::put_out(&state.objects, types.pods, &nodes);
    let (deployments, _) = state.objects.list(types.deployments, None, &all);
    for deployment in &deployments {
        keep_deployment(state, &types, memory, deployment, &nodes);
    }
    let (daemon_sets, _) = state.objects.list(types.daemon_sets, None, &all);
    for daemon_set in &daemon_sets {
        keep_daemon_set(state, &types, daemon_set, &nodes);
    }
    agents::keep(state, &types, &mut memory.agents).await;
    tell_kubelets(state, &types, memory, &nodes).await;
    budget::refresh(&state.objects);
}

/// Pods that are to stay, of an owner.
pub(super) fn pods_owned_by(
    state: &State,
    types: &Types,
    namespace: &str,
    owns: impl Fn(&Value) -> bool,
) -> Vec<Value> {
    let (mut pods, _) = state
        .objects
        .list(types.pods, Some(namespace), &Selector::default());
    pods.retain(|pod| {
        let mut owners = pod["metadata"]["ownerReferences"]
            .as_array()
            .into_iter()
            .flatten();
        !is_going(pod) && owners.any(&owns)
    });
    pods
}

fn keep_deployment(
    state: &State,
    types: &Types,
    memory: &mut Memory,
    deployment: &Value,
    nodes: &[Value],
) {
    let (namespace, name) = (meta(deployment, "namespace"), meta(deployment, "name"));
    let Some(set) = replica_set(state, types, deployment) else {
        return;
    };
    let prefix = format!("{name}-");
    let pods = pods_owned_by(state, types, namespace, |owner| {
        owner["kind"] == "ReplicaSet"
            && owner["name"].as_str().is_some_and(|owner| {
                owner
                    .strip_prefix(&prefix)
                    .is_some_and(|hash| !hash.contains('-'))
            })
    });
    let is_new =
        |pod: &&Value| pod["metadata"]["ownerReferences"][0]["uid"] == set["metadata"]["uid"];
    let wanted = usize::try_from(deployment["spec"]["replicas"].as_u64().unwrap_or(1)).unwrap_or(0);
    let homes = memory
        .homes
        .entry(format!("{namespace}/{name}"))
        .or_default();
    for node in pods
        .iter()
        .filter_map(|pod| pod["spec"]["nodeName"].as_str())
    {
        if !homes.iter().any(|home| home == node) {
            homes.push(node.to_owned());
        }
    }
    // A rollout replaces one pod at a time, and only while the others serve.
    let old: Vec<&Value> = pods.iter().filter(|pod| !is_new(pod)).collect();
    let remove = if pods.len() > wanted {
        old.first().copied().or(pods.last())
    } else if pods.len() == wanted && pods.iter().filter(is_new).all(is_ready) {
        old.first().copied()
    } else {
        None
    };
    if let Some(pod) = remove {
        endings::begin(&state.objects, types.pods, pod, None);
    }
    let is_agent = namespace == NAMESPACE && state.agents == Some(name);
    let mut occupied: Vec<&str> = pods
        .iter()
        .filter_map(|pod| pod["spec"]["nodeName"].as_str())
        .collect();
    for _ in pods.len()..wanted {
        let template = &deployment["spec"]["template"];
        let node = choose_node(nodes, &template["spec"], homes, &occupied, is_agent);
        occupied.extend(node.map(|node| meta(node, "name")));
        let mut template = template.clone();
        template["metadata"]["labels"]["pod-template-hash"] =
            set["metadata"]["labels"]["pod-template-hash"].clone();
        let pod_name = format!("{}-{}", meta(&set, "name"), pods::suffix());
        let pod = pods::from_template(&template, namespace, &pod_name, Some(&set), node, !is_agent);
        create_pod(state, types, pod);
    }
    set_deployment_status(state, types, deployment, &set);
}

fn create_pod(state: &State, types: &Types, pod: Value) {
    match state.objects.create(types.pods, pod) {
        Ok(pod) if pod["spec"]["nodeName"].is_string() => {
            events::note(&state.objects, &pod, Happened::Started);
        }
        Ok(pod) => events::note(&state.objects, &pod, Happened::Unschedulable),
        Err(refusal) => tracing::warn!(?refusal, "pod not created"),
    }
}

/// The replica set of a deployment's current template.
fn replica_set(state: &State, types: &Types, deployment: &Value) -> Option<Value> {
    let template = deployment["spec"]["template"].to_string();
    let digest = Sha256::digest(template.as_bytes());
    let hash: String = digest
        .iter()
        .take(5)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let (namespace, name) = (meta(deployment, "namespace"), meta(deployment, "name"));
    let set_name = format!("{name}-{hash}");
    if let Some(set) = state.objects.get(types.replica_sets, namespace, &set_name) {
        return Some(set);
    }
    let mut labels = deployment["spec"]["template"]["metadata"]["labels"].clone();
    labels["pod-template-hash"] = json!(hash);
    let set = json!({
        "metadata": {
            "name": set_name,
            "namespace": namespace,
            "labels": labels,
            "ownerReferences": [pods::owner_reference(deployment)],
        },
        "spec": {
            "replicas": deployment["spec"]["replicas"],
            "selector": { "matchLabels": labels },
            "template": deployment["spec"]["template"],
        },
        "status": { "replicas": 0 },
    });
    state.objects.create(types.replica_sets, set).ok()
}

/// A home first, then any other; agents one on a node. Nodes that are cordoned, or
/// tainted with what the pod does not tolerate, get nothing new.
fn choose_node<'a>(
    nodes: &'a [Value],
    pod_spec: &Value,
    homes: &[String],
    occupied: &[&str],
    one_a_node: bool,
) -> Option<&'a Value> {
    let open = |node: &&Value| taints::takes(node, pod_spec);
    let free = |node: &&Value| !occupied.contains(&meta(node, "name"));
    let at_home = |node: &&Value| homes.iter().any(|home| home == meta(node, "name"));
    nodes
        .iter()
        .filter(open)
        .filter(free)
        .find(at_home)
        .or_else(|| nodes.iter().filter(open).find(free))
        .or_else(|| nodes.iter().filter(open).find(|_| !one_a_node))
}

fn set_deployment_status(state: &State, types: &Types, deployment: &Value, set: &Value) {
    let (namespace, name) = (meta(deployment, "namespace"), meta(deployment, "name"));
    let prefix = format!("{name}-");
    let pods = pods_owned_by(state, types, namespace, |owner| {
        owner["name"].as_str().is_some_and(|owner| {
            owner
                .strip_prefix(&prefix)
                .is_some_and(|hash| !hash.contains('-'))
        })
    });
    let ready = pods.iter().filter(|pod| is_ready(pod)).count();
    let updated = pods
        .iter()
        .filter(|pod| pod["metadata"]["ownerReferences"][0]["uid"] == set["metadata"]["uid"])
        .count();
    let wanted = usize::try_from(deployment["spec"]["replicas"].as_u64().unwrap_or(1)).unwrap_or(0);
    let available = if ready >= wanted { "True" } else { "False" };
    let status = json!({
        "observedGeneration": deployment["metadata"]["generation"],
        "replicas": pods.len(),
        "updatedReplicas": updated,
        "readyReplicas": ready,
        "availableReplicas": ready,
        "unavailableReplicas": wanted.saturating_sub(ready),
        "conditions": [
            { "type": "Available", "status": available },
            { "type": "Progressing", "status": "True" },
        ],
    });
    if deployment["status"] != status {
        state
            .objects
            .modify(types.deployments, namespace, name, |deployment| {
                deployment["status"] = status.clone();
            });
    }
}

fn keep_daemon_set(state: &State, types: &Types, daemon_set: &Value, nodes: &[Value]) {
    let (namespace, name) = (meta(daemon_set, "namespace"), meta(daemon_set, "name"));
    let pods = pods_owned_by(state, types, namespace, |owner| {
        owner["kind"] == "DaemonSet" && owner["name"] == name
    });
    for node in nodes {
        if pods
            .iter()
            .any(|pod| pod["spec"]["nodeName"] == meta(node, "name"))
        {
            continue;
        }
        let pod_name = format!("{name}-{}", pods::suffix());
        let template = &daemon_set["spec"]["template"];
        let pod = pods::from_template(
            template,
            namespace,
            &pod_name,
            Some(daemon_set),
            Some(node),
            true,
        );
        create_pod(state, types, pod);
    }
    let status = json!({
        "desiredNumberScheduled": nodes.len(),
        "currentNumberScheduled": nodes.len(),
        "numberReady": nodes.len(),
        "numberMisscheduled": 0,
        "observedGeneration": daemon_set["metadata"]["generation"],
    });
    if daemon_set["status"] != status {
        state
            .objects
            .modify(types.daemon_sets, namespace, name, |set| {
                set["status"] = status.clone()
            });
    }
}

async fn tell_kubelets(state: &State, types: &Types, memory: &mut Memory, nodes: &[Value]) {
    let (all, _) = state.objects.list(types.pods, None, &Selector::default());
    for node in nodes.iter().map(|node| meta(node, "name")) {
        let pods: Vec<KubeletPod> = all
            .iter()
            .filter(|pod| pod["spec"]["nodeName"] == node)
            .map(kubelet_pod)
            .collect();
        if memory.told.get(node) == Some(&pods) {
            continue;
        }
        match state
            .data_plane
            .set_pods(&NodeName(node.to_owned()), pods.clone())
            .await
        {
            Ok(()) => {
                memory.told.insert(node.to_owned(), pods);
            }
            Err(error) => tracing::warn!(%error, node, "kubelet not told"),
        }
    }
}

fn kubelet_pod(pod: &Value) -> KubeletPod {
    KubeletPod {
        namespace: meta(pod, "namespace").to_owned(),
        name: meta(pod, "name").to_owned(),
        containers: pod["spec"]["containers"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|container| container["name"].as_str().map(str::to_owned))
            .collect(),
        manifest: pod.clone(),
    }
}
