//! Freeing a number by moving rules.

use std::collections::{BTreeSet, VecDeque};

use super::counterexamples::fewest_by_counterexample;
use super::fewest::{Fewest, Numbered, fewest};
use super::kinds::Kinds;
use super::order::Ordered;
use super::{Insert, PlacementRequest, Renumbered};
use crate::field::FieldError;
use crate::nsg::{MAX_PRIORITY, MIN_PRIORITY, Nsg, NsgError, NsgRule, TagContext};
use crate::set::{AnalysisTooComplex, ConnectionState, FlowBox, PacketSet, Space};

/// How much is searched when all kinds are told apart: some 10 ns each.
const STEPS: usize = 2_000_000;

/// In groups of more rules, kinds are told apart only as far as moves that fail show
/// them; where that is not enough, all of them.
const FEW: usize = 100;

/// In groups of more rules, all kinds are too many to tell apart.
const MANY: usize = 400;

/// How a number is freed.
pub(super) enum Freed {
    /// By these moves, for the new rule's number.
    Moves(Moves),
    /// Not at all: every renumbering was ruled out.
    Never,
    /// None was found, and not all could be tried.
    NotFound,
}

/// Moves that free a number.
pub(super) struct Moves {
    /// The number of the new rule.
    pub(super) number: u16,
    /// The rules that move.
    pub(super) moves: Vec<Renumbered>,
    /// Whether every renumbering of fewer rules was ruled out.
    pub(super) are_fewest: bool,
}

impl Freed {
    fn by((number, moves): Numbered, are_fewest: bool) -> Self {
        Self::Moves(Moves {
            number,
            moves,
            are_fewest,
        })
    }

    /// What a search proved; none where it could not try all.
    fn proved(found: Fewest) -> Option<Self> {
        match found {
            Fewest::Moves(moves) => Some(Self::by(moves, true)),
            Fewest::None => Some(Self::Never),
            Fewest::NotAllTried(_) => None,
        }
    }
}

/// The fewest moves that free a number between the stricter rules and the
/// blocking one, and that number.
///
/// Where the search ends before it proves them, the answer is the best that is known,
/// which says that fewer moves might do: what the search found, or a chain. Chains are
/// found in groups of any size: rules that all move towards larger or all towards
/// smaller numbers, each taking the number of the next, the last a free one. A rule
/// may jump over another where that changes no packet's verdict.
pub(super) fn find(
    group: &Nsg,
    request: &PlacementRequest,
    insert: &Insert<'_>,
    tags: &TagContext,
) -> Result<Freed, NsgError> {
    if *insert.numbers().start() > MAX_PRIORITY {
        // A default rule is the stricter one: every number comes before it.
        return Ok(Freed::Never);
    }
    let direction = request.rule.direction;
    let rules = group.rules.iter();
    let rules: Vec<&NsgRule> = rules.filter(|rule| rule.direction == direction).collect();
    if rules.len() > FEW {
        let found = fewest_by_counterexample(group, rules.clone(), request, tags)?;
        if let Some(proved) = Freed::proved(found) {
            return Ok(proved);
        }
    }
    let kinds = if rules.len() > MANY {
        None
    } else {
        Kinds::new(rules.clone(), request, insert, tags)?
    };
    let found = match &kinds {
        Some(kinds) => fewest(kinds, request, insert, &mut { STEPS }),
        None if rules.len() > FEW => Fewest::NotAllTried(None),
        None => fewest_by_counterexample(group, rules, request, tags)?,
    };
    let known = match found {
        Fewest::NotAllTried(known) => known,
        found => return Ok(Freed::proved(found).unwrap_or(Freed::NotFound)),
    };
    let chain = shortest_chain(group, request, insert, tags).ok().flatten();
    // A chain minds only the rules it passes.
    let is_kept = |chain: &Numbered| {
        let kinds = kinds.as_ref();
        kinds.is_none_or(|kinds| is_kept(kinds, chain, request))
    };
    let chain = chain.filter(is_kept);
    let best = known.into_iter().chain(chain);
    let best = best.min_by_key(|(_, moves)| moves.len());
    Ok(best.map_or(Freed::NotFound, |moves| Freed::by(moves, false)))
}

/// Whether the moves of a chain keep every kind.
fn is_kept(kinds: &Kinds<'_>, chain: &Numbered, request: &PlacementRequest) -> bool {
    let (number, moves) = chain;
    let of = |at: usize| {
        let rule = kinds.rules.get(at);
        let step = |rule: &NsgRule| moves.iter().find(|step| step.rule == rule.name);
        rule.map_or(0, |rule| step(rule).map_or(rule.priority, |step| step.to))
    };
    kinds.are_kept(of, *number, request.rule.access)
}

/// The shortest chain and the number it frees.
fn shortest_chain(
    group: &Nsg,
    request: &PlacementRequest,
    insert: &Insert<'_>,
    tags: &TagContext,
) -> Result<Option<Numbered>, NsgError> {
    // A budget of its own: what is spent here in vain is not taken from the proof.
    let space = &mut Space::new();
    let direction = request.rule.direction;
    let everything = FlowBox::any()
        .with_direction(direction.into())
        .with_state(ConnectionState::New);
    let everything = space.flow(&everything)?;
    let ordered = Ordered::evaluated(space, group, direction, everything, tags)?;
    let mut rules = Vec::new();
    let custom = group
        .rules
        .iter()
        .filter(|rule| rule.direction == direction);
    for (place, rule) in custom.enumerate() {
        let matches = rule.matches(tags)?;
        rules.push(Movable {
            rule,
            place,
            packets: matches.packets(space)?,
            bounds: matches.bounds(),
            is_pinned: request
                .pinned
                .iter()
                .any(|name| name.eq_ignore_ascii_case(&rule.name)),
        });
    }
    let mut line = Line {
        rules,
        towards_larger: true,
        ordered,
    };
    let numbers = insert.numbers();
    let (first, blocking) = (*numbers.start(), insert.blocking.priority);
    let right = line.chain(space, |number| (first..=blocking).contains(&number))?;
    line.rules.reverse();
    line.towards_larger = false;
    let last_stricter = first.saturating_sub(1);
    let left = line.chain(space, |number| (last_stricter..blocking).contains(&number))?;
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
    place: usize,
    packets: PacketSet,
    bounds: FlowBox,
    is_pinned: bool,
}

/// The rules of one direction in the order in which a chain passes them.
struct Line<'a> {
    rules: Vec<Movable<'a>>,
    towards_larger: bool,
    ordered: Ordered<'a>,
}

impl Line<'_> {
    /// The shortest chain that starts at a rule whose number `starts` accepts.
    fn chain(
        &self,
        space: &mut Space,
        starts: impl Fn(u16) -> bool,
    ) -> Result<Option<Vec<Renumbered>>, AnalysisTooComplex> {
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
            let (next, free) = self.reach(space, at)?;
            if let Some(free) = free {
                return Ok(Some(self.moves(at, free, &came_from)));
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
        Ok(None)
    }

    /// The rules whose place a rule can take, and the first free number it can
    /// take, without passing a rule where that changes a verdict.
    fn reach(
        &self,
        space: &mut Space,
        at: usize,
    ) -> Result<(Vec<usize>, Option<u16>), AnalysisTooComplex> {
        let mut places = Vec::new();
        let Some(moving) = self.rules.get(at) else {
            return Ok((places, None));
        };
        let mut passing = Passing::new(space, moving, &self.ordered)?;
        let mut number = moving.rule.priority;
        for (place, other) in self.rules.iter().enumerate().skip(at + 1) {
            let free = self.next(number);
            if free.is_some_and(|free| free != other.rule.priority) {
                return Ok((places, free));
            }
            if !other.is_pinned {
                places.push(place);
            }
            let changes = if self.towards_larger {
                passing.later(space, moving, other)?
            } else {
                passing.earlier(moving, other)
            };
            if changes {
                return Ok((places, None));
            }
            number = other.rule.priority;
        }
        Ok((places, self.next(number)))
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

/// A rule on its way past others.
struct Passing {
    /// The packets it still decides if it goes no further.
    decided: PacketSet,
    /// The places of the rules that decide packets of its match.
    deciders: BTreeSet<usize>,
}

impl Passing {
    fn new(
        space: &mut Space,
        moving: &Movable<'_>,
        ordered: &Ordered<'_>,
    ) -> Result<Self, AnalysisTooComplex> {
        let deciders = ordered.deciding(space, moving.packets)?;
        Ok(Self {
            decided: ordered.decided_by(space, moving.place)?,
            deciders: deciders.into_iter().collect(),
        })
    }

    /// Whether passing a later rule changes a verdict: it would decide packets
    /// that were the moving rule's.
    fn later(
        &mut self,
        space: &mut Space,
        moving: &Movable<'_>,
        other: &Movable<'_>,
    ) -> Result<bool, AnalysisTooComplex> {
        if !other.bounds.may_intersect(&moving.bounds) {
            return Ok(false);
        }
        if other.rule.access == moving.rule.access {
            self.decided = space.difference(self.decided, other.packets)?;
            return Ok(false);
        }
        space.intersects(self.decided, other.packets)
    }

    /// Whether passing an earlier rule changes a verdict: it decides packets
    /// that would become the moving rule's.
    fn earlier(&self, moving: &Movable<'_>, other: &Movable<'_>) -> bool {
        other.rule.access != moving.rule.access && self.deciders.contains(&other.place)
    }
}
