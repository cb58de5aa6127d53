//! What `naosu flow` answers, as data.

use naosu_flow::{
    delta::{DeltaReport, UnknownAtom},
    policy::Verdict,
};
use schemars::JsonSchema;
use serde::Serialize;

/// The answer of `naosu flow explain` or `naosu flow delta`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "question", rename_all = "snake_case")]
pub enum FlowAnswer {
    /// What happens to one packet, and why.
    Explain(Explanation),
    /// For which packets the verdict changes.
    Delta(DeltaReport),
}

/// What happens to one packet, and why.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Explanation {
    /// The packet in words.
    pub packet: String,
    /// What happens to it.
    pub verdict: Verdict,
    /// The rule that decides; several when it depends on what is not known
    /// which one does.
    pub deciding_rules: Vec<HopRule>,
    /// What would have to be known, and why it is not; empty unless the verdict
    /// is unknown.
    pub unknown: Vec<UnknownAtom>,
    /// Every set of rules on the way, in the order the packet meets them.
    pub hops: Vec<HopExplanation>,
    /// What the answer takes for granted, in words.
    pub notes: Vec<String>,
}

/// What one set of rules does with the packet, if it gets there.
#[derive(Debug, Serialize, JsonSchema)]
pub struct HopExplanation {
    /// Which rules: "security admin rules", "security group", "subnet security group",
    /// "interface security group", "node firewall".
    pub hop: String,
    /// What they do with the packet.
    pub verdict: Verdict,
    /// The rule that decides there; several when that is not known. Of a security
    /// group that is a security admin rule where one is not for the group to undo.
    pub rules: Vec<HopRule>,
}

/// A rule, where it stands and what it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HopRule {
    /// The set of rules it belongs to, whichever it was met at.
    pub hop: String,
    /// What it does; a rule may let a packet pass here and another may deny it.
    pub verdict: Verdict,
    /// The name of a rule of a security group, or of a security admin rule after
    /// that of its collection; the specification of a rule of
    /// iptables, as iptables-save writes it.
    pub rule: String,
    /// The rule and its place in words.
    pub words: String,
    /// The priority in a security group or of a security admin rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u16>,
    /// The table of iptables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// The chain of iptables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
    /// The number of the rule in its chain, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<usize>,
    /// The line of the file, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Why it is not known what the rule does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether it lets the packet pass here only to leave it to the security groups.
    #[serde(skip)]
    pub hands_on: bool,
}
