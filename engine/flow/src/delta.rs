//! What a change does to packets, as a report that is stored, signed and shown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A set of packets that is a product of ranges.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct FlowBox {
    /// "inbound" or "outbound", seen from the machine that is filtered.
    pub direction: String,
    /// Prefix or range of addresses; "any".
    pub source: String,
    /// Prefix or range of addresses; "any".
    pub destination: String,
    /// "TCP", "UDP", "any", …
    pub protocol: String,
    /// "10250", "1-65535"; "any".
    pub source_ports: String,
    /// "10250", "1-65535"; "any".
    pub destination_ports: String,
    /// "new", "established" or "any".
    pub state: String,
    /// Unknown atoms that must hold for these packets; empty when none.
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

/// The exact difference between the verdicts before and after.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeltaReport {
    /// Packets denied before and allowed after.
    pub newly_allowed: Vec<FlowBox>,
    /// Packets allowed before and denied after.
    pub newly_denied: Vec<FlowBox>,
    /// Packets for which it cannot be known whether the verdict changes.
    pub unknown: Vec<FlowBox>,
    /// What is not known, and why.
    pub atoms: Vec<UnknownAtom>,
    /// The same in words, one line each.
    pub words: Vec<String>,
}
