//! Source network address translation on the way out: which address and ports a node may use.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use serde_json::Value;

use super::read::{list, text};
use crate::data_plane::ArmResources;

/// Ports of one public address that a load balancer can give to nodes.
const PORTS_OF_ADDRESS: u32 = 64_000;
const FIRST_PORT: u16 = 1024;

/// The first public address of every lab's load balancer; further ones follow.
const FIRST_PUBLIC_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

/// The first public address of the NAT gateways; further ones follow.
const FIRST_GATEWAY_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 129);

/// What the outbound rule of the load balancer gives to nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboundPorts {
    /// Ports a node may use towards one destination.
    pub per_node: u32,
    /// Public addresses.
    pub addresses: u32,
}

/// What one node may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePorts {
    /// The public addresses its packets get.
    pub addresses: RangeInclusive<Ipv4Addr>,
    /// The source ports they get.
    pub ports: RangeInclusive<u16>,
}

/// The NAT gateways by the lower-case id, each with its addresses and all their ports, which it
/// shares between all who use it.
pub(super) fn gateways(resources: &ArmResources) -> BTreeMap<String, NodePorts> {
    let mut next = u32::from(FIRST_GATEWAY_ADDRESS);
    resources
        .of_type("Microsoft.Network/natGateways")
        .map(|gateway| {
            let addresses = list(gateway, &["properties", "publicIpAddresses"]).len();
            let first = next;
            let last = first + u32::try_from(addresses).unwrap_or(16).clamp(1, 16) - 1;
            next = last + 1;
            let id = text(gateway, &["id"]).unwrap_or_default();
            let ports = NodePorts {
                addresses: Ipv4Addr::from(first)..=Ipv4Addr::from(last),
                ports: FIRST_PORT..=u16::MAX,
            };
            (id.to_ascii_lowercase(), ports)
        })
        .collect()
}

impl OutboundPorts {
    /// Reads the outbound rule AKS makes; nothing where the cluster goes out by other ways.
    pub(super) fn read(resources: &ArmResources, nodes: usize) -> Option<Self> {
        let balancer = resources
            .of_type("Microsoft.Network/loadBalancers")
            .find(|balancer| text(balancer, &["name"]) == Some("kubernetes"))?;
        let rule = list(balancer, &["properties", "outboundRules"])
            .iter()
            .find(|rule| text(rule, &["name"]) == Some("aksOutboundRule"))?;
        let allocated = rule
            .pointer("/properties/allocatedOutboundPorts")
            .and_then(Value::as_u64)
            .and_then(|ports| u32::try_from(ports).ok())
            .unwrap_or(0);
        let frontends = list(rule, &["properties", "frontendIPConfigurations"]).len();
        Some(Self {
            per_node: match allocated {
                0 => by_pool_size(nodes),
                ports => ports.min(PORTS_OF_ADDRESS),
            },
            addresses: u32::try_from(frontends).unwrap_or(u32::MAX).clamp(1, 100),
        })
    }

    /// The share of the node with this number; nothing when all ports are given out before it.
    pub fn of_node(&self, number: u32) -> Option<NodePorts> {
        let nodes_an_address = PORTS_OF_ADDRESS / self.per_node.max(1);
        let address = number.checked_div(nodes_an_address)?;
        if address >= self.addresses {
            return None;
        }
        let first = u32::from(FIRST_PORT) + (number % nodes_an_address) * self.per_node;
        let last = first + self.per_node - 1;
        let address = Ipv4Addr::from(u32::from(FIRST_PUBLIC_ADDRESS) + address);
        Some(NodePorts {
            addresses: address..=address,
            ports: u16::try_from(first).ok()?..=u16::try_from(last).ok()?,
        })
    }
}

/// What Azure gives by default: fewer ports a node, the more nodes there are.
fn by_pool_size(nodes: usize) -> u32 {
    match nodes {
        0..=50 => 1024,
        51..=100 => 512,
        101..=200 => 256,
        201..=400 => 128,
        401..=800 => 64,
        _ => 32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_nodes_do_not_overlap_and_end_with_the_addresses() {
        let ports = OutboundPorts {
            per_node: 21_336,
            addresses: 2,
        };
        let shares: Vec<NodePorts> = (0..6).filter_map(|number| ports.of_node(number)).collect();
        assert_eq!(shares.len(), 4, "two of three thirds fit on each address");
        for (index, one) in shares.iter().enumerate() {
            for other in &shares[index + 1..] {
                let apart = one.ports.end() < other.ports.start();
                assert!(
                    one.addresses != other.addresses || apart,
                    "{one:?} {other:?}"
                );
            }
        }
    }
}
