//! One security rule, as typed data.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::set;

/// Which way packets go, seen from the virtual machine.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Towards the virtual machine.
    Inbound,
    /// Away from it.
    Outbound,
}

impl Direction {
    /// As ARM writes it.
    pub fn arm(self) -> &'static str {
        match self {
            Self::Inbound => "Inbound",
            Self::Outbound => "Outbound",
        }
    }
}

impl From<Direction> for set::Direction {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Inbound => Self::Inbound,
            Direction::Outbound => Self::Outbound,
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        })
    }
}

/// Whether matching packets pass.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// They pass.
    Allow,
    /// They do not.
    Deny,
}

impl Access {
    /// As ARM writes it.
    pub fn arm(self) -> &'static str {
        match self {
            Self::Allow => "Allow",
            Self::Deny => "Deny",
        }
    }
}

/// One custom or default rule of a network security group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct NsgRule {
    /// Unique in its group, at most 80 characters.
    pub name: String,
    /// 100–4096 for custom rules, unique per direction; smaller wins.
    pub priority: u16,
    /// Inbound or outbound.
    pub direction: Direction,
    /// Allow or deny.
    pub access: Access,
    /// "Tcp", "Udp", "Icmp", "Esp", "Ah" or "*".
    pub protocol: String,
    /// Prefixes, addresses, one service tag, or "*".
    pub source_prefixes: Vec<String>,
    /// "10250", "30000-32767" or "*".
    pub source_ports: Vec<String>,
    /// ARM ids of application security groups.
    pub source_groups: Vec<String>,
    /// Prefixes, addresses, one service tag, or "*".
    pub destination_prefixes: Vec<String>,
    /// "10250", "30000-32767" or "*".
    pub destination_ports: Vec<String>,
    /// ARM ids of application security groups.
    pub destination_groups: Vec<String>,
    /// At most 140 characters.
    pub description: String,
}

/// The smallest priority of a custom rule.
pub const MIN_PRIORITY: u16 = 100;
/// The largest priority of a custom rule.
pub const MAX_PRIORITY: u16 = 4096;
/// How many custom rules one group may have.
pub const MAX_RULES: usize = 1000;
