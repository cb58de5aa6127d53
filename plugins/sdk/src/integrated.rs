//! An API server in the virtual network itself: no agent dials nodes for it, it does so from
//! its own delegated subnet.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;

use crate::{
    Evidence, Observed, Query, Reads, ResourceId,
    arm::{ManagedCluster, Subnet, VirtualNetwork},
    error::in_words,
    read_json,
};

/// Most addresses of such a subnet that are judged one by one; AKS asks for sixteen.
const JUDGED_ADDRESSES: usize = 1_024;

/// The subnet that an API server dials nodes from.
#[derive(Clone, Debug)]
pub struct ApiServerSubnet {
    /// Its ARM id.
    pub id: ResourceId,
    /// All its addresses: which of them the API server has changes when it is updated.
    pub addresses: BTreeSet<IpAddr>,
    /// The security group on it.
    pub security_group: Option<ResourceId>,
    /// What says so.
    pub evidence: Evidence,
}

impl ApiServerSubnet {
    /// Reads the subnet that the cluster's profile names.
    ///
    /// # Errors
    /// Why it is not known, in words.
    pub fn observe(reads: &dyn Reads, cluster: &ManagedCluster) -> Result<Self, String> {
        let access = cluster.properties.api_server_access_profile.as_ref();
        let id = access.and_then(|access| access.subnet_id.clone());
        let id = id.ok_or("properties.apiServerAccessProfile.subnetId is not there")?;
        let network = id.parent().ok_or_else(|| format!("{id} is no subnet"))?;
        let network: Observed<VirtualNetwork> =
            read_json(reads, &Query::AzureGet(network.0)).map_err(|error| in_words(&error))?;
        let mut subnets = network.value.properties.subnets.iter();
        let subnet = subnets
            .find(|subnet| subnet.id == id)
            .ok_or_else(|| format!("its network tells no subnet {id}"))?;
        let group = subnet.properties.network_security_group.as_ref();
        let texts: Vec<&str> = subnet.properties.prefixes().collect();
        Ok(Self {
            addresses: addresses(subnet)?,
            security_group: group.map(|group| group.id.clone()),
            evidence: Evidence {
                resource: id.0.clone(),
                field: subnet.properties.prefixes_field().to_owned(),
                value: texts.join(", "),
                observed_at: network.observed_at,
                meaning: "where the API server dials nodes from".to_owned(),
            },
            id,
        })
    }
}

/// Kubelets are dialled by their nodes' first addresses, which are IPv4 ones on AKS: those of
/// IPv6 are too many, and nodes that have one first are not judged.
fn addresses(subnet: &Subnet) -> Result<BTreeSet<IpAddr>, String> {
    let id = &subnet.id;
    let mut addresses = BTreeSet::new();
    for text in subnet.properties.prefixes() {
        let prefix: IpNet = text
            .parse()
            .map_err(|_| format!("{id}: {text:?} is no prefix"))?;
        let IpNet::V4(prefix) = prefix else { continue };
        let (first, last) = (prefix.network().to_bits(), prefix.broadcast().to_bits());
        if addresses.len().saturating_add((last - first) as usize) >= JUDGED_ADDRESSES {
            return Err(format!("{id} has more addresses than can be judged"));
        }
        addresses.extend((first..=last).map(|bits| IpAddr::V4(bits.into())));
    }
    match addresses.is_empty() {
        true => Err(format!("{id} has no IPv4 prefix")),
        false => Ok(addresses),
    }
}
