//! Packets that have to pass, and what a policy does with them.

use std::{collections::BTreeSet, net::IpAddr};

use naosu_flow::{
    nsg::{Resolved, Side, TagContext},
    policy::{DecidingRule, Policy, RuleMatch, Verdict},
    set::{
        AddressSet, AnalysisTooComplex, ConnectionState, Direction, FlowBox, PacketSet, PortSet,
        Space,
    },
};

use crate::{ServicePort, prefixes};

/// Where packets go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Destinations {
    /// To these addresses.
    Hosts(BTreeSet<IpAddr>),
    /// To some address of a service tag; which one is not known.
    Tag(String),
}

impl Destinations {
    /// As rules write them.
    pub fn texts(&self) -> Vec<String> {
        match self {
            Self::Hosts(hosts) => prefixes::texts(&prefixes::exactly(hosts.iter().copied())),
            Self::Tag(tag) => vec![tag.clone()],
        }
    }

    /// The addresses, where they are known.
    pub fn known(&self, tags: &TagContext) -> Option<AddressSet> {
        match self {
            Self::Hosts(hosts) => Some(hosts_set(hosts)),
            Self::Tag(tag) => match tags.tag(tag, Side::Destination) {
                Resolved::Known(set) => Some(set),
                Resolved::Unknown(_) | Resolved::Partly(..) => None,
            },
        }
    }
}

/// Sources and the destinations that all of them need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pairing {
    /// From each of these.
    pub sources: BTreeSet<IpAddr>,
    /// To each of these.
    pub destinations: Destinations,
}

/// New connections that have to pass: every pairing's, to one port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The port.
    pub port: ServicePort,
    /// Who dials whom.
    pub pairings: Vec<Pairing>,
}

impl Need {
    /// All sources.
    pub fn sources(&self) -> BTreeSet<IpAddr> {
        let sources = self.pairings.iter().flat_map(|pairing| &pairing.sources);
        sources.copied().collect()
    }

    /// The destinations as rules write them.
    pub fn destination_texts(&self) -> Vec<String> {
        let mut hosts = BTreeSet::new();
        let mut texts = Vec::new();
        for pairing in &self.pairings {
            match &pairing.destinations {
                Destinations::Hosts(more) => hosts.extend(more.iter().copied()),
                tag @ Destinations::Tag(_) => texts.extend(tag.texts()),
            }
        }
        texts.extend(prefixes::texts(&prefixes::exactly(hosts)));
        texts.dedup();
        texts
    }

    /// The packets as boxes; `None` where a tag's addresses are not known.
    pub fn flows(&self, direction: Direction, tags: &TagContext) -> Option<Vec<FlowBox>> {
        let pairings = self.pairings.iter();
        pairings
            .map(|pairing| {
                let destinations = pairing.destinations.known(tags)?;
                let sources = hosts_set(&pairing.sources);
                Some(self.flow(sources, destinations, direction))
            })
            .collect()
    }

    fn flow(&self, sources: AddressSet, destinations: AddressSet, direction: Direction) -> FlowBox {
        FlowBox::any()
            .with_protocol(self.port.protocol())
            .with_sources(sources)
            .with_destinations(destinations)
            .with_destination_ports(PortSet::single(self.port.number))
            .with_direction(direction)
            .with_state(ConnectionState::New)
    }

    /// The packets; those to a tag whose addresses are not known depend on the
    /// atom that stands for it.
    ///
    /// # Errors
    /// [`AnalysisTooComplex`].
    pub fn packets(
        &self,
        space: &mut Space,
        direction: Direction,
        tags: &TagContext,
    ) -> Result<PacketSet, AnalysisTooComplex> {
        let mut sets = Vec::new();
        for pairing in &self.pairings {
            let sources = hosts_set(&pairing.sources);
            let to = &pairing.destinations;
            sets.push(self.packets_of(space, direction, tags, sources, to)?);
        }
        space.union_all(sets)
    }

    /// The same packets, but from all of these sources.
    ///
    /// # Errors
    /// [`AnalysisTooComplex`].
    pub fn packets_from(
        &self,
        space: &mut Space,
        direction: Direction,
        tags: &TagContext,
        sources: &AddressSet,
    ) -> Result<PacketSet, AnalysisTooComplex> {
        let mut sets = Vec::new();
        for pairing in &self.pairings {
            let to = &pairing.destinations;
            sets.push(self.packets_of(space, direction, tags, sources.clone(), to)?);
        }
        space.union_all(sets)
    }

    fn packets_of(
        &self,
        space: &mut Space,
        direction: Direction,
        tags: &TagContext,
        sources: AddressSet,
        destinations: &Destinations,
    ) -> Result<PacketSet, AnalysisTooComplex> {
        let known = match destinations {
            Destinations::Hosts(hosts) => Resolved::Known(hosts_set(hosts)),
            Destinations::Tag(tag) => tags.tag(tag, Side::Destination),
        };
        let (known, unknown) = known.parts();
        let mut matches = RuleMatch::from(self.flow(sources, known, direction));
        matches.unknown_destinations.extend(unknown);
        matches.packets(space)
    }
}
/// These addresses as a set.
fn hosts_set(hosts: &BTreeSet<IpAddr>) -> AddressSet {
    AddressSet::prefixes(&prefixes::exactly(hosts.iter().copied()))
}

/// What a policy does with the packets of a need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decided {
    /// Whether some of them certainly do not pass.
    pub is_denied: bool,
    /// Rules that stop some of them, or may, each with those packets in words.
    pub blocks: Vec<(DecidingRule, String)>,
    /// Rules that let some of them pass, or may.
    pub allows: Vec<DecidingRule>,
    /// What would have to be known to tell whether the rest passes; empty when
    /// all is known.
    pub unknown: BTreeSet<String>,
}

impl Decided {
    /// Whether all of them certainly pass.
    pub fn is_allowed(&self) -> bool {
        !self.is_denied && self.unknown.is_empty()
    }
}

/// What a policy does with the packets of a need.
///
/// # Errors
/// [`AnalysisTooComplex`].
pub fn decide(
    space: &mut Space,
    policy: &dyn Policy,
    required: PacketSet,
) -> Result<Decided, AnalysisTooComplex> {
    let decisions = policy.decide(space, required)?;
    let passing = decisions.allowed(space)?;
    let passing = space.intersection(passing, required)?;
    let possible = space.possibly(passing)?;
    let denied = space.difference(required, possible)?;
    let stopped = space.difference(required, passing)?;
    let unsure = space.difference(stopped, denied)?;
    let mut decided = Decided {
        is_denied: !denied.is_empty(),
        ..Decided::default()
    };
    // Where nothing is certainly denied, what may be denied is what blocks.
    let blocking = if denied.is_empty() { unsure } else { denied };
    let mut blocks: Vec<(DecidingRule, PacketSet)> = Vec::new();
    for (index, rule) in decisions.rules().iter().enumerate() {
        let part = decisions.decided_by(space, index)?;
        if rule.verdict == Verdict::Allow {
            let part = space.intersection(part, passing)?;
            if !part.is_empty() && !decided.allows.contains(rule) {
                decided.allows.push(rule.clone());
            }
            continue;
        }
        let part = space.intersection(part, blocking)?;
        if part.is_empty() {
            continue;
        }
        let part = space.possibly(part)?;
        // A rule whose place among others is not known stands in several.
        match blocks.iter_mut().find(|(other, _)| other == rule) {
            Some((_, known)) => *known = space.union(*known, part)?,
            None => blocks.push((rule.clone(), part)),
        }
    }
    for (rule, part) in blocks {
        decided.blocks.push((rule, words(space, part)?));
    }
    if !unsure.is_empty() {
        for atom in space.atoms_of(unsure) {
            if let Some(atom) = space.atom_of(atom) {
                let text = format!("{}: {}", atom.name, atom.reason);
                decided.unknown.insert(text);
            }
        }
    }
    Ok(decided)
}

/// Every rule that keeps some of the packets from passing, or may, in order.
///
/// # Errors
/// [`AnalysisTooComplex`].
pub fn stopping(
    space: &mut Space,
    policy: &dyn Policy,
    packets: PacketSet,
) -> Result<Vec<DecidingRule>, AnalysisTooComplex> {
    let decisions = policy.decide(space, packets)?;
    let mut rules = Vec::new();
    for block in decisions.blocks(space)? {
        if space.intersects(block.part, packets)? {
            rules.push(block.rule);
        }
    }
    Ok(rules)
}

/// Boxes of a set shown in words; the rest is counted.
const SHOWN_BOXES: usize = 4;

fn words(space: &Space, set: PacketSet) -> Result<String, AnalysisTooComplex> {
    let boxes = space.boxes(set)?;
    let mut words: Vec<String> = boxes
        .iter()
        .take(SHOWN_BOXES)
        .map(|(flow, _)| flow.to_string())
        .collect();
    if let Some(more @ 1..) = boxes.len().checked_sub(SHOWN_BOXES) {
        words.push(format!("{more} more"));
    }
    Ok(words.join("; "))
}
