//! What changes for packets that a node passes on.

use proptest::prelude::*;

use super::super::*;
use super::of_told_states;
use crate::delta::{DeltaReport, FlowDelta};
use crate::policy::Policy;
use crate::set::{AddressSet, ConnectionState, Direction, FlowBox, PacketSet, PortSet, Space};

fn firewall(text: &str) -> NodeFirewall {
    let v4 = Ruleset::parse(Family::Ipv4, text).unwrap();
    let mut node = NodeFirewall::new([v4, Ruleset::empty(Family::Ipv6)], Knowledge::default());
    let own = ["10.224.0.5/16".parse().unwrap()];
    node.knowledge.local_addresses = LocalAddresses::all(&own);
    node
}

fn filter(forward: &str, rules: &str) -> NodeFirewall {
    firewall(&format!(
        "*filter\n:INPUT ACCEPT\n:FORWARD {forward}\n:OUTPUT ACCEPT\n:U -\n{rules}COMMIT\n"
    ))
}

fn report(before: &NodeFirewall, after: &NodeFirewall) -> DeltaReport {
    let mut space = Space::new();
    let delta = node_delta(&mut space, before, after, PacketSet::ALL).unwrap();
    delta.report(&space).unwrap()
}

#[test]
fn a_policy_of_forward_that_opens_lets_everything_through_the_node() {
    let shared = "-A FORWARD -p udp -j DROP\n";
    let opened = report(&filter("DROP", shared), &filter("ACCEPT", shared));
    assert!(opened.unknown.is_empty() && opened.newly_denied.is_empty());
    assert_eq!(
        opened.words,
        [
            "newly allowed: forwarded protocols 0-16, protocols 18-255 from any-ipv4 to any-ipv4, \
             established connections too"
        ]
    );
    for flow in &opened.newly_allowed {
        assert_eq!(flow.direction, "forwarded");
    }
}

#[test]
fn a_rule_of_a_chain_that_input_and_forward_lead_to_concerns_both() {
    let callers = "-A INPUT -j U\n-A FORWARD -j U\n";
    let block = "-A U -s 10.244.0.0/16 -p tcp -m tcp --dport 443 -j DROP\n";
    let opened = report(
        &filter("ACCEPT", &format!("{callers}{block}")),
        &filter("ACCEPT", callers),
    );
    assert_eq!(
        opened.words,
        [
            "newly allowed: inbound and forwarded TCP 443 from 10.244.0.0/16 to any-ipv4, \
             established connections too"
        ]
    );
    let directions = opened.newly_allowed.iter();
    let directions: Vec<&str> = directions.map(|flow| flow.direction.as_str()).collect();
    assert_eq!(directions.join(", "), "inbound, forwarded");
}

#[test]
fn a_rule_of_forward_concerns_nothing_that_the_node_receives_or_sends() {
    let block = "-A FORWARD -i eth0 -o azv1 -p tcp -m tcp --dport 8080 -j DROP\n";
    let denied = report(&filter("ACCEPT", ""), &filter("ACCEPT", block));
    assert_eq!(
        denied.words,
        [
            "may become denied: forwarded TCP 8080 from any-ipv4 to any-ipv4, established \
             connections too, depending on: in-interface is eth0; out-interface is azv1"
        ]
    );
    let inserted = format!("-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n{block}");
    let input = report(&filter("ACCEPT", block), &filter("ACCEPT", &inserted));
    assert!(input.is_empty(), "{:?}", input.words);
}

#[test]
fn what_is_sent_to_the_node_itself_is_not_passed_on() {
    let callers = "-A INPUT -j U\n-A FORWARD -j U\n";
    let block = "-A U -d 10.224.0.5/32 -p tcp -m tcp --dport 10250 -j DROP\n";
    let opened = report(
        &filter("ACCEPT", &format!("{callers}{block}")),
        &filter("ACCEPT", callers),
    );
    assert!(
        opened
            .newly_allowed
            .iter()
            .all(|flow| flow.direction == "inbound"),
        "{:?}",
        opened.words
    );
    let raw = |rules: &str| {
        firewall(&format!(
            "*raw\n:PREROUTING ACCEPT\n{rules}COMMIT\n*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\nCOMMIT\n"
        ))
    };
    let opened = |rule: &str| report(&raw(rule), &raw("")).words;
    assert_eq!(
        opened("-A PREROUTING -d 10.224.0.5/32 -p udp -j DROP\n"),
        ["newly allowed: inbound UDP from any-ipv4 to 10.224.0.5, established connections too"]
    );
    assert_eq!(
        opened("-A PREROUTING -s 10.9.0.0/16 -p udp -j DROP\n"),
        [
            "newly allowed: inbound and forwarded UDP from 10.9.0.0/16 to any-ipv4, established \
             connections too"
        ]
    );
}

const SERVICE: &str = "*nat\n:PREROUTING ACCEPT\n:S -\n\
    -A PREROUTING -d 10.0.0.1/32 -p tcp -m tcp --dport 443 -j S\n\
    -A S -j MARK --set-xmark 0x4000/0x4000\n\
    -A S -p tcp -j DNAT --to-destination 10.244.0.7:8443\nCOMMIT\n";

fn behind_service(forward: &str, rules: &str) -> NodeFirewall {
    firewall(&format!(
        "{SERVICE}*filter\n:INPUT ACCEPT\n:FORWARD {forward}\n{rules}COMMIT\n"
    ))
}

#[test]
fn a_packet_that_nat_sends_on_is_told_with_the_destination_that_it_gets() {
    let opened = report(&behind_service("DROP", ""), &behind_service("ACCEPT", ""));
    assert_eq!(
        opened.words,
        [
            "newly allowed: forwarded any protocol from any-ipv4 to any-ipv4, established connections too"
        ]
    );
    let block = "-A FORWARD -d 10.244.0.7/32 -p tcp -m tcp --dport 8443 -j DROP\n";
    let opened = report(
        &behind_service("ACCEPT", block),
        &behind_service("ACCEPT", ""),
    );
    assert_eq!(
        opened.words,
        [
            "newly allowed: forwarded TCP 8443 from any-ipv4 to 10.244.0.7, established connections too"
        ]
    );
    // Only what nat sent there has the mark.
    let block = "-A FORWARD -m mark --mark 0x4000/0x4000 -j DROP\n";
    let opened = report(
        &behind_service("ACCEPT", block),
        &behind_service("ACCEPT", ""),
    );
    assert!(opened.newly_allowed.is_empty(), "{:?}", opened.words);
    let [only] = opened.words.as_slice() else {
        panic!("{:?}", opened.words)
    };
    assert!(
        only.starts_with("may become allowed: forwarded TCP 8443 from any-ipv4 to 10.244.0.7")
            && only.contains("node firewall sent the packet to this destination"),
        "{only}"
    );
}

#[test]
fn a_new_connection_that_nat_sent_on_is_a_translated_one() {
    let closed = "-A FORWARD -d 10.244.0.0/16 -j DROP\n";
    let opening = "-A FORWARD -d 10.244.0.0/16 -m conntrack --ctstate DNAT -j ACCEPT\n";
    let mut space = Space::new();
    let (before, after) = (
        behind_service("ACCEPT", closed),
        behind_service("ACCEPT", &format!("{opening}{closed}")),
    );
    let delta = node_delta(&mut space, &before, &after, PacketSet::ALL).unwrap();
    assert!(delta.newly_allowed.is_empty());
    let opened = of_told_states(&mut space, &delta).may_become_allowed;
    let opened = space.possibly(opened).unwrap();
    let new = FlowBox::any().with_state(ConnectionState::New);
    let new = space.flow(&new).unwrap();
    let sent_on = FlowBox::new_tcp(
        AddressSet::any_v4(),
        AddressSet::host([10, 244, 0, 7].into()),
        PortSet::single(8443_u16),
    );
    let sent_on = space
        .flow(&sent_on.with_direction(Direction::Forwarded))
        .unwrap();
    assert_eq!(space.intersection(opened, new).unwrap(), sent_on);
}

#[test]
fn a_packet_that_a_rule_before_stops_is_not_passed_on_either_way() {
    let with = |forward: &str| {
        firewall(&format!(
            "*mangle\n:PREROUTING ACCEPT\n-A PREROUTING -p udp -j DROP\nCOMMIT\n{SERVICE}*filter\n\
             :INPUT ACCEPT\n:FORWARD {forward}\nCOMMIT\n"
        ))
    };
    let opened = report(&with("DROP"), &with("ACCEPT"));
    assert!(opened.unknown.is_empty(), "{:?}", opened.words);
    assert!(!opened.words[0].contains("UDP") && opened.words[0].contains("protocols 18-255"));
}

/// Rules of `FORWARD` about marks, connections and a destination.
fn rule() -> impl Strategy<Value = String> {
    let condition = prop::sample::select(vec![
        "",
        "-d 10.244.0.7/32 ",
        "-d 10.244.0.6/31 -p tcp -m tcp --dport 8443 ",
        "-s 10.9.0.0/16 ",
        "-m mark --mark 0x4000/0x4000 ",
        "-m mark ! --mark 0x4000/0x4000 ",
        "-m conntrack --ctstate ESTABLISHED ",
        "-m conntrack --ctstate DNAT ",
        "-m conntrack --ctstate NEW -m conntrack --ctstate DNAT ",
        "-d 10.244.0.7/32 -m conntrack ! --ctstate DNAT ",
        "-m set --match-set known dst ",
    ]);
    let target = prop::sample::select(vec![
        "ACCEPT",
        "DROP",
        "MARK --set-xmark 0x4000/0x4000",
        "MARK --set-xmark 0x0/0x4000",
    ]);
    (condition, target).prop_map(|(condition, target)| format!("{condition}-j {target}"))
}

/// The rules as a new connection meets them that nat sent on.
fn taken_for_translated(rules: &[String]) -> Vec<String> {
    let others = rules
        .iter()
        .filter(|rule| !rule.contains("! --ctstate DNAT"));
    others
        .map(|rule| rule.replace("-m conntrack --ctstate DNAT ", ""))
        .collect()
}

fn in_full(space: &mut Space, before: &NodeFirewall, after: &NodeFirewall) -> FlowDelta {
    let before = before.decide(space, PacketSet::ALL).unwrap();
    let after = after.decide(space, PacketSet::ALL).unwrap();
    FlowDelta::between(space, &before, &after).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// A packet that nat marked and sent on fares as one that came with that
    /// destination and was marked by another table, where that one is taken for
    /// translated.
    #[test]
    fn what_changes_for_packets_that_nat_sent_on_is_never_missed(
        rules in prop::collection::vec(rule(), 1..6), at in 0_usize..6, policy_changes in any::<bool>(),
    ) {
        let of = |head: &str, policy: &str, rules: &[String]| {
            let rules = rules.iter().map(|rule| format!("-A FORWARD {rule}\n"));
            let rules: String = rules.collect();
            firewall(&format!("{head}*filter\n:INPUT ACCEPT\n:FORWARD {policy}\n{rules}COMMIT\n"))
        };
        let mut fewer = rules.clone();
        fewer.remove(at % rules.len());
        let policy = if policy_changes { "DROP" } else { "ACCEPT" };
        let marked = "*mangle\n:PREROUTING ACCEPT\n-A PREROUTING -d 10.244.0.7/32 -p tcp -m tcp --dport \
             8443 -j MARK --set-xmark 0x4000/0x4000\nCOMMIT\n";
        let mut space = Space::new();
        let told = node_delta(
            &mut space, &of(SERVICE, "ACCEPT", &rules), &of(SERVICE, policy, &fewer), PacketSet::ALL,
        ).unwrap();
        // In full, only new packets and established ones are looked at.
        let told = of_told_states(&mut space, &told).changed(&mut space).unwrap();
        let forwarded = FlowBox::any().with_direction(Direction::Forwarded);
        let forwarded = space.flow(&forwarded).unwrap();
        let service = "10.244.0.7".parse().unwrap();
        let sent_on = crate::set::FlowBox::new_tcp(
            crate::set::AddressSet::any_v4(),
            crate::set::AddressSet::host(service),
            crate::set::PortSet::single(8443_u16),
        );
        // The first packet of a connection alone comes to nat.
        let sent_on = space.flow(&sent_on).unwrap();
        let sent_on = space.intersection(sent_on, forwarded).unwrap();
        let as_sent_on = in_full(
            &mut space,
            &of(marked, "ACCEPT", &taken_for_translated(&rules)),
            &of(marked, policy, &taken_for_translated(&fewer)),
        ).changed(&mut space).unwrap();
        let as_sent_on = space.intersection(as_sent_on, sent_on).unwrap();
        prop_assert!(space.is_subset(as_sent_on, told).unwrap());
        // What comes as it is told, is told exactly.
        let plain = in_full(&mut space, &of("", "ACCEPT", &rules), &of("", policy, &fewer));
        let plain = plain.changed(&mut space).unwrap();
        let elsewhere = space.difference(forwarded, sent_on).unwrap();
        let plain = space.intersection(plain, forwarded).unwrap();
        prop_assert!(space.is_subset(plain, told).unwrap());
        let [plain, told] = [plain, told].map(|set| space.intersection(set, elsewhere).unwrap());
        // Own addresses aside, which nothing is passed on to.
        prop_assert_eq!(plain, told);
    }
}
