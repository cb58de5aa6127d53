//! Packets that a policy gives other addresses, and decisions about packets that have
//! others by then.

use super::decisions::{DecidingRule, Decisions};
use super::verdict::Verdict;
use crate::set::{AnalysisTooComplex, Direction, Label, PacketSet, Space, Translation};

/// Packets that a rule gives other addresses or ports, should they pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Translated {
    /// The packets as they come, with the atoms that decides on.
    pub packets: PacketSet,
    /// The rule in words.
    pub by: String,
    /// What they become.
    pub translation: Translation,
}

impl Translated {
    pub(super) fn facing(&self, space: &Space, direction: Direction) -> Self {
        Self {
            packets: space.facing(self.packets, direction),
            ..self.clone()
        }
    }
}

/// Which rules may decide packets, by what those do.
struct MayDecide {
    allow: PacketSet,
    deny: PacketSet,
    unknown: PacketSet,
    by_label: Vec<(Label, PacketSet)>,
}

impl Decisions {
    /// The decisions about packets that come as something else, told of what they were:
    /// those of each of `ways` may come as what its translation makes of them, those of
    /// `same` as they are. Where not all that a packet may come as fares alike, what
    /// becomes of it is not known.
    ///
    /// # Errors
    /// [`AnalysisTooComplex`].
    pub fn before_translations(
        &self,
        space: &mut Space,
        policy: &str,
        (ways, same): (&[Translated], PacketSet),
        question: PacketSet,
    ) -> Result<Self, AnalysisTooComplex> {
        let changed = space.union_all(ways.iter().map(|way| way.packets))?;
        let may = self.may_decide(space, (ways, same), changed)?;
        let mut open = Vec::new();
        for (a, b) in [
            (may.allow, may.deny),
            (may.allow, may.unknown),
            (may.deny, may.unknown),
        ] {
            open.push(space.intersection(a, b)?);
        }
        let open = space.union_all(open)?;
        let mut rules = self.rules().to_vec();
        let mut maps = Vec::new();
        for way in ways {
            let packets = space.intersection(way.packets, open)?;
            if packets.is_empty() {
                continue;
            }
            rules.push(DecidingRule {
                policy: policy.to_owned(),
                rule: format!("what {} makes of the packet", way.by),
                verdict: Verdict::Unknown,
            });
            let label = Label::try_from(rules.len()).unwrap_or(Label::MAX);
            maps.push(space.labelled(packets, label)?);
        }
        for (label, packets) in may.by_label {
            maps.push(space.labelled(packets, label)?);
        }
        let translated = space.first_of(maps)?;
        let untouched = space.without(self.map(), changed)?;
        let map = space.or_else(untouched, translated)?;
        Self::new(space, question, map, rules)
    }

    fn may_decide(
        &self,
        space: &mut Space,
        (ways, same): (&[Translated], PacketSet),
        changed: PacketSet,
    ) -> Result<MayDecide, AnalysisTooComplex> {
        let mut may = MayDecide {
            allow: PacketSet::EMPTY,
            deny: PacketSet::EMPTY,
            unknown: PacketSet::EMPTY,
            by_label: Vec::new(),
        };
        for label in space.labels(self.map()) {
            let decided = space.where_label(self.map(), |other| other == label)?;
            let decided = space.intersection(decided, self.within())?;
            let as_it_is = space.possibly(decided)?;
            let as_it_is = space.intersection(as_it_is, same)?;
            let mut sets = vec![space.intersection(as_it_is, changed)?];
            for way in ways {
                let before = space.before_translation(&way.translation, decided)?;
                sets.push(space.intersection(before, way.packets)?);
            }
            let packets = space.union_all(sets)?;
            let class = match self.rule(label).map(|rule| rule.verdict) {
                Some(Verdict::Allow) => &mut may.allow,
                Some(Verdict::Deny) => &mut may.deny,
                Some(Verdict::Unknown) | None => &mut may.unknown,
            };
            *class = space.union(*class, packets)?;
            may.by_label.push((label, packets));
        }
        Ok(may)
    }
}
