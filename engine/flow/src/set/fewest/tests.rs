//! The fewest boxes against brute force.

use std::net::Ipv4Addr;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::*;
use crate::set::{AddressSet, ConnectionState, Packet, PacketSet, PortSet, Protocol, Space};
use crate::testing::{flow, in_box, universe};

/// Cells in up to three dimensions, and which values of a dimension a box may have.
struct Cells {
    counts: [u32; 3],
    /// Bits of values that may be in a box together.
    parts: [Vec<u32>; 3],
    cell: fn([u32; 3]) -> FlowBox,
}

fn host(number: u32) -> AddressSet {
    AddressSet::host(Ipv4Addr::from_bits(10 * number).into())
}

impl Cells {
    /// Sources, destinations and ports.
    fn of_products(counts: [u32; 3]) -> Self {
        Self {
            counts,
            parts: counts.map(|count| (1..1 << count).collect()),
            cell: |[source, destination, port]| {
                let port = PortSet::single(u16::try_from(port).unwrap());
                FlowBox::new_tcp(host(source), host(destination), port)
            },
        }
    }

    /// ICMP, a TCP port and the other TCP ports; two parts of the IPv4 pairs and all
    /// IPv6 pairs; new and established.
    fn of_kinds() -> Self {
        // ICMP has no part of the ports, IPv6 no part of the IPv4 pairs.
        let kinds = vec![0b001, 0b010, 0b100, 0b110, 0b111];
        Self {
            counts: [3, 3, 2],
            parts: [kinds.clone(), kinds, vec![0b01, 0b10, 0b11]],
            cell: |[kind, pairs, state]| {
                let port = PortSet::single(0_u8);
                let flow = match kind {
                    0 => FlowBox::any().with_protocol(Protocol::ICMP),
                    1 => FlowBox::any()
                        .with_protocol(Protocol::TCP)
                        .with_destination_ports(port),
                    _ => FlowBox::any()
                        .with_protocol(Protocol::TCP)
                        .with_destination_ports(port.complement()),
                };
                let mut v4 = AddressSet::any_v4();
                let flow = match pairs {
                    0 => flow
                        .with_sources(AddressSet::any_v6())
                        .with_destinations(AddressSet::any_v6()),
                    1 => flow.with_sources(host(0)).with_destinations(v4),
                    _ => {
                        v4.v4 = v4.v4.difference(&host(0).v4);
                        flow.with_sources(v4)
                            .with_destinations(AddressSet::any_v4())
                    }
                };
                flow.with_state(match state {
                    0 => ConnectionState::New,
                    _ => ConnectionState::Established,
                })
            },
        }
    }

    fn place(&self, number: u32) -> [u32; 3] {
        let [x, y, _] = self.counts;
        [number % x, number / x % y, number / x / y]
    }

    fn flows(&self, cells: u32) -> Vec<FlowBox> {
        let numbers = (0..u32::BITS).filter(|number| cells >> number & 1 == 1);
        numbers
            .map(|number| (self.cell)(self.place(number)))
            .collect()
    }

    /// For every set of cells, the fewest disjoint boxes it falls into.
    fn fewest_of_all(&self) -> Vec<usize> {
        let count = self.counts.iter().product::<u32>();
        let [xs, ys, zs] = &self.parts;
        let mut boxes = vec![Vec::new(); count as usize];
        for (x, y) in xs.iter().flat_map(|x| ys.iter().map(move |y| (x, y))) {
            for z in zs {
                let is_inside = |number: &u32| {
                    let [a, b, c] = self.place(*number);
                    x >> a & y >> b & z >> c & 1 == 1
                };
                let cells = (0..count)
                    .filter(is_inside)
                    .fold(0, |all, number| all | 1_u32 << number);
                boxes[cells.trailing_zeros() as usize].push(cells);
            }
        }
        let mut fewest = vec![0];
        for cells in 1..1_u32 << count {
            // Some box holds the first cell; what is left is known.
            let holding = boxes[cells.trailing_zeros() as usize].iter();
            let holding = holding.filter(|held| *held & !cells == 0);
            let rest = holding.map(|held| fewest[(cells & !held) as usize]);
            fewest.push(1 + rest.min().unwrap());
        }
        fewest
    }

    fn assert_the_fewest(&self, step: usize) {
        let expected = self.fewest_of_all();
        for (cells, expected) in expected.iter().enumerate().step_by(step) {
            let found = fewest(self.flows(cells as u32));
            let boxes = &found.boxes;
            assert_eq!(boxes.len(), *expected, "{cells:b}: {boxes:?}");
            assert!(found.is_proved, "{cells:b}");
            self.assert_held(cells as u32, boxes);
        }
    }

    /// The boxes hold each cell of a set once and whole, and no part of another.
    fn assert_held(&self, cells: u32, boxes: &[FlowBox]) {
        for number in 0..self.counts.iter().product() {
            let cell = (self.cell)(self.place(number));
            let parts = boxes.iter().map(|flow| flow.intersection(&cell));
            let parts: Vec<FlowBox> = parts.filter(|part| !part.is_empty()).collect();
            let expected = (cells >> number & 1 == 1).then_some(cell);
            assert_eq!(parts, Vec::from_iter(expected), "{cells:b}: {boxes:?}");
        }
    }
}

fn union(space: &mut Space, flows: &[FlowBox]) -> PacketSet {
    let sets: Vec<PacketSet> = flows.iter().map(|flow| space.flow(flow).unwrap()).collect();
    space.union_all(sets).unwrap()
}

fn boxes(space: &Space, set: PacketSet) -> Vec<FlowBox> {
    let boxes = space.boxes(set).unwrap().into_iter();
    boxes.map(|(flow, _)| flow).collect()
}

#[test]
fn every_set_of_few_cells_is_written_in_the_fewest_boxes() {
    for counts in [[2, 2, 2], [2, 2, 3], [3, 3, 1]] {
        Cells::of_products(counts).assert_the_fewest(1);
    }
}

#[test]
fn sets_of_more_cells_are_written_in_the_fewest_boxes() {
    for (counts, step) in [([3, 4, 1], 7), ([4, 4, 1], 173), ([2, 3, 3], 691)] {
        Cells::of_products(counts).assert_the_fewest(step);
    }
}

#[test]
fn neither_ports_of_icmp_nor_half_a_family_are_put_in_a_box_to_save_one() {
    Cells::of_kinds().assert_the_fewest(691);
}

#[test]
fn sets_from_diagrams_are_written_in_the_fewest_boxes() {
    let cells = Cells::of_products([3, 3, 1]);
    for (set, expected) in cells.fewest_of_all().iter().enumerate().skip(1) {
        let mut space = Space::new();
        let flows = union(&mut space, &cells.flows(set as u32));
        let boxes = boxes(&space, flows);
        assert_eq!(boxes.len(), *expected, "{set:b}: {boxes:?}");
    }
}

#[test]
fn a_set_has_one_rendering_however_it_was_built() {
    let cells = Cells::of_products([2, 3, 3]);
    let all = (1_u32 << 18) - 1;
    for set in (1..all).step_by(1_999) {
        let mut space = Space::new();
        let joined = union(&mut space, &cells.flows(set));
        let mut other = Space::new();
        let (whole, rest) = (cells.flows(all), cells.flows(all & !set));
        let (whole, rest) = (union(&mut other, &whole), union(&mut other, &rest));
        let left = other.difference(whole, rest).unwrap();
        assert_eq!(boxes(&space, joined), boxes(&other, left), "{set:b}");
        let mut flows = cells.flows(set);
        let forwards = merge_boxes(flows.clone());
        flows.reverse();
        assert_eq!(forwards, merge_boxes(flows), "{set:b}");
    }
}

/// Of each source to a destination of its own.
fn pairs(count: u32) -> Vec<FlowBox> {
    let pair = |number| FlowBox::new_tcp(host(number), host(number), PortSet::full());
    (0..count).map(pair).collect()
}

#[test]
fn more_boxes_than_the_bound_are_not_claimed_to_be_the_fewest() {
    let most = u32::try_from(MOST_BOXES).unwrap();
    assert!(fewest(pairs(most)).is_proved);
    assert!(!fewest(pairs(most + 1)).is_proved);
}

#[test]
fn what_steps_do_not_suffice_for_is_not_claimed_to_be_the_fewest() {
    // The corners of a cube but for two opposite ones: a ring of six.
    let ring = Cells::of_products([2, 2, 2]).flows(0b0111_1110);
    let grid = Grid::new(&joined(ring)).unwrap();
    let (blocks, is_proved) = in_fewer(&grid, 0);
    assert_eq!((blocks.len(), is_proved), (grid.boxes.len(), false));
    assert!(in_fewer(&grid, STEPS).1);
}

#[test]
fn a_set_of_many_cells_is_proved_by_the_bound_alone() {
    // Each source has ports that the one before has not, of either side.
    let flows: Vec<FlowBox> = (0..12_u32)
        .map(|number| {
            let low = PortSet::range(0_u16, 100 + number as u16);
            let ports = low.union(&PortSet::single(1_000 + number as u16));
            FlowBox::new_tcp(host(number), AddressSet::any_v4(), ports.clone())
                .with_source_ports(ports)
        })
        .collect();
    assert!(
        Grid::new(&flows)
            .unwrap()
            .cells(search::MOST_CELLS)
            .is_none()
    );
    let found = fewest(flows);
    assert_eq!((found.boxes.len(), found.is_proved), (12, true));
}

#[test]
fn of_boxes_not_known_to_be_the_fewest_no_three_can_be_written_as_two() {
    let mut runner = TestRunner::deterministic();
    let some = proptest::collection::vec(flow(), 6);
    let mut seen = 0;
    while seen < 12 {
        let flows = some.new_tree(&mut runner).unwrap().current();
        let mut space = Space::new();
        let set = union(&mut space, &flows);
        let found = fewest(boxes(&space, set));
        let boxes = &found.boxes;
        if found.is_proved || boxes.len() > MOST_BOXES {
            continue;
        }
        seen += 1;
        for third in 0..boxes.len() {
            for second in 0..third {
                for first in 0..second {
                    let three = [first, second, third].map(|at| boxes[at].clone());
                    assert_eq!(fewest(three.to_vec()).boxes.len(), 3, "{three:?}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn boxes_cut_anew_hold_the_same_packets_each_once(
        flows in proptest::collection::vec(flow(), 1..7),
    ) {
        let mut space = Space::new();
        let set = union(&mut space, &flows);
        let boxes = boxes(&space, set);
        let mut candidates: Vec<Vec<FlowBox>> = other_cuts(&boxes).collect();
        candidates.extend(Grid::new(&boxes).map(|grid| {
            grid.boxes.iter().map(|block| grid.flow(block)).collect()
        }));
        candidates.push(boxes);
        for boxes in candidates {
            for packet in universe() {
                let holding = |packet: &Packet| boxes.iter().filter(|flow| in_box(flow, packet)).count();
                let is_member = flows.iter().any(|flow| in_box(flow, &packet));
                prop_assert_eq!(holding(&packet), usize::from(is_member), "{}", packet);
            }
        }
    }
}
