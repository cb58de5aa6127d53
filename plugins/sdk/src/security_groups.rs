//! Security groups that packets pass, and what they do with them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use naosu_flow::{
    nsg::{AdminPolicy, Direction, Nsg, NsgRule, TagContext},
    policy::{DecidingRule, Policy, RulePolicy},
    set::{FlowBox, Space},
};

use crate::{
    Evidence, NodeInterface, NodeNetwork, Observed, PluginError, Query, Reads, ResourceId,
    flow_error,
    need::{Decided, Need, decide},
    read_json_many, too_complex,
};

/// One direction of a security group, and what has to pass it.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// The group.
    pub group: Arc<Observed<Nsg>>,
    /// The direction.
    pub direction: Direction,
    /// What has to pass.
    pub need: Need,
    /// Further sources that may come to need the same.
    pub other_sources: BTreeSet<IpAddr>,
}

/// A rule of a group, and the packets of a need that it stops, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockingRule {
    /// The rule.
    pub rule: NsgRule,
    /// The packets.
    pub packets: String,
}

/// What a group does with what has to pass.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Rules that certainly stop some of it.
    pub blocks: Vec<BlockingRule>,
    /// Rules that let some of it pass.
    pub allows: Vec<NsgRule>,
    /// What would have to be known; empty when all is known.
    pub unknown: BTreeSet<String>,
}

impl Checkpoint {
    /// The packets as boxes; `None` where a tag's addresses are not known.
    pub fn flows(&self, tags: &TagContext) -> Option<Vec<FlowBox>> {
        self.need.flows(self.direction.into(), tags)
    }

    /// What the group does with what has to pass and is left to it by the
    /// security admin rules.
    ///
    /// # Errors
    /// When a rule makes no sense, or the exact answer costs too much.
    pub fn judge(&self, tags: &TagContext, admin: &AdminPolicy) -> Result<Outcome, PluginError> {
        let group = self.group.value.policy(tags).map_err(flow_error)?;
        let policy = admin.before(&group);
        let mut space = Space::new();
        let required = self.need.packets(&mut space, self.direction.into(), tags);
        let required = required.map_err(too_complex)?;
        let decided: Decided = decide(&mut space, &policy, required).map_err(too_complex)?;
        let mut outcome = Outcome {
            allows: decided
                .allows
                .iter()
                .filter_map(|rule| self.rule_of(&group, rule).cloned())
                .collect(),
            unknown: decided.unknown,
            ..Outcome::default()
        };
        if decided.is_denied {
            for (deciding, packets) in decided.blocks {
                if let Some(rule) = self.rule_of(&group, &deciding).cloned() {
                    outcome.blocks.push(BlockingRule { rule, packets });
                }
            }
        }
        Ok(outcome)
    }

    /// The group's rule, if it is one of the group's that decides.
    fn rule_of(&self, group: &RulePolicy, deciding: &DecidingRule) -> Option<&NsgRule> {
        let mut rules = self.group.value.evaluated(self.direction);
        let is_own = deciding.policy == group.name();
        rules.find(|rule| is_own && rule.name == deciding.rule)
    }

    /// Evidence from a rule of the group.
    pub fn evidence(&self, rule: &NsgRule, meaning: String) -> Evidence {
        let own = &self.group.value.rules;
        let list = if own.iter().any(|own| own.name == rule.name) {
            "securityRules"
        } else {
            "defaultSecurityRules"
        };
        let field = format!("properties.{list}[{}]", rule.name);
        self.group.evidence(field, rule_words(rule), meaning)
    }

    /// Whether a resource group holds it, case aside.
    pub fn is_in_group(&self, resource_group: &str) -> bool {
        ResourceId(self.group.resource.clone()).is_in_group(resource_group)
    }
}

/// A rule on one line.
pub fn rule_words(rule: &NsgRule) -> String {
    let side = |prefixes: &[String], groups: &[String], ports: &[String]| {
        let places: Vec<&str> = prefixes.iter().chain(groups).map(String::as_str).collect();
        format!("{}:{}", places.join(","), ports.join(","))
    };
    format!(
        "priority {} {} {} {} from {} to {}",
        rule.priority,
        rule.direction.arm(),
        rule.access.arm(),
        rule.protocol,
        side(
            &rule.source_prefixes,
            &rule.source_groups,
            &rule.source_ports
        ),
        side(
            &rule.destination_prefixes,
            &rule.destination_groups,
            &rule.destination_ports
        ),
    )
}

/// The group on the subnet of an interface and the one on the interface itself.
pub fn groups_of(network: &NodeNetwork, interface: &NodeInterface) -> Vec<ResourceId> {
    let subnet = network.subnet_of(interface);
    let of_subnet = subnet.and_then(|s| s.value.properties.network_security_group.as_ref());
    let of_subnet = of_subnet.map(|group| group.id.clone());
    of_subnet
        .into_iter()
        .chain(interface.security_group.clone())
        .collect()
}

/// Groups that were read, each once: one of a thousand rules takes longer to read
/// than to judge.
pub struct Groups<'a> {
    reads: &'a dyn Reads,
    known: BTreeMap<String, Arc<Observed<Nsg>>>,
}

impl<'a> Groups<'a> {
    /// None yet.
    pub fn new(reads: &'a dyn Reads) -> Self {
        Self {
            reads,
            known: BTreeMap::new(),
        }
    }

    /// These groups, by the key of their id.
    ///
    /// # Errors
    /// When one of them cannot be read or makes no sense.
    pub fn read<'i>(
        &mut self,
        ids: impl IntoIterator<Item = &'i ResourceId>,
    ) -> Result<BTreeMap<String, Arc<Observed<Nsg>>>, PluginError> {
        let ids: BTreeMap<String, &ResourceId> = ids.into_iter().map(|id| (id.key(), id)).collect();
        let new: Vec<&String> = ids
            .keys()
            .filter(|key| !self.known.contains_key(*key))
            .collect();
        let queries: Vec<Query> = new
            .iter()
            .filter_map(|key| Some(Query::AzureGet(ids.get(*key)?.0.clone())))
            .collect();
        for (key, answer) in new.into_iter().zip(read_json_many(self.reads, &queries)) {
            let read: Observed<serde_json::Value> = answer?;
            let group = Observed {
                value: Nsg::from_arm(&read.value).map_err(flow_error)?,
                resource: read.resource,
                observed_at: read.observed_at,
            };
            self.known.insert(key.clone(), Arc::new(group));
        }
        let known = ids.into_keys().filter_map(|key| {
            let group = Arc::clone(self.known.get(&key)?);
            Some((key, group))
        });
        Ok(known.collect())
    }
}

/// The prefixes, ranges and tags that rules of these checkpoints name.
pub fn named_places(checkpoints: &[Checkpoint]) -> impl Iterator<Item = &str> {
    checkpoints.iter().flat_map(|checkpoint| {
        let rules = checkpoint.group.value.evaluated(checkpoint.direction);
        rules.flat_map(|rule| {
            let places = rule
                .source_prefixes
                .iter()
                .chain(&rule.destination_prefixes);
            places.map(String::as_str)
        })
    })
}

/// Adds the nodes that are members of application security groups which the
/// rules name. Others do not matter: the packets in question are those of nodes.
#[must_use]
pub fn with_application_groups(
    mut tags: TagContext,
    network: &NodeNetwork,
    checkpoints: &[Checkpoint],
) -> TagContext {
    let named = checkpoints.iter().flat_map(|checkpoint| {
        let rules = checkpoint.group.value.evaluated(checkpoint.direction);
        rules.flat_map(|rule| rule.source_groups.iter().chain(&rule.destination_groups))
    });
    let named: BTreeSet<&String> = named.collect();
    for id in named {
        let wanted = ResourceId(id.clone());
        let members = network.interfaces.iter();
        let members = members
            .filter(|interface| interface.application_groups.contains(&wanted))
            .map(|interface| interface.address);
        tags = tags.with_group(id, members);
    }
    tags
}
