//! The place packet sets live in, and the operations on them.

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::apply::{Cache, Operation, apply};
use super::arena::{Arena, Edge, Level, NodeId, too_complex};
use super::budget::{AnalysisTooComplex, Budget, BudgetPart};
use super::dimension::{
    DESTINATION_PORT, DESTINATION_V4, DESTINATION_V6, DIRECTION, FAMILY, FIRST_ATOM, PROTOCOL,
    SOURCE_PORT, SOURCE_V4, SOURCE_V6, STATE,
};
use super::flow_box::FlowBox;
use super::ranges::RangeSet;

/// A set of packets of one [`Space`]: a value to copy and compare.
///
/// Two sets of one space are equal exactly when they have the same members
/// under every value of the atoms. Sets of different spaces must not be mixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PacketSet(pub(super) NodeId);

impl PacketSet {
    /// No packet.
    pub const EMPTY: Self = Self(NodeId::ZERO);
    /// Every packet.
    pub const ALL: Self = Self(NodeId::ONE);

    /// Whether no packet can be a member.
    pub fn is_empty(self) -> bool {
        self == Self::EMPTY
    }

    /// Whether every packet is certainly a member.
    pub fn is_all(self) -> bool {
        self == Self::ALL
    }
}

/// Something about packets that is not known, by name: whether a source is in
/// an unresolved service tag, whether an unmodelled match applies. One name is
/// one truth value a packet, wherever it is used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Atom {
    /// What would have to be known, e.g. `source in service tag Storage`.
    pub name: String,
    /// Why it is not known.
    pub reason: String,
}

/// An [`Atom`] of one space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AtomId(pub(super) u32);

/// Owns the diagrams of packet sets, within a [`Budget`].
///
/// Make one for one question, or for questions about the same rules: the
/// budget is for all of them together.
#[derive(Debug, Default)]
pub struct Space {
    pub(super) arena: Arena,
    cache: Cache,
    atoms: Vec<Atom>,
    atom_names: HashMap<String, AtomId>,
}

impl Space {
    /// A space with the default budget.
    pub fn new() -> Self {
        Self::with_budget(Budget::default())
    }

    /// A space with a budget of its own.
    pub fn with_budget(budget: Budget) -> Self {
        Self {
            arena: Arena::new(budget),
            ..Self::default()
        }
    }

    /// The packets for which a named unknown holds. The reason of the first
    /// use of a name is kept.
    pub fn atom(&mut self, name: &str, reason: &str) -> Result<PacketSet, AnalysisTooComplex> {
        let id = match self.atom_names.get(name) {
            Some(&id) => id,
            None => {
                let limit = self.arena.budget.atoms;
                if self.atoms.len() >= limit {
                    return Err(too_complex(BudgetPart::Atoms, limit as u64));
                }
                let id = AtomId(self.atoms.len() as u32);
                self.atoms.push(Atom {
                    name: name.to_owned(),
                    reason: reason.to_owned(),
                });
                self.atom_names.insert(name.to_owned(), id);
                id
            }
        };
        let edges = [
            Edge {
                last: 0,
                to: NodeId::ZERO,
            },
            Edge {
                last: 1,
                to: NodeId::ONE,
            },
        ];
        let node = self.arena.node(FIRST_ATOM + id.0, &edges)?;
        Ok(PacketSet(node))
    }

    /// The atom of an id of this space.
    pub fn atom_of(&self, id: AtomId) -> Option<&Atom> {
        self.atoms.get(id.0 as usize)
    }

    /// The packets of a box.
    pub fn flow(&mut self, flow: &FlowBox) -> Result<PacketSet, AnalysisTooComplex> {
        if flow.is_empty() {
            return Ok(PacketSet::EMPTY);
        }
        let sources = self.in_ranges(SOURCE_PORT, &flow.source_ports, NodeId::ONE)?;
        let v4 = self.in_ranges(SOURCE_V4, &flow.sources.v4, sources)?;
        let v4 = self.in_ranges(DESTINATION_V4, &flow.destinations.v4, v4)?;
        let v6 = self.in_ranges(SOURCE_V6, &flow.sources.v6, sources)?;
        let v6 = self.in_ranges(DESTINATION_V6, &flow.destinations.v6, v6)?;
        let families = [Edge { last: 0, to: v4 }, Edge { last: 1, to: v6 }];
        let node = self.arena.node(FAMILY, &families)?;
        let node = self.in_ranges(DESTINATION_PORT, &flow.destination_ports, node)?;
        let node = self.in_ranges(PROTOCOL, &flow.effective_protocols(), node)?;
        let node = self.in_ranges(STATE, &flow.states, node)?;
        let node = self.in_ranges(DIRECTION, &flow.directions, node)?;
        Ok(PacketSet(node))
    }

    fn in_ranges<const MAX: u128>(
        &mut self,
        level: Level,
        set: &RangeSet<MAX>,
        inside: NodeId,
    ) -> Result<NodeId, AnalysisTooComplex> {
        if set.is_full() || inside == NodeId::ZERO {
            return Ok(inside);
        }
        let mut edges: SmallVec<[Edge; 4]> = SmallVec::new();
        for &(first, last) in set.ranges() {
            if let Some(before) = first.checked_sub(1) {
                edges.push(Edge {
                    last: before,
                    to: NodeId::ZERO,
                });
            }
            edges.push(Edge { last, to: inside });
        }
        if edges.last().is_none_or(|edge| edge.last < MAX) {
            edges.push(Edge {
                last: MAX,
                to: NodeId::ZERO,
            });
        }
        self.arena.spend(edges.len())?;
        self.arena.node(level, &edges)
    }

    pub(super) fn apply(
        &mut self,
        operation: Operation,
        left: NodeId,
        right: NodeId,
    ) -> Result<NodeId, AnalysisTooComplex> {
        apply(&mut self.arena, &mut self.cache, operation, left, right)
    }

    /// The packets in either set.
    pub fn union(&mut self, a: PacketSet, b: PacketSet) -> Result<PacketSet, AnalysisTooComplex> {
        self.apply(Operation::Else, a.0, b.0).map(PacketSet)
    }

    /// The packets in any of the sets, joined pairwise so that the work stays
    /// near n·log n.
    pub fn union_all(
        &mut self,
        sets: impl IntoIterator<Item = PacketSet>,
    ) -> Result<PacketSet, AnalysisTooComplex> {
        let nodes = sets.into_iter().map(|set| set.0).collect();
        self.first_of_nodes(nodes).map(PacketSet)
    }

    /// The packets in both sets.
    pub fn intersection(
        &mut self,
        a: PacketSet,
        b: PacketSet,
    ) -> Result<PacketSet, AnalysisTooComplex> {
        self.apply(Operation::Mask, a.0, b.0).map(PacketSet)
    }

    /// The packets of `a` that are not in `b`.
    pub fn difference(
        &mut self,
        a: PacketSet,
        b: PacketSet,
    ) -> Result<PacketSet, AnalysisTooComplex> {
        self.apply(Operation::Without, a.0, b.0).map(PacketSet)
    }

    /// The packets not in the set.
    pub fn complement(&mut self, set: PacketSet) -> Result<PacketSet, AnalysisTooComplex> {
        self.difference(PacketSet::ALL, set)
    }

    /// Whether every packet of `a` is in `b`, under every value of the atoms.
    pub fn is_subset(&mut self, a: PacketSet, b: PacketSet) -> Result<bool, AnalysisTooComplex> {
        Ok(self.difference(a, b)?.is_empty())
    }

    /// Whether some packet is in both sets, under some value of the atoms.
    pub fn intersects(&mut self, a: PacketSet, b: PacketSet) -> Result<bool, AnalysisTooComplex> {
        Ok(!self.intersection(a, b)?.is_empty())
    }

    /// The packets that are members whatever the atoms are.
    pub fn certainly(&mut self, set: PacketSet) -> Result<PacketSet, AnalysisTooComplex> {
        self.resolve_atoms(set.0, NodeId::ZERO).map(PacketSet)
    }

    /// The packets that are members under some value of the atoms.
    pub fn possibly(&mut self, set: PacketSet) -> Result<PacketSet, AnalysisTooComplex> {
        self.resolve_atoms(set.0, NodeId::ONE).map(PacketSet)
    }

    // Atoms are asked last and redundant questions are never kept, so a node
    // that asks an atom is a member under some values and not under others.
    fn resolve_atoms(
        &mut self,
        root: NodeId,
        unknown: NodeId,
    ) -> Result<NodeId, AnalysisTooComplex> {
        self.rewrite(root, &mut |arena, id| {
            (arena.level(id) >= FIRST_ATOM).then(|| if id.label().is_some() { id } else { unknown })
        })
    }

    /// Rebuilds a diagram, replacing every subtree `replace` gives an answer for.
    pub(super) fn rewrite(
        &mut self,
        root: NodeId,
        replace: &mut dyn FnMut(&Arena, NodeId) -> Option<NodeId>,
    ) -> Result<NodeId, AnalysisTooComplex> {
        let mut done = HashMap::new();
        rewrite(&mut self.arena, &mut done, root, replace)
    }
}

fn rewrite(
    arena: &mut Arena,
    done: &mut HashMap<NodeId, NodeId>,
    id: NodeId,
    replace: &mut dyn FnMut(&Arena, NodeId) -> Option<NodeId>,
) -> Result<NodeId, AnalysisTooComplex> {
    if let Some(replaced) = replace(arena, id) {
        return Ok(replaced);
    }
    if let Some(&result) = done.get(&id) {
        return Ok(result);
    }
    let mut edges: Vec<Edge> = arena.edges(id).collect();
    arena.spend(edges.len())?;
    for edge in &mut edges {
        edge.to = rewrite(arena, done, edge.to, replace)?;
    }
    let result = arena.node(arena.level(id), &edges)?;
    done.insert(id, result);
    Ok(result)
}
