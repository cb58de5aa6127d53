//! What packets may have become by the rules of the hops they passed.

use crate::policy::{Decisions, Translated};
use crate::set::{AnalysisTooComplex, Direction, FlowBox, PacketSet, Space};

/// More ways of being translated than this are told as one.
const WAYS_TOLD_APART: usize = 16;

/// What the packets of a question may come as.
pub(super) struct Translations {
    /// The packets as they were asked about, without atoms, by what they may come as;
    /// a packet may be in several.
    ways: Vec<Translated>,
    /// The packets that may come as they were.
    same: PacketSet,
}

impl Translations {
    /// Nothing has changed yet.
    pub(super) fn none(question: PacketSet) -> Self {
        Self {
            ways: Vec::new(),
            same: question,
        }
    }

    /// Whether all packets certainly come as they were.
    pub(super) fn is_none(&self) -> bool {
        self.ways.is_empty()
    }

    /// Every packet that may come to a hop, in the direction it sees them.
    pub(super) fn coming(
        &self,
        space: &mut Space,
        question: PacketSet,
        direction: Direction,
    ) -> Result<PacketSet, AnalysisTooComplex> {
        let facing = FlowBox::any().with_direction(direction);
        let facing = space.flow(&facing)?;
        let mut sets = vec![space.intersection(question, facing)?];
        for way in &self.ways {
            let extent = space.bounds(way.packets);
            let become_so = way.translation.of(&extent).with_direction(direction);
            sets.push(space.flow(&become_so)?);
        }
        space.union_all(sets)
    }

    /// A hop's decisions about what comes, told of the packets as they were.
    pub(super) fn before(
        &self,
        space: &mut Space,
        decisions: &Decisions,
        (policy, question): (&str, PacketSet),
    ) -> Result<Decisions, AnalysisTooComplex> {
        let ways = (self.ways.as_slice(), self.same);
        decisions.before_translations(space, policy, ways, question)
    }

    /// Takes up what a hop makes of what comes to it.
    pub(super) fn take_up(
        &mut self,
        space: &mut Space,
        by_hop: &[Translated],
    ) -> Result<(), AnalysisTooComplex> {
        if by_hop.is_empty() {
            return Ok(());
        }
        let by_hop = fewer(space, by_hop.to_vec())?;
        let all = space.union_all(by_hop.iter().map(|way| way.packets))?;
        let certain = space.certainly(all)?;
        let others = space.complement(certain)?;
        let mut ways = Vec::new();
        for way in &self.ways {
            let before = space.before_translation(&way.translation, others)?;
            let packets = space.intersection(way.packets, before)?;
            ways.push(Translated {
                packets,
                ..way.clone()
            });
            for next in &by_hop {
                let before = space.before_translation(&way.translation, next.packets)?;
                ways.push(Translated {
                    packets: space.intersection(way.packets, before)?,
                    by: format!("{} and then {}", way.by, next.by),
                    translation: way.translation.clone().then(&next.translation),
                });
            }
        }
        for next in by_hop {
            let packets = space.possibly(next.packets)?;
            let packets = space.intersection(packets, self.same)?;
            ways.push(Translated { packets, ..next });
        }
        ways.retain(|way| !way.packets.is_empty());
        self.ways = fewer(space, ways)?;
        self.same = space.difference(self.same, certain)?;
        Ok(())
    }
}

/// The same ways, told as one where they are many.
fn fewer(space: &mut Space, ways: Vec<Translated>) -> Result<Vec<Translated>, AnalysisTooComplex> {
    if ways.len() <= WAYS_TOLD_APART {
        return Ok(ways);
    }
    let packets = space.union_all(ways.iter().map(|way| way.packets))?;
    let count = ways.len();
    let translations = ways.into_iter().map(|way| way.translation);
    let translation = translations.reduce(|a, b| a.or(&b)).unwrap_or_default();
    Ok(vec![Translated {
        packets,
        by: format!("one of {count} rules that change addresses"),
        translation,
    }])
}
