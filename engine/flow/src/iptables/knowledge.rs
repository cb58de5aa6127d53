//! What is known about a node besides its rules.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::interface::InterfaceKnowledge;
use super::local::LocalAddresses;
use super::nft_chain::NftChain;
use super::ruleset::Family;
use crate::set::AddressSet;

/// What the rules refer to but do not say. What is missing here becomes an
/// unknown atom of the answer, never a guess.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Knowledge {
    /// The interface packets arrive by.
    pub in_interface: InterfaceKnowledge,
    /// The interface packets leave by.
    pub out_interface: InterfaceKnowledge,
    /// The node's own addresses, as far as they are known.
    pub local_addresses: LocalAddresses,
    /// The members of named sets (`ipset`) of addresses or prefixes.
    pub address_sets: BTreeMap<String, AddressSet>,
    /// The mark that the sending socket gives packets (`SO_MARK`), 0 for none.
    pub socket_mark: Option<u32>,
    /// Chains besides those of iptables. Whether one that may drop packets drops
    /// those that the rules let pass is unknown.
    pub nft_chains: Vec<NftChain>,
    /// Whether nothing tells which tables of nftables there are besides: one of them
    /// may drop any packet.
    pub nft_unlisted: bool,
}

/// Addresses of a routing type: those that are, and those that may be.
pub(super) struct AddressTypeMembers {
    pub(super) certain: AddressSet,
    pub(super) possible: AddressSet,
}

impl Knowledge {
    /// What of it can matter to packets that come in from `peers` to `own`, an
    /// address of the node; that address itself aside. Nodes with the same rules
    /// of which this is equal do the same to such packets, each to those for its
    /// own address. Nothing where it is not certain that the node has it.
    pub fn about(&self, own: IpAddr, peers: &AddressSet) -> Option<Self> {
        Some(Self {
            in_interface: self.in_interface.about(peers),
            out_interface: InterfaceKnowledge::Unknown,
            local_addresses: self.local_addresses.about(own, peers)?,
            address_sets: self.address_sets.clone(),
            socket_mark: self.socket_mark,
            nft_chains: self.nft_chains.clone(),
            nft_unlisted: self.nft_unlisted,
        })
    }

    /// The same of a node that has these addresses besides.
    #[must_use]
    pub fn with_own(mut self, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        self.local_addresses = self.local_addresses.with(addresses);
        self
    }

    /// The addresses of one type of `-m addrtype`.
    pub(super) fn address_type(&self, family: Family, name: &str) -> AddressTypeMembers {
        let certain = |certain| AddressTypeMembers {
            certain,
            possible: AddressSet::empty(),
        };
        match (name, family) {
            ("MULTICAST", Family::Ipv4) => certain(multicast_v4()),
            ("MULTICAST", Family::Ipv6) => certain(prefix(Ipv6Addr::from_bits(0xff << 120), 8)),
            ("LOCAL", _) => self.local_addresses.local(family),
            ("BROADCAST", Family::Ipv4) => self.local_addresses.broadcast_v4(),
            ("UNICAST", Family::Ipv4) => self.local_addresses.unicast_v4(),
            _ => AddressTypeMembers {
                certain: AddressSet::empty(),
                possible: AddressSet::any(),
            },
        }
    }
}

pub(super) fn multicast_v4() -> AddressSet {
    prefix(Ipv4Addr::new(224, 0, 0, 0), 4)
}

pub(super) fn prefix(address: impl Into<IpAddr>, length: u8) -> AddressSet {
    match IpNet::new(address.into(), length) {
        Ok(net) => AddressSet::prefix(net),
        Err(_) => AddressSet::empty(),
    }
}
