//! Networks and interfaces.

use serde::Deserialize;

use crate::ResourceId;

/// A resource that is only named.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Reference {
    pub id: ResourceId,
}

/// Any resource in a list.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Resource {
    pub id: ResourceId,
    pub name: String,
}

/// `Microsoft.Network/networkInterfaces`, also below scale sets.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct NetworkInterface {
    pub id: ResourceId,
    pub properties: InterfaceProperties,
}

/// Its properties.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct InterfaceProperties {
    pub ip_configurations: Vec<IpConfiguration>,
    pub network_security_group: Option<Reference>,
}

/// An address of an interface.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct IpConfiguration {
    pub properties: IpConfigurationProperties,
}

/// Its properties.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct IpConfigurationProperties {
    #[serde(rename = "privateIPAddress")]
    pub private_ip_address: String,
    pub subnet: Option<Reference>,
    pub application_security_groups: Vec<Reference>,
}

/// `Microsoft.Network/virtualNetworks`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct VirtualNetwork {
    pub id: ResourceId,
    pub properties: VirtualNetworkProperties,
}

/// Its properties.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct VirtualNetworkProperties {
    pub address_space: AddressSpace,
    pub subnets: Vec<Subnet>,
    pub virtual_network_peerings: Vec<Peering>,
}

/// Prefixes of a network.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct AddressSpace {
    pub address_prefixes: Vec<String>,
}

/// A subnet.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Subnet {
    pub id: ResourceId,
    pub properties: SubnetProperties,
}

/// Its properties.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct SubnetProperties {
    pub address_prefix: Option<String>,
    pub address_prefixes: Vec<String>,
    pub network_security_group: Option<Reference>,
    pub route_table: Option<Reference>,
    pub nat_gateway: Option<Reference>,
}

impl SubnetProperties {
    /// Its prefixes, from the singular or the plural field.
    pub fn prefixes(&self) -> impl Iterator<Item = &str> {
        let one = self.address_prefix.iter().map(String::as_str);
        let many = self.address_prefixes.iter().map(String::as_str);
        one.filter(|_| self.address_prefixes.is_empty()).chain(many)
    }

    /// The field that [`Self::prefixes`] are from.
    pub fn prefixes_field(&self) -> &'static str {
        match self.address_prefixes.is_empty() {
            true => "properties.addressPrefix",
            false => "properties.addressPrefixes",
        }
    }
}

/// A peering.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Peering {
    pub properties: PeeringProperties,
}

/// Its properties.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct PeeringProperties {
    pub remote_address_space: AddressSpace,
    pub remote_virtual_network_address_space: Option<AddressSpace>,
    pub remote_virtual_network: Option<Reference>,
    pub use_remote_gateways: bool,
    pub peering_state: String,
}
