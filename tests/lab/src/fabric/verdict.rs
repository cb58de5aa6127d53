//! The verdict of a policy on one packet, for where no kernel can be asked.

use std::net::IpAddr;

use super::policy::{FabricPolicy, Port};
use super::routes::Hop;
use super::security_rules::Rule;
use crate::estate::{Access, AdminAccess, Direction};

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP, of either IP version.
    Icmp,
    /// IPsec's encapsulation.
    Esp,
    /// IPsec's authentication.
    Ah,
}

impl Protocol {
    /// The protocol of a name in a rule, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "tcp" => Self::Tcp,
            "udp" => Self::Udp,
            "icmp" => Self::Icmp,
            "esp" => Self::Esp,
            "ah" => Self::Ah,
            _ => return None,
        })
    }

    /// Whether its packets carry ports.
    pub fn has_ports(self) -> bool {
        matches!(self, Self::Tcp | Self::Udp)
    }
}

/// The first packet of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Its protocol.
    pub protocol: Protocol,
    /// Where it comes from.
    pub source: IpAddr,
    /// Where it goes.
    pub destination: IpAddr,
    /// Source port; 0 where the protocol has none.
    pub source_port: u16,
    /// Destination port; 0 where the protocol has none.
    pub destination_port: u16,
}

impl FabricPolicy {
    /// Whether the fabric passes the first packet of a flow between two different machines, and
    /// the answers to it.
    pub fn passes(&self, packet: &Packet) -> bool {
        let at = |address| self.ports.iter().find(|port| port.address == address);
        let leaves = at(packet.source)
            .is_none_or(|port| self.passes_plug(port, Direction::Outbound, packet));
        let hop = |from, to| {
            let routes = at(from).and_then(|port| self.route_tables.get(port.route_table?));
            routes.map_or(Hop::Direct, |routes| routes.hop(to))
        };
        let there = hop(packet.source, packet.destination);
        let routed = match there {
            Hop::Direct => true,
            Hop::Nowhere => false,
            Hop::Firewall(index) => self
                .firewalls
                .get(index)
                .is_some_and(|rules| first_match(rules, packet)),
        };
        let answered = match hop(packet.destination, packet.source) {
            Hop::Direct => true,
            Hop::Nowhere => false,
            // It drops answers to what it has not seen.
            back @ Hop::Firewall(_) => back == there,
        };
        let enters = at(packet.destination)
            .is_none_or(|port| self.passes_plug(port, Direction::Inbound, packet));
        leaves && routed && enters && answered
    }

    /// Whether security admin rules and network security groups let a packet through a plug.
    fn passes_plug(&self, port: &Port, direction: Direction, packet: &Packet) -> bool {
        let rules = port.admin_rules.and_then(|i| self.admin_rules.get(i));
        match rules.and_then(|rules| rules.decide(direction, packet)) {
            Some(AdminAccess::AlwaysAllow) => true,
            Some(AdminAccess::Deny) => false,
            Some(AdminAccess::Allow) | None => [port.subnet_group, port.interface_group]
                .into_iter()
                .flatten()
                .filter_map(|index| self.groups.get(index))
                .all(|group| first_match(group.of(direction), packet)),
        }
    }
}

fn first_match(rules: &[Rule], packet: &Packet) -> bool {
    rules
        .iter()
        .find(|rule| rule.packets.contains(packet))
        .is_some_and(|rule| rule.access == Access::Allow)
}
