//! What changes for packets between two states of a policy.

mod report;

pub use report::{DeltaReport, FlowBox, UnknownAtom};

use crate::policy::{Decisions, Policy, RulePolicy};
use crate::set::{AnalysisTooComplex, PacketSet, Space};

/// The packets whose verdict changes between two policies: exact.
///
/// A packet whose verdict is unknown before and after for the same reason does
/// not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowDelta {
    /// Denied before and allowed after, whatever the atoms are.
    pub newly_allowed: PacketSet,
    /// Allowed before and denied after, whatever the atoms are.
    pub newly_denied: PacketSet,
    /// Become allowed under some values of the atoms and not under others.
    pub may_become_allowed: PacketSet,
    /// Become denied under some values of the atoms and not under others.
    pub may_become_denied: PacketSet,
}

impl FlowDelta {
    /// The delta of the packets both decisions are about.
    ///
    /// # Errors
    /// [`AnalysisTooComplex`].
    pub fn between(
        space: &mut Space,
        before: &Decisions,
        after: &Decisions,
    ) -> Result<Self, AnalysisTooComplex> {
        let within = space.intersection(before.within(), after.within())?;
        let passed = before.allowed(space)?;
        let passed = space.intersection(passed, within)?;
        let passes = after.allowed(space)?;
        let passes = space.intersection(passes, within)?;
        Self::of_sets(space, passed, passes)
    }

    /// The delta of two ordered lists of rules, exact.
    ///
    /// Packets that only rules common to both ends of the lists match cannot
    /// change, so only those of the rules in between are asked about.
    ///
    /// # Errors
    /// [`AnalysisTooComplex`].
    pub fn of_policies(
        space: &mut Space,
        before: &RulePolicy,
        after: &RulePolicy,
    ) -> Result<Self, AnalysisTooComplex> {
        let (old, new) = (&before.rules, &after.rules);
        let start = old.iter().zip(new).take_while(|(a, b)| a == b).count();
        let (old, new) = (
            old.get(start..).unwrap_or_default(),
            new.get(start..).unwrap_or_default(),
        );
        let end = old
            .iter()
            .rev()
            .zip(new.iter().rev())
            .take_while(|(a, b)| a == b)
            .count();
        let changed = [old, new].into_iter().flat_map(|rules| {
            let count = rules.len().saturating_sub(end);
            rules.iter().take(count)
        });
        let mut sets = Vec::new();
        for rule in changed {
            let packets = rule.matches.packets(space)?;
            sets.push(space.possibly(packets)?);
        }
        let within = if before.default.1 == after.default.1 {
            space.union_all(sets)?
        } else {
            PacketSet::ALL
        };
        let before = before.decide(space, within)?;
        let after = after.decide(space, within)?;
        Self::between(space, &before, &after)
    }

    /// The delta when `passed` passed before and `passes` pass after.
    ///
    /// # Errors
    /// [`AnalysisTooComplex`].
    pub fn of_sets(
        space: &mut Space,
        passed: PacketSet,
        passes: PacketSet,
    ) -> Result<Self, AnalysisTooComplex> {
        let gained = space.difference(passes, passed)?;
        let lost = space.difference(passed, passes)?;
        Self::of_changes(space, gained, lost)
    }

    /// The delta when some packets become allowed and others denied, each with the
    /// atoms that decides on.
    ///
    /// # Errors
    /// [`AnalysisTooComplex`].
    pub fn of_changes(
        space: &mut Space,
        gained: PacketSet,
        lost: PacketSet,
    ) -> Result<Self, AnalysisTooComplex> {
        let newly_allowed = space.certainly(gained)?;
        let newly_denied = space.certainly(lost)?;
        Ok(Self {
            newly_allowed,
            newly_denied,
            may_become_allowed: space.difference(gained, newly_allowed)?,
            may_become_denied: space.difference(lost, newly_denied)?,
        })
    }

    /// The part of the delta that is about some packets.
    ///
    /// # Errors
    /// [`AnalysisTooComplex`].
    pub fn among(&self, space: &mut Space, packets: PacketSet) -> Result<Self, AnalysisTooComplex> {
        let gained = space.union(self.newly_allowed, self.may_become_allowed)?;
        let gained = space.intersection(gained, packets)?;
        let lost = space.union(self.newly_denied, self.may_become_denied)?;
        let lost = space.intersection(lost, packets)?;
        // What may become allowed may become denied, too, by other unknowns.
        Self::of_changes(space, gained, lost)
    }

    /// Whether no packet's verdict changes, or may change.
    pub fn is_empty(&self) -> bool {
        self.newly_allowed.is_empty() && self.newly_denied.is_empty() && self.is_exactly_known()
    }

    /// Whether no part of the delta depends on atoms.
    pub fn is_exactly_known(&self) -> bool {
        self.may_become_allowed.is_empty() && self.may_become_denied.is_empty()
    }

    /// Every packet whose verdict changes or may change.
    ///
    /// # Errors
    /// [`AnalysisTooComplex`].
    pub fn changed(&self, space: &mut Space) -> Result<PacketSet, AnalysisTooComplex> {
        let certain = space.union(self.newly_allowed, self.newly_denied)?;
        let unknown = space.union(self.may_become_allowed, self.may_become_denied)?;
        let unknown = space.possibly(unknown)?;
        space.union(certain, unknown)
    }

    /// What is or may be opened beyond the packets `needed`.
    ///
    /// # Errors
    /// [`AnalysisTooComplex`].
    pub fn excess(
        &self,
        space: &mut Space,
        needed: PacketSet,
    ) -> Result<PacketSet, AnalysisTooComplex> {
        let opened = space.union(self.newly_allowed, self.may_become_allowed)?;
        space.difference(opened, needed)
    }

    /// The delta as lists of boxes and words.
    ///
    /// # Errors
    /// [`AnalysisTooComplex`] when there are too many boxes to list.
    pub fn report(&self, space: &Space) -> Result<DeltaReport, AnalysisTooComplex> {
        DeltaReport::new(space, self)
    }
}
