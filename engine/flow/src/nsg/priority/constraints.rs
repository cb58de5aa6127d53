//! What an order of rules has to keep, so that every kind of packet is decided as it
//! should be.

use std::collections::BTreeMap;

use super::bits::Bits;
use super::kinds::{Kind, Kinds};
use crate::nsg::Access;

/// One of some rules comes before all of others. Places are in the order of the
/// numbers that rules have now.
pub(super) struct FirstOf {
    /// The rules of which one is first: several.
    pub(super) right: Vec<usize>,
    /// The rules it comes before.
    pub(super) wrong: Vec<usize>,
}

/// What the order of the custom rules, by place, and of the new rule, whose place is
/// after theirs, has to keep.
#[derive(Default)]
pub(super) struct Constraints {
    /// The numbers that the custom rules have.
    pub(super) numbers: Vec<u16>,
    /// The rules that come before each, whatever moves.
    pub(super) earlier: Vec<Vec<usize>>,
    /// The rules that come after each.
    pub(super) later: Vec<Vec<usize>>,
    /// Where one of several rules has to come before others.
    pub(super) choices: Vec<FirstOf>,
    /// The choices in which each rule may be the first.
    pub(super) right_in: Vec<Vec<usize>>,
    /// The choices in which a rule must not be the first.
    pub(super) wrong_in: Vec<Vec<usize>>,
}

impl Constraints {
    pub(super) fn new(kinds: &Kinds<'_>, access: Access) -> Self {
        let new = kinds.rules.len();
        // Rules of which one is first before some, and before others, are before all.
        let places = new + 1;
        let mut before: BTreeMap<Vec<usize>, Bits> = BTreeMap::new();
        let mut add = |right: Vec<usize>, wrong: &[usize]| {
            let all = before.entry(right).or_insert_with(|| Bits::below(places));
            wrong.iter().for_each(|at| all.insert(*at));
        };
        for kind in &kinds.kinds {
            let (right, mut wrong) = sides(kinds, kind);
            if kind.after.is_some_and(|after| after != kind.before) {
                // The new rule takes the kind over from all that decide it now.
                add(vec![new], &right);
            } else if kind.after.is_some_and(|after| after != access) {
                wrong.push(new);
            }
            add(right, &wrong);
        }
        let mut orders = Orders {
            earlier: vec![Bits::below(places); places],
            later: vec![Bits::below(places); places],
        };
        let choices = orders.certain(before);
        let mut right_in = vec![Vec::new(); places];
        let mut wrong_in = vec![Vec::new(); places];
        for (choice, FirstOf { right, wrong }) in choices.iter().enumerate() {
            for (rules, lists) in [(right, &mut right_in), (wrong, &mut wrong_in)] {
                for at in rules {
                    if let Some(list) = lists.get_mut(*at) {
                        list.push(choice);
                    }
                }
            }
        }
        let lists = |bits: &[Bits]| bits.iter().map(|bits| bits.iter().collect()).collect();
        Self {
            numbers: kinds.rules.iter().map(|rule| rule.priority).collect(),
            earlier: lists(&orders.earlier),
            later: lists(&orders.later),
            choices,
            right_in,
            wrong_in,
        }
    }

    /// The place of the new rule.
    pub(super) fn new_rule(&self) -> usize {
        self.numbers.len()
    }

    /// The number a rule has now.
    pub(super) fn number(&self, at: usize) -> u16 {
        self.numbers.get(at).copied().unwrap_or_default()
    }
}

/// The pairs of rules of which one always comes before the other, by place.
struct Orders {
    earlier: Vec<Bits>,
    later: Vec<Bits>,
}

impl Orders {
    /// Notes what is certain, and returns what is left to choose.
    ///
    /// A rule that comes after one that must not be first is not the first either;
    /// where only one is left that may be, it comes before the others, which may
    /// decide more choices.
    fn certain(&mut self, before: BTreeMap<Vec<usize>, Bits>) -> Vec<FirstOf> {
        let mut open: Vec<(Vec<usize>, Bits)> = before.into_iter().collect();
        loop {
            let left = open.len();
            open.retain_mut(|(right, wrong)| {
                right.retain(|at| !self.earlier.get(*at).is_some_and(|all| all.meets(wrong)));
                if let [first] = right.as_slice() {
                    self.note(*first, wrong);
                    return false;
                }
                for later in right.iter().filter_map(|at| self.later.get(*at)) {
                    wrong.remove_all(later);
                }
                !wrong.is_empty()
            });
            if open.len() == left {
                break;
            }
        }
        let open = open.into_iter().map(|(right, wrong)| FirstOf {
            right,
            wrong: wrong.iter().collect(),
        });
        open.collect()
    }

    fn note(&mut self, first: usize, others: &Bits) {
        if let Some(later) = self.later.get_mut(first) {
            later.insert_all(others);
        }
        for other in others.iter() {
            if let Some(earlier) = self.earlier.get_mut(other) {
                earlier.insert(first);
            }
        }
    }
}

/// The rules that decide a kind rightly, were they first, and the others.
fn sides(kinds: &Kinds<'_>, kind: &Kind) -> (Vec<usize>, Vec<usize>) {
    let is_right = |at: &usize| {
        let rule = kinds.rules.get(*at);
        rule.is_some_and(|rule| rule.access == kind.before)
    };
    kind.rules.iter().partition(|at| is_right(at))
}
