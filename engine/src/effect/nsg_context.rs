//! What stands around a security group: its networks, what service tags mean
//! there, and the security admin rules that come before it; all read by the host
//! itself.

use std::collections::{BTreeMap, BTreeSet};

use naosu_flow::nsg::{
    ADMIN_RULES_FORBIDDEN, AdminPolicy, AdminRulesInForce, EFFECTIVE_ADMIN_RULES, Nsg, TagContext,
    VirtualNetworkTag, route_tables,
};
use serde_json::Value;

use super::{State, service_tags, state::arm};
use crate::{
    error::Error,
    model::{ObserveErrorKind, Query},
    plugin::Reads,
};

/// Interfaces are all in the subnets of few networks; so many are asked.
const INTERFACES_ASKED: usize = 4;

/// What the group's rules are judged in.
pub(super) struct Surroundings {
    /// What tags stand for.
    pub tags: TagContext,
    /// The rules of Azure Virtual Network Manager.
    pub admin: AdminPolicy,
}

/// What matters to either group. What cannot be read stays unknown.
pub(super) async fn surroundings(
    state: &State,
    groups: &(Nsg, Nsg),
    reads: &dyn Reads,
) -> Result<Surroundings, Error> {
    let group: Value = state.json()?;
    let filtered = filtered(&group, reads).await;
    let mut context = TagContext::new();
    if let Some(filtered) = &filtered
        && let Some(tag) = virtual_network(filtered, reads).await
    {
        context = context.with_virtual_network_tag(tag);
    }
    let (before, after) = groups;
    let rules = before.rules.iter().chain(&after.rules);
    let prefixes = rules.flat_map(|r| r.source_prefixes.iter().chain(&r.destination_prefixes));
    let mut prefixes: BTreeSet<String> = prefixes.cloned().collect();
    let in_force = admin_rules(filtered.as_ref().map(|filtered| &filtered.networks), reads).await;
    prefixes.extend(in_force.named_places().map(str::to_owned));
    let tags = service_tags::read_into(context, &prefixes, &group, reads).await;
    let admin = in_force.policy(&tags).map_err(|e| state.malformed(&e))?;
    Ok(Surroundings { tags, admin })
}

/// The security admin rules in force on the networks.
async fn admin_rules(networks: Option<&BTreeSet<String>>, reads: &dyn Reads) -> AdminRulesInForce {
    let Some(networks) = networks else {
        let reason = "the networks of the group could not be read";
        return AdminRulesInForce::unread("of the group", reason);
    };
    let mut answers = Vec::new();
    for network in networks {
        let list = Query::AzureList {
            path: format!("{network}/{EFFECTIVE_ADMIN_RULES}"),
        };
        let answer = reads.read(&list).await.answer.clone();
        let rules = answer
            .map_err(|error| match error.kind {
                // All that Azure said is among what could not be read.
                ObserveErrorKind::Forbidden => ADMIN_RULES_FORBIDDEN.to_owned(),
                _ => error.message,
            })
            .and_then(|body| serde_json::from_str(&body).map_err(|error| error.to_string()));
        answers.push((network.as_str(), rules));
    }
    AdminRulesInForce::of_networks(answers)
}

async fn get(resource: &str, reads: &dyn Reads) -> Option<Value> {
    let observation = reads.read(&arm(resource)).await;
    serde_json::from_str(observation.answer.as_ref().ok()?).ok()
}

fn ids<'a>(resource: &'a Value, pointer: &str) -> impl Iterator<Item = &'a str> {
    let list = resource.pointer(pointer).and_then(Value::as_array);
    let items = list.into_iter().flatten();
    items.filter_map(|item| item.get("id").and_then(Value::as_str))
}

/// "…/virtualNetworks/v/subnets/s" without its subnet.
fn network_of(subnet: &str) -> Option<String> {
    let at = subnet.to_ascii_lowercase().rfind("/subnets/")?;
    subnet.get(..at).map(str::to_owned)
}

/// Where a group filters.
struct Filtered {
    /// The networks.
    networks: BTreeSet<String>,
    /// The subnets; `None` when it may be any of the networks'.
    subnets: Option<BTreeSet<String>>,
}

/// Where the group filters; `None` when that cannot be known.
async fn filtered(group: &Value, reads: &dyn Reads) -> Option<Filtered> {
    let of_subnets: BTreeSet<String> = ids(group, "/properties/subnets")
        .map(str::to_owned)
        .collect();
    let interfaces: Vec<&str> = ids(group, "/properties/networkInterfaces").collect();
    let mut subnets = of_subnets.clone();
    if of_subnets.is_empty() {
        for interface in interfaces.iter().take(INTERFACES_ASKED) {
            let interface = get(interface, reads).await?;
            for configuration in items(&interface, "/properties/ipConfigurations") {
                let subnet = configuration.pointer("/properties/subnet/id");
                subnets.extend(subnet.and_then(Value::as_str).map(str::to_owned));
            }
        }
    }
    let asked = if of_subnets.is_empty() {
        INTERFACES_ASKED
    } else {
        0
    };
    let networks: BTreeSet<String> = subnets.iter().filter_map(|id| network_of(id)).collect();
    (!networks.is_empty()).then(|| Filtered {
        networks,
        // Interfaces that were not asked may be in other subnets.
        subnets: (interfaces.len() <= asked).then_some(subnets),
    })
}

/// What `VirtualNetwork` stands for where the group filters; `None` when a network
/// cannot be read.
async fn virtual_network(filtered: &Filtered, reads: &dyn Reads) -> Option<VirtualNetworkTag> {
    let mut networks = Vec::new();
    for network in &filtered.networks {
        networks.push(get(network, reads).await?);
    }
    let subnets = filtered.subnets.as_ref();
    let mut tables = BTreeMap::new();
    for id in route_tables(&networks, subnets) {
        let answer = reads.read(&arm(&id)).await.answer.clone();
        let table = answer
            .map_err(|error| error.message)
            .and_then(|body| serde_json::from_str(&body).map_err(|error| error.to_string()));
        tables.insert(id.to_ascii_lowercase(), table);
    }
    Some(VirtualNetworkTag::of_networks(&networks, subnets, &tables))
}

fn items<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    let list = value.pointer(pointer).and_then(Value::as_array);
    list.into_iter().flatten()
}
