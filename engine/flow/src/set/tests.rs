//! The laws of the algebra, and the algebra against brute force: every packet
//! of a small universe, under every value of the atoms.

use proptest::prelude::*;

use super::*;
use crate::testing::{flow, in_box, universe};

const ATOMS: [&str; 2] = ["a", "b"];

/// A set as an expression that can be built in a space and judged by hand.
#[derive(Debug, Clone)]
enum Expression {
    Flow(Box<FlowBox>),
    Atom(usize),
    Union(Box<Expression>, Box<Expression>),
    Intersection(Box<Expression>, Box<Expression>),
    Difference(Box<Expression>, Box<Expression>),
    Complement(Box<Expression>),
}

impl Expression {
    fn build(&self, space: &mut Space) -> PacketSet {
        match self {
            Self::Flow(flow) => space.flow(flow).unwrap(),
            Self::Atom(atom) => space.atom(ATOMS[*atom], "test").unwrap(),
            Self::Union(a, b) => {
                let (a, b) = (a.build(space), b.build(space));
                space.union(a, b).unwrap()
            }
            Self::Intersection(a, b) => {
                let (a, b) = (a.build(space), b.build(space));
                space.intersection(a, b).unwrap()
            }
            Self::Difference(a, b) => {
                let (a, b) = (a.build(space), b.build(space));
                space.difference(a, b).unwrap()
            }
            Self::Complement(a) => {
                let a = a.build(space);
                space.complement(a).unwrap()
            }
        }
    }

    fn judge(&self, packet: &Packet, atoms: [bool; 2]) -> bool {
        match self {
            Self::Flow(flow) => in_box(flow, packet),
            Self::Atom(atom) => atoms[*atom],
            Self::Union(a, b) => a.judge(packet, atoms) || b.judge(packet, atoms),
            Self::Intersection(a, b) => a.judge(packet, atoms) && b.judge(packet, atoms),
            Self::Difference(a, b) => a.judge(packet, atoms) && !b.judge(packet, atoms),
            Self::Complement(a) => !a.judge(packet, atoms),
        }
    }
}

fn expression() -> impl Strategy<Value = Expression> {
    let leaf = prop_oneof![
        4 => flow().prop_map(|flow| Expression::Flow(flow.into())),
        1 => (0..ATOMS.len()).prop_map(Expression::Atom),
    ];
    leaf.prop_recursive(4, 24, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Expression::Union(a.into(), b.into())),
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| Expression::Intersection(a.into(), b.into())),
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| Expression::Difference(a.into(), b.into())),
            inner.prop_map(|a| Expression::Complement(a.into())),
        ]
    })
}

fn every_judgement(expression: &Expression, packet: &Packet) -> Vec<bool> {
    (0..4)
        .map(|bits| expression.judge(packet, [bits & 1 != 0, bits & 2 != 0]))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn membership_agrees_with_brute_force(expression in expression()) {
        let mut space = Space::new();
        let set = expression.build(&mut space);
        let certain = space.certainly(set).unwrap();
        let possible = space.possibly(set).unwrap();
        for packet in universe() {
            let judged = every_judgement(&expression, &packet);
            let all = judged.iter().all(|member| *member);
            let any = judged.iter().any(|member| *member);
            match space.contains(set, &packet) {
                Membership::Yes => prop_assert!(all, "{packet}"),
                Membership::No => prop_assert!(!any, "{packet}"),
                Membership::Depends(atoms) => {
                    prop_assert!(any && !all, "{packet}");
                    prop_assert!(!atoms.is_empty());
                }
            }
            prop_assert_eq!(space.contains(certain, &packet) == Membership::Yes, all);
            prop_assert_eq!(space.contains(possible, &packet) == Membership::Yes, any);
        }
    }

    #[test]
    fn equal_sets_have_one_representation(a in expression(), b in expression(), c in expression()) {
        let mut space = Space::new();
        let (a, b, c) = (a.build(&mut space), b.build(&mut space), c.build(&mut space));
        let s = &mut space;
        // Distribution, De Morgan, double complement, difference.
        let union = s.union(b, c).unwrap();
        let left = s.intersection(a, union).unwrap();
        let (ab, ac) = (s.intersection(a, b).unwrap(), s.intersection(a, c).unwrap());
        prop_assert_eq!(left, s.union(ab, ac).unwrap());
        let (not_a, not_b) = (s.complement(a).unwrap(), s.complement(b).unwrap());
        prop_assert_eq!(s.complement(ab).unwrap(), s.union(not_a, not_b).unwrap());
        prop_assert_eq!(s.complement(not_a).unwrap(), a);
        prop_assert_eq!(s.difference(a, b).unwrap(), s.intersection(a, not_b).unwrap());
        prop_assert_eq!(s.union(b, a).unwrap(), s.union(a, b).unwrap());
        prop_assert_eq!(s.intersection(a, not_a).unwrap(), PacketSet::EMPTY);
        prop_assert_eq!(s.union(a, not_a).unwrap(), PacketSet::ALL);
        prop_assert_eq!(s.union_all([a, b, c]).unwrap(), s.union(a, union).unwrap());
        prop_assert_eq!(s.is_subset(ab, a).unwrap(), true);
    }

    #[test]
    fn boxes_are_disjoint_and_rebuild_the_set(expression in expression()) {
        let mut space = Space::new();
        let set = expression.build(&mut space);
        let boxes = space.boxes(set).unwrap();
        let mut seen = PacketSet::EMPTY;
        let mut certain = PacketSet::EMPTY;
        for (flow, atoms) in &boxes {
            let part = space.flow(flow).unwrap();
            prop_assert!(!part.is_empty());
            prop_assert!(!space.intersects(seen, part).unwrap());
            seen = space.union(seen, part).unwrap();
            if atoms.is_empty() {
                certain = space.union(certain, part).unwrap();
            }
        }
        prop_assert_eq!(seen, space.possibly(set).unwrap());
        prop_assert_eq!(certain, space.certainly(set).unwrap());
        prop_assert_eq!(boxes, space.boxes(set).unwrap());
    }

    #[test]
    fn a_sample_is_a_possible_member(expression in expression()) {
        let mut space = Space::new();
        let set = expression.build(&mut space);
        let possible = space.possibly(set).unwrap();
        match space.sample(set) {
            None => prop_assert!(set.is_empty()),
            Some(packet) => prop_assert_eq!(space.contains(possible, &packet), Membership::Yes),
        }
    }

    #[test]
    fn the_first_label_wins(expressions in proptest::collection::vec(flow(), 1..8)) {
        let mut space = Space::new();
        let mut maps = Vec::new();
        for (index, flow) in expressions.iter().enumerate() {
            let set = space.flow(flow).unwrap();
            maps.push(space.labelled(set, index as u32 + 1).unwrap());
        }
        let map = space.first_of(maps).unwrap();
        let even = space.where_label(map, |label| label % 2 == 0).unwrap();
        for packet in universe() {
            let expected = expressions
                .iter()
                .position(|flow| in_box(flow, &packet))
                .map_or(0, |index| index as u32 + 1);
            prop_assert_eq!(space.labels_of(map, &packet), vec![expected]);
            prop_assert_eq!(
                space.contains(even, &packet) == Membership::Yes,
                expected % 2 == 0
            );
        }
    }
}

/// The values of the small universe that a translation may give, or those there are.
fn choices<T: Copy>(changed: bool, all: &[T], given: impl Fn(&T) -> bool, kept: T) -> Vec<T> {
    match changed {
        true => all.iter().copied().filter(given).collect(),
        false => vec![kept],
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_packet_is_before_a_translation_of_what_it_may_become(
        expression in expression(), to in flow(), changed in any::<[bool; 4]>(), start in 0_usize..97,
    ) {
        let packets = universe();
        // Every address of it is a source of some packet.
        let mut addresses: Vec<_> = packets.iter().map(|packet| packet.source).collect();
        addresses.sort_unstable();
        addresses.dedup();
        let ports = [0_u16, 1, 2, 3];
        // Other values than those of the universe are not tried by hand.
        let known = AddressSet::union_all(&addresses.iter().copied().map(AddressSet::host).collect::<Vec<_>>());
        let known_ports = PortSet::range(0_u16, 3_u16);
        let [sources, destinations] = [&to.sources, &to.destinations].map(|set| set.intersection(&known));
        let [from, port] = [&to.source_ports, &to.destination_ports].map(|set| set.intersection(&known_ports));
        let translation = Translation {
            sources: changed[0].then(|| sources.clone()),
            source_ports: changed[1].then(|| from.clone()),
            destinations: changed[2].then(|| destinations.clone()),
            destination_ports: changed[3].then(|| port.clone()),
        };
        let image = translation.of(&FlowBox::any());
        let mut space = Space::new();
        let set = expression.build(&mut space);
        let before = space.before_translation(&translation, set).unwrap();
        prop_assert!(space.atoms_of(before).is_empty());
        for packet in packets.iter().skip(start).step_by(97) {
            let mut is_before = false;
            for source in choices(changed[0], &addresses, |a| sources.contains(*a), packet.source) {
                for destination in choices(changed[2], &addresses, |a| destinations.contains(*a), packet.destination) {
                    if source.is_ipv4() != packet.source.is_ipv4() || destination.is_ipv4() != source.is_ipv4() {
                        continue;
                    }
                    for source_port in choices(changed[1], &ports, |p| from.contains(*p), packet.source_port) {
                        for destination_port in choices(changed[3], &ports, |p| port.contains(*p), packet.destination_port) {
                            let become_so = Packet { source, destination, source_port, destination_port, ..*packet };
                            is_before |= in_box(&image, &become_so)
                                && every_judgement(&expression, &become_so).contains(&true);
                        }
                    }
                }
            }
            let told = space.contains(before, packet);
            prop_assert_eq!(told == Membership::Yes, is_before, "{:?}", packet);
        }
    }
}

fn prefix(text: &str) -> AddressSet {
    AddressSet::prefix(text.parse().unwrap())
}

#[test]
fn words_name_protocol_port_source_and_destination() {
    let nodes = prefix("10.224.0.0/16");
    let flow = FlowBox::new_tcp(nodes.clone(), nodes, PortSet::single(10_250_u16));
    assert_eq!(
        flow.to_string(),
        "TCP 10250 from 10.224.0.0/16 to 10.224.0.0/16"
    );
    assert_eq!(
        FlowBox::any().to_string(),
        "any protocol from any to any, established connections too"
    );
}

#[test]
fn a_port_leaves_only_protocols_with_ports() {
    let mut space = Space::new();
    let web = FlowBox::any().with_destination_ports(PortSet::single(443_u16));
    let web = space.flow(&web).unwrap();
    let mut packet = Packet::new_tcp(
        "10.0.0.1".parse().unwrap(),
        "10.0.0.2".parse().unwrap(),
        443,
    );
    assert_eq!(space.contains(web, &packet), Membership::Yes);
    packet.protocol = Protocol::ICMP;
    assert_eq!(space.contains(web, &packet), Membership::No);
}

#[test]
fn one_atom_is_one_truth_wherever_it_is_used() {
    let mut space = Space::new();
    let tag = space
        .atom("source in Storage", "no service tag list")
        .unwrap();
    let not_tag = space.complement(tag).unwrap();
    assert!(space.union(tag, not_tag).unwrap().is_all());
    assert!(space.certainly(tag).unwrap().is_empty());
    assert!(space.possibly(tag).unwrap().is_all());
    let atoms = space.atoms_of(tag);
    assert_eq!(space.atom_of(atoms[0]).unwrap().name, "source in Storage");
}

#[test]
fn an_exhausted_budget_is_an_error_that_says_which_part() {
    let mut space = Space::with_budget(Budget {
        edges: 16,
        ..Budget::default()
    });
    let error = (0..64_u16)
        .try_for_each(|port| {
            space
                .flow(&FlowBox::any().with_destination_ports(PortSet::single(port * 2)))
                .map(|_| ())
        })
        .unwrap_err();
    assert_eq!(error.code(), "analysis_too_complex");
    assert_eq!(error.part, BudgetPart::Edges);
    assert!(error.naming(["deny-all"]).to_string().contains("deny-all"));
}

#[test]
fn packets_of_mixed_families_are_in_no_set() {
    let space = Space::new();
    let packet = Packet::new_tcp("10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap(), 1);
    assert_eq!(space.contains(PacketSet::ALL, &packet), Membership::No);
}

#[test]
fn as_many_atoms_as_the_budget_allows_fit_on_a_small_stack() {
    let work = || {
        let mut space = Space::new();
        let count = Budget::default().atoms;
        let mut every = PacketSet::ALL;
        let mut some = PacketSet::EMPTY;
        for index in 0..count {
            let atom = space.atom(&format!("atom {index}"), "test").unwrap();
            every = space.intersection(every, atom).unwrap();
            some = space.union(some, atom).unwrap();
        }
        let none = space.complement(some).unwrap();
        assert!(space.intersection(every, none).unwrap().is_empty());
        assert_eq!(space.atoms_of(every).len(), count);
        assert!(space.atom("one more", "test").is_err());
    };
    let thread = std::thread::Builder::new().stack_size(1 << 20);
    thread.spawn(work).unwrap().join().unwrap();
}

#[test]
fn a_rendering_of_too_many_boxes_is_an_error() {
    let mut space = Space::with_budget(Budget {
        boxes: 10,
        ..Budget::default()
    });
    let mut set = PacketSet::EMPTY;
    for number in 0..20_u32 {
        let host = |number: u32| AddressSet::host(std::net::Ipv4Addr::from(number).into());
        let flow = FlowBox::any()
            .with_sources(host(number * 2))
            .with_destinations(host(number * 3));
        let part = space.flow(&flow).unwrap();
        set = space.union(set, part).unwrap();
    }
    assert_eq!(space.boxes(set).unwrap_err().part, BudgetPart::Boxes);
}
