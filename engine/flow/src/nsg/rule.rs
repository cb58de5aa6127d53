//! One security rule, as typed data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which way packets go, seen from the virtual machine.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Direction {
    Inbound,
    Outbound,
}

/// Whether matching packets pass.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Access {
    Allow,
    Deny,
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
