//! What changes of rules do to packets, asked narrowly and asked in full.

use proptest::prelude::*;

use super::super::*;
use super::of_told_states;
use crate::delta::{DeltaReport, FlowDelta};
use crate::policy::Policy;
use crate::set::{
    AddressSet, ConnectionState, Direction, FlowBox, PacketSet, PortSet, Protocol, Space,
};

fn firewall(text: &str) -> NodeFirewall {
    let v4 = Ruleset::parse(Family::Ipv4, text).unwrap();
    NodeFirewall::new([v4, Ruleset::empty(Family::Ipv6)], Knowledge::default())
}

fn input(rules: &str) -> NodeFirewall {
    firewall(&format!(
        "*filter\n:INPUT ACCEPT\n:OUTPUT ACCEPT\n:A -\n{rules}COMMIT\n"
    ))
}

fn report(before: &NodeFirewall, after: &NodeFirewall) -> DeltaReport {
    let mut space = Space::new();
    let delta = node_delta(&mut space, before, after, PacketSet::ALL).unwrap();
    delta.report(&space).unwrap()
}

fn in_full(space: &mut Space, before: &NodeFirewall, after: &NodeFirewall) -> FlowDelta {
    let before = before.decide(space, PacketSet::ALL).unwrap();
    let after = after.decide(space, PacketSet::ALL).unwrap();
    FlowDelta::between(space, &before, &after).unwrap()
}

const NAT: &str = "*nat\n:PREROUTING ACCEPT\n:OUTPUT ACCEPT\n:S -\n:E1 -\n:E2 -\n\
    -A PREROUTING -d 10.0.0.1/32 -p tcp -m tcp --dport 443 -j S\n\
    -A OUTPUT -d 10.0.0.1/32 -p tcp -m tcp --dport 443 -j S\n\
    -A S -m statistic --mode random --probability 0.5 -j E1\n-A S -j E2\n\
    -A E1 -p tcp -j DNAT --to-destination 10.224.0.5:10250\n\
    -A E2 -p tcp -j DNAT --to-destination 10.224.0.6:8443\nCOMMIT\n";
const BLOCK: &str = "-A INPUT -p tcp -m tcp --dport 10250 -j DROP\n";

#[test]
fn a_packet_sent_on_to_the_port_that_opens_may_become_allowed_and_the_rest_does_not() {
    let with = |rules: &str| firewall(&format!("{NAT}*filter\n:INPUT ACCEPT\n{rules}COMMIT\n"));
    let opened = report(&with(BLOCK), &with(""));
    assert_eq!(
        opened.words,
        [
            "newly allowed: inbound TCP 10250 from any-ipv4 to any-ipv4, established connections too",
            "may become allowed: inbound TCP 443 from any-ipv4 to 10.0.0.1, depending on: node \
             firewall sends the packet to a destination whose verdict changes",
        ]
    );
    let other = BLOCK.replace("10250", "22");
    let opened = report(&with(&other), &with(""));
    assert_eq!(opened.words.len(), 1, "{:?}", opened.words);
}

#[test]
fn a_packet_sent_on_may_be_stopped_by_a_rule_about_translated_connections() {
    let with = |rules: &str| firewall(&format!("{NAT}*filter\n:INPUT ACCEPT\n{rules}COMMIT\n"));
    let closed = with("-A INPUT -m conntrack --ctstate DNAT -j DROP\n");
    let mut space = Space::new();
    let delta = node_delta(&mut space, &with(""), &closed, PacketSet::ALL).unwrap();
    assert!(delta.newly_denied.is_empty());
    let closed = of_told_states(&mut space, &delta).may_become_denied;
    let closed = space.possibly(closed).unwrap();
    let new = FlowBox::any().with_state(ConnectionState::New);
    let new = space.flow(&new).unwrap();
    let service = AddressSet::host([10, 0, 0, 1].into());
    let sent_on = FlowBox::new_tcp(AddressSet::any_v4(), service, PortSet::single(443_u16));
    let sent_on = space
        .flow(&sent_on.with_direction(Direction::Inbound))
        .unwrap();
    assert_eq!(space.intersection(closed, new).unwrap(), sent_on);
}

#[test]
fn a_packet_sent_on_to_another_node_does_not_come_to_input() {
    let with = |rules: &str| {
        let mut node = firewall(&format!("{NAT}*filter\n:INPUT ACCEPT\n{rules}COMMIT\n"));
        let own = ["10.224.0.9/16".parse().unwrap()];
        node.knowledge.local_addresses = LocalAddresses::all(&own);
        node
    };
    let opened = report(&with(BLOCK), &with(""));
    assert_eq!(opened.words.len(), 1, "{:?}", opened.words);
}

#[test]
fn a_changed_policy_concerns_what_falls_through_and_nothing_else() {
    let rules = "-A INPUT -p udp -j ACCEPT\n-A INPUT -p icmp -j DROP\n";
    let open = input(rules);
    let closed = firewall(&format!(
        "*filter\n:INPUT DROP\n:OUTPUT ACCEPT\n{rules}COMMIT\n"
    ));
    let denied = report(&open, &closed);
    assert!(denied.newly_allowed.is_empty() && denied.unknown.is_empty());
    // One set, told as a box for each run of protocols beside those two.
    assert_eq!(denied.words.len(), 1, "{:?}", denied.words);
    let protocols: Vec<&str> = denied
        .newly_denied
        .iter()
        .map(|flow| flow.protocol.as_str())
        .collect();
    assert_eq!(protocols, ["0", "2-16", "18-255"]);
    let inbound = |flow: &crate::delta::FlowBox| flow.direction == "inbound";
    assert!(denied.newly_denied.iter().all(inbound));
}

#[test]
fn a_rule_is_the_same_however_many_jumps_to_its_chain_stand_before() {
    let with = |jump: &str| {
        input(&format!(
            "{jump}-A INPUT -j A\n-A A -m limit --limit 1/sec -j DROP\n"
        ))
    };
    let mut space = Space::new();
    // Neither new packets nor established ones meet the jump that goes.
    let invalid = with("-A INPUT -m conntrack --ctstate INVALID -j A\n");
    let delta = in_full(&mut space, &invalid, &with(""));
    assert!(delta.changed(&mut space).unwrap().is_empty());
}

#[test]
fn an_error_names_the_rules_that_change() {
    let rules: String = (0..600)
        .map(|set| format!("-A INPUT -m set --match-set s{set} src -j RETURN\n"))
        .collect();
    let before = input(&format!("{rules}-A INPUT -s 10.9.0.0/16 -j DROP\n"));
    let mut space = Space::new();
    let error = node_delta(&mut space, &before, &input(&rules), PacketSet::ALL).unwrap_err();
    assert!(!error.rules.is_empty(), "{error}");
    let changed = changed_rules(&before, &input(&rules));
    assert_eq!(changed.len(), 1);
    assert!(changed[0].contains("-s 10.9.0.0/16 -j DROP"), "{changed:?}");
}

#[test]
fn packets_that_are_neither_new_nor_established_are_told_where_they_fare_otherwise() {
    let closed = |rules: &str| {
        firewall(&format!(
            "*filter\n:INPUT DROP\n:OUTPUT ACCEPT\n-A INPUT -m conntrack --ctstate NEW,ESTABLISHED -p icmp -j \
             ACCEPT\n{rules}COMMIT\n"
        ))
    };
    let opened = |rules: &str| report(&closed(""), &closed(rules)).words;
    assert_eq!(
        opened("-A INPUT -m conntrack --ctstate RELATED -j ACCEPT\n"),
        ["newly allowed: related inbound any protocol from any-ipv4 to any-ipv4"]
    );
    // The rule names no state, and only those gain by it.
    assert_eq!(
        opened("-A INPUT -p icmp -j ACCEPT\n"),
        ["newly allowed: related, invalid, untracked inbound ICMP from any-ipv4 to any-ipv4"]
    );
    // Those who fare like new ones are not told apart.
    assert_eq!(
        opened("-A INPUT -p udp -j ACCEPT\n"),
        ["newly allowed: inbound UDP from any-ipv4 to any-ipv4, established connections too"]
    );
    // What is not known may concern new ones, and says so.
    let udp = "-A INPUT -m conntrack --ctstate RELATED -j ACCEPT\n\
               -A INPUT -p udp -m set --match-set s src -j ACCEPT\n";
    let partly = report(&closed(""), &closed(udp));
    let unknown: Vec<_> = partly
        .unknown
        .iter()
        .map(|flow| flow.state.join(", "))
        .collect();
    assert!(
        unknown.contains(&"new, related".to_owned()),
        "{:?}",
        partly.words
    );
    let untracked = report(
        &closed(""),
        &closed("-A INPUT -m conntrack --ctstate UNTRACKED -p udp -j ACCEPT\n"),
    );
    assert!(untracked.unknown.is_empty() && untracked.atoms.is_empty());
    assert_eq!(untracked.newly_allowed[0].state, ["untracked"]);
    assert!(untracked.newly_allowed[0].conditions.is_empty());
}

/// Rules of the table `filter` with which little goes unmet.
fn rule() -> impl Strategy<Value = String> {
    let conditions = prop::sample::subsequence(
        vec![
            "-s 10.0.0.0/31",
            "-d 10.0.0.2/31",
            "-i lo",
            "-m conntrack --ctstate RELATED,ESTABLISHED",
            "-m conntrack --ctstate INVALID",
            "-m mark --mark 0x1/0x1",
            "-m set --match-set known src",
            "-m limit --limit 1/sec",
            "-m addrtype --dst-type LOCAL",
        ],
        0..3,
    );
    let protocol = prop::sample::select(vec!["", "-p tcp -m tcp --dport 10250 ", "-p udp "]);
    let target = prop::sample::select(vec![
        "ACCEPT",
        "DROP",
        "RETURN",
        "A",
        "B",
        "MARK --set-xmark 0x1/0x1",
        "LOG",
        "NFQUEUE --queue-num 1",
    ]);
    (conditions, protocol, target).prop_map(|(conditions, protocol, target)| {
        format!("{protocol}{} -j {target}", conditions.join(" "))
    })
}

const CHAINS: [&str; 5] = ["INPUT", "OUTPUT", "FORWARD", "A", "B"];

/// Chains with their rules; later chains alone are led to.
fn chains() -> impl Strategy<Value = [Vec<String>; 5]> {
    let chain = || prop::collection::vec(rule(), 0..4);
    [chain(), chain(), chain(), chain(), chain()].prop_map(|mut chains| {
        for (at, chain) in chains.iter_mut().enumerate() {
            let closes_a_circle = |rule: &str| match at {
                3 => rule.ends_with("-j A"),
                4 => rule.ends_with("-j A") || rule.ends_with("-j B"),
                _ => false,
            };
            chain.retain(|rule| !closes_a_circle(rule));
        }
        chains
    })
}

fn text(nat: &str, policy: &str, chains: &[Vec<String>; 5]) -> String {
    let mut text = format!(
        "{nat}*mangle\n:PREROUTING ACCEPT\n-A PREROUTING -s 10.0.0.1/32 -m limit --limit 1/sec -j \
         MARK --set-xmark 0x1/0x1\nCOMMIT\n*filter\n:INPUT {policy}\n:FORWARD {policy}\n:OUTPUT ACCEPT\n:A -\n:B -\n"
    );
    for (name, rules) in CHAINS.iter().zip(chains) {
        for rule in rules {
            text.push_str(&format!("-A {name} {rule}\n"));
        }
    }
    text + "COMMIT\n"
}

/// An index into one of the chains, to take a rule from there.
fn without(chains: &[Vec<String>; 5], at: usize) -> [Vec<String>; 5] {
    let mut changed = chains.clone();
    let lengths: usize = chains.iter().map(Vec::len).sum();
    let mut at = at.checked_rem(lengths).unwrap_or_default();
    for chain in &mut changed {
        if at < chain.len() {
            chain.remove(at);
            break;
        }
        at -= chain.len();
    }
    changed
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn asked_narrowly_is_never_surer_and_misses_nothing(
        chains in chains(), (first, second) in (0_usize..20, 0_usize..20), policy_changes in any::<bool>(), has_nat in any::<bool>(),
    ) {
        let nat = if has_nat { NAT } else { "" };
        let policy = if policy_changes { "DROP" } else { "ACCEPT" };
        let before = firewall(&text(nat, "ACCEPT", &chains));
        let after = firewall(&text(nat, policy, &without(&without(&chains, first), second)));
        let mut space = Space::new();
        let narrow = node_delta(&mut space, &before, &after, PacketSet::ALL).unwrap();
        let full = in_full(&mut space, &before, &after);
        // In full, a forwarded packet is told with the destination it came with.
        let sent_on = FlowBox::any()
            .with_direction(Direction::Forwarded)
            .with_protocol(Protocol::TCP)
            .with_destinations(AddressSet::host([10, 0, 0, 1].into()))
            .with_destination_ports(PortSet::single(443_u16));
        let sent_on = match has_nat {
            true => space.flow(&sent_on).unwrap(),
            false => PacketSet::EMPTY,
        };
        let modelled = space.complement(sent_on).unwrap();
        // In full, only new packets and established ones are looked at.
        let narrow = of_told_states(&mut space, &narrow);
        let narrow = narrow.among(&mut space, modelled).unwrap();
        let full = of_told_states(&mut space, &full).among(&mut space, modelled).unwrap();
        for (sure, in_full) in [
            (narrow.newly_allowed, full.newly_allowed),
            (narrow.newly_denied, full.newly_denied),
        ] {
            prop_assert!(space.is_subset(sure, in_full).unwrap());
        }
        let [of_narrow, of_full] = [narrow, full].map(|delta| delta.changed(&mut space).unwrap());
        prop_assert!(space.is_subset(of_full, of_narrow).unwrap());
        if !has_nat {
            // Without an unknown that both sides share before what changes, nothing
            // is lost by asking narrowly.
            let unmarked = !text(nat, policy, &chains).contains("--mark");
            if unmarked {
                prop_assert_eq!(narrow, full);
            }
        }
    }
}
