//! Sets and deltas as data: what plans store, digests cover and people read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::delta::FlowDelta;
use crate::set::{
    AnalysisTooComplex, AtomId, ConnectionState, Direction, FlowBox, PacketSet, Space, port_texts,
    protocol_texts,
};

/// A box of packets: those inside the given values in every field. Source and
/// destination of a packet are of one address family.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FlowReport {
    /// Directions, as seen by the policy.
    pub directions: Vec<Direction>,
    /// Connection states.
    pub states: Vec<ConnectionState>,
    /// Protocol names, or `protocol N`, `protocols N-M`; `any` for all.
    pub protocols: Vec<String>,
    /// Source addresses: prefixes, single addresses, `first-last`; `any`,
    /// `any-ipv4` and `any-ipv6` for all.
    pub src: Vec<String>,
    /// Source ports: numbers, `first-last`; `*` for all.
    pub src_ports: Vec<String>,
    /// Destination addresses, as `src`.
    pub dst: Vec<String>,
    /// Destination ports, as `src_ports`.
    pub ports: Vec<String>,
    /// The same in words.
    pub words: String,
}

impl From<&FlowBox> for FlowReport {
    fn from(flow: &FlowBox) -> Self {
        let mut directions = Vec::new();
        if flow.directions.contains(0_u8) {
            directions.push(Direction::Inbound);
        }
        if flow.directions.contains(1_u8) {
            directions.push(Direction::Outbound);
        }
        let mut states = Vec::new();
        if flow.states.contains(0_u8) {
            states.push(ConnectionState::New);
        }
        if flow.states.contains(1_u8) {
            states.push(ConnectionState::Established);
        }
        Self {
            directions,
            states,
            protocols: protocol_texts(&flow.effective_protocols()),
            src: flow.sources.to_texts(),
            src_ports: port_texts(&flow.source_ports),
            dst: flow.destinations.to_texts(),
            ports: port_texts(&flow.destination_ports),
            words: flow.to_string(),
        }
    }
}

impl FlowReport {
    /// The possible members of a set as disjoint boxes.
    ///
    /// # Errors
    /// [`AnalysisTooComplex`] when there are too many boxes to list.
    pub fn list(space: &Space, set: PacketSet) -> Result<Vec<Self>, AnalysisTooComplex> {
        let boxes = space.boxes(set)?;
        Ok(boxes.iter().map(|(flow, _)| Self::from(flow)).collect())
    }
}

/// Which way a verdict may change.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum MayBecome {
    /// From denied to allowed.
    Allowed,
    /// From allowed to denied.
    Denied,
}

/// A box of packets whose change depends on what is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct UnknownFlowReport {
    /// The packets.
    pub flow: FlowReport,
    /// What they may become.
    pub may_become: MayBecome,
    /// The names of the atoms that decide it.
    pub atoms: Vec<String>,
}

/// Something that is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct AtomReport {
    /// What would have to be known.
    pub name: String,
    /// Why it is not.
    pub reason: String,
}

/// A [`FlowDelta`] as data. The same change gives the same report, byte for
/// byte.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DeltaReport {
    /// Packets denied before and allowed after.
    pub newly_allowed: Vec<FlowReport>,
    /// Packets allowed before and denied after.
    pub newly_denied: Vec<FlowReport>,
    /// Packets whose change depends on the atoms below.
    pub unknown: Vec<UnknownFlowReport>,
    /// The atoms named in `unknown`, by name.
    pub atoms: Vec<AtomReport>,
}

impl DeltaReport {
    pub(super) fn new(space: &Space, delta: &FlowDelta) -> Result<Self, AnalysisTooComplex> {
        let mut atoms = BTreeMap::new();
        let mut unknown = Vec::new();
        let maybes = [
            (MayBecome::Allowed, delta.may_become_allowed),
            (MayBecome::Denied, delta.may_become_denied),
        ];
        for (may_become, set) in maybes {
            for (flow, ids) in space.boxes(set)? {
                unknown.push(UnknownFlowReport {
                    flow: FlowReport::from(&flow),
                    may_become,
                    atoms: note_atoms(space, &ids, &mut atoms),
                });
            }
        }
        Ok(Self {
            newly_allowed: FlowReport::list(space, delta.newly_allowed)?,
            newly_denied: FlowReport::list(space, delta.newly_denied)?,
            unknown,
            atoms: atoms
                .into_iter()
                .map(|(name, reason)| AtomReport { name, reason })
                .collect(),
        })
    }

    /// Whether nothing changes and nothing may change.
    pub fn is_empty(&self) -> bool {
        self.newly_allowed.is_empty() && self.newly_denied.is_empty() && self.unknown.is_empty()
    }

    /// One line for each box, in words.
    pub fn lines(&self) -> Vec<String> {
        let allowed = self.newly_allowed.iter();
        let denied = self.newly_denied.iter();
        allowed
            .map(|flow| format!("newly allowed: {}", flow.words))
            .chain(denied.map(|flow| format!("newly denied: {}", flow.words)))
            .chain(self.unknown.iter().map(|unknown| {
                let may_become = match unknown.may_become {
                    MayBecome::Allowed => "allowed",
                    MayBecome::Denied => "denied",
                };
                format!(
                    "may become {may_become}: {}, depending on: {}",
                    unknown.flow.words,
                    unknown.atoms.join("; ")
                )
            }))
            .collect()
    }
}

fn note_atoms(space: &Space, ids: &[AtomId], atoms: &mut BTreeMap<String, String>) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(ids.len());
    for atom in ids.iter().filter_map(|id| space.atom_of(*id)) {
        atoms.insert(atom.name.clone(), atom.reason.clone());
        names.push(atom.name.clone());
    }
    names.sort_unstable();
    names
}
