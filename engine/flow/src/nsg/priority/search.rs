//! The search for the fewest rules to move, one conflict after the other.

use super::conflict::{Conflict, Decision, Decisions, Numbers, OutOfSteps, State};
use super::constraints::{Constraints, FirstOf};

/// More moves and decisions than this on one way are not followed.
const DEEPEST: usize = 200;

/// The fewest moves below a limit.
pub(super) enum Fewer {
    /// So many that no fewer would do.
    Moves(Numbers),
    /// As many as the limit, or none at all would do.
    None,
}

/// What a search gives.
enum Outcome {
    /// Numbers that keep all constraints.
    Found(Numbers),
    /// There are none, as far as these decisions go.
    None(Decisions),
}

/// A search over the sets of rules that may move.
///
/// A rule that may move may also keep its number. So more rules that may move never
/// forbid what fewer allow, and a conflict of a set is one of every larger set that
/// has none of the conflict's rules.
pub(super) struct Search<'a> {
    constraints: &'a Constraints,
    pub(super) state: State,
    /// Whether a rule has to stay, by place: pinned, or its move was searched already.
    stays: Vec<bool>,
    /// Whether something was left out because it would move too many.
    is_cut: bool,
    depth: usize,
}

impl<'a> Search<'a> {
    pub(super) fn new(constraints: &'a Constraints, pinned: Vec<bool>, steps: usize) -> Self {
        Self {
            constraints,
            state: State::new(constraints, steps),
            stays: pinned,
            is_cut: false,
            depth: 0,
        }
    }

    /// The numbers with which the fewest rules move, fewer than the limit; numbers
    /// that would do are noted when they are known.
    ///
    /// Conflicts that share no rule say how many have to move at least. So many moves
    /// are searched for, then one more, and so on.
    pub(super) fn fewest_below(
        &mut self,
        limit: usize,
        known: &mut Option<Numbers>,
    ) -> Result<Fewer, OutOfSteps> {
        let new = self.constraints.new_rule();
        let apart = match self.state.numbers(self.constraints)? {
            Err(conflict) => self.apart(conflict, usize::MAX)?,
            Ok(_) => Apart::default(),
        };
        if apart.is_stuck || apart.count >= limit {
            self.stay_again(&apart.moved);
            return Ok(Fewer::None);
        }
        let numbers = self.state.numbers(self.constraints)?;
        if let Ok(numbers) = numbers
            && self.violated(&numbers)?.is_none()
        {
            *known = Some(numbers);
            if apart.moved.len() > apart.count {
                self.without_needless(&apart.moved, known)?;
            }
        }
        let moved: Vec<usize> = self.state.items.clone();
        self.stay_again(
            &moved
                .into_iter()
                .filter(|at| *at != new)
                .collect::<Vec<_>>(),
        );
        let moves = |numbers: &Numbers| numbers.len() - 1;
        let limit = known
            .as_ref()
            .map_or(limit, |known| limit.min(moves(known)));
        for count in apart.count..limit {
            self.is_cut = false;
            match self.some(count)? {
                Outcome::Found(numbers) => return Ok(Fewer::Moves(numbers)),
                Outcome::None(_) if self.is_cut => {}
                Outcome::None(_) => return Ok(Fewer::None),
            }
        }
        let known = known.as_ref().filter(|known| moves(known) == limit);
        Ok(known.map_or(Fewer::None, |known| Fewer::Moves(known.clone())))
    }

    /// Lets rules stay after all that need not move, as far as a part of the steps
    /// goes.
    fn without_needless(
        &mut self,
        moved: &[usize],
        known: &mut Option<Numbers>,
    ) -> Result<(), OutOfSteps> {
        let least = self.state.steps - self.state.steps / 4;
        for at in moved {
            if self.state.steps < least {
                break;
            }
            self.state.set_moved(self.constraints, *at, false);
            match self.state.numbers(self.constraints)? {
                Ok(numbers) if self.violated(&numbers)?.is_none() => *known = Some(numbers),
                _ => self.state.set_moved(self.constraints, *at, true),
            }
        }
        Ok(())
    }

    /// Some numbers with which no more than so many rules move, besides those that do.
    fn some(&mut self, left: usize) -> Result<Outcome, OutOfSteps> {
        if self.depth > DEEPEST {
            return Err(OutOfSteps);
        }
        self.depth += 1;
        let outcome = match self.state.numbers(self.constraints)? {
            Err(conflict) => self.move_one_of(conflict, left),
            Ok(numbers) => match self.violated(&numbers)? {
                Some(choice) => self.decide(choice, left),
                None => Ok(Outcome::Found(numbers)),
            },
        };
        self.depth -= 1;
        outcome
    }

    /// Conflicts that share no rule: each of them moves one of its own.
    ///
    /// The rules of each may move when the next is looked for, so that the next is
    /// one of the set as it is, too; and they may when this returns.
    fn apart(&mut self, conflict: Conflict, limit: usize) -> Result<Apart, OutOfSteps> {
        let mut apart = Apart::default();
        let mut next = Some(conflict);
        while let Some(conflict) = next.take() {
            apart.decisions |= conflict.decisions;
            let mut rules = conflict.rules;
            rules.retain(|at| !self.stays(*at));
            if rules.is_empty() {
                apart.is_stuck = true;
                break;
            }
            apart.count += 1;
            if apart.count > limit {
                break;
            }
            for at in &rules {
                self.state.set_moved(self.constraints, *at, true);
                apart.moved.push(*at);
            }
            if apart.smallest.is_empty() || rules.len() < apart.smallest.len() {
                apart.smallest = rules;
            }
            next = self.state.numbers(self.constraints)?.err();
        }
        Ok(apart)
    }

    fn stay_again(&mut self, moved: &[usize]) {
        for at in moved {
            self.state.set_moved(self.constraints, *at, false);
        }
    }

    /// Every solution moves a rule of a conflict: each in turn, which then stays in
    /// what is left.
    fn move_one_of(&mut self, conflict: Conflict, left: usize) -> Result<Outcome, OutOfSteps> {
        let apart = self.apart(conflict, left)?;
        self.stay_again(&apart.moved);
        if apart.is_stuck {
            return Ok(Outcome::None(apart.decisions));
        }
        if apart.count > left {
            self.is_cut = true;
            return Ok(Outcome::None(apart.decisions));
        }
        let outcome = self.move_each(&apart.smallest, left)?;
        Ok(match outcome {
            Outcome::None(decisions) => Outcome::None(decisions | apart.decisions),
            found => found,
        })
    }

    fn move_each(&mut self, rules: &[usize], left: usize) -> Result<Outcome, OutOfSteps> {
        let Some(left) = left.checked_sub(1) else {
            self.is_cut |= !rules.is_empty();
            return Ok(Outcome::None(0));
        };
        let mut decisions = 0;
        for at in rules {
            self.state.set_moved(self.constraints, *at, true);
            let outcome = self.some(left)?;
            self.state.set_moved(self.constraints, *at, false);
            match outcome {
                Outcome::Found(numbers) => return Ok(Outcome::Found(numbers)),
                Outcome::None(others) => decisions |= others,
            }
            self.set_stays(rules_of(at), true);
        }
        self.set_stays(rules, false);
        Ok(Outcome::None(decisions))
    }

    /// Some rule of a choice comes first: of those that stay the first, or one that
    /// moves already; or one of those that stay moves after all.
    fn decide(&mut self, choice: usize, left: usize) -> Result<Outcome, OutOfSteps> {
        let constraints = self.constraints;
        let Some(FirstOf { right, .. }) = constraints.choices.get(choice) else {
            return Ok(Outcome::None(0));
        };
        let (moved, staying): (Vec<usize>, Vec<usize>) =
            right.iter().partition(|at| self.state.is_moved(**at));
        let mut movable = staying.clone();
        movable.retain(|at| !self.stays(*at));
        let taken = self.state.decisions.len();
        let mark = Decision::mark(taken);
        let is_told_apart = mark != Decision::mark(usize::MAX);
        let mut decisions = 0;
        self.set_stays(&movable, true);
        for first in staying.first().into_iter().chain(&moved) {
            let first = *first;
            self.state.decisions.push(Decision { first, choice });
            let outcome = self.some(left)?;
            self.state.decisions.pop();
            let others = match outcome {
                Outcome::Found(numbers) => return Ok(Outcome::Found(numbers)),
                Outcome::None(others) => others,
            };
            decisions |= others;
            if is_told_apart && others & mark == 0 {
                // It fails whoever is first.
                break;
            }
        }
        self.set_stays(&movable, false);
        if is_told_apart {
            decisions &= !mark;
        }
        Ok(match self.move_each(&movable, left)? {
            Outcome::None(others) => Outcome::None(decisions | others),
            found => found,
        })
    }

    /// A choice in which the wrong rule is first.
    fn violated(&mut self, numbers: &Numbers) -> Result<Option<usize>, OutOfSteps> {
        let constraints = self.constraints;
        let mut places = vec![None; constraints.new_rule() + 1];
        for (at, number) in numbers {
            if let Some(place) = places.get_mut(*at) {
                *place = Some(*number);
            }
        }
        let number = |at: &usize| {
            let moved = places.get(*at).copied().flatten();
            moved.unwrap_or_else(|| constraints.number(*at))
        };
        let mut spent = 0;
        // Those of which no rule that may be first moves bound the others.
        let moved = numbers.iter().map(|(at, _)| at);
        let choices = moved.filter_map(|at| constraints.right_in.get(*at));
        let violated = choices.flatten().copied().find(|choice| {
            let Some(FirstOf { right, wrong }) = constraints.choices.get(*choice) else {
                return false;
            };
            spent += right.len() + wrong.len();
            right.iter().map(number).min() > wrong.iter().map(number).min()
        });
        self.state.steps = self.state.steps.checked_sub(spent).ok_or(OutOfSteps)?;
        Ok(violated)
    }

    fn stays(&self, at: usize) -> bool {
        self.stays.get(at).copied().unwrap_or(true)
    }

    fn set_stays(&mut self, rules: &[usize], stays: bool) {
        for at in rules {
            if let Some(place) = self.stays.get_mut(*at) {
                *place = stays;
            }
        }
    }
}

/// Conflicts that share no rule.
#[derive(Default)]
struct Apart {
    /// How many were found.
    count: usize,
    /// The rules of the smallest that may move.
    smallest: Vec<usize>,
    /// The rules of all that may move.
    moved: Vec<usize>,
    decisions: Decisions,
    /// Whether one of them is without a rule that may move.
    is_stuck: bool,
}

fn rules_of(at: &usize) -> &[usize] {
    std::slice::from_ref(at)
}
