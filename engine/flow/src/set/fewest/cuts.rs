//! The same packets in boxes cut in other orders of dimensions.
//!
//! A diagram asks its dimensions in one order, and so cuts sets in that order. Boxes
//! cut in another order may be fewer.

use std::collections::HashMap;

use super::Ranges;
use super::grid::{DIMENSIONS, classes};
use crate::set::address::AddressSet;
use crate::set::flow_box::{FlowBox, protocols_with_ports};
use crate::set::ranges::{DirectionSet, PairSet, RangeSet};
use crate::set::{Ipv4Set, Ipv6Set};

/// A box of one family, dimension by dimension.
type Product = [Ranges; DIMENSIONS];

/// The boxes cut anew: once for each dimension, with that dimension first and with it
/// last.
pub(super) fn other_cuts(boxes: &[FlowBox]) -> impl Iterator<Item = Vec<FlowBox>> + use<> {
    let with_ports = protocols_with_ports();
    let mut parts: Vec<Vec<Product>> = vec![Vec::new(); 4];
    for flow in boxes {
        let protocols = flow.effective_protocols();
        // A box that limits ports has no protocol without ports: cut apart, the two
        // are never in one product.
        let sides = [
            protocols.intersection(&with_ports),
            protocols.difference(&with_ports),
        ];
        for (side, protocols) in sides.into_iter().enumerate() {
            for (family, is_v4) in [true, false].into_iter().enumerate() {
                let product = product(flow, protocols.ranges(), is_v4);
                if product.iter().all(|ranges| !ranges.is_empty())
                    && let Some(part) = parts.get_mut(side * 2 + family)
                {
                    part.push(product);
                }
            }
        }
    }
    let orders = (0..DIMENSIONS).flat_map(|dimension| {
        let others = (0..DIMENSIONS).filter(move |other| *other != dimension);
        let first = std::iter::once(dimension).chain(others.clone()).collect();
        let last = others.chain([dimension]).collect();
        let orders: [Vec<usize>; 2] = [first, last];
        orders
    });
    orders.map(move |order| cut(&parts, &order))
}

fn product(flow: &FlowBox, protocols: &[(u128, u128)], is_v4: bool) -> Product {
    let addresses = |set: &AddressSet| {
        if is_v4 {
            set.v4.ranges().to_vec()
        } else {
            set.v6.ranges().to_vec()
        }
    };
    [
        flow.directions.ranges().to_vec(),
        flow.states.ranges().to_vec(),
        protocols.to_vec(),
        flow.destination_ports.ranges().to_vec(),
        addresses(&flow.destinations),
        addresses(&flow.sources),
        flow.source_ports.ranges().to_vec(),
    ]
}

/// A box from its dimensions, in the order of [`product`].
fn flow(product: &Product, is_v4: bool) -> FlowBox {
    let [
        directions,
        states,
        protocols,
        ports,
        destinations,
        sources,
        source_ports,
    ] = product.clone();
    let addresses = |ranges: Ranges| AddressSet {
        v4: if is_v4 {
            RangeSet::from_ranges(ranges.iter().copied())
        } else {
            Ipv4Set::empty()
        },
        v6: if is_v4 {
            Ipv6Set::empty()
        } else {
            RangeSet::from_ranges(ranges)
        },
    };
    FlowBox {
        directions: DirectionSet::from_ranges(directions),
        states: PairSet::from_ranges(states),
        protocols: RangeSet::from_ranges(protocols),
        sources: addresses(sources),
        source_ports: RangeSet::from_ranges(source_ports),
        destinations: addresses(destinations),
        destination_ports: RangeSet::from_ranges(ports),
    }
}

fn cut(parts: &[Vec<Product>], order: &[usize]) -> Vec<FlowBox> {
    let mut boxes = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        let all = (1_u64 << part.len()) - 1;
        let mut cutting = Cutting {
            products: part,
            order,
            known: HashMap::new(),
        };
        let cut = cutting.cut(0, all);
        boxes.extend(cut.iter().map(|product| flow(product, number % 2 == 0)));
    }
    boxes
}

/// Cuts products along the dimensions of an order.
struct Cutting<'a> {
    products: &'a [Product],
    order: &'a [usize],
    known: HashMap<(usize, u64), Vec<Product>>,
}

impl Cutting<'_> {
    /// What the products of a set of bits hold together in the dimensions from a depth
    /// on, as disjoint products.
    fn cut(&mut self, depth: usize, members: u64) -> Vec<Product> {
        if members == 0 {
            return Vec::new();
        }
        let Some(&dimension) = self.order.get(depth) else {
            return vec![Product::default()];
        };
        if let Some(known) = self.known.get(&(depth, members)) {
            return known.clone();
        }
        // Values that are in the same products, then values with the same rest.
        let mut by_rest: Vec<(Vec<Product>, Ranges)> = Vec::new();
        for (inside, ranges) in self.cells(dimension, members) {
            let rest = self.cut(depth + 1, inside);
            match by_rest.iter_mut().find(|(other, _)| *other == rest) {
                Some((_, all)) => all.extend(ranges),
                None => by_rest.push((rest, ranges)),
            }
        }
        let mut cut = Vec::new();
        for (rest, mut ranges) in by_rest {
            ranges.sort_unstable();
            for mut product in rest {
                if let Some(place) = product.get_mut(dimension) {
                    place.clone_from(&ranges);
                }
                cut.push(product);
            }
        }
        self.known.insert((depth, members), cut.clone());
        cut
    }

    /// The values of a dimension by the products they are in.
    fn cells(&self, dimension: usize, members: u64) -> Vec<(u64, Ranges)> {
        let products = self.products.iter().enumerate();
        let among = products.filter(|(index, _)| members >> index & 1 == 1);
        classes(among.filter_map(|(index, product)| Some((index, product.get(dimension)?))))
    }
}
