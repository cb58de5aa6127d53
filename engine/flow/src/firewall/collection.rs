//! The parts of a firewall's rules.

use std::collections::BTreeSet;

use super::error::FirewallError;
use super::intrusion::IntrusionDetection;

/// What kind of rule it is; kinds are processed one after the other, whatever
/// the priorities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RuleKind {
    /// Translates destinations.
    Nat,
    /// Looks at addresses, protocols and ports.
    Network,
    /// Looks at host names, too.
    Application,
}

/// What a collection does with what its rules match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CollectionAction {
    /// Lets it pass.
    Allow,
    /// Stops it.
    Deny,
    /// Translates its destination.
    Dnat,
}

/// One rule, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirewallRule {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: RuleKind,
    /// `TCP`, `UDP`, `ICMP`, `Any`; for application rules always TCP.
    pub protocols: Vec<String>,
    /// Addresses, prefixes, ranges, service tags, `*`.
    pub sources: Vec<String>,
    /// ARM ids of IP groups.
    pub source_ip_groups: Vec<String>,
    /// Addresses, prefixes, ranges, service tags, `*`.
    pub destinations: Vec<String>,
    /// ARM ids of IP groups.
    pub destination_ip_groups: Vec<String>,
    /// Host names, and for application rules their tags and categories.
    pub destination_names: Vec<String>,
    /// Ports and ranges, `*`.
    pub destination_ports: Vec<String>,
}

/// Rules that share an action and a priority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleCollection {
    /// Its name.
    pub name: String,
    /// 100–65000; smaller comes first.
    pub priority: u32,
    /// What it does.
    pub action: CollectionAction,
    /// Its rules, in order.
    pub rules: Vec<FirewallRule>,
}

/// Collections of a firewall policy that share a priority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleCollectionGroup {
    /// Its name.
    pub name: String,
    /// 100–65000; smaller comes first.
    pub priority: u32,
    /// Its collections.
    pub collections: Vec<RuleCollection>,
}

/// Rules of a firewall that exist and could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadRules {
    /// What holds them: "rule collection group g of policy p".
    pub holder: String,
    /// Why they could not be read.
    pub reason: String,
}

/// All rules of a firewall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firewall {
    /// The name of the firewall or of the policy that governs it.
    pub name: String,
    /// The groups of the policy and of its parents, the topmost parent first.
    /// A classic firewall has one level with one group for each kind.
    pub levels: Vec<Vec<RuleCollectionGroup>>,
    /// Whether threat intelligence may deny traffic before any rule.
    pub threat_intelligence_denies: bool,
    /// The intrusion detection of the policies that have any.
    pub intrusion_detection: Vec<IntrusionDetection>,
    /// Rules that could not be read; they may allow or deny anything.
    pub unread: Vec<UnreadRules>,
}

impl Firewall {
    /// The ARM ids of the IP groups that rules name, each once.
    pub fn ip_groups(&self) -> BTreeSet<&str> {
        self.rules()
            .flat_map(|rule| {
                rule.source_ip_groups
                    .iter()
                    .chain(&rule.destination_ip_groups)
            })
            .map(String::as_str)
            .collect()
    }

    /// The addresses, prefixes and tags that rules name, each once.
    pub fn addresses(&self) -> BTreeSet<&str> {
        self.rules()
            .flat_map(|rule| rule.sources.iter().chain(&rule.destinations))
            .map(String::as_str)
            .collect()
    }

    fn rules(&self) -> impl Iterator<Item = &FirewallRule> {
        let groups = self.levels.iter().flatten();
        let collections = groups.flat_map(|group| &group.collections);
        let bypasses = self.intrusion_detection.iter();
        let bypasses = bypasses.flat_map(|detection| &detection.bypasses);
        collections
            .flat_map(|collection| &collection.rules)
            .chain(bypasses)
    }

    /// The collections in the order they are processed; kinds are sorted apart by the
    /// caller.
    pub(super) fn in_order(&self) -> Result<Vec<Ordered<'_>>, FirewallError> {
        let mut ordered = Vec::new();
        for (index, level) in self.levels.iter().enumerate() {
            let is_own = index + 1 == self.levels.len();
            let mut groups: Vec<&RuleCollectionGroup> = level.iter().collect();
            groups.sort_by_key(|group| group.priority);
            refuse_equal(&groups, |group| (group.priority, &group.name))?;
            for group in groups {
                let mut collections: Vec<&RuleCollection> = group.collections.iter().collect();
                collections.sort_by_key(|collection| collection.priority);
                refuse_equal(&collections, |collection| {
                    (collection.priority, &collection.name)
                })?;
                ordered.extend(collections.into_iter().map(|collection| Ordered {
                    is_own,
                    group,
                    collection,
                }));
            }
        }
        Ok(ordered)
    }
}

/// A collection in its place.
pub(super) struct Ordered<'a> {
    /// Whether it is of the firewall's own policy, and not of a parent.
    pub(super) is_own: bool,
    /// Its group.
    pub(super) group: &'a RuleCollectionGroup,
    /// The collection.
    pub(super) collection: &'a RuleCollection,
}

fn refuse_equal<T>(sorted: &[T], key: impl Fn(&T) -> (u32, &String)) -> Result<(), FirewallError> {
    for (first, second) in sorted.iter().zip(sorted.iter().skip(1)) {
        let ((priority, first), (other, second)) = (key(first), key(second));
        if priority == other {
            return Err(FirewallError::DuplicatePriority {
                first: first.clone(),
                second: second.clone(),
                priority,
            });
        }
    }
    Ok(())
}
