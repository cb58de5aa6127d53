//! What a change of a node's rules does to packets.
//!
//! Only packets that may match a rule that is not the same before and after can
//! change their verdict, so only those are asked about. What they meet before
//! they come to the first such rule is the same on both sides: of that it is told
//! only which packets may come through it, since its unknowns (thousands, where
//! kube-proxy chooses endpoints by chance) are the same on both sides, too.

mod behind;
mod changes;
mod forwarded;
mod translated;
mod way;

use std::collections::BTreeSet;

use self::changes::{Sort, touched};
use self::way::{Tables, Way};
use super::hook::Hook;
use super::node::{NodeFirewall, concluded, of_family};
use super::ruleset::{Family, TableName};
use super::walk::Walk;
use crate::delta::FlowDelta;
use crate::policy::Verdict;
use crate::set::{AnalysisTooComplex, ConnectionState, FlowBox, OtherState, PacketSet, Space};

/// The delta of the packets of `within` between two states of a node's firewall.
/// Inbound packets are those for the node itself, outbound ones those that it sends
/// itself, forwarded ones those that it passes on, such as its pods'.
///
/// Forwarded packets are told as they come to what changes: behind the rules of `nat`
/// that give them another destination, with that destination. An inbound or outbound
/// packet that a rule of `nat` sends to another destination may be concerned by
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
        let tables = Tables::of(family, before, after);
        let changes = tables.changes();
        for stage in Hook::ALL.iter().flat_map(|hook| hook.stages()) {
            for change in changes.at(*stage) {
                let change = change.words();
                if !words.contains(&change) {
                    words.push(change);
                }
            }
        }
    }
    words
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

    /// Whether another is the same for some packets, which this is about.
    fn is(
        &self,
        space: &mut Space,
        other: &Self,
        packets: PacketSet,
    ) -> Result<bool, AnalysisTooComplex> {
        let gained = space.intersection(other.gained, packets)?;
        let lost = space.intersection(other.lost, packets)?;
        Ok(self.gained == gained && self.lost == lost)
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

impl<'a> Comparison<'a> {
    fn sides(&self) -> [&'a NodeFirewall; 2] {
        [self.before, self.after]
    }

    fn delta(&self, space: &mut Space, within: PacketSet) -> Result<FlowDelta, AnalysisTooComplex> {
        let mut all = Difference::NONE;
        for family in [Family::Ipv4, Family::Ipv6] {
            let tables = Tables::of(family, self.before, self.after);
            let changes = tables.changes();
            for hook in Hook::ALL {
                let facing = FlowBox::any().with_direction(hook.direction());
                let facing = space.flow(&facing)?;
                let facing = space.intersection(facing, within)?;
                let asked = of_family(space, family, facing)?;
                if asked.is_empty() {
                    continue;
                }
                let way = tables.way(hook, &changes);
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
        let rewriting = stages
            .iter()
            .position(|stage| stage.table == TableName::Nat && stage.rewrites_destination());
        let may_change_tracking = way.may_change_tracking();
        let (mut first, mut last) = (None, 0);
        let mut sets = Vec::new();
        for (at, stage) in stages.iter().enumerate() {
            let changes = way.changes.at(*stage);
            let set = if way.loses_state_on_one_side(*stage) {
                asked
            } else if changes.is_empty() {
                continue;
            } else {
                let knowledge = &self.before.knowledge;
                let sort = Sort {
                    other: way.other,
                    is_tracking_changed: may_change_tracking,
                    is_behind_nat: rewriting.is_some_and(|nat| at > nat),
                    changed_sets: &self.changed_sets,
                };
                touched(space, knowledge, (*stage, sort), changes, asked)?
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
        match rewriting {
            // Behind it, packets are others than before it.
            Some(at) if first <= at && last > at => self.whole(space, way, asked),
            Some(at) if first <= at => self.whole(space, way, touched),
            Some(at) if way.hook == Hook::Forward => {
                self.forwarded(space, way, (at, first), touched)
            }
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
        let difference = Difference::between(space, passed, passes)?;
        match way.hook {
            Hook::Forward => self.passed_on(space, way, difference),
            Hook::Input | Hook::Output => Ok(difference),
        }
    }
}
