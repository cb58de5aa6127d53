//! What service tags stand for, as far as Azure tells.

use std::collections::{BTreeMap, BTreeSet};

use naosu_flow::nsg::{Resolved, Side, TagContext, VirtualNetworkTag, route_tables};
use serde_json::Value;

use crate::{
    NodeNetwork, PluginError, Query, Reads, arm::ManagedCluster, error::in_words, read_json,
    read_json_many,
};

/// The tags that follow from the network and, where one of `named` needs it,
/// the list of the region, which is large. Prefixes among `named` do no harm.
///
/// # Errors
/// [`PluginError::Malformed`] for what makes no sense. A list that cannot be
/// read leaves its tags unknown, which says so itself.
pub fn observe_tags<'a>(
    reads: &dyn Reads,
    cluster: &ManagedCluster,
    network: &NodeNetwork,
    named: impl IntoIterator<Item = &'a str>,
) -> Result<TagContext, PluginError> {
    let mut tags = TagContext::new();
    if !network.network_resources.is_empty() {
        tags = tags.with_virtual_network_tag(virtual_network(reads, network));
    }
    let is_unknown = |tag: &str| matches!(tags.tag(tag, Side::Source), Resolved::Unknown(_));
    let mut named = named.into_iter().filter(|name| is_tag(name));
    if named.any(is_unknown) {
        let subscription = cluster.id.after("subscriptions").unwrap_or_default();
        let location = &cluster.location;
        let path = format!(
            "/subscriptions/{subscription}/providers/Microsoft.Network/locations/{location}/serviceTags"
        );
        if let Ok(list) = read_json::<Value>(reads, &Query::AzureGet(path)) {
            tags = tags
                .with_service_tags(&list.value)
                .map_err(|e| PluginError::Malformed(e.to_string()))?;
        }
    }
    Ok(tags)
}

/// `VirtualNetwork` where the nodes are. A route table that cannot be read leaves it
/// partly unknown.
fn virtual_network(reads: &dyn Reads, network: &NodeNetwork) -> VirtualNetworkTag {
    let subnets: BTreeSet<String> = network.interfaces.iter().map(|i| i.subnet.key()).collect();
    let ids = route_tables(&network.network_resources, Some(&subnets));
    let queries: Vec<Query> = ids.iter().cloned().map(Query::AzureGet).collect();
    let answers = read_json_many::<Value>(reads, &queries);
    let tables: BTreeMap<String, Result<Value, String>> = ids
        .iter()
        .zip(answers)
        .map(|(id, answer)| {
            let table = answer.map(|read| read.value).map_err(|e| in_words(&e));
            (id.to_ascii_lowercase(), table)
        })
        .collect();
    VirtualNetworkTag::of_networks(&network.network_resources, Some(&subnets), &tables)
}

/// Whether a place in a rule is a service tag, and no address.
pub fn is_tag(place: &str) -> bool {
    place.starts_with(|c: char| c.is_ascii_alphabetic()) && !place.contains(':')
}
