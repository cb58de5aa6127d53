//! Network security groups as a scenario states them.

use serde::{Deserialize, Serialize};

/// A network security group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSecurityGroup {
    /// Name.
    pub name: String,
    /// Whether it lies in the node resource group, where AKS manages it.
    #[serde(default)]
    pub managed: bool,
    /// Its own rules; the six default rules always come on top.
    #[serde(default)]
    pub rules: Vec<SecurityRule>,
    /// Runs of rules with consecutive priorities, to fill a range.
    #[serde(default)]
    pub rule_runs: Vec<RuleRun>,
}

impl NetworkSecurityGroup {
    /// All of the group's own rules, the runs written out.
    pub fn all_rules(&self) -> Vec<SecurityRule> {
        let mut rules = self.rules.clone();
        for run in &self.rule_runs {
            for priority in run.first_priority..=run.last_priority {
                let mut rule = run.rule.clone();
                rule.priority = priority;
                rule.name = format!("{}-{priority}", run.rule.name);
                rules.push(rule);
            }
        }
        rules
    }
}

/// A rule repeated with every priority of a range, its name followed by the number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleRun {
    /// The first priority taken.
    pub first_priority: u16,
    /// The last priority taken.
    pub last_priority: u16,
    /// The rule; its own priority is not used.
    pub rule: SecurityRule,
}

/// A security rule. A side with one entry becomes ARM's singular field, with several the plural.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecurityRule {
    /// Name.
    pub name: String,
    /// 100 to 4096; the smaller wins.
    #[serde(default)]
    pub priority: u16,
    /// `Inbound` or `Outbound`.
    pub direction: Direction,
    /// `Allow` or `Deny`.
    pub access: Access,
    /// `Tcp`, `Udp`, `Icmp`, `Esp`, `Ah` or `*`.
    #[serde(default = "any")]
    pub protocol: String,
    /// Source prefixes, addresses or one tag.
    #[serde(default = "any_list")]
    pub source: Vec<String>,
    /// Names of source application security groups, instead of `source`.
    #[serde(default)]
    pub source_groups: Vec<String>,
    /// Source ports and ranges.
    #[serde(default = "any_list")]
    pub source_ports: Vec<String>,
    /// Destination prefixes, addresses or one tag.
    #[serde(default = "any_list")]
    pub destination: Vec<String>,
    /// Names of destination application security groups, instead of `destination`.
    #[serde(default)]
    pub destination_groups: Vec<String>,
    /// Destination ports and ranges.
    #[serde(default = "any_list")]
    pub destination_ports: Vec<String>,
    /// Free text.
    #[serde(default)]
    pub description: Option<String>,
}

fn any() -> String {
    "*".into()
}

fn any_list() -> Vec<String> {
    vec!["*".into()]
}

/// Direction of a security rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Direction {
    /// Towards the VM.
    Inbound,
    /// From the VM.
    Outbound,
}

/// What a security rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// Lets the packet pass.
    Allow,
    /// Drops it.
    Deny,
}
