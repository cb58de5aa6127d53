//! Security admin rules of Azure Virtual Network Manager as a scenario states them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::security_rules::Direction;

/// A security admin rule in force on the nodes' network, where it is tried before every network
/// security group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecurityAdminRule {
    /// Name, unique in its collection.
    pub name: String,
    /// The rule collection it belongs to.
    #[serde(default = "baseline")]
    pub collection: String,
    /// 1 to 4096; the smaller is tried first, whatever its collection.
    pub priority: u16,
    /// `Inbound` or `Outbound`.
    pub direction: Direction,
    /// `Allow`, `AlwaysAllow` or `Deny`.
    pub access: AdminAccess,
    /// `Tcp`, `Udp`, `Icmp`, `Esp`, `Ah` or `Any`.
    #[serde(default = "any_protocol")]
    pub protocol: String,
    /// Source prefixes, addresses and tags; `*` and `Internet` stand alone.
    #[serde(default = "any_address")]
    pub source: Vec<String>,
    /// Source ports and ranges.
    #[serde(default = "any_port")]
    pub source_ports: Vec<String>,
    /// Destination prefixes, addresses and tags; `*` and `Internet` stand alone.
    #[serde(default = "any_address")]
    pub destination: Vec<String>,
    /// Destination ports and ranges.
    #[serde(default = "any_port")]
    pub destination_ports: Vec<String>,
    /// Free text.
    #[serde(default)]
    pub description: Option<String>,
}

fn baseline() -> String {
    "baseline".into()
}

fn any_protocol() -> String {
    "Any".into()
}

fn any_address() -> Vec<String> {
    vec!["*".into()]
}

fn any_port() -> Vec<String> {
    vec!["0-65535".into()]
}

/// What a security admin rule does with the packets it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AdminAccess {
    /// Shields them from later admin rules; network security groups decide.
    Allow,
    /// Lets them pass, whatever network security groups say.
    AlwaysAllow,
    /// Drops them, whatever network security groups say.
    Deny,
}

impl SecurityAdminRule {
    /// The properties of the rule as ARM holds them.
    pub fn properties(&self) -> Value {
        let mut properties = json!({
            "protocol": self.protocol,
            "sources": places(&self.source),
            "destinations": places(&self.destination),
            "sourcePortRanges": self.source_ports,
            "destinationPortRanges": self.destination_ports,
            "access": self.access,
            "priority": self.priority,
            "direction": self.direction,
        });
        if let Some(description) = &self.description {
            properties["description"] = json!(description);
        }
        properties
    }
}

fn places(words: &[String]) -> Vec<Value> {
    let place = |word: &String| {
        let kind = if is_service_tag(word) {
            "ServiceTag"
        } else {
            "IPPrefix"
        };
        json!({ "addressPrefix": word, "addressPrefixType": kind })
    };
    words.iter().map(place).collect()
}

/// Whether a word in a rule names a service tag; an IPv6 prefix may begin with a letter too.
pub(crate) fn is_service_tag(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_alphabetic()) && !word.contains(':')
}
