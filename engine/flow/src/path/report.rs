//! A path's answer as data.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PathAnswer;
use crate::delta::{FlowBox, UnknownAtom};
use crate::policy::{DecidingRule, Partition, Verdict};
use crate::set::{self, AnalysisTooComplex, PacketSet, PortSet, Space};

/// A [`PathAnswer`] as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PathReport {
    /// What becomes of the whole question: allowed only when every packet
    /// certainly arrives.
    pub verdict: Verdict,
    /// The packets that certainly arrive.
    pub allowed: PartReport,
    /// The packets that certainly do not.
    pub denied: PartReport,
    /// The packets for which that is not known.
    pub unknown: PartReport,
    /// What is not known, and why.
    pub atoms: Vec<UnknownAtom>,
    /// The rules that stop packets, in the order they meet them.
    pub stops: Vec<StopReport>,
    /// What each hop does for itself.
    pub hops: Vec<HopReport>,
}

/// Part of the packets that are asked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PartReport {
    /// The packets, as disjoint boxes; none when the part is empty.
    pub packets: Vec<FlowBox>,
    /// One of them in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<String>,
}

/// A [`Stop`](super::Stop) as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StopReport {
    /// The hop.
    pub hop: String,
    /// The rule.
    pub rule: DecidingRule,
    /// The packets it stops, with the conditions it depends on.
    pub part: PartReport,
}

/// A [`HopAnswer`](super::HopAnswer) as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HopReport {
    /// The hop.
    pub name: String,
    /// What it does with the whole question.
    pub verdict: Verdict,
}

impl PartReport {
    fn new(space: &mut Space, packets: PacketSet) -> Result<Self, AnalysisTooComplex> {
        Ok(Self {
            packets: FlowBox::list(space, packets)?,
            sample: likely(space, packets)?,
        })
    }
}

/// A member like those that are really sent: from a port that clients open connections
/// from and between two machines, where the set has such a one.
fn likely(space: &mut Space, packets: PacketSet) -> Result<Option<String>, AnalysisTooComplex> {
    let port = set::FlowBox::any().with_source_ports(PortSet::single(CLIENT_PORT));
    let from_client = space.flow(&port)?;
    let from_client = space.intersection(packets, from_client)?;
    let packets = match from_client.is_empty() {
        true => packets,
        false => from_client,
    };
    let Some(first) = space.sample(packets) else {
        return Ok(None);
    };
    if first.source == first.destination {
        let same = set::AddressSet::host(first.source);
        let same = space.flow(&set::FlowBox::any().with_sources(same))?;
        let others = space.difference(packets, same)?;
        if let Some(other) = space.sample(others) {
            return Ok(Some(other.between_ends()));
        }
    }
    Ok(Some(first.between_ends()))
}

const CLIENT_PORT: u16 = 49_152;

impl PathAnswer {
    /// The answer as lists of boxes.
    ///
    /// # Errors
    /// [`AnalysisTooComplex`] when there are too many boxes to list.
    pub fn report(&self, space: &mut Space) -> Result<PathReport, AnalysisTooComplex> {
        // Packets that every hop sees in one direction are told as going that way.
        let told = match self.direction {
            Some(direction) => space.flow(&set::FlowBox::any().with_direction(direction))?,
            None => PacketSet::ALL,
        };
        let mut part = |packets: PacketSet| {
            let packets = space.intersection(packets, told)?;
            PartReport::new(space, packets)
        };
        let stops = self.stops.iter().map(|stop| {
            Ok(StopReport {
                hop: stop.hop.clone(),
                rule: stop.rule.clone(),
                part: part(stop.part)?,
            })
        });
        let stops = stops.collect::<Result<_, AnalysisTooComplex>>()?;
        let (allowed, denied) = (part(self.partition.allowed)?, part(self.partition.denied)?);
        let depends = space.intersection(self.partition.unknown, self.partition.passing)?;
        let depends = space.intersection(depends, told)?;
        let atoms: BTreeMap<_, _> = space
            .atoms_of(depends)
            .into_iter()
            .filter_map(|atom| space.atom_of(atom))
            .map(|atom| (atom.name.clone(), atom.reason.clone()))
            .collect();
        Ok(PathReport {
            verdict: self.verdict(),
            allowed,
            denied,
            unknown: PartReport::new(space, depends)?,
            atoms: atoms
                .into_iter()
                .map(|(name, reason)| UnknownAtom { name, reason })
                .collect(),
            stops,
            hops: self
                .hops
                .iter()
                .map(|hop| HopReport {
                    name: hop.name.clone(),
                    verdict: whole(&hop.partition),
                })
                .collect(),
        })
    }
}

fn whole(partition: &Partition) -> Verdict {
    if !partition.denied.is_empty() {
        Verdict::Deny
    } else if !partition.unknown.is_empty() {
        Verdict::Unknown
    } else {
        Verdict::Allow
    }
}
