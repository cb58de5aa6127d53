//! A path's answer as data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PathAnswer;
use crate::delta::FlowBox;
use crate::policy::{DecidingRule, Partition, Verdict};
use crate::set::{AnalysisTooComplex, Space};

/// A [`PathAnswer`] as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PathReport {
    /// What becomes of the whole question: allowed only when every packet
    /// certainly arrives.
    pub verdict: Verdict,
    /// The packets that certainly arrive.
    pub allowed: Vec<FlowBox>,
    /// The packets that certainly do not.
    pub denied: Vec<FlowBox>,
    /// The packets for which that is not known.
    pub unknown: Vec<FlowBox>,
    /// The rules that stop packets, in the order they meet them.
    pub stops: Vec<StopReport>,
    /// What each hop does for itself.
    pub hops: Vec<HopReport>,
}

/// A [`Stop`](super::Stop) as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StopReport {
    /// The hop.
    pub hop: String,
    /// The rule.
    pub rule: DecidingRule,
    /// The packets it stops, with the conditions it depends on.
    pub packets: Vec<FlowBox>,
}

/// A [`HopAnswer`](super::HopAnswer) as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HopReport {
    /// The hop.
    pub name: String,
    /// What it does with the whole question.
    pub verdict: Verdict,
}

impl PathAnswer {
    /// The answer as lists of boxes.
    ///
    /// # Errors
    /// [`AnalysisTooComplex`] when there are too many boxes to list.
    pub fn report(&self, space: &mut Space) -> Result<PathReport, AnalysisTooComplex> {
        let unknown = space.intersection(self.partition.unknown, self.partition.passing)?;
        let mut stops = Vec::with_capacity(self.stops.len());
        for stop in &self.stops {
            stops.push(StopReport {
                hop: stop.hop.clone(),
                rule: stop.rule.clone(),
                packets: FlowBox::list(space, stop.part)?,
            });
        }
        Ok(PathReport {
            verdict: self.verdict(),
            allowed: FlowBox::list(space, self.partition.allowed)?,
            denied: FlowBox::list(space, self.partition.denied)?,
            unknown: FlowBox::list(space, unknown)?,
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
