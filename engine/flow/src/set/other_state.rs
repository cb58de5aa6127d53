//! States of packets that neither open a connection nor belong to an open one.

use super::budget::AnalysisTooComplex;
use super::space::{AtomId, PacketSet, Space};

/// What connection tracking may say of a packet besides *new* and *established*.
///
/// Where such a packet fares otherwise than one that opens a connection between
/// the same ends, that is told of the latter under an atom of the state's name,
/// which is no unknown: it says of which packets is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OtherState {
    /// It is about a connection: an ICMP error, or a connection that was expected.
    Related,
    /// It belongs to none and opens none.
    Invalid,
    /// It is exempted from tracking.
    Untracked,
}

impl OtherState {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Related, Self::Invalid, Self::Untracked];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Related => "related",
            Self::Invalid => "invalid",
            Self::Untracked => "untracked",
        }
    }

    fn atom_name(self) -> String {
        format!("connection state is {}", self.as_str())
    }
}

impl Space {
    /// The packets that stand for those in a state.
    ///
    /// # Errors
    /// [`AnalysisTooComplex`].
    pub fn in_other_state(&mut self, state: OtherState) -> Result<PacketSet, AnalysisTooComplex> {
        self.atom(&state.atom_name(), "the packets in that state are meant")
    }

    /// The states among atoms, and the unknowns among them.
    pub fn split_states(&self, atoms: &[AtomId]) -> (Vec<OtherState>, Vec<AtomId>) {
        let state_of = |id: AtomId| {
            let name = &self.atom_of(id)?.name;
            let mut states = OtherState::ALL.into_iter();
            states.find(|state| state.atom_name() == *name)
        };
        let mut states: Vec<OtherState> = atoms.iter().filter_map(|id| state_of(*id)).collect();
        states.sort_unstable();
        let unknowns = atoms.iter().copied().filter(|id| state_of(*id).is_none());
        (states, unknowns.collect())
    }
}
