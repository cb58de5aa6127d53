//! Virtual network, subnets and routes.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::NAME_DIGITS;
use super::security_admin_rules::SecurityAdminRule;

/// The virtual network of the nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VirtualNetwork {
    /// Name.
    pub name: String,
    /// Whether AKS made it in the node resource group; else it is the customer's own.
    pub managed: bool,
    /// Address space.
    pub address_prefixes: Vec<IpNet>,
    /// Address space of peered networks, which the tag `VirtualNetwork` contains too.
    pub peered_prefixes: Vec<IpNet>,
    /// Subnets.
    pub subnets: Vec<Subnet>,
    /// Security admin rules that a network manager has deployed to it.
    pub security_admin_rules: Vec<SecurityAdminRule>,
}

impl Default for VirtualNetwork {
    fn default() -> Self {
        Self {
            name: format!("aks-vnet-{NAME_DIGITS}"),
            managed: true,
            address_prefixes: vec![ipv4_net(10, 224, 0, 0, 12)],
            peered_prefixes: Vec::new(),
            subnets: vec![Subnet::default()],
            security_admin_rules: Vec::new(),
        }
    }
}

pub(super) fn ipv4_net(a: u8, b: u8, c: u8, d: u8, prefix_length: u8) -> IpNet {
    IpNet::new_assert(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix_length)
}

/// A subnet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Subnet {
    /// Name.
    pub name: String,
    /// Its addresses.
    pub address_prefix: IpNet,
    /// Name of the NSG on it.
    pub network_security_group: Option<String>,
    /// Name of the route table on it.
    pub route_table: Option<String>,
}

impl Subnet {
    /// The first address that Azure leaves to those in it: it keeps four for itself.
    pub fn first_usable(&self) -> Option<IpAddr> {
        self.address_prefix.hosts().nth(3)
    }
}

impl Default for Subnet {
    fn default() -> Self {
        Self {
            name: "aks-subnet".into(),
            address_prefix: ipv4_net(10, 224, 0, 0, 16),
            network_security_group: None,
            route_table: None,
        }
    }
}

/// An application security group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplicationSecurityGroup {
    /// Name.
    pub name: String,
    /// Pools whose network interfaces are members.
    #[serde(default)]
    pub pools: Vec<String>,
}

/// A route table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteTable {
    /// Name.
    pub name: String,
    /// Its routes.
    #[serde(default)]
    pub routes: Vec<Route>,
}

/// A user-defined route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Name.
    pub name: String,
    /// Destination.
    pub address_prefix: IpNet,
    /// `VirtualAppliance`, `Internet`, `VnetLocal`, `VirtualNetworkGateway` or `None`.
    pub next_hop_type: String,
    /// Address of the appliance.
    #[serde(default)]
    pub next_hop_address: Option<Ipv4Addr>,
}
