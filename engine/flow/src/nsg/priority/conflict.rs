//! Why a set of moved rules is not enough.

use std::collections::VecDeque;

use super::constraints::{Constraints, FirstOf};
use super::slots::{Crowd, Taken, Wanted, fit};
use crate::nsg::{MAX_PRIORITY, MIN_PRIORITY};

/// A set of decisions taken on the way, by the order in which they were; the last one
/// stands for all that are too many to tell apart.
pub(super) type Decisions = u128;

/// Rules that stay of which one more has to move, or the decisions be others: as long
/// as these stay, no numbers for the others would do.
pub(super) struct Conflict {
    /// The rules, each once.
    pub(super) rules: Vec<usize>,
    /// The decisions without which it might be none.
    pub(super) decisions: Decisions,
}

/// A decision: this rule comes before all that must not be first in a choice.
#[derive(Clone, Copy)]
pub(super) struct Decision {
    pub(super) first: usize,
    pub(super) choice: usize,
}

impl Decision {
    /// The mark of the decision taken after so many others.
    pub(super) fn mark(after: usize) -> Decisions {
        1 << after.min(Decisions::BITS as usize - 1)
    }
}

/// Which rules move, and what was decided.
pub(super) struct State {
    /// The rules that move, and the new one.
    pub(super) items: Vec<usize>,
    /// Whether a rule moves, by place; the new one does.
    pub(super) is_moved: Vec<bool>,
    /// How many of the rules that may be first move, by choice.
    pub(super) moved_right: Vec<usize>,
    /// The numbers of the rules that stay.
    pub(super) taken: Taken,
    /// What was decided, in order.
    pub(super) decisions: Vec<Decision>,
    /// How much more is looked at: some 10 ns each.
    pub(super) steps: usize,
}

/// Too much would have to be looked at.
pub(super) struct OutOfSteps;

/// Numbers of the rules that move and of the new rule.
pub(super) type Numbers = Vec<(usize, u16)>;

/// What keeps a rule from a number.
#[derive(Clone, Copy)]
enum Source {
    /// That there are no others.
    Range,
    /// A rule that stays.
    Rule(usize),
    /// The first of the rules that may be first in a choice: none of them moves.
    NoneMoved(usize),
    /// The first of the rules that must not be first in a choice, when of those that
    /// may be only one moves.
    OneMoved(usize, usize),
}

/// The first or last number that would do for a rule.
#[derive(Clone, Copy)]
struct Limit {
    number: u16,
    source: Source,
    decisions: Decisions,
}

impl State {
    pub(super) fn new(constraints: &Constraints, steps: usize) -> Self {
        let new = constraints.new_rule();
        let mut taken = vec![false; usize::from(MAX_PRIORITY) + 1];
        for number in &constraints.numbers {
            if let Some(taken) = taken.get_mut(usize::from(*number)) {
                *taken = true;
            }
        }
        let mut is_moved = vec![false; new];
        is_moved.push(true);
        Self {
            items: vec![new],
            is_moved,
            moved_right: vec![0; constraints.choices.len()],
            taken,
            decisions: Vec::new(),
            steps,
        }
    }

    pub(super) fn is_moved(&self, at: usize) -> bool {
        self.is_moved.get(at).copied().unwrap_or(false)
    }

    /// Lets a rule move, or stay again.
    pub(super) fn set_moved(&mut self, constraints: &Constraints, at: usize, moves: bool) {
        if let Some(is_moved) = self.is_moved.get_mut(at) {
            *is_moved = moves;
        }
        let number = usize::from(constraints.number(at));
        if let Some(taken) = self.taken.get_mut(number) {
            *taken = !moves;
        }
        for choice in constraints.right_in.get(at).into_iter().flatten() {
            if let Some(count) = self.moved_right.get_mut(*choice) {
                *count = if moves { *count + 1 } else { *count - 1 };
            }
        }
        if moves {
            self.items.push(at);
        } else {
            self.items.retain(|item| *item != at);
        }
    }

    fn spend(&mut self, steps: usize) -> Result<(), OutOfSteps> {
        self.steps = self.steps.checked_sub(steps).ok_or(OutOfSteps)?;
        Ok(())
    }

    /// The first of these rules that stays.
    pub(super) fn first_staying(&self, rules: &[usize]) -> Option<usize> {
        rules.iter().copied().find(|at| !self.is_moved(*at))
    }

    /// Numbers with which every order that is certain or decided is kept, or the
    /// conflict that forbids them.
    pub(super) fn numbers(
        &mut self,
        constraints: &Constraints,
    ) -> Result<Result<Numbers, Conflict>, OutOfSteps> {
        self.spend(50 + 5 * self.items.len())?;
        if let Some(conflict) = self.decided_wrongly(constraints) {
            return Ok(Err(conflict));
        }
        let order = self.in_order(constraints)?;
        let Some(order) = order else {
            // Decisions in a circle: only another one helps, whatever moves.
            return Ok(Err(Conflict {
                rules: Vec::new(),
                decisions: Decisions::MAX,
            }));
        };
        let (first, last) = self.limits(constraints, &order)?;
        let limits = first.iter().zip(&last);
        let wanted: Vec<Wanted> = limits
            .map(|(first, last)| Wanted {
                first: first.number,
                last: last.number,
            })
            .collect();
        Ok(match fit(&wanted, &self.taken) {
            Ok(numbers) => Ok(order.into_iter().zip(numbers).collect()),
            Err(crowd) => Err(self.crowded(constraints, &crowd, &first, &last)),
        })
    }

    /// A decided order that two rules contradict which both stay.
    fn decided_wrongly(&self, constraints: &Constraints) -> Option<Conflict> {
        let decisions = self.decisions.iter().enumerate();
        decisions
            .filter(|(_, decision)| !self.is_moved(decision.first))
            .find_map(|(after, decision)| {
                let choice = constraints.choices.get(decision.choice)?;
                let wrong = self.first_staying(&choice.wrong)?;
                (wrong < decision.first).then(|| Conflict {
                    rules: vec![wrong, decision.first],
                    decisions: Decision::mark(after),
                })
            })
    }

    /// The rules that must come after another that moves.
    fn moved_after<'a>(
        &'a self,
        constraints: &'a Constraints,
        at: usize,
    ) -> impl Iterator<Item = usize> + 'a {
        let decided = self.decisions.iter().filter(move |one| one.first == at);
        let decided = decided.filter_map(|one| constraints.choices.get(one.choice));
        let always = constraints.later.get(at).into_iter().flatten();
        always
            .chain(decided.flat_map(|choice| &choice.wrong))
            .copied()
            .filter(|other| self.is_moved(*other))
    }

    /// The rules that move in an order that keeps what is certain and decided among
    /// them; none where decisions contradict each other.
    fn in_order(&mut self, constraints: &Constraints) -> Result<Option<Vec<usize>>, OutOfSteps> {
        let mut before = vec![0_usize; constraints.new_rule() + 1];
        let mut edges = 0;
        for at in &self.items {
            for other in self.moved_after(constraints, *at) {
                edges += 1;
                if let Some(count) = before.get_mut(other) {
                    *count += 1;
                }
            }
        }
        self.spend(edges)?;
        let is_first = |at: &usize, before: &[usize]| before.get(*at) == Some(&0);
        let mut items = self.items.clone();
        items.sort_unstable();
        let firsts = items.iter().copied().filter(|at| is_first(at, &before));
        let mut open: VecDeque<usize> = firsts.collect();
        let mut order = Vec::with_capacity(items.len());
        while let Some(at) = open.pop_front() {
            order.push(at);
            for other in self.moved_after(constraints, at) {
                if let Some(count) = before.get_mut(other) {
                    *count -= 1;
                    if *count == 0 {
                        open.push_back(other);
                    }
                }
            }
        }
        Ok((order.len() == items.len()).then_some(order))
    }

    /// The first and the last number for each rule of an order.
    fn limits(
        &mut self,
        constraints: &Constraints,
        order: &[usize],
    ) -> Result<(Vec<Limit>, Vec<Limit>), OutOfSteps> {
        let places = constraints.new_rule() + 1;
        let limit = |number| Limit {
            number,
            source: Source::Range,
            decisions: 0,
        };
        let mut first = vec![limit(MIN_PRIORITY); places];
        let mut last = vec![limit(MAX_PRIORITY); places];
        let mut spent = 0;
        for at in order {
            let mut found = limit(MIN_PRIORITY);
            let mut after = |limit: Limit| {
                if limit.number >= found.number {
                    let number = limit.number + 1;
                    found = Limit { number, ..limit };
                }
            };
            for other in constraints.earlier.get(*at).into_iter().flatten() {
                spent += 1;
                after(self.limit_of(constraints, *other, &first, 0));
            }
            for (taken, decision) in self.decisions.iter().enumerate() {
                spent += 1;
                let choice = constraints.choices.get(decision.choice);
                if choice.is_some_and(|choice| choice.wrong.contains(at)) {
                    let mark = Decision::mark(taken);
                    after(self.limit_of(constraints, decision.first, &first, mark));
                }
            }
            for choice in constraints.wrong_in.get(*at).into_iter().flatten() {
                spent += 1;
                if let Some(limit) = self.after_those_that_stay(constraints, *choice) {
                    after(limit);
                }
            }
            if let Some(place) = first.get_mut(*at) {
                *place = found;
            }
        }
        for at in order.iter().rev() {
            let mut found = limit(MAX_PRIORITY);
            let mut before = |limit: Limit| {
                if limit.number <= found.number {
                    let number = limit.number.saturating_sub(1);
                    found = Limit { number, ..limit };
                }
            };
            for other in constraints.later.get(*at).into_iter().flatten() {
                spent += 1;
                before(self.limit_of(constraints, *other, &last, 0));
            }
            for (taken, decision) in self.decisions.iter().enumerate() {
                let choice = constraints.choices.get(decision.choice);
                let Some(choice) = choice.filter(|_| decision.first == *at) else {
                    continue;
                };
                for other in &choice.wrong {
                    spent += 1;
                    before(self.limit_of(constraints, *other, &last, Decision::mark(taken)));
                }
            }
            for choice in constraints.right_in.get(*at).into_iter().flatten() {
                spent += 1;
                if let Some(limit) = self.before_those_that_stay(constraints, *choice) {
                    before(limit);
                }
            }
            if let Some(place) = last.get_mut(*at) {
                *place = found;
            }
        }
        self.spend(spent)?;
        let of = |limits: &[Limit]| {
            let limits = order.iter().filter_map(|at| limits.get(*at));
            limits.copied().collect()
        };
        Ok((of(&first), of(&last)))
    }

    /// Where a rule is: its number if it stays, else the limit known for it.
    fn limit_of(
        &self,
        constraints: &Constraints,
        at: usize,
        limits: &[Limit],
        decisions: Decisions,
    ) -> Limit {
        let moved = limits.get(at).filter(|_| self.is_moved(at));
        moved.map_or(
            Limit {
                number: constraints.number(at),
                source: Source::Rule(at),
                decisions,
            },
            |limit| Limit {
                decisions: limit.decisions | decisions,
                ..*limit
            },
        )
    }

    /// The number after which a rule must come that is not to be first in a choice.
    fn after_those_that_stay(&self, constraints: &Constraints, choice: usize) -> Option<Limit> {
        if self.moved_right.get(choice) != Some(&0) {
            return None;
        }
        let first = constraints.choices.get(choice)?.right.first()?;
        Some(Limit {
            number: constraints.number(*first),
            source: Source::NoneMoved(choice),
            decisions: 0,
        })
    }

    /// The number before which the only rule that moves of those that may be first
    /// has to come, where those that stay are too late.
    fn before_those_that_stay(&self, constraints: &Constraints, choice: usize) -> Option<Limit> {
        if self.moved_right.get(choice) != Some(&1) {
            return None;
        }
        let FirstOf { right, wrong } = constraints.choices.get(choice)?;
        let wrong = self.first_staying(wrong)?;
        if self.first_staying(right).is_some_and(|right| right < wrong) {
            return None;
        }
        Some(Limit {
            number: constraints.number(wrong),
            source: Source::OneMoved(choice, wrong),
            decisions: 0,
        })
    }

    /// The conflict of rules that have too few numbers.
    ///
    /// As long as the rules that bound theirs stay, none of the crowd would do
    /// outside of these numbers, and as long as those on them stay too, they are too
    /// few: more moves of others change neither.
    fn crowded(
        &self,
        constraints: &Constraints,
        crowd: &Crowd,
        first: &[Limit],
        last: &[Limit],
    ) -> Conflict {
        let mut conflict = Conflict {
            rules: Vec::new(),
            decisions: 0,
        };
        for member in &crowd.members {
            for limit in [first.get(*member), last.get(*member)] {
                let Some(limit) = limit else { continue };
                conflict.decisions |= limit.decisions;
                let choice = match limit.source {
                    Source::Range => continue,
                    Source::Rule(at) => {
                        conflict.rules.push(at);
                        continue;
                    }
                    // Who is first is another only when one of those that may be moves.
                    Source::NoneMoved(choice) => choice,
                    Source::OneMoved(choice, wrong) => {
                        conflict.rules.push(wrong);
                        choice
                    }
                };
                let right = constraints.choices.get(choice).map(|choice| &choice.right);
                let stay = right
                    .into_iter()
                    .flatten()
                    .filter(|at| !self.is_moved(**at));
                conflict.rules.extend(stay);
            }
        }
        let numbers = &constraints.numbers;
        let from = numbers.partition_point(|number| *number < crowd.first);
        let to = numbers.partition_point(|number| *number <= crowd.last);
        conflict
            .rules
            .extend((from..to).filter(|at| !self.is_moved(*at)));
        conflict.rules.sort_unstable();
        conflict.rules.dedup();
        conflict
    }
}
