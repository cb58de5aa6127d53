//! The estate of a scenario as Kubernetes objects.

use serde_json::{Value, json};

use super::objects::Objects;
use super::pods;
use super::resource::ResourceType;
use crate::estate::{Estate, Node, TunnelType};

/// Fills a cluster with what the estate begins with.
pub(super) fn fill(objects: &Objects, estate: &Estate) {
    let create = |plural: &str, group: &str, object: Value| {
        let Some(resource) = ResourceType::find(group, plural) else {
            return Value::Null;
        };
        let name = object["metadata"]["name"].clone();
        objects.create(resource, object).unwrap_or_else(|refusal| {
            tracing::error!(%name, ?refusal, "the scenario states an object twice");
            Value::Null
        })
    };
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        let status = json!({ "phase": "Active" });
        create(
            "namespaces",
            "",
            json!({ "metadata": { "name": name }, "status": status }),
        );
    }
    // The API server publishes its own addresses; on AKS those that agents dial.
    create(
        "endpoints",
        "",
        json!({
            "metadata": { "name": "kubernetes", "namespace": "default" },
            "subsets": [{
                "addresses": [{ "ip": estate.cluster.control_plane_address }],
                "ports": [{ "name": "https", "port": 443, "protocol": "TCP" }],
            }],
        }),
    );
    let nodes: Vec<Value> = estate
        .nodes()
        .iter()
        .map(|node| create("nodes", "", node_object(estate, node)))
        .collect();
    let agents = estate.nodes().iter().filter(|node| node.agent).count();
    let name = estate.cluster.tunnel.deployment();
    if let Some(name) = name {
        let labels = agent_labels(estate.cluster.tunnel);
        create(
            "deployments",
            "apps",
            deployment(name, &labels, name, agents),
        );
    }
    if let Some(name) = name.filter(|_| agents > 0) {
        // With one agent a budget that wants one could never be evicted from;
        // AKS itself always runs two.
        let budget = if agents > 1 {
            "minAvailable"
        } else {
            "maxUnavailable"
        };
        let selector = json!({ "matchLabels": agent_labels(estate.cluster.tunnel) });
        create(
            "poddisruptionbudgets",
            "policy",
            json!({
                "metadata": { "name": name, "namespace": "kube-system" },
                "spec": { budget: 1, "selector": selector },
            }),
        );
    }
    if estate.cluster.tunnel == TunnelType::Konnectivity {
        create(
            "configmaps",
            "",
            json!({
                "metadata": { "name": "konnectivity-agent-autoscaler", "namespace": "kube-system" },
                "data": { "ladder": estate.cluster.konnectivity_ladder },
            }),
        );
    }
    create(
        "deployments",
        "apps",
        deployment("coredns", &json!({ "k8s-app": "kube-dns" }), "coredns", 2),
    );
    let proxy = daemon_set();
    create("daemonsets", "apps", proxy);
    for pod in &estate.pods {
        let Some(node) = nodes
            .iter()
            .find(|node| node["metadata"]["name"] == pod.node.as_str())
        else {
            continue;
        };
        let template = json!({
            "metadata": { "labels": pod.labels },
            "spec": { "containers": [{ "name": pod.name, "image": format!("lab/{}", pod.name) }] },
        });
        let object =
            pods::from_template(&template, &pod.namespace, &pod.name, None, Some(node), true);
        create("pods", "", object);
    }
    for (index, workload) in estate.workloads.iter().enumerate() {
        let Some(node) = nodes
            .iter()
            .find(|node| node["metadata"]["name"] == workload.node.as_str())
        else {
            continue;
        };
        let name = &workload.name;
        let template = json!({
            "metadata": { "labels": { "app": name } },
            "spec": { "containers": [{ "name": name, "image": format!("lab/{name}") }] },
        });
        let mut pod = pods::from_template(&template, "default", name, None, Some(node), true);
        if let Some(address) = estate.workload_address(index) {
            pod["status"]["podIP"] = json!(address);
            pod["status"]["podIPs"] = json!([{ "ip": address }]);
        }
        create("pods", "", pod);
    }
}

/// Labels of the tunnel agents. `component=tunnel` is on konnectivity agents
/// too, as on AKS since 2021.
pub(super) fn agent_labels(tunnel: TunnelType) -> Value {
    match tunnel {
        TunnelType::Konnectivity => json!({ "app": "konnectivity-agent", "component": "tunnel" }),
        TunnelType::Tunnelfront => json!({ "component": "tunnel" }),
        TunnelType::AksLink => json!({ "app": "aks-link" }),
        TunnelType::VnetIntegration => json!({}),
    }
}

fn deployment(name: &str, labels: &Value, container: &str, replicas: usize) -> Value {
    let mut template_labels = labels.clone();
    template_labels["kubernetes.azure.com/managedby"] = json!("aks");
    json!({
        "metadata": { "name": name, "namespace": "kube-system", "labels": template_labels },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": labels },
            "strategy": { "type": "RollingUpdate" },
            "template": {
                "metadata": { "labels": template_labels },
                "spec": {
                    "containers": [{ "name": container, "image": format!("mcr.microsoft.com/oss/{container}:lab") }],
                    "priorityClassName": "system-node-critical",
                    "tolerations": [{ "key": "CriticalAddonsOnly", "operator": "Exists" }],
                },
            },
        },
    })
}

fn daemon_set() -> Value {
    let labels = json!({ "component": "kube-proxy", "tier": "node" });
    json!({
        "metadata": { "name": "kube-proxy", "namespace": "kube-system", "labels": labels },
        "spec": {
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "hostNetwork": true,
                    "containers": [{ "name": "kube-proxy", "image": "mcr.microsoft.com/oss/kube-proxy:lab" }],
                    "tolerations": [{ "operator": "Exists" }],
                },
            },
        },
    })
}

fn node_object(estate: &Estate, node: &Node) -> Value {
    let cluster = &estate.cluster;
    let name = node.name.as_str();
    let group = cluster.node_resource_group();
    let mode = estate
        .pools
        .iter()
        .find(|pool| pool.name == node.pool)
        .map_or("system", |pool| {
            if pool.mode == "User" {
                "user"
            } else {
                "system"
            }
        });
    let ready = if node.settings.kubelet_stopped {
        "Unknown"
    } else {
        "True"
    };
    let reason = if ready == "True" {
        "KubeletReady"
    } else {
        "NodeStatusUnknown"
    };
    let now = jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string();
    let taints: Vec<Value> = node
        .settings
        .taints
        .iter()
        .filter_map(|taint| taint_object(taint))
        .collect();
    let mut spec = json!({
        "podCIDR": format!("10.244.{}.0/24", node.instance),
        "providerID": format!(
            "azure:///subscriptions/{}/resourceGroups/{}/providers/Microsoft.Compute/virtualMachineScaleSets/{}/virtualMachines/{}",
            cluster.subscription,
            group.to_lowercase(),
            node.scale_set,
            node.instance
        ),
    });
    if !taints.is_empty() {
        spec["taints"] = json!(taints);
    }
    let resources = json!({ "cpu": "2", "memory": "8148140Ki", "pods": "250" });
    json!({
        "metadata": { "name": name, "labels": {
            "agentpool": node.pool,
            "beta.kubernetes.io/os": "linux",
            "kubernetes.azure.com/agentpool": node.pool,
            "kubernetes.azure.com/cluster": group,
            "kubernetes.azure.com/mode": mode,
            "kubernetes.azure.com/role": "agent",
            "kubernetes.io/arch": "amd64",
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "node.kubernetes.io/instance-type": "Standard_D2s_v3",
            "topology.kubernetes.io/region": cluster.location,
        }},
        "spec": spec,
        "status": {
            "addresses": [
                { "type": "InternalIP", "address": node.address },
                { "type": "Hostname", "address": name },
            ],
            "allocatable": resources,
            "capacity": resources,
            "conditions": [{
                "type": "Ready",
                "status": ready,
                "reason": reason,
                "message": "",
                "lastHeartbeatTime": now,
                "lastTransitionTime": now,
            }],
            "daemonEndpoints": { "kubeletEndpoint": { "Port": super::kubelet::PORT } },
            "nodeInfo": {
                "architecture": "amd64",
                "bootID": uuid::Uuid::new_v4().to_string(),
                "containerRuntimeVersion": "containerd://1.7.28",
                "kernelVersion": "5.15.0-lab-azure",
                "kubeProxyVersion": format!("v{}", cluster.kubernetes_version),
                "kubeletVersion": format!("v{}", cluster.kubernetes_version),
                "machineID": uuid::Uuid::new_v4().simple().to_string(),
                "operatingSystem": "linux",
                "osImage": "Ubuntu 22.04.5 LTS",
                "systemUUID": uuid::Uuid::new_v4().to_string(),
            },
        },
    })
}

/// `key=value:Effect` or `key:Effect`.
fn taint_object(taint: &str) -> Option<Value> {
    let (key, effect) = taint.rsplit_once(':')?;
    let (key, value) = key.split_once('=').unwrap_or((key, ""));
    let mut object = json!({ "key": key, "effect": effect });
    if !value.is_empty() {
        object["value"] = json!(value);
    }
    Some(object)
}
