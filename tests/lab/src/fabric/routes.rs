//! Route tables: which packets of a subnet pass an appliance.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::address_match::net;
use super::read::{children, text};
use crate::data_plane::ArmResources;

/// Where a route sends packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hop {
    /// Straight to their destination.
    Direct,
    /// Through the Azure Firewall of this index.
    Firewall(usize),
    /// To nothing that forwards them.
    Nowhere,
}

/// The effective routes of a subnet, those that win first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routes {
    /// Destination and hop, the longest prefix first, a user's route before Azure's own.
    pub ordered: Vec<(IpNet, Hop)>,
}

impl Routes {
    /// Reads a route table. `firewalls` gives the index of the firewall with an address;
    /// an appliance that is none of them forwards nothing.
    pub fn read(
        resources: &ArmResources,
        table: &Value,
        network_prefixes: &[IpNet],
        firewalls: &BTreeMap<IpAddr, usize>,
    ) -> Result<Self, String> {
        let own = children(
            resources,
            table,
            "Microsoft.Network/routeTables/routes",
            "routes",
        );
        let mut ordered = Vec::new();
        for route in own {
            let property = |field| text(route, &["properties", field]).unwrap_or_default();
            let prefix = net(property("addressPrefix"))?;
            let hop = match property("nextHopType").to_ascii_lowercase().as_str() {
                "virtualappliance" => {
                    let address = property("nextHopIpAddress").parse::<IpAddr>();
                    let firewall = address.ok().and_then(|a| firewalls.get(&a));
                    firewall.map_or(Hop::Nowhere, |index| Hop::Firewall(*index))
                }
                "internet" | "vnetlocal" => Hop::Direct,
                "none" | "virtualnetworkgateway" => Hop::Nowhere,
                other => return Err(format!("{other} is no next hop type")),
            };
            ordered.push((prefix, hop));
        }
        ordered.extend(network_prefixes.iter().map(|net| (*net, Hop::Direct)));
        ordered.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.prefix_len()));
        Ok(Self { ordered })
    }

    /// Where a packet to this address goes.
    pub fn hop(&self, destination: IpAddr) -> Hop {
        self.ordered
            .iter()
            .find(|(prefix, _)| prefix.contains(&destination))
            .map_or(Hop::Direct, |(_, hop)| *hop)
    }
}
