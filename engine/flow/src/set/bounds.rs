//! The smallest box around a set.

use hashbrown::HashSet;

use super::arena::{Level, NodeId};
use super::dimension::{
    DESTINATION_PORT, DESTINATION_V4, DESTINATION_V6, DIRECTION, FAMILY, FIRST_ATOM, PROTOCOL,
    SOURCE_PORT, SOURCE_V4, SOURCE_V6, STATE,
};
use super::flow_box::FlowBox;
use super::ranges::RangeSet;
use super::space::{PacketSet, Space};

impl Space {
    /// The smallest box around a set: in every dimension the values some
    /// possible member has. Rules outside it cannot matter to the set.
    pub fn bounds(&self, set: PacketSet) -> FlowBox {
        let mut bounds = Bounds {
            space: self,
            seen: HashSet::new(),
            ranges: Default::default(),
        };
        bounds.visit(set.0, DIRECTION);
        bounds.into_box()
    }
}

struct Bounds<'a> {
    space: &'a Space,
    seen: HashSet<(NodeId, Level)>,
    ranges: [Vec<(u128, u128)>; FIRST_ATOM as usize],
}

impl Bounds<'_> {
    /// Visits what lies below, where `from` is the first level not yet asked.
    fn visit(&mut self, id: NodeId, from: Level) {
        if id == NodeId::ZERO || !self.seen.insert((id, from)) {
            return;
        }
        let level = self.space.arena.level(id).min(FIRST_ATOM);
        for skipped in from..level {
            self.add(skipped, (0, u128::MAX));
        }
        if level == FIRST_ATOM {
            return;
        }
        let mut first = 0;
        for edge in self.space.arena.edges(id) {
            if edge.to != NodeId::ZERO {
                self.add(level, (first, edge.last));
                self.visit(edge.to, level + 1);
            }
            first = edge.last.saturating_add(1);
        }
    }

    fn add(&mut self, level: Level, range: (u128, u128)) {
        if let Some(ranges) = self.ranges.get_mut(level as usize)
            && ranges.last() != Some(&(0, u128::MAX))
        {
            if range == (0, u128::MAX) {
                ranges.clear();
            }
            ranges.push(range);
        }
    }

    fn into_box(self) -> FlowBox {
        let mut ranges = self.ranges;
        let mut take = |level: Level| {
            ranges
                .get_mut(level as usize)
                .map(std::mem::take)
                .unwrap_or_default()
        };
        let families = RangeSet::<1>::from_ranges(take(FAMILY));
        let mut flow = FlowBox::any();
        flow.directions = RangeSet::from_ranges(take(DIRECTION));
        flow.states = RangeSet::from_ranges(take(STATE));
        flow.protocols = RangeSet::from_ranges(take(PROTOCOL));
        flow.destination_ports = RangeSet::from_ranges(take(DESTINATION_PORT));
        flow.source_ports = RangeSet::from_ranges(take(SOURCE_PORT));
        flow.destinations.v4 = RangeSet::from_ranges(take(DESTINATION_V4));
        flow.destinations.v6 = RangeSet::from_ranges(take(DESTINATION_V6));
        flow.sources.v4 = RangeSet::from_ranges(take(SOURCE_V4));
        flow.sources.v6 = RangeSet::from_ranges(take(SOURCE_V6));
        // On one family's side the other's addresses were passed as skipped.
        if !families.contains(0_u8) {
            flow.destinations.v4 = RangeSet::empty();
            flow.sources.v4 = RangeSet::empty();
        }
        if !families.contains(1_u8) {
            flow.destinations.v6 = RangeSet::empty();
            flow.sources.v6 = RangeSet::empty();
        }
        flow
    }
}
