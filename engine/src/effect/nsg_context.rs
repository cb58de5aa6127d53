//! What stands around a security group: its networks, what service tags mean
//! there, and the security admin rules that come before it; all read by the host
//! itself.

use std::collections::BTreeSet;

use ipnet::IpNet;
use naosu_flow::nsg::{
    ADMIN_RULES_FORBIDDEN, AdminPolicy, AdminRulesInForce, EFFECTIVE_ADMIN_RULES, Nsg, TagContext,
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
    let networks = networks(&group, reads).await;
    let mut context = TagContext::new();
    if let Some(networks) = &networks
        && let Some(prefixes) = network_prefixes(networks, reads).await
    {
        context = context.with_virtual_network(&prefixes);
    }
    let (before, after) = groups;
    let rules = before.rules.iter().chain(&after.rules);
    let prefixes = rules.flat_map(|r| r.source_prefixes.iter().chain(&r.destination_prefixes));
    let mut prefixes: BTreeSet<String> = prefixes.cloned().collect();
    let in_force = admin_rules(networks.as_ref(), reads).await;
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

/// The networks that the group filters; `None` when they cannot be known.
async fn networks(group: &Value, reads: &dyn Reads) -> Option<BTreeSet<String>> {
    let mut networks: BTreeSet<String> = ids(group, "/properties/subnets")
        .filter_map(network_of)
        .collect();
    if networks.is_empty() {
        let interfaces = ids(group, "/properties/networkInterfaces");
        for interface in interfaces.take(INTERFACES_ASKED) {
            let interface = get(interface, reads).await?;
            let configurations = interface.pointer("/properties/ipConfigurations");
            for configuration in configurations
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                let subnet = configuration.pointer("/properties/subnet/id");
                networks.extend(subnet.and_then(Value::as_str).and_then(network_of));
            }
        }
    }
    (!networks.is_empty()).then_some(networks)
}

/// Every prefix of the networks, and of their peers; `None` when some cannot be
/// known.
async fn network_prefixes(networks: &BTreeSet<String>, reads: &dyn Reads) -> Option<Vec<IpNet>> {
    let mut prefixes = Vec::new();
    for network in networks {
        let network = get(network, reads).await?;
        if reaches_on_premises(&network) {
            return None;
        }
        extend(&mut prefixes, network.pointer("/properties/addressSpace")?)?;
        for peering in items(&network, "/properties/virtualNetworkPeerings") {
            let properties = peering.get("properties")?;
            let space = properties
                .get("remoteVirtualNetworkAddressSpace")
                .or_else(|| properties.get("remoteAddressSpace"))?;
            extend(&mut prefixes, space)?;
        }
    }
    Some(prefixes)
}

fn items<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    let list = value.pointer(pointer).and_then(Value::as_array);
    list.into_iter().flatten()
}

/// Prefixes learned through a gateway belong to the tag, too, and no read
/// gives them.
fn reaches_on_premises(network: &Value) -> bool {
    let gateway = |subnet: &Value| {
        let name = subnet.get("name").and_then(Value::as_str);
        name.is_some_and(|n| n.eq_ignore_ascii_case("GatewaySubnet"))
    };
    let remote = |peering: &Value| {
        let uses = peering.pointer("/properties/useRemoteGateways");
        uses.and_then(Value::as_bool) == Some(true)
    };
    items(network, "/properties/subnets").any(gateway)
        || items(network, "/properties/virtualNetworkPeerings").any(remote)
}

fn extend(prefixes: &mut Vec<IpNet>, space: &Value) -> Option<()> {
    for prefix in items(space, "/addressPrefixes") {
        prefixes.push(prefix.as_str()?.parse().ok()?);
    }
    Some(())
}
