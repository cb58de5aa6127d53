//! Route tables: where packets go next.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use crate::platform;
use crate::set::AddressSet;

/// Where a route sends packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NextHop {
    /// To an appliance, such as a firewall, at this address.
    VirtualAppliance(IpAddr),
    /// Out to the internet.
    Internet,
    /// Inside the virtual network.
    VirtualNetwork,
    /// To the virtual network gateway.
    VirtualNetworkGateway,
    /// Nowhere: dropped.
    None,
}

/// The name of the routes that a table need not have.
pub(super) const SYSTEM_ROUTE: &str = "system route";

/// One route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// The destinations it is for.
    pub prefix: IpNet,
    /// Where it sends them.
    pub next_hop: NextHop,
}

impl Route {
    /// Whether Azure makes it by itself.
    pub(super) fn is_of_system(&self) -> bool {
        self.name == SYSTEM_ROUTE
    }
}

/// Private prefixes that Azure routes to nowhere.
const RESERVED: [([u8; 4], u8); 4] = [
    ([10, 0, 0, 0], 8),
    ([172, 16, 0, 0], 12),
    ([192, 168, 0, 0], 16),
    ([100, 64, 0, 0], 10),
];

/// The routes of a subnet: the longest prefix wins, and among equals the
/// subnet's own routes before the system's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteTable {
    /// Its name.
    pub name: String,
    /// Whether routes that a gateway teaches, which no table lists, apply besides.
    pub(super) is_learning: bool,
    routes: Vec<Route>,
}

impl RouteTable {
    pub(super) fn new(name: String, is_learning: bool, routes: Vec<Route>) -> Self {
        let mut table = Self {
            name,
            is_learning,
            routes,
        };
        table.sort();
        table
    }

    /// The table with the system's routes: the network's own prefixes stay
    /// inside, all else goes to the internet; but for what
    /// [`RouteTable::with_reserved_routes`] adds.
    #[must_use]
    pub fn with_system_routes<'a>(mut self, network: impl IntoIterator<Item = &'a IpNet>) -> Self {
        let system = |prefix: IpNet, next_hop| Route {
            name: SYSTEM_ROUTE.to_owned(),
            prefix,
            next_hop,
        };
        for prefix in network {
            self.routes
                .push(system(prefix.trunc(), NextHop::VirtualNetwork));
        }
        let everywhere = [
            IpNet::V4(Ipv4Net::default()),
            IpNet::V6(ipnet::Ipv6Net::default()),
        ];
        for prefix in everywhere {
            self.routes.push(system(prefix, NextHop::Internet));
        }
        self.sort();
        self
    }

    /// The table with the system's routes that drop packets for private addresses:
    /// Azure has one for each of these prefixes, unless a prefix of the network has
    /// all of it, and takes them away where the table has a route of its own for
    /// 0.0.0.0/0.
    #[must_use]
    pub fn with_reserved_routes<'a>(
        mut self,
        network: impl IntoIterator<Item = &'a IpNet>,
    ) -> Self {
        let everywhere = IpNet::V4(Ipv4Net::default());
        let is_overridden = |route: &Route| route.prefix == everywhere && !route.is_of_system();
        if self.routes.iter().any(is_overridden) {
            return self;
        }
        let network: Vec<&IpNet> = network.into_iter().collect();
        for (octets, length) in RESERVED {
            let Ok(prefix) = Ipv4Net::new(octets.into(), length) else {
                continue;
            };
            let prefix = IpNet::V4(prefix);
            if !network.iter().any(|own| own.contains(&prefix)) {
                self.routes.push(Route {
                    name: SYSTEM_ROUTE.to_owned(),
                    prefix,
                    next_hop: NextHop::None,
                });
            }
        }
        self.sort();
        self
    }

    // Stable, so own routes stay before the system's of the same prefix.
    fn sort(&mut self) {
        self.routes
            .sort_by_key(|route| std::cmp::Reverse(route.prefix.prefix_len()));
    }

    /// The routes, the longest prefix first.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The route of one destination; the platform's addresses have none.
    pub fn route(&self, destination: IpAddr) -> Option<&Route> {
        if platform::addresses().contains(destination) {
            return None;
        }
        self.routes
            .iter()
            .find(|route| route.prefix.contains(&destination))
    }

    /// The destinations that go to each next hop; the platform's addresses follow no
    /// route.
    pub fn destinations(&self) -> Vec<(NextHop, AddressSet)> {
        let mut taken = platform::addresses();
        let mut by_hop: Vec<(NextHop, AddressSet)> = Vec::new();
        for route in &self.routes {
            let prefix = AddressSet::prefix(route.prefix);
            let part = prefix.intersection(&taken.complement());
            taken = taken.union(&prefix);
            match by_hop.iter_mut().find(|(hop, _)| *hop == route.next_hop) {
                Some((_, set)) => *set = set.union(&part),
                None => by_hop.push((route.next_hop, part)),
            }
        }
        by_hop.retain(|(_, set)| !set.is_empty());
        by_hop.sort_by_key(|(hop, _)| *hop);
        by_hop
    }

    /// The destinations that go to the appliance at an address.
    pub fn reaching(&self, appliance: IpAddr) -> AddressSet {
        let hop = NextHop::VirtualAppliance(appliance);
        let found = self.destinations().into_iter().find(|(to, _)| *to == hop);
        found.map_or_else(AddressSet::empty, |(_, set)| set)
    }
}
