//! The managed cluster.

use serde::Deserialize;

use super::Reference;
use crate::ResourceId;

/// `Microsoft.ContainerService/managedClusters`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)] // the fields are ARM's own
pub struct ManagedCluster {
    pub id: ResourceId,
    pub name: String,
    pub location: String,
    pub sku: Sku,
    pub properties: ClusterProperties,
}

/// Its price tier; `Automatic` locks the node resource group.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Sku {
    pub name: String,
}

/// Its properties.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct ClusterProperties {
    pub power_state: PowerState,
    pub node_resource_group: String,
    pub agent_pool_profiles: Vec<Pool>,
    pub network_profile: NetworkProfile,
    pub api_server_access_profile: Option<ApiServerAccessProfile>,
    pub node_resource_group_profile: Option<NodeResourceGroupProfile>,
    pub fqdn: Option<String>,
    #[serde(rename = "privateFQDN")]
    pub private_fqdn: Option<String>,
}

/// Running or stopped.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct PowerState {
    pub code: String,
}

/// A node pool.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct Pool {
    pub name: String,
    pub count: u32,
    pub enable_auto_scaling: bool,
    pub max_count: Option<u32>,
    pub mode: String,
    #[serde(rename = "vnetSubnetID")]
    pub vnet_subnet_id: Option<ResourceId>,
    #[serde(rename = "podSubnetID")]
    pub pod_subnet_id: Option<ResourceId>,
    pub upgrade_settings: Option<serde_json::Value>,
}

/// How the cluster is networked.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct NetworkProfile {
    pub network_plugin: String,
    pub network_plugin_mode: String,
    pub outbound_type: String,
    pub load_balancer_sku: String,
    pub ip_families: Vec<String>,
    pub load_balancer_profile: Option<LoadBalancerProfile>,
    pub nat_gateway_profile: Option<NatGatewayProfile>,
}

/// Outbound connections through the load balancer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct LoadBalancerProfile {
    pub allocated_outbound_ports: Option<u32>,
    #[serde(rename = "managedOutboundIPs")]
    pub managed_outbound_ips: Option<ManagedOutbound>,
    #[serde(rename = "outboundIPs")]
    pub outbound_ips: Option<OutboundIps>,
    #[serde(rename = "outboundIPPrefixes")]
    pub outbound_ip_prefixes: Option<OutboundIpPrefixes>,
    #[serde(rename = "effectiveOutboundIPs")]
    pub effective_outbound_ips: Vec<Reference>,
    pub idle_timeout_in_minutes: Option<u32>,
}

/// Outbound addresses that somebody else gave.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct OutboundIps {
    #[serde(rename = "publicIPs")]
    pub public_ips: Vec<Reference>,
}

/// Prefixes of outbound addresses that somebody else gave.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct OutboundIpPrefixes {
    #[serde(rename = "publicIPPrefixes")]
    pub public_ip_prefixes: Vec<Reference>,
}

/// Outbound connections through a NAT gateway that AKS makes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct NatGatewayProfile {
    #[serde(rename = "managedOutboundIPProfile")]
    pub managed_outbound_ip_profile: Option<ManagedOutbound>,
    #[serde(rename = "effectiveOutboundIPs")]
    pub effective_outbound_ips: Vec<Reference>,
}

/// Outbound addresses that AKS makes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct ManagedOutbound {
    pub count: Option<u32>,
}

/// How the API server is reached.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct ApiServerAccessProfile {
    pub enable_private_cluster: bool,
    pub enable_vnet_integration: bool,
    #[serde(rename = "authorizedIPRanges")]
    pub authorized_ip_ranges: Vec<String>,
    pub subnet_id: Option<ResourceId>,
}

/// Who may write in the node resource group.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct NodeResourceGroupProfile {
    pub restriction_level: String,
}

impl ManagedCluster {
    /// ARM id of the node resource group (`MC_…`).
    pub fn node_resource_group_id(&self) -> String {
        let subscription = self.id.after("subscriptions").unwrap_or_default();
        let group = &self.properties.node_resource_group;
        format!("/subscriptions/{subscription}/resourceGroups/{group}")
    }

    /// Why nothing may be written in the node resource group: the field and its
    /// value; `None` when it may.
    pub fn lockdown(&self) -> Option<(&'static str, &str)> {
        let profile = self.properties.node_resource_group_profile.as_ref();
        match profile {
            Some(profile) if profile.restriction_level.eq_ignore_ascii_case("ReadOnly") => Some((
                "properties.nodeResourceGroupProfile.restrictionLevel",
                &profile.restriction_level,
            )),
            None if self.sku.name.eq_ignore_ascii_case("Automatic") => {
                Some(("sku.name", &self.sku.name))
            }
            _ => None,
        }
    }

    /// Whether the API server has a private address only.
    pub fn is_private(&self) -> bool {
        let access = self.properties.api_server_access_profile.as_ref();
        access.is_some_and(|access| access.enable_private_cluster)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_private_api_server_is_read_as_arm_spells_it() {
        let body = r#"{"properties":{"privateFQDN":"aks-1.privatelink.eu.azmk8s.io"}}"#;
        let cluster: ManagedCluster = serde_json::from_str(body).unwrap();
        let name = cluster.properties.private_fqdn;
        assert_eq!(name.as_deref(), Some("aks-1.privatelink.eu.azmk8s.io"));
    }
}
