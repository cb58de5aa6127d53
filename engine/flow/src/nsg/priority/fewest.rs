//! The fewest moves that free a number, by trying all of few rules in every order.

use std::collections::BTreeSet;

use super::kinds::Kinds;
use super::{Insert, PlacementRequest, Renumbered};
use crate::nsg::{Access, MAX_PRIORITY, MIN_PRIORITY};

/// How much is tried: some 10 ns each. Renumberings of few rules, and of many rules
/// in small groups, are tried all.
const TRIES: usize = 3_000_000;

/// More rules than this are not moved: their orders are too many.
const MOST_MOVED: usize = 6;

/// What trying gives.
pub(super) enum Fewest {
    /// The number of the new rule and the moves that make it right: no fewer would
    /// do.
    Moves(u16, Vec<Renumbered>),
    /// No renumbering of fewer rules than asked about would do.
    None,
    /// Not all could be tried.
    NotAllTried,
}

/// Tries every renumbering of fewer than `limit` rules, smallest first.
pub(super) fn fewest(
    kinds: &Kinds<'_>,
    request: &PlacementRequest,
    insert: &Insert<'_>,
    limit: usize,
) -> Fewest {
    let is_pinned = |name: &str| {
        let mut pinned = request.pinned.iter();
        pinned.any(|pinned| pinned.eq_ignore_ascii_case(name))
    };
    let movable: Vec<usize> = (0..kinds.rules.len())
        .filter(|at| {
            kinds
                .rules
                .get(*at)
                .is_some_and(|rule| !is_pinned(&rule.name))
        })
        .collect();
    let needed = needed(kinds, request.rule.access, insert);
    if !movable.iter().any(|at| needed.contains(at)) {
        return Fewest::None;
    }
    let mut search = Search {
        kinds,
        access: request.rule.access,
        movable: &movable,
        needed,
        tries: TRIES,
    };
    let most = movable.len().min(limit.saturating_sub(1));
    for count in 1..=most.min(MOST_MOVED) {
        match search.some(&mut Vec::new(), 0, count) {
            Some(Some(found)) => return found,
            Some(None) => {}
            None => return Fewest::NotAllTried,
        }
    }
    if most <= MOST_MOVED {
        Fewest::None
    } else {
        Fewest::NotAllTried
    }
}

/// Rules of which every renumbering moves at least one: those on the numbers that
/// would do, the blocking rule, and the rules that could hold what the last stricter
/// rule holds.
fn needed(kinds: &Kinds<'_>, access: Access, insert: &Insert<'_>) -> BTreeSet<usize> {
    let numbers = insert.numbers();
    let is_near = |at: &usize| {
        let rule = kinds.rules.get(*at);
        rule.is_some_and(|rule| {
            numbers.contains(&rule.priority) || rule.priority == insert.blocking.priority
        })
    };
    let mut needed: BTreeSet<usize> = (0..kinds.rules.len()).filter(is_near).collect();
    let last_stricter = insert.stricter.iter().map(|rule| rule.priority).max();
    let held_by_it = kinds.kinds.iter().find(|kind| {
        let first = kind.rules.first().and_then(|at| kinds.rules.get(*at));
        kind.after.is_some_and(|after| after != access)
            && first.map(|rule| rule.priority) == last_stricter
    });
    if let Some(kind) = held_by_it {
        needed.extend(&kind.rules);
    }
    needed
}

struct Search<'a> {
    kinds: &'a Kinds<'a>,
    access: Access,
    movable: &'a [usize],
    needed: BTreeSet<usize>,
    tries: usize,
}

impl Search<'_> {
    /// Some renumbering that moves these rules and `count` more, from the one at
    /// `from` on; nothing at all when not all could be tried.
    fn some(
        &mut self,
        moved: &mut Vec<usize>,
        from: usize,
        count: usize,
    ) -> Option<Option<Fewest>> {
        if count == 0 {
            if !moved.iter().any(|at| self.needed.contains(at)) {
                self.spend(1)?;
                return Some(None);
            }
            return self.some_order(moved);
        }
        for next in from..self.movable.len() {
            let Some(&at) = self.movable.get(next) else {
                break;
            };
            moved.push(at);
            let found = self.some(moved, next + 1, count - 1);
            moved.pop();
            if !matches!(found, Some(None)) {
                return found;
            }
        }
        Some(None)
    }

    fn spend(&mut self, tries: usize) -> Option<()> {
        self.tries = self.tries.checked_sub(tries)?;
        Some(())
    }

    /// Some order of the moved rules and the new one that has numbers.
    fn some_order(&mut self, moved: &[usize]) -> Option<Option<Fewest>> {
        let new = self.kinds.rules.len();
        let mut concerned: BTreeSet<usize> = BTreeSet::new();
        for at in moved.iter().copied().chain([new]) {
            concerned.extend(self.kinds.of_rule.get(at).into_iter().flatten());
        }
        let concerned: Vec<usize> = concerned.into_iter().collect();
        let mut order: Vec<usize> = moved.iter().copied().chain([new]).collect();
        loop {
            if let Some(found) = self.numbered(&order, &concerned)? {
                return Some(Some(found));
            }
            if !next_order(&mut order) {
                return Some(None);
            }
        }
    }

    /// Numbers for rules in this order.
    fn numbered(&mut self, order: &[usize], concerned: &[usize]) -> Option<Option<Fewest>> {
        let mut places: Vec<Bounds> = order.iter().map(|_| Bounds::default()).collect();
        for at in concerned {
            let Some(kind) = self.kinds.kinds.get(*at) else {
                continue;
            };
            self.spend(1 + kind.rules.len())?;
            let new = self.kinds.rules.len();
            let mut holds = self.bound(&kind.rules, order, None, kind.before, &mut places);
            if let Some(after) = kind.after {
                holds &= self.bound(&kind.rules, order, Some(new), after, &mut places);
            }
            if !holds {
                return Some(None);
            }
        }
        self.spend(self.kinds.rules.len())?;
        Some(self.place(order, &places))
    }

    /// Bounds the numbers of moved rules so that these rules decide as they should;
    /// `false` when no numbers would do in this order.
    fn bound(
        &self,
        rules: &[usize],
        order: &[usize],
        new: Option<usize>,
        goal: Access,
        places: &mut [Bounds],
    ) -> bool {
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

    /// Numbers within the bounds: for the new rule the latest, for the others ones
    /// near to those they have.
    fn place(&self, order: &[usize], places: &[Bounds]) -> Option<Fewest> {
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
            let wanted = self.number_of(*at).unwrap_or(latest);
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
        Some(Fewest::Moves(number_of_new?, moves))
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

/// The next order of numbers that are all different; `false` after the last.
fn next_order(order: &mut [usize]) -> bool {
    let falls = order
        .windows(2)
        .rposition(|pair| pair.first() < pair.last());
    let Some(at) = falls else { return false };
    let pivot = order.get(at).copied();
    let swap = order.iter().rposition(|other| Some(*other) > pivot);
    if let Some(swap) = swap {
        order.swap(at, swap);
    }
    if let Some(rest) = order.get_mut(at + 1..) {
        rest.reverse();
    }
    true
}
