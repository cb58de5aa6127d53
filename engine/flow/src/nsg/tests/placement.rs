//! Priorities against brute force: every number, every packet.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::meaning::{judge, numbered, rule, small_network, small_rule};
use crate::nsg::{
    Access, Direction, MAX_PRIORITY, MIN_PRIORITY, Nsg, NsgRule, PLATFORM_ADDRESS, Placement,
    PlacementError, PlacementRequest, TagContext, place,
};
use crate::set::{self, AddressSet, ConnectionState, FlowBox, Packet};
use crate::testing::{flow, in_box, universe};

fn request(rule: NsgRule, required: FlowBox) -> PlacementRequest {
    PlacementRequest {
        rule,
        required: vec![required],
        pinned: BTreeSet::new(),
    }
}

/// The packets of the universe a rule matches, by way of a group of its own.
pub(super) fn matched(rule: &NsgRule, packet: &Packet) -> bool {
    let mut probe = rule.clone();
    probe.priority = MIN_PRIORITY;
    probe.name = "probe".to_owned();
    probe.access = Access::Allow;
    let mut group = Nsg::new("probe", vec![probe]).unwrap();
    group.default_rules.clear();
    packet.state == ConnectionState::New && judge(&group, packet)
}

/// The number of the first rule that decides a packet, by removing the rules
/// after it one by one.
fn deciding_number(group: &Nsg, packet: &Packet) -> u16 {
    let verdict = |group: &Nsg, rule: &NsgRule| {
        let mut rule = rule.clone();
        rule.access = Access::Allow;
        let mut one = group.clone();
        one.rules = Vec::new();
        one.default_rules = vec![rule];
        judge(&one, packet)
    };
    group
        .rules
        .iter()
        .chain(&group.default_rules)
        .filter(|rule| set::Direction::from(rule.direction) == packet.direction)
        .filter(|rule| verdict(group, rule))
        .map(|rule| rule.priority)
        .min()
        .unwrap_or(u16::MAX)
}

struct BruteForce {
    required: Vec<Packet>,
    first_blocking: u16,
    valid: Vec<u16>,
}

/// Judges every number by the definition, packet by packet.
fn brute_force(group: &Nsg, new: &NsgRule, required: &FlowBox) -> BruteForce {
    let packets: Vec<Packet> = universe()
        .into_iter()
        .filter(|packet| packet.direction == set::Direction::from(new.direction))
        .filter(|packet| packet.state == ConnectionState::New)
        .collect();
    let mut wanted = required.clone();
    wanted.directions = set::DirectionSet::full();
    wanted.states = set::PairSet::full();
    let required: Vec<Packet> = packets
        .iter()
        .copied()
        .filter(|packet| in_box(&wanted, packet))
        .collect();
    let goal = new.access == Access::Allow;
    let first_blocking = required
        .iter()
        .filter(|packet| judge(group, packet) != goal)
        .map(|packet| deciding_number(group, packet))
        .min()
        .unwrap_or(0);
    let held: Vec<Packet> = packets
        .iter()
        .copied()
        .filter(|packet| judge(group, packet) != goal)
        .filter(|packet| deciding_number(group, packet) < first_blocking)
        .collect();
    // The rules' numbers end below these; all larger ones are alike.
    let valid = (MIN_PRIORITY..=MIN_PRIORITY + 25)
        .chain([MAX_PRIORITY])
        .filter(|number| {
            let mut rule = new.clone();
            rule.priority = *number;
            let Ok(after) = group.with_rule(rule) else {
                return false;
            };
            required.iter().all(|packet| judge(&after, packet) == goal)
                && held.iter().all(|packet| judge(&after, packet) != goal)
                && packets.iter().all(|packet| {
                    matched(new, packet) || judge(&after, packet) == judge(group, packet)
                })
        })
        .collect();
    BruteForce {
        required,
        first_blocking,
        valid,
    }
}

/// Numbers packed into runs so that windows are often full.
fn packed(rules: Vec<NsgRule>, gaps: &[u16]) -> Nsg {
    let mut number = MIN_PRIORITY;
    let mut group = numbered(rules);
    for (index, rule) in group.rules.iter_mut().enumerate() {
        number += gaps.get(index).copied().unwrap_or(1);
        rule.priority = number;
        number += 1;
    }
    group
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_number_is_the_latest_valid_one_of_all(
        rules in proptest::collection::vec(small_rule(), 0..7),
        gaps in proptest::collection::vec(0..3_u16, 7),
        new in small_rule(),
        required in flow(),
    ) {
        let group = packed(rules, &gaps);
        let mut new = new;
        new.name = "new".to_owned();
        // Default rules know one address that the universe does not have: what is
        // asked of it decides over numbers that no packet here tells.
        let mut required = required;
        let elsewhere = AddressSet::host(PLATFORM_ADDRESS).complement();
        required.sources = required.sources.intersection(&elsewhere);
        required.destinations = required.destinations.intersection(&elsewhere);
        let brute = brute_force(&group, &new, &required);
        match place(&group, &request(new.clone(), required), &small_network()) {
            Ok(placement) if placement.renumbered.is_empty() => {
                prop_assert_eq!(Some(&placement.rule.priority), brute.valid.last());
            }
            Ok(placement) => {
                prop_assert!(brute.valid.is_empty());
                let after = placement.apply(&group).unwrap();
                let goal = new.access == Access::Allow;
                for packet in universe() {
                    let (was, is) = (judge(&group, &packet), judge(&after, &packet));
                    if brute.required.contains(&packet) {
                        prop_assert_eq!(is, goal, "{}", packet);
                    } else if was != is {
                        prop_assert!(matched(&new, &packet), "{}", packet);
                        prop_assert!(deciding_number(&group, &packet) >= brute.first_blocking);
                    }
                }
            }
            Err(PlacementError::NoFreePriority { .. }) => prop_assert!(brute.valid.is_empty()),
            Err(PlacementError::AlreadyInForce) => {
                let goal = new.access == Access::Allow;
                prop_assert!(brute.required.iter().all(|packet| judge(&group, packet) == goal));
            }
            // The universe is part of all packets: what it misses may still be
            // required, so these two cannot be judged by it.
            Err(PlacementError::NotCovered { .. } | PlacementError::NothingRequired) => {}
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}

fn kubelet(source: &str) -> NsgRule {
    let mut rule = rule("allow-kubelet", 0, Access::Allow, source, "10250");
    rule.destination_prefixes = vec!["10.224.0.0/16".to_owned()];
    rule
}

fn tunnel() -> FlowBox {
    let nodes = set::AddressSet::prefix("10.224.0.0/16".parse().unwrap());
    FlowBox::new_tcp(nodes.clone(), nodes, set::PortSet::single(10_250_u16))
}

fn network() -> TagContext {
    let prefix: ipnet::IpNet = "10.224.0.0/16".parse().unwrap();
    TagContext::new().with_virtual_network([&prefix])
}

fn placed(rules: Vec<NsgRule>, new: NsgRule) -> Result<Placement, PlacementError> {
    let group = Nsg::new("nsg", rules).unwrap();
    place(&group, &request(new, tunnel()), &network())
}

#[test]
fn the_rule_goes_right_before_the_one_that_blocks() {
    let rules = vec![
        rule("deny-ssh", 300, Access::Deny, "*", "22"),
        rule("deny-all", 1000, Access::Deny, "*", "*"),
    ];
    let placement = placed(rules, kubelet("10.224.0.0/16")).unwrap();
    assert_eq!(placement.rule.priority, 999);
    assert_eq!(placement.blocking, "deny-all");
    assert!(placement.stricter.is_empty());
    assert_eq!(placement.room_left, 898);
    assert!(placement.is_fewest);
    assert_eq!(
        placement.delta.words,
        ["newly allowed: inbound TCP 10250 from 10.224.0.0/16 to 10.224.0.0/16"]
    );
}

#[test]
fn a_stricter_rule_stays_above_a_wider_allow() {
    let rules = vec![
        rule("deny-guests", 998, Access::Deny, "10.9.0.0/16", "*"),
        rule("deny-all", 1000, Access::Deny, "*", "*"),
    ];
    let placement = placed(rules, kubelet("10.0.0.0/8")).unwrap();
    assert_eq!(placement.rule.priority, 999);
    assert_eq!(placement.stricter, ["deny-guests"]);
    assert!(!placement.delta.words.join(" ").contains("10.9.0.0"));
}

#[test]
fn a_default_rule_that_blocks_gives_the_last_number() {
    let mut elsewhere = kubelet("192.168.0.0/16");
    elsewhere.name = "allow-elsewhere".to_owned();
    let group = Nsg::new("nsg", Vec::new()).unwrap();
    let required = FlowBox::new_tcp(
        set::AddressSet::prefix("192.168.1.0/24".parse().unwrap()),
        set::AddressSet::prefix("10.224.0.0/16".parse().unwrap()),
        set::PortSet::single(10_250_u16),
    );
    let placement = place(&group, &request(elsewhere, required), &network()).unwrap();
    assert_eq!(placement.rule.priority, MAX_PRIORITY);
    assert_eq!(placement.blocking, "DenyAllInBound");
}

#[test]
fn without_a_free_number_the_fewest_rules_move() {
    // 100 and 101 are taken, and the blocking rule is at 101.
    let rules = vec![
        rule("deny-guests", 100, Access::Deny, "10.9.0.0/16", "*"),
        rule("deny-low", 101, Access::Deny, "*", "10000-10300"),
        rule("allow-middle", 102, Access::Allow, "*", "10300-10400"),
        rule("deny-high", 103, Access::Deny, "*", "10400-10500"),
    ];
    let placement = placed(rules.clone(), kubelet("10.0.0.0/8")).unwrap();
    assert_eq!(placement.rule.priority, 101);
    // Each rule shares a port with the next that goes the other way.
    let moves: Vec<(&str, u16)> = placement
        .renumbered
        .iter()
        .map(|step| (step.rule.as_str(), step.to))
        .collect();
    assert_eq!(
        moves,
        [("deny-low", 102), ("allow-middle", 103), ("deny-high", 104)]
    );
    assert!(placement.is_fewest);
    // With an unrelated rule in the middle, a jump saves a move.
    let mut rules = rules;
    rules[2] = rule("deny-ftp", 102, Access::Deny, "*", "21");
    let placement = placed(rules, kubelet("10.0.0.0/8")).unwrap();
    assert_eq!(placement.renumbered.len(), 1);
    assert_eq!(placement.renumbered[0].to, 104);
}

#[test]
fn pinned_rules_stay_and_leave_a_counterexample_when_nothing_else_helps() {
    let rules = vec![
        rule("deny-guests", 100, Access::Deny, "10.9.0.0/16", "*"),
        rule("deny-all", 101, Access::Deny, "*", "*"),
    ];
    let group = Nsg::new("nsg", rules).unwrap();
    let mut request = request(kubelet("10.0.0.0/8"), tunnel());
    request.pinned.insert("Deny-All".to_owned());
    let error = place(&group, &request, &network()).unwrap_err();
    assert_eq!(error.code(), "no_free_priority");
    let PlacementError::NoFreePriority {
        blocking,
        stricter,
        still_stopped,
        wrongly_decided,
        all_were_tried,
    } = error
    else {
        panic!("another error");
    };
    assert!(all_were_tried);
    assert_eq!(
        (blocking.as_str(), stricter.as_deref()),
        ("deny-all", Some("deny-guests"))
    );
    assert!(
        still_stopped.contains("10.224.0.0 port 10250"),
        "{still_stopped}"
    );
    assert!(wrongly_decided.unwrap().contains("from 10.9.0.0"));
}

#[test]
fn a_rule_that_does_not_cover_what_is_required_is_refused_with_a_packet() {
    let rules = || vec![rule("deny-all", 1000, Access::Deny, "*", "*")];
    let error = placed(rules(), kubelet("10.224.1.0/24")).unwrap_err();
    assert_eq!(error.code(), "rule_does_not_cover_required");
    assert!(error.to_string().contains("from 10.224.0.0"), "{error}");
    // An unknown tag covers nothing for certain.
    let error = placed(rules(), kubelet("AzureCloud")).unwrap_err();
    assert_eq!(error.code(), "rule_does_not_cover_required");
}

#[test]
fn what_is_allowed_already_needs_no_rule() {
    let error = placed(Vec::new(), kubelet("10.224.0.0/16")).unwrap_err();
    assert_eq!(error.code(), "already_in_force");
    let outbound = {
        let mut rule = kubelet("10.224.0.0/16");
        rule.direction = Direction::Outbound;
        rule
    };
    assert_eq!(
        placed(Vec::new(), outbound).unwrap_err().code(),
        "already_in_force"
    );
}

#[test]
fn a_deny_about_an_unknown_tag_blocks_until_it_is_known() {
    let mut deny = rule("deny-storage", 500, Access::Deny, "Storage", "*");
    deny.protocol = "*".to_owned();
    let placement = placed(vec![deny], kubelet("10.224.0.0/16")).unwrap();
    assert_eq!(placement.rule.priority, 499);
    assert!(placement.delta.newly_allowed.is_empty());
    assert!(placement.delta.is_partly_unknown());
    assert_eq!(
        placement.delta.atoms[0].name,
        "source in service tag storage"
    );
}

#[test]
fn a_full_group_takes_no_rule() {
    let rules: Vec<NsgRule> = (0..1000)
        .map(|index| rule(&format!("r{index}"), 100 + index, Access::Deny, "*", "22"))
        .collect();
    let error = placed(rules, kubelet("10.224.0.0/16")).unwrap_err();
    assert_eq!(error.code(), "nsg_rule_limit_reached");
}
