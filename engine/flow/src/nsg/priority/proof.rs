//! The proof: what the group decides once the rule is in.

use super::order::Ordered;
use super::{Insert, Question, Renumbered, renumber};
use crate::nsg::{Nsg, NsgError, NsgRule, TagContext};
use crate::set::{PacketSet, Space};

/// A group after the insert.
pub(super) struct After<'a> {
    pub(super) group: &'a Nsg,
    /// The new rule with its number.
    pub(super) rule: &'a NsgRule,
    /// The rules that move.
    pub(super) moves: &'a [Renumbered],
}

impl After<'_> {
    /// Packets that are decided otherwise than intended: inside the question than the
    /// ideal insert decides them, and without the new rule than before. No packets
    /// where all is right; none at all where two rules share a number.
    pub(super) fn wrongly_decided(
        &self,
        space: &mut Space,
        question: &Question<'_>,
        insert: &Insert<'_>,
        tags: &TagContext,
    ) -> Result<Option<PacketSet>, NsgError> {
        if self.moves.is_empty() {
            let mut rules = question.ordered.rules.iter();
            if rules.any(|rule| rule.priority == self.rule.priority) {
                return Ok(None);
            }
            let (within, matched) = (question.within, question.matched);
            let ordered = &question.ordered;
            let passes = ordered.allowed_with(space, within, self.rule, matched)?;
            return Ok(Some(differing(space, passes, insert.passing)?));
        }
        let moved = renumber::moved_rules(self.group, self.moves);
        let Some(after) = self.order(&moved) else {
            return Ok(None);
        };
        let ordered = Ordered::new(space, after.clone(), question.within, tags)?;
        let passes = ordered.allowed(space)?;
        if passes != insert.passing {
            return Ok(Some(differing(space, passes, insert.passing)?));
        }
        // The moves on their own change nothing, inside the question or elsewhere:
        // what takes the rule away again leaves the group as it was.
        let mut sets = Vec::new();
        for rule in &moved {
            let packets = rule.matches(tags)?.packets(space)?;
            sets.push(space.possibly(packets)?);
        }
        let touched = space.union_all(sets)?;
        let without = after.into_iter().filter(|rule| rule.name != self.rule.name);
        let without = without.collect();
        let direction = self.rule.direction;
        let old = Ordered::evaluated(space, self.group, direction, touched, tags)?;
        let old = old.allowed(space)?;
        let new = Ordered::new(space, without, touched, tags)?.allowed(space)?;
        Ok(Some(differing(space, old, new)?))
    }

    /// The rules of the new rule's direction in the order they are evaluated; none
    /// when two share a number.
    fn order<'a>(&'a self, moved: &'a [NsgRule]) -> Option<Vec<&'a NsgRule>> {
        let stays = |rule: &&NsgRule| moved.iter().all(|other| other.name != rule.name);
        let rules = self.group.evaluated(self.rule.direction);
        let mut after: Vec<&NsgRule> = rules.filter(stays).collect();
        after.extend(moved);
        after.push(self.rule);
        after.sort_by_key(|rule| rule.priority);
        let numbers = after.iter().map(|rule| rule.priority);
        let collide = numbers.clone().zip(numbers.skip(1)).any(|(a, b)| a == b);
        (!collide).then_some(after)
    }
}

/// The packets of one of two sets only.
fn differing(space: &mut Space, a: PacketSet, b: PacketSet) -> Result<PacketSet, NsgError> {
    let only_a = space.difference(a, b)?;
    let only_b = space.difference(b, a)?;
    Ok(space.union(only_a, only_b)?)
}
