//! Azure Firewalls as a scenario states them.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::Access;

/// An Azure Firewall, with classic rules or a policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AzureFirewall {
    /// Name.
    pub name: String,
    /// Its private address, the next hop of routes to it.
    pub private_address: Ipv4Addr,
    /// Name of its policy; without one the rules are classic.
    #[serde(default)]
    pub policy: Option<String>,
    /// The policy's parent, whose rules come first.
    #[serde(default)]
    pub base_policy: Option<BasePolicy>,
    /// Network rule collections, on the firewall or in the policy's one rule collection group.
    #[serde(default)]
    pub network_rule_collections: Vec<NetworkRuleCollection>,
}

/// A firewall policy that others inherit from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasePolicy {
    /// Name.
    pub name: String,
    /// Network rule collections of its one rule collection group.
    #[serde(default)]
    pub network_rule_collections: Vec<NetworkRuleCollection>,
}

/// A network rule collection of an Azure Firewall.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkRuleCollection {
    /// Name.
    pub name: String,
    /// 100 to 65000; the smaller wins.
    pub priority: u32,
    /// What its rules do.
    pub action: Access,
    /// The rules.
    #[serde(default)]
    pub rules: Vec<NetworkRule>,
}

/// A network rule of an Azure Firewall.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkRule {
    /// Name.
    pub name: String,
    /// `TCP`, `UDP`, `ICMP`, `Any`.
    pub protocols: Vec<String>,
    /// Source addresses, prefixes or `*`.
    pub source_addresses: Vec<String>,
    /// Destination addresses, prefixes, service tags or `*`.
    pub destination_addresses: Vec<String>,
    /// Destination ports, ranges or `*`.
    pub destination_ports: Vec<String>,
}
