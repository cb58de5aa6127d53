//! Which addresses a side of a rule means: prefixes, service tags, application security groups.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::read::{children, list, text, texts};
use crate::data_plane::ArmResources;
use crate::estate::AZURE_PLATFORM_ADDRESS;

/// Addresses a side of a rule matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressMatch {
    /// Every address.
    Any,
    /// Addresses in one of these; none at all when empty.
    In(Vec<IpNet>),
    /// Addresses in none of these.
    NotIn(Vec<IpNet>),
}

impl AddressMatch {
    /// Whether an address matches.
    pub fn contains(&self, address: IpAddr) -> bool {
        let within = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&address));
        match self {
            Self::Any => true,
            Self::In(nets) => within(nets),
            Self::NotIn(nets) => !within(nets),
        }
    }
}

/// What names in rules mean in one estate.
#[derive(Debug, Default)]
pub struct Addressing {
    virtual_network: Vec<IpNet>,
    groups: BTreeMap<String, Vec<IpNet>>,
    service_tags: BTreeMap<String, Vec<IpNet>>,
}

impl Addressing {
    /// Reads virtual networks with their peerings and the members of application security
    /// groups; `service_tags` holds the addresses of all tags but the three every NSG knows.
    pub fn read(
        resources: &ArmResources,
        service_tags: &BTreeMap<String, Vec<IpNet>>,
    ) -> Result<Self, String> {
        let mut addressing = Self {
            virtual_network: vec![IpNet::from(IpAddr::V4(AZURE_PLATFORM_ADDRESS))],
            groups: BTreeMap::new(),
            service_tags: service_tags
                .iter()
                .map(|(tag, nets)| (tag.to_ascii_lowercase(), nets.clone()))
                .collect(),
        };
        for network in resources.of_type("Microsoft.Network/virtualNetworks") {
            let own = ["properties", "addressSpace", "addressPrefixes"];
            let remote = ["properties", "remoteAddressSpace", "addressPrefixes"];
            let peerings = children(
                resources,
                network,
                "Microsoft.Network/virtualNetworks/virtualNetworkPeerings",
                "virtualNetworkPeerings",
            );
            let spaces = texts(network, &own)
                .into_iter()
                .chain(peerings.into_iter().flat_map(|p| texts(p, &remote)));
            for prefix in spaces {
                addressing.virtual_network.push(net(prefix)?);
            }
        }
        for nic in network_interfaces(resources) {
            for configuration in list(nic, &["properties", "ipConfigurations"]) {
                let Some(address) = text(configuration, &["properties", "privateIPAddress"]) else {
                    continue;
                };
                let groups = list(configuration, &["properties", "applicationSecurityGroups"]);
                for group in groups.iter().filter_map(|group| text(group, &["id"])) {
                    let members = addressing
                        .groups
                        .entry(group.to_ascii_lowercase())
                        .or_default();
                    members.push(net(address)?);
                }
            }
        }
        Ok(addressing)
    }

    /// What one word of a rule means. A tag without addresses in the estate matches nothing of
    /// it, as a real tag such as `Storage` covers no node and no API server.
    pub fn word(&self, word: &str) -> Result<AddressMatch, String> {
        let lowercase = word.to_ascii_lowercase();
        Ok(match lowercase.as_str() {
            "*" | "any" => AddressMatch::Any,
            "virtualnetwork" => AddressMatch::In(self.virtual_network.clone()),
            "azureloadbalancer" => {
                AddressMatch::In(vec![IpNet::from(IpAddr::V4(AZURE_PLATFORM_ADDRESS))])
            }
            "internet" => AddressMatch::NotIn(self.virtual_network.clone()),
            tag if word.starts_with(|c: char| c.is_ascii_alphabetic()) && !word.contains(':') => {
                AddressMatch::In(self.service_tags.get(tag).cloned().unwrap_or_default())
            }
            _ => AddressMatch::In(range_or_net(word)?),
        })
    }

    /// What several words mean together. `Internet` and `*` stand alone, as ARM has it.
    pub fn words(&self, words: &[&str]) -> Result<AddressMatch, String> {
        if let [word] = words {
            return self.word(word);
        }
        let mut nets = Vec::new();
        for word in words {
            match self.word(word)? {
                AddressMatch::In(more) => nets.extend(more),
                AddressMatch::Any | AddressMatch::NotIn(_) => {
                    return Err(format!("{word} cannot stand beside other prefixes"));
                }
            }
        }
        Ok(AddressMatch::In(nets))
    }

    /// The members of application security groups.
    pub fn groups(&self, groups: &[Value]) -> AddressMatch {
        let members = groups
            .iter()
            .filter_map(|group| text(group, &["id"]))
            .filter_map(|id| self.groups.get(&id.to_ascii_lowercase()))
            .flatten()
            .copied();
        AddressMatch::In(members.collect())
    }
}

/// Network interfaces of scale-set instances and of single VMs.
pub(super) fn network_interfaces(resources: &ArmResources) -> impl Iterator<Item = &Value> {
    const OF_INSTANCES: &str =
        "Microsoft.Compute/virtualMachineScaleSets/virtualMachines/networkInterfaces";
    resources
        .of_type(OF_INSTANCES)
        .chain(resources.of_type("Microsoft.Network/networkInterfaces"))
}

/// A prefix, or an address as the prefix of itself.
pub(super) fn net(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .map(|net| net.trunc())
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| format!("{text} is no address, prefix or service tag"))
}

fn range_or_net(text: &str) -> Result<Vec<IpNet>, String> {
    let Some((first, last)) = text.split_once('-') else {
        return net(text).map(|net| vec![net]);
    };
    match (first.parse(), last.parse()) {
        (Ok(IpAddr::V4(first)), Ok(IpAddr::V4(last))) => {
            Ok(ipnet::Ipv4Subnets::new(first, last, 0)
                .map(IpNet::V4)
                .collect())
        }
        _ => Err(format!("{text} is no range of IPv4 addresses")),
    }
}
