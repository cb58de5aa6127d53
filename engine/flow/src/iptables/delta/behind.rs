//! What changes behind stages that are the same on both sides: of those it is told
//! only which packets may come through them, and in which state.

use super::way::Way;
use super::{Comparison, Difference, forwarded};
use crate::iptables::flow_state::Flows;
use crate::iptables::hook::{Hook, Stage};
use crate::iptables::hull::Hull;
use crate::iptables::node::{concluded, pass_stages};
use crate::iptables::ruleset::TableName;
use crate::iptables::walk::Walk;
use crate::set::{AnalysisTooComplex, FlowBox, PacketSet, Space};

impl<'a> Comparison<'a> {
    /// Where all stages before one are the same, and no destination is changed
    /// between that one and the last that differs.
    pub(super) fn behind(
        &self,
        space: &mut Space,
        way: &Way<'_, 'a>,
        first: usize,
        touched: PacketSet,
    ) -> Result<Difference, AnalysisTooComplex> {
        let (shared, changed) = way.hook.stages().split_at(first);
        let through = self.through(space, way, (shared, changed), touched)?;
        let mut difference = self.passing(space, way, changed, &through)?;
        let Some(stage) = shared
            .iter()
            .find(|stage| stage.rewrites_destination() && stage.table == TableName::Nat)
        else {
            return Ok(difference);
        };
        let translated = self.translated(space, way, (*stage, shared, changed), touched)?;
        difference.add(space, &translated)?;
        Ok(difference)
    }

    /// What both sides do with packets at some stages.
    pub(super) fn passing(
        &self,
        space: &mut Space,
        way: &Way<'_, 'a>,
        stages: &[Stage],
        flows: &Flows,
    ) -> Result<Difference, AnalysisTooComplex> {
        let asked = flows.packets(space)?;
        let asked = space.possibly(asked)?;
        let mut passing = [PacketSet::EMPTY; 2];
        for ((side, tables), set) in self
            .sides()
            .into_iter()
            .zip([way.old, way.new])
            .zip(&mut passing)
        {
            let mut walk = Walk::new(space, &side.knowledge, &self.changed_sets);
            let hull = Hull::of(walk.space, way.family, asked);
            let passed = pass_stages(&mut walk, tables, stages, flows.clone(), hull)?;
            side.arrive(&mut walk, (way.hook, way.family), &passed)?;
            let decisions = concluded(walk, asked)?.decisions;
            *set = decisions.allowed(space)?;
        }
        let [passed, passes] = passing;
        // Packets that did not come through have no verdict here.
        let arrived = flows.packets(space)?;
        let [passed, passes] = [
            space.intersection(passed, arrived)?,
            space.intersection(passes, arrived)?,
        ];
        Difference::between(space, passed, passes)
    }

    /// The packets that come through stages that are the same on both sides. One
    /// atom each tells in which state, where it is not certain.
    pub(super) fn through(
        &self,
        space: &mut Space,
        way: &Way<'_, 'a>,
        (stages, changed): (&[Stage], &[Stage]),
        asked: PacketSet,
    ) -> Result<Flows, AnalysisTooComplex> {
        let (asked, beside) = self.received(space, way, asked)?;
        let knowledge = &self.before.knowledge;
        let mut walk = Walk::outline(space, knowledge, &self.changed_sets);
        let start = way.untouched(walk.space, knowledge, asked)?;
        let hull = Hull::of(walk.space, way.family, asked);
        let mut possible = if way.hook == Hook::Forward {
            forwarded::pass(&mut walk, way.old, stages, start, hull)?
        } else {
            pass_stages(&mut walk, way.old, stages, start, hull)?
        };
        let ended: Vec<PacketSet> = walk.verdicts.ended().map(|(_, set)| set).collect();
        let ended = space.union_all(ended)?;
        let mut ways: Vec<_> = possible.iter().collect();
        ways.sort_unstable_by_key(|(state, _)| *state);
        let mut rest = asked;
        let mut later = Vec::with_capacity(ways.len());
        let mut behind = ended;
        for (_, set) in ways.iter().rev() {
            later.push(behind);
            behind = space.union(behind, *set)?;
        }
        possible = Flows::default();
        for ((state, set), others) in ways.into_iter().zip(later.into_iter().rev()) {
            let here = space.intersection(rest, set)?;
            let certain = space.difference(here, others)?;
            let open = space.difference(here, certain)?;
            let taken = if open.is_empty() {
                certain
            } else {
                let next = changed.first().map(|stage| stage.words());
                let name = format!(
                    "rules before {} leave the packet to it {}",
                    next.unwrap_or_default(),
                    state.words(),
                );
                let reason = "they depend on what is not modelled, the same before and after";
                let atom = space.atom(&name, reason)?;
                let open = space.intersection(open, atom)?;
                space.union(certain, open)?
            };
            rest = space.difference(rest, taken)?;
            possible.add(space, state, taken)?;
        }
        let knowledge = &self.before.knowledge;
        let beside = way.untouched(space, knowledge, beside)?;
        let beside = beside.changed(space, |state| way.tracked(state))?;
        possible.append(space, &beside)?;
        Ok(possible)
    }

    /// The packets that may come to the hook by their destination, and the others.
    /// Those are spoken of as if they came through all that stands before, rather
    /// than that each service's address is left out by name.
    fn received(
        &self,
        space: &mut Space,
        way: &Way<'_, 'a>,
        asked: PacketSet,
    ) -> Result<(PacketSet, PacketSet), AnalysisTooComplex> {
        if way.hook != Hook::Input {
            return Ok((asked, PacketSet::EMPTY));
        }
        let local = &self.before.knowledge.local_addresses;
        let never = FlowBox::any().with_destinations(local.never_received(way.family));
        let never = space.flow(&never)?;
        Ok((
            space.difference(asked, never)?,
            space.intersection(asked, never)?,
        ))
    }
}
