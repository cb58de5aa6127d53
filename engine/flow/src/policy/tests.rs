//! Policies against brute force: every packet of a small universe, under every
//! value of the atoms.

use proptest::prelude::*;

use super::*;
use crate::delta::{DeltaReport, FlowDelta};
use crate::set::{
    AddressSet, Atom, Direction, FlowBox, Membership, Packet, PacketSet, PortSet, Protocol, Space,
};
use crate::testing::{flow, in_box, universe};

/// A rule that can be judged by hand: its atoms are bits of a number.
#[derive(Debug, Clone)]
struct Plain {
    flow: FlowBox,
    unknown_source: bool,
    conditional: bool,
    verdict: Verdict,
}

const TAG: usize = 0;
const CONDITION: usize = 1;
const OUTCOME: usize = 2;

fn plain() -> impl Strategy<Value = Plain> {
    let verdict = prop_oneof![
        4 => Just(Verdict::Allow),
        4 => Just(Verdict::Deny),
        1 => Just(Verdict::Unknown),
    ];
    (flow(), 0..6_u8, 0..6_u8, verdict).prop_map(|(flow, tag, condition, verdict)| Plain {
        flow,
        unknown_source: tag == 0,
        conditional: condition == 0,
        verdict,
    })
}

fn atom(name: &str) -> Atom {
    Atom {
        name: name.to_owned(),
        reason: "test".to_owned(),
    }
}

fn policy(name: &str, rules: &[Plain]) -> RulePolicy {
    let rule = |(index, plain): (usize, &Plain)| {
        let mut matches = RuleMatch::from(plain.flow.clone());
        if plain.unknown_source {
            matches.unknown_sources.push(UnknownAddresses {
                atom: atom("tag"),
                when: true,
                within: AddressSet::any(),
            });
        }
        if plain.conditional {
            matches.conditions.push(atom("condition"));
        }
        // Rules of unknown verdict share a name, so they share an atom.
        let name = match plain.verdict {
            Verdict::Unknown => "opaque".to_owned(),
            _ => format!("rule-{index}"),
        };
        Rule {
            name,
            matches,
            verdict: plain.verdict,
        }
    };
    RulePolicy {
        name: name.to_owned(),
        rules: rules.iter().enumerate().map(rule).collect(),
        default: ("default".to_owned(), Verdict::Deny),
    }
}

fn judge(rules: &[Plain], packet: &Packet, atoms: [bool; 3]) -> bool {
    for rule in rules {
        let mut flow = rule.flow.clone();
        if rule.unknown_source && atoms[TAG] {
            flow.sources = AddressSet::any();
        }
        if in_box(&flow, packet) && (!rule.conditional || atoms[CONDITION]) {
            return match rule.verdict {
                Verdict::Allow => true,
                Verdict::Deny => false,
                Verdict::Unknown => atoms[OUTCOME],
            };
        }
    }
    false
}

fn assignments() -> impl Iterator<Item = [bool; 3]> {
    (0..8_u8).map(|bits| [bits & 1 != 0, bits & 2 != 0, bits & 4 != 0])
}

fn expected(rules: &[Plain], packet: &Packet) -> Verdict {
    let passes: Vec<bool> = assignments().map(|a| judge(rules, packet, a)).collect();
    match (passes.contains(&true), passes.contains(&false)) {
        (true, false) => Verdict::Allow,
        (false, _) => Verdict::Deny,
        (true, true) => Verdict::Unknown,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn every_packet_gets_the_verdict_of_brute_force(
        rules in proptest::collection::vec(plain(), 0..7),
        question in flow(),
    ) {
        let mut space = Space::new();
        let within = space.flow(&question).unwrap();
        let decisions = policy("p", &rules).decide(&mut space, within).unwrap();
        let partition = decisions.partition(&mut space).unwrap();
        for packet in universe().into_iter().filter(|packet| in_box(&question, packet)) {
            let verdict = expected(&rules, &packet);
            let answer = decisions.answer(&mut space, &packet).unwrap();
            prop_assert_eq!(answer.verdict, verdict, "{}", packet);
            prop_assert_eq!(answer.atoms.is_empty(), verdict != Verdict::Unknown);
            prop_assert!(!answer.rules.is_empty());
            let set = match verdict {
                Verdict::Allow => partition.allowed,
                Verdict::Deny => partition.denied,
                Verdict::Unknown => partition.unknown,
            };
            prop_assert_eq!(space.contains(set, &packet), Membership::Yes);
        }
    }

    #[test]
    fn blocks_are_exactly_the_packets_each_denying_rule_decides(
        rules in proptest::collection::vec(plain(), 0..7),
    ) {
        let mut space = Space::new();
        let decisions = policy("p", &rules).decide(&mut space, PacketSet::ALL).unwrap();
        let blocks = decisions.blocks(&mut space).unwrap();
        let parts: Vec<PacketSet> = blocks.iter().map(|block| block.part).collect();
        let blocked = space.union_all(parts).unwrap();
        let allowed = decisions.allowed(&mut space).unwrap();
        prop_assert_eq!(blocked, space.complement(allowed).unwrap());
        prop_assert!(blocks.windows(2).all(|pair| pair[0].index < pair[1].index));
    }

    #[test]
    fn the_delta_is_exact_for_every_packet(
        before in proptest::collection::vec(plain(), 0..6),
        after in proptest::collection::vec(plain(), 0..6),
    ) {
        let mut space = Space::new();
        let old = policy("p", &before).decide(&mut space, PacketSet::ALL).unwrap();
        let new = policy("p", &after).decide(&mut space, PacketSet::ALL).unwrap();
        let delta = FlowDelta::between(&mut space, &old, &new).unwrap();
        for packet in universe() {
            let changes: Vec<(bool, bool)> = assignments()
                .map(|a| (judge(&before, &packet, a), judge(&after, &packet, a)))
                .collect();
            let gains = changes.iter().filter(|change| **change == (false, true)).count();
            let losses = changes.iter().filter(|change| **change == (true, false)).count();
            let is = |set| space.contains(set, &packet);
            prop_assert_eq!(is(delta.newly_allowed) == Membership::Yes, gains == 8);
            prop_assert_eq!(is(delta.newly_denied) == Membership::Yes, losses == 8);
            prop_assert_eq!(
                is(delta.may_become_allowed) == Membership::No,
                gains == 0 || gains == 8
            );
            prop_assert_eq!(
                is(delta.may_become_denied) == Membership::No,
                losses == 0 || losses == 8
            );
        }
    }

    #[test]
    fn two_policies_in_a_row_pass_what_both_pass(
        first in proptest::collection::vec(plain(), 0..5),
        second in proptest::collection::vec(plain(), 0..5),
    ) {
        let mut space = Space::new();
        let one = policy("p", &first).decide(&mut space, PacketSet::ALL).unwrap();
        let two = policy("p", &second).decide(&mut space, PacketSet::ALL).unwrap();
        let both = one.then(&mut space, &two).unwrap();
        let (a, b) = (one.allowed(&mut space).unwrap(), two.allowed(&mut space).unwrap());
        let expected = space.intersection(a, b).unwrap();
        prop_assert_eq!(both.allowed(&mut space).unwrap(), expected);
    }
}

fn prefix(text: &str) -> AddressSet {
    AddressSet::prefix(text.parse().unwrap())
}

fn kubelet() -> FlowBox {
    FlowBox::new_tcp(
        prefix("10.224.0.0/16"),
        prefix("10.224.0.0/16"),
        PortSet::single(10_250_u16),
    )
    .with_direction(Direction::Inbound)
}

#[test]
fn a_delta_report_says_in_words_what_opens() {
    let mut space = Space::new();
    let closed = RulePolicy::constant("nsg", "deny-all", Verdict::Deny);
    let mut open = closed.clone();
    open.rules.push(Rule {
        name: "allow-kubelet".to_owned(),
        matches: kubelet().into(),
        verdict: Verdict::Allow,
    });
    let before = closed.decide(&mut space, PacketSet::ALL).unwrap();
    let after = open.decide(&mut space, PacketSet::ALL).unwrap();
    let delta = FlowDelta::between(&mut space, &before, &after).unwrap();
    let report = delta.report(&space).unwrap();
    assert_eq!(
        report.words,
        ["newly allowed: inbound TCP 10250 from 10.224.0.0/16 to 10.224.0.0/16"]
    );
    assert_eq!(report.newly_allowed[0].src, ["10.224.0.0/16"]);
    let json = serde_json::to_string(&report).unwrap();
    let back: DeltaReport = serde_json::from_str(&json).unwrap();
    assert_eq!(back, report);
    let needed = space.flow(&kubelet()).unwrap();
    assert!(delta.excess(&mut space, needed).unwrap().is_empty());
}

#[test]
fn a_rule_about_an_unknown_tag_makes_the_delta_unknown_and_names_the_tag() {
    let mut space = Space::new();
    let mut tagged = RulePolicy::constant("nsg", "deny-all", Verdict::Deny);
    let mut matches = RuleMatch::from(kubelet().with_sources(AddressSet::empty()));
    matches.unknown_sources.push(UnknownAddresses {
        atom: atom("source in service tag Storage"),
        when: true,
        within: AddressSet::any(),
    });
    let closed = tagged.clone();
    tagged.rules.push(Rule {
        name: "allow-storage".to_owned(),
        matches,
        verdict: Verdict::Allow,
    });
    let before = closed.decide(&mut space, PacketSet::ALL).unwrap();
    let after = tagged.decide(&mut space, PacketSet::ALL).unwrap();
    let delta = FlowDelta::between(&mut space, &before, &after).unwrap();
    assert!(delta.newly_allowed.is_empty());
    assert!(!delta.is_exactly_known());
    let report = delta.report(&space).unwrap();
    assert!(report.is_partly_unknown());
    assert_eq!(
        report.words,
        [
            "may become allowed: inbound TCP 10250 from any-ipv4 to 10.224.0.0/16, \
             depending on: source in service tag Storage"
        ]
    );
    assert_eq!(report.atoms[0].name, "source in service tag Storage");
    // Nothing changes when the same unknown rule is there before and after.
    let same = FlowDelta::between(&mut space, &after, &after).unwrap();
    assert!(same.is_empty());
}

#[test]
fn a_policy_too_complex_to_analyse_names_its_rules() {
    let mut policy = RulePolicy::constant("nsg", "deny-all", Verdict::Deny);
    for index in 0..64_u32 {
        policy.rules.push(Rule {
            name: format!("rule-{index}"),
            matches: FlowBox::any()
                .with_protocol(Protocol::TCP)
                .with_sources(AddressSet::host(std::net::Ipv4Addr::from(index * 2).into()))
                .with_destinations(AddressSet::host(std::net::Ipv4Addr::from(index * 3).into()))
                .into(),
            verdict: Verdict::Allow,
        });
    }
    let mut space = Space::with_budget(crate::set::Budget {
        steps: 500,
        ..Default::default()
    });
    let error = policy.decide(&mut space, PacketSet::ALL).unwrap_err();
    assert_eq!(error.code(), "analysis_too_complex");
    assert_eq!(error.rules.len(), 64);
    assert!(error.to_string().contains("rule-0"));
    // A question about few packets pays for few rules.
    let mut space = Space::with_budget(crate::set::Budget {
        steps: 500,
        ..Default::default()
    });
    let one = FlowBox::any().with_sources(prefix("0.0.0.4/32"));
    let one = space.flow(&one).unwrap();
    assert!(policy.decide(&mut space, one).is_ok());
}
