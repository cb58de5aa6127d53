//! Azure resources, as much of them as plugins need. What ARM adds is ignored;
//! what it leaves out has a default.

mod addresses;
mod cluster;
mod firewall;
mod network;

pub use addresses::{
    NatGateway, NatGatewayProperties, PublicIp, PublicIpPrefix, PublicIpPrefixProperties,
    PublicIpProperties,
};
pub use cluster::{
    ApiServerAccessProfile, ClusterProperties, LoadBalancerProfile, ManagedCluster,
    ManagedOutbound, NatGatewayProfile, NetworkProfile, NodeResourceGroupProfile,
    OutboundIpPrefixes, OutboundIps, Pool, PowerState, Sku,
};
pub use firewall::{
    AzureFirewallProperties, AzureFirewallResource, FirewallIpConfiguration,
    FirewallIpConfigurationProperties, FirewallPolicy, FirewallPolicyProperties, IpGroup,
    IpGroupProperties,
};
pub use network::{
    AddressSpace, InterfaceProperties, IpConfiguration, IpConfigurationProperties,
    NetworkInterface, Peering, PeeringProperties, Reference, Resource, Subnet, SubnetProperties,
    VirtualNetwork, VirtualNetworkProperties,
};
