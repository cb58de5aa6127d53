//! The kinds of packets that rules tell apart: small enough to try every order of
//! rules on them.

use std::collections::HashMap;

use super::{Insert, PlacementRequest};
use crate::nsg::{Access, NsgError, NsgRule, TagContext, unfiltered};
use crate::set::{AnalysisTooComplex, Budget, Label, PacketMap, PacketSet, Space};

/// More kinds than this are not told apart.
const MOST: usize = 4_000;

/// All packets that the same rules match.
pub(super) struct Kind {
    /// The custom rules that match, by place; some.
    pub(super) rules: Vec<usize>,
    /// What they decide, in whatever order the rules stand.
    pub(super) before: Access,
    /// What they and the new rule decide, if it matches.
    pub(super) after: Option<Access>,
}

/// The kinds of packets of one direction, and the custom rules that tell them apart.
pub(super) struct Kinds<'a> {
    /// The custom rules in the order they are evaluated.
    pub(super) rules: Vec<&'a NsgRule>,
    /// Kinds for which the order of rules matters.
    pub(super) kinds: Vec<Kind>,
    /// The kinds of each rule, by place; those of the new rule come last.
    pub(super) of_rule: Vec<Vec<usize>>,
}

impl<'a> Kinds<'a> {
    /// The kinds; none when they are too many to tell apart.
    pub(super) fn new(
        rules: Vec<&'a NsgRule>,
        request: &PlacementRequest,
        insert: &Insert<'_>,
        tags: &TagContext,
    ) -> Result<Option<Self>, NsgError> {
        // A budget of its own: what is spent here in vain is not taken from the proof.
        let mut space = Space::with_budget(Budget {
            edges: 200_000,
            steps: 1_200_000,
            ..Budget::default()
        });
        let mut matches = Vec::with_capacity(rules.len() + 1);
        for rule in rules.iter().copied().chain([&request.rule]) {
            matches.push(rule.matches(tags)?);
        }
        let mut partition = Partition::default();
        let mut split = || {
            for (place, matches) in matches.iter().enumerate() {
                let mut packets = matches.packets(&mut space)?;
                if place == rules.len() {
                    // What rules do not decide is no reason for a place.
                    let unfiltered = unfiltered::packets(
                        &mut space,
                        rules.iter().copied().chain([&request.rule]),
                    )?;
                    packets = space.difference(packets, unfiltered)?;
                }
                if !partition.split(&mut space, place, packets)? {
                    return Ok(false);
                }
            }
            Ok::<bool, AnalysisTooComplex>(true)
        };
        if !matches!(split(), Ok(true)) {
            return Ok(None);
        }
        let mut found = Self::none(rules);
        for label in space.labels(partition.map) {
            let places = partition.members.remove(&label).unwrap_or_default();
            found.add(&places, insert, request.rule.access);
        }
        Ok(Some(found))
    }

    /// No kinds yet.
    pub(super) fn none(rules: Vec<&'a NsgRule>) -> Self {
        Self {
            kinds: Vec::new(),
            of_rule: vec![Vec::new(); rules.len() + 1],
            rules,
        }
    }

    /// One more kind: that of packets which the rules of these places match, the new
    /// one's after all others.
    pub(super) fn add(&mut self, places: &[usize], insert: &Insert<'_>, access: Access) {
        let new = self.rules.len();
        let rules: Vec<usize> = places.iter().copied().filter(|at| *at != new).collect();
        let first = rules.first().and_then(|at| self.rules.get(*at));
        let Some(first) = first else { return };
        let before = first.access;
        let is_held = first.priority < insert.blocking.priority;
        let with_new = if is_held { before } else { access };
        let after = places.contains(&new).then_some(with_new);
        let of = |at: &usize| self.rules.get(*at).map(|rule| rule.access);
        let is_mixed =
            rules.iter().any(|at| of(at) != Some(before)) || (after.is_some() && access != before);
        if !is_mixed {
            return;
        }
        let kind = self.kinds.len();
        for at in &rules {
            if let Some(kinds) = self.of_rule.get_mut(*at) {
                kinds.push(kind);
            }
        }
        if after.is_some()
            && let Some(kinds) = self.of_rule.get_mut(new)
        {
            kinds.push(kind);
        }
        self.kinds.push(Kind {
            rules,
            before,
            after,
        });
    }

    /// Whether every kind is decided as it should be, when the rules have these
    /// numbers and the new rule has its own.
    pub(super) fn are_kept(&self, number: impl Fn(usize) -> u16, new: u16, access: Access) -> bool {
        self.kinds.iter().all(|kind| {
            let first = kind.rules.iter().copied().min_by_key(|at| number(*at));
            let Some(first) = first else { return true };
            let decides = self.rules.get(first).map(|rule| rule.access);
            let with_new = if new < number(first) {
                Some(access)
            } else {
                decides
            };
            decides == Some(kind.before) && (kind.after.is_none() || with_new == kind.after)
        })
    }
}

/// Packets by which rules match them.
struct Partition {
    map: PacketMap,
    members: HashMap<Label, Vec<usize>>,
    next: Label,
}

impl Default for Partition {
    fn default() -> Self {
        Self {
            map: PacketMap::NONE,
            members: HashMap::new(),
            next: 1,
        }
    }
}

impl Partition {
    /// Tells the packets of one more rule apart; `false` when there are too many
    /// kinds.
    fn split(
        &mut self,
        space: &mut Space,
        place: usize,
        packets: PacketSet,
    ) -> Result<bool, AnalysisTooComplex> {
        if self.members.is_empty() {
            self.map = space.labelled(PacketSet::ALL, self.next)?;
            self.members.insert(self.next, Vec::new());
        }
        let inside = space.restricted(self.map, packets)?;
        let outside = space.without(self.map, packets)?;
        let mut renamed: HashMap<Label, Label> = HashMap::new();
        for label in space.labels(inside) {
            if let Some(members) = self.members.get(&label) {
                let mut members = members.clone();
                members.push(place);
                self.next += 1;
                self.members.insert(self.next, members);
                renamed.insert(label, self.next);
            }
        }
        let inside = space.relabelled(inside, |label| {
            renamed.get(&label).copied().unwrap_or_default()
        })?;
        self.map = space.or_else(inside, outside)?;
        let alive = space.labels(self.map);
        self.members
            .retain(|label, _| alive.binary_search(label).is_ok());
        Ok(self.members.len() <= MOST)
    }
}
