//! The network profile of a managed cluster. AKS has no endpoint for it alone:
//! the whole cluster is put back, under its ETag.

use naosu_engine::error::Error;
use serde_json::Value;

use super::{Edit, Planned, malformed, read_only};
use crate::drivers::azure::resource_id::ResourceId;

const READ_ONLY: &[&str] = &[
    "id",
    "name",
    "type",
    "eTag",
    "etag",
    "systemData",
    "identity/principalId",
    "identity/tenantId",
    "properties/provisioningState",
    "properties/powerState",
    "properties/currentKubernetesVersion",
    "properties/maxAgentPools",
    "properties/fqdn",
    "properties/azurePortalFQDN",
    "properties/privateFQDN",
    "properties/resourceUID",
    "properties/status",
    "properties/agentPoolProfiles/*/provisioningState",
    "properties/agentPoolProfiles/*/powerState",
    "properties/agentPoolProfiles/*/currentOrchestratorVersion",
    "properties/agentPoolProfiles/*/nodeImageVersion",
    "properties/agentPoolProfiles/*/eTag",
    "properties/agentPoolProfiles/*/status",
    "properties/networkProfile/loadBalancerProfile/effectiveOutboundIPs",
    "properties/networkProfile/natGatewayProfile/effectiveOutboundIPs",
];

/// Merges `patch` into the network profile.
pub fn set(id: &str, patch: &Value, cluster: &Value) -> Result<Planned, Error> {
    let id = ResourceId::parse(id)?;
    let mut body = cluster.clone();
    read_only::remove(&mut body, READ_ONLY);
    let profile = body
        .pointer_mut("/properties/networkProfile")
        .filter(|profile| profile.is_object())
        .ok_or_else(|| malformed(format!("{id} has no properties.networkProfile")))?;
    let before = profile.clone();
    json_patch::merge(profile, patch);
    let after = profile.clone();
    if before == after {
        return Ok(Planned::InPlace);
    }
    Ok(Planned::Write(Box::new(Edit {
        id,
        body,
        before,
        after,
    })))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "/subscriptions/s/resourcegroups/rg/providers/Microsoft.ContainerService/managedClusters/aks";

    #[test]
    fn the_profile_changes_and_the_rest_goes_back() {
        let cluster = json!({
            "id": ID, "eTag": "e", "location": "eastus", "sku": {"name": "Base"},
            "properties": {
                "provisioningState": "Succeeded", "dnsPrefix": "x",
                "networkProfile": {"outboundType": "loadBalancer", "loadBalancerProfile": {
                    "allocatedOutboundPorts": 0, "effectiveOutboundIPs": [{"id": "/ip"}]}}
            }
        });
        let patch = json!({"loadBalancerProfile": {"allocatedOutboundPorts": 4000}});
        let Planned::Write(edit) = set(ID, &patch, &cluster).unwrap() else {
            panic!("it changes");
        };
        assert_eq!(
            edit.body,
            json!({
                "location": "eastus", "sku": {"name": "Base"},
                "properties": {"dnsPrefix": "x", "networkProfile": {"outboundType": "loadBalancer",
                    "loadBalancerProfile": {"allocatedOutboundPorts": 4000}}}
            })
        );
        assert_eq!(set(ID, &patch, &edit.body).unwrap(), Planned::InPlace);
    }
}
