//! Which metrics Azure Monitor has of a type of resource, and by what each can be
//! split: <https://learn.microsoft.com/azure/azure-monitor/reference/metrics-index>.

use http::StatusCode;

use super::error::ArmError;

/// A metric and its dimensions.
struct Definition {
    name: &'static str,
    dimensions: &'static [&'static str],
}

const fn metric(name: &'static str, dimensions: &'static [&'static str]) -> Definition {
    Definition { name, dimensions }
}

const FRONTEND: &[&str] = &["FrontendIPAddress", "FrontendPort", "Direction"];
const PORTS: &[&str] = &["FrontendIPAddress", "BackendIPAddress", "ProtocolType"];

const LOAD_BALANCER: &[Definition] = &[
    metric("VipAvailability", &["FrontendIPAddress", "FrontendPort"]),
    metric(
        "DipAvailability",
        &[
            "ProtocolType",
            "BackendPort",
            "FrontendIPAddress",
            "FrontendPort",
            "BackendIPAddress",
        ],
    ),
    metric("ByteCount", FRONTEND),
    metric("PacketCount", FRONTEND),
    metric("SYNCount", FRONTEND),
    metric(
        "SnatConnectionCount",
        &["FrontendIPAddress", "BackendIPAddress", "ConnectionState"],
    ),
    metric("AllocatedSnatPorts", PORTS),
    metric("UsedSnatPorts", PORTS),
];

const NAT_GATEWAY: &[Definition] = &[
    metric("ByteCount", &["Protocol", "Direction"]),
    metric("PacketCount", &["Protocol", "Direction"]),
    metric("PacketDropCount", &[]),
    metric("SNATConnectionCount", &["Protocol", "ConnectionState"]),
    metric("TotalConnectionCount", &["Protocol"]),
    metric("DatapathAvailability", &[]),
];

const MANAGED_CLUSTER: &[Definition] = &[
    metric("node_cpu_usage_millicores", &["node", "nodepool"]),
    metric("node_cpu_usage_percentage", &["node", "nodepool"]),
    metric(
        "kube_node_status_condition",
        &["condition", "status", "node"],
    ),
    metric("kube_pod_status_ready", &["namespace", "pod", "condition"]),
];

fn of_type(resource_type: &str) -> &'static [Definition] {
    match resource_type.to_ascii_lowercase().as_str() {
        "microsoft.network/loadbalancers" => LOAD_BALANCER,
        "microsoft.network/natgateways" => NAT_GATEWAY,
        "microsoft.containerservice/managedclusters" => MANAGED_CLUSTER,
        _ => &[],
    }
}

/// Refuses what Azure Monitor does not have of this type, in its words and without
/// the envelope, as it does.
pub(super) fn check(
    resource_type: &str,
    name: &str,
    dimensions: impl Iterator<Item = impl AsRef<str>>,
) -> Result<(), ArmError> {
    let bad = |message: String| {
        ArmError::new(StatusCode::BAD_REQUEST, "BadRequest", message).without_envelope()
    };
    let there = of_type(resource_type);
    let (provider, kind) = resource_type.split_once('/').unwrap_or_default();
    let Some(definition) = there.iter().find(|d| d.name.eq_ignore_ascii_case(name)) else {
        let valid: Vec<&str> = there.iter().map(|definition| definition.name).collect();
        return Err(bad(format!(
            "Failed to find metric configuration for provider: {provider}, resource Type: {kind}, \
             metric: {name}, Valid metrics: {}",
            valid.join(",")
        )));
    };
    for dimension in dimensions {
        let dimension = dimension.as_ref();
        let mut known = definition.dimensions.iter();
        if !known.any(|known| known.eq_ignore_ascii_case(dimension)) {
            return Err(bad(format!(
                "Metric: {name} does not support requested dimension combination: {dimension}, \
                 supported ones are: {}",
                definition.dimensions.join(",")
            )));
        }
    }
    Ok(())
}
