//! Public addresses and what gives them to connections.

use serde::Deserialize;

use super::Reference;

/// `Microsoft.Network/publicIPAddresses`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // the fields are ARM's own
pub struct PublicIp {
    pub properties: PublicIpProperties,
}

/// Its properties.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct PublicIpProperties {
    /// `IPv4` or `IPv6`; ARM tells it always.
    #[serde(rename = "publicIPAddressVersion")]
    pub version: String,
}

/// `Microsoft.Network/publicIPPrefixes`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct PublicIpPrefix {
    pub properties: PublicIpPrefixProperties,
}

/// Its properties.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct PublicIpPrefixProperties {
    #[serde(rename = "publicIPAddressVersion")]
    pub version: String,
    #[serde(rename = "prefixLength")]
    pub prefix_length: Option<u32>,
}

/// `Microsoft.Network/natGateways`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct NatGateway {
    pub properties: NatGatewayProperties,
}

/// Its properties.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct NatGatewayProperties {
    pub public_ip_addresses: Vec<Reference>,
    pub public_ip_prefixes: Vec<Reference>,
}
