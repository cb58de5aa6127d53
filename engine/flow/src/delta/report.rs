//! What a change does to packets, as a report that is stored, signed and shown.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::FlowDelta;
use crate::set::{
    self, AnalysisTooComplex, AtomId, Direction, PacketSet, Space, port_texts, protocol_texts,
};

/// A set of packets that is a product of ranges, written down. Source and
/// destination of a packet are of one address family. Several values in one
/// field are separated by ", ".
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct FlowBox {
    /// "inbound", "outbound" or "forwarded", seen from the machine that is filtered, or
    /// "any" of them. Forwarded packets pass through it, and are told as they come to
    /// what changes: with the destination that a rule of `nat` before it gave them.
    pub direction: String,
    /// Prefixes, addresses or ranges; "any", "any-ipv4", "any-ipv6".
    pub source: String,
    /// Prefixes, addresses or ranges; "any", "any-ipv4", "any-ipv6".
    pub destination: String,
    /// "TCP", "UDP", "any", …
    pub protocol: String,
    /// "10250", "1-65535"; "any".
    pub source_ports: String,
    /// "10250", "1-65535"; "any".
    pub destination_ports: String,
    /// "new", "established" or "any", which is both; "related", "invalid" or
    /// "untracked" where packets in such a state fare otherwise than new ones.
    pub state: String,
    /// Names of the unknown atoms that it depends on, true or false, whether these
    /// packets are concerned; empty when none.
    pub conditions: Vec<String>,
}

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
    /// The same in words, one line each; for unknown packets also which way
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
        Ok(boxes
            .iter()
            .map(|(flow, atoms)| Self::new(space, flow, atoms))
            .collect())
    }

    fn new(space: &Space, flow: &set::FlowBox, atoms: &[AtomId]) -> Self {
        let any_or = |texts: Vec<String>| match texts.as_slice() {
            [all] if all == "*" => "any".to_owned(),
            _ => texts.join(", "),
        };
        let directions: Vec<&str> = flow.directions().map(Direction::as_str).collect();
        let state = match (flow.states.contains(0_u8), flow.states.contains(1_u8)) {
            (true, false) => "new",
            (false, true) => "established",
            _ => "any",
        };
        let (other_states, atoms) = space.split_states(atoms);
        let mut conditions: Vec<String> = atoms
            .iter()
            .filter_map(|id| space.atom_of(*id))
            .map(|atom| atom.name.clone())
            .collect();
        conditions.sort_unstable();
        Self {
            direction: match flow.directions.is_full() {
                true => "any".to_owned(),
                false => directions.join(", "),
            },
            source: flow.sources.to_string(),
            destination: flow.destinations.to_string(),
            protocol: protocol_texts(&flow.effective_protocols()).join(", "),
            source_ports: any_or(port_texts(&flow.source_ports)),
            destination_ports: any_or(port_texts(&flow.destination_ports)),
            state: match other_states.as_slice() {
                [] => state.to_owned(),
                states => {
                    // What is not known may concern new packets as well.
                    let new = (!atoms.is_empty()).then_some("new");
                    let others = states.iter().map(|state| state.as_str());
                    let states: Vec<&str> = new.into_iter().chain(others).collect();
                    states.join(", ")
                }
            },
            conditions,
        }
    }
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
                let written = FlowBox::new(space, &flow, &ids);
                let words = flow.words(&written.source, &written.destination);
                let (is_certain, what) = match (unknowns.is_empty(), place) {
                    (true, 0 | 2) => (true, parts[0].0),
                    (true, _) => (true, parts[1].0),
                    (false, _) => (false, what),
                };
                let states = match other_states.is_empty() {
                    true => String::new(),
                    false => format!("{} ", written.state),
                };
                let mut line = format!("{what}: {states}{words}");
                if !written.conditions.is_empty() {
                    line.push_str(", depending on: ");
                    line.push_str(&written.conditions.join("; "));
                }
                report.words.push(line);
                match (is_certain, place) {
                    (true, 0 | 2) => report.newly_allowed.push(written),
                    (true, _) => report.newly_denied.push(written),
                    (false, _) => report.unknown.push(written),
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
