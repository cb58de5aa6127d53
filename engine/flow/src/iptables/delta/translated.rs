//! Packets that `nat` sends on with another destination: what changes behind
//! concerns them by the destination they get.

use super::way::Way;
use super::{Comparison, Difference};
use crate::iptables::decision::DecidedBy;
use crate::iptables::flow_state::{FlowState, Flows, Tracking};
use crate::iptables::hook::Stage;
use crate::iptables::hull::Hull;
use crate::iptables::image::images;
use crate::iptables::mark::Mark;
use crate::iptables::node::{POLICY_NAME, of_family, pass_stages};
use crate::iptables::walk::Walk;
use crate::set::{AnalysisTooComplex, FlowBox, OtherState, PacketSet, Space};

impl<'a> Comparison<'a> {
    /// Packets that get another destination and so come to what changes, or may.
    pub(super) fn translated(
        &self,
        space: &mut Space,
        way: &Way<'_, 'a>,
        (stage, shared, changed): (Stage, &[Stage], &[Stage]),
        touched: PacketSet,
    ) -> Result<Difference, AnalysisTooComplex> {
        let is_seen_by_nat = matches!(way.other, None | Some(OtherState::Related));
        if !is_seen_by_nat {
            return Ok(Difference::NONE);
        }
        let images = images(way.old, (way.hook, stage), &self.before.knowledge);
        let extent = space.bounds(touched);
        if !images
            .values()
            .any(|image| image.flow().may_intersect(&extent))
        {
            return Ok(Difference::NONE);
        }
        // What a packet in any state would gain or lose behind the rule.
        let change = self.however_marked(space, way, changed, touched)?;
        let [gained, lost] = [change.gained, change.lost];
        let [gained, lost] = [space.possibly(gained)?, space.possibly(lost)?];
        let mut concerned = Vec::new();
        for (by, image) in &images {
            let mut boxes = Vec::new();
            let flow = space.flow(&image.flow())?;
            for set in [gained, lost] {
                let seen = space.intersection(set, flow)?;
                let around = (!seen.is_empty()).then(|| image.before(&space.bounds(seen)));
                boxes.push(around);
            }
            if boxes.iter().any(Option::is_some) {
                concerned.push((by, boxes));
            }
        }
        if concerned.is_empty() {
            return Ok(Difference::NONE);
        }
        concerned.sort_unstable_by_key(|(by, _)| *by);
        let may_change = concerned
            .iter()
            .flat_map(|(_, boxes)| boxes.iter().flatten());
        let mut sets = Vec::new();
        for flow in may_change {
            sets.push(space.flow(flow)?);
        }
        let direction = FlowBox::any().with_direction(way.hook.direction());
        let direction = space.flow(&direction)?;
        let asked = space.union_all(sets)?;
        let asked = space.intersection(asked, direction)?;
        let asked = of_family(space, way.family, asked)?;
        let lost_by = self.ended(space, way, shared, asked)?;
        let atom = space.atom(
            &format!("{POLICY_NAME} sends the packet to a destination whose verdict changes"),
            "a rule of nat changes where the packet goes, and the rules behind it change",
        )?;
        let mut difference = Difference::NONE;
        for (by, boxes) in concerned {
            let Some(set) = lost_by.iter().find(|(ended, _)| ended == by) else {
                continue;
            };
            let mut parts = [PacketSet::EMPTY; 2];
            for (part, flow) in parts.iter_mut().zip(&boxes) {
                if let Some(flow) = flow {
                    let flow = space.flow(flow)?;
                    let open = space.intersection(set.1, flow)?;
                    *part = space.intersection(open, atom)?;
                }
            }
            let [gained, lost] = parts;
            difference.add(space, &Difference { gained, lost })?;
        }
        Ok(difference)
    }

    /// What changes for packets of which neither the mark is known nor, where that is
    /// asked, whether their connection is translated.
    pub(super) fn however_marked(
        &self,
        space: &mut Space,
        way: &Way<'_, 'a>,
        changed: &[Stage],
        touched: PacketSet,
    ) -> Result<Difference, AnalysisTooComplex> {
        let state = way.tracked(FlowState {
            mark: Mark::UNKNOWN,
            tracking: Tracking::NotYet,
            other: way.other,
        });
        let state = match way.asks_translation(changed) {
            true => FlowState {
                tracking: Tracking::Unknown,
                ..state
            },
            false => state,
        };
        let mut flows = Flows::default();
        flows.add(space, state, touched)?;
        self.passing(space, way, changed, &flows)
    }

    /// Where the way of packets may end at stages that are the same on both sides.
    pub(super) fn ended(
        &self,
        space: &mut Space,
        way: &Way<'_, 'a>,
        stages: &[Stage],
        asked: PacketSet,
    ) -> Result<Vec<(DecidedBy, PacketSet)>, AnalysisTooComplex> {
        let knowledge = &self.before.knowledge;
        let mut walk = Walk::outline(space, knowledge, &self.changed_sets);
        let start = way.untouched(walk.space, knowledge, asked)?;
        let hull = Hull::of(walk.space, way.family, asked);
        pass_stages(&mut walk, way.old, stages, start, hull)?;
        let ended = walk.verdicts.ended();
        Ok(ended.map(|(by, set)| (by.clone(), set)).collect())
    }
}
