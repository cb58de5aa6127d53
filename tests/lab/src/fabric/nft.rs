//! A policy as a script for `nft -f`, which the kernel takes as a whole or not at all.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::address_match::AddressMatch;
use super::nft_gates::{admin_chains, gates};
use super::outbound_ports::NodePorts;
use super::policy::FabricPolicy;
use super::routes::{Hop, Routes};
use super::security_rules::{PacketMatch, Rule};
use super::verdict::Protocol;
use crate::estate::{Access, Direction};

/// The whole ruleset of the fabric; `interface_of` names the fabric's end of the cable to an
/// address, `outside` the one to everything beyond the virtual network.
///
/// In a chain of rules, allowed means returning to the caller, which goes on to the next
/// obstacle, and denied means dropped.
pub fn nft_script(
    policy: &FabricPolicy,
    interface_of: impl Fn(IpAddr) -> Option<String>,
    outside: &str,
) -> String {
    let mut script =
        String::from("table inet fabric\ndelete table inet fabric\ntable inet fabric {\n");
    for (index, group) in policy.groups.iter().enumerate() {
        chain(&mut script, &format!("nsg_{index}_in"), &group.inbound);
        chain(&mut script, &format!("nsg_{index}_out"), &group.outbound);
    }
    admin_chains(&mut script, policy);
    for (index, rules) in policy.firewalls.iter().enumerate() {
        chain(&mut script, &format!("firewall_{index}"), rules);
    }
    for (index, routes) in policy.route_tables.iter().enumerate() {
        let _ = writeln!(script, "  chain routes_{index} {{");
        for (prefix, hop) in &routes.ordered {
            let family = family_word(prefix);
            let verdict = match hop {
                Hop::Direct => "return".to_owned(),
                Hop::Firewall(firewall) => {
                    format!(
                        "ct mark set {} goto firewall_{firewall}",
                        seen_by(*firewall)
                    )
                }
                Hop::Nowhere => "drop".to_owned(),
            };
            let _ = writeln!(script, "    {family} daddr {prefix} {verdict}");
        }
        script.push_str("  }\n");
        answers(&mut script, index, routes);
    }
    script.push_str(
        "  chain forward {\n    type filter hook forward priority filter; policy drop;\n",
    );
    for port in &policy.ports {
        if let (Some(table), Some(interface)) = (port.route_table, interface_of(port.address)) {
            let _ = writeln!(
                script,
                "    iifname \"{interface}\" ct direction reply jump answers_{table}"
            );
        }
    }
    reclaimed(&mut script, policy);
    script.push_str("    ct state established,related accept\n");
    let mut jump = |side: &str, address: IpAddr, chain: String| {
        if let Some(interface) = interface_of(address) {
            let _ = writeln!(script, "    {side} \"{interface}\" jump {chain}");
        }
    };
    for port in &policy.ports {
        for gate in gates(port, Direction::Outbound) {
            jump("iifname", port.address, gate);
        }
        if let Some(table) = port.route_table {
            jump("iifname", port.address, format!("routes_{table}"));
        }
    }
    for port in &policy.ports {
        for gate in gates(port, Direction::Inbound) {
            jump("oifname", port.address, gate);
        }
    }
    script.push_str("    accept\n  }\n");
    translation(&mut script, policy, outside);
    script.push_str("}\n");
    script
}

/// The mark of connections whose first packet a firewall has seen.
fn seen_by(firewall: usize) -> usize {
    firewall.saturating_add(1)
}

/// Routes are asked for every packet, not only the first: answers follow the routes of the
/// subnet they come from, and a firewall drops those to what it has not seen.
fn answers(script: &mut String, index: usize, routes: &Routes) {
    let _ = writeln!(script, "  chain answers_{index} {{");
    for (prefix, hop) in &routes.ordered {
        let daddr = format!("    {} daddr {prefix}", family_word(prefix));
        match hop {
            Hop::Direct => {}
            Hop::Firewall(firewall) => {
                let _ = writeln!(script, "{daddr} ct mark != {} drop", seen_by(*firewall));
            }
            Hop::Nowhere => {
                let _ = writeln!(script, "{daddr} drop");
            }
        }
        let _ = writeln!(script, "{daddr} return");
    }
    script.push_str("  }\n");
}

/// Whether nodes go out under other addresses than their own.
fn translates(policy: &FabricPolicy) -> bool {
    policy.outbound_ports.is_some() || policy.ports.iter().any(|port| port.nat_gateway.is_some())
}

/// Connections over a port that the node no longer has time out, without a word to either end.
fn reclaimed(script: &mut String, policy: &FabricPolicy) {
    for port in policy.ports.iter().filter(|_| translates(policy)) {
        let family = family_word(&IpNet::from(port.address));
        let of_node = format!("ct status snat ct original {family} saddr {}", port.address);
        let _ = match policy.outbound_ports_of(port.address) {
            Some(NodePorts { addresses, ports }) => writeln!(
                script,
                "    {of_node} ct reply {family} daddr != {}-{} drop\n    \
                 {of_node} meta l4proto {{ tcp, udp }} ct reply proto-dst != {}-{} drop",
                addresses.start(),
                addresses.end(),
                ports.start(),
                ports.end()
            ),
            None => writeln!(script, "    {of_node} drop"),
        };
    }
}

/// A node that has used up its ports gets none of another's: the packet is dropped.
fn translation(script: &mut String, policy: &FabricPolicy, outside: &str) {
    if !translates(policy) {
        return;
    }
    script.push_str("  chain outbound {\n    type nat hook postrouting priority srcnat;\n");
    for port in &policy.ports {
        let family = family_word(&IpNet::from(port.address));
        let from = format!("oifname \"{outside}\" {family} saddr {}", port.address);
        let _ = match policy.outbound_ports_of(port.address) {
            Some(NodePorts { addresses, ports }) => writeln!(
                script,
                "    {from} meta l4proto {{ tcp, udp }} snat {family} to {}-{}:{}-{}",
                addresses.start(),
                addresses.end(),
                ports.start(),
                ports.end()
            ),
            None => writeln!(script, "    {from} drop"),
        };
    }
    script.push_str("  }\n");
}

fn chain(script: &mut String, name: &str, rules: &[Rule]) {
    let _ = writeln!(script, "  chain {name} {{");
    for rule in rules {
        let verdict = match rule.access {
            Access::Allow => "return",
            Access::Deny => "drop",
        };
        let comment = comment(&rule.name);
        for packets in match_expressions(&rule.packets) {
            let _ = writeln!(
                script,
                "    {packets}counter {verdict} comment \"{comment}\""
            );
        }
    }
    script.push_str("    drop\n  }\n");
}

/// Names come from whoever may write the resource: only harmless characters pass.
pub(super) fn comment(name: &str) -> String {
    name.chars()
        .take(100)
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '.' => c,
            _ => '_',
        })
        .collect()
}

/// One expression for each IP version the match can hold for; none where it can hold for neither.
pub(super) fn match_expressions(packets: &PacketMatch) -> Vec<String> {
    let transport = transport(packets);
    let sides = [("saddr", &packets.source), ("daddr", &packets.destination)];
    if sides.iter().all(|(_, side)| **side == AddressMatch::Any) {
        return vec![transport];
    }
    [true, false]
        .into_iter()
        .filter_map(|v4| {
            let mut expression = String::new();
            for (word, side) in sides {
                let (nets, operator) = match side {
                    AddressMatch::Any => continue,
                    AddressMatch::In(nets) => (nets, ""),
                    AddressMatch::NotIn(nets) => (nets, "!= "),
                };
                let nets = merged(nets, v4);
                if nets.is_empty() {
                    match side {
                        AddressMatch::In(_) => return None,
                        _ => continue,
                    }
                }
                let family = if v4 { "ip" } else { "ip6" };
                let _ = write!(
                    expression,
                    "{family} {word} {operator}{{ {} }} ",
                    nets.join(", ")
                );
            }
            if expression.is_empty() {
                let version = if v4 { "ipv4" } else { "ipv6" };
                let _ = write!(expression, "meta nfproto {version} ");
            }
            Some(expression + &transport)
        })
        .collect()
}

/// The nets of one IP version without overlaps, which a set of intervals refuses.
fn merged(nets: &[IpNet], v4: bool) -> Vec<String> {
    let of_version: Vec<IpNet> = nets
        .iter()
        .filter(|net| matches!(net, IpNet::V4(_)) == v4)
        .copied()
        .collect();
    IpNet::aggregate(&of_version)
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn family_word(net: &IpNet) -> &'static str {
    match net {
        IpNet::V4(_) => "ip",
        IpNet::V6(_) => "ip6",
    }
}

fn transport(packets: &PacketMatch) -> String {
    let has_ports = !packets.source_ports.is_empty() || !packets.destination_ports.is_empty();
    let mut names: Vec<&str> = packets
        .protocols
        .iter()
        .filter(|protocol| !has_ports || protocol.has_ports())
        .flat_map(|protocol| match protocol {
            Protocol::Tcp => &["tcp"][..],
            Protocol::Udp => &["udp"],
            Protocol::Icmp => &["icmp", "ipv6-icmp"],
            Protocol::Esp => &["esp"],
            Protocol::Ah => &["ah"],
        })
        .copied()
        .collect();
    if packets.protocols.is_empty() && has_ports {
        names = vec!["tcp", "udp"];
    }
    let mut expression = String::new();
    if !names.is_empty() {
        let _ = write!(expression, "meta l4proto {{ {} }} ", names.join(", "));
    } else if has_ports {
        // Ports asked of protocols that carry none: nothing matches.
        expression.push_str("meta l4proto tcp meta l4proto udp ");
    }
    for (word, ranges) in [
        ("sport", &packets.source_ports),
        ("dport", &packets.destination_ports),
    ] {
        if !ranges.is_empty() && !names.is_empty() {
            let ranges = merged_ranges(ranges).join(", ");
            let _ = write!(expression, "th {word} {{ {ranges} }} ");
        }
    }
    expression
}

fn merged_ranges(ranges: &[RangeInclusive<u16>]) -> Vec<String> {
    let mut sorted: Vec<(u16, u16)> = ranges.iter().map(|r| (*r.start(), *r.end())).collect();
    sorted.sort_unstable();
    let mut merged: Vec<(u16, u16)> = Vec::new();
    for (first, last) in sorted {
        match merged.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    merged
        .into_iter()
        .map(|(first, last)| {
            if first == last {
                first.to_string()
            } else {
                format!("{first}-{last}")
            }
        })
        .collect()
}
