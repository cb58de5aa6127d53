//! That no smaller renumbering than the one found would do: all are tried.

use std::collections::BTreeSet;
use std::net::IpAddr;

use proptest::prelude::*;

use super::meaning::small_network;
use super::placement::matched;
use crate::nsg::{Access, Direction, Nsg, NsgRule, PlacementRequest, place};
use crate::set::{FlowBox, Packet, Protocol};

/// One packet of every kind the rules below can tell apart.
fn kinds() -> Vec<Packet> {
    let addresses: Vec<IpAddr> = ["0.0.0.0", "0.0.0.1", "0.0.0.2", "168.63.129.16"]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
    let mut packets = Vec::new();
    for source in &addresses {
        for destination in &addresses {
            for protocol in [Protocol::TCP, Protocol::UDP] {
                for port in 0..3 {
                    let mut packet = Packet::new_tcp(*source, *destination, port);
                    packet.protocol = protocol;
                    packets.push(packet);
                }
            }
        }
    }
    packets
}

/// A rule as the packets of [`kinds`] it matches.
struct Judged {
    number: u16,
    allows: bool,
    matches: u128,
}

fn bits(rule: &NsgRule, packets: &[Packet]) -> u128 {
    packets
        .iter()
        .enumerate()
        .filter(|(_, packet)| matched(rule, packet))
        .fold(0, |bits, (index, _)| bits | (1 << index))
}

/// The packets that pass, by first match.
fn passing(rules: &[Judged]) -> u128 {
    let mut ordered: Vec<&Judged> = rules.iter().collect();
    ordered.sort_by_key(|rule| rule.number);
    let (mut open, mut passing) = (u128::MAX, 0);
    for rule in ordered {
        if rule.allows {
            passing |= open & rule.matches;
        }
        open &= !rule.matches;
    }
    passing
}

/// What a renumbering is to achieve.
#[derive(Clone, Copy)]
struct Aim {
    /// The packets that pass before, and must after the moves.
    before: u128,
    /// The packets the new rule matches.
    new: u128,
    /// The packets that must pass once the new rule is in.
    goal: u128,
}

/// Whether some way of moving up to `left` more rules achieves the aim.
fn some_move(rules: &mut Vec<Judged>, from: usize, left: usize, aim: Aim) -> bool {
    for index in from..rules.len() {
        let number = rules[index].number;
        for to in 100..=112 {
            rules[index].number = to;
            let distinct: BTreeSet<u16> = rules.iter().map(|rule| rule.number).collect();
            let apart = distinct.len() == rules.len();
            let done = apart && passing(rules) == aim.before && inserts(rules, aim, &distinct);
            // Rules that collide now may be apart after the moves still to come.
            if done || (left > 1 && some_move(rules, index + 1, left - 1, aim)) {
                rules[index].number = number;
                return true;
            }
        }
        rules[index].number = number;
    }
    false
}

fn inserts(rules: &mut Vec<Judged>, aim: Aim, taken: &BTreeSet<u16>) -> bool {
    (100..=112)
        .filter(|number| !taken.contains(number))
        .any(|number| {
            rules.push(Judged {
                number,
                allows: true,
                matches: aim.new,
            });
            let reached = passing(rules) == aim.goal;
            rules.pop();
            reached
        })
}

fn tight_rule() -> impl Strategy<Value = NsgRule> {
    let address = || {
        prop_oneof![
            Just("*"),
            Just("0.0.0.0"),
            Just("0.0.0.1"),
            Just("0.0.0.0/31")
        ]
    };
    (
        prop_oneof![Just(Access::Allow), Just(Access::Deny)],
        prop_oneof![Just("Tcp"), Just("*")],
        address(),
        address(),
        prop_oneof![Just("*"), Just("0"), Just("1")],
    )
        .prop_map(|(access, protocol, source, destination, port)| NsgRule {
            name: String::new(),
            priority: 0,
            direction: Direction::Inbound,
            access,
            protocol: protocol.to_owned(),
            source_prefixes: vec![source.to_owned()],
            source_ports: vec!["*".to_owned()],
            source_groups: Vec::new(),
            destination_prefixes: vec![destination.to_owned()],
            destination_ports: vec![port.to_owned()],
            destination_groups: Vec::new(),
            description: String::new(),
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_smaller_renumbering_would_do(
        rules in proptest::collection::vec(tight_rule(), 2..6),
        new in tight_rule(),
    ) {
        // Rules from 100 on without a gap: there is hardly ever a free number.
        let rules: Vec<NsgRule> = rules
            .into_iter()
            .zip(100_u16..)
            .map(|(mut rule, number)| {
                rule.priority = number;
                rule.name = format!("rule-{number}");
                rule
            })
            .collect();
        let group = Nsg::new("nsg", rules).unwrap();
        let mut new = new;
        new.name = "new".to_owned();
        new.access = Access::Allow;
        // One packet is required: the rest of the match must stay as it is
        // wherever a stricter rule holds it.
        let required = FlowBox::one(&kinds()[0]);
        let request = PlacementRequest {
            rule: new.clone(),
            required: vec![required],
            pinned: BTreeSet::new(),
        };
        let Ok(placement) = place(&group, &request, &small_network()) else {
            return Ok(());
        };
        let packets = kinds();
        let judged = |group: &Nsg| -> Vec<Judged> {
            let all = group.rules.iter().chain(&group.default_rules);
            all.filter(|rule| rule.direction == Direction::Inbound)
                .filter(|rule| rule.name.starts_with("rule") || rule.name == "new")
                .map(|rule| Judged {
                    number: rule.priority,
                    allows: rule.access == Access::Allow,
                    matches: bits(rule, &packets),
                })
                .collect()
        };
        let goal = passing(&judged(&placement.apply(&group).unwrap()));
        let mut rules = judged(&group);
        let aim = Aim {
            before: passing(&rules),
            new: bits(&placement.rule, &packets),
            goal,
        };
        for fewer in 1..placement.renumbered.len() {
            prop_assert!(
                !some_move(&mut rules, 0, fewer, aim),
                "{} moves would do instead of {:?}",
                fewer,
                placement.renumbered
            );
        }
    }
}
