//! Managed clusters.

use serde_json::{Value, json};
use uuid::Uuid;

use super::super::error::ArmError;
use super::super::id::name_of;
use super::{Kind, fill_in, keep_missing, load_balancer_profile, nat_gateway_profile};

/// Where the provisioning states of a cluster's pools are.
pub const AGENT_POOL_STATES: &str = "/properties/agentPoolProfiles";

const OUTBOUND_TYPES: [&str; 5] = [
    "loadBalancer",
    "userDefinedRouting",
    "managedNATGateway",
    "userAssignedNATGateway",
    "none",
];

pub(super) fn normalise(
    id: &str,
    existing: Option<&Value>,
    mut body: Value,
) -> Result<Value, ArmError> {
    // AKS itself writes the ids of clusters with `resourcegroups` in lower case
    // and their type with a capital letter.
    body["id"] = json!(id.replace("/resourceGroups/", "/resourcegroups/"));
    body["type"] = json!("Microsoft.ContainerService/ManagedClusters");
    if let Some(existing) = existing {
        check_outbound_type(&existing["properties"], &body["properties"])?;
        keep_missing(&mut body, existing);
        fill_in_pools(&mut body, existing);
    }
    let defaults = defaults(id, &body);
    fill_in(&mut body, &defaults);
    load_balancer_profile::check(&body["properties"])?;
    let outbound = &body["properties"]["networkProfile"]["outboundType"];
    if !OUTBOUND_TYPES.iter().any(|known| outbound == *known) {
        return Err(ArmError::new(
            http::StatusCode::BAD_REQUEST,
            "InvalidParameter",
            format!("The value of parameter networkProfile.outboundType is invalid: {outbound}."),
        )
        .with_target("networkProfile.outboundType"));
    }
    let outbound = outbound.clone();
    if let Some(network) = body["properties"]["networkProfile"].as_object_mut() {
        if outbound != "loadBalancer" {
            network.remove("loadBalancerProfile");
        }
        if outbound != "managedNATGateway" {
            network.remove("natGatewayProfile");
        } else {
            let profile = network
                .entry("natGatewayProfile")
                .or_insert_with(|| json!({}));
            nat_gateway_profile::complete(profile)?;
        }
    }
    set_effective_addresses(id, &mut body);
    Ok(body)
}

/// With a network made by AKS only the load balancer and the managed NAT
/// gateway can take each other's place.
fn check_outbound_type(existing: &Value, wanted: &Value) -> Result<(), ArmError> {
    let (from, to) = (
        existing["networkProfile"]["outboundType"].as_str(),
        wanted["networkProfile"]["outboundType"].as_str(),
    );
    let (Some(from), Some(to)) = (from, to) else {
        return Ok(());
    };
    let own_network = existing["agentPoolProfiles"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|pool| pool["vnetSubnetID"].is_string());
    let allowed: &[&str] = if own_network {
        &[
            "loadBalancer",
            "userDefinedRouting",
            "userAssignedNATGateway",
            "none",
        ]
    } else {
        &["loadBalancer", "managedNATGateway", "none"]
    };
    if from == to || (allowed.contains(&from) && allowed.contains(&to)) {
        return Ok(());
    }
    Err(ArmError::new(
        http::StatusCode::BAD_REQUEST,
        "OutboundTypeMigrationNotAllowed",
        format!("Updating outboundType from {from} to {to} is not allowed for this cluster."),
    )
    .with_target("networkProfile.outboundType"))
}

fn fill_in_pools(body: &mut Value, existing: &Value) {
    let Some(pools) = body["properties"]["agentPoolProfiles"].as_array_mut() else {
        return;
    };
    for pool in pools {
        let before = existing["properties"]["agentPoolProfiles"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|before| before["name"] == pool["name"]);
        if let Some(before) = before {
            keep_missing(pool, before);
        }
    }
}

/// The addresses that outbound connections get: as many as are asked for, or
/// those that somebody gave.
fn set_effective_addresses(id: &str, body: &mut Value) {
    let node_group = body["properties"]["nodeResourceGroup"].clone();
    let group = node_group.as_str().unwrap_or_default();
    let subscription = id.split('/').nth(2).unwrap_or_default();
    let made = |name: &str, count: &Value| -> Value {
        (0..count.as_u64().unwrap_or(1))
            .map(|number| {
                json!({ "id": format!(
                    "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Network/publicIPAddresses/{name}-{number}"
                )})
            })
            .collect()
    };
    let network = &mut body["properties"]["networkProfile"];
    if network["loadBalancerProfile"].is_object() {
        let profile = &mut network["loadBalancerProfile"];
        let given = profile["outboundIPs"]["publicIPs"].clone();
        profile["effectiveOutboundIPs"] = if given.is_array() {
            if let Some(profile) = profile.as_object_mut() {
                profile.remove("managedOutboundIPs");
            }
            given
        } else {
            made("aks-outbound", &profile["managedOutboundIPs"]["count"])
        };
    }
    if network["natGatewayProfile"].is_object() {
        let profile = &mut network["natGatewayProfile"];
        let count = profile["managedOutboundIPProfile"]["count"].clone();
        profile["effectiveOutboundIPs"] = made("aks-nat-gateway", &count);
    }
}

/// The first stable api-version that tells of an API server in the virtual network.
const FIRST_INTEGRATION_VERSION: &str = "2025-04-01";

/// A resource as it is told in an api-version: older ones lack newer fields.
pub fn as_told_in(kind: &Kind, api_version: &str, mut body: Value) -> Value {
    let is_older = !api_version.ends_with("-preview") && api_version < FIRST_INTEGRATION_VERSION;
    if kind.name == "Microsoft.ContainerService/managedClusters" && is_older {
        let profile = body.pointer_mut("/properties/apiServerAccessProfile");
        if let Some(profile) = profile.and_then(Value::as_object_mut) {
            profile.remove("enableVnetIntegration");
            profile.remove("subnetId");
        }
    }
    body
}

fn defaults(id: &str, body: &Value) -> Value {
    let name = name_of(id);
    let subscription = id.split('/').nth(2).unwrap_or_default();
    let group = id.split('/').nth(4).unwrap_or_default();
    let location = body["location"].as_str().unwrap_or_default();
    let prefix = body["properties"]["dnsPrefix"].as_str().unwrap_or(name);
    let host = format!("{}-lab00000", prefix.to_ascii_lowercase());
    let node_group = format!("MC_{group}_{name}_{location}");
    let version = body["properties"]["kubernetesVersion"]
        .as_str()
        .unwrap_or("1.34");
    json!({
        "sku": { "name": "Base", "tier": "Free" },
        "identity": {
            "type": "SystemAssigned",
            "principalId": Uuid::new_v4().to_string(),
            "tenantId": Uuid::new_v4().to_string(),
        },
        "properties": {
            "powerState": { "code": "Running" },
            "kubernetesVersion": version,
            "currentKubernetesVersion": version,
            "dnsPrefix": prefix,
            "fqdn": format!("{host}.hcp.{location}.azmk8s.io"),
            "azurePortalFQDN": format!("{host}.portal.hcp.{location}.azmk8s.io"),
            "agentPoolProfiles": [{
                "count": 1,
                "vmSize": "Standard_D2s_v3",
                "osDiskSizeGB": 128,
                "osDiskType": "Managed",
                "kubeletDiskType": "OS",
                "maxPods": 250,
                "type": "VirtualMachineScaleSets",
                "enableAutoScaling": false,
                "scaleDownMode": "Delete",
                "powerState": { "code": "Running" },
                "orchestratorVersion": version,
                "currentOrchestratorVersion": version,
                "enableNodePublicIP": false,
                "mode": "User",
                "osType": "Linux",
                "osSKU": "Ubuntu",
                "nodeImageVersion": "AKSUbuntu-2204gen2containerd-202509.11.0",
                "upgradeSettings": { "maxSurge": "10%" },
                "enableFIPS": false,
                "securityProfile": { "enableVTPM": false, "enableSecureBoot": false },
            }],
            "servicePrincipalProfile": { "clientId": "msi" },
            "nodeResourceGroup": node_group,
            "enableRBAC": true,
            "supportPlan": "KubernetesOfficial",
            "networkProfile": {
                "networkPlugin": "azure",
                "networkPluginMode": "overlay",
                "networkPolicy": "none",
                "networkDataplane": "azure",
                "loadBalancerSku": "standard",
                "loadBalancerProfile": {
                    "managedOutboundIPs": { "count": 1 },
                    "backendPoolType": "nodeIPConfiguration",
                },
                "podCidr": "10.244.0.0/16",
                "serviceCidr": "10.0.0.0/16",
                "dnsServiceIP": "10.0.0.10",
                "outboundType": "loadBalancer",
                "podCidrs": ["10.244.0.0/16"],
                "serviceCidrs": ["10.0.0.0/16"],
                "ipFamilies": ["IPv4"],
            },
            "maxAgentPools": 100,
            "identityProfile": { "kubeletidentity": {
                "resourceId": format!(
                    "/subscriptions/{subscription}/resourcegroups/{node_group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}-agentpool"
                ),
                "clientId": Uuid::new_v4().to_string(),
                "objectId": Uuid::new_v4().to_string(),
            }},
            "autoUpgradeProfile": { "nodeOSUpgradeChannel": "NodeImage" },
            "securityProfile": {},
            "storageProfile": {
                "diskCSIDriver": { "enabled": true },
                "fileCSIDriver": { "enabled": true },
                "snapshotController": { "enabled": true },
            },
            "oidcIssuerProfile": { "enabled": false },
            "workloadAutoScalerProfile": {},
            "resourceUID": Uuid::new_v4().simple().to_string(),
            "metricsProfile": { "costAnalysis": { "enabled": false } },
        },
    })
}
