//! What the service tag `VirtualNetwork` stands for, from the networks around a
//! group as ARM returns them.
//!
//! Microsoft: "the virtual network address space, all connected on-premises
//! address spaces, peered virtual networks, virtual networks connected to a
//! virtual network gateway, the virtual IP address of the host, and address
//! prefixes used on user-defined routes. This tag might also contain default
//! routes."

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use crate::field::{excerpt, parse_prefix};
use crate::platform::PLATFORM_ADDRESS;
use crate::set::AddressSet;

/// The addresses of the tag: which are certainly members, and which may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualNetworkTag {
    /// Certainly members.
    pub(super) members: AddressSet,
    /// What may be members besides.
    pub(super) possible: AddressSet,
    /// Why that is not known.
    pub(super) reasons: BTreeSet<String>,
    /// Where interfaces of the network and of its peers can be.
    pub(super) interfaces: AddressSet,
}

impl VirtualNetworkTag {
    /// These prefixes and the platform address, and nothing else.
    pub(super) fn known<'a>(prefixes: impl IntoIterator<Item = &'a IpNet>) -> Self {
        let prefixes = AddressSet::prefixes(prefixes);
        Self {
            members: prefixes.union(&AddressSet::host(PLATFORM_ADDRESS)),
            possible: AddressSet::empty(),
            reasons: BTreeSet::new(),
            interfaces: prefixes,
        }
    }

    /// The tag in these networks, where groups filter `subnets`; all subnets of the
    /// networks when those are not known. `tables` are the route tables of
    /// [`route_tables`], by the id in small letters, or why one was not read.
    ///
    /// What cannot be read or made sense of leaves addresses unknown.
    pub fn of_networks<'a>(
        networks: impl IntoIterator<Item = &'a Value>,
        subnets: Option<&BTreeSet<String>>,
        tables: &BTreeMap<String, Result<Value, String>>,
    ) -> Self {
        let mut tag = Self::known([]);
        let mut routed: Option<Routed> = None;
        for network in networks {
            tag.add_network(network);
            for table in concerned_subnets(network, subnets).map(route_table_of) {
                let of_subnet = Routed::by(table, tables);
                routed = Some(match routed {
                    Some(others) => others.beside(of_subnet),
                    None => of_subnet,
                });
            }
        }
        if let Some(routed) = routed {
            tag.members = tag.members.union(&routed.members);
            tag.possible = tag.possible.union(&routed.possible);
            tag.reasons.extend(routed.reasons);
        }
        tag
    }

    /// The tag with what another knows besides.
    pub(super) fn union(mut self, other: Self) -> Self {
        self.members = self.members.union(&other.members);
        self.possible = self.possible.union(&other.possible);
        self.interfaces = self.interfaces.union(&other.interfaces);
        self.reasons.extend(other.reasons);
        self
    }

    fn not_known(&mut self, possible: &AddressSet, reason: String) {
        self.possible = self.possible.union(possible);
        self.reasons.insert(reason);
    }

    fn add_network(&mut self, network: &Value) {
        let name = name_of(network);
        match prefixes(network.pointer("/properties/addressSpace")) {
            Some(own) => self.add_space(&own),
            None => {
                self.interfaces = AddressSet::any();
                let reason = format!("the address space of network {name} was not observed");
                self.not_known(&AddressSet::any(), reason);
            }
        }
        let mut subnets = items(network, "/properties/subnets");
        if subnets.any(|subnet| last_part(&name_of(subnet)).eq_ignore_ascii_case("GatewaySubnet")) {
            let reason = format!("what a gateway of network {name} learns is not listed anywhere");
            self.not_known(&AddressSet::any(), reason);
        }
        for peering in items(network, "/properties/virtualNetworkPeerings") {
            self.add_peering(peering);
        }
    }

    fn add_space(&mut self, space: &AddressSet) {
        self.members = self.members.union(space);
        self.interfaces = self.interfaces.union(space);
    }

    /// A peer's prefixes are members while the two are connected and traffic to
    /// the peer is allowed.
    fn add_peering(&mut self, peering: &Value) {
        let name = name_of(peering);
        let field = |field: &str| peering.pointer(&format!("/properties/{field}"));
        let state = field("peeringState").and_then(Value::as_str);
        let is_apart = |state: &str| {
            ["Initiated", "Disconnected"]
                .iter()
                .any(|apart| apart.eq_ignore_ascii_case(state))
        };
        let is_allowed = field("allowVirtualNetworkAccess").and_then(Value::as_bool);
        if is_allowed == Some(false) || state.is_some_and(is_apart) {
            return;
        }
        if field("useRemoteGateways").and_then(Value::as_bool) == Some(true) {
            let reason =
                format!("what the gateway behind peering {name} learns is not listed anywhere");
            self.not_known(&AddressSet::any(), reason);
        }
        // What the peer has now, and what this side was last told of it.
        let spaces = ["remoteVirtualNetworkAddressSpace", "remoteAddressSpace"];
        let spaces = spaces.map(|name| field(name).filter(|space| !space.is_null()));
        let spaces: Option<Vec<AddressSet>> = spaces
            .into_iter()
            .flatten()
            .map(|space| prefixes(Some(space)))
            .collect();
        let Some(spaces) = spaces.filter(|spaces| !spaces.is_empty()) else {
            self.interfaces = AddressSet::any();
            let reason = format!("the address space behind peering {name} was not observed");
            return self.not_known(&AddressSet::any(), reason);
        };
        let all = AddressSet::union_all(&spaces);
        let is_connected = state.is_some_and(|state| state.eq_ignore_ascii_case("Connected"));
        if !is_connected || is_allowed.is_none() {
            self.interfaces = self.interfaces.union(&all);
            let reason = format!("whether peering {name} is in force was not observed");
            return self.not_known(&all, reason);
        }
        let (first, others) = (spaces.first().cloned().unwrap_or_default(), &spaces);
        let agreed = others
            .iter()
            .fold(first, |agreed, space| agreed.intersection(space));
        self.add_space(&agreed);
        if !all.is_subset(&agreed) {
            self.interfaces = self.interfaces.union(&all);
            let reason = format!("peering {name} is not in sync with the network behind it");
            self.not_known(&all, reason);
        }
    }
}

/// The ids of the route tables that matter to [`VirtualNetworkTag::of_networks`],
/// each once, as they are written.
pub fn route_tables<'a>(
    networks: impl IntoIterator<Item = &'a Value>,
    subnets: Option<&BTreeSet<String>>,
) -> Vec<String> {
    let mut ids: BTreeMap<String, String> = BTreeMap::new();
    for network in networks {
        for id in concerned_subnets(network, subnets).filter_map(route_table_of) {
            ids.insert(id.to_ascii_lowercase(), id.to_owned());
        }
    }
    ids.into_values().collect()
}

/// What the routes of subnets add to the tag.
struct Routed {
    members: AddressSet,
    possible: AddressSet,
    reasons: BTreeSet<String>,
}

impl Routed {
    fn nothing() -> Self {
        Self {
            members: AddressSet::empty(),
            possible: AddressSet::empty(),
            reasons: BTreeSet::new(),
        }
    }

    fn by(table: Option<&str>, tables: &BTreeMap<String, Result<Value, String>>) -> Self {
        let mut routed = Self::nothing();
        let Some(id) = table else { return routed };
        let name = last_part(id);
        let routes = match tables.get(&id.to_ascii_lowercase()) {
            Some(Ok(table)) => table
                .pointer("/properties/routes")
                .and_then(Value::as_array),
            Some(Err(reason)) => {
                let reason = format!("route table {name} was not read: {reason}");
                routed.not_known(&AddressSet::any(), reason);
                return routed;
            }
            None => None,
        };
        match routes {
            Some(routes) => {
                for route in routes {
                    routed.add_route(name, route);
                }
            }
            None => {
                let reason = format!("the routes of route table {name} were not observed");
                routed.not_known(&AddressSet::any(), reason);
            }
        }
        routed
    }

    fn not_known(&mut self, possible: &AddressSet, reason: String) {
        self.possible = self.possible.union(possible);
        self.reasons.insert(reason);
    }

    fn add_route(&mut self, table: &str, route: &Value) {
        let field = |field: &str| {
            let value = route.pointer(&format!("/properties/{field}"));
            value.and_then(Value::as_str).unwrap_or_default()
        };
        let (name, written) = (name_of(route), field("addressPrefix"));
        let is_canonical = |prefix: &IpNet| prefix.trunc() == *prefix;
        let Some(prefix) = parse_prefix(written).filter(is_canonical) else {
            let reason = format!(
                "route {name} of route table {table} is for {}, whose prefixes may be part of \
                 the tag",
                excerpt(written)
            );
            return self.not_known(&AddressSet::any(), reason);
        };
        let set = AddressSet::prefix(prefix);
        if prefix.prefix_len() == 0 {
            let reason = format!(
                "route {name} of route table {table} is a default route, which may be part of \
                 the tag"
            );
            return self.not_known(&set, reason);
        }
        // What goes to the internet is by the same words part of the tag Internet.
        let hop = field("nextHopType");
        let stays_inside = ["VirtualAppliance", "VnetLocal", "VirtualNetworkGateway"];
        if stays_inside
            .iter()
            .any(|kind| kind.eq_ignore_ascii_case(hop))
        {
            self.members = self.members.union(&set);
        } else {
            let reason = format!(
                "route {name} of route table {table} sends {prefix} to {}, and may be part of \
                 the tag all the same",
                excerpt(hop)
            );
            self.not_known(&set, reason);
        }
    }

    /// What holds in either of two subnets: what only one has is not known, because
    /// the tag differs between them.
    fn beside(self, other: Self) -> Self {
        let members = self.members.intersection(&other.members);
        let mut both = Self {
            possible: self.possible.union(&other.possible),
            reasons: self.reasons.into_iter().chain(other.reasons).collect(),
            members,
        };
        let all = self.members.union(&other.members);
        if !all.is_subset(&both.members) {
            both.not_known(&all, "the routes of the subnets differ".to_owned());
        }
        both
    }
}

/// The subnets of a network that are among these; all when none are named.
fn concerned_subnets<'a>(
    network: &'a Value,
    subnets: Option<&'a BTreeSet<String>>,
) -> impl Iterator<Item = &'a Value> {
    items(network, "/properties/subnets").filter(move |subnet| {
        let id = subnet.get("id").and_then(Value::as_str);
        let is_named = |id: &str, named: &BTreeSet<String>| {
            named.iter().any(|named| named.eq_ignore_ascii_case(id))
        };
        // One that cannot be told apart is concerned.
        subnets.is_none_or(|named| id.is_none_or(|id| is_named(id, named)))
    })
}

fn route_table_of(subnet: &Value) -> Option<&str> {
    subnet.pointer("/properties/routeTable/id")?.as_str()
}

/// The prefixes of an address space; none when there are none, or one is no prefix:
/// no network is without addresses.
fn prefixes(space: Option<&Value>) -> Option<AddressSet> {
    let list = space?.get("addressPrefixes")?.as_array()?;
    let mut nets: Vec<IpNet> = Vec::with_capacity(list.len());
    for prefix in list {
        let text = prefix.as_str()?;
        let host = || text.parse::<IpAddr>().ok().map(IpNet::from);
        nets.push(parse_prefix(text).or_else(host)?);
    }
    (!nets.is_empty()).then(|| AddressSet::prefixes(&nets))
}

fn items<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    let list = value.pointer(pointer).and_then(Value::as_array);
    list.into_iter().flatten()
}

/// The name of a resource, or else the last part of its id.
fn name_of(resource: &Value) -> String {
    let text = |field| resource.get(field).and_then(Value::as_str);
    let name = text("name").or_else(|| text("id").map(last_part));
    excerpt(name.unwrap_or("without a name"))
}

fn last_part(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}
