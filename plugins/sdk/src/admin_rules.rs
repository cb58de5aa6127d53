//! Security admin rules of Azure Virtual Network Manager: they decide before any
//! security group does.

use std::collections::BTreeSet;

use naosu_flow::{
    nsg::{
        ADMIN_RULES_FORBIDDEN, AdminAccess, AdminPolicy, AdminRule, AdminRulesInForce, Direction,
        EFFECTIVE_ADMIN_RULES, TagContext,
    },
    set::Space,
};

use crate::{
    Evidence, NodeNetwork, ObserveError, Observed, PluginError, Query, Reads, flow_error, in_words,
    need::{Need, decide},
    read_json_many, too_complex,
};

/// The security admin rules in force where the nodes are.
#[derive(Clone, Debug, Default)]
pub struct AdminRules {
    in_force: AdminRulesInForce,
    /// Where they were read; nothing where they were not.
    read: Option<Observed<()>>,
}

/// What security admin rules do with what has to pass.
#[derive(Clone, Debug, Default)]
pub struct AdminOutcome {
    /// Rules that certainly stop some of it, each with those packets in words.
    pub blocks: Vec<(AdminRule, String)>,
    /// Rules that let some of it pass without asking any security group.
    pub always_allows: Vec<AdminRule>,
    /// What would have to be known; empty when all is known.
    pub unknown: BTreeSet<String>,
}

impl AdminRules {
    /// Asks each network of the nodes. What cannot be read is not an error: it
    /// takes a permission that a reader does not have.
    pub fn observe(reads: &dyn Reads, network: &NodeNetwork) -> Self {
        let networks = &network.virtual_networks;
        let query = |id: &str| Query::AzureList(format!("{id}/{EFFECTIVE_ADMIN_RULES}"));
        let queries: Vec<Query> = networks.iter().map(|n| query(&n.resource)).collect();
        let answers = read_json_many::<Vec<serde_json::Value>>(reads, &queries);
        let mut read = None;
        let mut told = Vec::new();
        for (network, answer) in networks.iter().zip(answers) {
            let answer = match answer {
                Ok(rules) => {
                    read.get_or_insert_with(|| rules.without_value());
                    Ok(rules.value)
                }
                Err(error) => Err(why_not_read(&error)),
            };
            told.push((network.resource.as_str(), answer));
        }
        Self {
            in_force: AdminRulesInForce::of_networks(told),
            read,
        }
    }

    /// Whether no rule is known to be in force.
    pub fn is_empty(&self) -> bool {
        self.in_force.rules.is_empty()
    }

    /// Whether it is known that none is in force.
    pub fn is_none_in_force(&self) -> bool {
        self.is_empty() && self.in_force.unread.is_none()
    }

    /// Of what the rules are not known, and why; `None` when all is known.
    pub fn unread(&self) -> Option<String> {
        self.in_force.unread.as_ref().map(|unread| {
            format!(
                "the security admin rules of network {} are not known ({})",
                unread.network, unread.reason
            )
        })
    }

    /// Prefixes and service tags that the rules name.
    pub fn named_places(&self) -> impl Iterator<Item = &str> {
        self.in_force.named_places()
    }

    /// The policy of the rules that are known.
    ///
    /// # Errors
    /// [`PluginError::Malformed`] when a rule makes no sense.
    pub fn policy(&self, tags: &TagContext) -> Result<AdminPolicy, PluginError> {
        self.in_force.known_policy(tags).map_err(flow_error)
    }

    /// What the rules do with what has to pass, leaving security groups aside.
    ///
    /// # Errors
    /// When a rule makes no sense, or the exact answer costs too much.
    pub fn judge(
        &self,
        need: &Need,
        direction: Direction,
        tags: &TagContext,
    ) -> Result<AdminOutcome, PluginError> {
        let policy = self.policy(tags)?;
        let mut space = Space::new();
        let required = need.packets(&mut space, direction.into(), tags);
        let required = required.map_err(too_complex)?;
        let decided = decide(&mut space, &policy, required).map_err(too_complex)?;
        let mut outcome = AdminOutcome {
            unknown: decided.unknown,
            always_allows: decided
                .allows
                .iter()
                .filter_map(|allow| policy.rule(allow, direction).cloned())
                .filter(|rule| rule.access == AdminAccess::AlwaysAllow)
                .collect(),
            ..AdminOutcome::default()
        };
        if decided.is_denied {
            for (deciding, packets) in decided.blocks {
                if let Some(rule) = policy.rule(&deciding, direction) {
                    outcome.blocks.push((rule.clone(), packets));
                }
            }
        }
        Ok(outcome)
    }

    /// Evidence from a rule.
    pub fn evidence(&self, rule: &AdminRule, meaning: impl Into<String>) -> Option<Evidence> {
        let read = self.read.as_ref()?;
        Some(read.evidence(format!("value[{}]", rule.name), words(rule), meaning))
    }
}

/// Why, in a few words: all that Azure said is among what could not be read.
fn why_not_read(error: &PluginError) -> String {
    match error {
        PluginError::Observation(ObserveError::Forbidden(_)) => ADMIN_RULES_FORBIDDEN.to_owned(),
        other => in_words(other),
    }
}

/// What can be done about a rule that stops what has to pass: no change of a
/// security group helps.
pub const ADMIN_RULE_REMEDY: &str = "no rule of a security group comes before it; have the owner \
                                     of the network manager change it, or allow this traffic in \
                                     a rule before it";

/// A rule in a sentence.
pub fn admin_rule_words(rule: &AdminRule) -> String {
    let manager = match rule.manager.as_str() {
        "" => "Azure Virtual Network Manager".to_owned(),
        name => format!("network manager {name}"),
    };
    format!(
        "security admin rule {} (priority {}, {}) of {manager}",
        rule.name,
        rule.priority,
        rule.direction.arm()
    )
}

/// A rule on one line.
fn words(rule: &AdminRule) -> String {
    let side = |places: &[String], ports: &[String]| {
        let any = |texts: &[String]| match texts {
            [] => "*".to_owned(),
            texts => texts.join(","),
        };
        format!("{}:{}", any(places), any(ports))
    };
    format!(
        "priority {} {} {} {} from {} to {}",
        rule.priority,
        rule.direction.arm(),
        rule.access.arm(),
        rule.protocol,
        side(&rule.sources, &rule.source_ports),
        side(&rule.destinations, &rule.destination_ports),
    )
}
