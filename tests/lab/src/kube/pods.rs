//! Making pods.

use rand::RngExt;
use serde_json::{Value, json};

use super::state::meta;

/// Whether a pod's `Ready` condition is true.
pub(super) fn is_ready(pod: &Value) -> bool {
    super::table::condition(&pod["status"], "Ready") == Some("True")
}

/// A pod of `template`, owned by `owner`, on `node`; without a node it waits
/// to be scheduled.
pub(super) fn from_template(
    template: &Value,
    namespace: &str,
    name: &str,
    owner: Option<&Value>,
    node: Option<&Value>,
    ready: bool,
) -> Value {
    let mut spec = template["spec"].clone();
    let mut metadata = json!({
        "name": name,
        "namespace": namespace,
        "labels": template["metadata"]["labels"],
    });
    if let Some(annotations) = template["metadata"].get("annotations") {
        metadata["annotations"] = annotations.clone();
    }
    if let Some(owner) = owner {
        metadata["ownerReferences"] = json!([owner_reference(owner)]);
        metadata["generateName"] = json!(format!("{}-", meta(owner, "name")));
    }
    let status = match node {
        Some(node) => {
            spec["nodeName"] = json!(meta(node, "name"));
            let host_network = spec["hostNetwork"] == true;
            running(&spec, node, host_network, ready)
        }
        None => json!({
            "phase": "Pending",
            "conditions": [{
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": "0 nodes are available: no node has room for this pod.",
            }],
        }),
    };
    json!({ "metadata": metadata, "spec": spec, "status": status })
}

fn running(spec: &Value, node: &Value, host_network: bool, ready: bool) -> Value {
    let host = node["status"]["addresses"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|address| address["type"] == "InternalIP")
        .map(|address| address["address"].clone())
        .unwrap_or_default();
    let pod_ip = if host_network {
        host.clone()
    } else {
        let last: u8 = rand::rng().random_range(10..250);
        let network: u8 = host
            .as_str()
            .and_then(|text| text.rsplit('.').next())
            .and_then(|digits| digits.parse().ok())
            .unwrap_or(0);
        json!(format!("10.244.{network}.{last}"))
    };
    let now = jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string();
    let containers: Vec<Value> = spec["containers"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|container| {
            json!({
                "name": container["name"],
                "image": container["image"],
                "imageID": "",
                "containerID": format!("containerd://{}", uuid::Uuid::new_v4().simple()),
                "ready": ready,
                "started": true,
                "restartCount": 0,
                "state": { "running": { "startedAt": now } },
            })
        })
        .collect();
    let mut status = json!({
        "phase": "Running",
        "hostIP": host,
        "podIP": pod_ip,
        "podIPs": [{ "ip": pod_ip }],
        "startTime": now,
        "qosClass": "Burstable",
        "conditions": [
            { "type": "PodScheduled", "status": "True", "lastTransitionTime": now },
            { "type": "Initialized", "status": "True", "lastTransitionTime": now },
        ],
        "containerStatuses": containers,
    });
    set_ready(&mut status, ready);
    status
}

/// Sets a pod status to ready or not.
pub(super) fn set_ready(status: &mut Value, ready: bool) {
    let now = jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string();
    let text = if ready { "True" } else { "False" };
    if let Some(conditions) = status["conditions"].as_array_mut() {
        for kind in ["ContainersReady", "Ready"] {
            conditions.retain(|condition| condition["type"] != kind);
            conditions.push(json!({ "type": kind, "status": text, "lastTransitionTime": now }));
        }
    }
    if let Some(containers) = status["containerStatuses"].as_array_mut() {
        for container in containers {
            container["ready"] = json!(ready);
        }
    }
}

/// Has a pod's containers killed for lack of memory so often so far; they run again since.
pub(super) fn set_memory_kills(status: &mut Value, kills: u32) {
    let Some(containers) = status["containerStatuses"].as_array_mut() else {
        return;
    };
    for container in containers {
        let now = container["state"]["running"]["startedAt"].clone();
        container["restartCount"] = json!(kills);
        container["lastState"] = json!({ "terminated": {
            "exitCode": 137,
            "reason": "OOMKilled",
            "startedAt": now,
            "finishedAt": now,
        }});
    }
}

/// A reference to the controller of an object.
pub(super) fn owner_reference(owner: &Value) -> Value {
    json!({
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// Five characters as the API server makes generated names end.
pub(super) fn suffix() -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut random = rand::rng();
    (0..5)
        .filter_map(|_| LETTERS.get(random.random_range(0..LETTERS.len())))
        .map(|letter| char::from(*letter))
        .collect()
}
