//! Boxes over classes of values that the packets of a set do not tell apart.

use super::Ranges;
use crate::set::address::AddressSet;
use crate::set::flow_box::{FlowBox, protocols_with_ports};
use crate::set::ranges::{Ipv4Set, Ipv6Set, RangeSet};

/// Dimensions a block has; addresses of both families share theirs.
pub(super) const DIMENSIONS: usize = 7;
const PROTOCOLS: usize = 2;
const PORTS: usize = 3;
pub(super) const DESTINATIONS: usize = 4;
pub(super) const SOURCES: usize = 5;
const SOURCE_PORTS: usize = 6;

/// Classes a dimension may have: one bit each.
const MOST_CLASSES: usize = 64;

/// A box: the classes it holds in each dimension, one bit each. A cell is a block of
/// one class in each.
pub(super) type Block = [u64; DIMENSIONS];

/// The classes that a block of both has.
pub(super) fn meet(a: &Block, b: &Block) -> Block {
    std::array::from_fn(|dimension| a[dimension] & b[dimension])
}

/// The numbers of the bits that are set.
pub(super) fn bits(mut mask: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = mask.trailing_zeros() as usize;
        (mask != 0).then(|| {
            mask &= mask - 1;
            bit
        })
    })
}

/// Disjoint boxes as blocks. No two classes of a dimension are alike: some packets of
/// one are members where the same packets of the other are not.
pub(super) struct Grid {
    /// The values of each class.
    classes: [Vec<Ranges>; DIMENSIONS],
    /// Every class.
    all: Block,
    /// The classes of protocols with ports, and of IPv4 addresses.
    first_kind: Block,
    /// Whether all IPv4 pairs and all IPv6 pairs may be one block.
    pub(super) has_whole: bool,
    /// The boxes, disjoint.
    pub(super) boxes: Vec<Block>,
}

impl Grid {
    /// None when there are too many classes.
    pub(super) fn new(boxes: &[FlowBox]) -> Option<Self> {
        let values: Vec<[[Ranges; 2]; DIMENSIONS]> = boxes.iter().map(values).collect();
        let mut grid = Self {
            classes: Default::default(),
            all: Block::default(),
            first_kind: Block::default(),
            has_whole: false,
            boxes: vec![Block::default(); boxes.len()],
        };
        for dimension in 0..DIMENSIONS {
            for kind in 0..2 {
                let of = values.iter().map(|values| &values[dimension][kind]);
                for (members, ranges) in classes(of.enumerate()) {
                    let number = grid.classes[dimension].len();
                    if number >= MOST_CLASSES {
                        return None;
                    }
                    let bit = 1 << number;
                    for (index, block) in grid.boxes.iter_mut().enumerate() {
                        block[dimension] |= if members >> index & 1 == 1 { bit } else { 0 };
                    }
                    grid.all[dimension] |= bit;
                    grid.first_kind[dimension] |= if kind == 0 { bit } else { 0 };
                    grid.classes[dimension].push(ranges);
                }
            }
        }
        grid.has_whole = [DESTINATIONS, SOURCES].into_iter().all(|dimension| {
            let addresses = grid.addresses(dimension, grid.all[dimension]);
            addresses.v4.is_full() && addresses.v6.is_full()
        });
        for dimension in 0..DIMENSIONS {
            grid.join_alike(dimension);
        }
        Some(grid)
    }

    /// Keeps one of the classes that are alike, with the values of all.
    fn join_alike(&mut self, dimension: usize) {
        let section = |grid: &Self, class: usize| -> Vec<Block> {
            let holding = grid.boxes.iter();
            holding
                .filter(|block| block[dimension] >> class & 1 == 1)
                .copied()
                .collect()
        };
        let mut kept: Vec<(usize, Vec<Block>, u64)> = Vec::new();
        for class in bits(self.all[dimension]) {
            let bit = 1 << class;
            let here = section(self, class);
            let at = |block: &Block| {
                let mut block = *block;
                block[dimension] = bit;
                block
            };
            let size = here.iter().map(|block| self.count(&at(block))).sum();
            let is_same_kind = |other: usize| {
                (self.first_kind[dimension] >> other ^ self.first_kind[dimension] >> class) & 1 == 0
            };
            let twin = kept.iter().find(|(other, there, size_there)| {
                let common = || -> u64 {
                    let pairs = here.iter().flat_map(|a| there.iter().map(move |b| (a, b)));
                    pairs.map(|(a, b)| self.count(&meet(&at(a), &at(b)))).sum()
                };
                size == *size_there && is_same_kind(*other) && common() == size
            });
            match twin.map(|(twin, ..)| *twin) {
                None => kept.push((class, here, size)),
                Some(twin) => {
                    let ranges = std::mem::take(&mut self.classes[dimension][class]);
                    self.classes[dimension][twin].extend(ranges);
                    self.all[dimension] &= !bit;
                    self.boxes
                        .iter_mut()
                        .for_each(|block| block[dimension] &= !bit);
                }
            }
        }
        self.boxes.retain(|block| block[dimension] != 0);
    }

    /// How many cells a block has.
    pub(super) fn count(&self, block: &Block) -> u64 {
        let others = (0..DIMENSIONS).filter(|at| ![DESTINATIONS, SOURCES].contains(at));
        let others = others.map(|at| u64::from(block[at].count_ones()));
        others.product::<u64>() * self.pairs(block)
    }

    /// How many pairs of a destination's and a source's class a block has.
    pub(super) fn pairs(&self, block: &Block) -> u64 {
        let of = |kind: &Block| {
            let classes = |at: usize| u64::from((block[at] & kind[at]).count_ones());
            classes(DESTINATIONS) * classes(SOURCES)
        };
        of(&self.first_kind) + of(&self.second_kind())
    }

    fn second_kind(&self) -> Block {
        std::array::from_fn(|at| !self.first_kind[at])
    }

    /// The classes of destinations of a cell's family.
    pub(super) fn family_of(&self, cell: &Block) -> u64 {
        let v4 = self.first_kind[DESTINATIONS];
        if cell[DESTINATIONS] & v4 != 0 {
            v4
        } else {
            !v4
        }
    }

    /// The smallest block with all classes of a block that can be a box; none when
    /// none can.
    pub(super) fn closed(&self, mut block: Block) -> Option<Block> {
        // A box that limits ports has no protocol without ports.
        if block[PROTOCOLS] & !self.first_kind[PROTOCOLS] != 0 {
            block[PORTS] = self.all[PORTS];
            block[SOURCE_PORTS] = self.all[SOURCE_PORTS];
        }
        // A box of both families is one of all their pairs.
        let v4 = self.first_kind[DESTINATIONS];
        if block[DESTINATIONS] & v4 != 0 && block[DESTINATIONS] & !v4 != 0 {
            if !self.has_whole {
                return None;
            }
            block[DESTINATIONS] = self.all[DESTINATIONS];
            block[SOURCES] = self.all[SOURCES];
        }
        Some(block)
    }

    /// Whether some cells, one of each block, fit in no fewer boxes within the blocks.
    pub(super) fn corners_are_apart(&self, blocks: &[Block]) -> bool {
        let corner = |block: &Block| -> Block {
            let mut corner = *block;
            corner[SOURCES] &= match block[DESTINATIONS] & self.first_kind[DESTINATIONS] {
                0 => u64::MAX,
                _ => self.first_kind[SOURCES],
            };
            corner.map(|mask| mask & mask.wrapping_neg())
        };
        let corners: Vec<Block> = blocks.iter().map(corner).collect();
        let fit = |a: &Block, b: &Block| {
            let both = std::array::from_fn(|at| a[at] | b[at]);
            self.closed(both).is_some_and(|block| {
                let inside = blocks.iter().map(|other| self.count(&meet(&block, other)));
                inside.sum::<u64>() == self.count(&block)
            })
        };
        let mut pairs = corners
            .iter()
            .enumerate()
            .flat_map(|(at, a)| corners.iter().skip(at + 1).map(move |b| (a, b)));
        !pairs.any(|(a, b)| fit(a, b))
    }

    /// Every cell of the boxes, in order; none when there are more than `most`.
    pub(super) fn cells(&self, most: usize) -> Option<Vec<Block>> {
        let count: u64 = self.boxes.iter().map(|block| self.count(block)).sum();
        if count > most as u64 {
            return None;
        }
        let mut cells = Vec::new();
        for block in &self.boxes {
            for kind in [self.first_kind, self.second_kind()] {
                let mut block = *block;
                block[DESTINATIONS] &= kind[DESTINATIONS];
                block[SOURCES] &= kind[SOURCES];
                let mut of_block = vec![Block::default()];
                for dimension in 0..DIMENSIONS {
                    let longer = of_block.iter().flat_map(|cell| {
                        bits(block[dimension]).map(move |class| {
                            let mut cell = *cell;
                            cell[dimension] = 1 << class;
                            cell
                        })
                    });
                    of_block = longer.collect();
                }
                cells.extend(of_block);
            }
        }
        cells.sort_unstable();
        Some(cells)
    }

    /// A block as the box it stands for.
    pub(super) fn flow(&self, block: &Block) -> FlowBox {
        let [directions, states, protocols, ports, _, _, source_ports]: [Ranges; DIMENSIONS] =
            std::array::from_fn(|dimension| self.values(dimension, block[dimension]));
        FlowBox {
            directions: RangeSet::from_ranges(directions),
            states: RangeSet::from_ranges(states),
            protocols: RangeSet::from_ranges(protocols),
            sources: self.addresses(SOURCES, block[SOURCES]),
            source_ports: RangeSet::from_ranges(source_ports),
            destinations: self.addresses(DESTINATIONS, block[DESTINATIONS]),
            destination_ports: RangeSet::from_ranges(ports),
        }
    }

    fn values(&self, dimension: usize, mask: u64) -> Ranges {
        let classes = bits(mask).filter_map(|class| self.classes[dimension].get(class));
        classes.flatten().copied().collect()
    }

    fn addresses(&self, dimension: usize, mask: u64) -> AddressSet {
        let v4 = self.first_kind[dimension];
        AddressSet {
            v4: Ipv4Set::from_ranges(self.values(dimension, mask & v4)),
            v6: Ipv6Set::from_ranges(self.values(dimension, mask & !v4)),
        }
    }
}

/// The values of a box in each dimension: of protocols those with ports first, of
/// addresses IPv4 first.
fn values(flow: &FlowBox) -> [[Ranges; 2]; DIMENSIONS] {
    let protocols = flow.effective_protocols();
    let with_ports = protocols_with_ports();
    let addresses = |set: &AddressSet| [set.v4.ranges().to_vec(), set.v6.ranges().to_vec()];
    [
        [flow.directions.ranges().to_vec(), Vec::new()],
        [flow.states.ranges().to_vec(), Vec::new()],
        [
            protocols.intersection(&with_ports).ranges().to_vec(),
            protocols.difference(&with_ports).ranges().to_vec(),
        ],
        [flow.destination_ports.ranges().to_vec(), Vec::new()],
        addresses(&flow.destinations),
        addresses(&flow.sources),
        [flow.source_ports.ranges().to_vec(), Vec::new()],
    ]
}

/// Values that are in the same sets, as ranges, each with the bits of the sets it is in.
pub(super) fn classes<'a>(
    sets: impl Iterator<Item = (usize, &'a Ranges)> + Clone,
) -> Vec<(u64, Ranges)> {
    let mut starts: Vec<u128> = Vec::new();
    for (first, last) in sets.clone().flat_map(|(_, ranges)| ranges) {
        starts.push(*first);
        starts.extend(last.checked_add(1));
    }
    starts.sort_unstable();
    starts.dedup();
    let mut classes: Vec<(u64, Ranges)> = Vec::new();
    for (at, start) in starts.iter().enumerate() {
        let last = starts.get(at + 1).map_or(u128::MAX, |next| next - 1);
        let holds = |ranges: &Ranges| {
            let mut ranges = ranges.iter();
            ranges.any(|(first, last)| first <= start && start <= last)
        };
        let inside = sets
            .clone()
            .filter(|(_, ranges)| holds(ranges))
            .fold(0, |bits, (index, _)| bits | 1 << index);
        if inside == 0 {
            continue;
        }
        match classes.iter_mut().find(|(other, _)| *other == inside) {
            Some((_, ranges)) => ranges.push((*start, last)),
            None => classes.push((inside, vec![(*start, last)])),
        }
    }
    classes
}
