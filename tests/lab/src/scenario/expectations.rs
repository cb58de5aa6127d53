//! What a diagnosis of a scenario must find, and what mends it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::data_plane::NodeName;

/// The causes a diagnosis judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A network security group blocks the tunnel.
    Nsg,
    /// ufw on a node blocks the kubelet's port.
    Ufw,
    /// An iptables rule on a node blocks it.
    Iptables,
    /// The tunnel's own way out is closed.
    Egress,
    /// The load balancer has no outbound ports left.
    Snat,
    /// Tunnel agents are missing or not working.
    TunnelPods,
    /// There are too few agents for the nodes.
    KonnectivityScale,
    /// A route sends the tunnel astray.
    Route,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 8] = [
        Self::Nsg,
        Self::Ufw,
        Self::Iptables,
        Self::Egress,
        Self::Snat,
        Self::TunnelPods,
        Self::KonnectivityScale,
        Self::Route,
    ];
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nsg => "nsg",
            Self::Ufw => "ufw",
            Self::Iptables => "iptables",
            Self::Egress => "egress",
            Self::Snat => "snat",
            Self::TunnelPods => "tunnel-pods",
            Self::KonnectivityScale => "konnectivity-scale",
            Self::Route => "route",
        })
    }
}

/// What a diagnosis makes of a cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    /// It is a cause.
    Confirmed,
    /// It may be.
    Suspected,
    /// It is not.
    RuledOut,
    /// Nobody can tell.
    Unknown,
}

/// What a diagnosis must find.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectations {
    /// The error a user would report.
    #[serde(default)]
    pub symptom: Option<String>,
    /// What kind of text that is, as a diagnosis names it.
    #[serde(default)]
    pub hint: Option<String>,
    /// Nodes whose logs cannot be read, or not always: no agent is connected, or one of those that
    /// are cannot reach the node's kubelet. An agent on the node itself usually can.
    #[serde(default)]
    pub unreachable_nodes: Vec<NodeName>,
    /// Nodes whose kubelet cannot be reached from the node itself.
    #[serde(default)]
    pub unreachable_from_themselves: Vec<NodeName>,
    /// Whether no agent can connect to the tunnel server.
    #[serde(default)]
    pub tunnel_down: bool,
    /// The judgement on every cause.
    pub findings: BTreeMap<Cause, Judgement>,
    /// The judgement of single plugins, where one must differ from that on its cause.
    #[serde(default)]
    pub plugins: BTreeMap<String, Judgement>,
    /// Parts of the evidence of each plugin that confirms: the rule, node or figure at fault, as
    /// the estate has it.
    #[serde(default)]
    pub evidence: BTreeMap<String, Vec<String>>,
    /// What mends it, one entry for each way; several may be needed together.
    #[serde(default)]
    pub fixes: Vec<ExpectedFix>,
    /// What plugins without a fix must say.
    #[serde(default)]
    pub advice: Vec<ExpectedAdvice>,
}

/// Advice that must be given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedAdvice {
    /// The plugin that gives it.
    pub plugin: String,
    /// Part of what its finding says.
    pub says: String,
}

/// A fix that must be offered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedFix {
    /// The plugin that offers it.
    pub plugin: String,
    /// Name of the NSG, node or other resource it changes, as a step's effect names it.
    #[serde(default)]
    pub target: Option<String>,
    /// For an NSG rule: the largest priority that still beats the denying rule.
    #[serde(default)]
    pub priority_at_most: Option<u16>,
    /// For an NSG rule: the smallest priority that leaves every stricter rule in force.
    #[serde(default)]
    pub priority_at_least: Option<u16>,
    /// Whether applying it mends the tunnel; false where something else blocks it as well.
    #[serde(default = "yes")]
    pub mends: bool,
    /// Nodes that stay out of reach all the same, for a reason that is no cause here.
    #[serde(default)]
    pub leaves: Vec<NodeName>,
    /// Whether it can be taken back; an evicted pod, for one, does not come back.
    #[serde(default = "yes")]
    pub reversible: bool,
    /// Whether it is planned and left at that, as other fixes come first.
    #[serde(default)]
    pub planned_only: bool,
    /// Why it cannot be done here, where it cannot: part of what the plan says.
    #[serde(default)]
    pub infeasible: Option<String>,
    /// What a person is asked to do, where Naosu cannot: part of the plan's instruction.
    #[serde(default)]
    pub manual: Option<String>,
    /// Codes of warnings that the plan must carry, whatever others it has.
    #[serde(default)]
    pub warnings: Vec<String>,
}

fn yes() -> bool {
    true
}
