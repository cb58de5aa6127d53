//! The tunnel's way, hop by hop.

use ipnet::IpNet;

use super::*;
use crate::iptables::{Family, Knowledge, LocalAddresses, NodeFirewall, Ruleset};
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

/// A node at 10.224.0.4, whose further addresses are known or not.
fn node(rules: &str, is_all: bool) -> NodeFirewall {
    let v4 = Ruleset::parse(Family::Ipv4, rules).unwrap();
    let mut node = NodeFirewall::new([v4, Ruleset::empty(Family::Ipv6)], Knowledge::default());
    node.knowledge.local_addresses = match is_all {
        true => LocalAddresses::all(&["10.224.0.4/16".parse().unwrap()]),
        false => LocalAddresses::some(["10.224.0.4".parse().unwrap()]),
    };
    node
}

const MASQUERADE: &str = "*nat\n:POSTROUTING ACCEPT\n-A POSTROUTING -s 10.244.0.0/16 ! -d 10.244.0.0/16 \
     -j MASQUERADE\nCOMMIT\n";

/// The report of what a pod at 10.244.0.4 sends to 10.224.0.5.
fn from_pod(source: &NodeFirewall, destination: &dyn Policy, port: u16) -> PathReport {
    let hops = [
        Hop {
            name: "source",
            direction: Direction::Forwarded,
            policy: source,
        },
        Hop {
            name: "destination",
            direction: Direction::Inbound,
            policy: destination,
        },
    ];
    let host = |address: &str| AddressSet::host(address.parse().unwrap());
    let asked = FlowBox::new_tcp(
        host("10.244.0.4"),
        host("10.224.0.5"),
        PortSet::single(port),
    );
    let mut space = Space::new();
    let answer = follow_path(&mut space, &hops, &[asked]).unwrap();
    answer.report(&mut space).unwrap()
}

fn input(rule: &str) -> NodeFirewall {
    node(
        &format!("*filter\n:INPUT ACCEPT\n-A INPUT {rule}\nCOMMIT\n"),
        true,
    )
}

#[test]
fn a_masqueraded_packet_is_judged_by_the_address_it_gets() {
    let pods = input("-s 10.244.0.0/16 -j DROP");
    let told = from_pod(&node(MASQUERADE, true), &pods, 10_250);
    assert_eq!(told.verdict, Verdict::Allow);
    let told = from_pod(&node("*filter\nCOMMIT\n", true), &pods, 10_250);
    assert_eq!(told.verdict, Verdict::Deny);
    let its_node = input("-s 10.224.0.4/32 -j DROP");
    let told = from_pod(&node(MASQUERADE, true), &its_node, 10_250);
    assert_eq!(told.verdict, Verdict::Deny);
    assert!(
        told.stops[0].rule.rule.contains("-s 10.224.0.4/32 -j DROP"),
        "{told:?}"
    );
    // The packets are told as they were asked about.
    assert_eq!(told.denied.packets[0].src, ["10.244.0.4"]);
}

#[test]
fn where_the_address_that_a_packet_gets_is_not_known_the_rule_that_gives_it_is_named() {
    let its_node = input("-s 10.224.0.4/32 -j DROP");
    let told = from_pod(&node(MASQUERADE, false), &its_node, 10_250);
    assert_eq!(told.verdict, Verdict::Unknown);
    assert!(told.allowed.packets.is_empty() && told.denied.packets.is_empty());
    let [atom] = told.atoms.as_slice() else {
        panic!("{:?}", told.atoms)
    };
    assert!(
        atom.name.contains("nat POSTROUTING") && atom.name.contains("MASQUERADE"),
        "{atom:?}"
    );
    assert_eq!(told.stops[0].rule.verdict, Verdict::Unknown);
    // What does not ask for the source is certain all the same.
    let told = from_pod(&node(MASQUERADE, false), &input("-p tcp -j DROP"), 10_250);
    assert_eq!(told.verdict, Verdict::Deny);
}

#[test]
fn a_packet_that_may_be_translated_or_not_is_certain_where_both_fare_alike() {
    let perhaps = MASQUERADE.replace("-j MASQ", "-m set --match-set s src -j MASQ");
    let source = node(&perhaps, true);
    let verdict = |rule: &str| from_pod(&source, &input(rule), 10_250).verdict;
    assert_eq!(verdict("-s 10.224.0.4/32 -j DROP"), Verdict::Unknown);
    assert_eq!(verdict("-s 10.244.0.0/16 -j DROP"), Verdict::Unknown);
    assert_eq!(verdict("-s 10.9.0.0/16 -j DROP"), Verdict::Allow);
    let either = "-m iprange --src-range 10.224.0.4-10.244.0.4 -j DROP";
    assert_eq!(verdict(either), Verdict::Deny);
}

#[test]
fn a_packet_that_is_sent_on_is_not_judged_by_the_destination_it_had() {
    let sent_on = "*nat\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\n-A OUTPUT -d 10.0.0.10/32 -p tcp -m tcp \
         --dport 80 -j DNAT --to-destination 10.224.0.5:8080\nCOMMIT\n";
    let source = node(sent_on, true);
    let verdict = |source: &NodeFirewall, open: &str| {
        let rule = format!("*filter\n:INPUT DROP\n-A INPUT {open} -j ACCEPT\nCOMMIT\n");
        let destination = node(&rule, true);
        let hops = [
            (source, Direction::Outbound),
            (&destination, Direction::Inbound),
        ];
        let hops = hops.map(|(policy, direction)| Hop {
            name: "hop",
            direction,
            policy,
        });
        let packet = Packet::new_tcp(
            "10.224.0.4".parse().unwrap(),
            "10.0.0.10".parse().unwrap(),
            80,
        );
        let mut space = Space::new();
        let answer = follow_path(&mut space, &hops, &[FlowBox::one(&packet)]).unwrap();
        let here = answer.hops[1]
            .decisions
            .answer(&mut space, &packet)
            .unwrap();
        (answer.verdict(), here.verdict)
    };
    let translated = "-d 10.224.0.5/32 -p tcp -m tcp --dport 8080";
    // What the source's node does after that rule is not modelled.
    assert_eq!(
        verdict(&source, translated),
        (Verdict::Unknown, Verdict::Allow)
    );
    let original = "-d 10.0.0.10/32 -p tcp -m tcp --dport 80";
    assert_eq!(verdict(&source, original), (Verdict::Deny, Verdict::Deny));
    // Its source may be changed after that, too.
    let masquerading = node(
        &sent_on.replace("COMMIT", "-A POSTROUTING -j MASQUERADE\nCOMMIT"),
        true,
    );
    let from = format!("-s 10.9.0.0/16 {translated}");
    assert_eq!(verdict(&source, &from), (Verdict::Deny, Verdict::Deny));
    assert_eq!(
        verdict(&masquerading, &from),
        (Verdict::Unknown, Verdict::Unknown)
    );
}

#[test]
fn translations_of_several_hops_follow_one_another() {
    let to_second = node(
        &MASQUERADE.replace("-j MASQUERADE", "-j SNAT --to-source 10.9.0.1"),
        true,
    );
    let second = node(
        "*nat\n:POSTROUTING ACCEPT\n-A POSTROUTING -s 10.9.0.1/32 -j SNAT --to-source 10.8.0.1:7-9\nCOMMIT\n"
            .replace("-s 10.9.0.1/32", "-s 10.9.0.1/32 -p tcp").as_str(),
        true,
    );
    let verdict = |rule: &str| {
        let destination = input(rule);
        let hops = [&to_second, &second, &destination];
        let hops = hops.map(|policy| Hop {
            name: "hop",
            direction: match std::ptr::eq(policy, &destination) {
                true => Direction::Inbound,
                false => Direction::Forwarded,
            },
            policy,
        });
        let host = |address: &str| AddressSet::host(address.parse().unwrap());
        let port = PortSet::single(10_250_u16);
        let asked = FlowBox::new_tcp(host("10.244.0.4"), host("10.224.0.5"), port);
        let mut space = Space::new();
        let answer = follow_path(&mut space, &hops, &[asked]).unwrap();
        answer.verdict()
    };
    assert_eq!(verdict("-s 10.8.0.1/32 -j DROP"), Verdict::Deny);
    assert_eq!(verdict("-s 10.9.0.1/32 -j DROP"), Verdict::Allow);
    assert_eq!(verdict("-p tcp -m tcp --sport 7:9 -j DROP"), Verdict::Deny);
    assert_eq!(verdict("-p tcp -m tcp --sport 8 -j DROP"), Verdict::Unknown);
}
