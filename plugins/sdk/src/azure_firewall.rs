//! The Azure Firewall behind a next hop, with the policies that govern it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use naosu_flow::{
    field::parse_prefix,
    firewall::{Firewall, RuleKind},
    nsg::TagContext,
    set::{AddressSet, Direction, Space},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    Evidence, NodeNetwork, Observed, PluginError, Query, Reads, ResourceId,
    arm::{AzureFirewallResource, FirewallPolicy, IpGroup},
    error::in_words,
    firewall_error,
    need::{Decided, Need, decide},
    read_json, read_json_many, too_complex,
};

/// A policy has at most one parent; more is a circle.
const POLICY_LEVELS: usize = 4;

/// An Azure Firewall and all rules that it follows.
#[derive(Clone, Debug)]
pub struct AzureFirewall {
    /// The firewall.
    pub resource: Observed<Value>,
    /// Its name.
    pub name: String,
    /// Its rules; groups of policies are named `<policy>/<group>`.
    pub rules: Firewall,
    /// Where the groups of [`Self::rules`] are written, level by level; empty
    /// for a classic firewall.
    pub groups: Vec<Vec<Observed<Value>>>,
    /// Addresses of the IP groups that its rules name; those that could not be
    /// read are not among them.
    ip_groups: Vec<(String, AddressSet)>,
}

/// A rule's place in a firewall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Index of the level: parents come first.
    pub level: usize,
    /// Index of the group in it.
    pub group: usize,
    /// Index of the collection in the group.
    pub collection: usize,
    /// Index of the rule in the collection.
    pub rule: usize,
}

/// Looks for the Azure Firewall that has this private address: in the resource
/// groups of the networks, and their peers, which hold the address. A firewall
/// always lies in the resource group of its network.
///
/// # Errors
/// In words, why it could not be looked for, or what it does not make sense of.
pub fn find(
    reads: &dyn Reads,
    network: &NodeNetwork,
    address: IpAddr,
) -> Result<Option<AzureFirewall>, String> {
    let mut networks: BTreeMap<String, ResourceId> = BTreeMap::new();
    for own in &network.virtual_networks {
        let properties = &own.value.properties;
        if holds(&properties.address_space.address_prefixes, address) {
            let id = ResourceId(own.resource.clone());
            networks.insert(id.key(), id);
        }
        for peering in &properties.virtual_network_peerings {
            let peering = &peering.properties;
            let remote = peering.remote_virtual_network.as_ref();
            if let Some(remote) = remote
                && holds(&peering.remote_address_space.address_prefixes, address)
            {
                networks.insert(remote.id.key(), remote.id.clone());
            }
        }
    }
    let mut lists: BTreeSet<String> = BTreeSet::new();
    for id in networks.values() {
        let (Some(subscription), Some(group)) =
            (id.after("subscriptions"), id.after("resourceGroups"))
        else {
            continue;
        };
        lists.insert(format!(
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Network/azureFirewalls"
        ));
    }
    let queries: Vec<Query> = lists.into_iter().map(Query::AzureList).collect();
    for list in read_json_many::<Vec<Value>>(reads, &queries) {
        let list = list.map_err(|e| in_words(&e))?;
        for value in list.value {
            let typed: AzureFirewallResource = typed(&value).map_err(|e| in_words(&e))?;
            let has_it = typed
                .properties
                .ip_configurations
                .iter()
                .any(|configuration| {
                    configuration.properties.private_ip_address.parse() == Ok(address)
                });
            if has_it {
                let resource = Observed {
                    value,
                    resource: typed.id.0.clone(),
                    observed_at: list.observed_at,
                };
                let firewall = AzureFirewall::read(reads, resource, &typed);
                return firewall
                    .map(Some)
                    .map_err(|e| format!("{} could not be judged: {}", typed.name, in_words(&e)));
            }
        }
    }
    Ok(None)
}

fn holds(prefixes: &[String], address: IpAddr) -> bool {
    let mut prefixes = prefixes.iter().filter_map(|text| parse_prefix(text));
    prefixes.any(|prefix| prefix.contains(&address))
}

fn typed<T: DeserializeOwned>(value: &Value) -> Result<T, PluginError> {
    T::deserialize(value).map_err(|e| PluginError::Malformed(e.to_string()))
}

impl AzureFirewall {
    fn read(
        reads: &dyn Reads,
        resource: Observed<Value>,
        typed: &AzureFirewallResource,
    ) -> Result<Self, PluginError> {
        let (rules, groups) = match &typed.properties.firewall_policy {
            None => {
                let rules = Firewall::from_classic(&resource.value).map_err(firewall_error)?;
                (rules, Vec::new())
            }
            Some(policy) => read_policies(reads, &policy.id)?,
        };
        Ok(Self {
            ip_groups: read_ip_groups(reads, &rules)?,
            name: typed.name.clone(),
            rules,
            groups,
            resource,
        })
    }

    /// The prefixes, ranges and tags that its rules name.
    pub fn named_places(&self) -> impl Iterator<Item = &str> {
        self.rules.addresses().into_iter()
    }

    /// Tags with the addresses of its IP groups.
    #[must_use]
    pub fn with_ip_groups(&self, tags: &TagContext) -> TagContext {
        let groups = self.ip_groups.iter();
        groups.fold(tags.clone(), |tags, (id, addresses)| {
            tags.with_ip_group(id, addresses.clone())
        })
    }

    /// What it does with packets that have to pass.
    ///
    /// # Errors
    /// When a rule makes no sense, or the exact answer costs too much.
    pub fn judge(&self, need: &Need, tags: &TagContext) -> Result<Decided, PluginError> {
        judge(&self.rules, need, &self.with_ip_groups(tags))
    }

    /// Where the rule is that the analysis names so; `None` for what is no rule,
    /// such as the default.
    pub fn place_of(&self, name: &str) -> Option<Place> {
        let mut places = self.places();
        places.find(|place| self.name_of(*place).as_deref() == Some(name))
    }

    fn places(&self) -> impl Iterator<Item = Place> {
        let levels = self.rules.levels.iter().enumerate();
        levels.flat_map(|(level, groups)| {
            groups.iter().enumerate().flat_map(move |(group, g)| {
                let collections = g.collections.iter().enumerate();
                collections.flat_map(move |(collection, c)| {
                    (0..c.rules.len()).map(move |rule| Place {
                        level,
                        group,
                        collection,
                        rule,
                    })
                })
            })
        })
    }

    /// The name of a rule as the analysis has it.
    pub fn name_of(&self, place: Place) -> Option<String> {
        let group = self.rules.levels.get(place.level)?.get(place.group)?;
        let collection = group.collections.get(place.collection)?;
        let rule = collection.rules.get(place.rule)?;
        Some(format!("{}/{}/{}", group.name, collection.name, rule.name))
    }

    /// The kind of the rule at a place.
    pub fn kind_of(&self, place: Place) -> Option<RuleKind> {
        let group = self.rules.levels.get(place.level)?.get(place.group)?;
        let collection = group.collections.get(place.collection)?;
        Some(collection.rules.get(place.rule)?.kind)
    }

    /// Evidence from a rule that the analysis names so, or from there being none.
    pub fn evidence(&self, name: &str, meaning: String) -> Evidence {
        let found = self.place_of(name).and_then(|place| {
            let group = self.rules.levels.get(place.level)?.get(place.group)?;
            let collection = group.collections.get(place.collection)?;
            let rule = collection.rules.get(place.rule)?;
            let value = format!(
                "{:?} priority {}: {} from {} to {} port {}",
                collection.action,
                collection.priority,
                rule.protocols.join(","),
                join(&rule.sources, &rule.source_ip_groups),
                join(
                    &rule.destinations,
                    &[&rule.destination_ip_groups[..], &rule.destination_names[..]].concat()
                ),
                rule.destination_ports.join(","),
            );
            let inside = |list: &str| format!("properties.{list}[{}]", collection.name);
            Some(
                match self
                    .groups
                    .get(place.level)
                    .and_then(|g| g.get(place.group))
                {
                    Some(written) => {
                        let field = format!("{}.rules[{}]", inside("ruleCollections"), rule.name);
                        written.evidence(field, value, meaning.clone())
                    }
                    None => {
                        let field =
                            format!("{}.properties.rules[{}]", inside(&group.name), rule.name);
                        self.resource.evidence(field, value, meaning.clone())
                    }
                },
            )
        });
        found.unwrap_or_else(|| {
            let field = if self.groups.is_empty() {
                "properties.networkRuleCollections"
            } else {
                "properties.firewallPolicy.id"
            };
            self.resource.evidence(field, name, meaning)
        })
    }
}

/// What rules do with packets that have to pass.
///
/// # Errors
/// When a rule makes no sense, or the exact answer costs too much.
pub fn judge(rules: &Firewall, need: &Need, tags: &TagContext) -> Result<Decided, PluginError> {
    let policy = rules.policy(tags).map_err(firewall_error)?;
    let mut space = Space::new();
    let required = need.packets(&mut space, Direction::Outbound, tags);
    let required = required.map_err(too_complex)?;
    decide(&mut space, &policy, required).map_err(too_complex)
}

fn join(some: &[String], others: &[String]) -> String {
    let all: Vec<&str> = some.iter().chain(others).map(String::as_str).collect();
    all.join(",")
}

type PolicyRules = (Firewall, Vec<Vec<Observed<Value>>>);

/// A policy with its parents, the topmost first.
fn read_policies(reads: &dyn Reads, id: &ResourceId) -> Result<PolicyRules, PluginError> {
    let mut policies: Vec<(Observed<Value>, Vec<Observed<Value>>)> = Vec::new();
    let mut next = Some(id.clone());
    while let Some(id) = next {
        if policies.len() >= POLICY_LEVELS {
            return Err(PluginError::Malformed(format!(
                "{id}: more than {POLICY_LEVELS} policies are each other's parents"
            )));
        }
        let policy: Observed<Value> = read_json(reads, &Query::AzureGet(id.0.clone()))?;
        let list = Query::AzureList(format!("{id}/ruleCollectionGroups"));
        let groups: Observed<Vec<Value>> = read_json(reads, &list)?;
        let groups = groups.value.into_iter().map(|value| {
            let name = value
                .get("name")
                .and_then(Value::as_str)
                .unwrap_or_default();
            Observed {
                resource: format!("{id}/ruleCollectionGroups/{name}"),
                observed_at: groups.observed_at,
                value,
            }
        });
        let groups: Vec<Observed<Value>> = groups.collect();
        let parent: FirewallPolicy = typed(&policy.value)?;
        next = parent.properties.base_policy.map(|parent| parent.id);
        policies.push((policy, groups));
    }
    policies.reverse();
    let bodies: Vec<(Value, Vec<Value>)> = policies
        .iter()
        .map(|(policy, groups)| {
            let groups = groups.iter().map(|group| group.value.clone()).collect();
            (policy.value.clone(), groups)
        })
        .collect();
    let borrowed: Vec<(&Value, &[Value])> = bodies
        .iter()
        .map(|(policy, groups)| (policy, groups.as_slice()))
        .collect();
    let mut rules = Firewall::from_policy_chain(&borrowed).map_err(firewall_error)?;
    // A parent's groups often have the names of the child's.
    for (level, (policy, _)) in rules.levels.iter_mut().zip(&policies) {
        let name = policy.value.get("name").and_then(Value::as_str);
        for group in level {
            group.name = format!("{}/{}", name.unwrap_or_default(), group.name);
        }
    }
    let groups = policies.into_iter().map(|(_, groups)| groups).collect();
    Ok((rules, groups))
}

/// The IP groups that rules name. Those that cannot be read stay unknown.
fn read_ip_groups(
    reads: &dyn Reads,
    rules: &Firewall,
) -> Result<Vec<(String, AddressSet)>, PluginError> {
    let named = rules.ip_groups();
    let queries: Vec<Query> = named
        .iter()
        .map(|id| Query::AzureGet((*id).to_owned()))
        .collect();
    let mut groups = Vec::new();
    for (id, read) in named
        .into_iter()
        .zip(read_json_many::<IpGroup>(reads, &queries))
    {
        match read {
            Ok(read) => {
                let addresses = &read.value.properties.ip_addresses;
                groups.push((id.to_owned(), addresses_of(&read.resource, addresses)?));
            }
            Err(PluginError::Observation(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(groups)
}

fn addresses_of(resource: &str, texts: &[String]) -> Result<AddressSet, PluginError> {
    let mut sets = Vec::new();
    for text in texts {
        let set = match text.split_once('-') {
            Some((first, last)) => match (first.trim().parse(), last.trim().parse()) {
                (Ok(first), Ok(last)) => Some(AddressSet::range(first, last)),
                _ => None,
            },
            None => {
                let host = || text.parse::<IpAddr>().ok().map(IpNet::from);
                let prefix = parse_prefix(text).or_else(host);
                prefix.map(AddressSet::prefix)
            }
        };
        sets.push(set.ok_or_else(|| {
            PluginError::Malformed(format!(
                "{resource}: {text:?} is no address, prefix or range"
            ))
        })?);
    }
    Ok(AddressSet::union_all(&sets))
}
