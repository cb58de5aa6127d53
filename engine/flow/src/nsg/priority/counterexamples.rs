//! The fewest moves in groups whose kinds of packets are too many to tell apart.

use super::fewest::{Fewest, fewest};
use super::kinds::Kinds;
use super::proof::After;
use super::{Insert, PlacementRequest, Question};
use crate::nsg::{Nsg, NsgError, NsgRule, TagContext};
use crate::policy::RuleMatch;
use crate::set::{Budget, FlowBox, PacketSet, Space};

/// How much is searched, in all rounds together.
const STEPS: usize = 1_000_000;

/// How often moves are tried.
const ROUNDS: usize = 60;

/// How many kinds are learned of moves that fail.
const LEARNED: usize = 16;

/// Searches with no more kinds than show why the moves found so far would not do.
///
/// What few kinds rule out, all rule out: when no fewer moves are left, none would do,
/// and the first moves that are proved right are the fewest. Nothing when not all
/// could be tried.
pub(super) fn fewest_by_counterexample(
    group: &Nsg,
    rules: Vec<&NsgRule>,
    request: &PlacementRequest,
    tags: &TagContext,
) -> Result<Fewest, NsgError> {
    // A budget of its own: what is spent here in vain is not taken from the proof.
    let mut space = Space::with_budget(Budget {
        edges: 300_000,
        steps: 1_500_000,
        ..Budget::default()
    });
    let space = &mut space;
    let mut steps = STEPS;
    let Ok(question) = Question::new(space, group, request, tags) else {
        return Ok(Fewest::NotAllTried(None));
    };
    let Ok(insert) = question.insert(space) else {
        return Ok(Fewest::NotAllTried(None));
    };
    let matches = rules.iter().map(|rule| rule.matches(tags));
    let mut learned = Learned {
        matches: matches.collect::<Result<_, _>>()?,
        kinds: Kinds::none(rules),
    };
    for _ in 0..ROUNDS {
        let found = fewest(&learned.kinds, request, &insert, &mut steps);
        let Fewest::Moves((number, moves)) = found else {
            return Ok(match found {
                Fewest::None => Fewest::None,
                _ => Fewest::NotAllTried(None),
            });
        };
        let rule = NsgRule {
            priority: number,
            ..request.rule.clone()
        };
        let after = After {
            group,
            rule: &rule,
            moves: &moves,
        };
        let wrong = match after.wrongly_decided(space, &question, &insert, tags) {
            Ok(Some(PacketSet::EMPTY)) => return Ok(Fewest::Moves((number, moves))),
            Ok(Some(wrong)) => wrong,
            _ => break,
        };
        if !matches!(learned.learn(space, &question, &insert, wrong), Ok(true)) {
            break;
        }
    }
    Ok(Fewest::NotAllTried(None))
}

/// The kinds of packets that were decided wrongly.
struct Learned<'a> {
    kinds: Kinds<'a>,
    matches: Vec<RuleMatch>,
}

impl Learned<'_> {
    /// Learns kinds of these packets, one of those that each of some rules decides;
    /// whether there were any.
    fn learn(
        &mut self,
        space: &mut Space,
        question: &Question<'_>,
        insert: &Insert<'_>,
        wrong: PacketSet,
    ) -> Result<bool, NsgError> {
        let known = self.kinds.kinds.len();
        let mut rest = wrong;
        for _ in 0..LEARNED {
            let Some(packet) = space.sample(rest) else {
                break;
            };
            let one = FlowBox::one(&packet);
            let alike = space.flow(&one)?;
            // Unknown atoms are fixed as rules ask about them.
            let mut alike = space.intersection(alike, rest)?;
            let mut places = Vec::new();
            for (place, matches) in self.matches.iter().enumerate() {
                if matches.may_concern(&one) {
                    let packets = matches.packets_inside(space, &one)?;
                    let inside = space.intersection(alike, packets)?;
                    if !inside.is_empty() {
                        alike = inside;
                        places.push(place);
                    }
                }
            }
            let inside = space.intersection(alike, question.matched)?;
            let first = places.first().copied();
            if !inside.is_empty() {
                places.push(self.matches.len());
            }
            self.kinds.add(&places, insert, question.rule.access);
            let decides = first.and_then(|first| self.matches.get(first));
            let Some(decides) = decides else { break };
            let decided = decides.packets(space)?;
            rest = space.difference(rest, decided)?;
        }
        Ok(self.kinds.kinds.len() > known)
    }
}
