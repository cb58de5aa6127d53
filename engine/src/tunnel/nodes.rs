//! The nodes of the cluster, as far as a probe needs to know them.

use std::{net::IpAddr, sync::Arc};

use serde_json::Value;

use crate::{
    model::{Observation, Query},
    plugin::Reads,
};

/// So much of what a node's condition says is told.
const REASON_CHARACTERS: usize = 80;

/// A node that may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClusterNode {
    /// Its name.
    pub name: String,
    /// Its addresses inside the network.
    pub addresses: Vec<IpAddr>,
    /// Why its kubelet may well be silent whatever the tunnel does: "it is not
    /// ready: NodeStatusUnknown".
    pub excuse: Option<String>,
}

/// The query for all nodes, the same as plugins make.
pub(crate) fn all_nodes() -> Query {
    Query::KubernetesList {
        api_version: "v1".to_owned(),
        object_kind: "Node".to_owned(),
        namespace: String::new(),
        label_selector: String::new(),
    }
}

/// The nodes in the answer to [`all_nodes`].
///
/// # Errors
/// Why there are none to be had, in words.
pub(crate) fn nodes_in(observation: &Observation) -> Result<Vec<Value>, String> {
    let body = observation.answer.as_ref();
    let body = body.map_err(|e| format!("the nodes cannot be listed: {e}"))?;
    serde_json::from_str(body).map_err(|e| format!("the list of nodes is malformed: {e}"))
}

/// Reads the nodes, by name.
///
/// # Errors
/// Why there are none to be had, in words.
pub(crate) async fn read_nodes(reads: &Arc<dyn Reads>) -> Result<Vec<ClusterNode>, String> {
    let listed = nodes_in(&*reads.read(&all_nodes()).await)?;
    let mut nodes: Vec<ClusterNode> = listed.iter().filter_map(ClusterNode::read).collect();
    nodes.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(nodes)
}

impl ClusterNode {
    /// A node as the API server lists it; `None` without a name.
    pub(crate) fn read(node: &Value) -> Option<Self> {
        let name = node.pointer("/metadata/name")?.as_str()?.to_owned();
        let of = |pointer: &str| {
            let list = node.pointer(pointer).and_then(Value::as_array);
            list.into_iter().flatten()
        };
        let addresses = of("/status/addresses")
            .filter(|address| text(address, "type") == "InternalIP")
            .filter_map(|address| text(address, "address").parse().ok())
            .collect();
        let is_virtual = node
            .pointer("/metadata/labels/type")
            .and_then(Value::as_str)
            == Some("virtual-kubelet")
            || of("/spec/taints").any(|taint| text(taint, "key") == "virtual-kubelet.io/provider");
        let unready = of("/status/conditions")
            .find(|condition| text(condition, "type") == "Ready")
            .filter(|condition| text(condition, "status") != "True");
        let excuse = if is_virtual {
            Some("it is a virtual node".to_owned())
        } else {
            unready.map(|condition| {
                let reason: String = text(condition, "reason")
                    .chars()
                    .take(REASON_CHARACTERS)
                    .collect();
                format!("it is not ready: {reason}")
            })
        };
        Some(Self {
            name,
            addresses,
            excuse,
        })
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_that_cannot_answer_says_why_and_one_of_unknown_condition_has_no_excuse() {
        let read = |node: Value| ClusterNode::read(&node).unwrap();
        let ready = read(json!({ "metadata": { "name": "a" }, "status": {
            "addresses": [{ "type": "Hostname", "address": "a" },
                { "type": "InternalIP", "address": "10.224.0.4" }],
            "conditions": [{ "type": "MemoryPressure", "status": "False" },
                { "type": "Ready", "status": "True" }] } }));
        assert_eq!(ready.addresses, ["10.224.0.4".parse::<IpAddr>().unwrap()]);
        assert_eq!(ready.excuse, None);
        assert_eq!(read(json!({ "metadata": { "name": "a" } })).excuse, None);
        let gone = read(
            json!({ "metadata": { "name": "b" }, "status": { "conditions": [
            { "type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown" }] } }),
        );
        let gone = gone.excuse.unwrap();
        assert_eq!(gone, "it is not ready: NodeStatusUnknown");
        for node in [
            json!({ "metadata": { "name": "v", "labels": { "type": "virtual-kubelet" } } }),
            json!({ "metadata": { "name": "v" },
                "spec": { "taints": [{ "key": "virtual-kubelet.io/provider" }] } }),
        ] {
            assert_eq!(read(node).excuse.as_deref(), Some("it is a virtual node"));
        }
    }
}
