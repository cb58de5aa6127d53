//! What `naosu flow` answers, as data.

use naosu_flow::{
    delta::{DeltaReport, UnknownAtom},
    nsg::{NsgRule, Renumbered},
    path::PartReport,
    policy::Verdict,
};
use schemars::JsonSchema;
use serde::Serialize;

/// The answer of `naosu flow explain`, `naosu flow delta` or `naosu flow place`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "question", rename_all = "snake_case")]
pub enum FlowAnswer {
    /// What happens to one packet, and why.
    Explain(Explanation),
    /// What happens to several packets, and which rules stop which of them.
    ExplainSet(SetExplanation),
    /// For which packets the verdict changes.
    Delta(DeltaAnswer),
    /// Which priority a new rule must have.
    Place(PlaceAnswer),
}

/// For which packets the verdict changes.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DeltaAnswer {
    /// The packets.
    #[serde(flatten)]
    pub report: DeltaReport,
    /// What the answer takes for granted, in words.
    pub notes: Vec<String>,
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

/// What happens to several packets, and which rules stop which of them. The three
/// parts are disjoint, and all of what was asked about.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SetExplanation {
    /// The packets in words, a line for each protocol.
    pub asked: Vec<String>,
    /// What happens to all of them together: "allow" only when every one certainly
    /// arrives, "deny" when some certainly do not.
    pub verdict: Verdict,
    /// The rules that stop some of them, in the order packets meet them, each with
    /// those it is the first to stop.
    pub stops: Vec<StoppingRule>,
    /// Those that certainly arrive.
    pub allowed: PartReport,
    /// Those that certainly do not.
    pub denied: PartReport,
    /// Those of which it is not known.
    pub unknown: PartReport,
    /// What would have to be known of those, and why it is not.
    pub atoms: Vec<UnknownAtom>,
    /// Every set of rules on the way, in the order packets meet them.
    pub hops: Vec<HopVerdict>,
    /// What the answer takes for granted, in words.
    pub notes: Vec<String>,
}

/// A rule, and the packets that get there and no further.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StoppingRule {
    /// The rule; that it stops them is not known where its own verdict is not.
    pub rule: HopRule,
    /// The packets, with the conditions on which it stops them.
    pub part: PartReport,
}

/// What one set of rules does with all that is asked about, whether or not it gets
/// there.
#[derive(Debug, Serialize, JsonSchema)]
pub struct HopVerdict {
    /// Which rules.
    pub hop: String,
    /// What they do with all of it together.
    pub verdict: Verdict,
}

/// What one set of rules does with the packet, if it gets there.
#[derive(Debug, Serialize, JsonSchema)]
pub struct HopExplanation {
    /// Which rules: "security admin rules", "security group", "subnet security group",
    /// "interface security group", "node firewall", "ufw"; on a whole way followed by
    /// "of the source" or "of the destination", with "routes of the source" and
    /// "Azure Firewall" between the two.
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

/// Which priority a new rule must have, or why it gets none.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum PlaceAnswer {
    /// It gets one.
    Placed(Box<Placed>),
    /// Every wanted packet has this verdict already.
    AlreadyInForce,
    /// No number would do.
    NoFreePriority(NoFreePriority),
    /// The group can take no more rules.
    GroupIsFull {
        /// How many it has.
        rules: usize,
        /// How many it may have.
        maximum: usize,
    },
}

/// A priority, proved: the wanted packets get the rule's verdict, no packet outside the
/// rule's match changes, and every stricter rule stays in force.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Placed {
    /// The rule with its priority, the latest that does so.
    pub rule: NsgRule,
    /// The first rule that decides wanted packets the other way; the new one comes
    /// before it.
    pub before: PlacedRule,
    /// The stricter rules, which the new one comes after.
    pub after: Vec<PlacedRule>,
    /// Rules to move so that the number is free; to be written with the rule in one
    /// write of the whole group. On their own they change no verdict.
    pub renumbered: Vec<Renumbered>,
    /// Whether it is proved that no fewer rules could move; not where there were too
    /// many ways to try.
    pub is_fewest: bool,
    /// How many other free numbers would do, for rules to come.
    pub room_left: u16,
    /// What the insert does to packets.
    pub delta: DeltaReport,
}

/// A rule of the group as it is.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PlacedRule {
    /// Its name.
    pub rule: String,
    /// Its number before any is moved.
    pub priority: u16,
}

/// The packets that show why no number would do.
#[derive(Debug, Serialize, JsonSchema)]
pub struct NoFreePriority {
    /// The rule to come before.
    pub before: String,
    /// The rule to come after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// A wanted packet that a later number leaves as it is.
    pub still_stopped: String,
    /// A packet that an earlier number would take from the stricter rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrongly_decided: Option<String>,
    /// Whether every renumbering was ruled out; else one may exist that was not tried.
    pub all_were_tried: bool,
}
