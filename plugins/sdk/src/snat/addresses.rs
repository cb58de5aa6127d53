//! The IPv4 addresses that connections leave a load balancer under: those that
//! AKS makes, or those of somebody else.

use crate::{
    Observed, PluginError, Query, Reads, ResourceId,
    arm::{ManagedCluster, PublicIp, PublicIpPrefix, Reference},
    read_json_many,
};

const IPV4: &str = "IPv4";
const IPV6: &str = "IPv6";
const PREFIXES: &str = "publicIPPrefixes";

/// How many there are, and whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboundAddresses {
    /// IPv4 addresses; those of IPv6 have no ports to share.
    pub count: u64,
    /// Whether somebody else gave them, so that AKS makes no more.
    pub are_owners: bool,
}

impl OutboundAddresses {
    /// Counts them. Those of a prefix are told by the prefix alone, and of which
    /// family an address is, in a cluster of both, by the address.
    ///
    /// # Errors
    /// When one of these cannot be read.
    pub fn observe(reads: &dyn Reads, cluster: &ManagedCluster) -> Result<Self, PluginError> {
        let network = &cluster.properties.network_profile;
        let profile = network.load_balancer_profile.as_ref();
        let made_by_aks = |count: u32| Self {
            count: u64::from(count.max(1)),
            are_owners: false,
        };
        if let Some(managed) = profile.and_then(|profile| profile.managed_outbound_ips.as_ref()) {
            return Ok(made_by_aks(managed.count.unwrap_or(1)));
        }
        let given = profile.map(|profile| {
            let single = profile.outbound_ips.iter().flat_map(|ips| &ips.public_ips);
            let prefixes = profile.outbound_ip_prefixes.iter();
            let prefixes = prefixes.flat_map(|given| &given.public_ip_prefixes);
            let given: Vec<&Reference> = single.chain(prefixes).collect();
            if given.is_empty() {
                profile.effective_outbound_ips.iter().collect()
            } else {
                given
            }
        });
        let given = given.unwrap_or_default();
        if given.is_empty() {
            return Ok(made_by_aks(1));
        }
        let mut families = network.ip_families.iter();
        let has_ipv6 = families.any(|family| family.eq_ignore_ascii_case(IPV6));
        let (prefixes, single): (Vec<&ResourceId>, Vec<&ResourceId>) = given
            .into_iter()
            .map(|given| &given.id)
            .partition(|id| id.after(PREFIXES).is_some());
        let single = if has_ipv6 {
            of_ipv4(reads, &single)?
        } else {
            single.len() as u64
        };
        Ok(Self {
            count: single.saturating_add(in_prefixes(reads, &prefixes)?),
            are_owners: true,
        })
    }
}

fn queries(ids: &[&ResourceId]) -> Vec<Query> {
    let ids = ids.iter();
    ids.map(|id| Query::AzureGet(id.as_str().to_owned()))
        .collect()
}

/// How many of these addresses are of IPv4.
fn of_ipv4(reads: &dyn Reads, ids: &[&ResourceId]) -> Result<u64, PluginError> {
    let mut count = 0;
    for address in read_json_many::<PublicIp>(reads, &queries(ids)) {
        let address = address?;
        if is_ipv4(&address, &address.value.properties.version)? {
            count += 1;
        }
    }
    Ok(count)
}

/// How many addresses of IPv4 these prefixes hold.
fn in_prefixes(reads: &dyn Reads, ids: &[&ResourceId]) -> Result<u64, PluginError> {
    let mut count: u64 = 0;
    for prefix in read_json_many::<PublicIpPrefix>(reads, &queries(ids)) {
        let prefix = prefix?;
        let properties = &prefix.value.properties;
        if !is_ipv4(&prefix, &properties.version)? {
            continue;
        }
        let host_bits = properties
            .prefix_length
            .and_then(|length| 32_u32.checked_sub(length));
        let host_bits = host_bits.ok_or_else(|| {
            PluginError::Malformed(format!(
                "{}: properties.prefixLength is {:?}, which is no length of an IPv4 prefix",
                prefix.resource, properties.prefix_length
            ))
        })?;
        count = count.saturating_add(1 << host_bits);
    }
    Ok(count)
}

fn is_ipv4<T>(of: &Observed<T>, version: &str) -> Result<bool, PluginError> {
    let is = |family: &str| version.eq_ignore_ascii_case(family);
    if is(IPV4) || is(IPV6) {
        return Ok(is(IPV4));
    }
    Err(PluginError::Malformed(format!(
        "{}: properties.publicIPAddressVersion is {version:?}, neither {IPV4} nor {IPV6}",
        of.resource
    )))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::Recorded;

    const ADDRESS_4: &str =
        "/subscriptions/s/resourceGroups/r/providers/Microsoft.Network/publicIPAddresses/four";
    const ADDRESS_6: &str =
        "/subscriptions/s/resourceGroups/r/providers/Microsoft.Network/publicIPAddresses/six";
    const PREFIX_28: &str =
        "/subscriptions/s/resourceGroups/r/providers/Microsoft.Network/publicIPPrefixes/sixteen";
    const PREFIX_6: &str =
        "/subscriptions/s/resourceGroups/r/providers/Microsoft.Network/publicipprefixes/six";

    fn recorded() -> Recorded {
        let mut recorded = Recorded::default();
        let version =
            |version: &str| json!({ "properties": { "publicIPAddressVersion": version } });
        recorded.put(Query::AzureGet(ADDRESS_4.into()), version("IPv4"));
        recorded.put(Query::AzureGet(ADDRESS_6.into()), version("IPv6"));
        let mut prefix = version("IPv4");
        prefix["properties"]["prefixLength"] = json!(28);
        recorded.put(Query::AzureGet(PREFIX_28.into()), prefix);
        let mut prefix = version("IPv6");
        prefix["properties"]["prefixLength"] = json!(124);
        recorded.put(Query::AzureGet(PREFIX_6.into()), prefix);
        recorded
    }

    fn count(reads: &Recorded, network: Value) -> Result<(u64, bool), PluginError> {
        let cluster = json!({ "properties": { "networkProfile": network } });
        let cluster: ManagedCluster = serde_json::from_value(cluster).unwrap();
        let counted = OutboundAddresses::observe(reads, &cluster)?;
        Ok((counted.count, counted.are_owners))
    }

    #[test]
    fn prefixes_count_each_of_their_addresses_and_ipv6_is_no_capacity() {
        let both = json!(["IPv4", "IPv6"]);
        let ids = |ids: &[&str]| -> Value { ids.iter().map(|id| json!({ "id": id })).collect() };
        for (network, expected) in [
            (json!({}), (1, false)),
            (
                json!({ "loadBalancerProfile": { "managedOutboundIPs": { "count": 3, "countIPv6": 2 },
                    "effectiveOutboundIPs": ids(&[ADDRESS_4, ADDRESS_4, ADDRESS_4, ADDRESS_6]) } }),
                (3, false),
            ),
            (
                json!({ "loadBalancerProfile": { "managedOutboundIPs": { "countIPv6": 1 },
                    "effectiveOutboundIPs": ids(&[ADDRESS_4, ADDRESS_6]) } }),
                (1, false),
            ),
            (
                json!({ "loadBalancerProfile": { "outboundIPPrefixes": {
                    "publicIPPrefixes": ids(&[PREFIX_28]) } } }),
                (16, true),
            ),
            (
                json!({ "loadBalancerProfile": { "effectiveOutboundIPs": ids(&[PREFIX_28, ADDRESS_4]) } }),
                (17, true),
            ),
            (
                json!({ "ipFamilies": both, "loadBalancerProfile": {
                    "outboundIPs": { "publicIPs": ids(&[ADDRESS_4, ADDRESS_6]) },
                    "effectiveOutboundIPs": ids(&[ADDRESS_4, ADDRESS_6]) } }),
                (1, true),
            ),
            (
                json!({ "ipFamilies": both, "loadBalancerProfile": { "outboundIPPrefixes": {
                    "publicIPPrefixes": ids(&[PREFIX_28, PREFIX_6]) } } }),
                (16, true),
            ),
        ] {
            assert_eq!(
                count(&recorded(), network.clone()),
                Ok(expected),
                "{network}"
            );
        }
    }

    #[test]
    fn a_prefix_that_cannot_be_read_or_tells_no_length_is_an_error_and_never_one_address() {
        let network = json!({ "loadBalancerProfile": { "outboundIPPrefixes": {
            "publicIPPrefixes": [{ "id": PREFIX_28 }] } } });
        let unread = count(&Recorded::default(), network.clone());
        assert!(
            matches!(unread, Err(PluginError::Observation(_))),
            "{unread:?}"
        );
        for body in [
            json!({}),
            json!({ "properties": { "publicIPAddressVersion": "IPv4" } }),
            json!({ "properties": { "publicIPAddressVersion": "IPv4", "prefixLength": 33 } }),
        ] {
            let mut recorded = Recorded::default();
            recorded.put(Query::AzureGet(PREFIX_28.into()), &body);
            let refused = count(&recorded, network.clone());
            assert!(
                matches!(refused, Err(PluginError::Malformed(_))),
                "{body}: {refused:?}"
            );
        }
    }
}
