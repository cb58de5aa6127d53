//! The order in which the kernel consults tables.

use super::flow_state::{FlowState, Flows, Tracking};
use super::interface::InterfaceKnowledge;
use super::knowledge::Knowledge;
use super::mark::Mark;
use super::ruleset::TableName;
use crate::set::{AnalysisTooComplex, Direction, OtherState, PacketSet, Space};

/// Which packets of a node are asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// Packets from the network that the node itself receives.
    Input,
    /// Packets from the network that the node passes on.
    Forward,
    /// Packets the node itself sends.
    Output,
}

/// A built-in chain of a table, where a hook consults it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Stage {
    pub(super) chain: &'static str,
    pub(super) table: TableName,
}

impl Stage {
    /// The chain with its table, in words.
    pub(super) fn words(self) -> String {
        format!("{} {}", self.table.as_str(), self.chain)
    }

    /// Whether address translation here changes where the packet goes.
    pub(super) fn rewrites_destination(self) -> bool {
        matches!(self.chain, "PREROUTING" | "OUTPUT")
    }

    /// Whether packets here have an interface they came in by, and leave by.
    pub(super) fn interfaces(self) -> (Presence, Presence) {
        match self.chain {
            "PREROUTING" | "INPUT" => (Presence::Yes, Presence::No),
            "FORWARD" => (Presence::Yes, Presence::Yes),
            "OUTPUT" => (Presence::No, Presence::Yes),
            // Only newer kernels still know there where a packet came in.
            _ => (Presence::Unsure, Presence::Yes),
        }
    }
}

/// Whether something is there. An interface that is not has an empty name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Yes,
    No,
    Unsure,
}

impl Hook {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Input, Self::Forward, Self::Output];

    /// The built-in chains a packet passes, in order.
    pub(super) fn stages(self) -> &'static [Stage] {
        use TableName::{Filter, Mangle, Nat, Raw, Security};
        const fn at(chain: &'static str, table: TableName) -> Stage {
            Stage { chain, table }
        }
        match self {
            Self::Input => {
                const STAGES: [Stage; 7] = [
                    at("PREROUTING", Raw),
                    at("PREROUTING", Mangle),
                    at("PREROUTING", Nat),
                    at("INPUT", Mangle),
                    at("INPUT", Filter),
                    at("INPUT", Security),
                    at("INPUT", Nat),
                ];
                &STAGES
            }
            Self::Forward => {
                const STAGES: [Stage; 8] = [
                    at("PREROUTING", Raw),
                    at("PREROUTING", Mangle),
                    at("PREROUTING", Nat),
                    at("FORWARD", Mangle),
                    at("FORWARD", Filter),
                    at("FORWARD", Security),
                    at("POSTROUTING", Mangle),
                    at("POSTROUTING", Nat),
                ];
                &STAGES
            }
            Self::Output => {
                const STAGES: [Stage; 7] = [
                    at("OUTPUT", Raw),
                    at("OUTPUT", Mangle),
                    at("OUTPUT", Nat),
                    at("OUTPUT", Filter),
                    at("OUTPUT", Security),
                    at("POSTROUTING", Mangle),
                    at("POSTROUTING", Nat),
                ];
                &STAGES
            }
        }
    }

    /// Packets of the hook before they meet a rule, by what is known of them.
    ///
    /// A socket may have marked what its node sends, and what that receives by the
    /// loopback; packets from the network have no mark.
    pub(super) fn untouched(
        self,
        space: &mut Space,
        knowledge: &Knowledge,
        other: Option<OtherState>,
        set: PacketSet,
    ) -> Result<Flows, AnalysisTooComplex> {
        let is_sent_here = match (self, &knowledge.in_interface) {
            (Self::Output, _) | (Self::Input, InterfaceKnowledge::Unknown) => true,
            (Self::Input, InterfaceKnowledge::Named(name)) => name == "lo",
            _ => false,
        };
        let mark = match (is_sent_here, knowledge.socket_mark) {
            (false, _) => Mark::ZERO,
            (true, Some(mark)) => Mark::ZERO.set(mark, u32::MAX),
            (true, None) => Mark::OF_SOCKET,
        };
        let state = FlowState {
            mark,
            tracking: Tracking::NotYet,
            other,
        };
        let mut flows = Flows::default();
        flows.add(space, state, set)?;
        Ok(flows)
    }

    /// Which way the hook's packets go.
    pub fn direction(self) -> Direction {
        match self {
            Self::Input => Direction::Inbound,
            Self::Forward => Direction::Forwarded,
            Self::Output => Direction::Outbound,
        }
    }

    /// The chain of `filter` the hook is named after.
    pub fn chain(self) -> &'static str {
        match self {
            Self::Input => "INPUT",
            Self::Forward => "FORWARD",
            Self::Output => "OUTPUT",
        }
    }
}
