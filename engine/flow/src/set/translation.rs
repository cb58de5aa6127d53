//! Packets whose addresses and ports are changed on their way.

use hashbrown::HashMap;

use super::address::AddressSet;
use super::apply::Operation;
use super::arena::{Edge, Level, NodeId};
use super::budget::AnalysisTooComplex;
use super::dimension::{
    DESTINATION_PORT, DESTINATION_V4, DESTINATION_V6, SOURCE_PORT, SOURCE_V4, SOURCE_V6,
};
use super::flow_box::FlowBox;
use super::ranges::PortSet;
use super::space::{PacketSet, Space};

/// What the addresses and ports of a packet become: any of the values given, whatever
/// they were; where none are given they stay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Translation {
    /// The source addresses.
    pub sources: Option<AddressSet>,
    /// The source ports.
    pub source_ports: Option<PortSet>,
    /// The destination addresses.
    pub destinations: Option<AddressSet>,
    /// The destination ports.
    pub destination_ports: Option<PortSet>,
}

impl Translation {
    /// A box around what packets inside one become.
    pub fn of(&self, packets: &FlowBox) -> FlowBox {
        let mut flow = packets.clone();
        fn put<T: Clone>(value: &mut T, by: &Option<T>) {
            if let Some(by) = by {
                value.clone_from(by);
            }
        }
        put(&mut flow.sources, &self.sources);
        put(&mut flow.source_ports, &self.source_ports);
        put(&mut flow.destinations, &self.destinations);
        put(&mut flow.destination_ports, &self.destination_ports);
        flow
    }

    /// This one, and then another.
    #[must_use]
    pub fn then(self, next: &Self) -> Self {
        Self {
            sources: next.sources.clone().or(self.sources),
            source_ports: next.source_ports.clone().or(self.source_ports),
            destinations: next.destinations.clone().or(self.destinations),
            destination_ports: next.destination_ports.clone().or(self.destination_ports),
        }
    }

    /// One that may do what this or another does.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        let addresses = |a: Option<AddressSet>, b: &Option<AddressSet>| match (a, b) {
            (Some(a), Some(b)) => Some(a.union(b)),
            (None, None) => None,
            _ => Some(AddressSet::any()),
        };
        let ports = |a: Option<PortSet>, b: &Option<PortSet>| match (a, b) {
            (Some(a), Some(b)) => Some(a.union(b)),
            (None, None) => None,
            _ => Some(PortSet::full()),
        };
        Self {
            sources: addresses(self.sources, &other.sources),
            source_ports: ports(self.source_ports, &other.source_ports),
            destinations: addresses(self.destinations, &other.destinations),
            destination_ports: ports(self.destination_ports, &other.destination_ports),
        }
    }

    fn levels(&self) -> Vec<Level> {
        let levels = [
            (self.sources.is_some(), &[SOURCE_V4, SOURCE_V6][..]),
            (self.source_ports.is_some(), &[SOURCE_PORT]),
            (
                self.destinations.is_some(),
                &[DESTINATION_V4, DESTINATION_V6],
            ),
            (self.destination_ports.is_some(), &[DESTINATION_PORT]),
        ];
        let changed = levels.into_iter().filter(|(is_changed, _)| *is_changed);
        changed.flat_map(|(_, levels)| levels).copied().collect()
    }
}

impl Space {
    /// The packets that may become a member of a set by a translation. Its atoms are
    /// about what they become, so none are left.
    ///
    /// # Errors
    /// [`AnalysisTooComplex`].
    pub fn before_translation(
        &mut self,
        translation: &Translation,
        set: PacketSet,
    ) -> Result<PacketSet, AnalysisTooComplex> {
        let set = self.possibly(set)?;
        let become_so = self.flow(&translation.of(&FlowBox::any()))?;
        let set = self.intersection(set, become_so)?;
        let mut done = HashMap::new();
        self.whatever(set.0, &translation.levels(), &mut done)
            .map(PacketSet)
    }

    /// The packets that are members with some value at each of the levels.
    fn whatever(
        &mut self,
        id: NodeId,
        levels: &[Level],
        done: &mut HashMap<NodeId, NodeId>,
    ) -> Result<NodeId, AnalysisTooComplex> {
        if id.label().is_some() {
            return Ok(id);
        }
        if let Some(&result) = done.get(&id) {
            return Ok(result);
        }
        let mut edges: Vec<Edge> = self.arena.edges(id).collect();
        self.arena.spend(edges.len())?;
        for edge in &mut edges {
            edge.to = self.whatever(edge.to, levels, done)?;
        }
        let level = self.arena.level(id);
        let result = if levels.contains(&level) {
            let mut all = NodeId::ZERO;
            for edge in edges {
                all = self.apply(Operation::Else, all, edge.to)?;
            }
            all
        } else {
            self.arena.node(level, &edges)?
        };
        done.insert(id, result);
        Ok(result)
    }
}
