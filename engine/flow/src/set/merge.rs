//! Joining boxes that differ in one dimension only.

use hashbrown::HashMap;

use super::address::AddressSet;
use super::flow_box::FlowBox;
use super::ranges::{DirectionSet, PairSet, PortSet, ProtocolSet};

/// Few sets need more than three rounds; the bound keeps the cost near linear.
const ROUNDS: usize = 16;

/// Whether two boxes are the same in what a pass joins by.
type IsSame = fn(&FlowBox, &FlowBox) -> bool;
type Pass = fn(Vec<FlowBox>) -> Vec<FlowBox>;

/// Joins disjoint boxes pairwise until no two differ in only one dimension.
pub(super) fn joined(mut boxes: Vec<FlowBox>) -> Vec<FlowBox> {
    boxes.sort();
    let passes: [(IsSame, Pass); 8] = [
        (
            |a, b| a.source_ports == b.source_ports,
            |boxes| {
                join(
                    boxes,
                    |flow| std::mem::replace(&mut flow.source_ports, PortSet::empty()),
                    |flow, part| flow.source_ports = flow.source_ports.union(&part),
                )
            },
        ),
        (
            |a, b| a.sources == b.sources,
            |boxes| {
                join(
                    boxes,
                    |flow| std::mem::take(&mut flow.sources),
                    |flow, part| flow.sources = flow.sources.union(&part),
                )
            },
        ),
        (
            |a, b| a.destinations == b.destinations,
            |boxes| {
                join(
                    boxes,
                    |flow| std::mem::take(&mut flow.destinations),
                    |flow, part| flow.destinations = flow.destinations.union(&part),
                )
            },
        ),
        (
            |a, b| a.sources == b.sources && a.destinations == b.destinations,
            join_families,
        ),
        (
            |a, b| a.destination_ports == b.destination_ports,
            |boxes| {
                join(
                    boxes,
                    |flow| std::mem::replace(&mut flow.destination_ports, PortSet::empty()),
                    |flow, part| flow.destination_ports = flow.destination_ports.union(&part),
                )
            },
        ),
        (
            |a, b| a.protocols == b.protocols,
            |boxes| {
                join(
                    boxes,
                    |flow| std::mem::replace(&mut flow.protocols, ProtocolSet::empty()),
                    |flow, part| flow.protocols = flow.protocols.union(&part),
                )
            },
        ),
        (
            |a, b| a.states == b.states,
            |boxes| {
                join(
                    boxes,
                    |flow| std::mem::replace(&mut flow.states, PairSet::empty()),
                    |flow, part| flow.states = flow.states.union(&part),
                )
            },
        ),
        (
            |a, b| a.directions == b.directions,
            |boxes| {
                join(
                    boxes,
                    |flow| std::mem::replace(&mut flow.directions, DirectionSet::empty()),
                    |flow, part| flow.directions = flow.directions.union(&part),
                )
            },
        ),
    ];
    for _ in 0..ROUNDS {
        let before = boxes.len();
        for (is_same, pass) in passes {
            // Disjoint boxes that are all the same in what a pass joins by are
            // not joined by it.
            let mut pairs = boxes.iter().zip(boxes.iter().skip(1));
            if !pairs.all(|(a, b)| is_same(a, b)) {
                boxes = pass(boxes);
            }
        }
        if boxes.len() == before {
            break;
        }
    }
    boxes
}

/// Joins the boxes that are equal but for one part.
fn join<Part>(
    boxes: Vec<FlowBox>,
    take: impl Fn(&mut FlowBox) -> Part,
    add: impl Fn(&mut FlowBox, Part),
) -> Vec<FlowBox> {
    let mut joined: Vec<FlowBox> = Vec::with_capacity(boxes.len());
    let mut places: HashMap<FlowBox, usize> = HashMap::with_capacity(boxes.len());
    for mut flow in boxes {
        let part = take(&mut flow);
        match places.get(&flow) {
            Some(&place) => {
                if let Some(into) = joined.get_mut(place) {
                    add(into, part);
                }
            }
            None => {
                places.insert(flow.clone(), joined.len());
                add(&mut flow, part);
                joined.push(flow);
            }
        }
    }
    joined
}

/// Joins the box of all IPv4 pairs with the box of all IPv6 pairs. Addresses
/// of one packet are of one family, so the product adds nothing.
fn join_families(boxes: Vec<FlowBox>) -> Vec<FlowBox> {
    let (whole, mut others): (Vec<FlowBox>, Vec<FlowBox>) = boxes.into_iter().partition(|flow| {
        let v4 = AddressSet::any_v4();
        let v6 = AddressSet::any_v6();
        (flow.sources == v4 && flow.destinations == v4)
            || (flow.sources == v6 && flow.destinations == v6)
    });
    others.extend(join(
        whole,
        |flow| {
            let part = (flow.sources.clone(), flow.destinations.clone());
            flow.sources = AddressSet::empty();
            flow.destinations = AddressSet::empty();
            part
        },
        |flow, (sources, destinations)| {
            flow.sources = flow.sources.union(&sources);
            flow.destinations = flow.destinations.union(&destinations);
        },
    ));
    others
}
