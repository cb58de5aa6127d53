//! What the service tags of a security group stand for, from what the host
//! reads itself.

use std::collections::BTreeSet;

use ipnet::IpNet;
use naosu_flow::nsg::{Nsg, TagContext};
use serde_json::Value;

use super::{State, state::arm};
use crate::{error::Error, plugin::Reads};

/// Interfaces are all in the subnets of few networks; so many are asked.
const INTERFACES_ASKED: usize = 4;

/// Tags that follow from the virtual network, or need nothing.
const BUILT_IN: [&str; 4] = ["*", "virtualnetwork", "internet", "azureloadbalancer"];

/// The tags that matter to either group. What cannot be read stays unknown.
pub(super) async fn tags(
    state: &State,
    groups: &(Nsg, Nsg),
    reads: &dyn Reads,
) -> Result<TagContext, Error> {
    let group: Value = state.json()?;
    let mut context = TagContext::new();
    if let Some(prefixes) = network_prefixes(&group, reads).await {
        context = context.with_virtual_network(&prefixes);
    }
    if let Some(list) = service_tags(&group, groups, reads).await {
        context = context
            .with_service_tags(&list)
            .map_err(|e| state.malformed(&e))?;
    }
    Ok(context)
}

async fn get(resource: &str, reads: &dyn Reads) -> Option<Value> {
    let body = reads.read(&arm(resource)).await.answer.ok()?;
    serde_json::from_str(&body).ok()
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

/// Every prefix of the networks that the group filters, and of their peers;
/// `None` when some cannot be known.
async fn network_prefixes(group: &Value, reads: &dyn Reads) -> Option<Vec<IpNet>> {
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
    if networks.is_empty() {
        return None;
    }
    let mut prefixes = Vec::new();
    for network in networks {
        let network = get(&network, reads).await?;
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

/// The published tags of the region, when a rule uses one of them.
async fn service_tags(
    group: &Value,
    (before, after): &(Nsg, Nsg),
    reads: &dyn Reads,
) -> Option<Value> {
    let is_published = |prefix: &String| {
        let prefix = prefix.to_ascii_lowercase();
        prefix.starts_with(|c: char| c.is_ascii_alphabetic())
            && !prefix.contains([':', '/'])
            && !BUILT_IN.contains(&prefix.as_str())
    };
    let rules = before.rules.iter().chain(&after.rules);
    let uses = rules
        .flat_map(|r| r.source_prefixes.iter().chain(&r.destination_prefixes))
        .any(is_published);
    if !uses {
        return None;
    }
    let location = group.get("location").and_then(Value::as_str)?;
    let subscription = group.get("id").and_then(Value::as_str)?.split('/').nth(2)?;
    let list = get(
        &format!(
            "/subscriptions/{subscription}/providers/Microsoft.Network/locations/{location}/serviceTags"
        ),
        reads,
    )
    .await?;
    list.get("values").is_some().then_some(list)
}
