//! A network security group and its default rules.

use serde::{Deserialize, Serialize};

use super::error::NsgError;
use super::rule::{Access, Direction, NsgRule};

/// A network security group: its own rules, and the default rules below them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Nsg {
    /// Its name.
    pub name: String,
    /// Its ARM id; empty when not known.
    pub id: String,
    /// Its ETag; empty when not known.
    pub etag: String,
    /// Whether open connections are judged anew when rules change, and cut where
    /// they would not be let open now.
    #[serde(default)]
    pub flush_connection: bool,
    /// The custom rules, by direction and priority.
    pub rules: Vec<NsgRule>,
    /// The default rules, by direction and priority.
    pub default_rules: Vec<NsgRule>,
}

impl Nsg {
    /// A group with these custom rules and Azure's default rules.
    ///
    /// # Errors
    /// [`NsgError`] when two rules share a name, or a direction and priority.
    pub fn new(name: impl Into<String>, rules: Vec<NsgRule>) -> Result<Self, NsgError> {
        Self {
            name: name.into(),
            id: String::new(),
            etag: String::new(),
            flush_connection: false,
            rules,
            default_rules: default_rules(),
        }
        .in_order()
    }

    /// Sorts the rules into the order they are evaluated in and checks that it
    /// is one.
    pub(super) fn in_order(mut self) -> Result<Self, NsgError> {
        for rules in [&mut self.rules, &mut self.default_rules] {
            rules.sort_by(|a, b| {
                (a.direction, a.priority, &a.name).cmp(&(b.direction, b.priority, &b.name))
            });
            for (first, second) in rules.iter().zip(rules.iter().skip(1)) {
                if (first.direction, first.priority) == (second.direction, second.priority) {
                    return Err(NsgError::DuplicatePriority {
                        first: first.name.clone(),
                        second: second.name.clone(),
                        direction: first.direction,
                        priority: first.priority,
                    });
                }
            }
        }
        let mut names: Vec<String> = self
            .rules
            .iter()
            .map(|rule| rule.name.to_ascii_lowercase())
            .collect();
        names.sort_unstable();
        if let Some((name, _)) = names.iter().zip(names.iter().skip(1)).find(|(a, b)| a == b) {
            return Err(NsgError::DuplicateName { name: name.clone() });
        }
        Ok(self)
    }

    /// The custom rule of a name, case aside.
    pub fn rule(&self, name: &str) -> Option<&NsgRule> {
        self.rules
            .iter()
            .find(|rule| rule.name.eq_ignore_ascii_case(name))
    }

    /// The group after a rule is put: added, or in place of the one of its name.
    ///
    /// # Errors
    /// [`NsgError::DuplicatePriority`] as ARM would refuse it.
    pub fn with_rule(&self, rule: NsgRule) -> Result<Self, NsgError> {
        let mut group = self.without_rule(&rule.name);
        group.rules.push(rule);
        group.in_order()
    }

    /// The group after a rule is deleted; the same group when there is none.
    #[must_use]
    pub fn without_rule(&self, name: &str) -> Self {
        let mut group = self.clone();
        group
            .rules
            .retain(|rule| !rule.name.eq_ignore_ascii_case(name));
        group
    }

    /// Every rule of a direction in the order they are evaluated.
    pub fn evaluated(&self, direction: Direction) -> impl Iterator<Item = &NsgRule> {
        self.rules
            .iter()
            .chain(&self.default_rules)
            .filter(move |rule| rule.direction == direction)
    }
}

/// The rules every group ends with, in the order of [`Nsg::default_rules`].
pub fn default_rules() -> Vec<NsgRule> {
    use Access::{Allow, Deny};
    use Direction::{Inbound, Outbound};
    [
        (
            "AllowVnetInBound",
            65_000,
            Inbound,
            Allow,
            "VirtualNetwork",
            "VirtualNetwork",
        ),
        (
            "AllowAzureLoadBalancerInBound",
            65_001,
            Inbound,
            Allow,
            "AzureLoadBalancer",
            "*",
        ),
        ("DenyAllInBound", 65_500, Inbound, Deny, "*", "*"),
        (
            "AllowVnetOutBound",
            65_000,
            Outbound,
            Allow,
            "VirtualNetwork",
            "VirtualNetwork",
        ),
        (
            "AllowInternetOutBound",
            65_001,
            Outbound,
            Allow,
            "*",
            "Internet",
        ),
        ("DenyAllOutBound", 65_500, Outbound, Deny, "*", "*"),
    ]
    .into_iter()
    .map(
        |(name, priority, direction, access, source, destination)| NsgRule {
            name: name.to_owned(),
            priority,
            direction,
            access,
            protocol: "*".to_owned(),
            source_prefixes: vec![source.to_owned()],
            source_ports: vec!["*".to_owned()],
            source_groups: Vec::new(),
            destination_prefixes: vec![destination.to_owned()],
            destination_ports: vec!["*".to_owned()],
            destination_groups: Vec::new(),
            description: String::new(),
        },
    )
    .collect()
}
