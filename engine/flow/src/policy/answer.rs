//! Answers to questions about one policy.

use super::decisions::DecidingRule;
use super::verdict::Verdict;
use crate::set::{AnalysisTooComplex, Atom, Membership, Packet, PacketSet, Space};

/// The packets of a question by verdict: three disjoint sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// Pass whatever the atoms are.
    pub allowed: PacketSet,
    /// Do not pass whatever the atoms are.
    pub denied: PacketSet,
    /// It depends on atoms.
    pub unknown: PacketSet,
    /// The packets that pass as a function of the atoms, from which
    /// [`Space::boxes`] tells which atoms matter where.
    pub passing: PacketSet,
}

impl Partition {
    /// The packets of `within` by verdict, when `passing` pass.
    ///
    /// # Errors
    /// [`AnalysisTooComplex`].
    pub fn new(
        space: &mut Space,
        within: PacketSet,
        passing: PacketSet,
    ) -> Result<Self, AnalysisTooComplex> {
        let allowed = space.certainly(passing)?;
        let possible = space.possibly(passing)?;
        Ok(Self {
            allowed,
            denied: space.difference(within, possible)?,
            unknown: space.difference(possible, allowed)?,
            passing,
        })
    }
}

/// The verdict of one packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketAnswer {
    /// What happens to it.
    pub verdict: Verdict,
    /// The rule that decides; several when atoms decide which one.
    pub rules: Vec<DecidingRule>,
    /// What would have to be known; empty unless the verdict is unknown.
    pub atoms: Vec<Atom>,
}

impl PacketAnswer {
    pub(super) fn new(
        space: &Space,
        within: PacketSet,
        passing: PacketSet,
        packet: &Packet,
        rules: Vec<DecidingRule>,
    ) -> Self {
        if space.contains(within, packet) == Membership::No {
            return Self {
                verdict: Verdict::Unknown,
                rules: Vec::new(),
                atoms: vec![Atom {
                    name: "packet outside the question".to_owned(),
                    reason: "the question was asked about other packets".to_owned(),
                }],
            };
        }
        let (verdict, atoms) = match space.contains(passing, packet) {
            Membership::Yes => (Verdict::Allow, Vec::new()),
            Membership::No => (Verdict::Deny, Vec::new()),
            Membership::Depends(atoms) => (Verdict::Unknown, atoms),
        };
        Self {
            verdict,
            rules,
            atoms: atoms
                .into_iter()
                .filter_map(|atom| space.atom_of(atom).cloned())
                .collect(),
        }
    }
}

/// A rule that keeps packets from passing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The rule.
    pub rule: DecidingRule,
    /// Its place among the decisions' rules.
    pub index: usize,
    /// The packets it stops, with the atoms that decides on.
    pub part: PacketSet,
}
