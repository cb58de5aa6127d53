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

fn outbound(rule: NsgRule, destination: &str) -> NsgRule {
    NsgRule {
        direction: Direction::Outbound,
        protocol: "*".to_owned(),
        source_prefixes: vec!["*".to_owned()],
        destination_prefixes: vec![destination.to_owned()],
        ..rule
    }
}

#[test]
fn services_of_the_platform_pass_unless_a_rule_denies_their_own_tag() {
    let deny =
        |name: &str, number, to: &str| outbound(rule(name, number, Access::Deny, "*", "*"), to);
    let packet = |to: &str, protocol, port| {
        let mut packet = Packet::new_tcp(ip("10.224.0.4"), ip(to), port);
        packet.protocol = protocol;
        packet.with_direction(set::Direction::Outbound)
    };
    let dns = packet("168.63.129.16", Protocol::UDP, 53);
    let metadata = packet("169.254.169.254", Protocol::TCP, 80);
    let other = packet("168.63.129.16", Protocol::TCP, 443);
    let of = |rules: Vec<NsgRule>, packet: &Packet| {
        let group = Nsg::new("nsg", rules).unwrap();
        verdict(&group.policy(&network()).unwrap(), packet).0
    };
    let all = || deny("deny-all", 200, "*");
    assert_eq!(of(vec![all()], &dns), Verdict::Allow);
    assert_eq!(of(vec![all()], &metadata), Verdict::Allow);
    assert_eq!(of(vec![all()], &other), Verdict::Deny);
    let tagged = || deny("deny-dns", 300, "AzurePlatformDNS");
    assert_eq!(of(vec![all(), tagged()], &dns), Verdict::Deny);
    assert_eq!(of(vec![all(), tagged()], &metadata), Verdict::Allow);
    let mut allow = tagged();
    allow.name = "allow-dns".to_owned();
    (allow.access, allow.priority) = (Access::Allow, 250);
    assert_eq!(of(vec![all(), allow, tagged()], &dns), Verdict::Allow);
    let imds = deny("deny-imds", 100, "AzurePlatformIMDS");
    assert_eq!(of(vec![imds], &metadata), Verdict::Deny);
    // Health probes need a rule.
    let probe = Packet::new_tcp(ip("168.63.129.16"), ip("10.224.0.4"), 80);
    let all_in = rule("deny-in", 100, Access::Deny, "*", "*");
    assert_eq!(of(vec![all_in], &probe), Verdict::Deny);
}

#[test]
fn no_rule_tells_what_becomes_of_icmpv6() {
    let mut ping = Packet::new_tcp(ip("2001:db8::1"), ip("2001:db8::2"), 0);
    ping.protocol = Protocol::ICMPV6;
    for (access, protocol) in [(Access::Allow, "Icmp"), (Access::Deny, "*")] {
        let mut rule = rule("ping", 100, access, "*", "*");
        rule.protocol = protocol.to_owned();
        let group = Nsg::new("nsg", vec![rule]).unwrap();
        let policy = group.policy(&network()).unwrap();
        assert_eq!(verdict(&policy, &ping).0, Verdict::Unknown, "{protocol}");
        let none = Nsg::new("nsg", Vec::new()).unwrap();
        let report = delta_report(&none, &group, &network()).unwrap();
        assert!(!report.is_partly_unknown(), "{report:?}");
    }
}

#[test]
fn a_group_that_flushes_connections_cuts_those_a_new_rule_denies() {
    let open = Nsg::new("nsg", Vec::new()).unwrap();
    let flushing = |group: &Nsg| {
        let mut group = group.clone();
        group.flush_connection = true;
        group
    };
    let deny = rule("deny", 100, Access::Deny, "10.224.0.4", "10250");
    let shut = open.with_rule(deny).unwrap();
    let new = "newly denied: inbound TCP 10250 from 10.224.0.4 to 10.224.0.0/16, 168.63.129.16";
    let words = |before: &Nsg, after: &Nsg| delta_report(before, after, &network()).unwrap().words;
    assert_eq!(words(&open, &shut), [new]);
    assert_eq!(
        words(&flushing(&open), &flushing(&shut)),
        [
            new.to_owned(),
            "may become denied: established inbound TCP 10250 from 10.224.0.4 to \
             10.224.0.0/16, 168.63.129.16, depending on: the sender of the packet opened the \
             connection"
                .to_owned(),
            "may become denied: established outbound TCP from 10.224.0.0/16, 168.63.129.16 \
             port 10250 to 10.224.0.4, depending on: the sender of the packet opened the \
             connection"
                .to_owned(),
        ]
    );
    // A group has no say in what a node passes on.
    let begun = words(&open, &flushing(&open));
    assert!(!begun.is_empty());
    assert!(
        begun.iter().all(|words| !words.contains("forwarded")),
        "{begun:?}"
    );
    // Nothing is cut by opening, and no connection comes to be by it.
    let opened = words(&flushing(&shut), &flushing(&open));
    assert_eq!(opened, [new.replace("denied", "allowed")]);
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
            r#""src":["10.224.0.0/16","168.63.129.16"],"dst":["10.224.0.0/16"],"#,
            r#""protocol":"TCP","ports":["10250"],"source_ports":["0-65535"],"#,
            r#""state":["new"],"conditions":["source in service tag storage"]}],"#,
            r#""atoms":[{"name":"source in service tag storage","#,
            r#""reason":"the prefixes of service tag Storage were not observed"}],"#,
            r#""words":["may become allowed: inbound TCP 10250 from 10.224.0.0/16, "#,
            r#"168.63.129.16 to 10.224.0.0/16, depending on: "#,
            r#"source in service tag storage"]}"#
        )
    );
}

/// An application security group with known members.
const KNOWN_GROUP: &str = "/applicationSecurityGroups/known";
/// One whose members are not known.
const UNKNOWN_GROUP: &str = "/applicationSecurityGroups/unknown";
const UNKNOWN_TAG: &str = "Storage";

/// The prefixes and groups of one side of a rule.
type Places = (Vec<String>, Vec<String>);

fn written_places() -> impl Strategy<Value = Places> {
    let host = || (0..4_u32).prop_map(|n| Ipv4Addr::from(n).to_string());
    let net = || (0..2_u32).prop_map(|n| format!("{}/31", Ipv4Addr::from(n * 2)));
    let one = |text: String| (vec![text], Vec::new());
    prop_oneof![
        2 => Just(one("*".to_owned())),
        2 => host().prop_map(one),
        2 => net().prop_map(one),
        1 => (host(), net()).prop_map(|(host, net)| (vec![host, net], Vec::new())),
        1 => Just(one("VirtualNetwork".to_owned())),
        1 => Just(one("Internet".to_owned())),
    ]
}

fn places() -> impl Strategy<Value = Places> {
    prop_oneof![
        8 => written_places(),
        1 => Just((Vec::new(), vec![KNOWN_GROUP.to_owned()])),
    ]
}

fn doubtful_places() -> impl Strategy<Value = Places> {
    prop_oneof![
        5 => places(),
        1 => Just((vec![UNKNOWN_TAG.to_owned()], Vec::new())),
        1 => Just((Vec::new(), vec![UNKNOWN_GROUP.to_owned()])),
        1 => Just((Vec::new(), vec![KNOWN_GROUP.to_owned(), UNKNOWN_GROUP.to_owned()])),
    ]
}

/// Rules over addresses 0.0.0.0/30 and ports 0 to 2.
pub(super) fn small_rule() -> impl Strategy<Value = NsgRule> {
    rule_between(places(), places())
}

/// The same without application security groups, which admin rules do not know.
pub(super) fn small_rule_of_addresses() -> impl Strategy<Value = NsgRule> {
    rule_between(written_places(), written_places())
}

/// The same with sides that are not known.
fn doubtful_rule() -> impl Strategy<Value = NsgRule> {
    rule_between(doubtful_places(), doubtful_places())
}

fn rule_between(
    sources: impl Strategy<Value = Places>,
    destinations: impl Strategy<Value = Places>,
) -> impl Strategy<Value = NsgRule> {
    let texts =
        |texts: &[&str]| -> Vec<String> { texts.iter().map(|text| (*text).to_owned()).collect() };
    // The universe has one port more of each: every class of packets that rules
    // tell apart has a packet there.
    let source_ports = prop_oneof![
        2 => Just(texts(&["*"])),
        2 => (0..2_u16).prop_map(|port| vec![port.to_string()]),
        1 => Just(texts(&["0-1"])),
    ];
    let ports = prop_oneof![
        2 => Just(texts(&["*"])),
        2 => (0..3_u16).prop_map(|port| vec![port.to_string()]),
        1 => Just(texts(&["1-2"])),
        1 => Just(texts(&["0", "2"])),
    ];
    let protocol = prop_oneof![
        3 => Just("Tcp"),
        2 => Just("Udp"),
        2 => Just("*"),
        1 => prop_oneof![Just("Icmp"), Just("Esp"), Just("Ah")],
    ];
    (
        prop_oneof![Just(Access::Allow), Just(Access::Deny)],
        prop_oneof![3 => Just(Direction::Inbound), 1 => Just(Direction::Outbound)],
        protocol,
        (sources, destinations),
        (source_ports, ports),
    )
        .prop_map(|(access, direction, protocol, sides, ports)| NsgRule {
            name: String::new(),
            priority: 0,
            direction,
            access,
            protocol: protocol.to_owned(),
            source_prefixes: sides.0.0,
            source_ports: ports.0,
            source_groups: sides.0.1,
            destination_prefixes: sides.1.0,
            destination_ports: ports.1,
            destination_groups: sides.1.1,
            description: String::new(),
        })
}

pub(super) fn small_network() -> TagContext {
    let prefix: IpNet = "0.0.0.0/31".parse().unwrap();
    TagContext::new()
        .with_virtual_network([&prefix])
        .with_group(KNOWN_GROUP, ["0.0.0.1", "0.0.0.2"].map(ip))
}

/// The universe, with the protocols that have a rule and no port, and ICMPv6.
fn packets() -> Vec<Packet> {
    let mut packets = universe();
    let portless: Vec<Packet> = packets
        .iter()
        .filter(|packet| packet.protocol == Protocol::ICMP)
        .filter(|packet| (packet.source_port, packet.destination_port) == (0, 0))
        .copied()
        .collect();
    for protocol in [Protocol::ESP, Protocol::AH, Protocol::ICMPV6] {
        packets.extend(portless.iter().map(|packet| Packet {
            protocol,
            ..*packet
        }));
    }
    packets
}

pub(super) fn numbered(rules: Vec<NsgRule>) -> Nsg {
    let numbered = rules.into_iter().zip(0_u16..).map(|(mut rule, index)| {
        rule.priority = 100 + index * 10;
        rule.name = format!("rule-{index}");
        rule
    });
    Nsg::new("nsg", numbered.collect()).unwrap()
}

/// What is not known of the two sides of a packet, as some world has it.
#[derive(Clone, Copy, Default)]
struct World {
    source_in_tag: bool,
    destination_in_tag: bool,
    source_in_group: bool,
    destination_in_group: bool,
    passes_icmpv6: bool,
}

impl World {
    /// The worlds in which these rules may decide a packet differently.
    fn all(groups: &[&Nsg], packet: &Packet) -> Vec<Self> {
        let rules = || groups.iter().flat_map(|group| &group.rules);
        let names = |lists: fn(&NsgRule) -> [&Vec<String>; 2], what: &str| {
            let mut named = rules().flat_map(lists).flatten();
            named.any(|name| name == what)
        };
        let tag = names(
            |rule| [&rule.source_prefixes, &rule.destination_prefixes],
            UNKNOWN_TAG,
        );
        let group = names(
            |rule| [&rule.source_groups, &rule.destination_groups],
            UNKNOWN_GROUP,
        );
        let icmpv6 = packet.protocol == Protocol::ICMPV6;
        let matter = [(tag, 3), (group, 12), (icmpv6, 16)];
        let matter = matter.iter().fold(0, |all, (matters, bits)| {
            all | if *matters { *bits } else { 0 }
        });
        let worlds = (0..32_u8).filter(|bits| bits & !matter == 0);
        let world = |bits: u8| Self {
            source_in_tag: bits & 1 != 0,
            destination_in_tag: bits & 2 != 0,
            source_in_group: bits & 4 != 0,
            destination_in_group: bits & 8 != 0,
            passes_icmpv6: bits & 16 != 0,
        };
        worlds.map(world).collect()
    }
}

/// First match by hand, without sets, of rules that are all known.
pub(super) fn judge(group: &Nsg, packet: &Packet) -> bool {
    judge_in(World::default(), group, packet)
}

fn judge_in(world: World, group: &Nsg, packet: &Packet) -> bool {
    if packet.state == ConnectionState::Established {
        return true;
    }
    if packet.protocol == Protocol::ICMPV6 && packet.source.is_ipv6() {
        return world.passes_icmpv6;
    }
    let in_network = |address: IpAddr| match address {
        IpAddr::V4(v4) => v4.to_bits() < 2 || address == ip("168.63.129.16"),
        IpAddr::V6(_) => false,
    };
    let address = |prefix: &str, in_tag: bool, address: IpAddr| match prefix {
        "*" => true,
        "VirtualNetwork" => in_network(address),
        "Internet" => !in_network(address),
        "AzureLoadBalancer" => address == ip("168.63.129.16"),
        UNKNOWN_TAG => in_tag,
        text => match text.parse::<IpNet>() {
            Ok(net) => net.contains(&address),
            Err(_) => ip(text) == address,
        },
    };
    let group_member = |id: &str, in_group: bool, address: IpAddr| {
        if id == KNOWN_GROUP {
            ["0.0.0.1", "0.0.0.2"].map(ip).contains(&address)
        } else {
            // Members are interfaces of the network.
            in_group && ["0.0.0.0", "0.0.0.1"].map(ip).contains(&address)
        }
    };
    let side = |prefixes: &[String], groups: &[String], tag: bool, group: bool, at: IpAddr| {
        prefixes.iter().any(|prefix| address(prefix, tag, at))
            || groups.iter().any(|id| group_member(id, group, at))
    };
    let port = |texts: &[String], port: u16| {
        texts.iter().any(|text| {
            text == "*"
                || (packet.protocol.has_ports()
                    && match text.split_once('-') {
                        Some((first, last)) => {
                            (first.parse().unwrap()..=last.parse().unwrap()).contains(&port)
                        }
                        None => port == text.parse::<u16>().unwrap(),
                    })
        })
    };
    let protocol = |text: &str| match text {
        "*" => true,
        "Tcp" => packet.protocol == Protocol::TCP,
        "Udp" => packet.protocol == Protocol::UDP,
        "Icmp" => packet.protocol == Protocol::ICMP,
        "Esp" => packet.protocol == Protocol::ESP,
        "Ah" => packet.protocol == Protocol::AH,
        other => panic!("no such protocol: {other}"),
    };
    let direction = match packet.direction {
        set::Direction::Inbound => Some(Direction::Inbound),
        set::Direction::Outbound => Some(Direction::Outbound),
        set::Direction::Forwarded => None,
    };
    let deciding = group
        .rules
        .iter()
        .chain(&group.default_rules)
        .filter(|rule| {
            Some(rule.direction) == direction
                && protocol(&rule.protocol)
                && side(
                    &rule.source_prefixes,
                    &rule.source_groups,
                    world.source_in_tag,
                    world.source_in_group,
                    packet.source,
                )
                && side(
                    &rule.destination_prefixes,
                    &rule.destination_groups,
                    world.destination_in_tag,
                    world.destination_in_group,
                    packet.destination,
                )
                && port(&rule.source_ports, packet.source_port)
                && port(&rule.destination_ports, packet.destination_port)
        })
        .min_by_key(|rule| rule.priority);
    deciding.is_some_and(|rule| rule.access == Access::Allow)
}

/// How a packet is judged in every world: what is certain, and which it is.
fn in_all(worlds: &[World], judged: impl Fn(World) -> bool) -> Membership {
    let judged: Vec<bool> = worlds.iter().copied().map(judged).collect();
    match (judged.contains(&true), judged.contains(&false)) {
        (true, false) => Membership::Yes,
        (false, true) => Membership::No,
        _ => Membership::Depends(Vec::new()),
    }
}

/// What is said of a packet, whatever it depends on.
fn said(membership: Membership) -> Membership {
    match membership {
        Membership::Depends(_) => Membership::Depends(Vec::new()),
        certain => certain,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn groups_decide_every_packet_as_first_match_by_hand(
        rules in proptest::collection::vec(doubtful_rule(), 0..8),
    ) {
        let group = numbered(rules);
        let policy = group.policy(&small_network()).unwrap();
        let mut space = Space::new();
        let decisions = policy.decide(&mut space, PacketSet::ALL).unwrap();
        let allowed = decisions.allowed(&mut space).unwrap();
        for packet in packets() {
            let worlds = World::all(&[&group], &packet);
            let expected = in_all(&worlds, |world| judge_in(world, &group, &packet));
            prop_assert_eq!(said(space.contains(allowed, &packet)), expected, "{}", packet);
        }
    }

    #[test]
    fn the_delta_of_two_groups_is_exact_for_every_packet(
        before in proptest::collection::vec(doubtful_rule(), 0..6),
        after in proptest::collection::vec(doubtful_rule(), 0..6),
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
        let (before, after) = (numbered(before), numbered(after));
        let mut space = Space::new();
        let delta = nsg_delta(&mut space, &before, &after, &small_network()).unwrap();
        for packet in packets() {
            let worlds = World::all(&[&before, &after], &packet);
            let changes = |from: bool| {
                in_all(&worlds, |world| {
                    let (old, new) = (
                        judge_in(world, &before, &packet),
                        judge_in(world, &after, &packet),
                    );
                    old == from && new != from
                })
            };
            let sides = [
                (false, delta.newly_allowed, delta.may_become_allowed),
                (true, delta.newly_denied, delta.may_become_denied),
            ];
            for (from, certain, possible) in sides {
                let expected = changes(from);
                let is_certain = space.contains(certain, &packet) == Membership::Yes;
                let is_possible = space.contains(possible, &packet) != Membership::No;
                prop_assert_eq!(is_certain, expected == Membership::Yes, "{}", packet);
                let depends = matches!(expected, Membership::Depends(_));
                prop_assert_eq!(is_possible, depends, "{}", packet);
            }
        }
    }
}
