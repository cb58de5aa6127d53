//! Network security groups, read from ARM's JSON.

use std::ops::RangeInclusive;

use serde_json::{Value, json};

use super::address_match::{AddressMatch, Addressing};
use super::read::{children, list, one_or_many, text};
use super::rule_fields::RuleFields;
use super::verdict::{Packet, Protocol};
use crate::data_plane::ArmResources;
use crate::estate::{Access, Direction};

/// A set of packets as the rules of NSGs and firewalls describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketMatch {
    /// Transport protocols; empty means every one.
    pub protocols: Vec<Protocol>,
    /// Source addresses.
    pub source: AddressMatch,
    /// Source ports; empty means every one.
    pub source_ports: Vec<RangeInclusive<u16>>,
    /// Destination addresses.
    pub destination: AddressMatch,
    /// Destination ports; empty means every one.
    pub destination_ports: Vec<RangeInclusive<u16>>,
}

impl PacketMatch {
    /// Whether a packet is in the set. Ports are only found in TCP and UDP.
    pub fn contains(&self, packet: &Packet) -> bool {
        let port = |ranges: &[RangeInclusive<u16>], port: u16| {
            ranges.is_empty()
                || packet.protocol.has_ports() && ranges.iter().any(|r| r.contains(&port))
        };
        (self.protocols.is_empty() || self.protocols.contains(&packet.protocol))
            && self.source.contains(packet.source)
            && self.destination.contains(packet.destination)
            && port(&self.source_ports, packet.source_port)
            && port(&self.destination_ports, packet.destination_port)
    }
}

/// A rule in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name, for a reader of the compiled filter.
    pub name: String,
    /// The smaller wins.
    pub priority: u32,
    /// The packets it decides.
    pub packets: PacketMatch,
    /// What it does.
    pub access: Access,
}

/// The rules of an NSG, each direction in the order they are tried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecurityGroup {
    /// Rules for packets to the VM.
    pub inbound: Vec<Rule>,
    /// Rules for packets from the VM.
    pub outbound: Vec<Rule>,
}

impl SecurityGroup {
    /// Reads a group with its own and its default rules.
    pub fn read(
        resources: &ArmResources,
        group: &Value,
        addressing: &Addressing,
    ) -> Result<Self, String> {
        let own = children(
            resources,
            group,
            "Microsoft.Network/networkSecurityGroups/securityRules",
            "securityRules",
        );
        let mut defaults = list(group, &["properties", "defaultSecurityRules"]).to_vec();
        if defaults.is_empty() {
            defaults = default_rules();
        }
        let mut read = Self::default();
        for rule in own.into_iter().chain(&defaults) {
            let (direction, rule) = read_rule(rule, addressing)?;
            match direction {
                Direction::Inbound => read.inbound.push(rule),
                Direction::Outbound => read.outbound.push(rule),
            }
        }
        read.inbound.sort_by_key(|rule| rule.priority);
        read.outbound.sort_by_key(|rule| rule.priority);
        Ok(read)
    }

    /// The rules of a direction.
    pub fn of(&self, direction: Direction) -> &[Rule] {
        match direction {
            Direction::Inbound => &self.inbound,
            Direction::Outbound => &self.outbound,
        }
    }
}

fn read_rule(rule: &Value, addressing: &Addressing) -> Result<(Direction, Rule), String> {
    let name = text(rule, &["name"]).unwrap_or("unnamed").to_owned();
    let fields = RuleFields::of(rule, "security rule", &name);
    let say = |reason: String| fields.say(reason);
    let direction = fields.direction()?;
    let access = match fields.word("access")?.as_str() {
        "allow" => Access::Allow,
        "deny" => Access::Deny,
        other => return Err(say(format!("{other} is no access"))),
    };
    let priority = fields.priority()?;
    let protocols = fields.protocols("*")?;
    let side = |side: &str| {
        let groups = list(
            rule,
            &["properties", &format!("{side}ApplicationSecurityGroups")],
        );
        if !groups.is_empty() {
            return Ok(addressing.groups(groups));
        }
        let words = one_or_many(
            rule,
            &format!("{side}AddressPrefix"),
            &format!("{side}AddressPrefixes"),
        );
        addressing.words(&words).map_err(say)
    };
    let ports = |side: &str| {
        let words = one_or_many(
            rule,
            &format!("{side}PortRange"),
            &format!("{side}PortRanges"),
        );
        port_ranges(&words).map_err(say)
    };
    let packets = PacketMatch {
        protocols,
        source: side("source")?,
        source_ports: ports("source")?,
        destination: side("destination")?,
        destination_ports: ports("destination")?,
    };
    Ok((
        direction,
        Rule {
            name,
            priority,
            packets,
            access,
        },
    ))
}

/// Reads ports and ranges; empty when one of them is every port.
pub(super) fn port_ranges(words: &[&str]) -> Result<Vec<RangeInclusive<u16>>, String> {
    let mut ranges = Vec::new();
    for word in words {
        if *word == "*" || *word == "0-65535" {
            return Ok(Vec::new());
        }
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        match (first.trim().parse::<u16>(), last.trim().parse::<u16>()) {
            (Ok(first), Ok(last)) if first <= last => ranges.push(first..=last),
            _ => return Err(format!("{word} is no port or port range")),
        }
    }
    Ok(ranges)
}

/// The six rules every NSG ends with, for a group that does not spell them out.
fn default_rules() -> Vec<Value> {
    let rule = |name, priority, direction, access, source, destination| {
        json!({ "name": name, "properties": {
            "protocol": "*", "sourcePortRange": "*", "destinationPortRange": "*",
            "sourceAddressPrefix": source, "destinationAddressPrefix": destination,
            "access": access, "priority": priority, "direction": direction,
        }})
    };
    let (vnet, lb) = ("VirtualNetwork", "AzureLoadBalancer");
    vec![
        rule("AllowVnetInBound", 65000, "Inbound", "Allow", vnet, vnet),
        rule(
            "AllowAzureLoadBalancerInBound",
            65001,
            "Inbound",
            "Allow",
            lb,
            "*",
        ),
        rule("DenyAllInBound", 65500, "Inbound", "Deny", "*", "*"),
        rule("AllowVnetOutBound", 65000, "Outbound", "Allow", vnet, vnet),
        rule(
            "AllowInternetOutBound",
            65001,
            "Outbound",
            "Allow",
            "*",
            "Internet",
        ),
        rule("DenyAllOutBound", 65500, "Outbound", "Deny", "*", "*"),
    ]
}
