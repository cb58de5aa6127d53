//! An estate with all that plugins read of it, nodes' own words included.

use naosu_plugin::{
    NodeObservation, NodeQuery, ObjectRef, Query, TcpProbe, kubernetes,
    testing::{Estate, MeasuredNode, Recorded},
};
use serde_json::{Value, json};

use crate::aks_ruleset::aks_ruleset;

/// Rules of each node: those every AKS node has, and a few services.
const RULES: usize = 100;

/// Minutes of metrics that are asked for.
const MINUTES: usize = 60;
/// Pods of a node, each with a route of its own.
const PODS: u32 = 30;

/// What the estate suffers from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A security group denies TCP 10250 everywhere.
    SecurityGroup,
    /// A rule of one node's iptables drops it.
    OneNode,
}

/// Records an estate of so many nodes with a fault.
pub fn record(nodes: u32, fault: Fault) -> Recorded {
    let denies = fault == Fault::SecurityGroup;
    let mut subnet_rules = vec![Estate::rule("allow-https", "Inbound", 120, "Allow", "443")];
    if denies {
        subnet_rules.push(Estate::rule(
            "deny-kubelet",
            "Inbound",
            200,
            "Deny",
            "10250",
        ));
    }
    let estate = Estate {
        nodes,
        subnet_rules,
        ..Estate::default()
    };
    let mut recorded = estate.record();
    recorded.put(kubernetes::all_nodes(), kubernetes_nodes(&recorded, nodes));
    // Straight into the list: replacing looks through all that is there.
    let mut put = |query, body: Value| {
        let mut one = Recorded::default();
        one.put(query, body);
        recorded.0.append(&mut one.0);
    };
    for index in 0..nodes {
        let name = Estate::node_name(index);
        let is_faulty = fault == Fault::OneNode && index == nodes - 1;
        let observe = |what| {
            Query::Node(NodeQuery {
                node: name.clone(),
                what,
            })
        };
        put(
            observe(NodeObservation::FirewallRuleset),
            firewall(index, is_faulty),
        );
        put(
            observe(NodeObservation::UfwStatus),
            json!({ "installed": false, "verbose": "", "numbered": "" }),
        );
        let silent = index > 0 && (denies || is_faulty);
        let error = if silent { "i/o timeout" } else { "" };
        let probe = json!({ "reached": !silent, "error": error, "elapsed_ms": 3 });
        put(Query::TunnelProbe(name), probe.clone());
        let from_agent = Query::TcpProbe(TcpProbe {
            from_node: Estate::node_name(0),
            to_host: Estate::node_address(index).to_string(),
            port: 10_250,
        });
        put(from_agent, probe);
    }
    let ladder = r#"{"nodesToReplicas":[[1,1]]}"#;
    put(
        Query::KubernetesGet(ObjectRef {
            api_version: "v1".into(),
            kind: "ConfigMap".into(),
            namespace: "kube-system".into(),
            name: "konnectivity-agent-autoscaler".into(),
        }),
        json!({ "data": { "ladder": ladder } }),
    );
    let measured: Vec<MeasuredNode> = (0..nodes).map(busy).collect();
    recorded.put_outbound_ports(&measured);
    recorded
}

/// A node with enough ports, minute by minute.
fn busy(index: u32) -> MeasuredNode {
    let minutes = |value| vec![Some(value); MINUTES];
    MeasuredNode {
        index,
        failed: minutes(0.0),
        used: minutes(12.0),
        allocated: minutes(1_024.0),
    }
}

/// The nodes with what a real one has besides: labels, annotations, conditions,
/// capacity, and what it runs.
fn kubernetes_nodes(recorded: &Recorded, count: u32) -> Value {
    let body = recorded
        .0
        .iter()
        .find(|(query, _)| *query == kubernetes::all_nodes())
        .and_then(|(_, answer)| answer.as_ref().ok())
        .map(|answer| answer.body.clone())
        .expect("nodes");
    let mut nodes: Value = serde_json::from_str(&body).expect("JSON");
    for index in 0..count {
        let node = &mut nodes[index as usize];
        for label in 0..24 {
            node["metadata"]["labels"][format!("kubernetes.azure.com/label-{label}")] =
                json!("a-value-as-they-are");
        }
        node["metadata"]["annotations"] = json!({
            "node.alpha.kubernetes.io/ttl": "0",
            "volumes.kubernetes.io/controller-managed-attach-detach": "true",
            "csi.volume.kubernetes.io/nodeid": r#"{"disk.csi.azure.com":"aks","file.csi.azure.com":"aks"}"#,
        });
        for condition in ["MemoryPressure", "DiskPressure", "PIDPressure"] {
            let conditions = node["status"]["conditions"].as_array_mut();
            conditions.expect("conditions").push(json!({
                "type": condition, "status": "False", "reason": "KubeletHasSufficient",
                "message": "kubelet has sufficient of it available",
                "lastHeartbeatTime": "2026-03-03T10:11:12Z", "lastTransitionTime": "2026-03-03T10:11:12Z",
            }));
        }
        let amounts = json!({ "cpu": "4", "memory": "16374604Ki", "pods": "110", "ephemeral-storage": "129886128Ki" });
        node["status"]["capacity"] = amounts.clone();
        node["status"]["allocatable"] = amounts;
        node["status"]["nodeInfo"] = json!({
            "kubeletVersion": "v1.34.1", "containerRuntimeVersion": "containerd://1.7.28",
            "osImage": "Ubuntu 22.04.5 LTS", "kernelVersion": "5.15.0-1098-azure",
            "machineID": format!("{index:032x}"), "systemUUID": format!("{index:032x}"),
        });
    }
    nodes
}

/// What `iptables-save` shows on a node: the cluster's rules, a rule of its own
/// and counters of its own.
fn firewall(index: u32, is_faulty: bool) -> Value {
    let address = Estate::node_address(index);
    let input = if is_faulty {
        "-p tcp -m tcp --dport 10250 -j DROP"
    } else {
        ""
    };
    let own = format!(
        "-A POSTROUTING -s 10.244.0.0/16 -m addrtype ! --dst-type LOCAL -j SNAT --to-source {address}\n-A IP-MASQ-AGENT -d 10.244.0.0/16"
    );
    let text = aks_ruleset(RULES, input)
        .replace(
            ":INPUT ACCEPT [1021:99]",
            &format!(":INPUT ACCEPT [{}:{}]", 1021 + index, 99 * index),
        )
        .replacen("-A IP-MASQ-AGENT -d 10.244.0.0/16", &own, 1);
    json!({
        "ipv4_nft": text, "ipv4_legacy": null, "ipv6_nft": "", "ipv6_legacy": null,
        "ipv4_routes": routes(index),
    })
}

/// What `ip route show table all` shows on a node of Azure CNI.
fn routes(index: u32) -> String {
    let own = Estate::node_address(index);
    let pods: String = (2..2 + PODS)
        .map(|pod| {
            let (high, low) = (index / 256, index % 256);
            format!(
                "10.{}.{low}.{pod} dev azv{pod:08x} proto static scope link\n",
                128 + high
            )
        })
        .collect();
    format!(
        "default via 10.224.0.1 dev eth0 proto dhcp src {own} metric 100\n\
         10.224.0.0/16 dev eth0 proto kernel scope link src {own} metric 100\n\
         10.224.0.1 dev eth0 proto dhcp scope link src {own} metric 100\n\
         168.63.129.16 via 10.224.0.1 dev eth0 proto dhcp src {own} metric 100\n\
         169.254.169.254 via 10.224.0.1 dev eth0 proto dhcp src {own} metric 100\n\
         {pods}\
         local {own} dev eth0 table local proto kernel scope host src {own}\n\
         broadcast 10.224.255.255 dev eth0 table local proto kernel scope link src {own}\n\
         local 127.0.0.0/8 dev lo table local proto kernel scope host src 127.0.0.1\n\
         local 127.0.0.1 dev lo table local proto kernel scope host src 127.0.0.1\n\
         broadcast 127.255.255.255 dev lo table local proto kernel scope link src 127.0.0.1\n"
    )
}
