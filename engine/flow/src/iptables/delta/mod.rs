//! What a change of a node's rules does to packets.
//!
//! Only packets that may match a rule that is not the same before and after can
//! change their verdict, so only those are asked about. What they meet before
//! they come to the first such rule is the same on both sides: of that it is told
//! only which packets may come through it, since its unknowns (thousands, where
//! kube-proxy chooses endpoints by chance) are the same on both sides, too.

mod changes;
mod translated;

use std::collections::BTreeSet;

use self::changes::{Change, Sort, TablePair, touched};
use self::translated::images;
use super::decision::DecidedBy;
use super::flow_state::{FlowState, Flows, Tracking};
use super::hook::{Hook, Stage};
use super::hull::Hull;
use super::knowledge::Knowledge;
use super::mark::Mark;
use super::node::{NodeFirewall, POLICY_NAME, concluded, of_family, pass_stages};
use super::ruleset::{Backend, Family, TableName};
use super::walk::{IndexedTable, Walk};
use crate::delta::FlowDelta;
use crate::policy::Verdict;
use crate::set::{
    AnalysisTooComplex, ConnectionState, Direction, FlowBox, OtherState, PacketSet, Space,
};

/// The delta of the packets of `within` between two states of a node's firewall.
/// Inbound packets are those for the node itself.
///
/// A packet that a rule of `nat` sends to another destination may be concerned by
/// what changes behind that rule; whether it is, is left open.
///
/// # Errors
/// [`AnalysisTooComplex`], naming the rule that was too much or those that change.
pub fn node_delta(
    space: &mut Space,
    before: &NodeFirewall,
    after: &NodeFirewall,
    within: PacketSet,
) -> Result<FlowDelta, AnalysisTooComplex> {
    let mut changed_sets = before.changed_sets();
    changed_sets.extend(after.changed_sets());
    let comparison = Comparison {
        before,
        after,
        changed_sets,
    };
    let delta = comparison.delta(space, within);
    delta.map_err(|error| error.naming(changed_rules(before, after)))
}

/// The rules and policies of which one of two firewalls does not have its like at
/// the same place, in words.
pub fn changed_rules(before: &NodeFirewall, after: &NodeFirewall) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for family in [Family::Ipv4, Family::Ipv6] {
        let (old, new) = (before.tables(family), after.tables(family));
        for hook in [Hook::Input, Hook::Output, Hook::Forward] {
            for stage in hook.stages() {
                for pair in pairs(&old, &new, *stage) {
                    for change in pair.changes(*stage) {
                        let change = change.words();
                        if !words.contains(&change) {
                            words.push(change);
                        }
                    }
                }
            }
        }
    }
    words
}

/// The tables that a stage consults, those of one backend side by side.
fn pairs<'t, 'a>(
    old: &'t [IndexedTable<'a>],
    new: &'t [IndexedTable<'a>],
    stage: Stage,
) -> Vec<TablePair<'t, 'a>> {
    let of = |tables: &'t [IndexedTable<'a>], backend| {
        let mut tables = tables.iter();
        tables.find(|table| table.backend == backend && table.table.name == stage.table)
    };
    let backends = [Backend::Legacy, Backend::Nft].into_iter();
    let pairs = backends.map(|backend| TablePair {
        before: of(old, backend),
        after: of(new, backend),
    });
    pairs.collect()
}

/// What packets gain and lose, with the atoms that decides on.
struct Difference {
    gained: PacketSet,
    lost: PacketSet,
}

impl Difference {
    const NONE: Self = Self {
        gained: PacketSet::EMPTY,
        lost: PacketSet::EMPTY,
    };

    fn between(
        space: &mut Space,
        passed: PacketSet,
        passes: PacketSet,
    ) -> Result<Self, AnalysisTooComplex> {
        Ok(Self {
            gained: space.difference(passes, passed)?,
            lost: space.difference(passed, passes)?,
        })
    }

    fn add(&mut self, space: &mut Space, other: &Self) -> Result<(), AnalysisTooComplex> {
        self.gained = space.union(self.gained, other.gained)?;
        self.lost = space.union(self.lost, other.lost)?;
        Ok(())
    }
}

struct Comparison<'a> {
    before: &'a NodeFirewall,
    after: &'a NodeFirewall,
    /// Named sets that rules of either side change.
    changed_sets: BTreeSet<String>,
}

/// Packets of one family on their way through one hook.
#[derive(Clone, Copy)]
struct Way<'t, 'a> {
    hook: Hook,
    family: Family,
    /// The state they are in, where it is none that their set tells.
    other: Option<OtherState>,
    old: &'t [IndexedTable<'a>],
    new: &'t [IndexedTable<'a>],
}

impl<'a> Comparison<'a> {
    fn sides(&self) -> [&'a NodeFirewall; 2] {
        [self.before, self.after]
    }

    fn delta(&self, space: &mut Space, within: PacketSet) -> Result<FlowDelta, AnalysisTooComplex> {
        let mut all = Difference::NONE;
        for (direction, hook) in [
            (Direction::Inbound, Hook::Input),
            (Direction::Outbound, Hook::Output),
        ] {
            let facing = space.flow(&FlowBox::any().with_direction(direction))?;
            let facing = space.intersection(facing, within)?;
            for family in [Family::Ipv4, Family::Ipv6] {
                let asked = of_family(space, family, facing)?;
                if asked.is_empty() {
                    continue;
                }
                let (old, new) = (self.before.tables(family), self.after.tables(family));
                let way = Way {
                    hook,
                    family,
                    other: None,
                    old: &old,
                    new: &new,
                };
                let difference = self.of_way(space, &way, asked)?;
                all.add(space, &difference)?;
                // Others are told of where they fare otherwise than new ones.
                let new = FlowBox::any().with_state(ConnectionState::New);
                let new = space.flow(&new)?;
                let asked = space.intersection(asked, new)?;
                for other in OtherState::ALL {
                    let other_way = Way {
                        other: Some(other),
                        ..way
                    };
                    let mut difference = self.of_way(space, &other_way, asked)?;
                    let meant = space.in_other_state(other)?;
                    for set in [&mut difference.gained, &mut difference.lost] {
                        *set = space.intersection(*set, meant)?;
                    }
                    all.add(space, &difference)?;
                }
            }
        }
        FlowDelta::of_changes(space, all.gained, all.lost)
    }

    fn of_way(
        &self,
        space: &mut Space,
        way: &Way<'_, 'a>,
        asked: PacketSet,
    ) -> Result<Difference, AnalysisTooComplex> {
        let family = way.family;
        match self.sides().map(|side| side.has_read(family)) {
            [false, false] => return Ok(Difference::NONE),
            [true, true] => {}
            _ => return self.whole(space, way, asked),
        }
        if self.before.knowledge != self.after.knowledge
            || self.before.unread(family) != self.after.unread(family)
        {
            return self.whole(space, way, asked);
        }
        let stages = way.hook.stages();
        let sort = Sort {
            other: way.other,
            is_tracking_changed: way.may_change_tracking(),
            changed_sets: &self.changed_sets,
        };
        let (mut first, mut last) = (None, 0);
        let mut sets = Vec::new();
        for (at, stage) in stages.iter().enumerate() {
            let changes = way.changes(*stage);
            let set = if way.loses_state_on_one_side(*stage) {
                asked
            } else if changes.is_empty() {
                continue;
            } else {
                let knowledge = &self.before.knowledge;
                touched(space, knowledge, (*stage, sort), &changes, asked)?
            };
            if !set.is_empty() {
                first = first.or(Some(at));
                last = at;
                sets.push(set);
            }
        }
        let Some(first) = first else {
            return Ok(Difference::NONE);
        };
        let touched = space.union_all(sets)?;
        let rewriting = stages
            .iter()
            .position(|stage| stage.table == TableName::Nat && stage.rewrites_destination());
        match rewriting {
            // Behind it, packets are others than before it.
            Some(at) if first <= at && last > at => self.whole(space, way, asked),
            Some(at) if first <= at => self.whole(space, way, touched),
            _ => self.behind(space, way, first, touched),
        }
    }

    /// Both sides from the first rule to the last.
    fn whole(
        &self,
        space: &mut Space,
        way: &Way<'_, 'a>,
        asked: PacketSet,
    ) -> Result<Difference, AnalysisTooComplex> {
        let mut passing = [PacketSet::EMPTY; 2];
        let names = [" before the change", " after the change"];
        for ((side, set), name) in self.sides().into_iter().zip(&mut passing).zip(names) {
            let mut walk = Walk::new(space, &side.knowledge, &self.changed_sets);
            side.family(&mut walk, way.family, (way.hook, way.other), asked)?;
            let decisions = concluded(walk, asked)?.decisions;
            // What becomes of a packet after a rule that is not modelled may have
            // changed, too.
            let decisions = decisions.renamed(|rule| match rule.verdict {
                Verdict::Unknown if side.has_read(way.family) => format!("{}{name}", rule.rule),
                _ => rule.rule.clone(),
            });
            *set = decisions.allowed(space)?;
        }
        let [passed, passes] = passing;
        Difference::between(space, passed, passes)
    }

    /// Where all stages before one are the same, and no destination is changed
    /// between that one and the last that differs.
    fn behind(
        &self,
        space: &mut Space,
        way: &Way<'_, 'a>,
        first: usize,
        touched: PacketSet,
    ) -> Result<Difference, AnalysisTooComplex> {
        let (shared, changed) = way.hook.stages().split_at(first);
        let through = self.through(space, way, shared, touched)?;
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
    fn passing(
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
    fn through(
        &self,
        space: &mut Space,
        way: &Way<'_, 'a>,
        stages: &[Stage],
        asked: PacketSet,
    ) -> Result<Flows, AnalysisTooComplex> {
        let (asked, beside) = self.received(space, way, asked)?;
        let knowledge = &self.before.knowledge;
        let mut walk = Walk::outline(space, knowledge, &self.changed_sets);
        let start = way.untouched(walk.space, knowledge, asked)?;
        let hull = Hull::of(walk.space, way.family, asked);
        let mut possible = pass_stages(&mut walk, way.old, stages, start, hull)?;
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
                let name = format!(
                    "rules before {} {} leave the packet to it {}",
                    stage_words(way.hook, stages.len()).0,
                    stage_words(way.hook, stages.len()).1,
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

    /// Packets that get another destination and so come to what changes, or may.
    fn translated(
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
        let mut any = Flows::default();
        let state = way.tracked(FlowState {
            mark: Mark::UNKNOWN,
            tracking: Tracking::NotYet,
            other: way.other,
        });
        any.add(space, state, touched)?;
        let change = self.passing(space, way, changed, &any)?;
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

    /// Where the way of packets may end at stages that are the same on both sides.
    fn ended(
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

impl<'t, 'a> Way<'t, 'a> {
    fn changes(&self, stage: Stage) -> Vec<Change<'t, 'a>> {
        let pairs = pairs(self.old, self.new, stage);
        pairs
            .into_iter()
            .flat_map(|pair| pair.changes(stage))
            .collect()
    }

    /// Whether both backends are consulted at a stage, one of which may change a
    /// packet's state on one side alone.
    fn loses_state_on_one_side(&self, stage: Stage) -> bool {
        let [old, new] = [self.old, self.new].map(|tables| {
            let mut consulted = tables
                .iter()
                .filter(|table| table.table.name == stage.table);
            consulted.clone().count() > 1 && consulted.any(IndexedTable::changes_state)
        });
        old != new
    }

    fn may_change_tracking(&self) -> bool {
        let tables = self.old.iter().chain(self.new);
        let mut raw = tables.filter(|table| table.table.name == TableName::Raw);
        raw.any(IndexedTable::changes_state)
    }

    /// The packets before they meet a rule.
    fn untouched(
        &self,
        space: &mut Space,
        knowledge: &Knowledge,
        set: PacketSet,
    ) -> Result<Flows, AnalysisTooComplex> {
        self.hook.untouched(space, knowledge, self.other, set)
    }

    /// The state of a packet behind the `raw` table.
    fn tracked(&self, state: FlowState) -> FlowState {
        match self.may_change_tracking() {
            true => FlowState {
                tracking: Tracking::Unknown,
                ..state
            },
            false => state.tracked(),
        }
    }
}

/// The stage behind the first `count` ones, in words.
fn stage_words(hook: Hook, count: usize) -> (&'static str, &'static str) {
    let stage = hook.stages().get(count);
    stage.map_or(("", ""), |stage| (stage.table.as_str(), stage.chain))
}
