//! What is known about a node besides its rules.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::ruleset::Family;
use crate::set::AddressSet;

/// What is known of the interface a packet comes in or leaves by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum InterfaceKnowledge {
    /// Its name.
    Named(String),
    /// Only that it is not the loopback: true of every packet between nodes.
    #[default]
    NotLoopback,
    /// Nothing.
    Unknown,
}

impl InterfaceKnowledge {
    /// Whether the interface fits a pattern of `-i` or `-o`, where known.
    pub(crate) fn fits(&self, pattern: &str) -> Option<bool> {
        if pattern == "+" {
            return Some(true);
        }
        match (self, pattern.strip_suffix('+')) {
            (Self::Named(name), Some(prefix)) => Some(name.starts_with(prefix)),
            (Self::Named(name), None) => Some(name == pattern),
            (Self::NotLoopback, None) if pattern == "lo" => Some(false),
            _ => None,
        }
    }
}

/// What the rules refer to but do not say. What is missing here becomes an
/// unknown atom of the answer, never a guess.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Knowledge {
    /// The interface packets arrive by.
    pub in_interface: InterfaceKnowledge,
    /// The interface packets leave by.
    pub out_interface: InterfaceKnowledge,
    /// All addresses of the node with their prefixes, where they are known.
    pub local_addresses: Option<Vec<IpNet>>,
    /// The members of named sets (`ipset`) of addresses or prefixes.
    pub address_sets: BTreeMap<String, AddressSet>,
}

/// Addresses of a routing type: those that are, and those that may be.
pub(super) struct AddressTypeMembers {
    pub(super) certain: AddressSet,
    pub(super) possible: AddressSet,
}

impl Knowledge {
    /// The addresses of one type of `-m addrtype`.
    pub(super) fn address_type(&self, family: Family, name: &str) -> AddressTypeMembers {
        let certain = |certain| AddressTypeMembers {
            certain,
            possible: AddressSet::empty(),
        };
        match (name, family) {
            ("MULTICAST", Family::Ipv4) => certain(multicast_v4()),
            ("MULTICAST", Family::Ipv6) => certain(prefix(Ipv6Addr::from_bits(0xff << 120), 8)),
            ("LOCAL", _) => match &self.local_addresses {
                Some(addresses) => certain(local(family, addresses)),
                None => {
                    let certain = local(family, &[]);
                    let never = match family {
                        Family::Ipv4 => multicast_v4().union(&broadcast_v4()),
                        Family::Ipv6 => prefix(Ipv6Addr::from_bits(0xff << 120), 8),
                    };
                    let possible = never.union(&certain).complement();
                    AddressTypeMembers { certain, possible }
                }
            },
            ("BROADCAST" | "UNICAST", Family::Ipv4) => self.broadcast_or_unicast_v4(name),
            _ => AddressTypeMembers {
                certain: AddressSet::empty(),
                possible: AddressSet::any(),
            },
        }
    }

    fn broadcast_or_unicast_v4(&self, name: &str) -> AddressTypeMembers {
        let special = multicast_v4()
            .union(&broadcast_v4())
            .union(&prefix(Ipv4Addr::LOCALHOST, 8));
        let Some(addresses) = &self.local_addresses else {
            let certain = if name == "BROADCAST" {
                broadcast_v4()
            } else {
                AddressSet::empty()
            };
            return AddressTypeMembers {
                certain,
                possible: special.complement(),
            };
        };
        let mut broadcast = broadcast_v4();
        // Whether the first address of a subnet is a broadcast address, too,
        // depends on the kernel's age.
        let mut possible = AddressSet::empty();
        for net in addresses
            .iter()
            .filter(|net| net.addr().is_ipv4() && net.prefix_len() < 31)
        {
            broadcast = broadcast.union(&AddressSet::host(net.broadcast()));
            possible = possible.union(&AddressSet::host(net.network()));
        }
        let local = local(Family::Ipv4, addresses);
        let possible = possible.intersection(&special.union(&local).complement());
        let certain = if name == "BROADCAST" {
            broadcast.intersection(&local.complement())
        } else {
            let other = special.union(&local).union(&broadcast).union(&possible);
            other.complement().intersection(&AddressSet::any_v4())
        };
        AddressTypeMembers { certain, possible }
    }
}

fn local(family: Family, addresses: &[IpNet]) -> AddressSet {
    let loopback = match family {
        Family::Ipv4 => prefix(Ipv4Addr::LOCALHOST, 8),
        Family::Ipv6 => AddressSet::host(Ipv6Addr::LOCALHOST.into()),
    };
    let of_family = addresses
        .iter()
        .filter(|net| net.addr().is_ipv4() == (family == Family::Ipv4));
    let mut sets = vec![loopback];
    sets.extend(of_family.map(|net| AddressSet::host(net.addr())));
    AddressSet::union_all(&sets)
}

fn multicast_v4() -> AddressSet {
    prefix(Ipv4Addr::new(224, 0, 0, 0), 4)
}

/// What the kernel takes for broadcast whatever the node's subnets are.
fn broadcast_v4() -> AddressSet {
    AddressSet::host(Ipv4Addr::BROADCAST.into()).union(&prefix(Ipv4Addr::UNSPECIFIED, 8))
}

fn prefix(address: impl Into<IpAddr>, length: u8) -> AddressSet {
    match IpNet::new(address.into(), length) {
        Ok(net) => AddressSet::prefix(net),
        Err(_) => AddressSet::empty(),
    }
}
