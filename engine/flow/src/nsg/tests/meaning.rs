//! What groups mean, against brute force and by example.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use proptest::prelude::*;

use crate::delta::DeltaReport;
use crate::nsg::{
    Access, AdminAccess, AdminPolicy, AdminRule, Direction, Nsg, NsgChain, NsgError, NsgRule,
    TagContext, nsg_delta, nsg_delta_behind,
};
use crate::policy::{Policy, Verdict};
use crate::set::{self, ConnectionState, Membership, Packet, PacketSet, Protocol, Space};
use crate::testing::universe;

pub(super) fn rule(
    name: &str,
    priority: u16,
    access: Access,
    source: &str,
    ports: &str,
) -> NsgRule {
    let texts = |text: &str| vec![text.to_owned()];
    NsgRule {
        name: name.to_owned(),
        priority,
        direction: Direction::Inbound,
        access,
        protocol: "Tcp".to_owned(),
        source_prefixes: texts(source),
        source_ports: texts("*"),
        source_groups: Vec::new(),
        destination_prefixes: texts("*"),
        destination_ports: texts(ports),
        destination_groups: Vec::new(),
        description: String::new(),
    }
}

fn network() -> TagContext {
    let prefix: IpNet = "10.224.0.0/16".parse().unwrap();
    TagContext::new().with_virtual_network([&prefix])
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn verdict(policy: &dyn Policy, packet: &Packet) -> (Verdict, Vec<String>) {
    let mut space = Space::new();
    let decisions = policy.decide(&mut space, PacketSet::ALL).unwrap();
    let answer = decisions.answer(&mut space, packet).unwrap();
    (
        answer.verdict,
        answer.rules.into_iter().map(|rule| rule.rule).collect(),
    )
}

#[test]
fn default_rules_let_the_virtual_network_in_and_the_internet_out_only() {
    let group = Nsg::new("nsg", Vec::new()).unwrap();
    let policy = group.policy(&network()).unwrap();
    let cases = [
        (
            "10.224.0.4",
            "10.224.0.5",
            Direction::Inbound,
            "AllowVnetInBound",
        ),
        (
            "168.63.129.16",
            "10.224.0.5",
            Direction::Inbound,
            "AllowVnetInBound",
        ),
        (
            "8.8.8.8",
            "10.224.0.5",
            Direction::Inbound,
            "DenyAllInBound",
        ),
        (
            "10.224.0.5",
            "8.8.8.8",
            Direction::Outbound,
            "AllowInternetOutBound",
        ),
        (
            "10.224.0.5",
            "10.224.0.4",
            Direction::Outbound,
            "AllowVnetOutBound",
        ),
    ];
    for (source, destination, direction, deciding) in cases {
        let packet =
            Packet::new_tcp(ip(source), ip(destination), 10_250).with_direction(direction.into());
        let (verdict, rules) = verdict(&policy, &packet);
        assert_eq!(rules, [deciding], "{packet}");
        assert_eq!(verdict == Verdict::Allow, deciding.starts_with("Allow"));
    }
}

#[test]
fn without_the_address_space_virtual_network_and_internet_are_one_unknown() {
    let group = Nsg::new("nsg", Vec::new()).unwrap();
    let policy = group.policy(&TagContext::new()).unwrap();
    let inbound = Packet::new_tcp(ip("10.224.0.4"), ip("10.224.0.5"), 10_250);
    assert_eq!(verdict(&policy, &inbound).0, Verdict::Unknown);
    // Outbound from the network: inside it or on the internet, allowed in both.
    let mut space = Space::new();
    let outbound = inbound.with_direction(set::Direction::Outbound);
    let decisions = policy.decide(&mut space, PacketSet::ALL).unwrap();
    let answer = decisions.answer(&mut space, &outbound).unwrap();
    let names: Vec<&str> = answer.atoms.iter().map(|atom| atom.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "source in service tag VirtualNetwork",
            "destination in service tag VirtualNetwork"
        ]
    );
}

#[test]
fn an_unresolved_tag_is_unknown_and_a_resolved_one_is_not() {
    let mut deny = rule("deny-storage", 100, Access::Deny, "Storage.WestEurope", "*");
    deny.protocol = "*".to_owned();
    let group = Nsg::new("nsg", vec![deny]).unwrap();
    let packet = Packet::new_tcp(ip("10.224.0.4"), ip("10.224.0.5"), 10_250);
    let policy = group.policy(&network()).unwrap();
    let (unknown, rules) = verdict(&policy, &packet);
    assert_eq!(unknown, Verdict::Unknown);
    assert_eq!(rules, ["deny-storage", "AllowVnetInBound"]);
    let list = serde_json::json!({ "values": [{
        "name": "storage.westeurope",
        "properties": { "addressPrefixes": ["20.0.0.0/8"] }
    }] });
    let known = group
        .policy(&network().with_service_tags(&list).unwrap())
        .unwrap();
    assert_eq!(verdict(&known, &packet).0, Verdict::Allow);
}

#[test]
fn a_security_group_of_applications_is_its_members_or_unknown() {
    let id = "/subscriptions/s/applicationSecurityGroups/Web";
    let mut deny = rule("deny-web", 100, Access::Deny, "*", "*");
    deny.source_prefixes.clear();
    deny.source_groups = vec![id.to_owned()];
    let group = Nsg::new("nsg", vec![deny]).unwrap();
    let member = Packet::new_tcp(ip("10.224.0.4"), ip("10.224.0.5"), 10_250);
    let other = Packet::new_tcp(ip("10.224.0.6"), ip("10.224.0.5"), 10_250);
    let outside = Packet::new_tcp(ip("8.8.8.8"), ip("10.224.0.5"), 10_250);
    let unknown = group.policy(&network()).unwrap();
    assert_eq!(verdict(&unknown, &member).0, Verdict::Unknown);
    // Members are in the virtual network, so others are certainly not.
    assert_eq!(verdict(&unknown, &outside).1, ["DenyAllInBound"]);
    let known = network().with_group(&id.to_uppercase(), [ip("10.224.0.4")]);
    let known = group.policy(&known).unwrap();
    assert_eq!(verdict(&known, &member).0, Verdict::Deny);
    assert_eq!(verdict(&known, &other).0, Verdict::Allow);
}

#[test]
fn open_connections_pass_whatever_the_rules_say() {
    let group = Nsg::new("nsg", vec![rule("deny", 100, Access::Deny, "*", "*")]).unwrap();
    let packet = Packet::new_tcp(ip("10.224.0.4"), ip("10.224.0.5"), 10_250)
        .with_state(ConnectionState::Established);
    let policy = group.policy(&network()).unwrap();
    assert_eq!(verdict(&policy, &packet).0, Verdict::Allow);
}

#[test]
fn inbound_meets_the_subnet_first_and_outbound_the_interface_first() {
    let deny = |name: &str, direction| {
        let mut rule = rule(name, 100, Access::Deny, "*", "10250");
        rule.direction = direction;
        rule
    };
    let group = |name: &str| {
        let rules = vec![
            deny(&format!("{name}-in"), Direction::Inbound),
            deny(&format!("{name}-out"), Direction::Outbound),
        ];
        Nsg::new(name, rules).unwrap()
    };
    let (subnet, interface) = (group("subnet"), group("nic"));
    let chain = NsgChain::new("node", Some(&subnet), Some(&interface), &network()).unwrap();
    let packet = Packet::new_tcp(ip("10.224.0.4"), ip("10.224.0.5"), 10_250);
    assert_eq!(verdict(&chain, &packet).1, ["subnet-in"]);
    let outbound = packet.with_direction(set::Direction::Outbound);
    assert_eq!(verdict(&chain, &outbound).1, ["nic-out"]);
    let open = NsgChain::new("node", None, None, &network()).unwrap();
    assert_eq!(verdict(&open, &packet).0, Verdict::Allow);
}

fn delta_report(before: &Nsg, after: &Nsg, tags: &TagContext) -> Result<DeltaReport, NsgError> {
    let mut space = Space::new();
    let delta = nsg_delta(&mut space, before, after, tags)?;
    Ok(delta.report(&space)?)
}

fn admin(name: &str, priority: u16, access: AdminAccess, port: &str) -> AdminRule {
    AdminRule {
        name: name.to_owned(),
        manager: String::new(),
        priority,
        direction: Direction::Inbound,
        access,
        protocol: "Any".to_owned(),
        sources: Vec::new(),
        source_ports: Vec::new(),
        destinations: Vec::new(),
        destination_ports: vec![port.to_owned()],
    }
}

#[test]
fn a_group_opens_nothing_that_admin_rules_decide_and_what_unread_ones_do_is_unknown() {
    let before = Nsg::new("nsg", vec![rule("deny", 200, Access::Deny, "*", "*")]).unwrap();
    let allow = rule("allow", 150, Access::Allow, "10.224.0.4", "1-100");
    let after = before.with_rule(allow).unwrap();
    let words = |policy: &AdminPolicy| {
        let mut space = Space::new();
        let delta = nsg_delta_behind(&mut space, &before, &after, &network(), policy).unwrap();
        delta.report(&space).unwrap().words
    };
    let rules = [
        admin("leave", 1, AdminAccess::Allow, "1-20"),
        admin("never", 2, AdminAccess::Deny, "10-50"),
        admin("always", 3, AdminAccess::AlwaysAllow, "60-100"),
    ];
    let policy = AdminPolicy::new(&rules, &network()).unwrap();
    assert_eq!(
        words(&policy),
        ["newly allowed: inbound TCP 1-20, 51-59 from 10.224.0.4 to any-ipv4"]
    );
    let opened = words(&AdminPolicy::default());
    assert_eq!(opened.len(), 1);
    assert!(
        opened[0].starts_with("newly allowed: inbound TCP 1-100"),
        "{opened:?}"
    );
    let unread = words(&AdminPolicy::default().with_unread("vnet", "forbidden"));
    assert!(
        unread[0].starts_with("may become allowed: inbound TCP 1-100"),
        "{unread:?}"
    );
    assert!(
        unread[0].contains("security admin rules of network vnet decide it"),
        "{unread:?}"
    );
    // Only whether they decide matters to a group's change.
    assert!(!unread[0].contains("let it pass"), "{unread:?}");
}

#[test]
fn admin_rules_come_before_the_groups() {
    let group = Nsg::new("nsg", vec![rule("deny", 100, Access::Deny, "*", "1-20000")]).unwrap();
    let chain = NsgChain::new("node", Some(&group), None, &network()).unwrap();
    let rules = [
        admin("leave", 1, AdminAccess::Allow, "443"),
        admin("always", 2, AdminAccess::AlwaysAllow, "10250"),
        admin("never", 3, AdminAccess::Deny, "1-30000"),
    ];
    let admin = AdminPolicy::new(&rules, &network()).unwrap();
    let chain = admin.before(&chain);
    let packet = |port| Packet::new_tcp(ip("10.224.0.4"), ip("10.224.0.5"), port);
    assert_eq!(verdict(&chain, &packet(443)).1, ["deny"]);
    assert_eq!(
        verdict(&chain, &packet(10_250)),
        (Verdict::Allow, vec!["always".into()])
    );
    assert_eq!(
        verdict(&chain, &packet(25_000)),
        (Verdict::Deny, vec!["never".into()])
    );
    assert_eq!(verdict(&chain, &packet(40_000)).0, Verdict::Allow);
}

#[test]
fn the_delta_of_an_added_rule_is_what_it_opens() {
    let before = Nsg::new("nsg", vec![rule("deny-all", 200, Access::Deny, "*", "*")]).unwrap();
    let mut allow = rule("allow", 150, Access::Allow, "10.224.0.0/16", "10250");
    allow.destination_prefixes = vec!["10.224.0.0/16".to_owned()];
    let after = before.with_rule(allow).unwrap();
    let report = delta_report(&before, &after, &network()).unwrap();
    assert_eq!(
        report.words,
        ["newly allowed: inbound TCP 10250 from 10.224.0.0/16 to 10.224.0.0/16"]
    );
    let back = delta_report(&after, &before, &network()).unwrap();
    assert_eq!(back.newly_denied, report.newly_allowed);
    assert!(delta_report(&after, &after, &network()).unwrap().is_empty());
}

#[test]
fn the_same_change_gives_the_same_report_byte_for_byte() {
    let mut deny = rule("deny-storage", 200, Access::Deny, "Storage", "10250");
    deny.destination_prefixes = vec!["10.224.0.0/16".to_owned()];
    let before = Nsg::new("nsg", vec![deny]).unwrap();
    let after = before.without_rule("DENY-storage");
    let text = || {
        let report = delta_report(&before, &after, &network()).unwrap();
        serde_json::to_string(&report).unwrap()
    };
    assert_eq!(text(), text());
    assert_eq!(
        text(),
        concat!(
            r#"{"newly_allowed":[],"newly_denied":[],"unknown":[{"direction":"inbound","#,
            r#""source":"10.224.0.0/16, 168.63.129.16","destination":"10.224.0.0/16","#,
            r#""protocol":"TCP","source_ports":"any","destination_ports":"10250","#,
            r#""state":"new","conditions":["source in service tag storage"]}],"#,
            r#""atoms":[{"name":"source in service tag storage","#,
            r#""reason":"the prefixes of service tag Storage were not observed"}],"#,
            r#""words":["may become allowed: inbound TCP 10250 from 10.224.0.0/16, "#,
            r#"168.63.129.16 to 10.224.0.0/16, depending on: "#,
            r#"source in service tag storage"]}"#
        )
    );
}

/// Rules over addresses 0.0.0.0/30 and ports 0 to 2.
pub(super) fn small_rule() -> impl Strategy<Value = NsgRule> {
    let address = prop_oneof![
        2 => Just("*".to_owned()),
        2 => (0..4_u32).prop_map(|n| Ipv4Addr::from(n).to_string()),
        2 => (0..2_u32).prop_map(|n| format!("{}/31", Ipv4Addr::from(n * 2))),
        1 => Just("VirtualNetwork".to_owned()),
    ];
    // The universe has one port more of each: every class of packets that rules
    // tell apart has a packet there.
    let source_port = prop_oneof![
        2 => Just("*".to_owned()),
        2 => (0..2_u16).prop_map(|port| port.to_string()),
        1 => Just("0-1".to_owned()),
    ];
    let port = prop_oneof![
        2 => Just("*".to_owned()),
        2 => (0..3_u16).prop_map(|port| port.to_string()),
        1 => Just("1-2".to_owned()),
    ];
    (
        prop_oneof![Just(Access::Allow), Just(Access::Deny)],
        prop_oneof![3 => Just(Direction::Inbound), 1 => Just(Direction::Outbound)],
        prop_oneof![Just("Tcp"), Just("Udp"), Just("*")],
        (address.clone(), address),
        (source_port, port),
    )
        .prop_map(|(access, direction, protocol, addresses, ports)| NsgRule {
            name: String::new(),
            priority: 0,
            direction,
            access,
            protocol: protocol.to_owned(),
            source_prefixes: vec![addresses.0],
            source_ports: vec![ports.0],
            source_groups: Vec::new(),
            destination_prefixes: vec![addresses.1],
            destination_ports: vec![ports.1],
            destination_groups: Vec::new(),
            description: String::new(),
        })
}

pub(super) fn small_network() -> TagContext {
    let prefix: IpNet = "0.0.0.0/31".parse().unwrap();
    TagContext::new().with_virtual_network([&prefix])
}

pub(super) fn numbered(rules: Vec<NsgRule>) -> Nsg {
    let numbered = rules.into_iter().zip(0_u16..).map(|(mut rule, index)| {
        rule.priority = 100 + index * 10;
        rule.name = format!("rule-{index}");
        rule
    });
    Nsg::new("nsg", numbered.collect()).unwrap()
}

/// First match by hand, without sets.
pub(super) fn judge(group: &Nsg, packet: &Packet) -> bool {
    if packet.state == ConnectionState::Established {
        return true;
    }
    let address = |prefix: &str, address: IpAddr| match (prefix, address) {
        ("*", _) => true,
        ("VirtualNetwork", IpAddr::V4(v4)) => v4.to_bits() < 2 || address == ip("168.63.129.16"),
        ("VirtualNetwork", IpAddr::V6(_)) => false,
        ("Internet", _) => panic!("not judged here"),
        ("AzureLoadBalancer", _) => address == ip("168.63.129.16"),
        (text, _) => match text.parse::<IpNet>() {
            Ok(net) => net.contains(&address),
            Err(_) => ip(text) == address,
        },
    };
    let port = |text: &str, port: u16| {
        text == "*"
            || (packet.protocol.has_ports()
                && match text.split_once('-') {
                    Some((first, last)) => {
                        (first.parse().unwrap()..=last.parse().unwrap()).contains(&port)
                    }
                    None => port == text.parse::<u16>().unwrap(),
                })
    };
    let protocol = |text: &str| match text {
        "*" => true,
        "Tcp" => packet.protocol == Protocol::TCP,
        _ => packet.protocol == Protocol::UDP,
    };
    let direction = match packet.direction {
        set::Direction::Inbound => Direction::Inbound,
        set::Direction::Outbound => Direction::Outbound,
    };
    let deciding = group
        .rules
        .iter()
        .chain(
            group
                .default_rules
                .iter()
                .filter(|rule| rule.name != "AllowInternetOutBound"),
        )
        .filter(|rule| {
            rule.direction == direction
                && protocol(&rule.protocol)
                && address(&rule.source_prefixes[0], packet.source)
                && address(&rule.destination_prefixes[0], packet.destination)
                && port(&rule.source_ports[0], packet.source_port)
                && port(&rule.destination_ports[0], packet.destination_port)
        })
        .min_by_key(|rule| rule.priority);
    deciding.is_some_and(|rule| rule.access == Access::Allow)
}

/// Brute force does without the one tag that is a complement.
pub(super) fn without_internet(mut group: Nsg) -> Nsg {
    group
        .default_rules
        .retain(|rule| rule.name != "AllowInternetOutBound");
    group
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn groups_decide_every_packet_as_first_match_by_hand(
        rules in proptest::collection::vec(small_rule(), 0..8),
    ) {
        let group = without_internet(numbered(rules));
        let policy = group.policy(&small_network()).unwrap();
        let mut space = Space::new();
        let decisions = policy.decide(&mut space, PacketSet::ALL).unwrap();
        let allowed = decisions.allowed(&mut space).unwrap();
        for packet in universe() {
            let expected = if judge(&group, &packet) { Membership::Yes } else { Membership::No };
            prop_assert_eq!(space.contains(allowed, &packet), expected, "{}", packet);
        }
    }

    #[test]
    fn the_delta_of_two_groups_is_exact_for_every_packet(
        before in proptest::collection::vec(small_rule(), 0..6),
        after in proptest::collection::vec(small_rule(), 0..6),
        kept in 0..6_usize,
    ) {
        // Groups in practice share most rules.
        let mut after = after;
        for (index, rule) in before.iter().enumerate().take(kept) {
            match after.get_mut(index) {
                Some(place) => *place = rule.clone(),
                None => after.push(rule.clone()),
            }
        }
        let before = without_internet(numbered(before));
        let after = without_internet(numbered(after));
        let mut space = Space::new();
        let delta = nsg_delta(&mut space, &before, &after, &small_network()).unwrap();
        prop_assert!(delta.is_exactly_known());
        for packet in universe() {
            let (old, new) = (judge(&before, &packet), judge(&after, &packet));
            let is = |set| space.contains(set, &packet) == Membership::Yes;
            prop_assert_eq!(is(delta.newly_allowed), !old && new, "{}", packet);
            prop_assert_eq!(is(delta.newly_denied), old && !new, "{}", packet);
        }
    }
}
