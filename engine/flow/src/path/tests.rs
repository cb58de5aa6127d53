//! The tunnel's way, hop by hop.

use ipnet::IpNet;

use super::*;
use crate::nsg::{Access, Nsg, NsgChain, NsgRule, TagContext};
use crate::policy::{Rule, RulePolicy};
use crate::set::{AddressSet, PortSet};

fn nodes() -> AddressSet {
    AddressSet::prefix("10.224.0.0/16".parse().unwrap())
}

fn tunnel() -> FlowBox {
    FlowBox::new_tcp(nodes(), nodes(), PortSet::single(10_250_u16))
}

fn tags() -> TagContext {
    let network: IpNet = "10.224.0.0/16".parse().unwrap();
    TagContext::new().with_virtual_network([&network])
}

fn deny(name: &str, direction: crate::nsg::Direction, source: &str) -> NsgRule {
    let texts = |text: &str| vec![text.to_owned()];
    NsgRule {
        name: name.to_owned(),
        priority: 200,
        direction,
        access: Access::Deny,
        protocol: "Tcp".to_owned(),
        source_prefixes: texts(source),
        source_ports: texts("*"),
        source_groups: Vec::new(),
        destination_prefixes: texts("*"),
        destination_ports: texts("10250"),
        destination_groups: Vec::new(),
        description: String::new(),
    }
}

fn hops<'a>(agent: &'a NsgChain, node: &'a NsgChain, firewall: &'a RulePolicy) -> [Hop<'a>; 3] {
    [
        Hop {
            name: "agent's node, outbound",
            direction: Direction::Outbound,
            policy: agent,
        },
        Hop {
            name: "node, inbound",
            direction: Direction::Inbound,
            policy: node,
        },
        Hop {
            name: "node's firewall",
            direction: Direction::Inbound,
            policy: firewall,
        },
    ]
}

fn chain(rules: Vec<NsgRule>) -> NsgChain {
    let group = Nsg::new("nsg", rules).unwrap();
    NsgChain::new("chain", Some(&group), None, &tags()).unwrap()
}

#[test]
fn an_open_way_lets_every_required_packet_arrive() {
    let (agent, node) = (chain(Vec::new()), chain(Vec::new()));
    let firewall = RulePolicy::constant("iptables", "policy ACCEPT", Verdict::Allow);
    let mut space = Space::new();
    let answer = follow_path(&mut space, &hops(&agent, &node, &firewall), &[tunnel()]).unwrap();
    assert_eq!(answer.verdict(), Verdict::Allow);
    assert!(answer.first_stop().is_none());
    let report = answer.report(&mut space).unwrap();
    assert_eq!(report.allowed.packets.len(), 1);
    assert_eq!(report.allowed.packets[0].direction, "any");
    assert!(report.hops.iter().all(|hop| hop.verdict == Verdict::Allow));
}

#[test]
fn the_first_rule_on_the_way_is_named_with_its_part() {
    let agent = chain(vec![deny(
        "deny-one-out",
        crate::nsg::Direction::Outbound,
        "10.224.0.4",
    )]);
    let node = chain(vec![deny("deny-in", crate::nsg::Direction::Inbound, "*")]);
    let firewall = RulePolicy::constant("iptables", "policy DROP", Verdict::Deny);
    let mut space = Space::new();
    let answer = follow_path(&mut space, &hops(&agent, &node, &firewall), &[tunnel()]).unwrap();
    assert_eq!(answer.verdict(), Verdict::Deny);
    let stops: Vec<&str> = answer
        .stops
        .iter()
        .map(|stop| stop.rule.rule.as_str())
        .collect();
    // Nothing reaches the firewall, so its policy stops nothing.
    assert_eq!(stops, ["deny-one-out", "deny-in"]);
    let report = answer.report(&mut space).unwrap();
    assert_eq!(report.stops[0].part.packets[0].src, ["10.224.0.4"]);
    assert_eq!(report.hops[2].verdict, Verdict::Deny);
    let packet = Packet::new_tcp(
        "10.224.0.5".parse().unwrap(),
        "10.224.0.6".parse().unwrap(),
        10_250,
    );
    let (hop, answer) = follow_packet(&mut space, &hops(&agent, &node, &firewall), &packet)
        .unwrap()
        .unwrap();
    assert_eq!(
        (hop.as_str(), answer.rules[0].rule.as_str()),
        ("node, inbound", "deny-in")
    );
}

#[test]
fn an_unknown_hop_makes_the_whole_way_unknown_and_says_why() {
    let (agent, node) = (chain(Vec::new()), chain(Vec::new()));
    let mut firewall = RulePolicy::constant("iptables", "policy ACCEPT", Verdict::Allow);
    firewall.rules.push(Rule {
        name: "INPUT 3".to_owned(),
        matches: FlowBox::any().into(),
        verdict: Verdict::Unknown,
    });
    let mut space = Space::new();
    let answer = follow_path(&mut space, &hops(&agent, &node, &firewall), &[tunnel()]).unwrap();
    assert_eq!(answer.verdict(), Verdict::Unknown);
    let report = answer.report(&mut space).unwrap();
    assert_eq!(
        report.unknown.packets[0].conditions,
        ["iptables lets INPUT 3 pass"]
    );
    assert_eq!(report.stops[0].rule.rule, "INPUT 3");
}
