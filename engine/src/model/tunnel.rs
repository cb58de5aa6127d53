//! What the tunnel answered when it was asked to carry.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most nodes that a diagnosis names one by one.
pub const NAMED_AT_MOST: usize = 64;
/// Most nodes that a run asks, and names: what they gave before the steps is
/// compared with what they give after.
pub const ASKED_AT_MOST: usize = 128;

/// How many nodes are named beside the first in words.
const MORE_NAMED: usize = 3;

/// What one node's kubelet gave, asked through the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TunnelAnswer {
    /// It is reached, and answers with a fault of its own: not the tunnel's.
    KubeletFault,
    /// Some tries were answered and others not.
    Sometimes,
    /// No try was answered.
    Silent,
    /// It could not be asked, or who answered is not known.
    Unknown,
}

/// A node that did not simply answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct NodeAnswer {
    /// Its name.
    pub node: String,
    /// What it gave.
    pub answer: TunnelAnswer,
    /// In the words of the API server.
    pub detail: String,
}

/// What the tunnel answered for the nodes asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct TunnelAnswers {
    /// Nodes of the cluster.
    pub nodes: u32,
    /// How many of them were asked.
    pub asked: u32,
    /// How many were reached at every try, faults of their own included.
    pub reached: u32,
    /// Names of those reached; in a diagnosis the first 64.
    #[serde(default)]
    pub reached_nodes: Vec<String>,
    /// Those that did not simply answer, by name; in a diagnosis the first 64.
    pub others: Vec<NodeAnswer>,
    /// Why no node was asked at all; empty otherwise.
    pub error: String,
    /// Logs of pods read through the API server, one a node.
    #[serde(default)]
    pub logs: Option<WayAnswers>,
    /// TCP connections from the agents' nodes to the kubelets of the nodes that
    /// matter most.
    #[serde(default)]
    pub from_agents: Option<WayAnswers>,
}

/// What one more way to the nodes gave.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct WayAnswers {
    /// How often it was tried.
    pub tried: u32,
    /// How often it led to the node.
    pub reached: u32,
    /// Where it did not.
    pub others: Vec<NodeAnswer>,
    /// Why it was not tried at all; empty otherwise.
    pub error: String,
}

impl WayAnswers {
    /// "`what` on 2 of 3 …", and the first that it did not lead to.
    fn in_words(&self, what: &str, nodes: &str) -> String {
        if !self.error.is_empty() {
            return format!(" {what} was not tried: {}.", self.error);
        }
        let first = self.others.first().map_or_else(String::new, |other| {
            format!(", not on {}: {}", other.node, other.detail)
        });
        format!(
            " {what} on {} of {} {nodes}{first}.",
            self.reached, self.tried
        )
    }
}

impl TunnelAnswers {
    /// When nobody could be asked.
    pub fn not_asked(error: impl Into<String>) -> Self {
        Self {
            error: error.into(),
            ..Self::default()
        }
    }

    /// Whether every node that was asked is reached, and one was.
    pub fn carries(&self) -> bool {
        self.error.is_empty() && self.asked > 0 && self.reached == self.asked
    }

    /// Nodes with this answer.
    pub fn with(&self, answer: TunnelAnswer) -> impl Iterator<Item = &NodeAnswer> {
        self.others.iter().filter(move |node| node.answer == answer)
    }

    /// The first node that is not reached, or not always.
    pub fn first_unreached(&self) -> Option<&NodeAnswer> {
        self.unreached().next()
    }

    /// Those that are not reached, or not always.
    pub fn unreached(&self) -> impl Iterator<Item = &NodeAnswer> {
        let reached = |node: &&NodeAnswer| node.answer == TunnelAnswer::KubeletFault;
        self.others.iter().filter(move |node| !reached(node))
    }

    /// The nodes beside the first that are not reached, or not always: one that is
    /// named alone would be taken for the only one.
    fn more_unreached(&self) -> String {
        let unreached = |node: &&NodeAnswer| node.answer != TunnelAnswer::KubeletFault;
        let names: Vec<&str> = self
            .others
            .iter()
            .filter(unreached)
            .skip(1)
            .map(|node| node.node.as_str())
            .collect();
        // `others` is bounded, the count is not.
        let more = self.asked.saturating_sub(self.reached).saturating_sub(1);
        match names.as_slice() {
            [] => String::new(),
            [one] if more == 1 => format!("; nor does {one} answer as it should"),
            names => {
                let named = names.get(..MORE_NAMED).unwrap_or(names).join(", ");
                let dots = if names.len() > MORE_NAMED {
                    ", …"
                } else {
                    ""
                };
                format!("; nor do {more} more answer as they should ({named}{dots})")
            }
        }
    }

    /// Whether this node is among those not reached, or not always.
    pub fn is_unreached(&self, name: &str) -> bool {
        self.unreached().any(|node| node.node == name)
    }

    /// One or two sentences.
    pub fn in_words(&self) -> String {
        if !self.error.is_empty() {
            return format!("The tunnel could not be asked: {}.", self.error);
        }
        if self.asked == 0 {
            return "No node was asked through the tunnel.".to_owned();
        }
        let mut words = if self.carries() {
            format!(
                "The tunnel answers on {} of {} nodes asked.",
                self.reached, self.asked
            )
        } else {
            let fault = self.first_unreached().map_or_else(String::new, |node| {
                let manner = match node.answer {
                    TunnelAnswer::Sometimes => "only sometimes reached",
                    TunnelAnswer::Unknown => "not known to be reached",
                    _ => "not reached",
                };
                let more = self.more_unreached();
                format!(": node {} is {manner}: {}{more}", node.node, node.detail)
            });
            let reached = match self.reached {
                0 => "none".to_owned(),
                reached => format!("only {reached}"),
            };
            format!(
                "The tunnel answers on {reached} of {} nodes asked{fault}.",
                self.asked
            )
        };
        if self.asked < self.nodes {
            words.push_str(&format!(
                " {} more were not asked.",
                self.nodes - self.asked
            ));
        }
        if let Some(node) = self.with(TunnelAnswer::KubeletFault).next() {
            words.push_str(&format!(
                " The kubelet of {} is reached and at fault itself, which is not the tunnel's: {}.",
                node.node, node.detail
            ));
        }
        if let Some(logs) = self.logs.as_ref() {
            words.push_str(&logs.in_words("Reading a pod's log succeeds", "nodes"));
        }
        if let Some(from_agents) = self.from_agents.as_ref() {
            let what = "TCP 10250 from the agents' nodes answers";
            words.push_str(&from_agents.in_words(what, "connections tried"));
        }
        words
    }
}
