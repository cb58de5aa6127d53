//! Firewalls, their policies and IP groups, as far as they name each other.
//! What their rules mean is read by naosu-flow.

use serde::Deserialize;

use super::Reference;
use crate::ResourceId;

/// `Microsoft.Network/azureFirewalls`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // the fields are ARM's own
pub struct AzureFirewallResource {
    pub id: ResourceId,
    pub name: String,
    pub properties: AzureFirewallProperties,
}

/// Its properties.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct AzureFirewallProperties {
    pub ip_configurations: Vec<FirewallIpConfiguration>,
    pub firewall_policy: Option<Reference>,
}

/// An address of a firewall.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct FirewallIpConfiguration {
    pub properties: FirewallIpConfigurationProperties,
}

/// Its properties.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct FirewallIpConfigurationProperties {
    #[serde(rename = "privateIPAddress")]
    pub private_ip_address: String,
}

/// `Microsoft.Network/firewallPolicies`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct FirewallPolicy {
    pub id: ResourceId,
    pub name: String,
    pub properties: FirewallPolicyProperties,
}

/// Its properties.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct FirewallPolicyProperties {
    pub base_policy: Option<Reference>,
}

/// `Microsoft.Network/ipGroups`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct IpGroup {
    pub properties: IpGroupProperties,
}

/// Its properties.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct IpGroupProperties {
    /// Addresses, prefixes and ranges.
    pub ip_addresses: Vec<String>,
}
