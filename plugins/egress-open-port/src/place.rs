//! Where a new rule collection has to stand so that its rule decides.

use std::{collections::BTreeSet, ops::RangeInclusive};

use naosu_plugin::{
    Need, PluginError,
    azure_firewall::{AzureFirewall, Place},
    firewall_error,
    flow::{
        firewall::{CollectionAction, Firewall, FirewallRule, RuleCollection, RuleKind},
        nsg::TagContext,
        policy::DecidingRule,
        set::{AddressSet, Direction, Space},
    },
    stopping, too_complex,
};

/// Numbers that collections can have.
pub const PRIORITIES: RangeInclusive<u16> = 100..=65_000;
/// Where nothing is in the way, numbers are taken in steps of this: it leaves
/// room for rules to come.
const STEP: u32 = 100;
/// Index of the network rules among the kinds of a classic firewall.
const CLASSIC_NETWORK: usize = 1;
/// What the analysis calls the list of addresses that Microsoft keeps.
const THREAT_INTELLIGENCE: &str = "threat intelligence";
/// What the analysis calls the signatures that look at what connections carry.
const INTRUSION_DETECTION: &str = "intrusion detection";

/// What is to be placed.
pub struct Request<'a> {
    /// The rule.
    pub rule: FirewallRule,
    /// What it has to let pass now.
    pub need: Need,
    /// All sources that it names.
    pub sources: AddressSet,
    /// Wanted name of the collection.
    pub name: &'a str,
    /// Wanted priority of the collection.
    pub priority: Option<u16>,
}

/// A place for the rule, proved: the firewall then lets it pass.
pub struct Placement {
    /// ARM id of what is written: the firewall, or a rule collection group.
    pub resource: String,
    /// Name of that group, for people.
    pub home: String,
    /// Free name of the collection.
    pub collection: String,
    /// Free priority of the collection.
    pub priority: u16,
    /// The rule that denied it, where one did.
    pub before: Option<String>,
    /// Whether Microsoft's list of malicious addresses may still deny it.
    pub may_be_listed: bool,
    /// Whether a signature of intrusion detection may still deny it.
    pub may_be_detected: bool,
}

/// The order in which collections of network rules are processed.
type Order = (usize, u32, u32);

fn order(rules: &Firewall, place: Place) -> Option<Order> {
    let group = rules.levels.get(place.level)?.get(place.group)?;
    let collection = group.collections.get(place.collection)?;
    Some((place.level, group.priority, collection.priority))
}

/// Calculates the place.
pub fn place(
    firewall: &AzureFirewall,
    request: &Request<'_>,
    tags: &TagContext,
) -> Result<Placement, PluginError> {
    let tags = firewall.with_ip_groups(tags);
    let now = stops(&firewall.rules, request, &tags, false)?;
    let ever = stops(&firewall.rules, request, &tags, true)?;
    let ordered = |rules: &[DecidingRule]| -> Vec<(Order, String)> {
        let network = rules.iter().filter_map(|rule| {
            let place = firewall.place_of(&rule.rule)?;
            let is_network = firewall.kind_of(place) == Some(RuleKind::Network);
            is_network.then_some(())?;
            Some((order(&firewall.rules, place)?, rule.rule.clone()))
        });
        network.collect()
    };
    let blocking = ordered(&now).into_iter().min();
    // Rules that stop others of the named sources first stay in force.
    let stricter = ordered(&ever)
        .into_iter()
        .filter(|(at, _)| blocking.as_ref().is_none_or(|(first, _)| at < first))
        .max();
    let last = firewall.rules.levels.len().saturating_sub(1);
    if let Some(((level, ..), rule)) = &blocking
        && *level < last
    {
        return Err(PluginError::Infeasible(format!(
            "rule {rule} of the parent policy denies it, and rules of a parent come first: \
             no rule of this firewall's own policy can win; ask the owner of the parent policy to \
             allow it before that rule"
        )));
    }
    let slots = slots(firewall, last, blocking.as_ref(), stricter.as_ref());
    let (slot, priority) = choose(firewall, request, &slots, blocking.as_ref())?;
    let group = firewall
        .rules
        .levels
        .get(last)
        .and_then(|l| l.get(slot.group));
    let taken = group
        .map(|group| group.collections.as_slice())
        .unwrap_or_default();
    let collection = free_name(request.name, taken)?;
    let may_still_stop = prove(
        firewall,
        request,
        &tags,
        (last, slot.group),
        &collection,
        priority,
    )?;
    let (resource, home) = home(firewall, last, slot.group);
    Ok(Placement {
        resource,
        home,
        collection,
        priority: u16::try_from(priority).unwrap_or(u16::MAX),
        before: blocking.map(|(_, rule)| rule),
        may_be_listed: may_still_stop
            .iter()
            .any(|rule| rule == THREAT_INTELLIGENCE),
        may_be_detected: may_still_stop
            .iter()
            .any(|rule| rule == INTRUSION_DETECTION),
    })
}

/// The rules that stop what is needed, or anything that the rule is for.
fn stops(
    rules: &Firewall,
    request: &Request<'_>,
    tags: &TagContext,
    from_all_sources: bool,
) -> Result<Vec<DecidingRule>, PluginError> {
    let policy = rules.policy(tags).map_err(firewall_error)?;
    let mut space = Space::new();
    let direction = Direction::Outbound;
    let packets = if from_all_sources {
        let sources = &request.sources;
        request
            .need
            .packets_from(&mut space, direction, tags, sources)
    } else {
        request.need.packets(&mut space, direction, tags)
    };
    let packets = packets.map_err(too_complex)?;
    stopping(&mut space, &policy, packets).map_err(too_complex)
}

/// Numbers that would do in a group of the firewall's own level.
struct Slot {
    group: usize,
    first: u32,
    last: u32,
    /// Whether the last is limited by a rule that denies.
    is_before_deny: bool,
}

/// The groups that can hold the collection, the best first.
fn slots(
    firewall: &AzureFirewall,
    level: usize,
    blocking: Option<&(Order, String)>,
    stricter: Option<&(Order, String)>,
) -> Vec<Slot> {
    let (minimum, maximum) = (u32::from(*PRIORITIES.start()), u32::from(*PRIORITIES.end()));
    let is_classic = firewall.groups.is_empty();
    let groups = firewall.rules.levels.get(level).map(Vec::as_slice);
    let mut found = Vec::new();
    for (index, group) in groups.unwrap_or_default().iter().enumerate() {
        if is_classic && index != CLASSIC_NETWORK {
            continue;
        }
        let first = match stricter {
            Some(((at, priority, collection), _)) if *at == level => {
                match group.priority.cmp(priority) {
                    std::cmp::Ordering::Less => continue,
                    std::cmp::Ordering::Equal => collection.saturating_add(1),
                    std::cmp::Ordering::Greater => minimum,
                }
            }
            _ => minimum,
        };
        let (last, is_before_deny) = match blocking {
            Some(((_, priority, collection), _)) => match group.priority.cmp(priority) {
                std::cmp::Ordering::Greater => continue,
                std::cmp::Ordering::Equal => (collection.saturating_sub(1), true),
                std::cmp::Ordering::Less => (maximum, false),
            },
            None => (maximum, false),
        };
        if first <= last {
            let has_network = group.collections.iter().any(|collection| {
                let mut rules = collection.rules.iter();
                rules.any(|rule| rule.kind == RuleKind::Network)
            });
            let slot = Slot {
                group: index,
                first,
                last,
                is_before_deny,
            };
            // Near what denies; else where network rules are kept already.
            let rank = (
                blocking.is_none() && !has_network,
                u32::MAX - group.priority,
            );
            found.push((rank, slot));
        }
    }
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, slot)| slot).collect()
}

fn choose<'s>(
    firewall: &AzureFirewall,
    request: &Request<'_>,
    slots: &'s [Slot],
    blocking: Option<&(Order, String)>,
) -> Result<(&'s Slot, u32), PluginError> {
    let level = firewall
        .rules
        .levels
        .last()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let taken = |slot: &Slot| -> BTreeSet<u32> {
        let group = level.get(slot.group);
        let collections = group.map(|group| group.collections.as_slice());
        let collections = collections.unwrap_or_default().iter();
        collections.map(|collection| collection.priority).collect()
    };
    if let Some(wanted) = request.priority.map(u32::from) {
        let fits = |slot: &&Slot| {
            (slot.first..=slot.last).contains(&wanted) && !taken(slot).contains(&wanted)
        };
        return slots.iter().find(fits).map(|slot| (slot, wanted)).ok_or_else(|| {
            let ranges: Vec<String> = slots
                .iter()
                .map(|slot| format!("{} to {}", slot.first, slot.last))
                .collect();
            let name = &firewall.name;
            PluginError::InvalidParameter(format!(
                "collection_priority {wanted} does not do in {name}: it has to be free and within {}",
                if ranges.is_empty() { "nothing".to_owned() } else { ranges.join(" or ") }
            ))
        });
    }
    for slot in slots {
        let taken = taken(slot);
        let latest = || (slot.first..=slot.last).rev().find(|n| !taken.contains(n));
        let number = if slot.is_before_deny {
            latest()
        } else {
            let within = taken
                .iter()
                .filter(|n| (slot.first..=slot.last).contains(*n));
            let after = within.max().map_or(slot.first, |n| n.saturating_add(1));
            let round = after.div_ceil(STEP).saturating_mul(STEP);
            let is_free = round <= slot.last && !taken.contains(&round);
            if is_free { Some(round) } else { latest() }
        };
        if let Some(number) = number {
            return Ok((slot, number));
        }
    }
    Err(no_slot(firewall, blocking))
}

fn no_slot(firewall: &AzureFirewall, blocking: Option<&(Order, String)>) -> PluginError {
    let name = &firewall.name;
    match blocking {
        Some((_, rule)) => PluginError::NoFreePriority(format!(
            "no free place for a collection of {name} comes before {rule}, which denies it; give \
             the collection of that rule a larger priority, then diagnose again"
        )),
        None => PluginError::Infeasible(format!(
            "the policy of {name} has no rule collection group with room for the rule; create one, \
             then diagnose again"
        )),
    }
}

/// A name that no collection of the group has: a number is added where it is taken.
fn free_name(wanted: &str, taken: &[RuleCollection]) -> Result<String, PluginError> {
    let is_free = |name: &String| {
        taken
            .iter()
            .all(|collection| !collection.name.eq_ignore_ascii_case(name))
    };
    let numbered = (2..=10_000).map(|number| format!("{wanted}-{number}"));
    let mut names = std::iter::once(wanted.to_owned()).chain(numbered);
    names.find(is_free).ok_or_else(|| {
        PluginError::InvalidParameter(format!(
            "collection_name: every name like {wanted} is taken; give another"
        ))
    })
}

fn home(firewall: &AzureFirewall, level: usize, group: usize) -> (String, String) {
    match firewall
        .groups
        .get(level)
        .and_then(|groups| groups.get(group))
    {
        Some(written) => {
            let name = firewall.rules.levels.get(level).and_then(|l| l.get(group));
            let name = name.map(|group| group.name.clone()).unwrap_or_default();
            (written.resource.clone(), name)
        }
        None => (firewall.resource.resource.clone(), firewall.name.clone()),
    }
}

/// What of that which no rule overrides may still stop what the rule is for: Microsoft's
/// list, and intrusion detection. An error where something else does.
fn prove(
    firewall: &AzureFirewall,
    request: &Request<'_>,
    tags: &TagContext,
    (level, group): (usize, usize),
    collection: &str,
    priority: u32,
) -> Result<Vec<String>, PluginError> {
    let mut after = firewall.rules.clone();
    let place = after.levels.get_mut(level).and_then(|l| l.get_mut(group));
    if let Some(group) = place {
        group.collections.push(RuleCollection {
            name: collection.to_owned(),
            priority,
            action: CollectionAction::Allow,
            rules: vec![request.rule.clone()],
        });
    }
    let still = stops(&after, request, tags, false)?;
    let comes_first = [THREAT_INTELLIGENCE, INTRUSION_DETECTION];
    match still
        .iter()
        .find(|rule| !comes_first.contains(&rule.rule.as_str()))
    {
        None => Ok(still.into_iter().map(|rule| rule.rule).collect()),
        Some(rule) => Err(PluginError::Infeasible(format!(
            "{} of {} stops it even with a rule that allows it, because it comes first whatever \
             the priorities; change that rule",
            rule.rule, firewall.name
        ))),
    }
}
