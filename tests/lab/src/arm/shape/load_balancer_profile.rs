//! How many outbound ports AKS gives to a node.

use serde_json::Value;

use super::super::error::ArmError;

const PORTS_OF_AN_ADDRESS: u64 = 64_000;
const PORTS_CODE: &str = "InvalidLoadBalancerProfileAllocatedOutboundPorts";
const PORTS_TARGET: &str = "networkProfile.loadBalancerProfile.allocatedOutboundPorts";

/// Checks the load balancer profile of a cluster by AKS's rules.
pub(super) fn check(properties: &Value) -> Result<(), ArmError> {
    let profile = &properties["networkProfile"]["loadBalancerProfile"];
    let addresses = outbound_addresses(profile);
    if !(1..=100).contains(&addresses) {
        return Err(ArmError::new(
            http::StatusCode::BAD_REQUEST,
            "InvalidLoadBalancerProfileManagedOutboundIPCount",
            format!("Load balancer profile managed outbound IP count {addresses} must be between 1 and 100."),
        )
        .with_target("networkProfile.loadBalancerProfile.managedOutboundIPs.count"));
    }
    if let Some(minutes) = profile["idleTimeoutInMinutes"].as_u64()
        && !(4..=120).contains(&minutes)
    {
        return Err(ArmError::new(
            http::StatusCode::BAD_REQUEST,
            "InvalidLoadBalancerProfileIdleTimeoutInMinutes",
            "Load balancer profile idle timeout must be between 4 and 120 minutes.",
        )
        .with_target("networkProfile.loadBalancerProfile.idleTimeoutInMinutes"));
    }
    let Some(ports) = profile["allocatedOutboundPorts"].as_i64() else {
        return Ok(());
    };
    let refuse = |message: String| {
        Err(
            ArmError::new(http::StatusCode::BAD_REQUEST, PORTS_CODE, message)
                .with_target(PORTS_TARGET),
        )
    };
    let Ok(ports) = u64::try_from(ports) else {
        return refuse(format!(
            "Load balancer profile allocated ports {ports} must be between 0 and {PORTS_OF_AN_ADDRESS}. Refer to https://aka.ms/aks/slb-ports for more details."
        ));
    };
    if !ports.is_multiple_of(8) {
        return refuse(
            "Load balancer profile allocated ports must be a multiple of 8. Refer to https://aka.ms/aks/slb-ports for more details."
                .to_owned(),
        );
    }
    let nodes = node_count_with_buffer(properties);
    let available = PORTS_OF_AN_ADDRESS * addresses;
    if ports > PORTS_OF_AN_ADDRESS || ports * nodes > available {
        return refuse(format!(
            "Load balancer profile allocated ports {ports} is not in an allowable range given the number of nodes and IPs provisioned. Total node count {nodes} requires {} ports but only {available} ports are available given {addresses} outbound public IPs. Refer to https://aka.ms/aks/slb-ports for more details.",
            ports * nodes
        ));
    }
    Ok(())
}

fn outbound_addresses(profile: &Value) -> u64 {
    let listed =
        |field: &str, list: &str| profile[field][list].as_array().map(|ids| ids.len() as u64);
    listed("outboundIPs", "publicIPs")
        .or_else(|| profile["managedOutboundIPs"]["count"].as_u64())
        .unwrap_or(1)
}

/// Nodes of all pools: the autoscaler's maximum where it is on, and the surge
/// of an upgrade, at least one node.
fn node_count_with_buffer(properties: &Value) -> u64 {
    properties["agentPoolProfiles"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|pool| {
            let count = pool["maxCount"]
                .as_u64()
                .filter(|_| pool["enableAutoScaling"] == true)
                .or_else(|| pool["count"].as_u64())
                .unwrap_or(0);
            let surge = pool["upgradeSettings"]["maxSurge"].as_str().unwrap_or("1");
            let surge = match surge.strip_suffix('%') {
                Some(percent) => (count * percent.parse().unwrap_or(0)).div_ceil(100),
                None => surge.parse().unwrap_or(1),
            };
            count + surge.max(1)
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cluster(ports: i64, addresses: u64) -> Value {
        json!({
            "agentPoolProfiles": [{ "count": 3, "upgradeSettings": { "maxSurge": "10%" } }],
            "networkProfile": { "loadBalancerProfile": {
                "allocatedOutboundPorts": ports, "managedOutboundIPs": { "count": addresses },
            }},
        })
    }

    #[test]
    fn the_quoted_case_of_21000_ports_on_three_nodes_gets_the_quoted_message() {
        let error = check(&cluster(21_000, 1)).unwrap_err();
        assert_eq!(error.code, PORTS_CODE);
        assert!(error.message.contains(
            "Total node count 4 requires 84000 ports but only 64000 ports are available given 1 outbound public IPs."
        ));
    }

    #[test]
    fn ports_must_be_a_multiple_of_eight_and_fit() {
        assert!(
            check(&cluster(1001, 1))
                .unwrap_err()
                .message
                .contains("multiple of 8")
        );
        assert!(check(&cluster(-8, 1)).is_err());
        assert!(check(&cluster(16_000, 1)).is_ok());
        assert!(check(&cluster(16_008, 1)).is_err());
        assert!(check(&cluster(16_008, 2)).is_ok());
        assert!(check(&cluster(0, 101)).is_err());
    }
}
