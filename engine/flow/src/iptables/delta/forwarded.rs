//! What changes for packets that the node passes on, told as they come to `FORWARD`:
//! where a rule of `nat` before gave one another destination, with that one. Each
//! service's address would have to be named otherwise.

use super::way::Way;
use super::{Comparison, Difference};
use crate::iptables::flow_state::Flows;
use crate::iptables::hook::Stage;
use crate::iptables::hull::Hull;
use crate::iptables::image::images;
use crate::iptables::node::{POLICY_NAME, of_family, pass_stages};
use crate::iptables::ruleset::TableName;
use crate::iptables::walk::{IndexedTable, Walk};
use crate::set::{AnalysisTooComplex, FlowBox, OtherState, PacketSet, Space};

impl<'a> Comparison<'a> {
    /// Where all stages before the one at `first` are the same, that at `nat` among
    /// them, which may change destinations.
    pub(super) fn forwarded(
        &self,
        space: &mut Space,
        way: &Way<'_, 'a>,
        (nat, first): (usize, usize),
        touched: PacketSet,
    ) -> Result<Difference, AnalysisTooComplex> {
        if self.is_for_node(space, way, touched)? {
            return Ok(Difference::NONE);
        }
        let (shared, changed) = way.hook.stages().split_at(first);
        let (before_nat, from_nat) = shared.split_at(nat);
        let behind_nat = from_nat.get(1..).unwrap_or_default();
        let around_nat = [before_nat, behind_nat].concat();
        let any = self.however_marked(space, way, changed, touched)?;
        let come = self.through(space, way, (&around_nat, changed), touched)?;
        let mut difference = self.passing(space, way, changed, &come)?;
        let arrived = come.packets(space)?;
        // What nat does besides sending on is asked where it can matter alone: nat is
        // long, and seldom marks what it does not send on.
        if !difference.is(space, &any, arrived)? {
            let come = self.through(space, way, (shared, changed), touched)?;
            difference = self.passing(space, way, changed, &come)?;
        }
        let until_nat = shared.get(..=nat).unwrap_or_default();
        let more = self.sent_here(space, way, until_nat, (&any, &difference))?;
        difference.add(space, &more)?;
        Ok(difference)
    }

    /// The difference without what certainly changes for packets to the node itself
    /// alone: such packets are not passed on unless `nat` sends them elsewhere, and
    /// what becomes of those is not certain.
    pub(super) fn passed_on(
        &self,
        space: &mut Space,
        way: &Way<'_, 'a>,
        mut difference: Difference,
    ) -> Result<Difference, AnalysisTooComplex> {
        for set in [&mut difference.gained, &mut difference.lost] {
            let certain = space.certainly(*set)?;
            if self.is_for_node(space, way, certain)? {
                *set = space.difference(*set, certain)?;
            }
        }
        Ok(difference)
    }

    /// Whether packets are all sent to the node itself, and so not passed on.
    fn is_for_node(
        &self,
        space: &mut Space,
        way: &Way<'_, 'a>,
        packets: PacketSet,
    ) -> Result<bool, AnalysisTooComplex> {
        let own = self.before.knowledge.local_addresses.certain(way.family);
        let own = space.flow(&FlowBox::any().with_destinations(own))?;
        space.is_subset(packets, own)
    }

    /// What changes for packets that a rule of `nat` sent to where they go, beyond
    /// what does for those that were sent there by whom they are from: what that rule
    /// and those beside it made of their mark is not known.
    fn sent_here(
        &self,
        space: &mut Space,
        way: &Way<'_, 'a>,
        until_nat: &[Stage],
        (any, told): (&Difference, &Difference),
    ) -> Result<Difference, AnalysisTooComplex> {
        let is_seen_by_nat = matches!(way.other, None | Some(OtherState::Related));
        let Some(nat) = until_nat.last().filter(|_| is_seen_by_nat) else {
            return Ok(Difference::NONE);
        };
        let mut more = [PacketSet::EMPTY; 2];
        let pairs = [(any.gained, told.gained), (any.lost, told.lost)];
        for ((set, told), more) in pairs.into_iter().zip(&mut more) {
            let (set, told) = (space.possibly(set)?, space.possibly(told)?);
            *more = space.difference(set, told)?;
        }
        if more.iter().all(|set| set.is_empty()) {
            return Ok(Difference::NONE);
        }
        let all = FlowBox::any().with_direction(way.hook.direction());
        let all = space.flow(&all)?;
        let all = of_family(space, way.family, all)?;
        let images = images(way.old, (way.hook, *nat), &self.before.knowledge);
        let mut sent = Vec::with_capacity(images.len());
        for (by, set) in self.ended(space, way, until_nat, all)? {
            if let Some(image) = images.get(&by) {
                let extent = space.bounds(set);
                sent.push(space.flow(&image.of(&extent))?);
            }
        }
        let sent = space.union_all(sent)?;
        let atom = space.atom(
            &format!("{POLICY_NAME} sent the packet to this destination"),
            "what rules of nat made of a packet that they sent on is not known",
        )?;
        let sent = space.intersection(sent, atom)?;
        let [gained, lost] = more;
        Ok(Difference {
            gained: space.intersection(gained, sent)?,
            lost: space.intersection(lost, sent)?,
        })
    }
}

/// Sends packets through stages of which only it is told which they may come through.
/// Those that `nat` certainly sends elsewhere are spoken of as if it did not: they are
/// told with the destination that they get, and none comes with the one that they had.
pub(super) fn pass<'a>(
    walk: &mut Walk<'a, '_>,
    tables: &[IndexedTable<'a>],
    stages: &[Stage],
    start: Flows,
    hull: Hull,
) -> Result<Flows, AnalysisTooComplex> {
    let nat = stages
        .iter()
        .position(|stage| stage.table == TableName::Nat && stage.rewrites_destination());
    let (before, rest) = stages.split_at(nat.unwrap_or(stages.len()));
    let (nat, after) = rest.split_at(rest.len().min(1));
    let come = pass_stages(walk, tables, before, start, hull)?;
    let ended = walk.verdicts.ended_count();
    let mut passing = pass_stages(walk, tables, nat, come.clone(), hull)?;
    walk.verdicts.keep_ended(ended);
    let untouched = passing.packets(walk.space)?;
    for (state, set) in come.iter() {
        let sent_on = walk.space.difference(set, untouched)?;
        passing.add(walk.space, state, sent_on)?;
    }
    pass_stages(walk, tables, after, passing, hull)
}
