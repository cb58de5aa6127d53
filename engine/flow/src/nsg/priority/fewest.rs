//! The fewest moves that free a number, and the proof that no fewer would do.

use super::conflict::{Numbers, OutOfSteps};
use super::constraints::Constraints;
use super::kinds::Kinds;
use super::numbering::Numbering;
use super::search::{Fewer, Search};
use super::{Insert, PlacementRequest, Renumbered};

/// The number of the new rule, and the moves that free it.
pub(super) type Numbered = (u16, Vec<Renumbered>);

/// What the search gives.
pub(super) enum Fewest {
    /// No fewer moves would do.
    Moves(Numbered),
    /// No renumbering would do.
    None,
    /// Not all could be searched; moves that would do, if some were found.
    NotAllTried(Option<Numbered>),
}

/// The fewest moves, found within so many steps of some 10 ns each.
pub(super) fn fewest(
    kinds: &Kinds<'_>,
    request: &PlacementRequest,
    insert: &Insert<'_>,
    steps: &mut usize,
) -> Fewest {
    let constraints = Constraints::new(kinds, request.rule.access);
    let is_pinned = |name: &str| {
        let mut pinned = request.pinned.iter();
        pinned.any(|pinned| pinned.eq_ignore_ascii_case(name))
    };
    let rules = kinds.rules.iter();
    let pinned: Vec<bool> = rules.map(|rule| is_pinned(&rule.name)).collect();
    let movable = pinned.iter().filter(|is_pinned| !**is_pinned).count();
    let numbered = |numbers: Numbers| {
        let mut numbers = numbers;
        numbers.sort_unstable_by_key(|(_, number)| *number);
        let order: Vec<usize> = numbers.into_iter().map(|(at, _)| at).collect();
        Numbering {
            kinds,
            access: request.rule.access,
            blocking: insert.blocking.priority,
            order: &order,
        }
        .find()
    };
    let mut search = Search::new(&constraints, pinned, *steps);
    let mut known = None;
    let found = search.fewest_below(movable + 1, &mut known);
    *steps = search.state.steps;
    match found {
        Ok(Fewer::Moves(numbers)) => {
            numbered(numbers).map_or(Fewest::NotAllTried(None), Fewest::Moves)
        }
        Ok(Fewer::None) => Fewest::None,
        Err(OutOfSteps) => Fewest::NotAllTried(known.and_then(numbered)),
    }
}
