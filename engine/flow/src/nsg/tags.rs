//! What service tags and application security groups stand for.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde_json::Value;

use super::virtual_network::VirtualNetworkTag;
use crate::field::{FieldError, excerpt, parse_prefix};
use crate::platform::{METADATA_ADDRESS, PLATFORM_ADDRESS};
use crate::policy::UnknownAddresses;
use crate::set::{AddressSet, Atom};

/// Where a rule's tag or group stands; each side is unknown for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Among the sources.
    Source,
    /// Among the destinations.
    Destination,
}

impl Side {
    fn word(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Destination => "destination",
        }
    }
}

/// What is known of tags and groups. What is not becomes an unknown atom, never
/// an empty set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TagContext {
    virtual_network: Option<VirtualNetworkTag>,
    tags: BTreeMap<String, AddressSet>,
    /// Prefixes of tags as a list has them: which of two routes is the longer is told by
    /// these, and not by their union.
    listed: BTreeMap<String, Arc<[IpNet]>>,
    groups: BTreeMap<String, AddressSet>,
    unread: BTreeMap<String, String>,
}

/// A tag or group, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved {
    /// Its addresses.
    Known(AddressSet),
    /// The atom that stands for them.
    Unknown(UnknownAddresses),
    /// Some of its addresses, and the atom that stands for the others.
    Partly(AddressSet, UnknownAddresses),
}

impl Resolved {
    /// The addresses that are certainly meant, and the ones that may be besides.
    pub fn parts(self) -> (AddressSet, Option<UnknownAddresses>) {
        match self {
            Self::Known(set) => (set, None),
            Self::Unknown(unknown) => (AddressSet::empty(), Some(unknown)),
            Self::Partly(set, unknown) => (set, Some(unknown)),
        }
    }
}

impl TagContext {
    /// Nothing but `AzureLoadBalancer` is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// The address space of the virtual network with everything peered or
    /// routed into it, all of it known; the platform address is added. Gives
    /// `VirtualNetwork` and `Internet` their meaning.
    #[must_use]
    pub fn with_virtual_network<'a>(self, prefixes: impl IntoIterator<Item = &'a IpNet>) -> Self {
        self.with_virtual_network_tag(VirtualNetworkTag::known(prefixes))
    }

    /// What the networks around a group tell of `VirtualNetwork`, and with it of
    /// `Internet`.
    #[must_use]
    pub fn with_virtual_network_tag(mut self, tag: VirtualNetworkTag) -> Self {
        self.virtual_network = Some(match self.virtual_network {
            Some(known) => known.union(tag),
            None => tag,
        });
        self
    }

    /// The addresses of one service tag.
    #[must_use]
    pub fn with_tag(mut self, name: &str, addresses: AddressSet) -> Self {
        let key = name.to_ascii_lowercase();
        self.listed.remove(&key);
        self.tags.insert(key, addresses);
        self
    }

    /// The tags of a service tag list as ARM returns it.
    ///
    /// # Errors
    /// [`FieldError`] naming the tag and the field.
    pub fn with_service_tags(mut self, list: &Value) -> Result<Self, FieldError> {
        let place = "service tag list".to_owned();
        let values = match list.get("values") {
            Some(Value::Array(values)) => values,
            _ => {
                return Err(FieldError::Missing {
                    place,
                    field: "values".to_owned(),
                });
            }
        };
        for tag in values {
            let name = tag.get("name").and_then(Value::as_str).unwrap_or_default();
            if name.is_empty() {
                return Err(FieldError::Missing {
                    place,
                    field: "values[].name".to_owned(),
                });
            }
            let key = name.to_ascii_lowercase();
            let prefixes = tag_prefixes(name, tag)?;
            // A tag without addresses is one that was not told.
            if prefixes.is_empty() {
                let reason = format!("the service tag list has no prefix of {}", excerpt(name));
                self.unread.insert(key, reason);
            } else {
                self.tags
                    .insert(key.clone(), AddressSet::prefixes(&prefixes));
                self.listed.insert(key, prefixes.into());
            }
        }
        Ok(self)
    }

    /// All members of an application security group, by its ARM id.
    #[must_use]
    pub fn with_group(mut self, id: &str, members: impl IntoIterator<Item = IpAddr>) -> Self {
        let known = self.groups.entry(id.to_ascii_lowercase());
        let set = known.or_insert_with(AddressSet::empty);
        *set = members
            .into_iter()
            .fold(set.clone(), |set, ip| set.union(&AddressSet::host(ip)));
        self
    }

    /// The addresses of an IP group, by its ARM id.
    #[must_use]
    pub fn with_ip_group(mut self, id: &str, addresses: AddressSet) -> Self {
        self.groups.insert(id.to_ascii_lowercase(), addresses);
        self
    }

    /// Why a tag or group, by its name or ARM id, stays unknown.
    #[must_use]
    pub fn with_unread(mut self, name: &str, reason: impl Into<String>) -> Self {
        self.unread.insert(name.to_ascii_lowercase(), reason.into());
        self
    }

    fn reason(&self, key: &str, otherwise: String) -> String {
        self.unread.get(key).cloned().unwrap_or(otherwise)
    }

    /// What an IP group of a firewall stands for; ids are compared case aside.
    pub fn ip_group(&self, id: &str, side: Side) -> Resolved {
        let key = id.to_ascii_lowercase();
        match self.groups.get(&key) {
            Some(known) => Resolved::Known(known.clone()),
            None => Resolved::Unknown(UnknownAddresses {
                atom: Atom {
                    name: format!("{} in IP group {key}", side.word()),
                    reason: self.reason(
                        &key,
                        format!("the addresses of IP group {id} were not observed"),
                    ),
                },
                when: true,
                within: AddressSet::any(),
            }),
        }
    }

    /// What a network group of a network manager stands for: its members are
    /// networks, which are not observed.
    pub fn network_group(&self, id: &str, side: Side) -> Resolved {
        let key = id.to_ascii_lowercase();
        Resolved::Unknown(UnknownAddresses {
            atom: Atom {
                name: format!("{} in network group {key}", side.word()),
                reason: format!("the networks of network group {id} were not observed"),
            },
            when: true,
            within: AddressSet::any(),
        })
    }

    /// The prefixes of a service tag, as they are listed where they are; or why they are
    /// not known.
    pub(crate) fn prefixes_of(&self, name: &str) -> Result<Vec<IpNet>, String> {
        if let Some(listed) = self.listed.get(&name.to_ascii_lowercase()) {
            return Ok(listed.to_vec());
        }
        match self.tag(name, Side::Destination) {
            Resolved::Known(set) => Ok(set.to_prefixes()),
            Resolved::Unknown(unknown) | Resolved::Partly(_, unknown) => Err(unknown.atom.reason),
        }
    }

    /// What a service tag stands for; names are compared case aside.
    pub fn tag(&self, name: &str, side: Side) -> Resolved {
        let key = name.to_ascii_lowercase();
        if let Some(known) = self.tags.get(&key) {
            return Resolved::Known(known.clone());
        }
        match key.as_str() {
            "virtualnetwork" | "virtual_network" => self.virtual_network(side),
            "internet" => self.internet(side),
            "azureloadbalancer" | "azure_loadbalancer" => {
                Resolved::Known(AddressSet::host(PLATFORM_ADDRESS))
            }
            "azureplatformdns" => Resolved::Known(AddressSet::host(PLATFORM_ADDRESS)),
            "azureplatformimds" => Resolved::Known(AddressSet::host(METADATA_ADDRESS)),
            _ => Resolved::Unknown(UnknownAddresses {
                atom: Atom {
                    // Tags are the same tag in any spelling of case.
                    name: format!("{} in service tag {key}", side.word()),
                    reason: self.reason(
                        &key,
                        format!("the prefixes of service tag {name} were not observed"),
                    ),
                },
                when: true,
                within: AddressSet::any(),
            }),
        }
    }

    fn virtual_network(&self, side: Side) -> Resolved {
        let Some(tag) = &self.virtual_network else {
            return Resolved::Unknown(self.in_virtual_network(side, true, AddressSet::any()));
        };
        let possible = tag.possible.intersection(&tag.members.complement());
        if possible.is_empty() {
            return Resolved::Known(tag.members.clone());
        }
        let unknown = self.in_virtual_network(side, true, possible);
        Resolved::Partly(tag.members.clone(), unknown)
    }

    /// All that is not in the virtual network: told by the same atom.
    fn internet(&self, side: Side) -> Resolved {
        let Some(tag) = &self.virtual_network else {
            return Resolved::Unknown(self.in_virtual_network(side, false, AddressSet::any()));
        };
        let outside = tag.members.complement();
        let possible = tag.possible.intersection(&outside);
        if possible.is_empty() {
            return Resolved::Known(outside);
        }
        let certain = outside.intersection(&possible.complement());
        let unknown = self.in_virtual_network(side, false, possible);
        Resolved::Partly(certain, unknown)
    }

    fn in_virtual_network(&self, side: Side, when: bool, within: AddressSet) -> UnknownAddresses {
        let reasons = self.virtual_network.iter().flat_map(|tag| &tag.reasons);
        let reasons: Vec<&str> = reasons.map(String::as_str).collect();
        UnknownAddresses {
            atom: Atom {
                name: format!("{} in service tag VirtualNetwork", side.word()),
                reason: if reasons.is_empty() {
                    "the address space of the virtual network was not observed".to_owned()
                } else {
                    reasons.join("; ")
                },
            },
            when,
            within,
        }
    }

    /// What an application security group stands for; ids are compared case
    /// aside.
    pub fn group(&self, id: &str, side: Side) -> Resolved {
        let key = id.to_ascii_lowercase();
        if let Some(known) = self.groups.get(&key) {
            return Resolved::Known(known.clone());
        }
        // Members are interfaces of the virtual network.
        let network = self.virtual_network.as_ref();
        let within = network.map(|tag| tag.interfaces.clone());
        Resolved::Unknown(UnknownAddresses {
            atom: Atom {
                name: format!("{} in application security group {key}", side.word()),
                reason: format!("the members of application security group {id} were not observed"),
            },
            when: true,
            within: within.unwrap_or_else(AddressSet::any),
        })
    }
}

fn tag_prefixes(name: &str, tag: &Value) -> Result<Vec<IpNet>, FieldError> {
    let place = format!("service tag {}", excerpt(name));
    let field = "properties.addressPrefixes";
    let prefixes = tag
        .get("properties")
        .and_then(|properties| properties.get("addressPrefixes"));
    let Some(Value::Array(prefixes)) = prefixes else {
        return Err(FieldError::Missing {
            place,
            field: field.to_owned(),
        });
    };
    let mut nets: Vec<IpNet> = Vec::with_capacity(prefixes.len());
    for prefix in prefixes {
        let text = prefix.as_str().unwrap_or_default();
        let host = || text.parse::<IpAddr>().ok().map(IpNet::from);
        match parse_prefix(text).or_else(host) {
            Some(net) if net.trunc() != net => {
                return Err(FieldError::HostBits {
                    place,
                    field: field.to_owned(),
                    value: text.to_owned(),
                    corrected: net.trunc().to_string(),
                });
            }
            Some(net) => nets.push(net),
            None => {
                return Err(FieldError::Invalid {
                    place,
                    field: field.to_owned(),
                    value: excerpt(&prefix.to_string()),
                    expected: "an address or a prefix",
                });
            }
        }
    }
    Ok(nets)
}
