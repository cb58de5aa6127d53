//! The addresses that are the node's own, and those that are broadcast there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::knowledge::{AddressTypeMembers, multicast_v4, prefix};
use super::routes::NodeRoutes;
use super::ruleset::Family;
use crate::set::AddressSet;

/// What is known of the node's own addresses; nothing by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocalAddresses {
    v4: Known,
    v6: Known,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Known {
    /// Certainly own ones, the loopback's aside.
    local: AddressSet,
    /// Whether there are no others.
    is_all: bool,
    /// Broadcast addresses, of IPv4 alone; told where all own ones are.
    broadcast: AddressSet,
    /// Those that may be broadcast addresses, too.
    possible_broadcast: AddressSet,
}

impl LocalAddresses {
    /// All addresses of the node with the prefixes of their networks.
    pub fn all(addresses: &[IpNet]) -> Self {
        let mut known = Self::some(addresses.iter().map(IpNet::addr));
        known.v4.is_all = true;
        known.v6.is_all = true;
        // Whether the first address of a subnet is a broadcast address, too,
        // depends on the kernel's age.
        let broadcasting = |net: &&IpNet| net.addr().is_ipv4() && net.prefix_len() < 31;
        for net in addresses.iter().filter(broadcasting) {
            let (last, first) = (net.broadcast(), net.network());
            known.v4.broadcast = known.v4.broadcast.union(&AddressSet::host(last));
            let possible = &known.v4.possible_broadcast;
            known.v4.possible_broadcast = possible.union(&AddressSet::host(first));
        }
        known
    }

    /// Some addresses of the node; it may have more.
    pub fn some(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = addresses.into_iter().partition(IpAddr::is_ipv4);
        // Nodes have hundreds, those of their pods among them: joined at once.
        let joined = |addresses: Vec<IpAddr>| {
            let hosts: Vec<AddressSet> = addresses.into_iter().map(AddressSet::host).collect();
            AddressSet::union_all(&hosts)
        };
        let mut known = Self::default();
        known.v4.local = joined(v4);
        known.v6.local = joined(v6);
        known
    }

    /// What of it can matter to packets from `peers` to `own`, that address
    /// aside; nothing where it is not certainly the node's.
    pub(super) fn about(&self, own: IpAddr, peers: &AddressSet) -> Option<Self> {
        let family = match own {
            IpAddr::V4(_) => Family::Ipv4,
            IpAddr::V6(_) => Family::Ipv6,
        };
        let part = |known: &Known| Known {
            local: known.local.intersection(peers),
            is_all: known.is_all,
            broadcast: known.broadcast.intersection(peers),
            possible_broadcast: known.possible_broadcast.intersection(peers),
        };
        self.certain(family).contains(own).then(|| Self {
            v4: part(&self.v4),
            v6: part(&self.v6),
        })
    }

    /// The same with these addresses besides.
    pub(super) fn with(mut self, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let more = Self::some(addresses);
        for family in [Family::Ipv4, Family::Ipv6] {
            let known = self.family_mut(family);
            known.local = known.local.union(&more.family(family).local);
        }
        self
    }

    /// What the kernel's own table of local routes says of one family, in place
    /// of what was known.
    pub fn learn(&mut self, family: Family, routes: &NodeRoutes) {
        *self.family_mut(family) = Known {
            local: routes.local.clone(),
            is_all: true,
            broadcast: routes.broadcast.clone(),
            possible_broadcast: AddressSet::empty(),
        };
    }

    /// The own addresses of a family that are certain, those of the loopback
    /// included.
    pub fn certain(&self, family: Family) -> AddressSet {
        let loopback = match family {
            Family::Ipv4 => prefix(Ipv4Addr::LOCALHOST, 8),
            Family::Ipv6 => AddressSet::host(Ipv6Addr::LOCALHOST.into()),
        };
        self.family(family).local.union(&loopback)
    }

    /// Destinations of packets that the node certainly does not receive itself.
    pub(super) fn never_received(&self, family: Family) -> AddressSet {
        if !self.family(family).is_all {
            return AddressSet::empty();
        }
        let (received, all) = match family {
            Family::Ipv4 => {
                let broadcast = self.broadcast_v4();
                let broadcast = broadcast.certain.union(&broadcast.possible);
                (broadcast.union(&multicast_v4()), AddressSet::any_v4())
            }
            Family::Ipv6 => (
                prefix(Ipv6Addr::from_bits(0xff << 120), 8),
                AddressSet::any_v6(),
            ),
        };
        let received = received.union(&self.certain(family));
        all.intersection(&received.complement())
    }

    fn family(&self, family: Family) -> &Known {
        match family {
            Family::Ipv4 => &self.v4,
            Family::Ipv6 => &self.v6,
        }
    }

    fn family_mut(&mut self, family: Family) -> &mut Known {
        match family {
            Family::Ipv4 => &mut self.v4,
            Family::Ipv6 => &mut self.v6,
        }
    }

    pub(super) fn local(&self, family: Family) -> AddressTypeMembers {
        let certain = self.certain(family);
        let possible = if self.family(family).is_all {
            AddressSet::empty()
        } else {
            let never = match family {
                Family::Ipv4 => multicast_v4().union(&always_broadcast_v4()),
                Family::Ipv6 => prefix(Ipv6Addr::from_bits(0xff << 120), 8),
            };
            never.union(&certain).complement()
        };
        AddressTypeMembers { certain, possible }
    }

    /// The addresses that packets may get from the interface they leave by: those
    /// that others can answer to.
    pub(super) fn masquerading(&self, family: Family) -> AddressSet {
        let known = self.family(family);
        match known.is_all && !known.local.is_empty() {
            true => known.local.clone(),
            false => AddressSet::any(),
        }
    }

    /// What may be a broadcast address although it is not certain.
    fn perhaps_broadcast_v4(&self) -> AddressSet {
        let known = &self.v4;
        let never = multicast_v4()
            .union(&always_broadcast_v4())
            .union(&self.certain(Family::Ipv4));
        if known.is_all {
            known.possible_broadcast.intersection(&never.complement())
        } else {
            never.complement()
        }
    }

    pub(super) fn broadcast_v4(&self) -> AddressTypeMembers {
        let own = self.certain(Family::Ipv4);
        let certain = always_broadcast_v4().union(&self.v4.broadcast);
        AddressTypeMembers {
            certain: certain.intersection(&own.complement()),
            possible: self.perhaps_broadcast_v4(),
        }
    }

    pub(super) fn unicast_v4(&self) -> AddressTypeMembers {
        let possible = self.perhaps_broadcast_v4();
        let other = multicast_v4()
            .union(&self.certain(Family::Ipv4))
            .union(&always_broadcast_v4())
            .union(&self.v4.broadcast)
            .union(&possible);
        AddressTypeMembers {
            certain: other.complement().intersection(&AddressSet::any_v4()),
            possible,
        }
    }
}

/// What the kernel takes for broadcast whatever the node's subnets are.
fn always_broadcast_v4() -> AddressSet {
    AddressSet::host(Ipv4Addr::BROADCAST.into()).union(&prefix(Ipv4Addr::UNSPECIFIED, 8))
}
