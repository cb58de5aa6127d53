//! What service tags stand for, as far as Azure tells.

use naosu_flow::nsg::{Resolved, Side, TagContext};

use crate::{NodeNetwork, PluginError, Query, Reads, arm::ManagedCluster, read_json};

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
    let space = network.address_space()?;
    let mut tags = TagContext::new();
    if !space.is_empty() {
        tags = tags.with_virtual_network(&space);
    }
    let is_unknown = |tag: &str| matches!(tags.tag(tag, Side::Source), Resolved::Unknown(_));
    let mut named = named.into_iter().filter(|name| is_tag(name));
    if named.any(is_unknown) {
        let subscription = cluster.id.after("subscriptions").unwrap_or_default();
        let location = &cluster.location;
        let path = format!(
            "/subscriptions/{subscription}/providers/Microsoft.Network/locations/{location}/serviceTags"
        );
        if let Ok(list) = read_json::<serde_json::Value>(reads, &Query::AzureGet(path)) {
            tags = tags
                .with_service_tags(&list.value)
                .map_err(|e| PluginError::Malformed(e.to_string()))?;
        }
    }
    Ok(tags)
}

/// Whether a place in a rule is a service tag, and no address.
pub fn is_tag(place: &str) -> bool {
    place.starts_with(|c: char| c.is_ascii_alphabetic()) && !place.contains(':')
}
