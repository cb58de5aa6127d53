//! That no smaller renumbering than the one found would do, and none where none is
//! found: all are tried.

use std::collections::BTreeSet;
use std::net::IpAddr;

use proptest::prelude::*;

use super::meaning::{rule, small_network};
use super::packed::row;
use super::placement::matched;
use crate::nsg::{
    Access, Direction, Nsg, NsgRule, PlacementError, PlacementRequest, Renumbered, TagContext,
    place,
};
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
    is_pinned: bool,
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
    /// Whether it allows them.
    allows: bool,
    /// The packets that must pass once the new rule is in.
    goal: u128,
}

/// Whether some way of moving up to `left` more rules achieves the aim.
fn some_move(rules: &mut Vec<Judged>, from: usize, left: usize, aim: Aim) -> bool {
    for index in from..rules.len() {
        if rules[index].is_pinned {
            continue;
        }
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
                allows: aim.allows,
                matches: aim.new,
                is_pinned: false,
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

/// What passes once the new rule is in: nothing that a rule before the blocking one
/// decides changes.
fn goal(rules: &[Judged], blocking: u16, new: u128, allows: bool) -> u128 {
    let decided_before = rules
        .iter()
        .filter(|rule| rule.number < blocking)
        .fold(0, |decided, rule| decided | rule.matches);
    let taken = new & !decided_before;
    if allows {
        passing(rules) | taken
    } else {
        passing(rules) & !taken
    }
}

fn request(new: NsgRule, pinned: BTreeSet<String>) -> PlacementRequest {
    PlacementRequest {
        rule: new,
        // One packet is required: the rest of the match must stay as it is
        // wherever a stricter rule holds it.
        required: vec![FlowBox::one(&kinds()[0])],
        pinned,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn no_smaller_renumbering_would_do_and_none_where_none_is_found(
        rules in proptest::collection::vec((tight_rule(), 0..12_u16, 0..5_u8), 2..6),
        new in tight_rule(),
    ) {
        // Hardly a gap: there is hardly ever a free number.
        let mut number = 100;
        let mut pinned = BTreeSet::new();
        let mut numbered = Vec::new();
        for (mut rule, gap, pin) in rules {
            number += u16::from(gap == 0);
            rule.priority = number;
            rule.name = format!("rule-{number}");
            if pin == 0 {
                pinned.insert(rule.name.clone());
            }
            numbered.push(rule);
            number += 1;
        }
        let group = Nsg::new("nsg", numbered).unwrap();
        let mut new = new;
        new.name = "new".to_owned();
        let allows = new.access == Access::Allow;
        let packets = kinds();
        let mut judged: Vec<Judged> = group
            .rules
            .iter()
            .map(|rule| Judged {
                number: rule.priority,
                allows: rule.access == Access::Allow,
                matches: bits(rule, &packets),
                is_pinned: pinned.contains(&rule.name),
            })
            .collect();
        let placed = place(&group, &request(new.clone(), pinned), &small_network());
        let (blocking, fewer) = match &placed {
            Ok(placement) if !placement.renumbered.is_empty() => {
                prop_assert!(placement.is_fewest);
                (&placement.blocking, placement.renumbered.len() - 1)
            }
            Err(PlacementError::NoFreePriority { blocking, all_were_tried, .. }) => {
                prop_assert!(all_were_tried);
                (blocking, judged.len())
            }
            _ => return Ok(()),
        };
        // Before a default rule there are numbers, or a default rule is stricter.
        let Some(blocking) = group.rule(blocking) else { return Ok(()) };
        let blocking = blocking.priority;
        let new = bits(&new, &packets);
        let aim = Aim {
            before: passing(&judged),
            new,
            allows,
            goal: goal(&judged, blocking, new, allows),
        };
        if let Ok(placement) = &placed {
            let mut after: Vec<Judged> = Vec::new();
            for rule in &placement.apply(&group).unwrap().rules {
                after.push(Judged {
                    number: rule.priority,
                    allows: rule.access == Access::Allow,
                    matches: bits(rule, &packets),
                    is_pinned: false,
                });
            }
            prop_assert_eq!(passing(&after), aim.goal);
        }
        for count in 1..=fewer {
            prop_assert!(
                !some_move(&mut judged, 0, count, aim),
                "{} moves would do instead of {:?}",
                count,
                placed
            );
        }
    }
}

fn moves(placed: &[Renumbered]) -> Vec<(&str, u16)> {
    let moves = placed.iter();
    moves.map(|step| (step.rule.as_str(), step.to)).collect()
}

#[test]
fn rules_move_both_ways_where_neither_way_alone_would_do() {
    let rules = vec![
        rule("deny-guests", 101, Access::Deny, "10.9.0.0/16", "*"),
        rule("deny-low", 102, Access::Deny, "*", "10000-10300"),
        rule("deny-ftp", 103, Access::Deny, "*", "21"),
        rule("allow-rest", 104, Access::Allow, "*", "*"),
    ];
    let group = Nsg::new("nsg", rules).unwrap();
    let new = rule("allow-kubelet", 0, Access::Allow, "10.0.0.0/8", "10250");
    let packet = Packet::new_tcp(
        "10.224.0.4".parse().unwrap(),
        "10.224.0.5".parse().unwrap(),
        10_250,
    );
    let request = PlacementRequest {
        rule: new,
        required: vec![FlowBox::one(&packet)],
        pinned: ["deny-guests", "allow-rest"].map(str::to_owned).into(),
    };
    // The blocking rule cannot pass the last one, nor the new rule the first: the
    // rule between them makes room by going to the front.
    let placement = place(&group, &request, &small_network()).unwrap();
    assert_eq!(
        moves(&placement.renumbered),
        [("deny-low", 103), ("deny-ftp", 100)]
    );
    assert_eq!(placement.rule.priority, 102);
}

/// So many rules, none of which may pass the next; the last one allows.
fn line(count: u16) -> Nsg {
    let rules = (0..count).map(|at| {
        let access = if at % 2 == 1 {
            Access::Allow
        } else {
            Access::Deny
        };
        let ports = if at + 1 == count {
            "1-20000".to_owned()
        } else {
            format!("{}-10260", 10_250 - at)
        };
        rule(&format!("r{at}"), 100 + at, access, "*", &ports)
    });
    Nsg::new("nsg", rules.collect()).unwrap()
}

fn into_line(pinned: BTreeSet<String>) -> PlacementRequest {
    let packet = Packet::new_tcp(
        "10.224.0.4".parse().unwrap(),
        "10.224.0.5".parse().unwrap(),
        10_250,
    );
    PlacementRequest {
        rule: rule("allow-kubelet", 0, Access::Allow, "10.0.0.0/8", "10250"),
        required: vec![FlowBox::one(&packet)],
        pinned,
    }
}

#[test]
fn a_row_that_has_to_move_as_a_whole_is_known_to_be_the_fewest_moves() {
    let request = into_line(BTreeSet::new());
    let placement = place(&line(10), &request, &small_network()).unwrap();
    assert_eq!(placement.renumbered.len(), 10);
    assert!(placement.is_fewest);
    // All but the last could move, and none of that would help.
    let request = into_line(BTreeSet::from(["r9".to_owned()]));
    let error = place(&line(10), &request, &small_network()).unwrap_err();
    let PlacementError::NoFreePriority { all_were_tried, .. } = &error else {
        panic!("another error: {error}");
    };
    assert!(all_were_tried, "{error}");
}

#[test]
fn where_too_much_would_have_to_be_ruled_out_neither_fewest_nor_none_is_claimed() {
    let request = into_line(BTreeSet::new());
    let placement = place(&line(900), &request, &small_network()).unwrap();
    assert_eq!(placement.renumbered.len(), 900);
    assert!(!placement.is_fewest);
    let (group, mut request) = row(150, 900, 225);
    request.pinned = ["r0", "r899"].map(str::to_owned).into();
    let error = place(&group, &request, &small_network()).unwrap_err();
    let PlacementError::NoFreePriority { all_were_tried, .. } = &error else {
        panic!("another error: {error}");
    };
    assert!(!all_were_tried);
    assert!(
        error.to_string().contains("no proved renumbering"),
        "{error}"
    );
}

#[test]
fn no_renumbering_gets_past_a_stricter_default_rule() {
    let group = Nsg::new("nsg", Vec::new()).unwrap();
    let mut new = rule("deny-web", 0, Access::Deny, "*", "443");
    new.direction = Direction::Outbound;
    let packet = Packet::new_tcp(
        "10.224.0.4".parse().unwrap(),
        "20.1.2.3".parse().unwrap(),
        443,
    );
    let request = PlacementRequest {
        rule: new,
        required: vec![FlowBox::one(&packet)],
        pinned: BTreeSet::new(),
    };
    let prefix: ipnet::IpNet = "10.224.0.0/16".parse().unwrap();
    let network = TagContext::new().with_virtual_network([&prefix]);
    let error = place(&group, &request, &network).unwrap_err();
    let PlacementError::NoFreePriority {
        all_were_tried,
        stricter,
        ..
    } = &error
    else {
        panic!("another error: {error}");
    };
    assert_eq!(stricter.as_deref(), Some("AllowVnetOutBound"));
    assert!(all_were_tried);
}
