//! What packets on the same way through the tables have in common.

use super::mark::Mark;
use crate::set::{AnalysisTooComplex, OtherState, PacketSet, Space};

/// What connection tracking knows of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Tracking {
    /// It has not seen the packet yet: the `raw` table comes before it.
    NotYet,
    /// The packet's state is its connection's.
    Tracked,
    /// The packet is about a connection.
    Related,
    /// The packet belongs to no connection and opens none.
    Invalid,
    /// The packet is exempted.
    Untracked,
    /// A rule changed what is known in a way that is not modelled.
    Unknown,
}

/// What the rules passed so far did to a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FlowState {
    pub(super) mark: Mark,
    pub(super) tracking: Tracking,
    /// The state the packet is in whatever its set says.
    pub(super) other: Option<OtherState>,
}

impl FlowState {
    /// What tracking makes of a packet that no rule exempted.
    pub(super) fn tracked(self) -> Self {
        let tracking = match (self.tracking, self.other) {
            (Tracking::NotYet, None) => Tracking::Tracked,
            (Tracking::NotYet, Some(OtherState::Related)) => Tracking::Related,
            (Tracking::NotYet, Some(OtherState::Invalid)) => Tracking::Invalid,
            (Tracking::NotYet, Some(OtherState::Untracked)) => Tracking::Untracked,
            (known, _) => known,
        };
        Self { tracking, ..self }
    }

    /// The state in words that say it exactly.
    pub(super) fn words(self) -> String {
        let tracking = match self.tracking {
            Tracking::Untracked => ", untracked",
            Tracking::Unknown => ", perhaps untracked",
            Tracking::NotYet | Tracking::Tracked | Tracking::Related | Tracking::Invalid => "",
        };
        format!("with {}{tracking}", self.mark)
    }
}

/// Disjoint packet sets by state.
#[derive(Debug, Clone, Default)]
pub(super) struct Flows(Vec<(FlowState, PacketSet)>);

impl Flows {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The sets; each state once, none empty.
    pub(super) fn iter(&self) -> impl Iterator<Item = (FlowState, PacketSet)> + '_ {
        self.0.iter().copied()
    }

    pub(super) fn add(
        &mut self,
        space: &mut Space,
        state: FlowState,
        set: PacketSet,
    ) -> Result<(), AnalysisTooComplex> {
        if set.is_empty() {
            return Ok(());
        }
        match self.0.iter_mut().find(|(known, _)| *known == state) {
            Some((_, all)) => *all = space.union(*all, set)?,
            None => self.0.push((state, set)),
        }
        Ok(())
    }

    pub(super) fn append(
        &mut self,
        space: &mut Space,
        other: &Self,
    ) -> Result<(), AnalysisTooComplex> {
        other
            .iter()
            .try_for_each(|(state, set)| self.add(space, state, set))
    }

    /// The same sets with their states changed.
    pub(super) fn changed(
        &self,
        space: &mut Space,
        change: impl Fn(FlowState) -> FlowState,
    ) -> Result<Self, AnalysisTooComplex> {
        let mut changed = Self::default();
        for (state, set) in self.iter() {
            changed.add(space, change(state), set)?;
        }
        Ok(changed)
    }

    /// All packets, whatever their state.
    pub(super) fn packets(&self, space: &mut Space) -> Result<PacketSet, AnalysisTooComplex> {
        space.union_all(self.0.iter().map(|(_, set)| *set))
    }
}
