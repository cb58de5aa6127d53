//! Numbers for rules in a given order: near to those they have.

use std::collections::BTreeSet;

use super::Renumbered;
use super::kinds::Kinds;
use crate::nsg::{Access, MAX_PRIORITY, MIN_PRIORITY};

/// The rules that move and the new one, whose place is after the others', in the
/// order in which they are to be evaluated.
pub(super) struct Numbering<'a> {
    pub(super) kinds: &'a Kinds<'a>,
    /// What the new rule does.
    pub(super) access: Access,
    /// The number of the rule that it comes before.
    pub(super) blocking: u16,
    pub(super) order: &'a [usize],
}

impl Numbering<'_> {
    /// The number of the new rule and the moves; none where no numbers in this order
    /// would do.
    pub(super) fn find(&self) -> Option<(u16, Vec<Renumbered>)> {
        let new = self.kinds.rules.len();
        let mut concerned: BTreeSet<usize> = BTreeSet::new();
        for at in self.order {
            concerned.extend(self.kinds.of_rule.get(*at).into_iter().flatten());
        }
        let mut places: Vec<Bounds> = self.order.iter().map(|_| Bounds::default()).collect();
        for at in concerned {
            let Some(kind) = self.kinds.kinds.get(at) else {
                continue;
            };
            let mut holds = self.bound(&kind.rules, None, kind.before, &mut places);
            if let Some(after) = kind.after {
                holds &= self.bound(&kind.rules, Some(new), after, &mut places);
            }
            if !holds {
                return None;
            }
        }
        self.place(&places)
    }

    /// Bounds the numbers of moved rules so that these rules decide as they should;
    /// `false` when no numbers would do in this order.
    fn bound(
        &self,
        rules: &[usize],
        new: Option<usize>,
        goal: Access,
        places: &mut [Bounds],
    ) -> bool {
        let order = self.order;
        let is_right = |at: usize| self.access_of(at) == goal;
        let fixed = |right: bool| {
            let mut fixed = rules
                .iter()
                .copied()
                .filter(|at| !order.contains(at) && is_right(*at) == right);
            fixed.next().and_then(|at| self.number_of(at))
        };
        let moved = |right: bool| {
            order
                .iter()
                .position(|at| (rules.contains(at) || Some(*at) == new) && is_right(*at) == right)
        };
        let (right, wrong) = (moved(true), moved(false));
        let right_moves_first = match (right, wrong) {
            (Some(right), Some(wrong)) => right < wrong,
            (Some(_), None) => true,
            (None, _) => false,
        };
        match (fixed(true), fixed(false)) {
            (Some(first), other) if other.is_none_or(|other| first < other) => {
                if let Some(wrong) = wrong
                    && !right_moves_first
                    && let Some(place) = places.get_mut(wrong)
                {
                    place.after = place.after.max(first);
                }
                true
            }
            (_, Some(first)) => {
                if let Some(right) = right
                    && right_moves_first
                    && let Some(place) = places.get_mut(right)
                {
                    place.before = place.before.min(first);
                    true
                } else {
                    false
                }
            }
            _ => wrong.is_none() || right_moves_first,
        }
    }

    /// Numbers within the bounds, near to those that the rules have; for the new rule
    /// to that of the rule it comes before.
    fn place(&self, places: &[Bounds]) -> Option<(u16, Vec<Renumbered>)> {
        let order = self.order;
        let new = self.kinds.rules.len();
        let fixed: BTreeSet<u16> = (0..new)
            .filter(|at| !order.contains(at))
            .filter_map(|at| self.number_of(at))
            .collect();
        let is_free = |number: &u16| !fixed.contains(number);
        // As late as the later ones allow, from the last on.
        let mut latest = vec![0; order.len()];
        let mut before = MAX_PRIORITY + 1;
        for (place, bounds) in places.iter().enumerate().rev() {
            let first = bounds.after.max(MIN_PRIORITY - 1) + 1;
            let number = (first..before.min(bounds.before)).rev().find(is_free)?;
            if let Some(latest) = latest.get_mut(place) {
                *latest = number;
            }
            before = number;
        }
        let mut after = MIN_PRIORITY - 1;
        let mut number_of_new = None;
        let mut moves = Vec::new();
        for ((at, bounds), latest) in order.iter().zip(places).zip(latest) {
            let wanted = self.number_of(*at).unwrap_or(self.blocking);
            let number = (after.max(bounds.after) + 1..=latest)
                .filter(is_free)
                .min_by_key(|number| number.abs_diff(wanted))?;
            after = number;
            match self.kinds.rules.get(*at) {
                Some(rule) => moves.push(Renumbered {
                    rule: rule.name.clone(),
                    from: rule.priority,
                    to: number,
                }),
                None => number_of_new = Some(number),
            }
        }
        moves.retain(|step| step.from != step.to);
        moves.sort_by_key(|step| step.from);
        Some((number_of_new?, moves))
    }

    fn access_of(&self, at: usize) -> Access {
        let rule = self.kinds.rules.get(at);
        rule.map_or(self.access, |rule| rule.access)
    }

    fn number_of(&self, at: usize) -> Option<u16> {
        self.kinds.rules.get(at).map(|rule| rule.priority)
    }
}

/// Between which numbers, neither included, a rule must have its own.
struct Bounds {
    after: u16,
    before: u16,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            after: 0,
            before: u16::MAX,
        }
    }
}
