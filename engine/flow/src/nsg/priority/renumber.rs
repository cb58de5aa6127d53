//! Freeing a number by moving rules.

use std::collections::{BTreeSet, VecDeque};

use super::{Insert, PlacementRequest, Renumbered};
use crate::field::FieldError;
use crate::nsg::{MAX_PRIORITY, MIN_PRIORITY, Nsg, NsgError, NsgRule, TagContext};
use crate::set::FlowBox;

/// The fewest moves that free a number between the stricter rules and the
/// blocking one, and that number.
///
/// Rules move in a chain, all towards larger or all towards smaller numbers:
/// each takes the number of the next, the last a free one. A rule may jump over
/// rules of its own verdict and over rules about other packets only, so no
/// verdict changes; jumps make the chain shorter than a plain shift.
pub(super) fn find(
    group: &Nsg,
    request: &PlacementRequest,
    insert: &Insert<'_>,
    tags: &TagContext,
) -> Result<Option<(u16, Vec<Renumbered>)>, NsgError> {
    let mut line = Line {
        rules: Vec::new(),
        towards_larger: true,
    };
    for rule in &group.rules {
        if rule.direction != request.rule.direction {
            continue;
        }
        let is_pinned = request
            .pinned
            .iter()
            .any(|name| name.eq_ignore_ascii_case(&rule.name));
        line.rules.push(Movable {
            rule,
            bounds: rule.matches(tags)?.bounds(),
            is_pinned,
        });
    }
    let numbers = insert.numbers();
    let after_stricter = |number: u16| number >= *numbers.start();
    let up_to_blocking = |number: u16| number <= insert.blocking.priority;
    let right = line.chain(|number| after_stricter(number) && up_to_blocking(number));
    line.rules.reverse();
    line.towards_larger = false;
    let last_stricter = numbers.start().saturating_sub(1);
    let left = line.chain(|number| number >= last_stricter && number < insert.blocking.priority);
    let best = match (right, left) {
        (Some(right), Some(left)) if left.len() < right.len() => Some(left),
        (Some(right), _) => Some(right),
        (None, left) => left,
    };
    Ok(best.and_then(|moves| moves.first().map(|first| first.from).zip(Some(moves))))
}

/// The group with some rules moved.
pub(super) fn apply(group: &Nsg, moves: &[Renumbered]) -> Result<Nsg, NsgError> {
    let mut moved = group.clone();
    for step in moves {
        let rule = moved.rules.iter_mut().find(|rule| rule.name == step.rule);
        match rule {
            Some(rule) if rule.priority == step.from => rule.priority = step.to,
            _ => {
                return Err(FieldError::Missing {
                    place: "the security group".to_owned(),
                    field: format!("rule {} with priority {}", step.rule, step.from),
                }
                .into());
            }
        }
    }
    Ok(moved)
}

/// The rules that move, with their new numbers.
pub(super) fn moved_rules(group: &Nsg, moves: &[Renumbered]) -> Vec<NsgRule> {
    let step = |rule: &NsgRule| moves.iter().find(|step| step.rule == rule.name);
    let moved = group.rules.iter().filter_map(|rule| {
        step(rule).map(|step| NsgRule {
            priority: step.to,
            ..rule.clone()
        })
    });
    moved.collect()
}

struct Movable<'a> {
    rule: &'a NsgRule,
    bounds: FlowBox,
    is_pinned: bool,
}

/// The rules of one direction in the order in which a chain passes them.
struct Line<'a> {
    rules: Vec<Movable<'a>>,
    towards_larger: bool,
}

impl Line<'_> {
    /// The shortest chain that starts at a rule whose number `starts` accepts.
    fn chain(&self, starts: impl Fn(u16) -> bool) -> Option<Vec<Renumbered>> {
        let mut came_from: Vec<Option<usize>> = vec![None; self.rules.len()];
        let mut open = VecDeque::new();
        let mut seen = BTreeSet::new();
        for (at, movable) in self.rules.iter().enumerate() {
            if !movable.is_pinned && starts(movable.rule.priority) {
                seen.insert(at);
                open.push_back(at);
            }
        }
        // Breadth first: every rule is visited once, by a shortest chain.
        while let Some(at) = open.pop_front() {
            let (next, free) = self.reach(at);
            if let Some(free) = free {
                return Some(self.moves(at, free, &came_from));
            }
            for next in next {
                if seen.insert(next) {
                    if let Some(place) = came_from.get_mut(next) {
                        *place = Some(at);
                    }
                    open.push_back(next);
                }
            }
        }
        None
    }

    /// The rules whose place a rule can take, and the first free number it can
    /// take, without passing a rule it conflicts with.
    fn reach(&self, at: usize) -> (Vec<usize>, Option<u16>) {
        let mut places = Vec::new();
        let Some(moving) = self.rules.get(at) else {
            return (places, None);
        };
        let mut number = moving.rule.priority;
        for (place, other) in self.rules.iter().enumerate().skip(at + 1) {
            let free = self.next(number);
            if free.is_some_and(|free| free != other.rule.priority) {
                return (places, free);
            }
            if !other.is_pinned {
                places.push(place);
            }
            let conflicts = other.rule.access != moving.rule.access
                && other.bounds.may_intersect(&moving.bounds);
            if conflicts {
                return (places, None);
            }
            number = other.rule.priority;
        }
        (places, self.next(number))
    }

    /// The number after another, in the direction of the line.
    fn next(&self, number: u16) -> Option<u16> {
        let next = if self.towards_larger {
            number.checked_add(1)
        } else {
            number.checked_sub(1)
        };
        next.filter(|number| (MIN_PRIORITY..=MAX_PRIORITY).contains(number))
    }

    /// The moves of the chain that ends with the rule at `last` taking `free`.
    fn moves(&self, last: usize, free: u16, came_from: &[Option<usize>]) -> Vec<Renumbered> {
        let mut moves = Vec::new();
        let (mut at, mut to) = (Some(last), free);
        while let Some(movable) = at.and_then(|at| self.rules.get(at)) {
            let from = movable.rule.priority;
            moves.push(Renumbered {
                rule: movable.rule.name.clone(),
                from,
                to,
            });
            to = from;
            at = at.and_then(|at| came_from.get(at).copied().flatten());
        }
        moves.reverse();
        moves
    }
}
