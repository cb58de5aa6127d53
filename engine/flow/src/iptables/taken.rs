//! Packets taken out of flows one small part after another.

use super::flow_state::{FlowState, Flows};
use crate::set::{AnalysisTooComplex, PacketSet, Space};

/// Parts that left a chain's flows and are not subtracted from them yet.
///
/// A chain of thousands of rules, each for an address of its own, would make the
/// rest anew for each. Parts are joined in pairs of like size instead, so that
/// all of them together cost n·log n.
#[derive(Debug, Default)]
pub(super) struct Taken(Vec<Part>);

#[derive(Debug, Clone, Copy)]
struct Part {
    state: FlowState,
    /// The part is of 2 to this power.
    rank: u32,
    set: PacketSet,
}

impl Taken {
    /// Takes packets of a state.
    pub(super) fn add(
        &mut self,
        space: &mut Space,
        state: FlowState,
        set: PacketSet,
    ) -> Result<(), AnalysisTooComplex> {
        if set.is_empty() {
            return Ok(());
        }
        let (mut rank, mut set) = (0, set);
        let alike = |part: &Part, rank| part.state == state && part.rank == rank;
        while let Some(at) = self.0.iter().position(|part| alike(part, rank)) {
            let part = self.0.swap_remove(at);
            set = space.union(part.set, set)?;
            rank += 1;
        }
        self.0.push(Part { state, rank, set });
        Ok(())
    }

    /// What is left of packets of a state.
    pub(super) fn rest(
        &self,
        space: &mut Space,
        state: FlowState,
        set: PacketSet,
    ) -> Result<PacketSet, AnalysisTooComplex> {
        let of_state = self.0.iter().filter(|part| part.state == state);
        of_state.into_iter().try_fold(set, |set, part| {
            if set.is_empty() {
                return Ok(set);
            }
            space.difference(set, part.set)
        })
    }

    /// Subtracts all parts.
    pub(super) fn subtract(
        &mut self,
        space: &mut Space,
        flows: &mut Flows,
    ) -> Result<(), AnalysisTooComplex> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut rest = Flows::default();
        for (state, set) in flows.iter() {
            let set = self.rest(space, state, set)?;
            rest.add(space, state, set)?;
        }
        self.0.clear();
        *flows = rest;
        Ok(())
    }
}
