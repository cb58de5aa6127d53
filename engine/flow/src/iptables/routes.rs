//! A node's routes, as `ip route show table all` lists those of one family.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::interface::PeerInterfaces;
use super::ruleset::Family;
use crate::set::AddressSet;

/// The longest output read, in bytes: a node with a route for each of its pods
/// writes some ten thousand.
const TEXT_LIMIT_BYTES: usize = 1 << 20;

/// What a node's routes tell of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRoutes {
    /// Its own addresses: exactly those of the kernel's routing type `LOCAL`.
    pub local: AddressSet,
    /// Its broadcast addresses.
    pub broadcast: AddressSet,
    /// The one interface that leads to other machines, and the addresses it
    /// leads to. None where there are several, or policy routing decides.
    pub network: Option<(String, AddressSet)>,
}

/// A route to other machines.
struct Way<'a> {
    prefix: IpNet,
    /// None where it leads nowhere, or by several ways.
    interface: Option<&'a str>,
}

impl NodeRoutes {
    /// Reads the output for one family; nothing when a line is not understood,
    /// since half of the routes would be worse than none.
    pub fn parse(family: Family, text: &str) -> Option<Self> {
        if text.len() > TEXT_LIMIT_BYTES {
            return None;
        }
        let (mut local, mut broadcast) = (Vec::new(), Vec::new());
        let mut ways: Vec<Way<'_>> = Vec::new();
        let mut other_tables = false;
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let mut words = line.split_ascii_whitespace();
            let first = words.next()?;
            if first == "nexthop" {
                // One more way of the route above it.
                ways.last_mut()?.interface = None;
                continue;
            }
            let (kind, destination) = match first {
                "local" | "broadcast" | "multicast" | "anycast" | "unicast" | "blackhole"
                | "unreachable" | "prohibit" | "throw" | "nat" => (first, words.next()?),
                destination => ("unicast", destination),
            };
            let prefix = destination_of(family, destination)?;
            let (mut table, mut interface) = (None, None);
            while let Some(word) = words.next() {
                match word {
                    "table" => table = words.next(),
                    "dev" => interface = words.next(),
                    _ => {}
                }
            }
            match (table, kind) {
                (Some("local"), "local") => local.push(prefix),
                (Some("local"), "broadcast") => broadcast.push(prefix),
                (Some("local"), _) => {}
                // An own address or a circle in another table would be found only
                // by its rules.
                (Some(_), _) => other_tables = true,
                (None, _) => ways.push(Way {
                    prefix,
                    interface: interface.filter(|_| kind == "unicast"),
                }),
            }
        }
        // There is no namespace without a loopback that is up and no local route.
        if local.is_empty() {
            return None;
        }
        let (local, broadcast) = (
            AddressSet::prefixes(&local),
            AddressSet::prefixes(&broadcast),
        );
        let network = if other_tables {
            None
        } else {
            network(&ways, &local)
        };
        Some(Self {
            local,
            broadcast,
            network,
        })
    }

    /// What they tell of the interfaces packets come in by.
    ///
    /// # Assumptions
    /// Where one interface alone leads to other machines, packets of machines
    /// that it leads to come in by it: no other cable is there.
    pub fn interfaces(&self) -> PeerInterfaces {
        PeerInterfaces {
            loopback: self.local.clone(),
            named: self.network.iter().cloned().collect(),
        }
    }
}

fn destination_of(family: Family, text: &str) -> Option<IpNet> {
    match (text, family) {
        ("default", Family::Ipv4) => Some(IpNet::V4(ipnet::Ipv4Net::default())),
        ("default", Family::Ipv6) => Some(IpNet::V6(ipnet::Ipv6Net::default())),
        (text, Family::Ipv4) if text.contains('/') => Some(IpNet::V4(text.parse().ok()?)),
        (text, Family::Ipv6) if text.contains('/') => Some(IpNet::V6(text.parse().ok()?)),
        (text, Family::Ipv4) => Some(IpNet::V4(text.parse::<Ipv4Addr>().ok()?.into())),
        (text, Family::Ipv6) => Some(IpNet::V6(text.parse::<Ipv6Addr>().ok()?.into())),
    }
}

/// The interface of every default route, with the addresses whose longest route
/// leads by it.
fn network(ways: &[Way<'_>], local: &AddressSet) -> Option<(String, AddressSet)> {
    let mut defaults = ways.iter().filter(|way| way.prefix.prefix_len() == 0);
    let name = defaults.next()?.interface?;
    if !defaults.all(|way| way.interface == Some(name)) {
        return None;
    }
    let mut ordered: Vec<&Way<'_>> = ways.iter().collect();
    ordered.sort_by_key(|way| std::cmp::Reverse(way.prefix.prefix_len()));
    let (mut taken, mut leading) = (local.clone(), AddressSet::empty());
    // Prefixes of one length are disjoint or the same.
    for alike in ordered.chunk_by(|a, b| a.prefix.prefix_len() == b.prefix.prefix_len()) {
        let mut is_clear: BTreeMap<IpNet, bool> = BTreeMap::new();
        for way in alike {
            // Of routes to the same prefix the metric decides, and may change.
            *is_clear.entry(way.prefix).or_insert(true) &= way.interface == Some(name);
        }
        let clear = is_clear.iter().filter(|(_, is_clear)| **is_clear);
        let clear = AddressSet::prefixes(clear.map(|(prefix, _)| prefix));
        leading = leading.union(&clear.intersection(&taken.complement()));
        taken = taken.union(&AddressSet::prefixes(is_clear.keys()));
    }
    (!leading.is_empty()).then(|| (name.to_owned(), leading))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AKS: &str = "default via 10.224.0.1 dev eth0 proto dhcp src 10.224.0.4 metric 100
10.224.0.0/16 dev eth0 proto kernel scope link src 10.224.0.4 metric 100
10.244.1.0/24 dev cbr0 proto kernel scope link src 10.244.1.1
10.244.1.7 dev azv12 scope link
168.63.129.16 via 10.224.0.1 dev eth0 proto dhcp src 10.224.0.4 metric 100
local 10.224.0.4 dev eth0 table local proto kernel scope host src 10.224.0.4
broadcast 10.224.255.255 dev eth0 table local proto kernel scope link src 10.224.0.4
local 10.244.1.1 dev cbr0 table local proto kernel scope host src 10.244.1.1
broadcast 10.244.1.255 dev cbr0 table local proto kernel scope link src 10.244.1.1
local 127.0.0.0/8 dev lo table local proto kernel scope host src 127.0.0.1
local 127.0.0.1 dev lo table local proto kernel scope host src 127.0.0.1
broadcast 127.255.255.255 dev lo table local proto kernel scope link src 127.0.0.1
";

    fn address(text: &str) -> std::net::IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn own_addresses_are_the_kernels_and_other_machines_are_behind_the_default_interface() {
        let routes = NodeRoutes::parse(Family::Ipv4, AKS).unwrap();
        for own in ["10.224.0.4", "10.244.1.1", "127.8.8.8"] {
            assert!(routes.local.contains(address(own)), "{own}");
        }
        assert!(routes.broadcast.contains(address("10.224.255.255")));
        let (name, behind) = routes.network.unwrap();
        assert_eq!(name, "eth0");
        for other in ["10.224.0.5", "8.8.8.8", "168.63.129.16"] {
            assert!(behind.contains(address(other)), "{other}");
        }
        // Pods of the node itself, and the node, are not.
        for here in ["10.244.1.8", "10.244.1.7", "10.224.0.4"] {
            assert!(!behind.contains(address(here)), "{here}");
        }
    }

    #[test]
    fn several_ways_out_and_policy_routing_leave_the_interface_unknown() {
        for more in [
            "default via 10.225.0.1 dev eth1 metric 200\n",
            "default via 10.225.0.1 dev eth0 table 200\n",
            "default\n\tnexthop via 10.224.0.1 dev eth0 weight 1\n\tnexthop via 10.225.0.1 dev eth1 weight 1\n",
        ] {
            let routes = NodeRoutes::parse(Family::Ipv4, &format!("{more}{AKS}")).unwrap();
            assert_eq!(routes.network, None, "{more}");
            assert!(routes.local.contains(address("10.224.0.4")));
        }
        let contested = format!("{AKS}10.224.0.0/16 dev eth1 scope link metric 200\n");
        let routes = NodeRoutes::parse(Family::Ipv4, &contested).unwrap();
        let (_, behind) = routes.network.unwrap();
        assert!(!behind.contains(address("10.224.0.5")) && behind.contains(address("8.8.8.8")));
    }

    #[test]
    fn what_is_not_understood_is_no_routes_at_all() {
        for text in [
            "",
            "Object \"route\" is unknown\n",
            "default via\n",
            "local\n",
            "::1 dev lo\n",
        ] {
            assert_eq!(NodeRoutes::parse(Family::Ipv4, text), None, "{text:?}");
        }
    }
}
