//! Which priority a new rule must have, and the proof.
//!
//! The rule must come before the first rule that decides a required packet the
//! other way, and after every rule above that one which decides packets of the
//! new rule's match the other way: those are the *stricter* rules, and they
//! stay in force. The chosen number is the latest free one in between. Where
//! none is free, the fewest rules are moved that free one without changing any
//! verdict. That no fewer would do is shown by conflicts: rules of which one more has
//! to move, whatever else does. Where the search for them costs too much, it is said
//! that fewer might do.

mod bits;
mod conflict;
mod constraints;
mod counterexamples;
mod error;
mod fewest;
mod kinds;
mod numbering;
mod order;
mod proof;
mod renumber;
mod search;
mod slots;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub use error::PlacementError;

use self::order::Ordered;
use self::proof::After;
use self::renumber::{Freed, Moves};
use super::error::NsgError;
use super::group::Nsg;
use super::rule::{MAX_PRIORITY, MAX_RULES, MIN_PRIORITY, NsgRule};
use super::tags::TagContext;
use super::unfiltered;
use crate::delta::{DeltaReport, FlowDelta};
use crate::set::{ConnectionState, FlowBox, PacketSet, Space};

/// A rule that needs a priority.
#[derive(Debug, Clone)]
pub struct PlacementRequest {
    /// The rule; its priority is not read.
    pub rule: NsgRule,
    /// The packets that must get the rule's verdict: new connections in the
    /// rule's direction are meant.
    pub required: Vec<FlowBox>,
    /// Custom rules, by name, that must keep their number.
    pub pinned: BTreeSet<String>,
}

/// A rule that gets another number so that one becomes free.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Renumbered {
    /// The rule.
    pub rule: String,
    /// Its number before.
    pub from: u16,
    /// Its number after.
    pub to: u16,
}

/// A priority for a rule, proved: required packets get the rule's verdict, no
/// packet outside the rule's match changes, and the stricter rules stay in
/// force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Placement {
    /// The rule with its priority.
    pub rule: NsgRule,
    /// The first rule that decides a required packet the other way; the new
    /// rule comes before it.
    pub blocking: String,
    /// The stricter rules, which the new rule comes after.
    pub stricter: Vec<String>,
    /// Rules to move so that the number is free; to be written together with
    /// the rule in one write of the whole group. Empty when it is free already.
    pub renumbered: Vec<Renumbered>,
    /// Whether it is proved that no fewer rules could move; not where there were
    /// too many ways to try.
    pub is_fewest: bool,
    /// How many other free numbers would do, for rules to come.
    pub room_left: u16,
    /// What the insert does to packets.
    pub delta: DeltaReport,
}

impl Placement {
    /// The group after the insert, with moved rules moved.
    ///
    /// # Errors
    /// [`NsgError`] when the group is not the one the placement is for.
    pub fn apply(&self, group: &Nsg) -> Result<Nsg, NsgError> {
        let mut after = renumber::apply(group, &self.renumbered)?;
        after.rules.push(self.rule.clone());
        after.in_order()
    }
}

/// Calculates the priority of a rule to insert, with its proof and its delta.
///
/// # Errors
/// [`PlacementError`]: nothing to do, a rule that does not cover what is
/// required, no number to be had, with the packets that show it, or an
/// [`NsgError`].
pub fn place(
    group: &Nsg,
    request: &PlacementRequest,
    tags: &TagContext,
) -> Result<Placement, PlacementError> {
    let mut space = Space::new();
    if group.rules.len() >= MAX_RULES {
        return Err(PlacementError::TooManyRules {
            rules: group.rules.len(),
            maximum: MAX_RULES,
        });
    }
    if group.rule(&request.rule.name).is_some() {
        return Err(NsgError::DuplicateName {
            name: request.rule.name.clone(),
        }
        .into());
    }
    place_in(&mut space, group, request, tags).map_err(|error| match error {
        PlacementError::Nsg(error) => {
            let rules = group.evaluated(request.rule.direction);
            PlacementError::Nsg(error.naming(std::iter::once(&request.rule).chain(rules)))
        }
        other => other,
    })
}

fn place_in(
    space: &mut Space,
    group: &Nsg,
    request: &PlacementRequest,
    tags: &TagContext,
) -> Result<Placement, PlacementError> {
    let question = Question::new(space, group, request, tags)?;
    let insert = question.insert(space)?;
    let free = free_numbers(group, request, &insert);
    let freed = match free.last() {
        Some(&latest) => Moves {
            number: latest,
            moves: Vec::new(),
            are_fewest: true,
        },
        None => match renumber::find(group, request, &insert, tags)? {
            Freed::Moves(moves) => moves,
            Freed::Never => return Err(question.no_free_number(space, &insert, true)),
            Freed::NotFound => return Err(question.no_free_number(space, &insert, false)),
        },
    };
    let mut rule = request.rule.clone();
    rule.priority = freed.number;
    let placement = Placement {
        rule,
        blocking: insert.blocking.name.clone(),
        stricter: insert
            .stricter
            .iter()
            .map(|rule| rule.name.clone())
            .collect(),
        renumbered: freed.moves,
        is_fewest: freed.are_fewest,
        room_left: free.len().saturating_sub(1) as u16,
        delta: FlowDelta::of_sets(space, question.passed, insert.passing)
            .and_then(|delta| delta.report(space))
            .map_err(NsgError::from)?,
    };
    let after = After {
        group,
        rule: &placement.rule,
        moves: &placement.renumbered,
    };
    match after.wrongly_decided(space, &question, &insert, tags)? {
        Some(PacketSet::EMPTY) => Ok(placement),
        _ => Err(question.no_free_number(space, &insert, false)),
    }
}

/// The packets an insert is about.
struct Question<'a> {
    rule: &'a NsgRule,
    required: PacketSet,
    matched: PacketSet,
    within: PacketSet,
    passed: PacketSet,
    ordered: Ordered<'a>,
}

impl<'a> Question<'a> {
    fn new(
        space: &mut Space,
        group: &'a Nsg,
        request: &'a PlacementRequest,
        tags: &TagContext,
    ) -> Result<Self, PlacementError> {
        let rule = &request.rule;
        let mut required = Vec::new();
        for flow in &request.required {
            let flow = flow
                .clone()
                .with_direction(rule.direction.into())
                .with_state(ConnectionState::New);
            required.push(space.flow(&flow)?);
        }
        let required = space.union_all(required)?;
        let rules = group.rules.iter().chain([rule]);
        let unfiltered = unfiltered::packets(space, rules)?;
        let required = space.difference(required, unfiltered)?;
        if required.is_empty() {
            return Err(PlacementError::NothingRequired);
        }
        let matched = rule.matches(tags)?.packets(space)?;
        let matched = space.difference(matched, unfiltered)?;
        let within = space.possibly(matched)?;
        let within = space.union(within, required)?;
        let ordered = Ordered::evaluated(space, group, rule.direction, within, tags)?;
        let passed = ordered.allowed(space)?;
        Ok(Self {
            rule,
            required,
            matched,
            within,
            passed,
            ordered,
        })
    }

    /// Where the rule belongs, and what passes once it is there.
    fn insert(&self, space: &mut Space) -> Result<Insert<'a>, PlacementError> {
        let right = match self.rule.access {
            super::Access::Allow => self.passed,
            super::Access::Deny => space.difference(self.within, self.passed)?,
        };
        let wrong = space.difference(self.required, right)?;
        if wrong.is_empty() {
            return Err(PlacementError::AlreadyInForce);
        }
        let uncovered = space.difference(wrong, self.matched)?;
        if let Some(packet) = space.sample(uncovered) {
            return Err(PlacementError::NotCovered {
                rule: self.rule.name.clone(),
                packet: packet.to_string(),
            });
        }
        let deciding = |place: &usize| {
            let rule = self.ordered.rules.get(*place).copied();
            rule.filter(|rule| rule.access != self.rule.access)
        };
        let required_places = self.ordered.deciding(space, self.required)?;
        let blocking = required_places
            .iter()
            .find_map(|place| deciding(place).map(|rule| (*place, rule)));
        let Some((place, blocking)) = blocking else {
            return Err(PlacementError::AlreadyInForce);
        };
        let (mut stricter, mut last_stricter_place) = (Vec::new(), None);
        for earlier in self.ordered.deciding(space, self.matched)? {
            if earlier < place
                && let Some(rule) = deciding(&earlier)
            {
                stricter.push(rule);
                last_stricter_place = Some(earlier);
            }
        }
        let decided = self.ordered.decided_before(space, place)?;
        let taken = space.difference(self.matched, decided)?;
        let passing = match self.rule.access {
            super::Access::Allow => space.union(self.passed, taken)?,
            super::Access::Deny => space.difference(self.passed, taken)?,
        };
        Ok(Insert {
            blocking,
            stricter,
            passing,
            blocking_place: place,
            last_stricter_place,
        })
    }

    /// Why no number would do, with the packets that show it.
    fn no_free_number(
        &self,
        space: &mut Space,
        insert: &Insert<'_>,
        all_were_tried: bool,
    ) -> PlacementError {
        let mut text = |place: usize, among: PacketSet| {
            let decided = self.ordered.decided_by(space, place)?;
            let shown = space.intersection(decided, among)?;
            Ok(space.sample(shown).map(|packet| packet.to_string()))
        };
        let stopped = text(insert.blocking_place, self.required);
        let opened = insert
            .last_stricter_place
            .map(|place| text(place, self.matched));
        match (stopped, opened.transpose()) {
            (Ok(stopped), Ok(opened)) => PlacementError::NoFreePriority {
                blocking: insert.blocking.name.clone(),
                stricter: insert.stricter.last().map(|rule| rule.name.clone()),
                still_stopped: stopped.unwrap_or_default(),
                wrongly_decided: opened.flatten(),
                all_were_tried,
            },
            (Err(error), _) | (_, Err(error)) => NsgError::TooComplex(error).into(),
        }
    }
}

/// The place of an insert between two rules.
struct Insert<'a> {
    blocking: &'a NsgRule,
    stricter: Vec<&'a NsgRule>,
    passing: PacketSet,
    blocking_place: usize,
    last_stricter_place: Option<usize>,
}

impl Insert<'_> {
    /// The numbers between the last stricter rule and the blocking one.
    fn numbers(&self) -> std::ops::RangeInclusive<u16> {
        let above = self.stricter.iter().map(|rule| rule.priority).max();
        let first = above.map_or(MIN_PRIORITY, |number| number.saturating_add(1));
        let last = self.blocking.priority.saturating_sub(1).min(MAX_PRIORITY);
        first..=last
    }
}

/// The numbers that would do and that no rule of the direction has.
fn free_numbers(group: &Nsg, request: &PlacementRequest, insert: &Insert<'_>) -> Vec<u16> {
    let taken: BTreeSet<u16> = group
        .rules
        .iter()
        .filter(|rule| rule.direction == request.rule.direction)
        .map(|rule| rule.priority)
        .collect();
    let numbers = insert.numbers();
    numbers.filter(|number| !taken.contains(number)).collect()
}
