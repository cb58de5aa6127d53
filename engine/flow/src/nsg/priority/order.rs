//! Which rule of one direction decides which packet, by place.

use crate::nsg::{Access, Direction, Nsg, NsgError, NsgRule, TagContext};
use crate::policy::RuleMatch;
use crate::set::{AnalysisTooComplex, Label, PacketMap, PacketSet, Space};

/// The rules of one direction in order, and which packets of a question each
/// decides.
pub(super) struct Ordered<'a> {
    /// The rules in the order they are evaluated.
    pub(super) rules: Vec<&'a NsgRule>,
    // Label n + 1 is rule n.
    map: PacketMap,
    // What the rules match of the question, by place; none for the others.
    matched: Vec<(usize, PacketSet)>,
}

impl<'a> Ordered<'a> {
    pub(super) fn new(
        space: &mut Space,
        rules: Vec<&'a NsgRule>,
        within: PacketSet,
        tags: &TagContext,
    ) -> Result<Self, NsgError> {
        let extent = space.bounds(within);
        let mut concerned: Vec<(usize, RuleMatch)> = Vec::new();
        for (place, rule) in rules.iter().enumerate() {
            let matches = rule.matches(tags)?;
            if matches.may_concern(&extent) {
                let covers = matches.certainly_covers(&extent);
                concerned.push((place, matches));
                if covers {
                    break;
                }
            }
        }
        let mut matched = Vec::with_capacity(concerned.len());
        let mut decide = || {
            for (place, matches) in &concerned {
                matched.push((*place, matches.packets_inside(space, &extent)?));
            }
            first_match(space, within, &matched, |place| {
                u32::try_from(place + 1).unwrap_or(Label::MAX)
            })
        };
        let map = decide().map_err(|error| {
            let places = concerned.iter().filter_map(|(place, _)| rules.get(*place));
            error.naming(places.map(|rule| rule.name.as_str()))
        })?;
        Ok(Self {
            rules,
            map,
            matched,
        })
    }

    /// The packets of the question that pass when another rule, which matches
    /// `packets`, stands among these.
    pub(super) fn allowed_with(
        &self,
        space: &mut Space,
        within: PacketSet,
        new: &NsgRule,
        packets: PacketSet,
    ) -> Result<PacketSet, AnalysisTooComplex> {
        let before = |place: usize| {
            let rule = self.rules.get(place);
            rule.is_some_and(|rule| rule.priority < new.priority)
        };
        let at = self.matched.partition_point(|(place, _)| before(*place));
        let (earlier, later) = self.matched.split_at(at);
        let access = |place: usize| self.rules.get(place).map(|rule| rule.access);
        let one = [(self.rules.len(), packets)];
        let all: Vec<(usize, PacketSet)> = [earlier, &one, later].concat();
        let map = first_match(space, within, &all, |place| {
            match access(place).unwrap_or(new.access) {
                Access::Allow => ALLOWED,
                Access::Deny => DENIED,
            }
        })?;
        space.where_label(map, |label| label == ALLOWED)
    }

    /// The rules of one direction as given, in the order they are evaluated.
    pub(super) fn evaluated(
        space: &mut Space,
        group: &'a Nsg,
        direction: Direction,
        within: PacketSet,
        tags: &TagContext,
    ) -> Result<Self, NsgError> {
        Self::new(space, group.evaluated(direction).collect(), within, tags)
    }

    /// The packets that pass.
    pub(super) fn allowed(&self, space: &mut Space) -> Result<PacketSet, AnalysisTooComplex> {
        space.where_label(self.map, |label| {
            self.rule(label)
                .is_some_and(|rule| rule.access == Access::Allow)
        })
    }

    /// The places of the rules that decide, or may decide, packets of a set.
    pub(super) fn deciding(
        &self,
        space: &mut Space,
        set: PacketSet,
    ) -> Result<Vec<usize>, AnalysisTooComplex> {
        let part = space.restricted(self.map, set)?;
        let labels = space.labels(part).into_iter();
        Ok(labels.filter_map(place).collect())
    }

    /// The packets the rule of a place decides.
    pub(super) fn decided_by(
        &self,
        space: &mut Space,
        at: usize,
    ) -> Result<PacketSet, AnalysisTooComplex> {
        space.where_label(self.map, |label| place(label) == Some(at))
    }

    /// The packets the rules before a place decide.
    pub(super) fn decided_before(
        &self,
        space: &mut Space,
        at: usize,
    ) -> Result<PacketSet, AnalysisTooComplex> {
        space.where_label(self.map, |label| {
            place(label).is_some_and(|decided| decided < at)
        })
    }

    fn rule(&self, label: Label) -> Option<&'a NsgRule> {
        place(label).and_then(|place| self.rules.get(place).copied())
    }
}

fn place(label: Label) -> Option<usize> {
    usize::try_from(label).ok()?.checked_sub(1)
}

const ALLOWED: Label = 1;
const DENIED: Label = 2;

/// The label of the first rule that matches, for the packets of `within`.
fn first_match(
    space: &mut Space,
    within: PacketSet,
    matched: &[(usize, PacketSet)],
    label: impl Fn(usize) -> Label,
) -> Result<PacketMap, AnalysisTooComplex> {
    let mut maps = Vec::with_capacity(matched.len());
    for (place, packets) in matched {
        maps.push(space.labelled(*packets, label(*place))?);
    }
    let map = space.first_of(maps)?;
    space.restricted(map, within)
}
