//! Maps from packets to labels: which rule decides which packet.

use std::collections::BTreeSet;

use hashbrown::HashSet;

use super::apply::Operation;
use super::arena::NodeId;
use super::budget::AnalysisTooComplex;
use super::packet::Packet;
use super::space::{PacketSet, Space};

/// A label of a [`PacketMap`]; 0 stands for "none", and a label is below 2³¹.
pub type Label = u32;

/// Gives every packet one label, or none: a value to copy and compare, like
/// [`PacketSet`].
///
/// Maps make first match fast: rules become maps of one label each, and
/// [`Space::first_of`] joins them pairwise instead of one after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PacketMap(pub(super) NodeId);

impl PacketMap {
    /// The map that gives no packet a label.
    pub const NONE: Self = Self(NodeId::ZERO);
}

impl Space {
    /// Gives the packets of a set one label, all others none.
    pub fn labelled(
        &mut self,
        set: PacketSet,
        label: Label,
    ) -> Result<PacketMap, AnalysisTooComplex> {
        let everywhere = NodeId::terminal(label);
        self.apply(Operation::Mask, set.0, everywhere)
            .map(PacketMap)
    }

    /// The label of the first map that gives one.
    pub fn or_else(
        &mut self,
        first: PacketMap,
        second: PacketMap,
    ) -> Result<PacketMap, AnalysisTooComplex> {
        self.apply(Operation::Else, first.0, second.0)
            .map(PacketMap)
    }

    /// The label of the first of the maps that gives one.
    pub fn first_of(
        &mut self,
        maps: impl IntoIterator<Item = PacketMap>,
    ) -> Result<PacketMap, AnalysisTooComplex> {
        let nodes = maps.into_iter().map(|map| map.0).collect();
        self.first_of_nodes(nodes).map(PacketMap)
    }

    pub(super) fn first_of_nodes(
        &mut self,
        mut nodes: Vec<NodeId>,
    ) -> Result<NodeId, AnalysisTooComplex> {
        while nodes.len() > 1 {
            let mut joined = Vec::with_capacity(nodes.len().div_ceil(2));
            for pair in nodes.chunks(2) {
                joined.push(match *pair {
                    [first, second] => self.apply(Operation::Else, first, second)?,
                    [only] => only,
                    _ => NodeId::ZERO,
                });
            }
            nodes = joined;
        }
        Ok(nodes.first().copied().unwrap_or(NodeId::ZERO))
    }

    /// The same labels for the packets of `within`, none for others.
    pub fn restricted(
        &mut self,
        map: PacketMap,
        within: PacketSet,
    ) -> Result<PacketMap, AnalysisTooComplex> {
        self.apply(Operation::Mask, within.0, map.0).map(PacketMap)
    }

    /// The same labels except for the packets of `outside`, which lose theirs.
    pub fn without(
        &mut self,
        map: PacketMap,
        outside: PacketSet,
    ) -> Result<PacketMap, AnalysisTooComplex> {
        self.apply(Operation::Without, map.0, outside.0)
            .map(PacketMap)
    }

    /// Changes every label, 0 included, by a function.
    pub fn relabelled(
        &mut self,
        map: PacketMap,
        mut change: impl FnMut(Label) -> Label,
    ) -> Result<PacketMap, AnalysisTooComplex> {
        self.rewrite(map.0, &mut |_, id| {
            id.label().map(|label| NodeId::terminal(change(label)))
        })
        .map(PacketMap)
    }

    /// The packets whose label, 0 included, the function accepts.
    pub fn where_label(
        &mut self,
        map: PacketMap,
        mut accept: impl FnMut(Label) -> bool,
    ) -> Result<PacketSet, AnalysisTooComplex> {
        let changed = self.relabelled(map, |label| u32::from(accept(label)))?;
        Ok(PacketSet(changed.0))
    }

    /// Every label some packet has, 0 included, in ascending order.
    pub fn labels(&self, map: PacketMap) -> Vec<Label> {
        let mut labels = BTreeSet::new();
        let mut seen = HashSet::new();
        let mut open = vec![map.0];
        while let Some(id) = open.pop() {
            if let Some(label) = id.label() {
                labels.insert(label);
            } else if seen.insert(id) {
                open.extend(self.arena.edges(id).map(|edge| edge.to));
            }
        }
        labels.into_iter().collect()
    }

    /// The labels a packet may have, one unless unknown atoms decide, in
    /// ascending order.
    pub fn labels_of(&self, map: PacketMap, packet: &Packet) -> Vec<Label> {
        match self.descend(map.0, packet) {
            Some(at) => self.labels(PacketMap(at)),
            None => vec![0],
        }
    }
}
