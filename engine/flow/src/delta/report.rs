//! What a change does to packets, as a report that is stored, signed and shown.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::FlowDelta;
use crate::set::{
    self, AnalysisTooComplex, AtomId, Direction, PacketSet, Protocol, Space, range_texts,
};

/// A set of packets that is a product of lists, written down. Source and
/// destination of a packet are of one address family.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct FlowBox {
    /// "inbound", "outbound" or "forwarded", seen from the machine that is filtered, or
    /// "any" of them. Forwarded packets pass through it, and are told as they come to
    /// what changes: with the destination that a rule of `nat` before it gave them.
    pub direction: String,
    /// Source addresses, each a prefix "10.224.0.0/16", one address "10.224.0.4", or
    /// first and last "10.224.0.4-10.224.0.9" of what would be more than two prefixes.
    /// "0.0.0.0/0" and "::/0" are every address of a family.
    #[schemars(inner(regex(pattern = ADDRESSES)))]
    pub src: Vec<String>,
    /// Destination addresses, written as the source addresses are.
    #[schemars(inner(regex(pattern = ADDRESSES)))]
    pub dst: Vec<String>,
    /// One protocol: "TCP", "UDP", …, the number of one without a name, "any", or first
    /// and last number of many.
    pub protocol: String,
    /// Destination ports, each "10250" or "9000-9100"; "0-65535" is every port. Empty
    /// for protocols without ports.
    #[schemars(inner(regex(pattern = PORTS)))]
    pub ports: Vec<String>,
    /// Source ports, written as the destination ports are.
    #[schemars(inner(regex(pattern = PORTS)))]
    pub source_ports: Vec<String>,
    /// "new", "established" or both; "related", "invalid" and "untracked" where packets
    /// in such a state fare otherwise than new ones.
    pub state: Vec<String>,
    /// Names of the unknown atoms that it depends on, true or false, whether these
    /// packets are concerned; empty when none.
    pub conditions: Vec<String>,
}

const ADDRESSES: &str = r"^[0-9a-f.:]+(/[0-9]{1,3}|-[0-9a-f.:]+)?$";
const PORTS: &str = r"^[0-9]{1,5}(-[0-9]{1,5})?$";

/// Something that the analysis cannot know, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct UnknownAtom {
    /// Its name: "service tag Storage.WestEurope".
    pub name: String,
    /// Why it is unknown.
    pub reason: String,
}

/// The exact difference between the verdicts before and after. The same change
/// gives the same report, byte for byte.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeltaReport {
    /// Packets denied before and allowed after.
    pub newly_allowed: Vec<FlowBox>,
    /// Packets allowed before and denied after.
    pub newly_denied: Vec<FlowBox>,
    /// Packets for which it cannot be known whether the verdict changes; a box
    /// that may change both ways is listed twice.
    pub unknown: Vec<FlowBox>,
    /// What is not known, and why.
    pub atoms: Vec<UnknownAtom>,
    /// The same in words, one line for what differs in the protocol alone; for unknown packets also which way
    /// the verdict may change.
    pub words: Vec<String>,
}

impl FlowBox {
    /// The possible members of a set as disjoint boxes, always the same for
    /// the same set.
    ///
    /// # Errors
    /// [`AnalysisTooComplex`] when there are too many boxes to list.
    pub fn list(space: &Space, set: PacketSet) -> Result<Vec<Self>, AnalysisTooComplex> {
        let boxes = space.boxes(set)?;
        let boxes = boxes.iter();
        Ok(boxes
            .flat_map(|(flow, atoms)| Self::of_each_protocol(space, flow, atoms))
            .collect())
    }

    /// The source addresses in words.
    pub fn sources_in_words(&self) -> String {
        set::addresses_in_words(self.src.clone()).join(", ")
    }

    /// The destination addresses in words.
    pub fn destinations_in_words(&self) -> String {
        set::addresses_in_words(self.dst.clone()).join(", ")
    }

    /// A box as one for each direction and protocol, or range of protocols, that it
    /// holds.
    fn of_each_protocol(space: &Space, flow: &set::FlowBox, atoms: &[AtomId]) -> Vec<Self> {
        let directions = Self::of_each_direction(space, flow, atoms);
        let protocols = protocols_in(flow);
        let pairs = directions
            .iter()
            .flat_map(|all| protocols.iter().map(move |protocol| (all, protocol)));
        let boxes = pairs.map(|(all, (protocol, has_ports))| {
            let ports = |ports: &[String]| match has_ports {
                true => ports.to_vec(),
                false => Vec::new(),
            };
            Self {
                protocol: protocol.clone(),
                ports: ports(&all.ports),
                source_ports: ports(&all.source_ports),
                ..all.clone()
            }
        });
        boxes.collect()
    }

    /// A box as one for each direction, where it is not about all of them.
    fn of_each_direction(space: &Space, flow: &set::FlowBox, atoms: &[AtomId]) -> Vec<Self> {
        let directions: Vec<&str> = match flow.directions.is_full() {
            true => vec!["any"],
            false => flow.directions().map(Direction::as_str).collect(),
        };
        let all = Self::without_protocol(space, flow, atoms);
        let boxes = directions.into_iter().map(|direction| Self {
            direction: direction.to_owned(),
            ..all.clone()
        });
        boxes.collect()
    }

    fn without_protocol(space: &Space, flow: &set::FlowBox, atoms: &[AtomId]) -> Self {
        let (other_states, atoms) = space.split_states(atoms);
        let mut conditions: Vec<String> = atoms
            .iter()
            .filter_map(|id| space.atom_of(*id))
            .map(|atom| atom.name.clone())
            .collect();
        conditions.sort_unstable();
        let mut state = Vec::new();
        // What is not known may concern new packets as well.
        let new = match other_states.is_empty() {
            true => flow.states.contains(0_u8),
            false => !atoms.is_empty(),
        };
        if new {
            state.push("new");
        }
        match other_states.is_empty() {
            true if flow.states.contains(1_u8) => state.push("established"),
            _ => state.extend(other_states.iter().map(|state| state.as_str())),
        }
        Self {
            direction: String::new(),
            src: flow.sources.to_range_texts(),
            dst: flow.destinations.to_range_texts(),
            protocol: String::new(),
            ports: range_texts(flow.destination_ports.ranges()),
            source_ports: range_texts(flow.source_ports.ranges()),
            state: state.into_iter().map(str::to_owned).collect(),
            conditions,
        }
    }
}

/// The protocols of a box, each or as ranges, and whether some of them have ports.
fn protocols_in(flow: &set::FlowBox) -> Vec<(String, bool)> {
    let protocols = flow.effective_protocols();
    if protocols.is_full() {
        return vec![("any".to_owned(), true)];
    }
    let mut texts = Vec::new();
    for &(first, last) in protocols.ranges() {
        let numbers = (first..=last).filter_map(|number| u8::try_from(number).ok());
        // Long ranges come from complements; a box for each member says nothing.
        if last - first > 3 {
            let has_ports = numbers.clone().any(|number| Protocol(number).has_ports());
            texts.push((format!("{first}-{last}"), has_ports));
            continue;
        }
        texts.extend(numbers.map(|number| {
            let protocol = Protocol(number);
            let name = protocol.to_string();
            let number = name.strip_prefix("protocol ").map(str::to_owned);
            (number.unwrap_or(name), protocol.has_ports())
        }));
    }
    texts
}

impl DeltaReport {
    pub(super) fn new(space: &Space, delta: &FlowDelta) -> Result<Self, AnalysisTooComplex> {
        let mut report = Self::default();
        let mut atoms = BTreeMap::new();
        let parts = [
            ("newly allowed", delta.newly_allowed),
            ("newly denied", delta.newly_denied),
            ("may become allowed", delta.may_become_allowed),
            ("may become denied", delta.may_become_denied),
        ];
        for (place, &(what, set)) in parts.iter().enumerate() {
            for (flow, ids) in space.boxes(set)? {
                let (other_states, unknowns) = space.split_states(&ids);
                let known = unknowns.iter().filter_map(|id| space.atom_of(*id));
                atoms.extend(known.map(|atom| (atom.name.clone(), atom.reason.clone())));
                let written = FlowBox::of_each_protocol(space, &flow, &ids);
                let Some(first) = written.first() else {
                    continue;
                };
                let (is_certain, what) = match (unknowns.is_empty(), place) {
                    (true, 0 | 2) => (true, parts[0].0),
                    (true, _) => (true, parts[1].0),
                    (false, _) => (false, what),
                };
                let states = match other_states.is_empty() {
                    true => String::new(),
                    false => format!("{} ", first.state.join(", ")),
                };
                let words = flow.words(&first.sources_in_words(), &first.destinations_in_words());
                let mut line = format!("{what}: {states}{words}");
                if !first.conditions.is_empty() {
                    line.push_str(", depending on: ");
                    line.push_str(&first.conditions.join("; "));
                }
                report.words.push(line);
                match (is_certain, place) {
                    (true, 0 | 2) => report.newly_allowed.extend(written),
                    (true, _) => report.newly_denied.extend(written),
                    (false, _) => report.unknown.extend(written),
                }
            }
        }
        report.atoms = atoms
            .into_iter()
            .map(|(name, reason)| UnknownAtom { name, reason })
            .collect();
        Ok(report)
    }

    /// Whether nothing changes and nothing may change.
    pub fn is_empty(&self) -> bool {
        self.newly_allowed.is_empty() && self.newly_denied.is_empty() && self.unknown.is_empty()
    }

    /// Whether part of the change depends on what is not known.
    pub fn is_partly_unknown(&self) -> bool {
        !self.unknown.is_empty()
    }
}
