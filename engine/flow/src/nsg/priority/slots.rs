//! Numbers for rules that move, when it is known between which each must be.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::nsg::MAX_PRIORITY;

/// The numbers that would do for one rule.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    /// The first.
    pub(super) first: u16,
    /// The last; before the first when there is none.
    pub(super) last: u16,
}

/// Rules that have fewer free numbers than they are.
pub(super) struct Crowd {
    /// Which, by place among those asked about.
    pub(super) members: Vec<usize>,
    /// The first number that would do for any of them.
    pub(super) first: u16,
    /// The last.
    pub(super) last: u16,
}

/// Whether a number is taken by a rule that stays.
pub(super) type Taken = Vec<bool>;

/// A different free number for each rule, or a crowd that has too few.
///
/// Number by number, the rule that must come soonest is next; of two alike the one
/// named earlier. That finds numbers wherever there are some, and keeps every order
/// that the bounds show: a rule whose bounds are both no later than another's, and
/// which is named before it, comes before it.
pub(super) fn fit(wanted: &[Wanted], taken: &Taken) -> Result<Vec<u16>, Crowd> {
    let mut waiting: BinaryHeap<Reverse<(u16, usize)>> = BinaryHeap::new();
    for (at, one) in wanted.iter().enumerate() {
        waiting.push(Reverse((one.first, at)));
    }
    let mut ready: BinaryHeap<Reverse<(u16, usize)>> = BinaryHeap::new();
    // The rules that have numbers, with whether a free one before was left over.
    let mut placed: Vec<(usize, u16, bool)> = Vec::with_capacity(wanted.len());
    let mut number = 0;
    while placed.len() < wanted.len() {
        let mut is_gap = false;
        if ready.is_empty()
            && let Some(Reverse((first, _))) = waiting.peek()
        {
            is_gap = *first > next_free(number, taken);
            number = number.max(*first);
        }
        number = next_free(number, taken);
        while let Some(Reverse((first, at))) = waiting.peek().copied()
            && first <= number
        {
            waiting.pop();
            let last = wanted.get(at).map_or(0, |one| one.last);
            ready.push(Reverse((last, at)));
        }
        let Some(Reverse((last, at))) = ready.pop() else {
            break;
        };
        if last < number {
            return Err(crowd(wanted, &placed, (at, last, is_gap)));
        }
        placed.push((at, number, is_gap));
        number += 1;
    }
    let mut numbers = vec![0; wanted.len()];
    for (at, number, _) in placed {
        if let Some(place) = numbers.get_mut(at) {
            *place = number;
        }
    }
    Ok(numbers)
}

/// The first number from one on that is not taken; every number beyond those there
/// are is free.
fn next_free(from: u16, taken: &Taken) -> u16 {
    let is_free = |number: &u16| !taken.get(usize::from(*number)).copied().unwrap_or(false);
    (from..=MAX_PRIORITY + 1)
        .find(is_free)
        .unwrap_or(from.max(MAX_PRIORITY + 1))
}

/// The rules that filled every number up to the one that found none. Whichever came
/// before them had to come no sooner, or its successor number was left over: so none
/// of them would do with a number before theirs, and each must come by the last.
fn crowd(wanted: &[Wanted], placed: &[(usize, u16, bool)], late: (usize, u16, bool)) -> Crowd {
    let (at, last, mut is_gap) = late;
    let mut members = vec![at];
    for (before, _, gap_before) in placed.iter().rev() {
        let must_come = wanted.get(*before).map_or(0, |one| one.last);
        if is_gap || must_come > last {
            break;
        }
        members.push(*before);
        is_gap = *gap_before;
    }
    let firsts = members.iter().filter_map(|at| wanted.get(*at));
    let first = firsts.map(|one| one.first).min().unwrap_or_default();
    Crowd {
        members,
        first,
        last,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Taken, Wanted, fit};

    fn some_fit(wanted: &[Wanted], taken: &mut Taken) -> bool {
        let Some((one, rest)) = wanted.split_first() else {
            return true;
        };
        (one.first..=one.last).any(|number| {
            if taken[usize::from(number)] {
                return false;
            }
            taken[usize::from(number)] = true;
            let fits = some_fit(rest, taken);
            taken[usize::from(number)] = false;
            fits
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn numbers_are_found_wherever_there_are_some_and_a_crowd_has_too_few(
            wanted in proptest::collection::vec((0..9_u16, 0..5_u16), 1..6),
            taken in proptest::collection::vec(any::<bool>(), 16),
        ) {
            let wanted: Vec<Wanted> = wanted
                .into_iter()
                .map(|(first, more)| Wanted { first, last: first + more })
                .collect();
            let mut taken = taken;
            match fit(&wanted, &taken) {
                Ok(numbers) => {
                    for (number, one) in numbers.iter().zip(&wanted) {
                        prop_assert!((one.first..=one.last).contains(number));
                        prop_assert!(!taken[usize::from(*number)]);
                        taken[usize::from(*number)] = true;
                    }
                }
                Err(crowd) => {
                    prop_assert!(!some_fit(&wanted, &mut taken));
                    let free = (crowd.first..=crowd.last).filter(|number| !taken[usize::from(*number)]);
                    prop_assert!(free.count() < crowd.members.len());
                    for at in crowd.members {
                        prop_assert!(wanted[at].first >= crowd.first);
                        prop_assert!(wanted[at].last <= crowd.last);
                    }
                }
            }
        }
    }
}
