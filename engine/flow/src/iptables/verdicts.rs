//! Collects what the tables decided.

use hashbrown::HashMap;

use super::decision::{DecidedBy, Decision};
use crate::policy::{Translated, Verdict};
use crate::set::{AnalysisTooComplex, Label, PacketMap, PacketSet, Space, Translation};

/// Decisions, each with a label of a [`PacketMap`], in the order they were made.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    decisions: Vec<Decision>,
    labels: HashMap<Decision, Label>,
    /// Disjoint sets of packets whose way ended.
    ended: Vec<(PacketSet, Label)>,
    /// Packets a rule of a filter table let pass, should nothing else stop them.
    passed_by_rule: Vec<(PacketSet, Label)>,
    /// The same for the policy of a filter table's chain.
    passed_by_policy: Vec<(PacketSet, Label)>,
    /// Packets that get other addresses, should they pass.
    pub(super) translated: Vec<Translated>,
}

impl Verdicts {
    fn label(&mut self, verdict: Verdict, by: DecidedBy, reason: Option<String>) -> Label {
        let decision = Decision {
            verdict,
            by,
            reason,
        };
        if let Some(label) = self.labels.get(&decision) {
            return *label;
        }
        self.decisions.push(decision.clone());
        let label = Label::try_from(self.decisions.len()).unwrap_or(Label::MAX);
        self.labels.insert(decision, label);
        label
    }

    /// Packets that are dropped.
    pub(super) fn deny(&mut self, set: PacketSet, by: DecidedBy) {
        let label = self.label(Verdict::Deny, by, None);
        self.ended.push((set, label));
    }

    /// Packets whose way is not modelled any further.
    pub(super) fn lose(&mut self, set: PacketSet, by: DecidedBy, reason: String) {
        let label = self.label(Verdict::Unknown, by, Some(reason));
        self.ended.push((set, label));
    }

    /// Packets that a rule gives other addresses.
    pub(super) fn translate(&mut self, packets: PacketSet, by: &DecidedBy, to: Translation) {
        self.translated.push(Translated {
            packets,
            by: by.without_number(),
            translation: to,
        });
    }

    /// Packets a filter table lets pass.
    pub(super) fn pass(&mut self, set: PacketSet, by: DecidedBy) {
        let by_rule = matches!(by, DecidedBy::Rule(_));
        let label = self.label(Verdict::Allow, by, None);
        let passed = if by_rule {
            &mut self.passed_by_rule
        } else {
            &mut self.passed_by_policy
        };
        passed.push((set, label));
    }

    /// Packets that passed everything.
    pub(super) fn arrive(
        &mut self,
        space: &mut Space,
        set: PacketSet,
    ) -> Result<(), AnalysisTooComplex> {
        if set.is_empty() {
            return Ok(());
        }
        let none = self.label(Verdict::Allow, DecidedBy::NoFilter, None);
        let mut maps = Vec::new();
        for (packets, label) in self
            .passed_by_rule
            .drain(..)
            .chain(self.passed_by_policy.drain(..))
        {
            let packets = space.intersection(packets, set)?;
            if !packets.is_empty() {
                maps.push(space.labelled(packets, label)?);
            }
        }
        maps.push(space.labelled(set, none)?);
        let map = space.first_of(maps)?;
        for label in space.labels(map).into_iter().filter(|label| *label != 0) {
            let packets = space.where_label(map, |other| other == label)?;
            self.ended.push((packets, label));
        }
        Ok(())
    }

    /// What ended the way of packets, and of which; sets of an outline overlap.
    pub(super) fn ended(&self) -> impl Iterator<Item = (&DecidedBy, PacketSet)> {
        self.ended.iter().filter_map(|(set, label)| {
            let index = usize::try_from(*label).ok()?.checked_sub(1)?;
            Some((&self.decisions.get(index)?.by, *set))
        })
    }

    /// How many sets of packets have ended their way.
    pub(super) fn ended_count(&self) -> usize {
        self.ended.len()
    }

    /// Forgets those that ended it after the first ones.
    pub(super) fn keep_ended(&mut self, count: usize) {
        self.ended.truncate(count);
    }

    /// The map of all decisions, and what its labels stand for.
    pub(super) fn finish(
        self,
        space: &mut Space,
    ) -> Result<(PacketMap, Vec<Decision>), AnalysisTooComplex> {
        let mut maps = Vec::with_capacity(self.ended.len());
        for (set, label) in self.ended {
            maps.push(space.labelled(set, label)?);
        }
        Ok((space.first_of(maps)?, self.decisions))
    }
}
