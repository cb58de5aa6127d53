//! Questions about sets: membership, atoms, samples, boxes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hashbrown::{HashMap, HashSet};

use super::arena::{Level, NodeId, too_complex};
use super::budget::{AnalysisTooComplex, BudgetPart};
use super::dimension::{
    self, DESTINATION_PORT, DESTINATION_V4, DESTINATION_V6, DIRECTION, FAMILY, FIRST_ATOM,
    PROTOCOL, SOURCE_PORT, SOURCE_V4, SOURCE_V6, STATE,
};
use super::fewest::merge_boxes;
use super::flow_box::FlowBox;
use super::packet::{ConnectionState, Direction, Packet, Protocol};
use super::ranges::RangeSet;
use super::space::{AtomId, PacketSet, Space};
use super::{Ipv4Set, Ipv6Set};

/// Whether a packet is in a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Membership {
    /// It is, whatever the atoms are.
    Yes,
    /// It is not, whatever the atoms are.
    No,
    /// It depends on these atoms.
    Depends(Vec<AtomId>),
}

impl Space {
    /// Whether a packet is a member.
    pub fn contains(&self, set: PacketSet, packet: &Packet) -> Membership {
        match self.descend(set.0, packet) {
            None | Some(NodeId::ZERO) => Membership::No,
            Some(at) if at.label().is_some() => Membership::Yes,
            Some(at) => Membership::Depends(self.atoms_of(PacketSet(at))),
        }
    }

    /// The subtree of atoms a packet leads to; none when its addresses are of
    /// two families.
    pub(super) fn descend(&self, root: NodeId, packet: &Packet) -> Option<NodeId> {
        if packet.source.is_ipv4() != packet.destination.is_ipv4() {
            return None;
        }
        let mut at = root;
        // Levels only grow, so this ends after at most as many turns as there
        // are dimensions.
        while self.arena.level(at) < FIRST_ATOM {
            let level = self.arena.level(at);
            at = self.arena.follow(at, dimension::value(packet, level));
        }
        Some(at)
    }

    /// The atoms the set depends on, in the order they were first named.
    pub fn atoms_of(&self, set: PacketSet) -> Vec<AtomId> {
        let mut atoms = BTreeSet::new();
        let mut seen = HashSet::new();
        let mut open = vec![set.0];
        while let Some(id) = open.pop() {
            if id.label().is_some() || !seen.insert(id) {
                continue;
            }
            if let Some(atom) = self.arena.level(id).checked_sub(FIRST_ATOM) {
                atoms.insert(AtomId(atom));
            }
            open.extend(self.arena.edges(id).map(|edge| edge.to));
        }
        atoms.into_iter().collect()
    }

    /// Some packet that may be a member, always the same for the same set;
    /// none when the set is empty.
    pub fn sample(&self, set: PacketSet) -> Option<Packet> {
        if set.is_empty() {
            return None;
        }
        let mut choice = [0_u128; FIRST_ATOM as usize];
        // TCP is what people expect to see where the protocol does not matter.
        choice[PROTOCOL as usize] = u128::from(Protocol::TCP.0);
        let mut at = set.0;
        while self.arena.level(at) < FIRST_ATOM {
            let level = self.arena.level(at);
            let preferred = choice[level as usize];
            let here = self.arena.follow(at, preferred);
            if here != NodeId::ZERO {
                at = here;
                continue;
            }
            let mut first = 0;
            for edge in self.arena.edges(at) {
                if edge.to != NodeId::ZERO {
                    choice[level as usize] = first;
                    at = edge.to;
                    break;
                }
                first = edge.last.saturating_add(1);
            }
        }
        let is_v6 = choice[FAMILY as usize] == 1;
        let address = |v4: Level, v6: Level| -> IpAddr {
            if is_v6 {
                Ipv6Addr::from_bits(choice[v6 as usize]).into()
            } else {
                Ipv4Addr::from_bits(choice[v4 as usize] as u32).into()
            }
        };
        Some(Packet {
            direction: match choice[DIRECTION as usize] {
                0 => Direction::Inbound,
                1 => Direction::Outbound,
                _ => Direction::Forwarded,
            },
            state: if choice[STATE as usize] == 0 {
                ConnectionState::New
            } else {
                ConnectionState::Established
            },
            protocol: Protocol(choice[PROTOCOL as usize] as u8),
            source: address(SOURCE_V4, SOURCE_V6),
            destination: address(DESTINATION_V4, DESTINATION_V6),
            source_port: choice[SOURCE_PORT as usize] as u16,
            destination_port: choice[DESTINATION_PORT as usize] as u16,
        })
    }

    /// The packets that may be members as disjoint boxes, each with the atoms
    /// membership depends on there (none: certain). The same set gives the
    /// same boxes.
    ///
    /// The boxes of the same atoms are disjoint and no two differ in only one
    /// dimension. Up to 24 of up to 256 ranges are also the fewest there can be, except
    /// where neither a bound on ranks nor a search within a fixed number of steps
    /// proves it; no three of those were found to be two. A box has addresses of
    /// one family, or all of both.
    pub fn boxes(&self, set: PacketSet) -> Result<Vec<(FlowBox, Vec<AtomId>)>, AnalysisTooComplex> {
        let mut walk = Walk {
            space: self,
            found: Vec::new(),
            limit: self.arena.budget.boxes,
            ranges: 0,
            steps: 0,
        };
        walk.visit(set.0, &FlowBox::any())?;
        let mut by_atoms: BTreeMap<Vec<AtomId>, Vec<FlowBox>> = BTreeMap::new();
        let mut atoms_of_leaf: HashMap<NodeId, Vec<AtomId>> = HashMap::new();
        for (flow, leaf) in walk.found {
            let atoms = atoms_of_leaf
                .entry(leaf)
                .or_insert_with(|| self.atoms_of(PacketSet(leaf)));
            by_atoms.entry(atoms.clone()).or_default().push(flow);
        }
        let mut boxes = Vec::new();
        for (atoms, flows) in by_atoms {
            let merged = merge_boxes(flows).into_iter();
            boxes.extend(merged.map(|flow| (flow, atoms.clone())));
        }
        boxes.sort();
        Ok(boxes)
    }
}

struct Walk<'a> {
    space: &'a Space,
    found: Vec<(FlowBox, NodeId)>,
    limit: usize,
    ranges: usize,
    steps: u64,
}

/// How many ranges a box may have on average.
const RANGES_PER_BOX: usize = 16;

impl Walk<'_> {
    fn visit(&mut self, id: NodeId, so_far: &FlowBox) -> Result<(), AnalysisTooComplex> {
        if id == NodeId::ZERO || so_far.is_empty() {
            return Ok(());
        }
        let level = self.space.arena.level(id);
        if level >= FIRST_ATOM {
            self.ranges += so_far.range_count();
            let ranges_allowed = self.limit.saturating_mul(RANGES_PER_BOX);
            if self.found.len() >= self.limit || self.ranges > ranges_allowed {
                return Err(too_complex(BudgetPart::Boxes, self.limit as u64));
            }
            self.found.push((so_far.clone(), id));
            return Ok(());
        }
        let (from, to) = self.space.arena.span(id);
        self.steps = self.steps.saturating_add((to - from) as u64);
        let steps_allowed = self.space.arena.budget.steps;
        if self.steps > steps_allowed {
            return Err(too_complex(BudgetPart::Steps, steps_allowed));
        }
        for (target, ranges) in self.by_target(id) {
            let mut flow = so_far.clone();
            match level {
                DIRECTION => flow.directions = RangeSet::from_ranges(ranges),
                STATE => flow.states = RangeSet::from_ranges(ranges),
                PROTOCOL => flow.protocols = RangeSet::from_ranges(ranges),
                DESTINATION_PORT => flow.destination_ports = RangeSet::from_ranges(ranges),
                FAMILY if ranges == [(0, 0)] => {
                    flow.sources.v6 = Ipv6Set::empty();
                    flow.destinations.v6 = Ipv6Set::empty();
                }
                FAMILY => {
                    flow.sources.v4 = Ipv4Set::empty();
                    flow.destinations.v4 = Ipv4Set::empty();
                }
                DESTINATION_V4 => flow.destinations.v4 = RangeSet::from_ranges(ranges),
                DESTINATION_V6 => flow.destinations.v6 = RangeSet::from_ranges(ranges),
                SOURCE_V4 => flow.sources.v4 = RangeSet::from_ranges(ranges),
                SOURCE_V6 => flow.sources.v6 = RangeSet::from_ranges(ranges),
                _ => flow.source_ports = RangeSet::from_ranges(ranges),
            }
            self.visit(target, &flow)?;
        }
        Ok(())
    }

    /// The targets of a node, each with all ranges that lead there.
    fn by_target(&self, id: NodeId) -> Vec<(NodeId, Vec<(u128, u128)>)> {
        let mut groups: Vec<(NodeId, Vec<(u128, u128)>)> = Vec::new();
        let mut places: HashMap<NodeId, usize> = HashMap::new();
        let mut first = 0;
        for edge in self.space.arena.edges(id) {
            let place = *places.entry(edge.to).or_insert_with(|| {
                groups.push((edge.to, Vec::new()));
                groups.len() - 1
            });
            if let Some((_, ranges)) = groups.get_mut(place) {
                ranges.push((first, edge.last));
            }
            first = edge.last.saturating_add(1);
        }
        groups
    }
}
